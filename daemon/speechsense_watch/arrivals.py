"""What came to a folder, when, and whether events told of it: what `status` and `detection = "auto"` go by."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from speechsense_watch.core.rules import Detection, Folder
from speechsense_watch.ports import Clock, Watch, WatchState

# Of that many arrivals most must have come by events for the events to be believed.
EVIDENCE = 20
# An event that has not come so long after the file was found does not come any more.
EVENT_PATIENCE_S = 10.0


@dataclass(slots=True)
class Arrivals:
    """Of one folder, since the daemon runs; `last_seen_at` is remembered from before."""

    rules: Folder
    watch: Watch
    clock: Clock
    found_by_scan: int = 0
    last_seen_at: datetime | None = None
    _ways: deque[bool] = field(default_factory=lambda: deque(maxlen=EVIDENCE))
    # Found by a periodic scan while the watch was up, and when: the event may be on its way.
    _ahead: dict[str, float] = field(default_factory=dict)
    # And what events have named lately, which nobody may have looked at yet.
    _named: dict[str, float] = field(default_factory=dict)

    def came(self) -> None:
        """One that says nothing about events: the first scan finds all there is, and whoever takes another's place was noticed
        long before it was known for a new one.
        """
        self.last_seen_at = self.clock.now()

    def came_by(self, place: str, *, scan: bool, periodic: bool) -> None:
        self.last_seen_at = self.clock.now()
        scan = scan and place not in self._named
        if scan and periodic and self.watch.health().state is WatchState.WATCHING:
            # In a burst a scan is often quicker than the event, which proves nothing.
            self._ahead[place] = self.clock.monotonic()
            return
        self.found_by_scan += scan
        if not scan:
            self._weigh(by_scan=False)

    def told(self, place: str | None) -> None:
        """An event named this place; None: events were lost, or a scan was asked for as one is after that, which is what events
        are for, and says nothing against them.
        """
        if place is None:
            self.found_by_scan += len(self._ahead)
            self._ahead.clear()
            return
        self._named.pop(place, None)
        self._named[place] = self.clock.monotonic()
        if self._ahead.pop(place, None) is not None:
            self._weigh(by_scan=False)

    def settle(self) -> None:
        """Of what a scan found and no event has named since, events did not tell."""
        latest = self.clock.monotonic() - EVENT_PATIENCE_S
        while self._named and next(iter(self._named.values())) <= latest:
            del self._named[next(iter(self._named))]
        while self._ahead and next(iter(self._ahead.values())) <= latest:
            del self._ahead[next(iter(self._ahead))]
            self.found_by_scan += 1
            self._weigh(by_scan=True)

    def _weigh(self, *, by_scan: bool) -> None:
        """`detection = "auto"` goes by evidence: where most recordings are found by scans only, events are given up."""
        if self.rules.detection is not Detection.AUTO or self.watch.health().state is not WatchState.WATCHING:
            self._ways.clear()
            return
        self._ways.append(by_scan)
        if len(self._ways) == EVIDENCE and sum(self._ways) > EVIDENCE / 2:
            self.watch.prefer_polling(f"events missed {sum(self._ways)} of the last {EVIDENCE} recordings")
            self._ways.clear()
