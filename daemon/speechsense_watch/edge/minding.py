"""A thread that is there only as long as there is something to look after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue


class Minding:
    """Does what it is handed, one after the other, and looks about every so many seconds. `any_left` tells whether there is
    anything left to look after: what is new is there before `begin` is called for it, so that none goes unseen. `clock` is one
    that goes on while a thread waits (monotonic seconds).
    """

    def __init__(
        self, name: str, every_s: float, look: Callable[[], None], any_left: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        self._name = name
        self._every_s = every_s
        self._look = look
        self._any_left = any_left
        self._clock = clock
        self._handed: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = False

    def begin(self) -> None:
        """There is something to look after. Raises RuntimeError when no thread can be had for it."""
        with self._lock:
            if not self._running:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._running = True

    def hand(self, do: Callable[[], None]) -> None:
        """Never blocks."""
        self._handed.put(do)

    def _run(self) -> None:
        try:
            while True:
                self._do(self._clock() + self._every_s)
                self._look()
                with self._lock:
                    self._running = self._any_left()
                    if not self._running:
                        return
        except BaseException:
            # A fault of ours: whoever begins next has another thread.
            with self._lock:
                self._running = False
            raise

    def _do(self, until: float) -> None:
        with suppress(Empty):
            while (left_s := until - self._clock()) > 0:
                self._handed.get(timeout=left_s)()
