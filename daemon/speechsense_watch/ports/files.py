"""A folder's tree and the events in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from speechsense_watch.core.known import Expected
from speechsense_watch.core.model import Glance, Sighting, Stamp


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
class Entries:
    """Names in a directory. Only directories that may be entered without following a link count as such, everything else as
    files; those of them that are links to directories are `linked` too.
    """

    files: Sequence[str]
    directories: Sequence[str] = ()
    linked: Sequence[str] = ()


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

    def entries(self, path: str, batch: int = 1000) -> Iterator[Entries]:
        """All names in a directory, in batches, none of them empty, in no order. Raises FileTrouble."""
        ...

    def look(self, path: str) -> Sighting:
        """One lstat, never following links. `regular` is False for links, FIFOs, devices, sockets, directories and
        hard links that belong to somebody else than the folder's other files. Raises FileTrouble (GONE, UNREADABLE, IO).
        """
        ...

    def glances(self, directory: str, names: Sequence[str]) -> Mapping[str, Glance]:
        """One of each of these names in one directory, links not followed; those that are gone are left out. `regular` is meant
        as in `look`. Raises FileTrouble.
        """
        ...

    def unlike(self, directory: str, expected: Sequence[Expected]) -> Sequence[str]:
        """Which of these in one directory are not, or not for certain, a regular file with this one name and of that size and
        mtime, links not followed. Raises FileTrouble.
        """
        ...

    def within(self, directory: str) -> AbstractContextManager[Files]:
        """The same tree for a short while, in which what lies right in this directory is reached without going down to it from
        the root each time. A directory that is moved meanwhile is still looked at: nothing that is missing counts as gone.
        """
        ...

    def leads_to(self, path: str) -> str:
        """Where in the system the link at this path ends, as an absolute path without links."""
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
