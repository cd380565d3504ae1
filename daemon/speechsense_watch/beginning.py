"""From when on a folder's recordings are taken, by the time of their files.

`start_from = "now"` is the moment at which the folder was first watched. A clock that says an earlier time than that is, or was,
wrong: what the recorder writes by it bears a time before the beginning and is new all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from speechsense_watch.ports import Clock

# The clock may have been set back so long before anybody looked.
_UNSEEN = timedelta(minutes=5)


@dataclass(slots=True)
class Beginning:
    """`at` is None where recordings of any age are taken. `by_clock`: it was read off a clock, not named by the operator."""

    at: datetime | None
    by_clock: bool
    clock: Clock
    # From when to when the clock said a time before the beginning while we looked; the last pair grows.
    _behind: list[tuple[datetime, datetime]] = field(default_factory=list)

    def look(self) -> None:
        """Called every now and then: notices a clock that is behind."""
        now = self.clock.now()
        if self.at is None or not self.by_clock or now >= self.at:
            return
        if self._behind and self._behind[-1][0] <= now <= self._behind[-1][1] + _UNSEEN:
            self._behind[-1] = (self._behind[-1][0], max(now, self._behind[-1][1]))
        else:
            self._behind.append((now - _UNSEEN, now))

    def leaves_alone(self, mtime_ns: int) -> bool:
        """Whether a file of that time is from before the beginning."""
        if self.at is None or mtime_ns >= self.at.timestamp() * 1e9:
            return False
        self.look()
        mtime_s = mtime_ns / 1e9
        return not any(since.timestamp() <= mtime_s <= until.timestamp() + 1.0 for since, until in self._behind)
