"""The signals a daemon gets: SIGTERM and SIGINT to end, SIGHUP to read its configuration anew (daemon(7))."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import FrameType


class News:
    """Wakes the one thread that waits for it. `set` may be called by a signal handler that interrupted this very waiting, which
    `threading.Event.set` must not: its lock may be held then by the code that was interrupted. SimpleQueue.put is made for that
    (docs.python.org, queue.SimpleQueue.put).
    """

    def __init__(self) -> None:
        self._told: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._told.put(None)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether there were news within that time; they are old afterwards."""
        try:
            self._told.get(timeout=timeout_s)
        except Empty:
            return False
        with suppress(Empty):
            while True:
                self._told.get_nowait()
        return True


@dataclass(slots=True)
class Signals:
    """What signals have asked for; handlers only set flags."""

    news: News = field(default_factory=News)
    stop: int = 0
    reload: bool = False

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop += 1
        self.news.set()

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True
        self.news.set()
