"""A list of findings as people read it: what is right, what deserves a word, what is wrong and how to mend it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import Enum

import click

from speechsense_watch.cli.words import printable


class Mark(Enum):
    """The sign, its colour, and what stands for it where the terminal has no such letter."""

    GOOD = ("✓", "green", "ok")
    NOTE = ("!", "yellow", "!")
    BAD = ("✗", "red", "x")


@dataclass(slots=True)
class Report:
    """Prints findings as they come, and remembers whether any was bad."""

    bad: int = 0
    doubts: int = 0
    _plain: bool = field(default_factory=lambda: not _has_signs())

    def good(self, text: str) -> None:
        self._print(Mark.GOOD, text, "")

    def note(self, text: str, do: str = "") -> None:
        self._print(Mark.NOTE, text, do)

    def doubt(self, text: str, do: str = "") -> None:
        """Nothing is set up wrongly for all that is known, and still it may not be as it is meant."""
        self.doubts += 1
        self.note(text, do)

    def wrong(self, text: str, do: str = "") -> None:
        self.bad += 1
        self._print(Mark.BAD, text, do)

    def detail(self, text: str) -> None:
        click.echo(f"    {self._encodable(printable(text))}")

    def _print(self, mark: Mark, text: str, do: str) -> None:
        sign, color, plain = mark.value
        shown = f"{plain:<2}" if self._plain else sign
        click.echo(f"{click.style(shown, fg=color, bold=True)} {self._encodable(printable(text))}")
        if do:
            self.detail(do)

    def _encodable(self, text: str) -> str:
        encoding = sys.stdout.encoding or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding) if self._plain else text


def _has_signs() -> bool:
    try:
        "✓✗".encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
