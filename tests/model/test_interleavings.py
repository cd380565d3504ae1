"""Tries, lost answers, crashes and look-ups in any order: no talk is believed to be there that is not, nor the other way round.

The service may store what it was handed at any moment up to five minutes after the answer was lost, shows a talk up to 50 s
after it was stored, and answers from a copy of its index that is up to 100 s old, or with nothing at all. All that is within the
patience, so every end must be one that the checker allows, and in the end each recording is there exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from speechsense_watch.core import lifecycle
from speechsense_watch.core.beacons import Beacons
from speechsense_watch.core.edges import Change
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.lookup import Absent, Batch, Checked, Found, Inquiry, Orphan, Ruling
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.verdict import Code, Halt, Outcome, judge
from support.edges import BACKOFF, born
from support.played_queue import recording
from support.simulation.checker import Checker
from support.simulation.daemon import uid_of, wall
from support.simulation.policies import FirstNegative, OneLook
from support.simulation.rows import SimulatedQueue
from support.simulation.service import PREFIX, SimulatedService

PATIENCE_S, LATE_AT_MOST_S, LAG_AT_MOST_S, OLD_AT_MOST_S = 600.0, 300.0, 50.0, 100.0
KEY = f"{PREFIX}recording_id"
READ = recording("call")
READY = lifecycle.completed(born(), READ, wall(0.0)).after
LAGS = st.sampled_from((0.0, 1.0, 10.0, LAG_AT_MOST_S))


@dataclass
class Handed:
    """What the service was handed whole. It may store it until `until`, whether anybody waits for the answer or not."""

    job: Job
    until: float
    talk_id: str = ""


class Interleavings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        self.queue, self.service, self.checker = SimulatedQueue(), SimulatedService(), Checker()
        self.handed: dict[int, Handed] = {}
        # Handed over by tries that nobody waits for any more.
        self.adrift: list[Handed] = []
        self.inquiry = self._inquiry()
        self.asked: Batch | None = None
        self.shown: dict[str, list[str]] = {}
        self.orphans: set[str] = set()
        self.claims: dict[int, int] = {}

    def _inquiry(self) -> Inquiry:
        return Inquiry(patience_s=PATIENCE_S, beacons=Beacons(list(self.queue.lags)))

    def _in(self, *states: State) -> list[Job]:
        return [job for job in self.queue.rows.values() if job.state in states]

    def _apply(self, change: Change) -> Job:
        return self.queue.apply(change)

    # --- tries -----------------------------------------------------------------------------------

    @rule()
    def arrive(self) -> None:
        if len(self.queue.rows) < 6:
            self.queue.add(replace(READY, id=len(self.queue.rows) + 1))

    @precondition(lambda self: self._in(State.READY))
    @rule(data=st.data(), one_message=st.booleans())
    def begin(self, data: st.DataObject, *, one_message: bool) -> None:
        job = data.draw(st.sampled_from(self._in(State.READY)))
        n = job.claims + 1
        claim = Claim(n=n, uid=uid_of(job.id), recording=READ, request_id="", at=wall(self.at), whole=one_message)
        claimed = self._apply(lifecycle.claimed(job, claim))
        if one_message:
            self.handed[job.id] = Handed(claimed, float("inf"))

    @precondition(lambda self: self._in(State.UPLOADING))
    @rule(data=st.data(), taken_for_whole=st.booleans(), lag_s=LAGS)
    def break_off(self, data: st.DataObject, *, taken_for_whole: bool, lag_s: float) -> None:
        """The stream ends early; the service may store what it has of it."""
        job = data.draw(st.sampled_from(self._in(State.UPLOADING)))
        if taken_for_whole:
            self.service.store(job.id, f"{job.uid}-{job.claims}", self.at, lag_s, whole=False)
        code = data.draw(st.sampled_from((Code.UNAVAILABLE, Code.INTERNAL, Code.UNAUTHENTICATED)))
        halt = data.draw(st.sampled_from((None, Halt.STALLED, Halt.SHUTDOWN)))
        self._finish(job, Outcome(code=code, halt=halt, bytes_sent=1))

    @precondition(lambda self: self._in(State.UPLOADING))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        job = self._apply(lifecycle.committing(data.draw(st.sampled_from(self._in(State.UPLOADING))), wall(self.at)))
        self.handed[job.id] = Handed(job, float("inf"))

    @precondition(lambda self: self._storable())
    @rule(data=st.data(), lag_s=LAGS)
    def store(self, data: st.DataObject, lag_s: float) -> None:
        """Before the answer, or long after it was lost."""
        handed = data.draw(st.sampled_from(self._storable()))
        job = handed.job
        handed.talk_id = self.service.store(job.id, f"{job.uid}-{job.claims}", self.at, lag_s, whole=True)

    def _storable(self) -> list[Handed]:
        return [each for each in (*self.handed.values(), *self.adrift) if not each.talk_id and each.until >= self.at]

    @precondition(lambda self: self._in(State.COMMITTING))
    @rule(data=st.data(), lost=st.booleans())
    def answer(self, data: st.DataObject, *, lost: bool) -> None:
        """The talk id if it was stored and the answer comes through; else nobody knows."""
        job = data.draw(st.sampled_from(self._in(State.COMMITTING)))
        handed = self.handed.pop(job.id)
        if handed.talk_id and not lost:
            self.checker.accepted(job.id)
            self._finish(job, Outcome(code=Code.OK, talk_id=handed.talk_id, committed=True, bytes_sent=2))
        else:
            self._drift(handed)
            code = data.draw(st.sampled_from((Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED)))
            self._finish(job, Outcome(code=code, committed=True, bytes_sent=2))

    def _drift(self, handed: Handed) -> None:
        self.checker.unknown(handed.job.id)
        self.adrift.append(replace(handed, until=self.at + LATE_AT_MOST_S))

    def _finish(self, job: Job, outcome: Outcome) -> None:
        self._apply(lifecycle.finished(job, outcome, judge(outcome), BACKOFF, wall(self.at), 0.0))

    @rule()
    def crash(self) -> None:
        """What is on disk stays; a question that was under way is never answered."""
        self.inquiry, self.asked = self._inquiry(), None
        for handed in self.handed.values():
            self._drift(handed)
        self.handed.clear()
        for job in self._in(State.UPLOADING, State.COMMITTING):
            self._apply(lifecycle.recovered(job, wall(self.at)))

    # --- time and look-ups -------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((1.0, 20.0, 150.0, 700.0)))
    def pass_time(self, seconds: float) -> None:
        self.at += seconds

    @rule(old_s=st.sampled_from((0.0, 0.0, 5.0, OLD_AT_MOST_S)), blind=st.booleans())
    def ask(self, old_s: float, *, blind: bool) -> None:
        """What is due is asked for; the answer is under way."""
        if self.asked is not None:
            return
        doubts, checks = self.queue.doubts(wall(self.at)), self.queue.checks()
        self.inquiry.take_in(doubts, checks, self.queue.known, self.at)
        self.asked = self.inquiry.batch(self.at)
        if self.asked is not None:
            self.shown = {} if blind else self.service.search(KEY, self.asked.ids, self.at - old_s)

    @precondition(lambda self: self.asked is not None)
    @rule(fails=st.booleans())
    def be_answered(self, *, fails: bool) -> None:
        assert self.asked is not None
        batch, self.asked = self.asked, None
        if fails:
            self.inquiry.failed(batch, self.at, 60.0)
            return
        for ruling in self.inquiry.answered(batch, self.shown, self.at):
            self._carry_out(ruling)
        self.queue.lags = list(self.inquiry.beacons.lags)

    def _carry_out(self, ruling: Ruling) -> None:
        job, now = self.queue.rows[ruling.job_id], wall(self.at)
        match ruling:
            case Found(talk_id=talk_id, doubled=doubled):
                self._apply(lifecycle.confirmed(job, talk_id, now, doubled=doubled))
                self.checker.found(job.id)
            case Absent(claims=claims):
                assert job.claims == claims
                self._apply(lifecycle.shown_absent(job, now, "Three looks."))
                self.checker.shown_absent(job.id)
            case Orphan(talk_id=talk_id):
                self.orphans.add(talk_id)
            case Checked(doubled=doubled):
                self._apply(lifecycle.looked_after(job, now, "Looked after.", doubled=doubled))

    # --- what holds -----------------------------------------------------------------------------

    @invariant()
    def every_end_is_allowed(self) -> None:
        for job in self.queue.rows.values():
            talks = self.service.talks.get(job.id, [])
            assert sum(talk.whole for talk in talks) <= 1, "doubled"
            if job.state not in (State.UPLOADING, State.COMMITTING):
                end = self.checker.end(job, talks, refuses=False)
                assert not end.deceived, "believed what was not so"
                assert not end.wrong_id
                assert job.state not in (State.UPLOADED, State.DONE) or not end.lost
            assert not job.possible_duplicate

    @invariant()
    def a_recording_id_is_never_given_twice(self) -> None:
        for job in self.queue.rows.values():
            assert job.claims >= self.claims.get(job.id, 0)
            assert sorted(self.queue.tries[job.id]) == list(range(1, job.claims + 1))
            self.claims[job.id] = job.claims

    @invariant()
    def no_own_talk_is_told_as_an_orphan(self) -> None:
        whole = {talk.talk_id for talks in self.service.talks.values() for talk in talks if talk.whole}
        assert not self.orphans & whole

    def teardown(self) -> None:
        """When the trouble ends, and traffic goes on, each is there exactly once and what broken tries left is told."""
        self.crash()
        rest_s = 30.0
        for _ in range(80):
            self.queue.add(replace(READY, id=len(self.queue.rows) + 1))
            for job in self._in(State.READY):
                claim = Claim(n=job.claims + 1, uid=uid_of(job.id), recording=READ, request_id="", at=wall(self.at), whole=True)
                claimed = self._apply(lifecycle.claimed(job, claim))
                self.handed[job.id] = Handed(claimed, float("inf"))
                self.handed[job.id].talk_id = self.service.store(job.id, f"{claim.uid}-{claim.n}", self.at, 1.0, whole=True)
                self._answer_well(claimed)
            self.at += rest_s
            rest_s = min(rest_s * 1.5, 7200.0)
            self.ask(0.0, blind=False)
            if self.asked is not None:
                self.be_answered(fails=False)
            if not (self.queue.ready or self.queue.unconfirmed or self.queue.with_leftovers):
                break
        self.every_end_is_allowed()
        assert not self._in(State.UNCONFIRMED), "in doubt for ever"
        for job in self.queue.rows.values():
            talks = self.service.talks[job.id]
            assert [talk.talk_id for talk in talks if talk.whole] == [job.talk_id]
            assert {talk.talk_id for talk in talks if not talk.whole} <= self.orphans

    def _answer_well(self, job: Job) -> None:
        handed = self.handed.pop(job.id)
        self.checker.accepted(job.id)
        self._finish(job, Outcome(code=Code.OK, talk_id=handed.talk_id, committed=True, bytes_sent=2))


Interleavings.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestInterleavings = Interleavings.TestCase


class BelievesOneLook(Interleavings):
    def _inquiry(self) -> Inquiry:
        return OneLook(patience_s=PATIENCE_S)


class BelievesTheFirstNegative(Interleavings):
    def _inquiry(self) -> Inquiry:
        return FirstNegative(patience_s=PATIENCE_S)


class ForgetsLeftovers(Interleavings):
    def _apply(self, change: Change) -> Job:
        return super()._apply(replace(change, after=replace(change.after, leftovers=False)))


@pytest.mark.parametrize("machine", [BelievesOneLook, BelievesTheFirstNegative, ForgetsLeftovers])
def test_a_safeguard_that_is_taken_away_is_missed(machine: type[Interleavings]) -> None:
    """Among a few hundred interleavings there is one that needs it."""
    few_hundred = settings(max_examples=400, stateful_step_count=60, deadline=None, derandomize=True, database=None)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=settings(few_hundred, phases=(Phase.generate,)))
