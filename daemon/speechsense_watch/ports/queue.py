"""The jobs on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from speechsense_watch.core.edges import Change
from speechsense_watch.core.model import Job, Place, State
from speechsense_watch.core.rules import Order
from speechsense_watch.core.suspicion import Suspicion


class Stale(Exception):  # noqa: N818 - not an error: somebody else was first
    """The row is not as it was when the change was decided: look again."""


class UidTaken(Exception):  # noqa: N818
    """Another job, `holder`, already stands for this recording."""

    def __init__(self, holder: int) -> None:
        super().__init__(f"already job {holder}")
        self.holder = holder


class QueueTrouble(Exception):  # noqa: N818
    """The queue could not be read or written. `fatal`: what is on disk must be derived anew by a fresh start
    (SQLITE_IOERR leaves open whether a commit is durable; a corrupt file does not mend). `full`: there is no room on its disk.
    """

    def __init__(self, message: str, *, fatal: bool = False, full: bool = False) -> None:
        super().__init__(message)
        self.fatal = fatal
        self.full = full


class Queue(Protocol):
    """The jobs on disk. Every method raises QueueTrouble; what returned is durable. After a fatal trouble each raises it anew."""

    def make_ready(self) -> None:
        """What an upload will have to record can be recorded: there is room, and nothing of earlier ones is owed to the journal.
        Raises QueueTrouble: then nothing may be begun.
        """
        ...

    def apply_each(self, arrivals: Sequence[Arrival]) -> Sequence[Job | None]:
        """Each as `apply` would, all in one write; None for one whose row, or whose place, is not as it was. Raises QueueTrouble:
        then none is written.
        """
        ...

    def apply(self, change: Change) -> Job:
        """Carries the change out by compare-and-set on state, claims and what several keep on a row; a claim also by the call not
        being forgotten. Raises Stale, UidTaken.
        """
        ...

    def job(self, job_id: int) -> Job | None: ...

    def at_place(self, place: Place) -> Job | None:
        """The open job there, else the newest finished one."""
        ...

    def at_places(self, folder: str, paths: Sequence[str]) -> Mapping[str, Job]:
        """`at_place` for many paths at once."""
        ...

    def unsent_places(self, folder: str) -> Iterable[tuple[int, str]]:
        """Number and place of each job that is `waiting` or `ready`, read a page at a time: there may be a million."""
        ...

    def due(self, now: datetime, limit: int, order: Order, choice: Selection) -> Sequence[Job]:
        """Ready jobs whose time has come, in order."""
        ...

    def next_due(self, choice: Selection, resending: Iterable[str]) -> datetime | None:
        """When the next ready job's time comes, or that of the next unconfirmed one in the `resending` folders."""
        ...

    def bring_near(self, horizon: datetime, now: datetime) -> int:
        """What is to be tried after the horizon, or was put off by a clock that is ahead of `now`, is due now; returns how many
        jobs that were.
        """
        ...

    def to_resend(self, now: datetime, folders: Iterable[str]) -> Sequence[Job]:
        """Unconfirmed jobs of these folders whose backoff is over and that no `upload` command holds."""
        ...

    def uploaded_due(self, now: datetime, limit: int) -> Sequence[Job]:
        """Uploaded jobs whose filing is due."""
        ...

    def sent_since(self, folder: str, since: datetime, limit: int) -> Sequence[str | None]:
        """Talk ids of the folder's recordings that were first or again tried since then and are, or may be, with SpeechSense;
        None for one whose outcome is not known, be it that it waits to be sent again. At most `limit`.
        """
        ...

    def next_filing(self) -> datetime | None: ...

    def reconnect(self, folder: str, connection_id: str) -> None:
        """Jobs of the folder that are not under way go to this connection from now on."""
        ...

    def in_states(self, states: Iterable[State], limit: int = 1000) -> Sequence[Job]: ...

    def holder_of(self, uid: str) -> Job | None:
        """The job in uploading .. done that stands for the uid."""
        ...

    def is_forgotten(self, audio_sha256: str) -> bool:
        """A call with this audio was removed by `forget` and must not be sent."""
        ...

    def of_talk(self, talk_id: str) -> Job | None:
        """A job with this talk id."""
        ...

    def journal_talk(self, uid: str) -> str | None:
        """The talk id that only the journal knows, the queue having lost it."""
        ...

    def suspicion(self) -> Suspicion | None:
        """The latest suspicious start; None as long as the queue was never lost."""
        ...

    def tried_before(self, uid: str) -> Tried: ...

    def released_duplicates(self) -> Sequence[Job]:
        """Jobs skipped as duplicates of a job that ended without a talk id."""
        ...

    def first_watched(self, name: str, path: str, now: datetime) -> datetime:
        """When this folder was first watched; remembered as `now` if it never was."""
        ...

    def set_runtime(self, key: str, value: object) -> None:
        """`value` is anything JSON takes. Written only when it differs from what is there."""
        ...

    def runtime(self) -> Mapping[str, object]: ...

    def changed_elsewhere(self) -> bool:
        """Another process has written since this was last asked (PRAGMA data_version)."""
        ...

    def keep_up(self) -> None:
        """What queue and journal have gained is seen to agree: the next start need not look at it again. To be called before rows
        are trimmed.
        """
        ...

    def trim(self, before: datetime, forget_before: datetime, folders: Iterable[str]) -> int:
        """Some of the finished rows last changed before `before` keep only what tells that they were sent; some of those whose
        files were gone before `forget_before` go, in these folders. Returns how many were touched: to be called until that is 0.
        """
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """A recording that is to be entered in one go: its row as it is, or the change that makes it, and what follows from there,
    one after the other.
    """

    row: Change | Job
    then: Sequence[Callable[[Job], Change]] = ()
    # Nothing was on record of its place, and still must not be.
    free: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What is on record of the tries of one uid: the highest claim counter any job of it ever had, 0 without one; and whether
    some job of it is marked as a possible duplicate, so that the recording may be with SpeechSense already.
    """

    claims: int
    in_doubt: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """What may be picked now: jobs of these folders, but those in work already and those of connections that pause. Of the
    folders `again` only what may have been sent before. Of `most_bytes` at most, if there is a limit. What may have killed the
    daemon is picked by itself: `suspects`, and nothing else then.
    """

    folders: frozenset[str]
    without_jobs: frozenset[int] = frozenset()
    without_connections: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()
    most_bytes: int | None = None
    suspects: bool = False
