"""The nouns of speechsense-watch: what every other module talks about.

Paths below a folder's root are `str` as `os.fsdecode` gives them (surrogateescape), so that any
byte sequence a file system allows survives the way from disk to queue and back.
Times are aware datetimes in UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from speechsense_watch.core.reasons import HINTS, Reason


class State(StrEnum):
    """Where a job is in its life; `core.lifecycle` holds the only edges between them."""

    WAITING = "waiting"
    READY = "ready"
    UPLOADING = "uploading"
    COMMITTING = "committing"
    UNCONFIRMED = "unconfirmed"
    UPLOADED = "uploaded"
    DONE = "done"
    REFUSED = "refused"
    UNUSABLE = "unusable"
    SKIPPED = "skipped"
    LOST = "lost"


IN_FLIGHT = frozenset({State.UPLOADING, State.COMMITTING})
# One uid may stand in at most one job of these states: see `uid_of`.
HOLDS_UID = IN_FLIGHT | {State.UNCONFIRMED, State.UPLOADED, State.DONE}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a recording lies: the folder's name and the path of its audio below the root.

    While only the metadata half is there, the path is the metadata's.
    """

    folder: str
    path: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one content of a path from the next without reading it."""

    inode: int
    size: int
    mtime_ns: int


A_DIRECTORY = "a directory"
A_LINK = "a symbolic link"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at a path: what `lstat` said and when, on the monotonic clock (seconds)."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    at: float
    regular: bool = True
    # What it is instead, in words, when it is not a regular file of its own: "a symbolic link", "a FIFO".
    oddity: str = ""

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.inode, self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class Glance:
    """A look at one of many names at once: no more than tells whether a closer look is needed."""

    stamp: Stamp
    regular: bool = True


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the header of a complete WAV file says, checked against the file's size."""

    channels: int
    sample_rate_hz: int
    data_offset: int
    data_bytes: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class Shape:
    """What is done to the audio on its way; the file stays as it is."""

    repaired: bool = False
    swapped: bool = False


# The stamp of metadata that lies in no file of its own.
NO_FILE = Stamp(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Half:
    """One file of the pair as it was when last read. `sha256` is hex, empty until the bytes were hashed.

    Metadata without a file has the stamp NO_FILE and the sha256 of what stands for it: the audio's name.
    """

    stamp: Stamp
    sha256: str = ""

    @property
    def file_stamp(self) -> Stamp | None:
        return None if self.stamp == NO_FILE else self.stamp


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is not as it should be: a word for scripts, a sentence for people."""

    reason: Reason
    message: str

    @property
    def hint(self) -> str:
        return HINTS[self.reason]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The queue's row for one recording."""

    id: int
    state: State
    place: Place
    audio_path: str | None
    metadata_path: str | None
    connection_id: str
    created_at: datetime
    updated_at: datetime
    # Newest-first and oldest-first order by this: the audio's mtime (the metadata's while alone).
    recorded_at: datetime
    audio: Half | None = None
    metadata: Half | None = None
    format: AudioFormat | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    uid: str | None = None
    talk_id: str | None = None
    # Tries charged to the recording. `claims` counts every claim and never goes back.
    attempts: int = 0
    claims: int = 0
    # Seconds spent in backoff for the recording's own failures; `give_up_after` is held against it.
    failing_s: float = 0.0
    # How often in a row the daemon died while it had this recording in hand: see `core.taking`.
    deaths: int = 0
    next_attempt_at: datetime | None = None
    reason: Reason | None = None
    message: str = ""
    duplicate_of: int | None = None
    possible_duplicate: bool = False
    changed_after_upload: bool = False
    # "pid:start time" of an `upload` command that holds the row; the daemon leaves such rows alone.
    owner: str | None = None
    # Where filing moves or moved the two files (absolute), set before anything is moved.
    filed_to: str | None = None
    metadata_filed_to: str | None = None
    # When the place was first seen empty; a later recording there is a new one.
    gone_at: datetime | None = None
    # The operator lifted the rules of choice (min_duration, start_from, duplicate) with `retry`.
    forced: bool = False
    # The number of the last suspicious start for which it was asked whether this was sent before; see `core.suspicion`.
    doubted: int = 0
    # A try that broke off, or one that was taken for absent, may have left a talk of its own at the service: to be looked for.
    leftovers: bool = False

    @property
    def hint(self) -> str:
        return HINTS[self.reason] if self.reason else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A pair that was read whole and found fit to be sent."""

    audio: Half
    metadata: Half
    format: AudioFormat
    fields: Mapping[str, str]
    shape: Shape = Shape()


def half_by_name(audio_path: str) -> Half:
    """What stands for the metadata of a recording that has none in a file: the name of its audio, wherever it lies."""
    name = audio_path.rpartition("/")[2]
    return Half(NO_FILE, hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest())


def digest_of(audio_sha256: str) -> str:
    """By what a forgotten call is known: its audio alone, since metadata may be written anew at any time and no two calls sound
    the same to the last bit. A hash of the hash, so that it leads neither to a talk nor to a line of a log.
    """
    return hashlib.sha256(f"forgotten\n{audio_sha256}".encode()).hexdigest()


def uid_of(connection_id: str, audio_sha256: str, metadata_sha256: str) -> str:
    """The identity of a recording, 64 hex digits: the same call dropped twice has the same one."""
    material = f"v1\n{connection_id}\n{audio_sha256}\n{metadata_sha256}"
    return hashlib.sha256(material.encode()).hexdigest()
