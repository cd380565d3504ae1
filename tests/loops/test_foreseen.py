"""The next big recording is hashed while those before it are on their way: its turn begins with its first byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest

from speechsense_watch import recording
from speechsense_watch.attempt import Ended, Whole
from speechsense_watch.core.holding import OperatorPause
from speechsense_watch.core.model import Job, Stamp, State, uid_of
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.foreseen import Foreseen
from speechsense_watch.holding import pause_as_json, pause_key
from speechsense_watch.log import logger
from speechsense_watch.ports import Hint, OpenFile
from speechsense_watch.workers import Workers
from support.bench import Bench, bench_on

WITHIN_S = 30.0
BIG_S, SMALL_S = 0.5, 0.05
BIG_ABOVE = 10_000
HandBack = Callable[[Ended | Whole], None]


class Line:
    """A bench with two places, of which one is for big recordings. What begins there ends when the test says so. `hashed` has the
    stamp of each file at each pass over it.
    """

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.begun: list[tuple[Job, HandBack]] = []
        self.hashed: list[Stamp] = []
        monkeypatch.setattr("speechsense_watch.core.taking.BIG_ABOVE_BYTES", BIG_ABOVE)
        monkeypatch.setattr("speechsense_watch.attempt.hash_of", self.hash_of)
        bench.uploader._start = lambda job, _probe, hand_back: self.begun.append((job, hand_back))
        bench.uploader._foresee = self.foresee
        self.see(local=True)

    def see(self, *, local: bool = True, taken: bool = False) -> None:
        trees = self.bench.attempts.trees
        self.bench.attempts.trees = {"in": replace(trees["in"], local=local, taken=lambda: taken)}

    def hash_of(self, audio: OpenFile, stamp: Stamp, stopping: Callable[[], bool]) -> str:
        self.hashed.append(stamp)
        return recording.hash_of(audio, stamp, stopping)

    def foresee(self, job: Job) -> None:
        made: Future[str] = Future()
        made.set_result(self.bench.attempts.hash_ahead(job))
        self.bench.attempts.foreseen.keep(job, made)

    def come(self, *stems: str) -> None:
        """One after the other, so that the last one is the newest."""
        for stem in stems:
            self.bench.drop(stem, seed=sum(stem.encode()), seconds=BIG_S if stem.startswith("big") else SMALL_S)
            self.bench.intake.hint(Hint("in", f"{stem}.wav"))
            self.bench.settle()

    def step(self) -> list[str]:
        """What is under way then."""
        self.bench.uploader.step()
        return [job.place.path.removesuffix(".wav") for job, _ in self.begun]

    def run(self) -> None:
        """The first that has begun is read, sent and answered."""
        job, hand_back = self.begun.pop(0)
        hand_back(self.bench.attempts.run(job, probe=False))

    def passes(self, stem: str) -> int:
        """How often the file was read to hash it, as the queue knows it by now."""
        audio = self.bench.job(f"{stem}.wav").audio
        assert audio is not None
        return self.hashed.count(audio.stamp)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    with bench_on(tmp_path, UploadRules(concurrency=2, stream_above_bytes=1000, chunk_size_bytes=1000)) as bench:
        yield Line(bench, monkeypatch)


def test_the_next_one_is_hashed_while_another_is_on_its_way(line: Line) -> None:
    """Nothing is on record of that, and nobody holds it."""
    line.come("big1", "big2", "big3")
    assert line.step() == ["big3"]
    assert (line.passes("big2"), line.passes("big1")) == (1, 0)
    assert {(job.state, job.claims) for job in line.bench.jobs()} == {(State.READY, 0)}
    assert line.bench.uploader.busy == 1


def test_its_turn_begins_without_another_pass(line: Line) -> None:
    """And the one after it is hashed then; each is sent as what it is."""
    line.come("big1", "big2", "big3")
    for stem, following in (("big3", "big2"), ("big2", "big1"), ("big1", "big1")):
        assert line.step() == [stem]
        assert line.passes(following) == 1
        line.run()
    line.step()
    assert [line.passes(f"big{number}") for number in (1, 2, 3)] == [1, 1, 1]
    assert [job.state for job in line.bench.jobs()] == [State.DONE] * 3
    for talk, audio in line.bench.service.sent:
        (job,) = (job for job in line.bench.jobs() if job.uid == talk.uid)
        assert job.metadata is not None
        assert talk.uid == uid_of("conn", hashlib.sha256(audio).hexdigest(), job.metadata.sha256)
        assert audio == (line.bench.folder_path / job.place.path).read_bytes()


def test_it_is_found_behind_small_ones(line: Line) -> None:
    """These have their own place meanwhile."""
    line.come("big1", "big2")
    line.step()
    line.hashed.clear()
    line.come("small1", "small2")
    assert line.step() == ["big2", "small2"]
    assert line.hashed == []


@pytest.mark.parametrize("stems", [("small1", "small2", "big"), ("big", "small1", "small2"), ("big",)])
def test_only_behind_a_big_one_is_looked_ahead(line: Line, stems: tuple[str, ...]) -> None:
    """What is small is quickly read, and what waits for small ones does not wait for long."""
    line.come(*stems)
    line.step()
    assert line.hashed == []


def test_with_a_place_for_it_a_big_one_is_begun_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is hashed on its own thread then."""
    with bench_on(tmp_path, UploadRules(concurrency=3, stream_above_bytes=1000)) as bench:
        line = Line(bench, monkeypatch)
        line.come("big1", "big2")
        assert line.step() == ["big2", "big1"]
        assert line.hashed == []


def test_one_is_hashed_ahead_and_no_more(line: Line) -> None:
    """However often it is looked."""
    line.come("big1", "big2", "big3")
    for _ in range(3):
        line.step()
    line.come("big4")
    line.step()
    assert len(line.hashed) == 1


def test_what_the_operator_pauses_is_not_read(line: Line) -> None:
    """It is not next."""
    line.come("big1", "big2")
    line.bench.queue.set_runtime(pause_key("in"), pause_as_json(OperatorPause(line.bench.clock.now(), None)))
    line.step()
    assert line.hashed == []


def test_a_file_that_changed_since_is_not_sent_under_its_old_name(line: Line) -> None:
    """That is noticed when its turn comes, as ever; then it is hashed anew."""
    line.come("big1", "big2")
    line.step()
    line.bench.clock.advance(5)
    changed = line.bench.drop("big1", seed=99, seconds=BIG_S)
    line.run()
    assert line.step() == ["big1"]
    line.run()
    line.step()
    assert line.bench.job("big1.wav").state is State.WAITING
    line.bench.settle()
    assert line.step() == ["big1"]
    line.run()
    line.step()
    talk, sent = line.bench.service.sent[-1]
    job = line.bench.job("big1.wav")
    assert job.metadata is not None
    assert sent == changed
    assert talk.uid == uid_of("conn", hashlib.sha256(changed).hexdigest(), job.metadata.sha256)


@pytest.mark.parametrize("why", ["a share", "another daemon's", "gone", "changed", "stopping", "known already", "no such folder"])
def test_where_there_is_no_hash_ahead_its_turn_tells(line: Line, why: str) -> None:
    """A share is not read for it; of what is the matter with a file nothing is told before its turn."""
    line.come("big1")
    job = line.bench.job("big1.wav")
    assert line.bench.attempts.hash_ahead(job) == hashlib.sha256((line.bench.folder_path / "big1.wav").read_bytes()).hexdigest()
    match why:
        case "a share":
            line.see(local=False)
        case "another daemon's":
            line.see(taken=True)
        case "gone":
            (line.bench.folder_path / "big1.wav").unlink()
        case "changed":
            line.bench.clock.advance(5)
            line.bench.drop("big1", seed=99, seconds=BIG_S)
        case "stopping":
            line.bench.attempts.stopping = True
        case "known already":
            assert job.audio is not None
            job = replace(job, audio=replace(job.audio, sha256="0" * 64))
        case _:
            line.bench.attempts.trees = {}
    assert line.bench.attempts.hash_ahead(job) == ""
    assert line.bench.events(job.id) == ["found", "completed"]


# --- on threads ------------------------------------------------------------------------------


def test_one_whose_turn_comes_while_it_is_hashed_waits_for_that(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read twice."""
    line.come("big1")
    go_on, ended = Event(), SimpleQueue[Ended | Whole]()

    def slowly(audio: OpenFile, stamp: Stamp, stopping: Callable[[], bool]) -> str:
        assert go_on.wait(WITHIN_S)
        return line.hash_of(audio, stamp, stopping)

    monkeypatch.setattr("speechsense_watch.attempt.hash_of", slowly)
    workers = Workers(line.bench.attempts, 4, logger())
    workers.foresee(line.bench.job("big1.wav"))
    workers.start(line.bench.job("big1.wav"), False, ended.put)
    go_on.set()
    taken = ended.get(timeout=WITHIN_S)
    workers.shutdown(wait=True)
    assert isinstance(taken, Ended)
    assert taken.outcome is not None
    assert len(line.bench.service.sent) == len(line.hashed) == 1


def test_a_fault_of_ours_is_told_and_holds_up_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn comes all the same."""
    line.come("big1")
    monkeypatch.setattr(line.bench.attempts, "hash_ahead", lambda _job: 1 / 0)
    ended = SimpleQueue[Ended | Whole]()
    workers = Workers(line.bench.attempts, 4, logger())
    workers.foresee(line.bench.job("big1.wav"))
    workers.start(line.bench.job("big1.wav"), False, ended.put)
    ended.get(timeout=WITHIN_S)
    workers.shutdown(wait=True)
    assert len(line.bench.service.sent) == 1
    assert "ZeroDivisionError" in line.bench.log.getvalue()


def test_of_those_whose_turn_never_came_a_few_are_kept(line: Line) -> None:
    """They may have been skipped or taken away; one is given away once."""
    line.come("big1")
    job, foreseen = line.bench.job("big1.wav"), Foreseen()
    for number in range(9):
        made: Future[str] = Future()
        made.set_result(f"hash {number}")
        foreseen.keep(replace(job, id=number), made)
    kept = [foreseen.take(replace(job, id=number)) for number in range(9)]
    assert kept == ["", *(f"hash {number}" for number in range(1, 9))]
    assert foreseen.take(replace(job, id=8)) == ""
