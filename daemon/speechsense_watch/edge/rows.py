"""How a job lies in the queue's table: the one place that knows the columns."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

from speechsense_watch.core.edges import Change
from speechsense_watch.core.model import HOLDS_UID, AudioFormat, Half, Job, Place, Stamp, State
from speechsense_watch.core.reasons import Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The states in which a job stands for its recording, as they stand in an IN.
HOLDING_UID = ", ".join(f"'{state}'" for state in sorted(HOLDS_UID))


def to_us(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND


def _maybe_us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def _maybe_time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def path_bytes(path: str) -> bytes:
    return os.fsencode(path)


def _maybe_bytes(path: str | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


def _maybe_path(raw: bytes | None) -> str | None:
    return None if raw is None else os.fsdecode(raw)


def storable(text: str) -> str:
    """SQLite holds UTF-8 only, and a file's name may stand in a sentence."""
    return text.encode("utf-8", "backslashreplace").decode()


def signed(inode: int) -> int:
    """SQLite's integers are signed; inode numbers of some file systems use all 64 bits."""
    return inode - 2**64 if inode >= 2**63 else inode


def unsigned(inode: int) -> int:
    return inode + 2**64 if inode < 0 else inode


def _half_columns(name: str, half: Half | None) -> dict[str, Any]:
    stamp = half.stamp if half else None
    return {
        f"{name}_inode": signed(stamp.inode) if stamp else None,
        f"{name}_size": stamp.size if stamp else None,
        f"{name}_mtime_ns": stamp.mtime_ns if stamp else None,
        f"{name}_sha256": half.sha256 if half else None,
    }


def _half(name: str, row: Mapping[str, Any]) -> Half | None:
    if row[f"{name}_inode"] is None:
        return None
    stamp = Stamp(unsigned(row[f"{name}_inode"]), row[f"{name}_size"], row[f"{name}_mtime_ns"])
    return Half(stamp, row[f"{name}_sha256"] or "")


def _format_columns(audio_format: AudioFormat | None) -> dict[str, Any]:
    return {
        "channels": audio_format.channels if audio_format else None,
        "sample_rate_hz": audio_format.sample_rate_hz if audio_format else None,
        "data_offset": audio_format.data_offset if audio_format else None,
        "data_bytes": audio_format.data_bytes if audio_format else None,
        "duration_s": audio_format.duration_s if audio_format else None,
    }


def _place_columns(place: Place) -> dict[str, Any]:
    directory = posixpath.dirname(place.path)
    return {"folder": place.folder, "directory": path_bytes(directory), "place": path_bytes(place.path)}


def _in_column(name: str, of: Callable[[Any], Any] = lambda value: value) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: of(value)}


# How each attribute of a job lies in its columns: all of them but `id`.
_COLUMNS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "state": _in_column("state", lambda state: state.value),
    "place": _place_columns,
    "audio_path": _in_column("audio_path", _maybe_bytes),
    "metadata_path": _in_column("metadata_path", _maybe_bytes),
    "connection_id": _in_column("connection_id"),
    "created_at": _in_column("created_at", to_us),
    "updated_at": _in_column("updated_at", to_us),
    "recorded_at": _in_column("recorded_at", to_us),
    "audio": partial(_half_columns, "audio"),
    "metadata": partial(_half_columns, "metadata"),
    "format": _format_columns,
    "fields": _in_column("fields", lambda fields: json.dumps(dict(fields), ensure_ascii=False) if fields else None),
    "uid": _in_column("uid"),
    "talk_id": _in_column("talk_id"),
    "attempts": _in_column("attempts"),
    "claims": _in_column("claims"),
    "failing_s": _in_column("failing_s"),
    "deaths": _in_column("deaths"),
    "next_attempt_at": _in_column("next_attempt_at", _maybe_us),
    "reason": _in_column("reason", lambda reason: reason.value if reason else None),
    "message": _in_column("message", storable),
    "duplicate_of": _in_column("duplicate_of"),
    "possible_duplicate": _in_column("possible_duplicate", int),
    "changed_after_upload": _in_column("changed_after_upload", int),
    "owner": _in_column("owner"),
    "filed_to": _in_column("filed_to", _maybe_bytes),
    "metadata_filed_to": _in_column("metadata_filed_to", _maybe_bytes),
    "gone_at": _in_column("gone_at", _maybe_us),
    "forced": _in_column("forced", int),
    "doubted": _in_column("doubted"),
    "leftovers": _in_column("leftovers", int),
}


# Whatever becomes of a job, it has a history from then on.
_HAS_HISTORY = {"trimmed": 0}


def columns_of(job: Job, attributes: Iterable[str] = _COLUMNS) -> dict[str, Any]:
    """The columns of these attributes; of all, every column but `id`."""
    found: dict[str, Any] = {} if attributes is not _COLUMNS else dict(_HAS_HISTORY)
    for attribute in attributes:
        found.update(_COLUMNS[attribute](getattr(job, attribute)))
    return found


def changed_columns(before: Job, after: Job) -> dict[str, Any]:
    """What differs, and the state in any case; what others have written into other columns meanwhile stays."""
    names = (name for name in _COLUMNS if getattr(before, name) != getattr(after, name))
    return columns_of(after, ("state", *names)) | _HAS_HISTORY


def insertion(job: Job, *, free: bool) -> tuple[str, tuple[object, ...]]:
    """What makes the row of a job, and its parameters. `free`: it changes nothing when there is a row at the place."""
    columns = columns_of(job)
    return _insertion(tuple(columns), free=free), tuple(columns.values())


@cache
def _insertion(columns: tuple[str, ...], *, free: bool) -> str:
    into = f"INSERT INTO jobs ({', '.join(columns)})"
    if not free:
        return f"{into} VALUES ({placeholders(columns)})"
    at_the_place = " AND ".join(f"{name} = ?{columns.index(name) + 1}" for name in ("folder", "directory", "place"))
    return f"{into} SELECT {placeholders(columns)} WHERE NOT EXISTS (SELECT 1 FROM jobs INDEXED BY by_place WHERE {at_the_place})"


def as_stored(job: Job, job_id: int) -> Job:
    """The job that will be read from the row that was written from this one."""
    message = storable(job.message)
    return job if (job_id, message) == (job.id, job.message) else replace(job, id=job_id, message=message)


def _format(row: Mapping[str, Any]) -> AudioFormat | None:
    if row["duration_s"] is None:
        return None
    return AudioFormat(row["channels"], row["sample_rate_hz"], row["data_offset"], row["data_bytes"], row["duration_s"])


def job_of(row: Mapping[str, Any]) -> Job:
    """The job a row of `jobs` stands for."""
    return Job(
        id=row["id"],
        state=State(row["state"]),
        place=Place(row["folder"], os.fsdecode(row["place"])),
        audio_path=_maybe_path(row["audio_path"]),
        metadata_path=_maybe_path(row["metadata_path"]),
        connection_id=row["connection_id"],
        created_at=from_us(row["created_at"]),
        updated_at=from_us(row["updated_at"]),
        recorded_at=from_us(row["recorded_at"]),
        audio=_half("audio", row),
        metadata=_half("metadata", row),
        format=_format(row),
        fields=json.loads(row["fields"]) if row["fields"] else {},
        uid=row["uid"],
        talk_id=row["talk_id"],
        attempts=row["attempts"],
        claims=row["claims"],
        failing_s=row["failing_s"],
        deaths=row["deaths"],
        next_attempt_at=_maybe_time(row["next_attempt_at"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        message=row["message"],
        duplicate_of=row["duplicate_of"],
        possible_duplicate=bool(row["possible_duplicate"]),
        changed_after_upload=bool(row["changed_after_upload"]),
        owner=row["owner"],
        filed_to=_maybe_path(row["filed_to"]),
        metadata_filed_to=_maybe_path(row["metadata_filed_to"]),
        gone_at=_maybe_time(row["gone_at"]),
        forced=bool(row["forced"]),
        doubted=row["doubted"],
        leftovers=bool(row["leftovers"]),
    )


EVENT = "INSERT INTO events (job_id, at, event, from_state, to_state, detail) VALUES (?, ?, ?, ?, ?, ?)"


def event_of(job_id: int, change: Change) -> tuple[object, ...]:
    """The values of EVENT for a change."""
    before = change.before.state.value if change.before else None
    return job_id, to_us(change.at), change.event.value, before, change.after.state.value, storable(change.detail)


def placeholders(names: Sequence[object]) -> str:
    return ", ".join("?" * len(names))
