"""The life of a job: every edge between its states (`core.edges`), one pure function each.

An edge takes the job as it was read and yields a `Change`: the whole row as it will be, the word for the edge, and what
goes into the log of attempts. The queue carries a change out by one compare-and-set, on state and claim counter above all,
together with a row in the append-only events, so that whatever the row says can be explained by its events.

An edge that `core.edges` does not know cannot be built: IllegalEdge says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from speechsense_watch.core.edges import AttemptBegun, AttemptCommitted, AttemptEnded, Change, Event, IllegalEdge, because, change
from speechsense_watch.core.model import IN_FLIGHT, Half, Job, Place, Problem, Recording, Shape, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.suspicion import MAYBE_SENT, Suspicion
from speechsense_watch.core.taking import SUSPECT_AFTER
from speechsense_watch.core.verdict import Kind, Outcome, Verdict

_UNFROZEN: dict[str, Any] = {"uid": None, "fields": {}, "next_attempt_at": None, "duplicate_of": None}
_FRESH: dict[str, Any] = {**_UNFROZEN, "attempts": 0, "failing_s": 0.0, "deaths": 0, "owner": None, "changed_after_upload": False}

# --- intake ----------------------------------------------------------------------------------


def found(job: Job, at: datetime) -> Change:
    """A row for a place that had none, born `waiting`."""
    if job.state is not State.WAITING or job.reason is None:
        raise IllegalEdge(job, Event.FOUND)
    born = job if job.created_at == job.updated_at == at else replace(job, created_at=at, updated_at=at)
    return Change(None, born, Event.FOUND, at, job.message)


def still_waiting(
    job: Job, problem: Problem, at: datetime, *, place: Place, audio_path: str | None, metadata_path: str | None
) -> Change:
    """Why it waits has changed, or a half has come or gone."""
    halves = {"place": place, "audio_path": audio_path, "metadata_path": metadata_path}
    return change(job, Event.STILL_WAITING, at, problem.message, **because(problem), **halves)


def completed(job: Job, recording: Recording, at: datetime) -> Change:
    """Complete, valid and due now."""
    return change(
        job,
        Event.COMPLETED,
        at,
        _shaped(recording.shape),
        audio=recording.audio,
        metadata=recording.metadata,
        format=recording.format,
        fields=recording.fields,
        next_attempt_at=at,
        **because(None),
    )


def _shaped(shape: Shape) -> str:
    """The event's detail: what is done to the audio on its way."""
    parts = ("its header corrected" * shape.repaired, "left and right exchanged" * shape.swapped)
    said = " and ".join(part for part in parts if part)
    return f"To be sent with {said}." if said else ""


def found_unusable(job: Job, problem: Problem, at: datetime, audio: Half | None, metadata: Half | None) -> Change:
    """Not a recording that can be sent; what was seen is kept so that a change of the files is noticed."""
    return change(job, Event.FOUND_UNUSABLE, at, problem.message, audio=audio, metadata=metadata, **because(problem))


def left_out(job: Job, problem: Problem, at: datetime, audio: Half | None, metadata: Half | None) -> Change:
    """Deliberately not sent: no audio, too short, by rule."""
    return change(job, Event.LEFT_OUT, at, problem.message, audio=audio, metadata=metadata, **because(problem))


def vanished(job: Job, at: datetime, suspicion: Suspicion | None = None) -> Change:
    """The files are gone: nothing lost while it was incomplete, an alarm once it was complete."""
    if job.state is State.WAITING:
        problem = Problem(Reason.VANISHED, "The files vanished before the recording was complete.")
    else:
        message = "The recording was complete and vanished before it was sent."
        if job.possible_duplicate or (suspicion is not None and suspicion.doubts(job, job.audio)):
            message = "The recording has vanished. It may have been sent before that, and put away: nothing on record tells."
        problem = Problem(Reason.VANISHED_BEFORE_UPLOAD, message)
    return change(job, Event.VANISHED, at, problem.message, next_attempt_at=None, **because(problem))


def read_anew(job: Job, problem: Problem, at: datetime) -> Change:
    """The files changed or came back: everything that was known of them is forgotten, the claim counter is not."""
    return change(job, Event.READ_ANEW, at, problem.message, audio=None, metadata=None, format=None, **_FRESH, **because(problem))


def changed_after_upload(job: Job, at: datetime, message: str) -> Change:
    problem = Problem(Reason.CHANGED_AFTER_UPLOAD, message)
    return change(job, Event.CHANGED_AFTER_UPLOAD, at, message, changed_after_upload=True, **because(problem))


def seen_same(job: Job, audio: Half, metadata: Half, at: datetime) -> Change:
    """Touched or copied anew, but the same bytes: remembered, so that they need not be read again."""
    return change(job, Event.SEEN_SAME, at, audio=audio, metadata=metadata, updated_at=job.updated_at)


def seen_gone(job: Job, at: datetime, *, replaced: bool = False) -> Change:
    """The place of a finished recording is empty: what comes there next is another recording; or it is there already and
    has `replaced` this one, which also answers for a change that was seen before it was whole.
    """
    cleared = {"changed_after_upload": False, **because(None)} if replaced and job.changed_after_upload else {}
    return change(job, Event.SEEN_GONE, at, gone_at=at, updated_at=job.updated_at, **cleared)


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
    # The same recording may have been sent before, from another place.
    in_doubt: bool = False
    # The suspicious start before which it may have been sent, 0 for none: then `n` is above every try that may have been made.
    doubted: int = 0


def claimed(job: Job, claim: Claim) -> Change:
    """The intent, on disk before the first byte. Raises IllegalEdge for a job that is in flight already."""
    event = Event.COMMITTING if claim.whole else Event.CLAIMED
    if job.state in IN_FLIGHT or (claim.owner is not None and not claim.whole):
        raise IllegalEdge(job, event)
    made = change(
        job,
        event,
        claim.at,
        f"attempt {claim.n}",
        claims=claim.n,
        owner=claim.owner,
        duplicate_of=None,
        next_attempt_at=None,
        possible_duplicate=job.possible_duplicate or claim.in_doubt or claim.doubted > 0,
        **_frozen(job, claim),
        **because(None),
    )
    begun = AttemptBegun(n=claim.n, uid=claim.uid, request_id=claim.request_id, started_at=claim.at, committed=claim.whole)
    return replace(made, attempt=begun)


def _frozen(job: Job, claim: Claim) -> dict[str, Any]:
    """What a claim settles about the recording."""
    recording = claim.recording
    return {
        "uid": claim.uid,
        "audio": recording.audio,
        "metadata": recording.metadata,
        "format": recording.format,
        "fields": recording.fields,
        "doubted": max(job.doubted, claim.doubted),
    }


def doubted(job: Job, claim: Claim) -> Change:
    """It may have been sent before the queue was lost: nothing is sent until that is decided, by the folder's `on_unknown`.
    Frozen as for a try, the claim counter at the last try that may have been made.
    """
    if not claim.doubted:
        raise IllegalEdge(job, Event.DOUBTED)
    return change(
        job,
        Event.DOUBTED,
        claim.at,
        MAYBE_SENT.message,
        claims=claim.n - 1,
        owner=None,
        duplicate_of=None,
        next_attempt_at=claim.at,
        **_frozen(job, claim),
        **because(MAYBE_SENT),
    )


def doubted_again(job: Job, suspicion: Suspicion, at: datetime) -> Change:
    """Unconfirmed in a queue that was put back: other tries than those on record may have followed. One of an `upload` command's
    stays the operator's.
    """
    if job.state is not State.UNCONFIRMED:
        raise IllegalEdge(job, Event.DOUBTED)
    return change(
        job,
        Event.DOUBTED,
        at,
        MAYBE_SENT.message,
        claims=suspicion.tries(job.claims),
        doubted=suspicion.k,
        next_attempt_at=at,
        **because(MAYBE_SENT),
    )


def adopted(job: Job, claim: Claim, talk_id: str) -> Change:
    """Its talk id is known though we did not send it, or have forgotten that we did: from the journal, or from the operator."""
    return change(
        job,
        Event.ADOPTED,
        claim.at,
        talk_id,
        talk_id=talk_id,
        claims=claim.n,
        next_attempt_at=claim.at,
        **_frozen(job, claim),
        **because(None),
    )


def committing(job: Job, at: datetime) -> Change:
    """The commit mark, on disk before the last byte."""
    if job.state is not State.UPLOADING:
        raise IllegalEdge(job, Event.COMMITTING)
    made = change(job, Event.COMMITTING, at, f"attempt {job.claims}")
    return replace(made, attempt=AttemptCommitted(n=job.claims, committed_at=at))


def duplicate(job: Job, of: int, at: datetime) -> Change:
    message = f"The same recording as job {of}."
    return change(
        job, Event.DUPLICATE, at, message, duplicate_of=of, next_attempt_at=None, **because(Problem(Reason.DUPLICATE, message))
    )


def forgotten(job: Job, at: datetime) -> Change:
    """A call that `forget` removed has come again: nothing of it is kept but where its files lie."""
    message = "This call was forgotten by the operator's word and is not sent."
    problem = Problem(Reason.FORGOTTEN, message)
    return change(job, Event.FORGOTTEN, at, message, uid=None, fields={}, next_attempt_at=None, **because(problem))


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
    made = _finish(job, outcome, verdict, backoff, at, jitter)
    # Whatever it was, we outlived it.
    made = replace(made, after=replace(made.after, deaths=0))
    if job.state not in IN_FLIGHT:
        return made
    ended = AttemptEnded(
        n=job.claims,
        ended_at=at,
        code=str(outcome.halt or outcome.code),
        message=outcome.message,
        verdict=verdict.kind,
        bytes_sent=outcome.bytes_sent,
        server_request_id=outcome.server_request_id,
    )
    return replace(made, attempt=ended)


def _finish(job: Job, outcome: Outcome, verdict: Verdict, backoff: Backoff, at: datetime, jitter: float) -> Change:
    why = because(verdict.problem)
    said = verdict.problem.message if verdict.problem else ""
    wait_s = backoff.bound_s(job.attempts) * jitter
    # What the service asked for is waited for as well, and held against nobody.
    again_at = at + timedelta(seconds=max(wait_s, min(outcome.retry_after_s or 0.0, backoff.max_s)))
    # The service may take a stream that broke off for a whole one (grpc/grpc#33038).
    left = job.leftovers or (not outcome.committed and (outcome.bytes_sent > 0 or outcome.talk_id != ""))
    match verdict.kind:
        case Kind.ACCEPTED:
            return change(
                job, Event.ACCEPTED, at, outcome.talk_id, talk_id=outcome.talk_id, owner=None, next_attempt_at=at, **why
            )
        case Kind.REFUSED:
            return change(job, Event.REFUSED, at, said, attempts=job.attempts + 1, owner=None, **why)
        case Kind.TRANSIENT:
            return change(
                job,
                Event.FAILED,
                at,
                said,
                attempts=job.attempts + 1,
                failing_s=job.failing_s + wait_s,
                next_attempt_at=again_at,
                leftovers=left,
                **why,
            )
        case Kind.UNKNOWN:
            charged = 1 if job.owner is None else 0
            return change(
                job,
                Event.OUTCOME_UNKNOWN,
                at,
                said,
                attempts=job.attempts + charged,
                failing_s=job.failing_s + wait_s,
                next_attempt_at=again_at,
                **why,
            )
        case Kind.CHANGED:
            if job.state not in IN_FLIGHT:
                raise IllegalEdge(job, Event.READ_ANEW)
            problem = verdict.problem or Problem(Reason.READ_AGAIN, "The files changed.")
            made = read_anew(job, problem, at)
            return replace(made, after=replace(made.after, leftovers=left))
        case Kind.SERVICE | Kind.CONNECTION | Kind.GIVEN_BACK:
            return change(job, Event.GIVEN_BACK, at, said, next_attempt_at=at, owner=None, leftovers=left, **why)


def recovered(job: Job, at: datetime, *, died: Backoff | None = None) -> Change:
    """What a start makes of a row that an earlier process left in flight: nothing complete went out while it was
    `uploading`; from `committing` on nobody here knows.

    `died`: the process did not end by itself, but died with this recording in hand. That is counted, and from the third
    death in a row on the recording rests before its next try. A `ready` one may then have been read for its claim.
    """
    if job.state not in IN_FLIGHT and not (died and job.state is State.READY):
        raise IllegalEdge(job, Event.GIVEN_BACK)
    made = _left_behind(job, at)
    if died is None:
        return made
    deaths = job.deaths + 1
    after = replace(made.after, deaths=deaths)
    if deaths >= SUSPECT_AFTER:
        rest = timedelta(seconds=died.bound_s(deaths))
        message = f"{made.after.message} Each of the last {deaths} times it was being sent the daemon died."
        after = replace(after, next_attempt_at=at + rest, message=message)
    return replace(made, after=after, detail=after.message)


def _left_behind(job: Job, at: datetime) -> Change:
    ended = AttemptEnded(n=job.claims, ended_at=at, code="", message="", verdict="crashed", bytes_sent=0)
    message = "The daemon ended during the upload."
    if job.state is State.COMMITTING:
        message = "The process that sent it ended before the answer came."
        why = because(Problem(Reason.OUTCOME_UNKNOWN, message))
        return replace(change(job, Event.OUTCOME_UNKNOWN, at, message, next_attempt_at=at, **why), attempt=ended)
    why = because(Problem(Reason.INTERRUPTED, message))
    if job.state is State.UPLOADING:
        return replace(change(job, Event.GIVEN_BACK, at, message, next_attempt_at=at, leftovers=True, **why), attempt=ended)
    message = "The daemon ended while it read the recording for its upload."
    return change(job, Event.INTERRUPTED, at, message, **because(Problem(Reason.INTERRUPTED, message)))


def gave_up(job: Job, at: datetime) -> Change:
    message = f"It failed for too long; the last time: {job.message}"
    return change(job, Event.GAVE_UP, at, message, next_attempt_at=None, **because(Problem(Reason.GAVE_UP, message)))


def resent(job: Job, at: datetime, *, by_operator: bool = False) -> Change:
    """Sent again although the first try may have arrived: marked, so that a double is never a surprise."""
    message = "Sent again on the operator's word." if by_operator else "Sent again: no clear answer came the last time."
    if job.reason is Reason.MAYBE_SENT_BEFORE and not by_operator:
        message = "Sent, although it may have been sent before the queue was lost."
    problem = Problem(Reason.RESEND, message)
    return change(
        job,
        Event.RESENT,
        at,
        message,
        possible_duplicate=True,
        leftovers=True,
        owner=None,
        next_attempt_at=at,
        **because(problem),
    )


def shown_absent(job: Job, at: datetime, detail: str) -> Change:
    """The look-up has shown that the service has it not: sent again, and no duplicate is to be feared. Should the first try
    come to light after all, the look after leftovers finds it. Not before the time that the lost try was put off to.
    """
    again_at = max(at, job.next_attempt_at or at)
    return change(job, Event.SHOWN_ABSENT, at, detail, leftovers=True, owner=None, next_attempt_at=again_at, **because(None))


def reinstated(job: Job, at: datetime) -> Change:
    """One of several refusals in a row that are taken for a fault of the configuration."""
    return change(
        job,
        Event.REINSTATED,
        at,
        job.message,
        attempts=max(0, job.attempts - 1),
        next_attempt_at=at,
        reason=Reason.SERVICE_TROUBLE,
    )


def confirmed(job: Job, talk_id: str, at: datetime, *, doubled: bool = False) -> Change:
    """The service has it under this talk id; `doubled`: and under another one too."""
    doubtful = job.possible_duplicate or doubled
    settled = {"talk_id": talk_id, "owner": None, "next_attempt_at": at, "possible_duplicate": doubtful}
    return change(job, Event.CONFIRMED, at, talk_id, **settled, **because(None))


def looked_after(job: Job, at: datetime, detail: str, *, doubled: bool = False) -> Change:
    """What other tries of it left at the service is on record. `doubled`: one of them is a whole talk too."""
    doubtful = job.possible_duplicate or doubled
    return change(job, Event.LOOKED_AFTER, at, detail, leftovers=False, possible_duplicate=doubtful, updated_at=job.updated_at)


# --- filing ----------------------------------------------------------------------------------


def filing(job: Job, target: str, metadata_target: str | None, at: datetime) -> Change:
    """Where the files will be moved, on disk before they are: a restart then finds them."""
    return change(job, Event.FILING, at, filed_to=target, metadata_filed_to=metadata_target)


def filing_failed(job: Job, message: str, at: datetime, again_at: datetime) -> Change:
    problem = Problem(Reason.FILING_FAILED, message)
    # A repeated failure keeps the time of the first: `status` tells how long it has been failing.
    since = job.updated_at if job.reason is Reason.FILING_FAILED else at
    return change(job, Event.FILING_FAILED, at, message, next_attempt_at=again_at, updated_at=since, **because(problem))


def filed(job: Job, at: datetime, *, note: Problem | None = None) -> Change:
    """Finished. `note` says why the files were left alone, where they were."""
    return change(job, Event.FILED, at, note.message if note else "", next_attempt_at=None, **because(note))


# --- the operator ----------------------------------------------------------------------------


def retried(job: Job, at: datetime) -> Change:
    """Read anew and sent, rules of choice lifted; a `ready` job is due now. At a `done` place whose files changed
    the mark is cleared and the next scan makes a new job (the queue hands the place out again). Not for a forgotten call,
    which would only be left out once more: IllegalEdge.
    """
    if job.reason is Reason.FORGOTTEN or (job.state is State.DONE and not job.changed_after_upload):
        raise IllegalEdge(job, Event.RETRIED)
    message = "The operator asked for another try."
    if job.state is State.READY:
        return change(job, Event.RETRIED, at, message, next_attempt_at=at)
    if job.state is State.DONE:
        return change(job, Event.RETRIED, at, message, changed_after_upload=False, gone_at=at, **because(None))
    problem = Problem(Reason.READ_AGAIN, message)
    return change(
        job,
        Event.RETRIED,
        at,
        message,
        audio=None,
        metadata=None,
        format=None,
        forced=True,
        **_FRESH,
        **because(problem),
    )


def skipped(job: Job, at: datetime, message: str = "Skipped by the operator.") -> Change:
    """The operator's word that it is not to be sent, or that an alarm was seen."""
    problem = Problem(Reason.BY_OPERATOR, message)
    if job.state is State.DONE:
        if not job.changed_after_upload:
            raise IllegalEdge(job, Event.SKIPPED)
        return change(job, Event.SKIPPED, at, message, changed_after_upload=False, **because(None))
    # Skipped while nobody knew whether it had arrived: should it be sent after all, that may be for the second time.
    doubtful = job.possible_duplicate or job.state is State.UNCONFIRMED
    return change(
        job, Event.SKIPPED, at, message, next_attempt_at=None, owner=None, possible_duplicate=doubtful, **because(problem)
    )
