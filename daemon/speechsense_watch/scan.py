"""Walking a folder's tree: the truth about what is there, a slice at a time.

A directory whose mtime is the one of the last listing, and was more than two seconds old at that listing, holds the same
names as then and is not listed again: a rescan costs in proportion to what changed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from speechsense_watch.core.pairing import enters
from speechsense_watch.core.rules import Folder
from speechsense_watch.ports import Clock, Files, FileTrouble, FileTroubleKind

_SETTLED_NS = 2_000_000_000


@dataclass(slots=True)
class Directory:
    """What the last whole listing of a directory said. The counts are filled in by the intake."""

    mtime_ns: int
    settled: bool
    subdirectories: tuple[str, ...]
    left_alone: int = 0
    unmatched: int = 0
    # Names of links that lead to directories, below which nothing is seen, and those of them whose targets nobody watches: None
    # until that was asked.
    linked: tuple[str, ...] = ()
    unwatched: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """All names of files in one directory, whole."""

    path: str
    names: tuple[str, ...]
    directory: Directory


@dataclass(slots=True)
class Scan:
    """Remembers the directories of one folder between its walks."""

    files: Files
    folder: Folder
    clock: Clock
    directories: dict[str, Directory] = field(default_factory=dict)
    # Directories that could not be entered, and why.
    troubles: dict[str, str] = field(default_factory=dict)
    # Directories that were there once and are not any more; whoever reads it empties it.
    forgotten: list[str] = field(default_factory=list)

    def walk(self, *, anew: bool) -> Iterator[Listing | None]:
        """Listings of what changed, or of everything when `anew`; None between directories that did not, so that the
        caller can turn to other work.
        """
        waiting = [""]
        while waiting:
            path = waiting.pop()
            try:
                listing = self._list(path, anew=anew)
            except FileTrouble as trouble:
                self._troubled(path, trouble)
                continue
            self.troubles.pop(path, None)
            waiting.extend(posixpath.join(path, name) for name in self.directories[path].subdirectories)
            yield listing

    def _list(self, path: str, *, anew: bool) -> Listing | None:
        """Raises FileTrouble."""
        mtime_ns = self.files.directory_mtime_ns(path)
        known = self.directories.get(path)
        if known and known.settled and known.mtime_ns == mtime_ns and not anew:
            return None
        names: list[str] = []
        subdirectories: list[str] = []
        linked: list[str] = []
        wall_ns = int(self.clock.now().timestamp() * 1e9)
        for batch in self.files.entries(path):
            names += batch.files
            subdirectories += batch.directories
            linked += batch.linked
        wanted, unseen = self._entered(path, subdirectories), self._entered(path, linked)
        directory = Directory(mtime_ns, wall_ns - mtime_ns > _SETTLED_NS, wanted, linked=unseen)
        for name in set(known.subdirectories if known else ()) - set(wanted):
            self._forget(posixpath.join(path, name))
        self.directories[path] = directory
        return Listing(path, tuple(names), directory)

    def _entered(self, path: str, names: list[str]) -> tuple[str, ...]:
        return tuple(name for name in names if enters(self.folder, posixpath.join(path, name)))

    def _troubled(self, path: str, trouble: FileTrouble) -> None:
        if trouble.kind is FileTroubleKind.GONE:
            self._forget(path)
        else:
            self.troubles[path] = trouble.message

    def _forget(self, path: str) -> None:
        for known in [known for known in self.directories if known == path or known.startswith(path + "/")]:
            del self.directories[known]
            self.forgotten.append(known)
            self.troubles.pop(known, None)

    def unsettle(self) -> None:
        """Every directory is listed at the next walk; which there were is still known, so that one that goes is noticed."""
        for directory in self.directories.values():
            directory.settled = False

    def forget_mtime(self, path: str) -> None:
        """The directory is listed at the next walk, whatever its mtime says."""
        if directory := self.directories.get(path):
            directory.settled = False

    @property
    def left_alone(self) -> int:
        return sum(directory.left_alone for directory in self.directories.values())

    @property
    def unmatched(self) -> int:
        return sum(directory.unmatched for directory in self.directories.values())
