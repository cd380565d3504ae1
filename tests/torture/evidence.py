"""What there is to judge by: the service's ledger of what it stored, and the daemon's queue and journal as they lie on disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torture.recordings import Recording
from torture.world import RECORDING_ID


@dataclass(frozen=True, slots=True)
class Talk:
    """A talk as the service has stored it."""

    talk_id: str
    sha256: str
    size: int
    fields: Mapping[str, str]
    stored_at: str

    @property
    def key(self) -> str:
        return self.fields.get("client_id", "")

    @property
    def recording_id(self) -> str:
        return self.fields.get(RECORDING_ID, "")

    @property
    def other_fields(self) -> dict[str, str]:
        return {name: value for name, value in self.fields.items() if name != RECORDING_ID}


class Ledger:
    """What the service has stored, read on from where it was read to. A line that a kill cut off does not count, for the
    service either.
    """

    def __init__(self, service_directory: Path) -> None:
        self._path = service_directory / "talks.jsonl"
        self._calls = service_directory / "calls.jsonl"
        self._read_to = 0
        self.talks: list[Talk] = []

    def read(self) -> list[Talk]:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                lines = file.read()
            whole = lines[: lines.rfind(b"\n") + 1]
            self._read_to += len(whole)
            self.talks += [_talk(json.loads(line)) for line in whole.splitlines()]
        return self.talks

    def calls(self) -> list[dict[str, Any]]:
        """The last word about each call, in the order in which they began."""
        latest: dict[str, dict[str, Any]] = {}
        if self._calls.exists():
            for line in self._calls.read_bytes().splitlines():
                try:
                    call = json.loads(line)
                except ValueError:  # cut off by a kill
                    continue
                latest[call["server_request_id"]] = call
        return list(latest.values())


def _talk(line: Mapping[str, Any]) -> Talk:
    return Talk(line["talk_id"], line["sha256"], line["bytes"], line["fields"], line["stored_at"])


@dataclass(frozen=True, slots=True)
class Row:
    """A job, as far as it matters here."""

    id: int
    state: str
    place: str
    uid: str | None
    talk_id: str | None
    claims: int
    possible_duplicate: bool
    reason: str | None
    # The talk id came as an answer, not by a look-up.
    accepted: bool = False


@dataclass(frozen=True)
class Evidence:
    """The queue and the journal of one moment. `broken` is what SQLite says of the file; empty when it is whole."""

    rows: Sequence[Row] = ()
    # The recording ids of the tries that reached their commit mark.
    committed: frozenset[str] = frozenset()
    # Every event by job, as (microseconds, event, from, to).
    events: Mapping[int, list[tuple[int, str, str, str]]] = field(default_factory=dict)
    journal: frozenset[tuple[str, str]] = frozenset()
    broken: str = ""

    def row_of(self, recording: Recording) -> Row | None:
        """The row that stands for the recording: one with a talk id before one that may get one before the others. Where it lies
        at two places there are two, of which one is a duplicate.
        """
        return max(self._by_uid.get(recording.uid, []) + self._by_place.get(recording.place, []), key=_weight, default=None)

    @cached_property
    def _by_uid(self) -> Mapping[str, list[Row]]:
        return _grouped((row.uid, row) for row in self.rows if row.uid is not None)

    @cached_property
    def _by_place(self) -> Mapping[str, list[Row]]:
        return _grouped((row.place, row) for row in self.rows)


def _grouped(pairs: Iterable[tuple[str, Row]]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for key, row in pairs:
        found.setdefault(key, []).append(row)
    return found


def _weight(row: Row) -> tuple[bool, bool, bool, bool, bool]:
    in_flight = row.state in ("uploading", "committing")
    return row.talk_id is not None, row.state == "unconfirmed", in_flight, row.possible_duplicate, row.state != "skipped"


@contextmanager
def _copy(queue_path: Path) -> Iterator[sqlite3.Connection]:
    """A copy of what is on disk right now; opening the queue itself would mend it, which is the daemon's work."""
    with tempfile.TemporaryDirectory() as directory:
        for ending in ("", "-wal"):
            source = queue_path.with_name(queue_path.name + ending)
            if source.exists():
                shutil.copyfile(source, Path(directory) / f"queue.db{ending}")
        with closing(sqlite3.connect(Path(directory) / "queue.db")) as conn:
            yield conn


def look(queue_path: Path, *, events: bool = False) -> Evidence:
    """What lies on disk, whoever left it there. `events` only where they are asked for: there are many."""
    if not queue_path.exists():
        return Evidence()
    with _copy(queue_path) as conn:
        try:
            (broken,) = conn.execute("PRAGMA integrity_check").fetchone()
            if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'jobs'").fetchone():
                return Evidence(broken="" if broken == "ok" else str(broken))  # killed before its first tables were there
            rows = _rows(conn)
            committed = _committed(conn)
            told = _events(conn) if events else {}
        except sqlite3.DatabaseError as error:
            return Evidence(broken=str(error))
    return Evidence(rows, committed, told, _journal(queue_path), "" if broken == "ok" else str(broken))


def _rows(conn: sqlite3.Connection) -> list[Row]:
    accepted = {job for (job,) in conn.execute("SELECT job_id FROM events WHERE event = 'accepted'")}
    found = conn.execute("SELECT id, state, CAST(place AS TEXT), uid, talk_id, claims, possible_duplicate, reason FROM jobs")
    return [
        Row(job, state, place, uid, talk_id, claims, bool(marked), reason, job in accepted)
        for job, state, place, uid, talk_id, claims, marked, reason in found
    ]


def _committed(conn: sqlite3.Connection) -> frozenset[str]:
    found = conn.execute("SELECT uid, n FROM attempts WHERE committed_at IS NOT NULL")
    return frozenset(f"{uid}-{n}" for uid, n in found)


def _events(conn: sqlite3.Connection) -> dict[int, list[tuple[int, str, str, str]]]:
    found: dict[int, list[tuple[int, str, str, str]]] = {}
    for job, *event in conn.execute("SELECT job_id, at, event, from_state, to_state FROM events ORDER BY id"):
        found.setdefault(job, []).append((event[0], event[1], event[2] or "", event[3]))
    return found


def _journal(queue_path: Path) -> frozenset[tuple[str, str]]:
    path = queue_path.with_name(queue_path.name + ".journal")
    lines = []
    for raw in path.read_bytes().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(raw))
        except ValueError:  # torn by a kill
            continue
    return frozenset((line["uid"], line["talk_id"]) for line in lines if "uid" in line)
