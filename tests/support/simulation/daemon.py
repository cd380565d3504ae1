"""The simulated daemon. What is decided is decided by `core`; this carries it out, against a world in simulated time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NoReturn, Protocol

from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import Change, IllegalEdge
from speechsense_watch.core.lifecycle import Backoff, Claim
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.rules import OnUnknown
from speechsense_watch.core.traffic import Moment, Traffic
from speechsense_watch.core.verdict import Code, Kind, Outcome, judge
from support.played_queue import recording
from support.simulation.checker import Checker
from support.simulation.fate import Crash, Fate, Way
from support.simulation.policies import Naive, Policy
from support.simulation.rows import SimulatedQueue, Stale
from support.simulation.service import SimulatedService, during

START = datetime(2026, 3, 1, tzinfo=UTC)
CONNECTION = "conn-1"
BACKOFF = Backoff(initial_s=5.0, max_s=900.0, give_up_after_s=1e9)
CONCURRENCY = 4
_RECORDING = recording("call")
# The Python server stored 1 of 12 streams whose client was killed.
TRUNCATED_BY_A_KILL = 1 / 12


def wall(at: float) -> datetime:
    return START + timedelta(seconds=at)


def uid_of(number: int) -> str:
    return f"{number:064x}"


class Died(BaseException):
    """The daemon's process ended here: nothing in it catches this."""


class Surroundings(Protocol):
    """What the daemon asks of the world. `soon` is forgotten by a crash, `at_service` is not. `crash` raises Died."""

    policy: Policy
    queue: SimulatedQueue
    service: SimulatedService
    checker: Checker
    chance: Random
    now: float

    def soon(self, in_s: float, what: Callable[[], None]) -> None: ...
    def at_service(self, in_s: float, what: Callable[[], None]) -> None: ...
    def crash(self) -> NoReturn: ...
    def fate(self, number: int, *, probe: bool) -> Fate: ...
    def settled(self, job: Job) -> None: ...


@dataclass(slots=True)
class Attempt:
    """In memory, lost by a crash. `sending`: a stream of which the last piece is still here."""

    job: Job
    fate: Fate
    sending: bool
    talk_id: str = ""


class Daemon:
    """One process: all of it but the queue is gone with a crash."""

    def __init__(self, world: Surroundings, look: Callable[[], None]) -> None:
        self.world = world
        self.traffic = Traffic(concurrency=CONCURRENCY, retry_max_s=900.0)
        self.in_work: dict[int, Attempt] = {}
        self._look = look
        self._wake_at: float | None = None

    # --- start -------------------------------------------------------------------------------

    def recover(self) -> None:
        world = self.world
        for job_id in list(world.queue.in_flight):
            job = world.queue.rows[job_id]
            if job.state is State.COMMITTING:
                world.checker.unknown(job_id)
            if world.policy.naive or not world.policy.commit_mark:
                world.queue.write(replace(job, state=State.READY, next_attempt_at=wall(world.now)))
            else:
                self.apply(lifecycle.recovered(job, wall(world.now)))
        self.step()
        self._look()

    # --- step --------------------------------------------------------------------------------

    def wake(self, in_s: float = 0.0) -> None:
        at = self.world.now + in_s
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at
            self.world.soon(in_s, self.step)

    def step(self) -> None:
        self._wake_at = None
        world = self.world
        if world.policy.unknown is OnUnknown.RESEND and world.policy.naive is None:
            for job_id in list(world.queue.unconfirmed):
                job = world.queue.rows[job_id]
                if job.next_attempt_at is not None and job.next_attempt_at <= wall(world.now):
                    self.apply(lifecycle.resent(job, wall(world.now)))
                elif job.next_attempt_at is not None:
                    self.wake((job.next_attempt_at - wall(world.now)).total_seconds())
        if self.traffic.pauses:
            self._probe()
        else:
            self._begin_due()

    def _probe(self) -> None:
        world = self.world
        for scope in list(self.traffic.pauses):
            if self.traffic.probe_due(scope, world.now) and (due := self._due(50)):
                job = min(due, key=lambda job: job.updated_at)
                self.traffic.probes[scope] = job.id
                self._begin(job, probe=True)
        if (at := self.traffic.next_probe_at()) is not None and world.queue.ready:
            self.wake(max(at - world.now, 0.5))

    def _begin_due(self) -> None:
        free = CONCURRENCY - len(self.in_work)
        for job in self._due(free):
            self._begin(job, probe=False)

    def _due(self, most: int) -> list[Job]:
        found: list[Job] = []
        now = wall(self.world.now)
        soonest: datetime | None = None
        for job_id in self.world.queue.ready:
            if len(found) >= most:
                break
            job = self.world.queue.rows[job_id]
            if job_id in self.in_work or job.next_attempt_at is None:
                continue
            if job.next_attempt_at <= now:
                found.append(job)
            elif soonest is None or job.next_attempt_at < soonest:
                soonest = job.next_attempt_at
        if soonest is not None:
            self.wake((soonest - now).total_seconds())
        return found

    # --- an attempt --------------------------------------------------------------------------

    def _begin(self, job: Job, *, probe: bool) -> None:
        world, policy = self.world, self.world.policy
        fate = world.fate(job.id, probe=probe)
        if fate.crash is Crash.BEFORE_CLAIM:
            world.crash()
        whole = fate.one_message and policy.commit_mark
        n = job.claims + 1 if policy.counter_only_grows else 1
        claim = Claim(n=n, uid=uid_of(job.id), recording=_RECORDING, request_id="", at=wall(world.now), whole=whole)
        claimed = self.apply(lifecycle.claimed(job, claim))
        if policy.naive is Naive.MARK_SENT_FIRST:
            world.queue.write(replace(claimed, state=State.DONE))
        attempt = Attempt(claimed, fate, sending=not fate.one_message)
        self.in_work[job.id] = attempt
        if fate.crash is Crash.AFTER_CLAIM:
            world.crash()
        world.soon(fate.body_s, lambda: self._last_byte(attempt))

    def _last_byte(self, attempt: Attempt) -> None:
        """All but the last piece of a stream, or the one message, is at the door of the service."""
        world, fate, job = self.world, attempt.fate, attempt.job
        committed = not attempt.sending
        if spell := during(world.service.down, world.now):
            self._end(attempt, Outcome(code=Code(spell.what), committed=committed, bytes_sent=1))
            return
        if fate.way in (Way.BROKEN, Way.TRUNCATED):
            if fate.way is Way.TRUNCATED:
                self.store(attempt, whole=False)
            self._end(attempt, Outcome(code=fate.code, committed=committed, bytes_sent=1))
            return
        if attempt.sending and world.policy.commit_mark and world.policy.naive is not Naive.MARK_SENT_FIRST:
            attempt.job = job = self.apply(lifecycle.committing(job, wall(world.now)))
        attempt.sending = False
        if fate.crash is Crash.AFTER_MARK:
            world.crash()
        if fate.way in (Way.FINE, Way.LOST_ANSWER):
            world.at_service(fate.answer_s / 2, lambda: self.store(attempt, whole=True))
        elif fate.way is Way.ZOMBIE:
            world.at_service(fate.late_s, lambda: self.store(attempt, whole=True))
        if fate.crash is Crash.AFTER_LAST_BYTE:
            world.crash()
        world.soon(fate.answer_s, lambda: self._answered(attempt))

    def store(self, attempt: Attempt, *, whole: bool) -> None:
        """At the service."""
        job, world = attempt.job, self.world
        name = f"{job.uid}-{job.claims}"
        attempt.talk_id = world.service.store(job.id, name, world.now, attempt.fate.lag_s, whole=whole)

    def _answered(self, attempt: Attempt) -> None:
        fate = attempt.fate
        if fate.crash is Crash.BEFORE_RECORDING:
            self.world.crash()
        if fate.way is Way.FINE:
            self._end(attempt, Outcome(code=Code.OK, talk_id=attempt.talk_id, committed=True, bytes_sent=2))
        elif fate.way is Way.REFUSED:
            self._end(attempt, Outcome(code=Code.INVALID_ARGUMENT, message="no date", committed=True, bytes_sent=2))
        else:
            self._end(attempt, Outcome(code=fate.code, committed=True, bytes_sent=2))

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        world, policy = self.world, self.world.policy
        self.in_work.pop(attempt.job.id, None)
        job = world.queue.rows[attempt.job.id]
        verdict = judge(outcome)
        if verdict.kind is Kind.UNKNOWN:
            world.checker.unknown(job.id)
        elif verdict.kind is Kind.ACCEPTED:
            world.checker.accepted(job.id)
        if policy.naive is not None and policy.naive is not Naive.RESEND_AFTER_CRASH:
            self._end_naively(job, outcome, policy.naive)
        else:
            if not policy.commit_mark:
                verdict = judge(replace(outcome, committed=outcome.code is Code.OK))
                if verdict.kind is Kind.ACCEPTED:
                    job = self.apply(lifecycle.committing(job, wall(world.now)))
            self.apply(lifecycle.finished(job, outcome, verdict, BACKOFF, wall(world.now), world.chance.random()))
        moment = Moment(wall(world.now), world.now, world.chance.random())
        for job_id in self.traffic.ended(job.id, CONNECTION, verdict, moment, outcome.retry_after_s):
            refused = world.queue.rows[job_id]
            if refused.state is State.REFUSED:
                self.apply(lifecycle.reinstated(refused, wall(world.now)))
        if attempt.fate.crash is Crash.AFTER_RECORDING:
            world.crash()
        if verdict.kind is Kind.UNKNOWN:
            self._look()
        self.wake()

    def _end_naively(self, job: Job, outcome: Outcome, naive: Naive) -> None:
        if outcome.code is Code.OK:
            ended = replace(job, state=State.UPLOADED, talk_id=outcome.talk_id)
        elif judge(outcome).kind is Kind.REFUSED:
            ended = replace(job, state=State.REFUSED)
        elif naive is Naive.MARK_SENT_FIRST:
            return
        else:
            wait_s = BACKOFF.bound_s(1) * self.world.chance.random()
            ended = replace(job, state=State.READY, next_attempt_at=wall(self.world.now + wait_s))
        self.world.queue.write(ended)

    # --- the queue ---------------------------------------------------------------------------

    def apply(self, change: Change) -> Job:
        policy = self.world.policy
        if not policy.looks_after_leftovers:
            change = replace(change, after=replace(change.after, leftovers=False))
        after = self.world.queue.apply(change)
        if change.before is not None and change.before.state is State.UNCONFIRMED:
            self.world.settled(after)
        return after

    def try_apply(self, edge: Callable[[], Change]) -> bool:
        """False when somebody else has decided meanwhile."""
        try:
            self.apply(edge())
        except (Stale, IllegalEdge):
            return False
        return True
