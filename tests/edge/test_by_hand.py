"""edge.by_hand: tries to connect that say what fails, soon at first and seldom in the long run."""

from __future__ import annotations

import random
import threading
from itertools import pairwise

import pytest

from speechsense_watch.core.verdict import PauseReason
from speechsense_watch.edge import by_hand
from speechsense_watch.edge.by_hand import ByHand
from speechsense_watch.edge.reach import Trouble
from support.manual_clock import ManualClock
from support.waiting import wait_for

REFUSED = Trouble("refused")


class Tries:
    """A `ByHand` whose tries end at once as `ends_with` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.ends_with: Trouble | None = REFUSED
        self.asked: list[tuple[str, bool, str]] = []
        self.ended: list[bool] = []
        monkeypatch.setattr(by_hand, "explain", self._explain)
        self.by_hand = ByHand(
            "host:1",
            plaintext=True,
            ca_file="ca",
            clock=self.clock.monotonic,
            chance=random.Random(1).random,
            on_end=self.ended.append,
        )

    def _explain(self, address: str, *, plaintext: bool, ca_file: str) -> Trouble | None:
        self.asked.append((address, plaintext, ca_file))
        return self.ends_with

    def step(self, seconds: float) -> None:
        """Time passes, then it tries, if a try is due; it has ended."""
        self.clock.advance(seconds)
        self.by_hand.try_if_due()
        wait_for(lambda: len(self.ended) == len(self.asked) and not self.by_hand._trying, 10)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Tries:
    return Tries(monkeypatch)


def test_the_trouble_is_told_until_there_is_a_connection(tries: Tries) -> None:
    """What the last try met."""
    tries.step(0)
    assert (tries.by_hand.trouble, tries.asked, tries.ended) == (REFUSED, [("host:1", True, "ca")], [False])
    tries.ends_with = Trouble("certificate", PauseReason.NOT_TRUSTED)
    tries.step(60)
    assert tries.by_hand.trouble == tries.ends_with
    tries.ends_with = None
    tries.step(60)
    assert tries.ended == [False, False, True]
    assert not tries.by_hand.trouble


def test_a_try_that_could_not_be_begun_is_begun_another_time(tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread was to be had at that moment."""
    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            tries.by_hand.try_if_due()
    tries.step(0)
    assert tries.ended == [False]


def no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_tries_are_soon_at_first(tries: Tries) -> None:
    """And again soon after a connection that was there."""
    for _ in range(10):
        tries.step(1)
    assert len(tries.asked) >= 3
    for _ in range(60):
        tries.step(60)
    tries.by_hand.forget()
    tries.step(60)
    before = len(tries.asked)
    tries.step(2.5)
    assert len(tries.asked) == before + 1


def test_a_day_of_outage_costs_two_tries_a_minute(tries: Tries) -> None:
    """With one of gRPC's every 75 s that is fewer than three connects a minute; and none is farther away than 36 s."""
    at: list[float] = []
    while tries.clock.monotonic() < 1000.0 + 3600:  # an hour; the next ones are like it
        before = len(tries.asked)
        tries.step(1)
        if len(tries.asked) > before:
            at.append(tries.clock.monotonic())
    assert len(at) <= 2.2 * 60
    assert max(later - earlier for earlier, later in pairwise(at)) <= 37


def test_getting_through_in_vain_is_tried_half_as_often(tries: Tries) -> None:
    """Each time gRPC connects as well."""
    tries.ends_with = None
    for _ in range(1200):
        tries.step(1)
    first = len(tries.asked)
    for _ in range(1800):
        tries.step(1)
    assert len(tries.asked) - first <= 1.2 * 30
