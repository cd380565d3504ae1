"""Time and chance, handed in so that a test can hold both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, aware, in UTC: for what people read and what outlives the process."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump: for every duration inside the process."""
        ...

    def sleep(self, seconds: float) -> None: ...


# A float in [0, 1): jitter.
Chance = Callable[[], float]


class Wake(Protocol):
    """Tells a loop that there is something to look at before its time."""

    def set(self) -> None: ...
