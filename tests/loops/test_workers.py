"""workers.Workers: small recordings share a thread and a write, each is handed back, none waits for another's trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest

from speechsense_watch.attempt import Ended, Whole
from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import Job, Place, State
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.verdict import Code
from speechsense_watch.log import logger
from speechsense_watch.ports import Arrival, OnEnd, QueueTrouble, Talk
from speechsense_watch.workers import Workers
from support.bench import Bench, bench_on

WITHIN_S = 30.0


class Shop:
    """Workers on a bench whose folder lies on a local disk. `gate` holds up whoever begins to read in the folder "in"."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.ended: SimpleQueue[Ended] = SimpleQueue()
        self.read: SimpleQueue[Whole] = SimpleQueue()
        self.gate, self.reached = Event(), Event()
        self.gate.set()
        self.together: list[int] = []
        bench.attempts.trees = {name: replace(bench.attempts.trees["in"], local=True) for name in ("in", "other")}
        self.workers = Workers(bench.attempts, 4, logger())
        self._prepare, self._apply_each = bench.attempts.prepare, bench.queue.apply_each
        bench.attempts.prepare = self.prepare  # type: ignore[method-assign]
        bench.queue.apply_each = self.apply_each  # type: ignore[method-assign]

    def prepare(self, job: Job, *, probe: bool) -> Ended | Whole:
        if job.place.folder == "in" and not probe:
            self.reached.set()
            assert self.gate.wait(WITHIN_S)
        return self._prepare(job, probe=probe)

    def apply_each(self, arrivals: Sequence[Arrival]) -> Sequence[Job | None]:
        self.together.append(len(arrivals))
        return self._apply_each(arrivals)

    def ready(self, count: int) -> list[Job]:
        for number in range(count):
            self.bench.drop(f"call{number}", seed=number)
        self.bench.settle()
        self.together.clear()
        return sorted(self.bench.queue.in_states([State.READY]), key=lambda job: job.id)

    def start(self, jobs: Sequence[Job], *, probe: bool = False) -> None:
        for job in jobs:
            self.workers.start(job, probe, self.hand_back)

    def start_together(self, jobs: Sequence[Job]) -> None:
        """All of them are there before the first one is read."""
        self.gate.clear()
        self.start(jobs[:1])
        assert self.reached.wait(WITHIN_S)
        self.start(jobs[1:])
        self.gate.set()

    def hand_back(self, read: Ended | Whole) -> None:
        (self.read if isinstance(read, Whole) else self.ended).put(read)  # type: ignore[arg-type]

    def send(self, count: int) -> None:
        """What has been read, all at once."""
        self.workers.send([self.read.get(timeout=WITHIN_S) for _ in range(count)], self.hand_back)

    def take(self, count: int) -> dict[int, Ended]:
        """So many were handed back, each once, and there is no other."""
        taken = [self.ended.get(timeout=WITHIN_S) for _ in range(count)]
        self.workers.shutdown(wait=True)
        assert self.ended.empty()
        assert len({ended.job.id for ended in taken}) == count
        return {ended.job.id: ended for ended in taken}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with bench_on(tmp_path) as bench:
        shop = Shop(bench)
        yield shop
        shop.gate.set()
        shop.workers.shutdown(wait=True)


def accepted(ended: Ended) -> bool:
    return ended.outcome is not None and ended.outcome.code is Code.OK


def test_quick_recordings_are_claimed_by_one_write(shop: Shop) -> None:
    """Each is sent then, and handed back once with the row that was claimed."""
    jobs = shop.ready(5)
    shop.start_together(jobs)
    shop.send(5)
    taken = shop.take(5)
    assert shop.together == [5]
    assert all(accepted(ended) and ended.job.state is State.COMMITTING for ended in taken.values())
    assert len(shop.bench.service.sent) == 5


def test_nothing_leaves_before_all_of_a_write_are_on_record(shop: Shop) -> None:
    """The first one waits for the last."""
    jobs = shop.ready(4)
    seen: list[set[State]] = []

    def meanwhile(_talk: Talk) -> None:
        seen.append({job.state for job in shop.bench.jobs()})

    shop.bench.service.meanwhile = meanwhile
    shop.start_together(jobs)
    shop.send(4)
    shop.take(4)
    assert seen == [{State.COMMITTING}] * 4


def test_one_that_was_decided_otherwise_meanwhile_holds_up_none_of_the_others(shop: Shop) -> None:
    """It is not sent, and its place is looked at again."""
    jobs = shop.ready(3)
    shop.gate.clear()
    shop.start(jobs[:1])
    assert shop.reached.wait(WITHIN_S)
    shop.start(jobs[1:])
    shop.bench.queue.apply(lifecycle.skipped(jobs[1], shop.bench.clock.now()))
    shop.gate.set()
    shop.send(3)
    taken = shop.take(3)
    assert [accepted(taken[job.id]) for job in jobs] == [True, False, True]
    assert taken[jobs[1].id].look_again
    assert len(shop.bench.service.sent) == 2


def test_what_cannot_be_recorded_together_is_recorded_one_by_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trouble may be over by then."""
    jobs = shop.ready(3)

    def full(_arrivals: object) -> None:
        raise QueueTrouble("The queue: database or disk is full.", full=True)

    monkeypatch.setattr(shop.bench.queue, "apply_each", full)
    shop.start_together(jobs)
    shop.send(3)
    assert all(accepted(ended) for ended in shop.take(3).values())


def test_a_fault_of_ours_with_one_is_told_and_is_that_ones_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is handed back as broken off, the others are sent."""
    jobs = shop.ready(3)
    real = shop.bench.attempts.prepare

    def faulty(job: Job, *, probe: bool) -> Ended | Whole:
        found = real(job, probe=probe)
        if job.id == jobs[1].id:
            raise RuntimeError("nobody foresaw this")
        return found

    monkeypatch.setattr(shop.bench.attempts, "prepare", faulty)
    shop.start_together(jobs)
    shop.send(2)
    taken = shop.take(3)
    assert [(accepted(taken[job.id]), taken[job.id].broke_off) for job in jobs] == [(True, False), (False, True), (True, False)]
    told = shop.bench.log.getvalue()
    assert "loop_failed" in told
    assert "nobody foresaw this" in told


def test_a_fault_of_ours_at_the_claim_hands_back_all_of_them(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent of any."""
    jobs = shop.ready(3)

    def faulty(_arrivals: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(shop.bench.queue, "apply_each", faulty)
    shop.start_together(jobs)
    shop.send(3)
    assert all(ended.broke_off for ended in shop.take(3).values())
    assert shop.bench.service.calls == []
    assert "nobody foresaw this" in shop.bench.log.getvalue()


def test_a_fault_of_ours_at_the_call_is_that_ones_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its write are sent."""
    jobs = shop.ready(3)
    real = shop.bench.service.begin_whole

    def faulty(talk: Talk, audio: bytes, on_end: OnEnd) -> None:
        if talk.uid == shop.bench.job(jobs[0].place.path).uid:
            raise RuntimeError("nobody foresaw this")
        real(talk, audio, on_end)

    monkeypatch.setattr(shop.bench.service, "begin_whole", faulty)
    shop.start_together(jobs)
    shop.send(3)
    taken = shop.take(3)
    assert [(accepted(taken[job.id]), taken[job.id].broke_off) for job in jobs] == [(False, True), (True, False), (True, False)]


def test_what_is_not_quick_has_a_thread_of_its_own(shop: Shop) -> None:
    """A probe waits for nobody's file."""
    quick, probe = shop.ready(2)
    shop.gate.clear()
    shop.start([quick])
    assert shop.reached.wait(WITHIN_S)
    shop.start([probe], probe=True)
    assert accepted(shop.ended.get(timeout=WITHIN_S))
    assert [kind for kind, _ in shop.bench.service.calls] == ["probe"]
    shop.gate.set()
    shop.send(1)
    assert set(shop.take(1)) == {quick.id}


def test_what_is_stuck_in_one_folder_does_not_hold_up_another(shop: Shop) -> None:
    """A disk that hangs hangs for its own."""
    stuck, free = shop.ready(2)
    shop.gate.clear()
    shop.start([stuck])
    assert shop.reached.wait(WITHIN_S)
    shop.start([replace(free, place=Place("other", free.place.path))])
    assert shop.read.get(timeout=WITHIN_S).job.id == free.id
    shop.gate.set()
    assert shop.read.get(timeout=WITHIN_S).job.id == stuck.id


def test_whoever_comes_after_the_last_one_is_seen_to_all_the_same(shop: Shop) -> None:
    """The thread that was at the folder has gone; another comes."""
    for job in shop.ready(20):
        shop.start([job])
        shop.send(1)
        ended = shop.ended.get(timeout=WITHIN_S)
        assert ended.job.id == job.id
        assert accepted(ended)


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("a share", lambda bench: bench.attempts.trees.update({"in": replace(bench.attempts.trees["in"], local=False)})),
        ("a limit", lambda bench: setattr(bench.attempts._throttle, "bytes_per_s", 1_000_000)),
        ("too long for one message", lambda bench: setattr(bench.attempts, "rules", UploadRules(stream_above_bytes=100))),
        ("a folder that is no longer watched", lambda bench: bench.attempts.trees.clear()),
    ],
)
def test_what_may_take_long_is_not_quick(shop: Shop, why: str, change: Callable[[Bench], None]) -> None:
    """Nor is a probe, which holds its last piece back."""
    (job,) = shop.ready(1)
    assert shop.bench.attempts.is_quick(job, probe=False)
    assert not shop.bench.attempts.is_quick(job, probe=True)
    change(shop.bench)
    assert not shop.bench.attempts.is_quick(job, probe=False), why
