"""A second record of what was sent, beside the queue: one fsynced JSON line per talk id, per folder first watched, per start and
end, and per call that was forgotten.

It outlives a queue that was lost or restored from an older copy. Lines are written after the queue's commit, so a crash
in between leaves a line lacking, never a false one; `fill` adds what is lacking at the next start.

Commands write to it beside the daemon. Whoever writes holds flock(2) on the file, and has made sure afterwards that it still is
the one of this name: `without` puts another in its place, and what went into the old one then would be lost.
"""

from __future__ import annotations

import fcntl
import json
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from threading import Lock

# So many lines are written and waited for at once.
_LINES_TOGETHER = 10_000
_ZEROS = 2**20
# Some twenty lines.
_TELLING_BYTES = 4096
_A_TALK = b'{"uid": "'
_UID_ENDS = len(_A_TALK) + 64


@dataclass(frozen=True, slots=True)
class TalkLine:
    uid: str
    talk_id: str
    at: str


@dataclass(frozen=True, slots=True)
class FolderLine:
    name: str
    path: str
    at: str


@dataclass(frozen=True, slots=True)
class StartLine:
    start: str
    at: str


@dataclass(frozen=True, slots=True)
class SuspicionLine:
    """The number of a suspicious start, for a queue that is lost once more."""

    k: int
    at: str


@dataclass(frozen=True, slots=True)
class ForgottenLine:
    """What tells the audio of a call that is not to be sent any more."""

    digest: str
    at: str


Line = TalkLine | FolderLine | StartLine | SuspicionLine | ForgottenLine


class Journal:
    """The file `<queue>.journal`, mode 0600. Every method raises OSError; the queue turns that into QueueTrouble."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def talk(self, uid: str, talk_id: str, at: datetime) -> None:
        self.talks([(uid, talk_id, at)])

    def talks(self, talks: Iterable[tuple[str, str, datetime]]) -> None:
        """All of them are on disk then, after one wait for it."""
        self._append([{"uid": uid, "talk_id": talk_id, "at": at.isoformat()} for uid, talk_id, at in talks])

    def folder(self, name: str, path: str, at: datetime) -> None:
        self._append([{"folder": name, "path": path, "at": at.isoformat()}])

    def start(self, start_id: str, at: datetime) -> None:
        self._append([{"start": start_id, "at": at.isoformat()}])

    def suspicion(self, k: int, at: datetime) -> None:
        self._append([{"suspicious": k, "at": at.isoformat()}])

    def forgotten(self, digests: Iterable[str], at: datetime) -> None:
        self._append([{"forgotten": digest, "at": at.isoformat()} for digest in digests])

    def lines(self, start: int = 0) -> Iterator[Line]:
        """What the file holds from this byte on; a torn last line, left by a crash, is passed over."""
        return (line for _, line in self.lines_at(start) if line is not None)

    def lines_at(self, start: int = 0) -> Iterator[tuple[int, Line | None]]:
        """The same, each with the byte behind it, or before it when it has no end yet; None for what is no line."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            at = file.seek(start)
            for raw in file:
                at += len(raw) if raw.endswith(b"\n") else 0
                yield at, _line_of(raw)

    def size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def end_at(self, size: int) -> str | None:
        """What tells the end of the first `size` bytes from that of any other journal; None when there are not so many."""
        if size == 0:
            return ""
        try:
            with self._path.open("rb") as file:
                begin = file.seek(max(0, size - _TELLING_BYTES))
                end = file.read(size - begin)
        except FileNotFoundError:
            return None
        return blake2b(end, digest_size=16).hexdigest() if len(end) == size - begin else None

    def fill(
        self,
        talks: Iterable[tuple[str, str, datetime]],
        folders: Iterable[tuple[str, str, datetime]],
        forgotten: Iterable[tuple[str, datetime]] = (),
        start: int = 0,
    ) -> int:
        """The journal holds everything handed in, which was looked for from the byte `start` on; returns how many lines it
        lacked.
        """
        # 8 bytes for each talk: a million of them as text took half a GB.
        known_talks, known_folders, known_forgotten = array("Q"), set(), set()
        for line in self.lines(start):
            if isinstance(line, TalkLine):
                known_talks.append(_digest(line.uid, line.talk_id))
            elif isinstance(line, FolderLine):
                known_folders.add((line.name, line.path))
            elif isinstance(line, ForgottenLine):
                known_forgotten.add(line.digest)
        known_talks = array("Q", sorted(known_talks))
        count = 0
        fresh_talks = (talk for talk in talks if not _holds(known_talks, _digest(*talk[:2])))
        while some := list(islice(fresh_talks, _LINES_TOGETHER)):
            self.talks(some)
            count += len(some)
        for name, path, at in folders:
            if (name, path) not in known_folders:
                self.folder(name, path, at)
                count += 1
        for digest, at in forgotten:
            if digest not in known_forgotten:
                self.forgotten([digest], at)
                count += 1
        return count

    def without(self, uids: frozenset[str], *, overwrite: bool = False, size: int = 0) -> int:
        """The lines of these uids are gone: a new file, fsynced, renamed over the old one. `overwrite`: zeros are then written
        over what the old one held, as far as the file system and the disk write in place. Returns what of the first `size` bytes
        is left.
        """
        if not self._path.exists():
            return 0
        names, at, left = frozenset(uid.encode() for uid in uids), 0, 0
        with self._locked() as descriptor, os.fdopen(descriptor, "rb", closefd=False) as old:
            fresh = self._path.with_name(self._path.name + ".new")
            try:
                with open(fresh, "wb", opener=_private) as new:
                    if os.geteuid() == 0:
                        # A command of root's must not leave the daemon a journal that it may not write.
                        owner = os.fstat(descriptor)
                        os.fchown(new.fileno(), owner.st_uid, owner.st_gid)
                    for line in old:
                        at += len(line)
                        if not _names_one_of(line, names):
                            new.write(line)
                            left += len(line) if at <= size else 0
                    new.flush()
                    os.fsync(new.fileno())
            except OSError:
                fresh.unlink(missing_ok=True)  # on a full disk it would take the room that uploads wait for
                raise
            fresh.replace(self._path)
            _sync_directory(self._path.parent)
            if overwrite:
                _zero(descriptor)
        return left

    def _append(self, entries: Iterable[Mapping[str, str | int]]) -> None:
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        if not text:
            return
        with self._locked() as descriptor:
            size = os.fstat(descriptor).st_size
            # A crash may have torn the last line: begin on a line of our own.
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            _write(descriptor, ("\n" * torn + text).encode("ascii"))
            os.fsync(descriptor)
            if size == 0:
                _sync_directory(self._path.parent)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file of this name, made if there was none, open to read and append while nobody else writes to it."""
        with self._lock:
            while True:
                descriptor = _private(str(self._path), os.O_RDWR | os.O_APPEND | os.O_CREAT)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    if self._is_still(descriptor):
                        yield descriptor
                        return
                finally:
                    os.close(descriptor)

    def _is_still(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False


def _digest(uid: str, talk_id: str) -> int:
    return int.from_bytes(blake2b(f"{uid} {talk_id}".encode(), digest_size=8).digest(), "big")


def _holds(ordered: array[int], digest: int) -> bool:
    at = bisect_left(ordered, digest)
    return at < len(ordered) and ordered[at] == digest


def _line_of(raw: bytes) -> Line | None:
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(entry, dict):
        return None
    at = str(entry.get("at", ""))
    match entry:
        case {"uid": uid}:
            return TalkLine(str(uid), str(entry.get("talk_id", "")), at)
        case {"folder": name}:
            return FolderLine(str(name), str(entry.get("path", "")), at)
        case {"start": start}:
            return StartLine(str(start), at)
        case {"suspicious": int(k)}:
            return SuspicionLine(k, at)
        case {"forgotten": digest}:
            return ForgottenLine(str(digest), at)
    return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _write(descriptor: int, data: bytes) -> None:
    """In one go, which for a file that is open to append puts it at the end whole; on a full disk as far as it goes."""
    while data:
        data = data[os.write(descriptor, data) :]


def _zero(descriptor: int) -> None:
    """Of a file that has no name any more."""
    # A file that is open to append takes a write at its end, whatever the offset (pwrite(2), "BUGS").
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_APPEND)
    size = os.fstat(descriptor).st_size
    for offset in range(0, size, _ZEROS):
        os.pwrite(descriptor, bytes(min(_ZEROS, size - offset)), offset)
    os.fsync(descriptor)


def _names_one_of(line: bytes, uids: frozenset[bytes]) -> bool:
    if line.startswith(_A_TALK) and line[_UID_ENDS : _UID_ENDS + 1] == b'"':
        return line[len(_A_TALK) : _UID_ENDS] in uids  # as `talks` writes it: millions are looked at while others wait
    try:
        return str(json.loads(line).get("uid")).encode() in uids
    except (ValueError, AttributeError):
        return False


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
