"""When calls are to be expected."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.working_time import ALWAYS, WorkingTime, parse, seconds_within

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = WorkingTime(frozenset(range(5)), time(9), time(18))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ALWAYS),
        ("Mon-Fri 09:00-18:00", OFFICE),
        ("sat 10:00-14:00", WorkingTime(frozenset({5}), time(10), time(14))),
        ("Sat-Mon 10:00-14:00", WorkingTime(frozenset({5, 6, 0}), time(10), time(14))),
        ("09:00-21:30", WorkingTime(frozenset(range(7)), time(9), time(21, 30))),
        ("Mon-Fri", None),
        ("Mon-Fri 18:00-09:00", None),
        ("Mon-Fry 09:00-18:00", None),
        ("24:00-25:00", None),
        ("always", None),
    ],
)
def test_how_it_is_written(text: str, expected: WorkingTime | None) -> None:
    """Days and hours as people write them."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        (datetime(2026, 3, 9, 8, tzinfo=BERLIN), datetime(2026, 3, 9, 12, tzinfo=BERLIN), 3),
        # From Friday afternoon to Monday morning.
        (datetime(2026, 3, 6, 17, tzinfo=BERLIN), datetime(2026, 3, 9, 10, tzinfo=BERLIN), 2),
        (datetime(2026, 3, 7, 0, tzinfo=BERLIN), datetime(2026, 3, 8, 23, tzinfo=BERLIN), 0),
        (datetime(2026, 3, 9, 10, tzinfo=BERLIN), datetime(2026, 3, 9, 9, tzinfo=BERLIN), 0),
        # The same in UTC: Berlin is an hour ahead in winter.
        (datetime(2026, 3, 9, 7, tzinfo=UTC), datetime(2026, 3, 9, 11, tzinfo=UTC), 3),
    ],
)
def test_only_working_time_counts(since: datetime, until: datetime, hours: float) -> None:
    """Nights and weekends are no alarm."""
    assert seconds_within(OFFICE, since, until, BERLIN) == hours * 3600


def test_the_day_on_which_clocks_are_set_forward_is_an_hour_shorter() -> None:
    """Moments are counted, not what the clock shows."""
    whole = parse("00:00-23:00")
    assert whole is not None
    start = datetime(2026, 3, 29, tzinfo=BERLIN)
    assert seconds_within(whole, start, start + timedelta(days=1), BERLIN) == 22 * 3600


@given(st.integers(0, 2**31), st.floats(0, 90 * 86400))
def test_it_is_never_more_than_has_passed(timestamp: int, passed_s: float) -> None:
    """Nor less than nothing."""
    since = datetime.fromtimestamp(timestamp, UTC)
    until = since + timedelta(seconds=passed_s)
    assert 0 <= seconds_within(OFFICE, since, until, BERLIN) <= passed_s + 0.001
