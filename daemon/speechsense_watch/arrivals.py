"""What came to a folder, when, and whether events told of it: what `status` and `detection = "auto"` go by."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from speechsense_watch.core.rules import Detection, Folder
from speechsense_watch.ports import Clock, Watch, WatchState

# Of that many arrivals most must have come by events for the events to be believed.
EVIDENCE = 20


@dataclass(slots=True)
class Arrivals:
    """Of one folder, since the daemon runs; `last_seen_at` is remembered from before."""

    rules: Folder
    watch: Watch
    clock: Clock
    found_by_scan: int = 0
    last_seen_at: datetime | None = None
    _ways: deque[bool] = field(default_factory=lambda: deque(maxlen=EVIDENCE))

    def came(self) -> None:
        """One that says nothing about events: the first scan finds all there is, and whoever takes another's place was noticed
        long before it was known for a new one.
        """
        self.last_seen_at = self.clock.now()

    def came_by(self, *, scan: bool, periodic: bool) -> None:
        self.last_seen_at = self.clock.now()
        self.found_by_scan += scan
        # A scan that was asked for, after an overflow for one, is what events are: it says nothing against them.
        if not scan or periodic:
            self._weigh(by_scan=scan)

    def _weigh(self, *, by_scan: bool) -> None:
        """`detection = "auto"` goes by evidence: where most recordings are found by scans only, events are given up."""
        if self.rules.detection is not Detection.AUTO or self.watch.health().state is not WatchState.WATCHING:
            self._ways.clear()
            return
        self._ways.append(by_scan)
        if len(self._ways) == EVIDENCE and sum(self._ways) > EVIDENCE / 2:
            self.watch.prefer_polling(f"events missed {sum(self._ways)} of the last {EVIDENCE} recordings")
            self._ways.clear()
