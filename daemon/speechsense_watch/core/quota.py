"""Staying within a published limit on reading, whatever there is to find out.

SpeechSense lets a project read 20 talks a second, 200 a minute, 2,000 an hour and 20,000 a day, shared with everybody who works
in its pages. Look-ups take half of that at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Seconds -> talks: half of what the service allows.
READING: Mapping[float, int] = {1.0: 10, 60.0: 100, 3600.0: 1_000, 86400.0: 10_000}


@dataclass(slots=True)
class Quota:
    """What was spent, by the monotonic clock. A cost above a window's limit is let through once that window is empty."""

    windows: Mapping[float, int] = field(default_factory=lambda: READING)
    _spent: deque[tuple[float, int]] = field(default_factory=deque)

    def spent(self, at: float) -> Sequence[int]:
        """How much by now in each window, the shortest first: what another process needs to go on from here."""
        return [sum(cost for when, cost in self._spent if at - when < window) for window in sorted(self.windows)]

    def go_on(self, spent: Sequence[int], at: float) -> None:
        """So much was spent by that moment, before there was anything here: each part of it as late as it may have been."""
        ages = [0.0, *sorted(self.windows)]
        parts = [(age, now - before) for age, now, before in zip(ages, spent, [0, *spent], strict=False)]
        self._spent.extend((at - age, cost) for age, cost in reversed(parts) if cost > 0)

    def wait_s(self, at: float, cost: int) -> float:
        """Seconds until so much may be spent; 0 when it may be now."""
        return max(self._wait_for(window, limit, at, cost) for window, limit in self.windows.items())

    def spend(self, at: float, cost: int) -> None:
        self._spent.append((at, cost))
        longest = max(self.windows)
        while self._spent and at - self._spent[0][0] >= longest:
            self._spent.popleft()

    def _wait_for(self, window: float, limit: int, at: float, cost: int) -> float:
        """The latest earlier spending that has to have left the window before this one fits."""
        room = limit - cost
        for when, spent in reversed(self._spent):
            if at - when >= window:
                return 0.0
            room -= spent
            if room < 0:
                return window - (at - when)
        return 0.0
