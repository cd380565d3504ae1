"""How a job lies in the queue's table: the one place that knows the columns."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from speechsense_watch.core.edges import Change
from speechsense_watch.core.model import AudioFormat, Half, Job, Place, Stamp, State
from speechsense_watch.core.reasons import Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


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


def columns_of(job: Job) -> dict[str, Any]:
    """Every column but `id`."""
    audio_format = job.format
    return {
        "state": job.state.value,
        "folder": job.place.folder,
        "directory": path_bytes(posixpath.dirname(job.place.path)),
        "place": path_bytes(job.place.path),
        "audio_path": _maybe_bytes(job.audio_path),
        "metadata_path": _maybe_bytes(job.metadata_path),
        "connection_id": job.connection_id,
        "created_at": to_us(job.created_at),
        "updated_at": to_us(job.updated_at),
        "recorded_at": to_us(job.recorded_at),
        **_half_columns("audio", job.audio),
        **_half_columns("metadata", job.metadata),
        "channels": audio_format.channels if audio_format else None,
        "sample_rate_hz": audio_format.sample_rate_hz if audio_format else None,
        "data_offset": audio_format.data_offset if audio_format else None,
        "data_bytes": audio_format.data_bytes if audio_format else None,
        "duration_s": audio_format.duration_s if audio_format else None,
        "fields": json.dumps(dict(job.fields), ensure_ascii=False) if job.fields else None,
        "uid": job.uid,
        "talk_id": job.talk_id,
        "attempts": job.attempts,
        "claims": job.claims,
        "failing_s": job.failing_s,
        "deaths": job.deaths,
        "next_attempt_at": _maybe_us(job.next_attempt_at),
        "reason": job.reason.value if job.reason else None,
        "message": job.message.encode("utf-8", "backslashreplace").decode(),
        "duplicate_of": job.duplicate_of,
        "possible_duplicate": int(job.possible_duplicate),
        "changed_after_upload": int(job.changed_after_upload),
        "owner": job.owner,
        "filed_to": _maybe_bytes(job.filed_to),
        "metadata_filed_to": _maybe_bytes(job.metadata_filed_to),
        "gone_at": _maybe_us(job.gone_at),
        "forced": int(job.forced),
        "doubted": job.doubted,
        "leftovers": int(job.leftovers),
    }


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
    detail = change.detail.encode("utf-8", "backslashreplace").decode()
    return job_id, to_us(change.at), change.event.value, before, change.after.state.value, detail


def placeholders(names: Sequence[object]) -> str:
    return ", ".join("?" * len(names))
