"""What the loops need from the world, and nothing about how the world does it.

Every protocol here is kept by one module of `edge/` and, in tests, by a double or the real thing.
Foreign errors are turned into the values and the few exceptions named here; nothing above an edge
sees an `OSError`, a `sqlite3.Error` or a `grpc.RpcError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from speechsense_watch.core.lifecycle import Change
from speechsense_watch.core.model import Job, Place, Sighting, Stamp, State
from speechsense_watch.core.rules import Order
from speechsense_watch.core.verdict import Halt, Outcome, PauseReason

# --- time and chance -------------------------------------------------------------------------


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, aware, in UTC: for what people read and what outlives the process."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump: for every duration inside the process."""
        ...

    def sleep(self, seconds: float) -> None: ...


# A float in [0, 1): jitter.
Chance = Callable[[], float]


class Wake(Protocol):
    """Tells a loop that there is something to look at before its time."""

    def set(self) -> None: ...


# --- files -----------------------------------------------------------------------------------


class FileTroubleKind(StrEnum):
    GONE = "gone"
    UNREADABLE = "unreadable"  # permission
    NOT_REGULAR = "not_regular"  # a link, FIFO, device, socket or directory
    IO = "io"


class FileTrouble(Exception):  # noqa: N818 - trouble is a value as much as an error here
    """A path that could not be looked at or read. `message` is a sentence without the path."""

    def __init__(self, kind: FileTroubleKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Root:
    """A folder's root at one moment: `identity` is (st_dev, st_ino), None when it cannot be entered."""

    identity: tuple[int, int] | None
    trouble: str = ""
    # Of the file system below it, by statfs: "ext2/ext3", "nfs", "cifs", "fuse", ...; remote ones need polling.
    file_system: str = ""
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory. Only directories that may be entered without following a link count as such."""

    name: str
    is_directory: bool


class OpenFile(Protocol):
    """One regular file, opened once; everything is asked of the same descriptor."""

    @property
    def stamp(self) -> Stamp:
        """What fstat says now. Raises FileTrouble."""
        ...

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; fewer only at the end of the file. Raises FileTrouble."""
        ...


class Files(Protocol):
    """One folder's tree. Paths are below the root, '' is the root itself; '..' and links are never followed."""

    def root(self) -> Root: ...

    def directory_mtime_ns(self, path: str) -> int:
        """Raises FileTrouble."""
        ...

    def entries(self, path: str, batch: int = 1000) -> Iterator[Sequence[Entry]]:
        """All names in a directory, in batches, in no order. Raises FileTrouble."""
        ...

    def look(self, path: str) -> Sighting:
        """One lstat, never following links. `regular` is False for links, FIFOs, devices, sockets, directories and
        hard links that belong to somebody else than the folder's other files. Raises FileTrouble (GONE, UNREADABLE, IO).
        """
        ...

    def open(self, path: str) -> AbstractContextManager[OpenFile]:
        """Never blocks, never follows a link, takes regular files only. Raises FileTrouble."""
        ...


class WatchState(StrEnum):
    WATCHING = "watching"
    POLLING = "polling"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Hint:
    """Something happened at `path` (below the root of `folder`): look there. `path` None asks for a scan of the folder."""

    folder: str
    path: str | None


@dataclass(frozen=True, slots=True)
class WatchHealth:
    """How one folder is watched, and why so. `overflows` and `restarts` only grow while the daemon runs."""

    state: WatchState
    reason: str
    overflows: int = 0
    restarts: int = 0


class Watch(Protocol):
    """One folder's events. They are hints: whatever happens here, a scan finds what was missed."""

    def start(self) -> None: ...

    def supervise(self) -> None:
        """Mends what died and follows the root; asks for a scan after each. To be called every second or so."""
        ...

    def prefer_polling(self, reason: str) -> None:
        """Events proved unreliable here: none are asked for until the root is another one."""
        ...

    def health(self) -> WatchHealth: ...

    def stop(self) -> None: ...


# --- filing ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filed:
    """The file is where it should be, and on disk: archived, or deleted."""


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """It is not the file that was uploaded, or it is gone: it was left alone."""

    message: str


@dataclass(frozen=True, slots=True)
class FilingTrouble:
    """It could not be filed now. The file is still where it was; the same call may be made again."""

    message: str


FilingResult = Filed | FilesChanged | FilingTrouble


class Filing(Protocol):
    """What is done to the user's files after an upload. A repeated call after a crash ends as the first would have."""

    def taken(self, target: str) -> bool: ...

    def archive(self, source_root: str, relative_path: str, target: str, expected: Stamp) -> FilingResult: ...

    def delete(self, source_root: str, relative_path: str, expected: Stamp) -> FilingResult: ...


# --- the queue -------------------------------------------------------------------------------


class Stale(Exception):  # noqa: N818 - not an error: somebody else was first
    """The row is not as it was when the change was decided: look again."""


class UidTaken(Exception):  # noqa: N818
    """Another job, `holder`, already stands for this recording."""

    def __init__(self, holder: int) -> None:
        super().__init__(f"already job {holder}")
        self.holder = holder


class QueueTrouble(Exception):  # noqa: N818
    """The queue could not be read or written. `fatal`: what is on disk must be derived anew by a fresh start
    (SQLITE_IOERR leaves open whether a commit is durable; a corrupt file does not mend).
    """

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.fatal = fatal


class Queue(Protocol):
    """The jobs on disk. Every method raises QueueTrouble; what returned is durable."""

    def apply(self, change: Change) -> Job:
        """Carries the change out by compare-and-set on state and claims. Raises Stale, UidTaken."""
        ...

    def job(self, job_id: int) -> Job | None: ...

    def at_place(self, place: Place) -> Job | None:
        """The open job there, else the newest finished one."""
        ...

    def at_places(self, folder: str, paths: Sequence[str]) -> Mapping[str, Job]:
        """`at_place` for many paths at once."""
        ...

    def open_in(self, folder: str, directory: str) -> Sequence[Job]:
        """The jobs right in that directory whose files are thought to be there: not done, or done and not seen gone."""
        ...

    def directories(self, folder: str) -> Sequence[str]:
        """Every directory in which `open_in` finds something."""
        ...

    def unfinished(self, folder: str, since: datetime) -> Sequence[Job]:
        """Waiting and unusable jobs, and those done after `since`: what is looked at singly."""
        ...

    def due(self, now: datetime, limit: int, order: Order, choice: Selection) -> Sequence[Job]:
        """Ready jobs whose time has come, in order."""
        ...

    def next_due(self, choice: Selection) -> datetime | None:
        """When the next ready or unconfirmed job's time comes."""
        ...

    def uploaded_due(self, now: datetime, limit: int) -> Sequence[Job]:
        """Uploaded jobs whose filing is due."""
        ...

    def next_filing(self) -> datetime | None: ...

    def reconnect(self, folder: str, connection_id: str) -> None:
        """Jobs of the folder that are not under way go to this connection from now on."""
        ...

    def in_states(self, states: Iterable[State], limit: int = 1000) -> Sequence[Job]: ...

    def holder_of(self, uid: str) -> Job | None:
        """The job in uploading .. done that stands for the uid."""
        ...

    def journal_talk(self, uid: str) -> str | None:
        """The talk id that only the journal knows, the queue having lost it."""
        ...

    def claims_of(self, uid: str) -> int:
        """The highest claim counter any job of this uid ever had; 0 without one."""
        ...

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

    def trim(self, before: datetime, forget_before: datetime, folders: Iterable[str]) -> int: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What may be picked now: jobs of these folders, but those in work already and those of connections that pause."""

    folders: frozenset[str]
    without_jobs: frozenset[int] = frozenset()
    without_connections: frozenset[str] = frozenset()


# --- SpeechSense -----------------------------------------------------------------------------


class ChannelState(StrEnum):
    READY = "ready"
    CONNECTING = "connecting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Channel:
    """The connection to the service right now; `reason` and `message` say why it failed."""

    state: ChannelState
    reason: PauseReason = PauseReason.UNREACHABLE
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What is sent beside the audio. `fields` hold everything, the recording id too."""

    connection_id: str
    fields: Mapping[str, str]
    request_id: str
    uid: str


class Halted(Exception):  # noqa: N818
    """Raised by whoever hands out pieces of audio: nothing more may be sent."""

    def __init__(self, halt: Halt, message: str = "") -> None:
        super().__init__(message)
        self.halt = halt
        self.message = message


class CredentialError(Exception):
    """No usable credential; the message says which source and what to do, never the secret."""


class Credentials(Protocol):
    """Where the `authorization` header comes from."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Raises CredentialError."""
        ...

    def refused(self) -> None:
        """The service refused them: every source is read again."""
        ...


class Service(Protocol):
    """SpeechSense. Failures are outcomes, never exceptions."""

    def channel(self) -> Channel:
        """Asks for a connection if there is none; never blocks. `on_ready` (handed in) is called when it is there."""
        ...

    def send_whole(self, talk: Talk, audio: bytes) -> Outcome:
        """One message. The caller has marked the commit point already."""
        ...

    def send_stream(self, talk: Talk, pieces: Iterator[bytes], at_commit: Callable[[], None], hold_s: float) -> Outcome:
        """Pieces as they come, the last one held back: for `hold_s` seconds, in which the service may refuse, and until
        `at_commit` returned. `pieces` and `at_commit` may raise Halted, which ends the call with nothing complete sent.
        """
        ...

    def stop_uncommitted(self) -> None:
        """Ends every call before its commit point, and each later one at once: Halt.SHUTDOWN."""
        ...

    def stop_all(self) -> None:
        """Ends every call, whatever it has sent."""
        ...
