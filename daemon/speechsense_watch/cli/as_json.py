"""Jobs, events and attempts as the scripts of users know them. Keys are a contract: they may be added, never changed.

A file's name need not be UTF-8; bytes that are not come as `\\udcXX` escapes (PEP 383), which `json.dumps` writes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from speechsense_watch.core.model import Job
from speechsense_watch.edge.records import AttemptRow, EventRow


def time_as_json(at: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the millisecond."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def absolute(folder: str, path: str | None, folder_paths: Mapping[str, str]) -> str | None:
    """The path from the root of the file system. Outside every folder (name "") a place is absolute already."""
    return None if path is None else posixpath.join(folder_paths.get(folder, ""), path)


def job_as_json(job: Job, folder_paths: Mapping[str, str]) -> dict[str, Any]:
    """`folder_paths` are the folders' roots by name."""
    return {
        "id": job.id,
        "state": job.state.value,
        "folder": job.place.folder,
        "audio_path": absolute(job.place.folder, job.audio_path, folder_paths),
        "metadata_path": absolute(job.place.folder, job.metadata_path, folder_paths),
        "connection_id": job.connection_id,
        "talk_id": job.talk_id,
        "uid": job.uid,
        "attempts": job.attempts,
        "deaths": job.deaths,
        "created_at": time_as_json(job.created_at),
        "updated_at": time_as_json(job.updated_at),
        "recorded_at": time_as_json(job.recorded_at),
        "next_attempt_at": time_as_json(job.next_attempt_at),
        "reason": job.reason.value if job.reason else None,
        "message": job.message,
        "hint": job.hint,
        "possible_duplicate": job.possible_duplicate,
        "changed_after_upload": job.changed_after_upload,
        "duplicate_of": job.duplicate_of,
        "filed_to": job.filed_to,
        "metadata_filed_to": job.metadata_filed_to,
        "audio": {
            "bytes": job.audio.stamp.size if job.audio else None,
            "sha256": (job.audio.sha256 or None) if job.audio else None,
            "duration_s": job.format.duration_s if job.format else None,
            "channels": job.format.channels if job.format else None,
            "sample_rate_hz": job.format.sample_rate_hz if job.format else None,
        },
        "fields": dict(job.fields),
    }


def event_as_json(event: EventRow) -> dict[str, Any]:
    return {
        "at": time_as_json(event.at),
        "event": event.event,
        "from": event.from_state,
        "to": event.to_state,
        "detail": event.detail,
    }


def attempt_as_json(attempt: AttemptRow) -> dict[str, Any]:
    return {
        "n": attempt.n,
        "started_at": time_as_json(attempt.started_at),
        "ended_at": time_as_json(attempt.ended_at),
        "request_id": attempt.request_id,
        "server_request_id": attempt.server_request_id,
        "code": attempt.code,
        "message": attempt.message,
        "bytes_sent": attempt.bytes_sent,
        "verdict": attempt.verdict,
    }
