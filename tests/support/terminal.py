"""Somebody at a terminal: a program on a pseudo-terminal, what it shows, and what is typed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.waiting import wait_for

_PATIENCE_S = 120.0


class Terminal:
    """`shown` is all that the program has written. Ends the program when it is left."""

    def __init__(self, line: Sequence[str], environ: Mapping[str, str]) -> None:
        self._mine, far_end = pty.openpty()
        self._process = subprocess.Popen(
            line,
            stdin=far_end,
            stdout=far_end,
            stderr=far_end,
            env=dict(environ),
            start_new_session=True,
            # Its own terminal: otherwise Ctrl-C would be no more than a letter.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
        )
        os.close(far_end)
        self._raw = b""
        self._read_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._mine)

    @property
    def shown(self) -> str:
        return self._raw.decode(errors="replace")

    def answer(self, question: str, answer: str | bytes) -> None:
        """Waits for the question and for the end of its line, then types the answer and Enter."""
        self.wait_for(question)
        self.type(answer if isinstance(answer, bytes) else answer.encode())
        self.type(b"\n")

    def wait_for(self, text: str) -> None:
        """The text stands on the screen, after whatever was waited for before, and the program waits for an answer."""
        until = time.monotonic() + _PATIENCE_S
        while not ((at := self._raw.find(text.encode(), self._read_to)) >= 0 and self._raw.endswith(b" ")):
            assert time.monotonic() < until, f"{text!r} does not come after:\n{self.shown}"
            assert self._more(0.1), f"it ended before {text!r}:\n{self.shown}"
        # Until it sleeps a Ctrl-C could come between the question and the reading, and be seen only with the next key.
        wait_for(self._sleeps, _PATIENCE_S, "it waits for a key")
        self._read_to = at + len(text)

    def type(self, data: bytes) -> None:
        os.write(self._mine, data)

    def end(self) -> int:
        """The exit code, when it has ended by itself."""
        until = time.monotonic() + _PATIENCE_S
        while self._more(0.1):
            assert time.monotonic() < until, f"it does not end:\n{self.shown}"
        return self._process.wait(timeout=_PATIENCE_S)

    def _sleeps(self) -> bool:
        # proc(5): the state stands behind the name, which is in parentheses.
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    def _more(self, patience_s: float) -> bool:
        """Reads what there is to read; False when the program has closed its end."""
        if not select.select([self._mine], [], [], patience_s)[0]:
            return True
        try:
            data = os.read(self._mine, 4096)
        except OSError:
            return False
        self._raw += data
        return bool(data)
