"""When the daemon says that it is alive: to `status` by its heartbeat in the queue, to systemd by feeding its watchdog.

Both cost those who sleep: the heartbeat a disk, the watchdog a core. So neither is said more often than somebody counts on it.
"""

from __future__ import annotations

import math
from datetime import datetime

from speechsense_watch.ports import Clock

AT_MOST_EVERY_S = 60.0
# It becomes due this much early, so that a rescan that is punctual finds it due,
EARLY_S = 4.0
# and goes without a rescan when none has ended for so long.
WAITS_FOR_RESCAN_S = 60.0


class Heartbeat:
    """It is written together with what a rescan has found, once for each of them and at most once a minute: between two rescans
    the disk may sleep.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_at = 0.0
        self._rescanned_at: datetime | None = None

    @staticmethod
    def every_s(rescans_every_s: float) -> float:
        return max(AT_MOST_EVERY_S, rescans_every_s)

    def is_due(self, rescanned_at: datetime | None) -> bool:
        """By when a rescan ended last."""
        over_s = self._clock.monotonic() - self._due_at
        if over_s < 0:
            self._rescanned_at = rescanned_at
            return False
        return rescanned_at != self._rescanned_at or over_s >= WAITS_FOR_RESCAN_S

    def beaten(self, every_s: float) -> None:
        self._due_at = self._clock.monotonic() + every_s - EARLY_S

    def at_once(self) -> None:
        """It is due whatever was rescanned."""
        self._due_at = -math.inf


class Feeding:
    """Of systemd's watchdog, which wants to be fed every `every_s`; None when there is none."""

    def __init__(self, clock: Clock, every_s: float | None) -> None:
        self._clock = clock
        self._every_s = every_s
        self._fed_at = -math.inf

    def is_due(self, next_look_in_s: float) -> bool:
        """Whether the next look would be too late; then it counts as fed now."""
        now = self._clock.monotonic()
        if self._every_s is None or now + next_look_in_s <= self._fed_at + self._every_s:
            return False
        self._fed_at = now
        return True
