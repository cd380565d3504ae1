"""What became of many recordings: told one by one at first, then counted, with the numbers of their lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import click

from speechsense_watch.adoption import Outcome
from speechsense_watch.cli.words import printable

_MOST_TOLD = 20
_MOST_RANGES = 100
_SAID = {
    Outcome.BUSY: "is being written or sent at this moment: see `show`, and try again",
    Outcome.NOT_THERE: "is not there any more",
    Outcome.UNREADABLE: "cannot be read",
    Outcome.OTHER_TALK: "is on record with another talk id: see `show`",
    Outcome.TALK_TAKEN: "has the talk id of another recording",
    Outcome.FORGOTTEN: "was removed by `forget`, and stays so",
}


@dataclass(slots=True)
class _Numbers:
    """Numbers that come in order, as ranges; after so many of those the rest is only counted."""

    ranges: list[list[int]] = field(default_factory=list)
    more: int = 0

    def add(self, number: int) -> None:
        if self.ranges and self.ranges[-1][1] == number - 1 and not self.more:
            self.ranges[-1][1] = number
        elif len(self.ranges) < _MOST_RANGES:
            self.ranges.append([number, number])
        else:
            self.more += 1

    def __str__(self) -> str:
        told = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)
        return f"{told} and {self.more:,} more" if self.more else told


@dataclass(slots=True)
class Tally:
    """`count` as they come, `conclude` in the end."""

    _counts: Counter[str] = field(default_factory=Counter)
    _numbers: dict[str, _Numbers] = field(default_factory=dict)

    def count(self, outcome: Outcome | str, which: str, number: int | None = None) -> None:
        """Of one recording; an outcome in words is one that the rules or the list decided."""
        self._counts[outcome] += 1
        if outcome in (Outcome.ADOPTED, Outcome.KNOWN):
            return
        if number is not None:
            self._numbers.setdefault(outcome, _Numbers()).add(number)
        if self._counts[outcome] <= _MOST_TOLD:
            more = " (further ones are only counted)" if self._counts[outcome] == _MOST_TOLD else ""
            where = f"line {number}: " if number is not None else ""
            click.echo(f"{where}{printable(which)} {_in_words(outcome)}{more}", err=True)

    def conclude(self, *, missing_ok: bool) -> bool:
        """Says how many of what there were, if there were any. Whether all is well."""
        if not self._counts:
            return True
        click.echo(f"{self._counts[Outcome.ADOPTED]:,} adopted, {self._counts[Outcome.KNOWN]:,} known.")
        good = {Outcome.ADOPTED, Outcome.KNOWN}
        others = [(outcome, count) for outcome, count in sorted(self._counts.items()) if outcome not in good]
        if others:
            click.echo(f"{sum(count for _, count in others):,} not adopted:")
        for outcome, count in others:
            lines = f" (line{'s' if count > 1 else ''} {self._numbers[outcome]})" if outcome in self._numbers else ""
            click.echo(f"  {count:,}: {_in_words(outcome)}{lines}")
        return not {outcome for outcome, _ in others} - ({Outcome.NOT_THERE} if missing_ok else set())


def _in_words(outcome: str) -> str:
    return _SAID[Outcome(outcome)] if outcome in set(Outcome) else outcome
