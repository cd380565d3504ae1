"""Ages that are deleted by: in time that was lived through, whatever the wall clock said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.lived import PARTS, Lived, lived_of

START = datetime(2026, 3, 1, tzinfo=UTC)
SPAN = timedelta(days=90)
HOUR = 3600.0


def after(hours: int, *, clock_off: timedelta = timedelta(), lived: Lived | None = None, start: datetime = START) -> Lived:
    lived = lived or Lived().on(0.0, start, SPAN)
    for hour in range(1, hours + 1):
        lived = lived.on(HOUR, start + timedelta(hours=hour) + clock_off, SPAN)
    return lived


def test_nothing_is_old_before_the_span_was_lived_through() -> None:
    """Not even what bears a time of years ago."""
    assert after(90 * 24 - 1).old_before(START + timedelta(days=5000), SPAN) is None


def test_after_the_span_what_is_older_is_old() -> None:
    """To a thirtieth of it."""
    now = START + timedelta(days=200)
    before = after(200 * 24).old_before(now, SPAN)
    assert before is not None
    assert timedelta() <= now - SPAN - before <= SPAN / PARTS


@pytest.mark.parametrize("years", [1, 4, -1, -50])
def test_a_jump_makes_nothing_older(years: int) -> None:
    """For as long as the clock stays wrong, and after it was put right: what is younger than the span by right is kept."""
    off = timedelta(days=365 * years)
    lived = after(200 * 24)
    begun = START + timedelta(days=200)
    for hour in range(1, 20 * 24):
        right = begun + timedelta(hours=hour)
        lived = lived.on(HOUR, right + off, SPAN)
        before = lived.old_before(right + off, SPAN)
        assert before is not None
        assert before <= right - SPAN
    lived = lived.on(HOUR, begun + timedelta(days=20), SPAN)
    before = lived.old_before(begun + timedelta(days=20), SPAN)
    assert before is not None
    assert before <= begun + timedelta(days=20) - SPAN


def test_a_clock_that_jumps_a_second_time_makes_nothing_older() -> None:
    """Just when the oldest that is remembered is from the time of the first jump."""
    lived, off = after(200 * 24), 4 * timedelta(days=365)
    for hour in range(200 * 24, 500 * 24):
        right = START + timedelta(hours=hour)
        wrong = hour < 206 * 24 or hour >= 292 * 24
        now = right + off if wrong else right
        lived = lived.on(HOUR, now, SPAN)
        before = lived.old_before(now, SPAN)
        assert before is not None
        # What was written by a right clock within the span stays.
        assert before <= max(right - SPAN, START + timedelta(days=206)) or hour >= (292 + 90) * 24


@given(st.lists(st.tuples(st.floats(0, 30 * 86400.0), st.integers(-400, 400)), max_size=60))
def test_whatever_the_clock_does_nothing_younger_goes(steps: list[tuple[float, int]]) -> None:
    """A row written by a right clock within the span is never older than what is deleted."""
    lived, right = Lived().on(0.0, START, SPAN), START
    for seconds, off_days in steps:
        right += timedelta(seconds=seconds)
        # By whole parts of a long silence the clock is taken to have gone on evenly.
        lived = lived.on(seconds, right + timedelta(days=off_days if seconds < 3 * 86400 / 2 else 0), SPAN)
        before = lived.old_before(right, SPAN)
        assert before is None or before <= right - SPAN + timedelta(seconds=1)


def test_it_outlives_the_process() -> None:
    """As far as it was written down; anything else counts as nothing lived."""
    lived = after(100)
    assert lived_of(lived.as_json()) == lived
    odd: list[object] = [None, [], {}, {"marks": ["yesterday"], "since_s": 1}, {"marks": 1, "since_s": "x"}]
    for strange in odd:
        assert lived_of(strange) == Lived()
