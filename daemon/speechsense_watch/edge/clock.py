"""The machine's clocks: the only place that asks them."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Keeps `ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))
