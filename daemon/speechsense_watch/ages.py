"""How old something is, when clocks may jump.

A wall clock that is set forward makes everything look old at once, and what is decided by age would be decided wrongly: a call
that is still being recorded would count as abandoned.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from speechsense_watch.ports import Clock


class Ages:
    """Made when the process starts; ages are reckoned from its `now`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began, self._began_at = clock.now(), clock.monotonic()

    def now(self) -> datetime:
        """The wall clock, or what it would say had nobody set it since the start: whichever is earlier. So nothing is taken for
        older than it is; after a jump it may be taken for younger, and what waits for an age goes by its own looks.
        """
        lived = timedelta(seconds=self._clock.monotonic() - self._began_at)
        return min(self._clock.now(), self._began + lived)


class Jumps:
    """Notices that the wall clock was set, by the clock that never is."""

    # What NTP corrects in small steps, and a machine that was busy between the two looks, is no jump.
    AT_LEAST_S = 5.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s = self._difference_s()

    def _difference_s(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def look(self) -> float:
        """Seconds by which it was set forward since the last look, negative for back; 0 when it was not."""
        before, self._ahead_s = self._ahead_s, self._difference_s()
        moved_s = self._ahead_s - before
        return moved_s if abs(moved_s) >= self.AT_LEAST_S else 0.0
