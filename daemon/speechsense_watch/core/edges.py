"""The table of edges between the states of a job: nothing else moves one.

`change` builds an edge from the table, so that one that is not in it cannot be built. What each edge means, and the fields it
sets, stands in `core.lifecycle`; docs/lifecycle.md shows the same table to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from speechsense_watch.core.model import Job, Problem, State


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
    INTERRUPTED = "interrupted"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DOUBTED = "doubted"
    DUPLICATE = "duplicate"
    FORGOTTEN = "forgotten"
    GAVE_UP = "gave_up"
    RESENT = "resent"
    REINSTATED = "reinstated"
    CONFIRMED = "confirmed"
    SHOWN_ABSENT = "shown_absent"
    LOOKED_AFTER = "looked_after"
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
    Event.ADOPTED: {_S.READY: _S.UPLOADED, _S.WAITING: _S.UPLOADED},
    Event.REFUSED: {_S.UPLOADING: _S.REFUSED, _S.COMMITTING: _S.REFUSED},
    # From `ready` when the file could not be read before there was a claim.
    Event.FAILED: {_S.UPLOADING: _S.READY, _S.READY: _S.READY},
    Event.GIVEN_BACK: {_S.UPLOADING: _S.READY, _S.COMMITTING: _S.READY},
    # The daemon died while it read the recording, before there was a claim.
    Event.INTERRUPTED: {_S.READY: _S.READY},
    Event.OUTCOME_UNKNOWN: {_S.COMMITTING: _S.UNCONFIRMED},
    # From `ready` when its turn comes; from elsewhere by `upload`; and what was unconfirmed in a queue that was put back.
    Event.DOUBTED: dict.fromkeys((_S.READY, _S.WAITING, _S.UNCONFIRMED, *_STOPPED), _S.UNCONFIRMED),
    Event.DUPLICATE: {_S.READY: _S.SKIPPED},
    Event.FORGOTTEN: {_S.READY: _S.SKIPPED},
    Event.GAVE_UP: {_S.READY: _S.REFUSED},
    Event.RESENT: {_S.UNCONFIRMED: _S.READY},
    Event.REINSTATED: {_S.REFUSED: _S.READY},
    Event.CONFIRMED: {_S.UNCONFIRMED: _S.UPLOADED},
    Event.SHOWN_ABSENT: {_S.UNCONFIRMED: _S.READY},
    # Other tries of it were looked for at the service: what a broken one may have left there is on record now.
    Event.LOOKED_AFTER: {_S.UPLOADED: _S.UPLOADED, _S.DONE: _S.DONE},
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
    """`committed`: it is at its commit point from the start, since one message carries it all."""

    n: int
    uid: str
    request_id: str
    started_at: datetime
    committed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCommitted:
    """From now on the try may have arrived whole."""

    n: int
    committed_at: datetime


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
    attempt: AttemptBegun | AttemptCommitted | AttemptEnded | None = None

    def of(self, row: Job) -> Change:
        """The same for the row as it lies in the queue: what was set on it beforehand is written with the change."""
        return replace(self, before=row)


def allowed(job: Job, event: Event) -> bool:
    return job.state in EDGES[event]


def change(job: Job, event: Event, at: datetime, detail: str = "", **fields: Any) -> Change:
    """That edge, with these fields set and every other as it was. Raises IllegalEdge when there is no such edge."""
    target = EDGES[event].get(job.state)
    if target is None:
        raise IllegalEdge(job, event)
    after = replace(job, **{"state": target, "updated_at": at, **fields})
    return Change(job, after, event, at, detail)


def because(problem: Problem | None) -> dict[str, Any]:
    """The fields that say why; without a problem there is nothing to say."""
    return {"reason": problem.reason, "message": problem.message} if problem else {"reason": None, "message": ""}
