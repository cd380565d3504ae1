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


class Touches(Protocol):
    """Tells of what others did since it was heard last."""

    def fileno(self) -> int:
        """Readable when there is something to be heard (poll(2))."""
        ...

    def heard(self) -> bool:
        """Whether there was; it is old afterwards."""
        ...


class Waiting(Protocol):
    """Sleeps until it is told of something."""

    def wait(self, timeout_s: float | None = None, beside: Touches | None = None) -> bool:
        """Whether it was told within that time. What `beside` tells ends the waiting as well."""
        ...
