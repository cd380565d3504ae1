"""core.lifecycle: which event moves a job from where to where, what it leaves on the row, and that the queue agrees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.edges import EDGES, AttemptBegun, AttemptEnded, Change, Event, IllegalEdge
from speechsense_watch.core.lifecycle import Backoff
from speechsense_watch.core.model import HOLDS_UID, IN_FLIGHT, Job, Problem, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import Code, Halt, Kind, Outcome, Verdict, judge
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ports import Stale, UidTaken
from support.edges import AT, BACKOFF, CALLS, LATER, Taken, born, broken_rules, job_in

STOPPED = "refused unusable skipped lost"
# event: "from from > to", written out a second time so that neither can change unnoticed.
TABLE = {
    "still_waiting": ["waiting > waiting"],
    "completed": ["waiting > ready"],
    "found_unusable": ["waiting > unusable"],
    "left_out": ["waiting > skipped"],
    "vanished": ["waiting > skipped", "ready > lost"],
    "read_anew": [f"ready uploading {STOPPED} > waiting"],
    "claimed": ["ready > uploading"],
    "committing": [f"uploading ready waiting {STOPPED} > committing"],
    "accepted": ["committing > uploaded"],
    "adopted": ["ready > uploaded", "waiting > uploaded"],
    "refused": ["uploading committing > refused"],
    "failed": ["ready uploading > ready"],
    "given_back": ["uploading committing > ready"],
    "interrupted": ["ready > ready"],
    "outcome_unknown": ["committing > unconfirmed"],
    "doubted": [f"ready waiting unconfirmed {STOPPED} > unconfirmed"],
    "duplicate": ["ready > skipped"],
    "forgotten": ["ready > skipped"],
    "gave_up": ["ready > refused"],
    "resent": ["unconfirmed > ready"],
    "reinstated": ["refused > ready"],
    "confirmed": ["unconfirmed > uploaded"],
    "shown_absent": ["unconfirmed > ready"],
    "looked_after": ["uploaded > uploaded", "done > done"],
    "filing": ["uploaded > uploaded"],
    "filing_failed": ["uploaded > uploaded"],
    "filed": ["uploaded > done"],
    "changed_after_upload": ["done > done"],
    "seen_same": ["done > done"],
    "seen_gone": ["done > done"],
    "retried": ["ready > ready", "refused unusable skipped > waiting", "done > done"],
    "skipped": ["waiting ready unconfirmed refused unusable lost > skipped", "uploaded done > done"],
}


def _targets() -> dict[tuple[Event, State], State]:
    found: dict[tuple[Event, State], State] = {}
    for event, lines in TABLE.items():
        for line in lines:
            sources, target = line.split(" > ")
            found |= {(Event(event), State(source)): State(target) for source in sources.split()}
    return found


TARGETS = _targets()


# --- the table -------------------------------------------------------------------------------


def test_the_table_names_every_event() -> None:
    """A new event needs a line here and a call that takes it."""
    assert set(CALLS) == set(EDGES) == {Event(name) for name in TABLE} == set(Event) - {Event.FOUND}


@pytest.mark.parametrize(("event", "state"), list(product(CALLS, State)), ids=lambda value: value.value)
def test_each_event_moves_a_job_only_from_where_it_may(event: Event, state: State) -> None:
    """To the one state the table names, keeping every rule of that state; from elsewhere the edge cannot be built."""
    by_operator = event in (Event.RETRIED, Event.SKIPPED)
    job = job_in(state, changed=state is State.DONE and by_operator)
    target = TARGETS.get((event, state))
    assert edges.allowed(job, event) == (target is not None)
    if target is None:
        with pytest.raises(IllegalEdge, match=f"A job that is {state} cannot be") as caught:
            CALLS[event](job, Taken())
        assert caught.value.job is job
    else:
        change = CALLS[event](job, Taken())
        assert (change.before, change.event, change.after.state) == (job, event, target)
        assert broken_rules(change.after) == []
        assert (change.after.id, change.after.created_at) == (job.id, job.created_at)
        assert change.after.claims >= job.claims


@pytest.mark.parametrize("state", State)
def test_the_sample_jobs_keep_the_rules(state: State) -> None:
    """The other tests begin with them."""
    assert broken_rules(job_in(state)) == []


def test_a_job_is_born_waiting_with_a_reason() -> None:
    """Whatever it becomes, its history begins there."""
    change = lifecycle.found(born(), LATER)
    assert (change.before, change.event) == (None, Event.FOUND)
    assert (change.after.created_at, change.after.updated_at) == (LATER, LATER)
    for wrong in (replace(born(), reason=None), replace(born(), state=State.READY)):
        with pytest.raises(IllegalEdge):
            lifecycle.found(wrong, LATER)


# --- attempts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_in_flight_is_not_claimed_again(state: State, *, whole: bool) -> None:
    """Two attempts at one recording never overlap."""
    with pytest.raises(IllegalEdge):
        lifecycle.claimed(job_in(state), Taken().claim(job_in(state), whole=whole))


def test_only_a_whole_claim_has_an_owner() -> None:
    """The daemon leaves such rows alone, and it settles what is only `uploading` at its start."""
    claim = replace(Taken().claim(job_in(State.READY), whole=False), owner="1:2")
    with pytest.raises(IllegalEdge):
        lifecycle.claimed(job_in(State.READY), claim)


def test_a_claim_freezes_what_is_sent_and_opens_an_attempt() -> None:
    """Uid, fields, halves, counter, request id: all on the row before the first byte."""
    claim = Taken(content="new").claim(job_in(State.READY), whole=False)
    change = lifecycle.claimed(job_in(State.READY), claim)
    after = change.after
    assert (after.uid, after.claims, after.audio, after.fields) == (claim.uid, 3, claim.recording.audio, claim.recording.fields)
    assert (after.reason, after.next_attempt_at) == (None, None)
    assert change.attempt == AttemptBegun(n=3, uid=claim.uid, request_id=claim.request_id, started_at=LATER, committed=False)


@pytest.mark.parametrize(
    ("outcome", "ends"),
    [
        (Outcome(code=Code.OK, talk_id="t", committed=True), {State.COMMITTING: State.UPLOADED}),
        (Outcome(code=Code.INVALID_ARGUMENT), {State.UPLOADING: State.REFUSED, State.COMMITTING: State.REFUSED}),
        (Outcome(code=Code.INTERNAL), {State.READY: State.READY, State.UPLOADING: State.READY}),
        (Outcome(code=Code.INTERNAL, committed=True), {State.COMMITTING: State.UNCONFIRMED}),
        (Outcome(code=Code.UNAUTHENTICATED), {State.UPLOADING: State.READY, State.COMMITTING: State.READY}),
        (Outcome(code=Code.NOT_FOUND), {State.UPLOADING: State.READY, State.COMMITTING: State.READY}),
        (
            Outcome(code=Code.CANCELLED, halt=Halt.SHUTDOWN),
            {State.UPLOADING: State.READY, State.COMMITTING: State.READY},
        ),
        (Outcome(code=Code.CANCELLED, halt=Halt.CHANGED), {State.UPLOADING: State.WAITING}),
    ],
    ids=lambda value: value.code.value if isinstance(value, Outcome) else "",
)
@pytest.mark.parametrize("state", list(State))
def test_an_attempt_ends_where_its_outcome_leads(outcome: Outcome, ends: dict[State, State], state: State) -> None:
    """The log of attempts tells what the service said, where there was an attempt: a file that cannot be read fails before."""
    job = job_in(state)
    if state not in ends:
        with pytest.raises(IllegalEdge):
            Taken().finish(job, outcome)
        return
    change = Taken().finish(job, outcome)
    assert change.after.state is ends[state]
    ended = change.attempt
    if state is State.READY:
        assert ended is None
        return
    assert isinstance(ended, AttemptEnded)
    assert (ended.n, ended.code, ended.verdict) == (job.claims, outcome.halt or outcome.code, judge(outcome).kind)


CHARGED = {Kind.REFUSED, Kind.TRANSIENT, Kind.UNKNOWN}


@pytest.mark.parametrize("kind", Kind)
def test_only_its_own_failures_are_charged_to_a_recording(kind: Kind) -> None:
    """What the service, the connection, a shutdown or changed files ended was not the recording's try."""
    state = State.UPLOADING if kind in (Kind.TRANSIENT, Kind.CHANGED) else State.COMMITTING
    job = job_in(state)
    verdict = Verdict(kind, Problem(Reason.UPLOAD_FAILED, "So it is."))
    change = lifecycle.finished(job, Outcome(code=Code.UNKNOWN, talk_id="t"), verdict, BACKOFF, LATER, 0.5)
    if kind is Kind.CHANGED:  # read anew, counted anew
        assert change.after.attempts == 0
    else:
        assert change.after.attempts == job.attempts + (kind in CHARGED)


def test_the_try_of_an_upload_command_is_not_charged_when_nobody_knows() -> None:
    """It was the operator's, and the daemon never made it."""
    job = replace(job_in(State.COMMITTING), owner="1:2")
    change = CALLS[Event.OUTCOME_UNKNOWN](job, Taken())
    assert (change.after.attempts, change.after.owner) == (job.attempts, "1:2")


@pytest.mark.parametrize(("attempts", "bound_s"), [(0, 5.0), (1, 10.0), (4, 80.0), (8, 900.0), (10**6, 900.0)])
@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_the_wait_after_a_failure_is_any_part_of_a_doubling_bound(attempts: int, bound_s: float, jitter: float) -> None:
    """Full jitter; the time waited is held against `give_up_after`."""
    job = replace(job_in(State.UPLOADING), attempts=attempts, failing_s=100.0)
    after = CALLS[Event.FAILED](job, Taken(jitter=jitter)).after
    assert after.next_attempt_at == LATER + timedelta(seconds=bound_s * jitter)
    assert after.failing_s == 100.0 + bound_s * jitter


@pytest.mark.parametrize(("asked_s", "wait_s"), [(None, 2.5), (1.0, 2.5), (60.0, 60.0), (1e9, 900.0), (float("inf"), 900.0)])
def test_what_the_service_asked_for_is_waited_for_as_well(asked_s: float | None, wait_s: float) -> None:
    """Up to the longest pause there is; only our own wait is held against the recording."""
    outcome = Outcome(code=Code.ABORTED, retry_after_s=asked_s)
    for state, kind in ((State.UPLOADING, Kind.TRANSIENT), (State.COMMITTING, Kind.UNKNOWN)):
        job = replace(job_in(state), attempts=0, failing_s=0.0)
        verdict = Verdict(kind, Problem(Reason.UPLOAD_FAILED, "So it is."))
        after = lifecycle.finished(job, outcome, verdict, BACKOFF, LATER, 0.5).after
        assert after.next_attempt_at == LATER + timedelta(seconds=wait_s)
        assert after.failing_s == 2.5


@pytest.mark.parametrize("put_off_s", [-60, 0, 60])
def test_what_is_shown_absent_is_sent_again_when_its_time_has_come(put_off_s: int) -> None:
    """The service may have asked for a longer wait than it took to show it."""
    job = replace(job_in(State.UNCONFIRMED), next_attempt_at=LATER + timedelta(seconds=put_off_s))
    after = lifecycle.shown_absent(job, LATER, "").after
    assert after.next_attempt_at == LATER + timedelta(seconds=max(0, put_off_s))


def test_the_bound_does_not_overflow() -> None:
    """However often it failed."""
    assert Backoff(initial_s=5.0, max_s=1e300, give_up_after_s=1.0).bound_s(10**9) == 5.0 * 2.0**40


@pytest.mark.parametrize("state", State)
def test_a_start_settles_what_was_left_in_flight(state: State) -> None:
    """Uploading: nothing complete had left, so it is ready and not charged. Committing: nobody knows, not charged either."""
    job = job_in(state)
    if state not in IN_FLIGHT:
        with pytest.raises(IllegalEdge):
            lifecycle.recovered(job, LATER)
        return
    change = lifecycle.recovered(job, LATER)
    uploading = state is State.UPLOADING
    assert change.after.state is (State.READY if uploading else State.UNCONFIRMED)
    assert change.after.reason is (Reason.INTERRUPTED if uploading else Reason.OUTCOME_UNKNOWN)
    assert (change.after.attempts, change.after.next_attempt_at) == (job.attempts, LATER)
    assert isinstance(change.attempt, AttemptEnded)
    assert change.attempt.verdict == "crashed"


@pytest.mark.parametrize("state", [State.READY, State.UPLOADING, State.COMMITTING])
@pytest.mark.parametrize(("deaths", "rest_s"), [(0, 0.0), (1, 0.0), (2, 40.0), (3, 80.0), (30, 900.0)])
def test_a_death_is_counted_and_from_the_third_on_the_recording_rests(state: State, deaths: int, rest_s: float) -> None:
    """Whatever was being done with it; nothing is charged to it, and the row says it."""
    job = replace(job_in(state), deaths=deaths)
    after = lifecycle.recovered(job, LATER, died=BACKOFF).after
    assert after.deaths == deaths + 1
    assert (after.attempts, after.failing_s, after.claims) == (job.attempts, job.failing_s, job.claims)
    assert after.next_attempt_at == (LATER + timedelta(seconds=rest_s) if rest_s or state in IN_FLIGHT else AT)
    assert (f"the last {deaths + 1} times" in after.message) == bool(rest_s)
    assert broken_rules(after) == []


def test_the_end_of_a_process_is_no_death() -> None:
    """A shutdown, a command that was stopped: what was counted before stays."""
    for state in IN_FLIGHT:
        assert lifecycle.recovered(replace(job_in(state), deaths=2), LATER).after.deaths == 2


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(code=Code.OK, talk_id="talk-1", committed=True),
        Outcome(code=Code.INVALID_ARGUMENT, committed=True),
        Outcome(code=Code.UNAVAILABLE, committed=True),
        Outcome(code=Code.UNAUTHENTICATED, committed=True),
    ],
)
def test_any_end_of_a_try_that_the_daemon_outlived_clears_the_recording(outcome: Outcome) -> None:
    """Good or bad: it did not kill."""
    job = replace(job_in(State.COMMITTING), deaths=5)
    assert Taken().finish(job, outcome).after.deaths == 0


def test_other_files_are_another_suspicion() -> None:
    """What is read anew, after a change or by the operator's word, begins anew."""
    job = replace(job_in(State.REFUSED), deaths=5)
    assert lifecycle.read_anew(job, Problem(Reason.READ_AGAIN, "Changed."), LATER).after.deaths == 0
    assert lifecycle.retried(job, LATER).after.deaths == 0


def test_sending_again_does_not_clear() -> None:
    """It died in `committing`: the resend is the next try that may kill."""
    job = replace(job_in(State.UNCONFIRMED), deaths=3)
    assert lifecycle.resent(job, LATER).after.deaths == 3


@pytest.mark.parametrize(
    ("outcome", "left"),
    [
        (Outcome(code=Code.INTERNAL, bytes_sent=1), True),
        (Outcome(code=Code.UNAVAILABLE, bytes_sent=1), True),
        (Outcome(code=Code.CANCELLED, halt=Halt.CHANGED, bytes_sent=1), True),
        (Outcome(code=Code.CANCELLED, halt=Halt.SHUTDOWN, bytes_sent=1), True),
        (Outcome(code=Code.OK, talk_id="torn"), True),
        (Outcome(code=Code.INTERNAL), False),
        (Outcome(code=Code.CANCELLED, halt=Halt.CHANGED), False),
    ],
    ids=["failed", "service down", "files changed", "stopped", "answered early", "failed before a byte", "changed before a byte"],
)
def test_a_stream_that_broke_off_may_have_left_a_talk(outcome: Outcome, *, left: bool) -> None:
    """The service may take what it has for whole (grpc/grpc#33038): it is looked for once the recording has its own talk."""
    assert Taken().finish(job_in(State.UPLOADING), outcome).after.leftovers == left
    before = replace(job_in(State.UPLOADING), leftovers=True)
    assert Taken().finish(before, outcome).after.leftovers


# --- what an edge leaves on the row ------------------------------------------------------------


@pytest.mark.parametrize("event", [Event.READ_ANEW, Event.RETRIED])
def test_what_is_read_anew_is_forgotten_but_for_the_claim_counter(event: Event) -> None:
    """A recording id that was given away once is never given again."""
    job = replace(job_in(State.REFUSED), uid="ab" * 32, failing_s=9.0, claims=5, attempts=4)
    after = CALLS[event](job, Taken()).after
    assert (after.uid, after.audio, after.metadata, after.format, dict(after.fields)) == (None, None, None, None, {})
    assert (after.attempts, after.failing_s, after.claims) == (0, 0.0, 5)
    assert after.forced == (event is Event.RETRIED)


def test_vanished_is_an_alarm_only_for_what_was_complete() -> None:
    """Nothing was lost while a half was still missing."""
    reasons = {state: lifecycle.vanished(job_in(state), LATER).after.reason for state in (State.WAITING, State.READY)}
    assert reasons == {State.WAITING: Reason.VANISHED, State.READY: Reason.VANISHED_BEFORE_UPLOAD}


@pytest.mark.parametrize("by_operator", [True, False])
def test_what_is_sent_again_is_marked_and_keeps_its_uid(*, by_operator: bool) -> None:
    """So that a double is never a surprise, and both tries can be told to be of one recording."""
    job = replace(job_in(State.UNCONFIRMED), owner="1:2")
    after = lifecycle.resent(job, LATER, by_operator=by_operator).after
    assert (after.possible_duplicate, after.uid, after.owner, after.next_attempt_at) == (True, job.uid, None, LATER)
    assert ("operator" in after.message) == by_operator


@pytest.mark.parametrize("event", [Event.RESENT, Event.CONFIRMED, Event.SKIPPED])
def test_a_settled_job_belongs_to_nobody(event: Event) -> None:
    """The `upload` command that held it has no say any more."""
    assert CALLS[event](replace(job_in(State.UNCONFIRMED), owner="1:2"), Taken()).after.owner is None


@pytest.mark.parametrize("event", [Event.ACCEPTED, Event.REFUSED, Event.GIVEN_BACK])
def test_an_upload_command_lets_go_of_what_it_sent(event: Event) -> None:
    """From then on the daemon takes it like any other."""
    assert CALLS[event](replace(job_in(State.COMMITTING), owner="1:2"), Taken()).after.owner is None


@pytest.mark.parametrize("event", [Event.SEEN_SAME, Event.SEEN_GONE])
def test_looking_at_a_finished_recording_does_not_make_it_young(event: Event) -> None:
    """Its history goes when its time has come, however often its files are touched."""
    assert CALLS[event](job_in(State.DONE), Taken()).after.updated_at == AT


def test_filing_that_goes_on_failing_keeps_the_time_of_the_first_failure() -> None:
    """`status` tells how long it has been failing."""
    first = CALLS[Event.FILING_FAILED](job_in(State.UPLOADED), Taken()).after
    second = CALLS[Event.FILING_FAILED](first, Taken(at=LATER + timedelta(hours=2))).after
    assert (first.updated_at, second.updated_at) == (LATER, LATER)
    assert second.next_attempt_at == LATER + timedelta(hours=2, minutes=1)


@pytest.mark.parametrize("event", [Event.RETRIED, Event.SKIPPED])
def test_the_operator_has_a_say_about_a_finished_recording_only_when_its_files_changed(event: Event) -> None:
    """Otherwise there is nothing to retry or skip."""
    with pytest.raises(IllegalEdge):
        CALLS[event](job_in(State.DONE), Taken())
    after = CALLS[event](job_in(State.DONE, changed=True), Taken()).after
    assert (after.changed_after_upload, after.reason, after.talk_id) == (False, None, "talk-1")
    # After a retry the place is free for what lies there now.
    assert (after.gone_at is not None) == (event is Event.RETRIED)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_new_recording_in_its_place_answers_for_a_change(*, replaced: bool) -> None:
    """The change that was seen was its beginning; an empty place answers for nothing."""
    changed = CALLS[Event.CHANGED_AFTER_UPLOAD](job_in(State.DONE), Taken()).after
    after = lifecycle.seen_gone(changed, LATER, replaced=replaced).after
    assert (after.changed_after_upload, after.reason is None, after.gone_at) == (not replaced, replaced, LATER)


def test_a_refusal_taken_back_was_no_try() -> None:
    """It was the configuration that was refused."""
    refused = CALLS[Event.REFUSED](job_in(State.COMMITTING), Taken()).after
    assert CALLS[Event.REINSTATED](refused, Taken()).after.attempts == job_in(State.COMMITTING).attempts


# --- against the queue ---------------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """Any edges in any order, on a real queue: it takes all of them, and every rule holds after each."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.path = Path(self.directory.name) / "queue.db"
        self.queue = SqliteQueue(self.path)
        self.at = AT
        self.claims: dict[int, int] = {}
        self.older: list[Job] = []

    def teardown(self) -> None:
        self.queue.close()
        self.directory.cleanup()

    @property
    def jobs(self) -> list[Job]:
        return sorted(self.queue.in_states(tuple(State), 1000), key=lambda job: job.id)

    def _apply(self, change: Change) -> Job:
        stored = self.queue.apply(change)
        assert stored == replace(change.after, id=stored.id)
        assert self.queue.job(stored.id) == stored
        return stored

    @rule(number=st.integers(0, 2))
    def find(self, number: int) -> None:
        """A place has room for a new job only when the last one there is done."""
        job = born(f"{number}.wav")
        taken = any(other.place == job.place and other.state is not State.DONE for other in self.jobs)
        try:
            self._apply(lifecycle.found(job, self.at))
        except Stale:
            assert taken
        else:
            assert not taken

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), content=st.sampled_from("ab"), jitter=st.floats(0, 1, exclude_max=True), owned=st.booleans())
    def move(self, data: st.DataObject, content: str, jitter: float, *, owned: bool) -> None:
        """The same recording at two places has one uid, and only one of the two gets past the claim."""
        self.at += timedelta(seconds=1)
        job = data.draw(st.sampled_from(self.jobs))
        events = [e for e in CALLS if edges.allowed(job, e) and self._has_sense(e, job)]
        event = data.draw(st.sampled_from(events))
        taken = Taken(self.at, content, jitter, "1:2" if owned else None, f"talk-{job.id}-{job.claims}")
        change = CALLS[event](job, taken)
        others = [o for o in self.jobs if o.id != job.id and o.state in HOLDS_UID and o.uid == change.after.uid]
        try:
            self._apply(change)
        except UidTaken as conflict:
            refused_for: int | None = conflict.holder
        else:
            refused_for = None
        expected = others[0].id if others and change.after.state in HOLDS_UID else None
        assert refused_for == expected
        self.older.append(job)

    @staticmethod
    def _has_sense(event: Event, job: Job) -> bool:
        if event is Event.RETRIED and job.reason is Reason.FORGOTTEN:
            return False
        return event not in (Event.RETRIED, Event.SKIPPED) or job.state is not State.DONE or job.changed_after_upload

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """What a start finds in flight is settled, and the file is whole."""
        self.queue.close()
        self.queue = SqliteQueue(self.path)
        for job in self.queue.in_states(IN_FLIGHT):
            self._apply(lifecycle.recovered(job, self.at))
        assert self.queue.in_states(IN_FLIGHT) == []

    @precondition(lambda self: self.older)
    @rule(data=st.data())
    def come_late(self, data: st.DataObject) -> None:
        """What was decided on an older row is not carried out once its state or its claims are others."""
        old = data.draw(st.sampled_from(self.older))
        now = self.queue.job(old.id)
        assert now is not None
        event = next(e for e in CALLS if edges.allowed(old, e) and self._has_sense(e, old))
        if (now.state, now.claims) != (old.state, old.claims):
            with pytest.raises(Stale):
                self.queue.apply(CALLS[event](old, Taken(self.at)))
            assert self.queue.job(old.id) == now

    @invariant()
    def every_rule_of_every_state_holds(self) -> None:
        jobs = self.jobs
        for job in jobs:
            assert broken_rules(job) == [], job.state
            assert job.claims >= self.claims.get(job.id, 0), "a claim counter went back"
            self.claims[job.id] = job.claims
        uids = [job.uid for job in jobs if job.state in HOLDS_UID]
        assert len(uids) == len(set(uids))
        places = [job.place for job in jobs if job.state is not State.DONE]
        assert len(places) == len(set(places))

    @invariant()
    def the_events_explain_the_row(self) -> None:
        """Each begins where the last one ended, along an edge of the table; the last one ends where the job is."""
        for job in self.jobs:
            rows = self.queue.rows("SELECT event, from_state, to_state FROM events WHERE job_id = ? ORDER BY id", (job.id,))
            assert [row["from_state"] for row in rows] == [None, *(row["to_state"] for row in rows[:-1])]
            assert rows[-1]["to_state"] == job.state
            for row in rows[1:]:
                assert EDGES[Event(row["event"])][State(row["from_state"])] == row["to_state"]

    @invariant()
    def the_counters_are_right(self) -> None:
        states = [job.state for job in self.jobs]
        assert self.queue.counts() == {state: states.count(state) for state in State}


Life.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[SqliteQueue]:
    with closing(SqliteQueue(tmp_path / "queue.db")) as queue:
        yield queue


@pytest.mark.parametrize(("event", "state"), TARGETS, ids=lambda value: value.value)
def test_the_queue_takes_every_edge(queue: SqliteQueue, event: Event, state: State) -> None:
    """Each of them singly: nothing the lifecycle yields is refused, and what is read back is what was meant."""
    job = _brought_to(queue, state, changed=event in (Event.RETRIED, Event.SKIPPED))
    change = CALLS[event](job, Taken())
    assert queue.apply(change) == change.after


# The shortest way to each state.
_WAYS = {
    State.WAITING: [],
    State.READY: [Event.COMPLETED],
    State.UPLOADING: [Event.COMPLETED, Event.CLAIMED],
    State.COMMITTING: [Event.COMPLETED, Event.COMMITTING],
    State.UNCONFIRMED: [Event.COMPLETED, Event.COMMITTING, Event.OUTCOME_UNKNOWN],
    State.UPLOADED: [Event.COMPLETED, Event.COMMITTING, Event.ACCEPTED],
    State.DONE: [Event.COMPLETED, Event.COMMITTING, Event.ACCEPTED, Event.FILED],
    State.REFUSED: [Event.COMPLETED, Event.COMMITTING, Event.REFUSED],
    State.UNUSABLE: [Event.FOUND_UNUSABLE],
    State.SKIPPED: [Event.LEFT_OUT],
    State.LOST: [Event.COMPLETED, Event.VANISHED],
}


def _brought_to(queue: SqliteQueue, state: State, *, changed: bool = False) -> Job:
    job = queue.apply(lifecycle.found(born(), AT))
    way = [*_WAYS[state], *([Event.CHANGED_AFTER_UPLOAD] if changed and state is State.DONE else [])]
    for event in way:
        job = queue.apply(CALLS[event](job, Taken()))
    return job
