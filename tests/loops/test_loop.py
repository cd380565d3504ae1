"""The runner of the loops: what counts as progress, and what ends a loop."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest

from speechsense_watch.config import LogFormat, LogLevel
from speechsense_watch.log import configure, logger
from speechsense_watch.loop import AFTER_TROUBLE_S, Loop
from speechsense_watch.ports import QueueTrouble
from support.manual_clock import ManualClock
from support.waiting import wait_for


class Told:
    """A loop whose steps do as told, one after the other; it rests for ever after the last."""

    def __init__(self, *steps: Callable[[], float]) -> None:
        self.steps = list(steps)
        self.fatal: list[str] = []
        self.clock = ManualClock()
        self.log = StringIO()
        configure(LogFormat.JSON, LogLevel.INFO, self.log, isatty=False)
        self.loop = Loop("told", self._step, self.clock, logger(), self.fatal.append, stalled_after_s=30.0)

    def _step(self) -> float:
        return self.steps.pop(0)() if self.steps else 3600.0


def rest(seconds: float) -> Callable[[], float]:
    return lambda: seconds


def fail(error: Exception) -> Callable[[], float]:
    def step() -> float:
        raise error

    return step


def test_a_step_that_ends_is_progress_and_a_rest_is_no_stall() -> None:
    """The rest it asked for, a minute at the most, counts from there."""
    told = Told()
    told.loop._progress(told.loop._guarded())
    told.clock.advance(60 + 30)
    assert not told.loop.stalled
    told.clock.advance(1)
    assert told.loop.stalled


def test_a_step_that_never_ends_is_a_stall() -> None:
    """So is one that never began."""
    told = Told()
    told.clock.advance(31)
    assert told.loop.stalled


def test_a_fault_of_ours_is_told_and_is_no_progress() -> None:
    """If it stays, the watchdog ends the process."""
    told = Told(fail(ZeroDivisionError("seven")), fail(ZeroDivisionError("seven")))
    for _ in range(2):
        told.clock.advance(16)
        assert told.loop._guarded() == AFTER_TROUBLE_S
    assert told.loop.stalled
    assert "ZeroDivisionError" in told.log.getvalue()
    assert told.fatal == []


def test_a_queue_that_cannot_be_used_for_now_is_no_stall() -> None:
    """A full disk is nothing that a restart mends."""
    told = Told(fail(QueueTrouble("disk full")))
    told.clock.advance(31)
    assert told.loop._guarded() == AFTER_TROUBLE_S
    assert not told.loop.stalled


def test_a_fatal_trouble_of_the_queue_ends_the_loop_and_is_passed_on() -> None:
    """What is on disk must be derived anew by a fresh start."""
    told = Told(fail(QueueTrouble("disk I/O error", fatal=True)))
    told.loop.start()
    assert told.loop.join(60)
    assert told.fatal == ["disk I/O error"]


def test_a_wake_ends_the_rest_and_a_stop_the_loop() -> None:
    """From any thread."""
    told = Told(rest(3600), rest(3600), rest(3600))
    told.loop.start()
    for left in (2, 1, 0):
        wait_for(lambda left=left: len(told.steps) == left)  # type: ignore[misc]
        told.loop.wake()
    told.loop.stop()
    assert told.loop.join(60)


@pytest.mark.parametrize("started", [True, False])
def test_a_loop_that_never_began_has_ended(*, started: bool) -> None:
    """A start that fails half-way is taken down as well."""
    told = Told()
    if started:
        told.loop.start()
    told.loop.stop()
    assert told.loop.join(60)
