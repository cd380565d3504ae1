"""The signals a daemon gets: SIGTERM and SIGINT to end, SIGHUP to read its configuration anew (daemon(7))."""

from __future__ import annotations

import math
import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

from speechsense_watch.edge.touched import drained
from speechsense_watch.ports import Touches


class News:
    """Wakes the one thread that waits for it, for as long as the process lives. `set` may be called by a signal handler that
    interrupted this very waiting, which `threading.Event.set` must not: its lock may be held then by the code that was
    interrupted. A byte in a pipe needs none.
    """

    def __init__(self) -> None:
        self._ear, self._mouth = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def set(self) -> None:
        with suppress(BlockingIOError):  # full of news that nobody has heard yet
            os.write(self._mouth, b"\0")

    def told_by_signals(self) -> None:
        """The kernel may hand a signal to any thread, and Python's handlers run on the main one, which may sleep on: it is woken
        by what is written here at once (docs.python.org, signal.set_wakeup_fd). To be called on the main thread.
        """
        signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)

    def wait(self, timeout_s: float | None = None, beside: Touches | None = None) -> bool:
        """Whether there were news within that time; they are old afterwards. What `beside` tells ends the waiting as well."""
        ears = select.poll()
        for ear in (self._ear, *((beside.fileno(),) if beside else ())):
            ears.register(ear, select.POLLIN)
        ears.poll(None if timeout_s is None else math.ceil(1000 * timeout_s))
        return drained(self._ear)


@dataclass(slots=True)
class Signals:
    """What signals have asked for; handlers only set flags."""

    news: News = field(default_factory=News)
    stop: int = 0
    reload: bool = False

    def install(self) -> None:
        self.news.told_by_signals()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop += 1
        self.news.set()

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True
        self.news.set()
