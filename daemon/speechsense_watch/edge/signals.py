"""The signals a daemon gets: SIGTERM and SIGINT to end, SIGHUP to read its configuration anew (daemon(7))."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Signals:
    """What signals have asked for; handlers only set flags."""

    news: threading.Event
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
