"""The stand-in's memory: audio files and two append-only ledgers in one directory.

audio/<talk id>.wav   what was sent, byte for byte
talks.jsonl           one fsynced line per talk, written after its audio is on disk: the line is what makes a talk
calls.jsonl           one line when a call begins and one when it ends
incoming/             audio that is on its way, emptied at start
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = Mapping[str, object]


class StandInError(Exception):
    """The stand-in cannot be started; the message says what to do."""


@dataclass(frozen=True, slots=True)
class StoredTalk:
    """A talk as the stand-in keeps it. `how` is unary, stream or update."""

    talk_id: str
    connection_id: str
    fields: Mapping[str, str]
    sha256: str
    size_bytes: int
    how: str
    request_id: str
    stored_at: datetime
    audio_path: Path

    def line(self) -> Json:
        return {
            "talk_id": self.talk_id,
            "connection_id": self.connection_id,
            "fields": dict(self.fields),
            "sha256": self.sha256,
            "bytes": self.size_bytes,
            "how": self.how,
            "request_id": self.request_id,
            "stored_at": self.stored_at.isoformat(),
        }


class Ledger:
    """Lines of JSON that are only ever appended. A line that a crash cut off never counted and is removed."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._durable = durable
        self._lock = threading.Lock()
        self._path = path
        self._file = path.open("ab", buffering=0)
        _lock_for_us(self._file, path)
        content = path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)

    def append(self, line: Json) -> None:
        """The line is written whole and, in a durable ledger, on disk. Raises OSError, and then there is no line."""
        raw = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            end = os.fstat(self._file.fileno()).st_size
            if self._file.write(raw) != len(raw):
                self._file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            if self._durable:
                os.fsync(self._file.fileno())

    def lines(self) -> Iterator[dict[str, object]]:
        with self._lock:
            content = self._path.read_bytes()
        for raw in content.splitlines():
            line: dict[str, object] = json.loads(raw)
            yield line

    def close(self) -> None:
        self._file.close()


def _lock_for_us(file: FileIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise StandInError(
            f"Another stand-in works in {path.parent}: stop it, or give this one a directory of its own."
        ) from None


class Incoming:
    """Audio that arrives piece by piece, on disk and not in memory."""

    def __init__(self, file: FileIO, path: Path) -> None:
        self.file = file
        self.path = path
        self.size_bytes = 0
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.file.write(rest) :]
        self._hash.update(data)
        self.size_bytes += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class Storage:
    """Everything the stand-in was sent, as far as it took it. For use by many threads at once."""

    def __init__(self, directory: Path) -> None:
        """`directory` exists, with what earlier stand-ins stored in it. Raises StandInError when another one uses it."""
        # Recordings are nobody else's business.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.audio, self._incoming = directory / "audio", directory / "incoming"
        for folder in (self.audio, self._incoming):
            folder.mkdir(exist_ok=True)
        self._ledger = Ledger(directory / "talks.jsonl", durable=True)
        self.calls = Ledger(directory / "calls.jsonl", durable=False)
        for leftover in self._incoming.glob("*.part"):
            leftover.unlink()
        self._lock = threading.Lock()
        self._talks = {talk.talk_id: talk for talk in map(self._read, self._ledger.lines())}

    def close(self) -> None:
        self._ledger.close()
        self.calls.close()

    def talks(self) -> list[StoredTalk]:
        """All talks, each in its latest state, in the order in which they were first stored."""
        with self._lock:
            return list(self._talks.values())

    def talk(self, talk_id: str) -> StoredTalk | None:
        with self._lock:
            return self._talks.get(talk_id)

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A place for audio on its way; what was not stored by the end of the block is gone."""
        path = self._incoming / f"{secrets.token_hex(8)}.part"
        try:
            with path.open("w+b", buffering=0) as file:
                yield Incoming(file, path)
        finally:
            path.unlink(missing_ok=True)

    def set_aside(self, incoming: Incoming) -> Incoming:
        """The same audio by another name: it outlives the call it came with, and whoever has it stores it and closes it."""
        path = incoming.path.with_suffix(".late.part")
        os.link(incoming.path, path)
        return Incoming(FileIO(os.dup(incoming.file.fileno()), "r+"), path)

    def new_talk_id(self) -> str:
        return f"standin{secrets.token_hex(7)}"

    def audio_path(self, talk_id: str) -> Path:
        return self.audio / f"{talk_id}.wav"

    def store(self, talk: StoredTalk, incoming: Incoming | None) -> None:
        """`talk` is one for good, whatever happens next; without `incoming` its audio stays as it is."""
        if incoming is not None:
            os.fsync(incoming.file.fileno())
            incoming.path.rename(talk.audio_path)
            _fsync_directory(self.audio)
        self._ledger.append(talk.line())
        with self._lock:
            self._talks[talk.talk_id] = talk

    def _read(self, line: dict[str, object]) -> StoredTalk:
        fields, talk_id = line["fields"], str(line["talk_id"])
        if not isinstance(fields, dict):
            raise StandInError(f"talks.jsonl holds something else than talks (at {talk_id}): use another directory.")
        return StoredTalk(
            talk_id=talk_id,
            connection_id=str(line["connection_id"]),
            fields=fields,
            sha256=str(line["sha256"]),
            size_bytes=int(str(line["bytes"])),
            how=str(line["how"]),
            request_id=str(line["request_id"]),
            stored_at=datetime.fromisoformat(str(line["stored_at"])),
            audio_path=self.audio_path(talk_id),
        )


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
