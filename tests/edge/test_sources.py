"""Sources that let us wait for nothing are left alone for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from speechsense_watch.edge.sources import Rested
from speechsense_watch.ports import SourceTrouble
from support.manual_clock import ManualClock


class Slow:
    """Call records that take their time, and break while `broken`."""

    def __init__(self, clock: ManualClock, takes_s: float) -> None:
        self.clock = clock
        self.takes_s = takes_s
        self.broken = True
        self.asked = 0

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        self.asked += 1
        self.clock.advance(self.takes_s)
        if self.broken:
            raise SourceTrouble("The database does not answer.")
        return [{"src": file_name + unique_id}]


def test_what_failed_slowly_is_told_again_without_asking() -> None:
    """All folders are looked at by one thread: five seconds for each recording of one of them would hold up the others."""
    clock = ManualClock()
    slow = Slow(clock, 5.0)
    records = Rested(slow, clock)
    for _ in range(100):
        with pytest.raises(SourceTrouble, match="does not answer"):
            records.find("a.wav", "1.1")
    assert slow.asked == 1
    slow.broken = False
    clock.advance(99.0)
    with pytest.raises(SourceTrouble):
        records.find("a.wav", "1.1")
    clock.advance(1.1)
    assert records.find("a", "b") == [{"src": "ab"}]
    assert records.find("a", "b") == [{"src": "ab"}]
    assert slow.asked == 3


def test_what_failed_at_once_is_asked_anew_at_once() -> None:
    """A server that is started again is noticed with the next recording."""
    clock = ManualClock()
    slow = Slow(clock, 0.0)
    records = Rested(slow, clock)
    with pytest.raises(SourceTrouble):
        records.find("a", "b")
    slow.broken = False
    assert records.find("a", "b") == [{"src": "ab"}]


def test_the_rest_has_an_end() -> None:
    """However long the question took."""
    clock = ManualClock()
    slow = Slow(clock, 600.0)
    records = Rested(slow, clock)
    with pytest.raises(SourceTrouble):
        records.find("a", "b")
    clock.advance(121.0)
    slow.broken = False
    assert records.find("a", "b") == [{"src": "ab"}]
