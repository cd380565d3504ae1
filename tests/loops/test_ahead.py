"""Small recordings are read before there is a place for them and sent when there is one; until then nothing is on record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from speechsense_watch.attempt import Ended, Whole
from speechsense_watch.core import lifecycle
from speechsense_watch.core.holding import OperatorPause
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.edge.rows import from_us
from speechsense_watch.holding import pause_as_json, pause_key
from speechsense_watch.log import logger
from speechsense_watch.ports import Hint, OnEnd, Talk
from speechsense_watch.workers import Workers
from support.bench import Bench, bench_on

PLACES = 2
HandBack = Callable[[Ended | Whole], None]


class Line:
    """A bench with `PLACES` places whose small recordings are read when the test says so, and answered when it says so."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.begun: list[tuple[Job, HandBack]] = []
        self.alone: list[tuple[Job, HandBack]] = []
        self.under_way: list[tuple[Talk, OnEnd]] = []
        workers = Workers(bench.attempts, 1, logger())
        bench.uploader._quick = lambda job: not job.place.path.startswith("slow")
        bench.uploader._start = self.start
        bench.uploader._send = workers.send
        bench.service.begin_whole = self.begin_whole  # type: ignore[method-assign, assignment]

    def start(self, job: Job, probe: bool, hand_back: HandBack) -> None:  # noqa: FBT001
        quick = not probe and self.bench.uploader._quick(job)
        (self.begun if quick else self.alone).append((job, hand_back))

    def begin_whole(self, talk: Talk, _audio: bytes, on_end: OnEnd) -> None:
        self.under_way.append((talk, on_end))

    def drop(self, *stems: str) -> None:
        for number, stem in enumerate(stems):
            self.bench.drop(stem, seed=number)
            self.bench.clock.advance(1)
            self.bench.intake.hint(Hint("in", f"{stem}.wav"))
        self.bench.settle()

    def read(self) -> None:
        """What was begun has been read."""
        begun, self.begun = self.begun, []
        for job, hand_back in begun:
            hand_back(self.bench.attempts.prepare(job, probe=False))

    def step(self) -> None:
        self.bench.uploader.step()

    def answer(self, outcome: Outcome | None = None) -> None:
        talk, on_end = self.under_way.pop(0)
        on_end(outcome or Outcome(code=Code.OK, talk_id=f"talk of {talk.uid}", committed=True))

    def states(self) -> Sequence[State]:
        return [job.state for job in self.bench.jobs()]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with bench_on(tmp_path, UploadRules(concurrency=PLACES)) as bench:
        yield Line(bench)


def test_as_many_are_read_ahead_as_there_are_places(line: Line) -> None:
    """No more are on their way than there are places, and of those that are ahead nothing is on record."""
    line.drop(*(f"call{number}" for number in range(6)))
    line.step()
    assert len(line.begun) == 2 * PLACES
    line.read()
    line.step()
    assert len(line.under_way) == PLACES
    assert line.states().count(State.COMMITTING) == PLACES
    assert [job.claims for job in line.bench.jobs() if job.state is State.READY] == [0] * 4
    assert line.bench.uploader.busy == 2 * PLACES


def test_a_place_that_is_free_is_taken_in_the_same_step(line: Line) -> None:
    """Nothing is to be read first."""
    line.drop("a", "b", "c", "d")
    line.step()
    line.read()
    line.step()
    line.answer()
    line.step()
    assert line.states().count(State.DONE) == 1
    assert len(line.under_way) == PLACES


def test_all_of_them_are_sent_once(line: Line) -> None:
    """Whatever the order in which they are read and answered."""
    line.drop(*(f"call{number}" for number in range(9)))
    for _ in range(40):
        line.step()
        line.read()
        if line.under_way:
            line.answer()
    assert line.states() == [State.DONE] * 9
    assert {job.claims for job in line.bench.jobs()} == {1}
    assert line.bench.uploader.busy == 0


def test_a_pause_that_comes_meanwhile_holds_for_them_too(line: Line) -> None:
    """They are as ready as before, and nobody holds them."""
    line.drop("a", "b", "c", "d")
    line.step()
    line.read()
    line.step()
    line.answer(Outcome(code=Code.UNAUTHENTICATED, message="no such key"))
    line.answer(Outcome(code=Code.UNAUTHENTICATED, message="no such key"))
    line.step()
    assert line.bench.paused() == {"service": "key_refused"}
    assert line.under_way == []
    assert line.states() == [State.READY] * 4
    assert line.bench.uploader.busy == 0
    assert [job.claims for job in line.bench.jobs()].count(0) == 2


def test_what_the_operator_pauses_is_not_sent_though_it_was_read(line: Line) -> None:
    """And goes when he says so."""
    line.drop("a", "b", "c")
    line.step()
    line.read()
    line.bench.queue.set_runtime(pause_key("in"), pause_as_json(OperatorPause(line.bench.clock.now(), None)))
    line.step()
    assert (line.under_way, line.bench.uploader.busy) == ([], 0)
    line.bench.queue.set_runtime(pause_key("in"), None)
    line.step()
    line.read()
    line.step()
    assert len(line.under_way) == PLACES


def test_at_the_end_nothing_that_was_read_is_sent(line: Line) -> None:
    """What is on its way is waited for, the rest is left as it is."""
    line.drop("a", "b", "c", "d")
    line.step()
    line.read()
    line.step()
    line.bench.uploader.stopping = True
    line.step()
    assert line.bench.uploader.busy == PLACES
    line.answer()
    line.answer()
    line.step()
    assert line.bench.uploader.busy == 0
    assert sorted(line.states()) == [State.DONE, State.DONE, State.READY, State.READY]


def test_what_was_read_by_former_rules_is_read_anew(line: Line) -> None:
    """A reload may have changed what is sent, or where to."""
    line.drop("a")
    line.step()
    line.read()
    line.bench.configure(connection_id="other")
    line.step()
    assert line.under_way == []
    line.step()
    line.read()
    line.step()
    assert [talk.connection_id for talk, _ in line.under_way] == ["other"]


def test_one_that_waits_for_a_place_is_not_passed_by_what_is_read_ahead(line: Line) -> None:
    """It has the next place, however many small ones there are behind it."""
    line.drop("a", "b")
    line.step()
    line.read()
    line.step()
    line.drop("c", "slow")  # the newest goes first
    line.step()
    assert (line.begun, line.alone) == ([], [])
    line.answer()
    line.step()
    assert [job.place.path for job, _ in line.alone] == ["slow.wav"]
    assert [job.place.path for job, _ in line.begun] == ["c.wav"]


def test_what_was_decided_otherwise_meanwhile_is_not_sent(line: Line) -> None:
    """A command may come between the reading and the claim."""
    line.drop("a", "b")
    line.step()
    line.read()
    job = line.bench.job("a.wav")
    line.bench.queue.apply(lifecycle.skipped(job, line.bench.clock.now()))
    line.step()
    assert len(line.under_way) == 1
    line.step()
    assert line.bench.job("a.wav").state is State.SKIPPED


def test_which_try_it_is_and_when_is_settled_when_its_turn_comes(line: Line) -> None:
    """A copy may have been tried since it was read, and no id is used twice; nor is it taken for sent before it leaves."""
    line.bench.configure(recording_id_field="recording_id")
    line.drop("a")
    audio = (line.bench.folder_path / "a.wav").read_bytes()
    for stem, seconds in (("copy", 1), ("b", 1)):
        line.bench.clock.advance(seconds)
        line.bench.drop(stem, seed=9)
    line.bench.write("copy.wav", audio)
    for stem in ("copy", "b"):
        line.bench.intake.hint(Hint("in", f"{stem}.wav"))
    line.bench.settle()
    line.step()
    line.read()
    line.step()
    assert sorted(line.states()) == sorted([State.READY, State.COMMITTING, State.COMMITTING])
    line.bench.clock.advance(30)
    for _ in range(PLACES):
        line.answer(Outcome(code=Code.INVALID_ARGUMENT, message="not this one"))
    line.step()
    ((talk, _),) = line.under_way
    assert talk.fields["recording_id"].endswith("-2")
    job = line.bench.job("a.wav")
    assert job.claims == 2
    begun = line.bench.queue.rows("SELECT started_at FROM attempts WHERE job_id = ? AND n = 2", (job.id,))
    assert from_us(begun[0]["started_at"]) == line.bench.clock.now()
