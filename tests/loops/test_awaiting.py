"""Recordings that a service never answers do not hold the places of those that it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from speechsense_watch.attempt import Ended
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.taking import BIG_ABOVE_BYTES
from speechsense_watch.core.verdict import Code, Outcome, PauseReason
from support.bench import Bench, bench_on

ACCEPTED = Outcome(code=Code.OK, talk_id="late", committed=True)


class Hanging:
    """Attempts whose names begin with "hang" stay where they are, before or after the commit point."""

    def __init__(self, bench: Bench, state: State) -> None:
        self.bench = bench
        self.state = state
        self.hanging: dict[str, tuple[Job, Callable[[Ended], None]]] = {}
        bench.uploader._start = self.start

    def start(self, job: Job, probe: bool, hand_back: Callable[[Ended], None]) -> None:  # noqa: FBT001 - as the uploader calls
        if not job.place.path.startswith("hang"):
            hand_back(self.bench.attempts.run(job, probe=probe))
            return
        self.hanging[job.place.path] = (job, hand_back)

        def record_only(_talk: object) -> None:
            assert self.bench.job(job.place.path).state is State.COMMITTING

        if self.state is State.COMMITTING:
            self.bench.service.meanwhile = record_only
            self.bench.service.script = [Outcome(code=Code.CANCELLED, committed=True)]
            self.bench.attempts.run(job, probe=False)
            self.bench.service.meanwhile = lambda _talk: None

    def answer(self, name: str) -> None:
        job, hand_back = self.hanging.pop(name)
        hand_back(Ended(self.bench.queue.job(job.id) or job, ACCEPTED))


def hanging_four(tmp_path: Path, state: State) -> Iterator[Hanging]:
    with bench_on(tmp_path, UploadRules(concurrency=4)) as bench:
        hanging = Hanging(bench, state)
        for number in range(4):
            bench.drop(f"hang{number}", seed=number)
        bench.settle()
        bench.send()
        assert len(hanging.hanging) == 4
        for number in range(6):
            bench.drop(f"call{number}", seed=10 + number)
        bench.look(61)
        bench.settle()
        bench.send()
        yield hanging


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Hanging]:
    yield from hanging_four(tmp_path, State.COMMITTING)


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Hanging]:
    yield from hanging_four(tmp_path, State.READY)


def uploaded(bench: Bench) -> int:
    return len([job for job in bench.jobs() if job.state is State.DONE])


def test_after_a_minute_without_an_answer_others_are_sent(sent: Hanging) -> None:
    """Two at the latest; the answer is still waited for, and taken when it comes."""
    bench = sent.bench
    assert uploaded(bench) == 0
    for _ in range(3):
        bench.send(61)
    assert uploaded(bench) >= 4
    bench.send()
    assert uploaded(bench) == 6
    assert {bench.job(f"hang{number}.wav").state for number in range(4)} == {State.COMMITTING}
    sent.answer("hang2.wav")
    bench.send()
    assert bench.job("hang2.wav").talk_id == "late"


def test_no_more_than_twice_as_many_are_ever_under_way(sent: Hanging) -> None:
    """The second four hang as well: then it is enough."""
    bench = sent.bench
    for number in range(4, 12):
        bench.drop(f"hang{number}", seed=20 + number)
    bench.look(61)
    bench.settle()
    for _ in range(20):
        bench.send(61)
    assert len(sent.hanging) == 8
    sent.answer("hang0.wav")
    bench.send()
    bench.send()
    assert len(sent.hanging) == 8


def test_what_is_still_being_sent_keeps_its_place(stuck: Hanging) -> None:
    """It takes from the line; and it is ended when nothing of it is taken."""
    for _ in range(20):
        stuck.bench.send(61)
    assert uploaded(stuck.bench) == 0


@pytest.mark.parametrize("scope", ["service", "conn"])
def test_a_probe_that_is_long_on_its_way_holds_up_no_small_recording(tmp_path: Path, scope: str) -> None:
    """A four-hour call at 1 Mbit/s would be an hour of pause for a service that works: what comes meanwhile is tried beside it,
    one at a time, and ends the pause.
    """
    with bench_on(tmp_path, UploadRules(concurrency=4)) as bench:
        Hanging(bench, State.UPLOADING)
        bench.drop("hang")
        bench.settle()
        bench.uploader.traffic.pause(scope, PauseReason.UNAVAILABLE, "down", bench.uploader._moment())
        bench.send(60)
        for number in range(3):
            bench.drop(f"call{number}", seed=1 + number)
        bench.settle()
        bench.send(59 - bench.folder.quiet_period_s)
        assert bench.service.calls == []
        bench.service.script = [Outcome(code=Code.UNAVAILABLE)]
        bench.send(1)
        assert (len(bench.service.calls), scope in bench.paused()) == (1, True)
        bench.send(61)
        bench.send()
        assert bench.paused() == {}
        states = {job.place.path: job.state for job in bench.jobs() if job.place.path != "hang.wav"}
        assert set(states.values()) == {State.DONE}


def test_a_probe_that_waits_for_its_answer_stays_alone(tmp_path: Path) -> None:
    """Where answers get lost each further probe is one more recording of which nobody knows."""
    with bench_on(tmp_path, UploadRules(concurrency=4)) as bench:
        Hanging(bench, State.COMMITTING)
        bench.drop("hang")
        bench.settle()
        bench.uploader.traffic.pause("service", PauseReason.MANY_UNKNOWN, "", bench.uploader._moment())
        bench.send(60)
        bench.drop("call", seed=1)
        bench.settle()
        calls = len(bench.service.calls)
        for _ in range(5):
            bench.send(60)
        assert len(bench.service.calls) == calls
        assert bench.paused() == {"service": "many_unknown"}


def test_beside_a_long_probe_no_other_giant_begins(tmp_path: Path) -> None:
    """They would share the line, and each make the other longer."""
    with bench_on(tmp_path, UploadRules(concurrency=4)) as bench:
        Hanging(bench, State.UPLOADING)
        for number in range(2):
            bench.drop(f"hang{number}", seed=number)
        bench.settle()
        with bench.queue.transaction() as conn:
            conn.execute("UPDATE jobs SET audio_size = ?", (2 * BIG_ABOVE_BYTES,))
        bench.uploader.traffic.pause("service", PauseReason.UNAVAILABLE, "down", bench.uploader._moment())
        for _ in range(5):
            bench.send(60)
        assert bench.uploader.busy == 1
