"""When the main thread looks about: soon after a write, seldom when there is none, at once when there are news."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from speechsense_watch.heartbeat import Feeding
from speechsense_watch.looks import AT_LEAST_EVERY_S, AT_MOST_EVERY_S, Looks
from speechsense_watch.ports import Touches
from support.manual_clock import ManualClock


@dataclass(slots=True)
class Told:
    """What the kernel and the loops will tell, and when (seconds): `news` to the one who waits, `writes` to whoever hears."""

    clock: ManualClock
    news: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)

    def fileno(self) -> int:
        raise NotImplementedError

    def heard(self) -> bool:
        return _gone_by(self.writes, self.clock.monotonic())

    def wait(self, timeout_s: float | None = None, beside: Touches | None = None) -> bool:
        assert timeout_s is not None
        until = self.clock.monotonic() + timeout_s
        told_at = [*self.news[:1], *(self.writes[:1] if beside else ()), until]
        self.clock.advance(max(0.0, min(told_at) - self.clock.monotonic()))
        return _gone_by(self.news, self.clock.monotonic())


def _gone_by(times: list[float], now: float) -> bool:
    gone = [at for at in times if at <= now]
    del times[: len(gone)]
    return bool(gone)


def looks(told: Told, looks: Looks, for_s: float) -> list[float]:
    """When there was a look, in seconds from now."""
    began, at = told.clock.monotonic(), list[float]()
    while True:
        looks.rest()
        if told.clock.monotonic() - began > for_s:
            return at
        at.append(round(told.clock.monotonic() - began, 3))


@pytest.fixture
def told() -> Told:
    return Told(ManualClock())


def later(told: Told, *seconds: float) -> list[float]:
    return [told.clock.monotonic() + each for each in seconds]


def test_nobody_is_woken_while_nothing_happens(told: Told) -> None:
    assert looks(told, Looks(told.clock, None, told, told), 100.0) == [30.0, 60.0, 90.0]


def test_a_write_is_looked_at_soon_and_once_more(told: Told) -> None:
    """Its frame may not have been readable when it was told of."""
    told.writes = later(told, 10.0)
    assert looks(told, Looks(told.clock, None, told, told), 45.0) == [10.0, 12.0, 42.0]


def test_however_much_is_written_there_are_two_seconds_between_two_looks(told: Told) -> None:
    told.writes = later(told, *(number / 10 for number in range(200)))
    at = looks(told, Looks(told.clock, None, told, told), 20.0)
    assert min(next_s - this_s for this_s, next_s in itertools.pairwise(at)) >= AT_MOST_EVERY_S
    assert len(at) >= 9


def test_news_are_looked_at_when_they_come(told: Told) -> None:
    told.news = later(told, 5.0, 5.5)
    assert looks(told, Looks(told.clock, None, told, told), 30.0) == [5.0, 5.5]


def test_news_end_the_pause_after_a_write(told: Told) -> None:
    told.writes, told.news = later(told, 1.0), later(told, 1.5)
    assert looks(told, Looks(told.clock, None, told, told), 3.0)[0] == 1.5


def test_where_nobody_tells_of_writes_a_look_comes_every_two_seconds(told: Told) -> None:
    assert looks(told, Looks(told.clock, None, told, None), 7.0) == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("every_s", [0.5, 3.0, 15.0, 60.0])
@pytest.mark.parametrize("writes", [True, False])
def test_the_watchdog_is_fed_in_time_and_hardly_more_often_than_it_wants(told: Told, every_s: float, writes: bool) -> None:  # noqa: FBT001
    """Also by a daemon that is busy and looks every two seconds: each feeding wakes systemd as well."""
    told.writes = later(told, *(number / 10 for number in range(6000))) if writes else []
    feeding, looking, fed = Feeding(told.clock, every_s), Looks(told.clock, every_s, told, told), list[float]()
    until = told.clock.monotonic() + 600.0
    while told.clock.monotonic() < until:
        looking.rest()
        if feeding.is_due(looking.next_in_s):
            fed.append(told.clock.monotonic())
    pauses_s = [later - sooner for sooner, later in itertools.pairwise(fed)]
    next_look_s = AT_MOST_EVERY_S if writes else AT_LEAST_EVERY_S
    assert max(pauses_s) <= every_s + 0.001
    assert len(fed) <= 600 / max(every_s - next_look_s, min(every_s, next_look_s)) + 2
