"""Running a loop: the one `while` of the daemon.

A loop is a `step()` that does what is due, never blocks for long, and returns the seconds until there is more. The runner
calls it, waits, and is woken early by whoever has news. Progress is a number: the process's watchdog is fed by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from speechsense_watch.log import Event, Log
from speechsense_watch.ports import Clock, QueueTrouble

AFTER_TROUBLE_S = 5.0
MOST_AFTER_TROUBLE_S = 60.0
LONGEST_REST_S = 60.0


_Result = TypeVar("_Result")


def isolated(do: Callable[[], _Result], log: Log, **what: object) -> _Result | None:
    """What `do` returned; None when it met a fault of ours, which is told whole. What one recording brings up must not stop
    the others; a queue that cannot be used stops them all, so QueueTrouble passes.
    """
    try:
        return do()
    except QueueTrouble:
        raise
    except Exception:
        log.exception(Event.LOOP_FAILED, **what)
        return None


class Loop:
    """A named thread around a `step`. `on_fatal` is called, once, when what the step met cannot be lived with."""

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        clock: Clock,
        log: Log,
        on_fatal: Callable[[str], None],
        stalled_after_s: float,
    ) -> None:
        self.name = name
        self._step = step
        self._clock = clock
        self._log = log
        self._on_fatal = on_fatal
        self._stalled_after_s = stalled_after_s
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._alive_at = clock.monotonic()
        self._rests_until = self._alive_at
        # The queue's trouble that was told last, and how long it is waited for.
        self._trouble = ""
        self._again_in_s = AFTER_TROUBLE_S

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """The next step comes at once. May be called from any thread."""
        self._news.set()

    def stop(self) -> None:
        """No step begins after the present one."""
        self._stop.set()
        self._news.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """Whether the loop has ended, or never begun."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def stalled(self) -> bool:
        """No step has ended for too long, though one was due."""
        return self._clock.monotonic() - max(self._alive_at, self._rests_until) > self._stalled_after_s

    def _run(self) -> None:
        while not self._stop.is_set():
            self._news.clear()
            rest_s = min(self._guarded(), LONGEST_REST_S)
            if rest_s > 0 and not self._stop.is_set():
                self._news.wait(rest_s)

    def _guarded(self) -> float:
        try:
            rest_s = self._step()
            self._over()
            return self._progress(rest_s)
        except QueueTrouble as trouble:
            if trouble.fatal:
                self._log.error(Event.LOOP_FAILED, loop=self.name, message=str(trouble))
                self._on_fatal(str(trouble))
                self._stop.set()
                return 0.0
            return self._progress(self._wait_for_end_of(str(trouble)))
        except Exception:  # noqa: BLE001 - a fault of ours: told whole and tried again; no progress, so the watchdog ends it if it stays
            self._log.exception(Event.LOOP_FAILED, loop=self.name, again_in_s=AFTER_TROUBLE_S)
            return AFTER_TROUBLE_S

    def _wait_for_end_of(self, trouble: str) -> float:
        """The seconds to wait, ever more of them. Told once for as long as it is the same: it may be with us for days."""
        if trouble != self._trouble:
            self._trouble, self._again_in_s = trouble, AFTER_TROUBLE_S
            self._log.warning(Event.LOOP_FAILED, loop=self.name, message=trouble, again_in_s=AFTER_TROUBLE_S)
        wait_s, self._again_in_s = self._again_in_s, min(2 * self._again_in_s, MOST_AFTER_TROUBLE_S)
        return wait_s

    def _over(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._log.info(Event.LOOP_RECOVERED, loop=self.name)

    def _progress(self, rest_s: float) -> float:
        self._alive_at = self._clock.monotonic()
        self._rests_until = self._alive_at + min(rest_s, LONGEST_REST_S)
        return rest_s
