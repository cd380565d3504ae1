"""When calls are to be expected: "Mon-Fri 09:00-18:00"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PATTERN = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? )?(?P<opens>[0-9]{2}:[0-9]{2})-(?P<closes>[0-9]{2}:[0-9]{2})", re.IGNORECASE
)
# Further back than this nobody asks; and a clock that was wrong by years must not make a long loop.
_FARTHEST = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """Days of the week (0 is Monday) and from when to when, by the clock on the wall; `closes` is later than `opens`."""

    days: frozenset[int]
    opens: time
    closes: time


ALWAYS = WorkingTime(frozenset(range(7)), time(0, 0), time(23, 59, 59, 999_999))


def parse(text: str) -> WorkingTime | None:
    """`Mon-Fri 09:00-18:00`, `Sat 10:00-14:00`, `09:00-21:00` for every day, empty for always; None for anything else."""
    if not text:
        return ALWAYS
    found = _PATTERN.fullmatch(text)
    if found is None:
        return None
    try:
        opens, closes = time.fromisoformat(found["opens"]), time.fromisoformat(found["closes"])
    except ValueError:
        return None
    days = _days(found["first"], found["last"])
    return WorkingTime(days, opens, closes) if days and opens < closes else None


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    if first.lower() not in _DAYS or (last or first).lower() not in _DAYS:
        return frozenset()
    begin, end = _DAYS.index(first.lower()), _DAYS.index((last or first).lower())
    return frozenset((begin + offset) % 7 for offset in range((end - begin) % 7 + 1))


def seconds_within(working: WorkingTime, since: datetime, until: datetime, zone: tzinfo | None) -> float:
    """How much working time lies between the two moments (aware); of more than the last 60 days no more than those count.
    `zone` is that of the clock on the wall, None the machine's own.
    """
    # In UTC: a difference within one zone is that of the clocks on its walls (docs.python.org, datetime, "naive and aware").
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    since = max(since, until - _FARTHEST)
    total_s = 0.0
    day = since.astimezone(zone).date()
    while day <= until.astimezone(zone).date():
        if day.weekday() in working.days:
            opens = datetime.combine(day, working.opens, zone).astimezone(UTC)
            closes = datetime.combine(day, working.closes, zone).astimezone(UTC)
            total_s += max(0.0, (min(until, closes) - max(since, opens)) / timedelta(seconds=1))
        day += timedelta(days=1)
    return total_s
