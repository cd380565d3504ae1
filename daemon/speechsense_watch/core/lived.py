"""How long ago something was, in time that the daemon has lived through.

What is deleted by age is deleted for good, and the wall clock may be wrong by years: after a dead battery, by a slip of the
hand. So an age counts only where the daemon itself was awake for as long, by the clock that never jumps. It writes down what
the wall clock said from time to time; a row is old when its time lies before everything that the clock said in that span.

A clock that was ahead for a while does not count, since the least of these times does; one that was behind makes things younger,
never older. Time in which no daemon runs does not count either: then things are kept for longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# A span is watched in so many parts: an age is right to a thirtieth of it.
PARTS = 30


@dataclass(frozen=True, slots=True)
class Lived:
    """`marks`: the least that the wall clock said in each part that was lived through, the oldest first, at most
    `PARTS` + 1 of them, the last of which is not over; `since_s`: how long that has lasted, in seconds that were lived through.
    """

    marks: tuple[datetime, ...] = ()
    since_s: float = 0.0

    def on(self, seconds: float, now: datetime, span: timedelta) -> Lived:
        """So many seconds later, when the wall clock says `now`."""
        if not self.marks:
            return Lived((now,))
        part_s = span.total_seconds() / PARTS
        whole, rest_s = divmod(self.since_s + seconds, part_s)
        if not whole:
            return Lived((*self.marks[:-1], min(self.marks[-1], now)), rest_s)
        begun = min(int(whole), PARTS + 1)
        fresh = tuple(now - timedelta(seconds=rest_s + part_s * back) for back in reversed(range(begun)))
        return Lived((*self.marks, *fresh)[-PARTS - 1 :], rest_s)

    def old_before(self, now: datetime, span: timedelta) -> datetime | None:
        """What bears an earlier time is older than `span`; None while the daemon has not lived so long."""
        if len(self.marks) <= PARTS:
            return None
        return min(*self.marks, now - span)

    def as_json(self) -> dict[str, object]:
        return {"marks": [mark.isoformat() for mark in self.marks], "since_s": round(self.since_s)}


def lived_of(value: object) -> Lived:
    """As `as_json` wrote it; nothing lived for anything else."""
    if not isinstance(value, Mapping):
        return Lived()
    marks, since_s = value.get("marks"), value.get("since_s")
    if not isinstance(marks, list) or not isinstance(since_s, int | float):
        return Lived()
    try:
        return Lived(tuple(datetime.fromisoformat(str(mark)).astimezone(UTC) for mark in marks), float(since_s))
    except ValueError:
        return Lived()
