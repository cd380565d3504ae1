"""The life of a job: every edge between its states, one pure function each.

An edge takes the job as it was read and yields a `Change`: the whole row as it will be, the word for the edge, and what
goes into the log of attempts. The queue carries a change out by one compare-and-set on state and claim counter, together
with a row in the append-only events, so that whatever the row says can be explained by its events.

`EDGES` is the table; an edge that is not in it cannot be built. docs/lifecycle.md shows the same table to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from speechsense_watch.core.model import IN_FLIGHT, Half, Job, Place, Problem, Recording, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import Kind, Outcome, Verdict


class Event(StrEnum):
    FOUND = "found"  # a new row
    STILL_WAITING = "still_waiting"
    COMPLETED = "completed"
    FOUND_UNUSABLE = "found_unusable"
    LEFT_OUT = "left_out"
    VANISHED = "vanished"
    READ_ANEW = "read_anew"
    CLAIMED = "claimed"
    COMMITTING = "committing"
    ACCEPTED = "accepted"
    ADOPTED = "adopted"
    REFUSED = "refused"
    FAILED = "failed"
    GIVEN_BACK = "given_back"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DUPLICATE = "duplicate"
    GAVE_UP = "gave_up"
    RESENT = "resent"
    REINSTATED = "reinstated"
    CONFIRMED = "confirmed"
    FILING = "filing"
    FILING_FAILED = "filing_failed"
    FILED = "filed"
    CHANGED_AFTER_UPLOAD = "changed_after_upload"
    SEEN_SAME = "seen_same"
    SEEN_GONE = "seen_gone"
    RETRIED = "retried"
    SKIPPED = "skipped"


_S = State
_STOPPED = (_S.REFUSED, _S.UNUSABLE, _S.SKIPPED, _S.LOST)

# event -> {from: to}
EDGES: Mapping[Event, Mapping[State, State]] = {
    Event.STILL_WAITING: {_S.WAITING: _S.WAITING},
    Event.COMPLETED: {_S.WAITING: _S.READY},
    Event.FOUND_UNUSABLE: {_S.WAITING: _S.UNUSABLE},
    Event.LEFT_OUT: {_S.WAITING: _S.SKIPPED},
    Event.VANISHED: {_S.WAITING: _S.SKIPPED, _S.READY: _S.LOST},
    Event.READ_ANEW: dict.fromkeys((_S.READY, _S.UPLOADING, *_STOPPED), _S.WAITING),
    Event.CLAIMED: {_S.READY: _S.UPLOADING},
    Event.COMMITTING: {
        _S.UPLOADING: _S.COMMITTING,
        # One message carries it all: claimed and at the commit point at once. The `upload` command goes this way from
        # wherever the operator found the recording.
        _S.READY: _S.COMMITTING,
        _S.WAITING: _S.COMMITTING,
        **dict.fromkeys(_STOPPED, _S.COMMITTING),
    },
    Event.ACCEPTED: {_S.COMMITTING: _S.UPLOADED},
    Event.ADOPTED: {_S.READY: _S.UPLOADED},
    Event.REFUSED: {_S.UPLOADING: _S.REFUSED, _S.COMMITTING: _S.REFUSED},
    # From `ready` when the file could not be read before there was a claim.
    Event.FAILED: {_S.UPLOADING: _S.READY, _S.READY: _S.READY},
    Event.GIVEN_BACK: {_S.UPLOADING: _S.READY, _S.COMMITTING: _S.READY},
    Event.OUTCOME_UNKNOWN: {_S.COMMITTING: _S.UNCONFIRMED},
    Event.DUPLICATE: {_S.READY: _S.SKIPPED},
    Event.GAVE_UP: {_S.READY: _S.REFUSED},
    Event.RESENT: {_S.UNCONFIRMED: _S.READY},
    Event.REINSTATED: {_S.REFUSED: _S.READY},
    Event.CONFIRMED: {_S.UNCONFIRMED: _S.UPLOADED},
    Event.FILING: {_S.UPLOADED: _S.UPLOADED},
    Event.FILING_FAILED: {_S.UPLOADED: _S.UPLOADED},
    Event.FILED: {_S.UPLOADED: _S.DONE},
    Event.CHANGED_AFTER_UPLOAD: {_S.DONE: _S.DONE},
    Event.SEEN_SAME: {_S.DONE: _S.DONE},
    Event.SEEN_GONE: {_S.DONE: _S.DONE},
    Event.RETRIED: {_S.READY: _S.READY, **dict.fromkeys((_S.REFUSED, _S.UNUSABLE, _S.SKIPPED), _S.WAITING), _S.DONE: _S.DONE},
    Event.SKIPPED: {
        **dict.fromkeys((_S.WAITING, _S.READY, _S.UNCONFIRMED, _S.REFUSED, _S.UNUSABLE, _S.LOST), _S.SKIPPED),
        _S.UPLOADED: _S.DONE,
        _S.DONE: _S.DONE,
    },
}


class IllegalEdge(Exception):  # noqa: N818 - the name says it
    """The job's state does not allow what was asked: the caller looked at an old row, or the operator asks the impossible."""

    def __init__(self, job: Job, event: Event) -> None:
        super().__init__(f"A job that is {job.state} cannot be {event}.")
        self.job = job
        self.event = event


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptBegun:
    n: int
    request_id: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """`verdict` is a `verdict.Kind`, or "crashed" for a try whose end nobody saw."""

    n: int
    ended_at: datetime
    code: str
    message: str
    verdict: str
    bytes_sent: int
    server_request_id: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One edge, ready to be carried out. `before` is None for a new row."""

    before: Job | None
    after: Job
    event: Event
    at: datetime
    detail: str = ""
    attempt: AttemptBegun | AttemptEnded | None = None


def allowed(job: Job, event: Event) -> bool:
    return job.state in EDGES[event]


def _change(job: Job, event: Event, at: datetime, detail: str = "", **fields: Any) -> Change:
    target = EDGES[event].get(job.state)
    if target is None:
        raise IllegalEdge(job, event)
    after = replace(job, **{"state": target, "updated_at": at, **fields})
    return Change(job, after, event, at, detail)


def _because(problem: Problem | None) -> dict[str, Any]:
    return {"reason": problem.reason, "message": problem.message} if problem else {"reason": None, "message": ""}


_UNFROZEN: dict[str, Any] = {"uid": None, "fields": {}, "next_attempt_at": None, "duplicate_of": None}
_FRESH: dict[str, Any] = {**_UNFROZEN, "attempts": 0, "failing_s": 0.0, "owner": None, "changed_after_upload": False}

# --- intake ----------------------------------------------------------------------------------


def found(job: Job, at: datetime) -> Change:
    """A row for a place that had none, born `waiting`."""
    if job.state is not State.WAITING or job.reason is None:
        raise IllegalEdge(job, Event.FOUND)
    return Change(None, replace(job, created_at=at, updated_at=at), Event.FOUND, at, job.message)


def still_waiting(
    job: Job, problem: Problem, at: datetime, *, place: Place, audio_path: str | None, metadata_path: str | None
) -> Change:
    """Why it waits has changed, or a half has come or gone."""
    halves = {"place": place, "audio_path": audio_path, "metadata_path": metadata_path}
    return _change(job, Event.STILL_WAITING, at, problem.message, **_because(problem), **halves)


def completed(job: Job, recording: Recording, at: datetime) -> Change:
    """Complete, valid and due now."""
    return _change(
        job,
        Event.COMPLETED,
        at,
        audio=recording.audio,
        metadata=recording.metadata,
        format=recording.format,
        fields=recording.fields,
        next_attempt_at=at,
        **_because(None),
    )


def found_unusable(job: Job, problem: Problem, at: datetime, audio: Half | None, metadata: Half | None) -> Change:
    """Not a recording that can be sent; what was seen is kept so that a change of the files is noticed."""
    return _change(job, Event.FOUND_UNUSABLE, at, problem.message, audio=audio, metadata=metadata, **_because(problem))


def left_out(job: Job, problem: Problem, at: datetime, audio: Half | None, metadata: Half | None) -> Change:
    """Deliberately not sent: no audio, too short, by rule."""
    return _change(job, Event.LEFT_OUT, at, problem.message, audio=audio, metadata=metadata, **_because(problem))


def vanished(job: Job, at: datetime) -> Change:
    """The files are gone: nothing lost while it was incomplete, an alarm once it was complete."""
    if job.state is State.WAITING:
        problem = Problem(Reason.VANISHED, "The files vanished before the recording was complete.")
    else:
        problem = Problem(Reason.VANISHED_BEFORE_UPLOAD, "The recording was complete and vanished before it was sent.")
    return _change(job, Event.VANISHED, at, problem.message, next_attempt_at=None, **_because(problem))


def read_anew(job: Job, problem: Problem, at: datetime) -> Change:
    """The files changed or came back: everything that was known of them is forgotten, the claim counter is not."""
    return _change(
        job, Event.READ_ANEW, at, problem.message, audio=None, metadata=None, format=None, **_FRESH, **_because(problem)
    )


def changed_after_upload(job: Job, at: datetime, message: str) -> Change:
    problem = Problem(Reason.CHANGED_AFTER_UPLOAD, message)
    return _change(job, Event.CHANGED_AFTER_UPLOAD, at, message, changed_after_upload=True, **_because(problem))


def seen_same(job: Job, audio: Half, metadata: Half, at: datetime) -> Change:
    """Touched or copied anew, but the same bytes: remembered, so that they need not be read again."""
    return _change(job, Event.SEEN_SAME, at, audio=audio, metadata=metadata, updated_at=job.updated_at)


def seen_gone(job: Job, at: datetime, *, replaced: bool = False) -> Change:
    """The place of a finished recording is empty: what comes there next is another recording; or it is there already and
    has `replaced` this one, which also answers for a change that was seen before it was whole.
    """
    cleared = {"changed_after_upload": False, **_because(None)} if replaced and job.changed_after_upload else {}
    return _change(job, Event.SEEN_GONE, at, gone_at=at, updated_at=job.updated_at, **cleared)


# --- uploading -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Everything an attempt freezes before its first byte. `n` is the claim counter's new value, above every earlier one.
    Only a row that is `committing` can have an `owner`, so a claim with one must be `whole`.
    """

    n: int
    uid: str
    recording: Recording
    request_id: str
    at: datetime
    whole: bool  # one message carries it all: claimed and committing at once
    owner: str | None = None


def claimed(job: Job, claim: Claim) -> Change:
    """The intent, on disk before the first byte. Raises IllegalEdge for a job that is in flight already."""
    event = Event.COMMITTING if claim.whole else Event.CLAIMED
    if job.state in IN_FLIGHT or (claim.owner is not None and not claim.whole):
        raise IllegalEdge(job, event)
    change = _change(
        job,
        event,
        claim.at,
        f"attempt {claim.n}",
        uid=claim.uid,
        claims=claim.n,
        owner=claim.owner,
        audio=claim.recording.audio,
        metadata=claim.recording.metadata,
        format=claim.recording.format,
        fields=claim.recording.fields,
        duplicate_of=None,
        next_attempt_at=None,
        **_because(None),
    )
    return replace(change, attempt=AttemptBegun(n=claim.n, request_id=claim.request_id, started_at=claim.at))


def adopted(job: Job, claim: Claim, talk_id: str) -> Change:
    """The journal knows this recording's talk id though the queue had lost it: nothing is sent."""
    recording = claim.recording
    return _change(
        job,
        Event.ADOPTED,
        claim.at,
        talk_id,
        talk_id=talk_id,
        uid=claim.uid,
        claims=claim.n,
        audio=recording.audio,
        metadata=recording.metadata,
        fields=recording.fields,
        next_attempt_at=claim.at,
        **_because(None),
    )


def committing(job: Job, at: datetime) -> Change:
    """The commit mark, on disk before the last byte."""
    if job.state is not State.UPLOADING:
        raise IllegalEdge(job, Event.COMMITTING)
    return _change(job, Event.COMMITTING, at, f"attempt {job.claims}")


def duplicate(job: Job, of: int, at: datetime) -> Change:
    message = f"The same recording as job {of}."
    return _change(
        job, Event.DUPLICATE, at, message, duplicate_of=of, next_attempt_at=None, **_because(Problem(Reason.DUPLICATE, message))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): anywhere up to a doubling bound."""

    initial_s: float
    max_s: float
    give_up_after_s: float

    def bound_s(self, attempts: int) -> float:
        """The longest wait after that many charged tries; the exponent is capped so that it cannot overflow."""
        return float(min(self.max_s, self.initial_s * 2.0 ** min(attempts, 40)))


def finished(job: Job, outcome: Outcome, verdict: Verdict, backoff: Backoff, at: datetime, jitter: float) -> Change:
    """The change an attempt's end makes. `jitter` is in [0, 1)."""
    change = _finish(job, outcome, verdict, backoff, at, jitter)
    if job.state not in IN_FLIGHT:
        return change
    ended = AttemptEnded(
        n=job.claims,
        ended_at=at,
        code=str(outcome.halt or outcome.code),
        message=outcome.message,
        verdict=verdict.kind,
        bytes_sent=outcome.bytes_sent,
        server_request_id=outcome.server_request_id,
    )
    return replace(change, attempt=ended)


def _finish(job: Job, outcome: Outcome, verdict: Verdict, backoff: Backoff, at: datetime, jitter: float) -> Change:
    because = _because(verdict.problem)
    said = verdict.problem.message if verdict.problem else ""
    wait_s = backoff.bound_s(job.attempts) * jitter
    match verdict.kind:
        case Kind.ACCEPTED:
            return _change(
                job, Event.ACCEPTED, at, outcome.talk_id, talk_id=outcome.talk_id, owner=None, next_attempt_at=at, **because
            )
        case Kind.REFUSED:
            return _change(job, Event.REFUSED, at, said, attempts=job.attempts + 1, owner=None, **because)
        case Kind.TRANSIENT:
            return _change(
                job,
                Event.FAILED,
                at,
                said,
                attempts=job.attempts + 1,
                failing_s=job.failing_s + wait_s,
                next_attempt_at=at + timedelta(seconds=wait_s),
                **because,
            )
        case Kind.UNKNOWN:
            charged = 1 if job.owner is None else 0
            return _change(
                job,
                Event.OUTCOME_UNKNOWN,
                at,
                said,
                attempts=job.attempts + charged,
                failing_s=job.failing_s + wait_s,
                next_attempt_at=at + timedelta(seconds=wait_s),
                **because,
            )
        case Kind.CHANGED:
            if job.state not in IN_FLIGHT:
                raise IllegalEdge(job, Event.READ_ANEW)
            problem = verdict.problem or Problem(Reason.READ_AGAIN, "The files changed.")
            return read_anew(job, problem, at)
        case Kind.SERVICE | Kind.CONNECTION | Kind.GIVEN_BACK:
            return _change(job, Event.GIVEN_BACK, at, said, next_attempt_at=at, owner=None, **because)


def recovered(job: Job, at: datetime) -> Change:
    """What a start makes of a row that an earlier process left in flight: nothing complete went out while it was
    `uploading`; from `committing` on nobody here knows.
    """
    if job.state not in IN_FLIGHT:
        raise IllegalEdge(job, Event.GIVEN_BACK)
    ended = AttemptEnded(n=job.claims, ended_at=at, code="", message="", verdict="crashed", bytes_sent=0)
    message = "The daemon ended during the upload."
    if job.state is State.UPLOADING:
        because = _because(Problem(Reason.INTERRUPTED, message))
        return replace(_change(job, Event.GIVEN_BACK, at, message, next_attempt_at=at, **because), attempt=ended)
    message = "The process that sent it ended before the answer came."
    because = _because(Problem(Reason.OUTCOME_UNKNOWN, message))
    return replace(_change(job, Event.OUTCOME_UNKNOWN, at, message, next_attempt_at=at, **because), attempt=ended)


def gave_up(job: Job, at: datetime) -> Change:
    message = f"It failed for too long; the last time: {job.message}"
    return _change(job, Event.GAVE_UP, at, message, next_attempt_at=None, **_because(Problem(Reason.GAVE_UP, message)))


def resent(job: Job, at: datetime, *, by_operator: bool = False) -> Change:
    """Sent again although the first try may have arrived: marked, so that a double is never a surprise."""
    message = "Sent again on the operator's word." if by_operator else "Sent again: no clear answer came the last time."
    problem = Problem(Reason.RESEND, message)
    return _change(job, Event.RESENT, at, message, possible_duplicate=True, owner=None, next_attempt_at=at, **_because(problem))


def reinstated(job: Job, at: datetime) -> Change:
    """One of several refusals in a row that are taken for a fault of the configuration."""
    return _change(
        job,
        Event.REINSTATED,
        at,
        job.message,
        attempts=max(0, job.attempts - 1),
        next_attempt_at=at,
        reason=Reason.SERVICE_TROUBLE,
    )


def confirmed(job: Job, talk_id: str, at: datetime) -> Change:
    return _change(job, Event.CONFIRMED, at, talk_id, talk_id=talk_id, owner=None, next_attempt_at=at, **_because(None))


# --- filing ----------------------------------------------------------------------------------


def filing(job: Job, target: str, metadata_target: str, at: datetime) -> Change:
    """Where the files will be moved, on disk before they are: a restart then finds them."""
    return _change(job, Event.FILING, at, filed_to=target, metadata_filed_to=metadata_target)


def filing_failed(job: Job, message: str, at: datetime, again_at: datetime) -> Change:
    problem = Problem(Reason.FILING_FAILED, message)
    # A repeated failure keeps the time of the first: `status` tells how long it has been failing.
    since = job.updated_at if job.reason is Reason.FILING_FAILED else at
    return _change(job, Event.FILING_FAILED, at, message, next_attempt_at=again_at, updated_at=since, **_because(problem))


def filed(job: Job, at: datetime, *, note: Problem | None = None) -> Change:
    """Finished. `note` says why the files were left alone, where they were."""
    return _change(job, Event.FILED, at, note.message if note else "", next_attempt_at=None, **_because(note))


# --- the operator ----------------------------------------------------------------------------


def retried(job: Job, at: datetime) -> Change:
    """Read anew and sent, rules of choice lifted; a `ready` job is due now. At a `done` place whose files changed
    the mark is cleared and the next scan makes a new job (the queue hands the place out again).
    """
    if job.state is State.DONE and not job.changed_after_upload:
        raise IllegalEdge(job, Event.RETRIED)
    message = "The operator asked for another try."
    if job.state is State.READY:
        return _change(job, Event.RETRIED, at, message, next_attempt_at=at)
    if job.state is State.DONE:
        return _change(job, Event.RETRIED, at, message, changed_after_upload=False, gone_at=at, **_because(None))
    problem = Problem(Reason.READ_AGAIN, message)
    return _change(
        job,
        Event.RETRIED,
        at,
        message,
        audio=None,
        metadata=None,
        format=None,
        forced=True,
        **_FRESH,
        **_because(problem),
    )


def skipped(job: Job, at: datetime) -> Change:
    """The operator's word that it is not to be sent, or that an alarm was seen."""
    message = "Skipped by the operator."
    problem = Problem(Reason.BY_OPERATOR, message)
    if job.state is State.DONE:
        if not job.changed_after_upload:
            raise IllegalEdge(job, Event.SKIPPED)
        return _change(job, Event.SKIPPED, at, message, changed_after_upload=False, **_because(None))
    return _change(job, Event.SKIPPED, at, message, next_attempt_at=None, owner=None, **_because(problem))
