"""minding.Minding: one thread, as long as there is something to look after."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Event, Thread, current_thread
from time import monotonic

import pytest

from speechsense_watch.edge.minding import Minding

WITHIN_S = 30.0
OFTEN_S = 0.01


class Ward:
    """What is looked after; `looked` hears of each look."""

    def __init__(self, every_s: float = OFTEN_S) -> None:
        self.left = False
        self.faulty = False
        self.looked: SimpleQueue[Thread] = SimpleQueue()
        self.minding = Minding("ward", every_s, self.look, lambda: self.left, monotonic)

    def look(self) -> None:
        self.looked.put(current_thread())
        if self.faulty:
            raise ZeroDivisionError

    def begin(self) -> Thread:
        """The thread that looks after it."""
        self.left, self.looked = True, SimpleQueue()
        self.minding.begin()
        return self.looked.get(timeout=WITHIN_S)


def test_one_thread_looks_about_as_long_as_there_is_something(request: pytest.FixtureRequest) -> None:
    ward = Ward()
    request.addfinalizer(lambda: setattr(ward, "left", False))
    first = ward.begin()
    assert {ward.begin() for _ in range(5)} == {first}
    ward.left = False
    first.join(WITHIN_S)
    assert not first.is_alive()
    assert ward.begin() is not first


def test_what_is_handed_in_is_done_at_once_and_in_its_order() -> None:
    """Not with the next look, which is a long time off here."""
    ward, done = Ward(every_s=3600.0), SimpleQueue[int]()
    ward.left = True
    ward.minding.begin()
    for number in range(100):
        ward.minding.hand(lambda number=number: done.put(number))  # type: ignore[misc]
    assert [done.get(timeout=WITHIN_S) for _ in range(100)] == list(range(100))


def test_nobody_who_begins_waits_for_a_look() -> None:
    """It may take as long as a disk takes."""
    ward, gate = Ward(), Event()
    ward.left = True
    looking = Event()

    def look() -> None:
        looking.set()
        assert gate.wait(WITHIN_S)

    ward.minding = Minding("ward", OFTEN_S, look, lambda: ward.left, monotonic)
    ward.minding.begin()
    assert looking.wait(WITHIN_S)
    ward.minding.begin()
    ward.left = False
    gate.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_after_a_fault_whoever_begins_next_has_another_thread(request: pytest.FixtureRequest) -> None:
    ward = Ward()
    request.addfinalizer(lambda: setattr(ward, "left", False))
    ward.faulty = True
    first = ward.begin()
    first.join(WITHIN_S)
    ward.faulty = False
    assert ward.begin() is not first
