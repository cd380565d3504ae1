"""core.quota: never more than the windows hold, and never longer to wait than a window lasts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.quota import READING, Quota

SMALL = {1.0: 3, 10.0: 12}


def spend(quota: Quota, at: float, cost: int) -> float:
    """Waits as it is told to, then spends. Returns when. A wait may be rounded down to nothing: a microsecond more will do."""
    for _ in range(4):
        wait_s = quota.wait_s(at, cost)
        if wait_s <= 0:
            quota.spend(at, cost)
            return at
        at += max(wait_s, 1e-6)
    pytest.fail("it had to wait again and again")


def test_half_of_what_the_service_allows_is_used() -> None:
    """20 a second, 200 a minute, 2,000 an hour, 20,000 a day; people read there as well."""
    assert {1.0: 10, 60.0: 100, 3600.0: 1_000, 86400.0: 10_000} == READING == Quota().windows


def test_what_fits_need_not_wait() -> None:
    quota = Quota(SMALL)
    assert [spend(quota, 5.0, 1) for _ in range(3)] == [5.0, 5.0, 5.0]


def test_what_does_not_fit_waits_until_enough_has_left_the_window() -> None:
    """Not until all has."""
    quota = Quota(SMALL)
    for at in (5.0, 5.5, 5.75):
        quota.spend(at, 1)
    assert quota.wait_s(5.75, 1) == 0.25
    assert quota.wait_s(5.75, 2) == 0.75
    assert quota.wait_s(5.75, 3) == 1.0


def test_the_longest_wait_of_all_windows_counts() -> None:
    quota = Quota(SMALL)
    for at in (0.0, 1.0, 2.0, 3.0):
        quota.spend(at, 3)
    assert quota.wait_s(5.0, 1) == 5.0


def test_a_cost_above_a_limit_goes_when_the_window_is_empty() -> None:
    """Else it would never go."""
    quota = Quota(SMALL)
    quota.spend(0.0, 1)
    assert quota.wait_s(0.5, 50) == 9.5
    assert quota.wait_s(10.0, 50) == 0.0


def test_what_was_spent_is_forgotten_when_it_has_left_every_window() -> None:
    """A year of reading is kept in no memory."""
    quota = Quota(SMALL)
    for second in range(100_000):
        quota.spend(float(second), 1)
    assert len(quota._spent) <= 10


@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(1, 3)), max_size=60))
def test_no_window_ever_holds_more_than_its_limit(asked: list[tuple[float, int]]) -> None:
    """Whatever is asked for when, as long as nothing is spent before its time."""
    quota = Quota(SMALL)
    at, spent = 0.0, []
    for rest_s, cost in asked:
        at = spend(quota, at + rest_s, cost)
        spent.append((at, cost))
    for window, limit in SMALL.items():
        for begin, _ in spent:
            # A hair less than the window: what leaves it at this very moment is rounded.
            assert sum(cost for when, cost in spent if begin <= when < begin + window - 1e-9) <= limit


@given(st.lists(st.integers(1, 40), min_size=2, max_size=40))
def test_nobody_waits_longer_than_the_longest_window(costs: list[int]) -> None:
    """One after the other, however much each costs."""
    quota = Quota(SMALL)
    at, times = 0.0, []
    for cost in costs:
        at = spend(quota, at, cost)
        times.append(at)
    assert all(later - earlier <= max(SMALL) + 1e-5 for earlier, later in pairwise(times))


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4)), max_size=30), st.floats(0, 15), st.integers(1, 12))
def test_another_process_never_waits_less_than_the_one_before_would(
    asked: list[tuple[float, int]], later_s: float, cost: int
) -> None:
    """Whatever was spent, and whenever it goes on."""
    before, after, at = Quota(SMALL), Quota(SMALL), 100.0
    for rest_s, spent in asked:
        at = spend(before, at + rest_s, spent)
    after.go_on(before.spent(at), at)
    assert after.spent(at) == before.spent(at)
    assert after.wait_s(at + later_s, cost) >= before.wait_s(at + later_s, cost) - 1e-9
