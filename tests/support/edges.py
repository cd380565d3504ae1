"""Jobs in every state and a call for every edge: what the tests of the lifecycle and of the queue are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import Change, Event, IllegalEdge
from speechsense_watch.core.lifecycle import Backoff, Claim
from speechsense_watch.core.model import HOLDS_UID, IN_FLIGHT, Half, Job, Place, Problem, Recording, State, uid_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import Code, Outcome, judge
from support.played_queue import recording

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
LATER = AT + timedelta(seconds=30)
BACKOFF = Backoff(initial_s=5.0, max_s=900.0, give_up_after_s=3600.0)
_NEEDS_REASON = {State.WAITING, State.UNCONFIRMED, State.REFUSED, State.UNUSABLE, State.SKIPPED, State.LOST}
_NEEDS_TIME = {State.READY, State.UNCONFIRMED, State.UPLOADED}


def born(path: str = "call.wav", *, folder: str = "calls") -> Job:
    return Job(
        id=0,
        state=State.WAITING,
        place=Place(folder, path),
        audio_path=path,
        metadata_path=path.replace(".wav", ".json"),
        connection_id="conn-1",
        created_at=AT,
        updated_at=AT,
        recorded_at=AT - timedelta(minutes=2),
        reason=Reason.READ_AGAIN,
        message="Complete.",
    )


def job_in(state: State, *, changed: bool = False) -> Job:
    """A job that may be in that state; `changed`: done, with a change after the upload that nobody has seen yet."""
    job = replace(born(), id=7, state=state)
    if state is not State.WAITING:
        read = recording("call")
        job = replace(job, audio=read.audio, metadata=read.metadata, format=read.format, fields=read.fields)
    return replace(
        job,
        reason=Reason.READ_AGAIN if state in _NEEDS_REASON else None,
        uid="ab" * 32 if state in HOLDS_UID else None,
        claims=3 if state in HOLDS_UID else 2,
        attempts=1,
        talk_id="talk-1" if state in (State.UPLOADED, State.DONE) else None,
        next_attempt_at=AT if state in _NEEDS_TIME else None,
        changed_after_upload=changed,
    )


@dataclass(frozen=True)
class Taken:
    """What the calls of the edges need beside the job."""

    at: datetime = LATER
    content: str = "call"
    jitter: float = 0.5
    owner: str | None = None
    talk_id: str = "talk-9"

    @property
    def problem(self) -> Problem:
        return Problem(Reason.STILL_CHANGING, "Somebody still writes.")

    @property
    def halves(self) -> tuple[Half, Half]:
        read = recording(self.content)
        return read.audio, read.metadata

    def claim(self, job: Job, *, whole: bool) -> Claim:
        read: Recording = recording(self.content)
        return Claim(
            n=job.claims + 1,
            uid=uid_of(job.connection_id, read.audio.sha256, read.metadata.sha256),
            recording=read,
            request_id=f"request-{job.id}-{job.claims + 1}",
            at=self.at,
            whole=whole,
            owner=self.owner if whole else None,
        )

    def finish(self, job: Job, outcome: Outcome) -> Change:
        return lifecycle.finished(job, outcome, judge(outcome), BACKOFF, self.at, self.jitter)


def _committing(job: Job, with_: Taken) -> Change:
    if job.state is State.UPLOADING:
        return lifecycle.committing(job, with_.at)
    return lifecycle.claimed(job, with_.claim(job, whole=True))


def _died_before_its_claim(job: Job, with_: Taken) -> Change:
    if job.state in IN_FLIGHT:
        raise IllegalEdge(job, Event.INTERRUPTED)  # that is another edge then
    return lifecycle.recovered(job, with_.at, died=BACKOFF)


# A call that takes the edge, for every event but FOUND, from whatever state the job is in.
CALLS: Mapping[Event, Callable[[Job, Taken], Change]] = {
    Event.STILL_WAITING: lambda j, w: lifecycle.still_waiting(
        j, w.problem, w.at, place=j.place, audio_path=j.audio_path, metadata_path=j.metadata_path
    ),
    Event.COMPLETED: lambda j, w: lifecycle.completed(j, recording(w.content), w.at),
    Event.FOUND_UNUSABLE: lambda j, w: lifecycle.found_unusable(j, Problem(Reason.NOT_PCM, "GSM."), w.at, *w.halves),
    Event.LEFT_OUT: lambda j, w: lifecycle.left_out(j, Problem(Reason.NO_AUDIO, "Empty."), w.at, *w.halves),
    Event.VANISHED: lambda j, w: lifecycle.vanished(j, w.at),
    Event.READ_ANEW: lambda j, w: lifecycle.read_anew(j, w.problem, w.at),
    Event.CLAIMED: lambda j, w: lifecycle.claimed(j, w.claim(j, whole=False)),
    Event.COMMITTING: _committing,
    Event.ACCEPTED: lambda j, w: w.finish(j, Outcome(code=Code.OK, talk_id=w.talk_id, committed=True)),
    Event.ADOPTED: lambda j, w: lifecycle.adopted(j, w.claim(j, whole=False), w.talk_id),
    Event.REFUSED: lambda j, w: w.finish(j, Outcome(code=Code.INVALID_ARGUMENT, message="no date")),
    Event.FAILED: lambda j, w: w.finish(j, Outcome(code=Code.INTERNAL, message="trouble")),
    Event.GIVEN_BACK: lambda j, w: w.finish(j, Outcome(code=Code.UNAUTHENTICATED, message="which key?")),
    Event.INTERRUPTED: _died_before_its_claim,
    Event.OUTCOME_UNKNOWN: lambda j, w: w.finish(j, Outcome(code=Code.UNAVAILABLE, message="reset", committed=True)),
    Event.DOUBTED: lambda j, w: lifecycle.doubted(j, replace(w.claim(j, whole=False), n=j.claims + 33, doubted=1)),
    Event.DUPLICATE: lambda j, w: lifecycle.duplicate(j, 1, w.at),
    Event.FORGOTTEN: lambda j, w: lifecycle.forgotten(j, w.at),
    Event.GAVE_UP: lambda j, w: lifecycle.gave_up(j, w.at),
    Event.RESENT: lambda j, w: lifecycle.resent(j, w.at),
    Event.REINSTATED: lambda j, w: lifecycle.reinstated(j, w.at),
    Event.CONFIRMED: lambda j, w: lifecycle.confirmed(j, w.talk_id, w.at),
    Event.SHOWN_ABSENT: lambda j, w: lifecycle.shown_absent(j, w.at, "Three looks."),
    Event.LOOKED_AFTER: lambda j, w: lifecycle.looked_after(j, w.at, "Nothing was there."),
    Event.FILING: lambda j, w: lifecycle.filing(j, "/archive/call.wav", "/archive/call.json", w.at),
    Event.FILING_FAILED: lambda j, w: lifecycle.filing_failed(j, "No room.", w.at, w.at + timedelta(minutes=1)),
    Event.FILED: lambda j, w: lifecycle.filed(j, w.at),
    Event.CHANGED_AFTER_UPLOAD: lambda j, w: lifecycle.changed_after_upload(j, w.at, "The audio changed."),
    Event.SEEN_SAME: lambda j, w: lifecycle.seen_same(j, *w.halves, w.at),
    Event.SEEN_GONE: lambda j, w: lifecycle.seen_gone(j, w.at),
    Event.RETRIED: lambda j, w: lifecycle.retried(j, w.at),
    Event.SKIPPED: lambda j, w: lifecycle.skipped(j, w.at),
}


def broken_rules(job: Job) -> list[str]:
    """What the job must not be in its state; empty for every job that the lifecycle yields."""
    state = job.state
    rules = {
        "a talk id exactly when uploaded or done": (job.talk_id is not None) == (state in (State.UPLOADED, State.DONE)),
        "what may have been sent has its uid and a claim": state not in HOLDS_UID or (job.uid is not None and job.claims > 0),
        "nothing is frozen while it waits": state is not State.WAITING
        or (job.uid, dict(job.fields), job.next_attempt_at) == (None, {}, None),
        "what stands still says why": state not in _NEEDS_REASON or job.reason is not None,
        "what is ready was read whole": state is not State.READY or None not in (job.audio, job.metadata, job.format),
        "what goes on by itself has its time": state not in _NEEDS_TIME or job.next_attempt_at is not None,
        "only what is done can have changed since": not job.changed_after_upload or state is State.DONE,
        "only an open end has an owner": job.owner is None or state in (State.COMMITTING, State.UNCONFIRMED),
        "only what was skipped is a duplicate": job.duplicate_of is None or state is State.SKIPPED,
    }
    return [rule for rule, kept in rules.items() if not kept]
