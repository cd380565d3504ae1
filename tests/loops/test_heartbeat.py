"""When the daemon says that it is alive, and that it lets everybody sleep in between."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest

from speechsense_watch.heartbeat import Feeding, Heartbeat
from support.manual_clock import ManualClock

LOOK_EVERY_S = 2.0


def beats(clock: ManualClock, heart: Heartbeat, for_s: float, rescans_every_s: float | None) -> list[float]:
    """When it beat, in seconds from now, if somebody looks every two seconds and a rescan ends every so many."""
    began, at = clock.monotonic(), list[float]()
    rescanned_at: datetime | None = None
    while (gone_s := clock.monotonic() - began) < for_s:
        if rescans_every_s and gone_s and gone_s % rescans_every_s == 0:
            rescanned_at = clock.now()
        if heart.is_due(rescanned_at):
            heart.beaten(Heartbeat.every_s(rescans_every_s or 60.0))
            at.append(gone_s)
        clock.advance(LOOK_EVERY_S)
    return at


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def heart(clock: ManualClock) -> Heartbeat:
    heart = Heartbeat(clock)
    heart.beaten(60.0)
    return heart


@pytest.mark.parametrize("every_s", [60, 600, 3600])
def test_the_heart_beats_with_each_rescan_and_at_no_other_time(clock: ManualClock, every_s: int) -> None:
    """Between two rescans nothing is written."""
    heart = Heartbeat(clock)
    heart.beaten(Heartbeat.every_s(every_s))
    assert beats(clock, heart, 3 * every_s + 10, every_s) == [every_s, 2 * every_s, 3 * every_s]


def test_frequent_rescans_make_it_no_quicker_than_once_a_minute(clock: ManualClock, heart: Heartbeat) -> None:
    at = beats(clock, heart, 600, 2)
    assert all(next_s - this_s >= 50 for this_s, next_s in itertools.pairwise(at))
    assert len(at) >= 9


def test_it_beats_without_rescans_too(clock: ManualClock, heart: Heartbeat) -> None:
    """As when all roots are away: `status` takes a heart for stopped that is two minutes late."""
    at = [0.0, *beats(clock, heart, 1200, None)]
    assert len(at) > 5
    assert max(next_s - this_s for this_s, next_s in itertools.pairwise(at)) < 60 + 120


def test_it_can_be_asked_to_beat_now(clock: ManualClock, heart: Heartbeat) -> None:
    heart.at_once()
    assert heart.is_due(None)


@pytest.mark.parametrize("every_s", [0.5, 2, 3, 10, 30])
def test_the_watchdog_is_never_fed_late_and_hardly_more_often_than_it_wants(clock: ManualClock, every_s: float) -> None:
    """It wants to hear of us within twice that time, and has half of it to spare."""
    look_every_s = min(every_s, LOOK_EVERY_S)
    feeding, fed = Feeding(clock, every_s), list[float]()
    for _ in range(200):
        if feeding.is_due(look_every_s):
            fed.append(clock.monotonic())
        clock.advance(look_every_s)
    pauses_s = [later - sooner for sooner, later in itertools.pairwise(fed)]
    assert max(pauses_s) <= every_s
    assert min(pauses_s) > every_s - look_every_s or every_s == look_every_s


def test_where_there_is_no_watchdog_none_is_fed(clock: ManualClock) -> None:
    feeding = Feeding(clock, None)
    assert not feeding.is_due(LOOK_EVERY_S)
    clock.advance(timedelta(days=1).total_seconds())
    assert not feeding.is_due(LOOK_EVERY_S)
