"""What the reading commands ask of the queue, beside a running daemon or without one.

There is one way in, `opened`. Without a queue file it hands out an empty view and creates nothing.
"""

from __future__ import annotations

import os
import posixpath
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from speechsense_watch.core.attention import FILING_PATIENCE, SOURCE_PATIENCE, UNCONFIRMED_PATIENCE, Group
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.taking import SUSPECT_AFTER
from speechsense_watch.edge.doubts import OrphanTalk, SqliteDoubts
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.rows import from_us, job_of, path_bytes, placeholders, to_us

_PAGE = 500
_LARGEST_ID = 2**63 - 1
# By a min() SQLite takes the other columns from the row that holds it (sqlite.org/lang_select.html, "Bare columns").
# The term `state <> 'done'` lets it use the index that leaves finished jobs out (sqlite.org/partialindex.html).
_GROUPS = """
SELECT state, folder, reason, count(*) AS n, min(updated_at) AS since, id, message,
       CASE state WHEN 'unconfirmed' THEN updated_at < :undecided WHEN 'uploaded' THEN updated_at < :unfiled ELSE 0 END AS overdue
FROM jobs
WHERE state <> 'done' AND state IN ('unusable', 'refused', 'lost', 'unconfirmed', 'uploaded')
  AND (state <> 'uploaded' OR reason = 'filing_failed')
GROUP BY state, folder, reason, 8
UNION ALL
SELECT state, folder, 'changed_after_upload', count(*), min(updated_at), id, message, 0
FROM jobs WHERE changed_after_upload = 1 GROUP BY +folder
UNION ALL
SELECT state, folder, reason, count(*), min(updated_at), id, message, 1
FROM jobs WHERE state <> 'done' AND state = 'waiting' AND updated_at < :unread AND reason = 'source_unreadable' GROUP BY +folder
"""


class NotReadable(Exception):  # noqa: N818 - the name says it
    """Not for this user: the message names the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which jobs to list; what is empty does not choose. `match` is looked for in paths, talk ids and uids, ASCII letters
    without regard to case. `since` holds against the last change of a job.
    """

    states: frozenset[State] = frozenset()
    folder: str | None = None
    since: datetime | None = None
    match: str = ""
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One row of a job's history."""

    at: datetime
    event: str
    from_state: str | None
    to_state: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One try to upload a job. What its end would have said is None while it runs."""

    n: int
    started_at: datetime
    ended_at: datetime | None
    request_id: str
    server_request_id: str | None
    code: str | None
    message: str | None
    bytes_sent: int | None
    verdict: str | None


class Records:
    """A view of the queue for reading; without a queue everything in it is empty. Every method raises QueueTrouble."""

    def __init__(self, queue: SqliteQueue | None) -> None:
        self._queue = queue

    def _rows(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[dict[str, Any]]:
        return self._queue.rows(sql, parameters) if self._queue else []

    def _value(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The only value of the only row, None when there is none."""
        rows = self._rows(sql, parameters)
        return next(iter(rows[0].values())) if rows else None

    def _time(self, sql: str, parameters: Sequence[object] = ()) -> datetime | None:
        us = self._value(sql, parameters)
        return None if us is None else from_us(us)

    # --- the whole ---------------------------------------------------------------------------

    def counts(self) -> Mapping[str, Mapping[State, int]]:
        """By folder and state; what is not there is 0."""
        found: dict[str, dict[State, int]] = {}
        for row in self._rows("SELECT folder, state, n FROM counts WHERE n > 0"):
            found.setdefault(row["folder"], {})[State(row["state"])] = row["n"]
        return found

    def groups(self, now: datetime) -> tuple[Group, ...]:
        """The jobs that may need the operator, those alike together."""
        limits = {"undecided": UNCONFIRMED_PATIENCE, "unfiled": FILING_PATIENCE, "unread": SOURCE_PATIENCE}
        return tuple(
            Group(
                state=State(row["state"]),
                folder=row["folder"],
                reason=Reason(row["reason"]) if row["reason"] else None,
                count=row["n"],
                since=from_us(row["since"]),
                first=row["id"],
                message=row["message"],
                overdue=bool(row["overdue"]),
            )
            for row in self._rows(_GROUPS, {name: to_us(now - patience) for name, patience in limits.items()})
        )

    def accepted_since(self, at: datetime) -> int:
        """How many recordings SpeechSense is known to have since then: it answered so, or a look-up found the talk."""
        # Such a job is `uploaded` or `done` and was changed no earlier than that: both have an index by change, by folder what is
        # done.
        sql = """
        SELECT count(*) FROM (
          SELECT jobs.id FROM counts CROSS JOIN jobs INDEXED BY finished ON jobs.folder = counts.folder
          WHERE counts.state = 'done' AND jobs.state = 'done' AND jobs.updated_at >= :at
          UNION ALL SELECT id FROM jobs WHERE state <> 'done' AND state = 'uploaded' AND updated_at >= :at
        ) AS job JOIN events ON job_id = job.id WHERE event IN ('accepted', 'confirmed') AND at >= :at
        """
        rows = self._rows(sql, {"at": to_us(at)})
        return int(rows[0]["count(*)"]) if rows else 0

    def last_upload_at(self) -> datetime | None:
        """When the last talk id came. Once its history was trimmed: when the last job was finished."""
        events = "SELECT at FROM events WHERE event IN ('accepted', 'confirmed') ORDER BY id DESC LIMIT 1"
        latest = "SELECT max(updated_at) FROM jobs INDEXED BY finished WHERE state = 'done' AND folder = counts.folder"
        return self._time(events) or self._time(f"SELECT max(({latest})) FROM counts WHERE state = 'done'")

    def oldest(self, state: State) -> datetime | None:
        """When the job that has been in the queue for longest, of those in this state, was found."""
        # Not for `done`: see the partial indexes. That of what is ready holds the time, and no row is looked at.
        index = (
            "later WHERE state = 'ready'" if state is State.READY else f"unfinished WHERE state <> 'done' AND state = '{state}'"
        )
        return self._time(f"SELECT min(created_at) FROM jobs INDEXED BY {index}")

    def suspects(self) -> Sequence[Job]:
        """Those with which in hand the daemon died too often, most often first; at most a hundred."""
        sql = f"""
        SELECT * FROM jobs INDEXED BY suspects WHERE state = 'ready' AND deaths >= {SUSPECT_AFTER}
        UNION ALL SELECT * FROM jobs
        WHERE state <> 'done' AND state IN ('uploading', 'committing', 'unconfirmed') AND deaths >= {SUSPECT_AFTER}
        ORDER BY deaths DESC, id LIMIT 100
        """
        return [job_of(row) for row in self._rows(sql)]

    def runtime(self) -> Mapping[str, object]:
        """What the daemon told last."""
        return self._queue.runtime() if self._queue else {}

    def first_watched(self, name: str, path: str) -> datetime | None:
        return self._time("SELECT first_watched_at FROM folders WHERE name = ? AND path = ?", (name, path_bytes(path)))

    def folder_paths(self) -> Mapping[str, str]:
        """Where each folder lies or lay last, those that the configuration no longer names too."""
        rows = self._rows("SELECT name, path FROM folders ORDER BY first_watched_at")
        return {row["name"]: os.fsdecode(row["path"]) for row in rows}

    # --- jobs --------------------------------------------------------------------------------

    def jobs(self, choice: Choice, limit: int = 0) -> Iterator[Job]:
        """Newest first, read a page at a time; 0 is all."""
        pages = self._pages_of(self._candidates(choice), choice) if _has_index(choice) else self._pages(choice, limit)
        yield from islice((job_of(row) for page in pages for row in page), limit or None)

    def _pages(self, choice: Choice, limit: int) -> Iterator[list[dict[str, Any]]]:
        where, keys = _condition(choice)
        below, left = _LARGEST_ID, limit or _LARGEST_ID
        # No more than are wanted: for one more every row below may have to be read.
        while most := min(left, _PAGE):
            page = self._rows(f"SELECT * FROM jobs WHERE id < ? AND {where} ORDER BY id DESC LIMIT ?", (below, *keys, most))
            yield page
            if len(page) < most:
                return
            below, left = page[-1]["id"], left - most

    def _pages_of(self, ids: Sequence[int], choice: Choice) -> Iterator[list[dict[str, Any]]]:
        where, keys = _condition(choice)
        for start in range(0, len(ids), _PAGE):
            part = ids[start : start + _PAGE]
            yield self._rows(
                f"SELECT * FROM jobs WHERE id IN ({placeholders(part)}) AND {where} ORDER BY id DESC", (*part, *keys)
            )

    def _candidates(self, choice: Choice) -> Sequence[int]:
        """Every job that may be meant, newest first, by an index: of millions of finished ones a few, mostly."""
        if choice.changed:
            rows = self._rows("SELECT id FROM jobs INDEXED BY changed WHERE changed_after_upload = 1")
            return sorted((row["id"] for row in rows), reverse=True)
        states = choice.states or frozenset(State)
        since = to_us(choice.since) if choice.since else 0
        found = array("q")
        for state in states - {State.DONE}:
            sql = "SELECT id FROM jobs INDEXED BY unfinished WHERE state <> 'done' AND state = ? AND updated_at >= ?"
            found.extend(row["id"] for row in self._rows(sql, (state.value, since)))
        for folder in self.counts() if State.DONE in states else ():
            sql = "SELECT id FROM jobs INDEXED BY finished WHERE state = 'done' AND folder = ? AND updated_at >= ?"
            found.extend(row["id"] for row in self._rows(sql, (folder, since)))
        return sorted(found, reverse=True)

    def job(self, job_id: int) -> Job | None:
        # SQLite's integers end here, and no id lies beyond.
        return self._queue.job(job_id) if self._queue and 0 < job_id <= _LARGEST_ID else None

    def at_path(self, folder: str, path: str) -> Sequence[Job]:
        """The jobs of a recording that has or had a file there, the open one first, then the newest."""
        by_place = "folder = ? AND directory = ? AND place = ?"
        keys = (folder, path_bytes(posixpath.dirname(path)), path_bytes(path))
        return self._found(by_place, keys) or self._found("folder = ? AND metadata_path = ?", (folder, path_bytes(path)))

    def counts_below(self, folder: str, path: str) -> Mapping[State, int]:
        """Of the recordings in this directory and below it; '' is the root."""
        keys: tuple[object, ...] = (folder,)
        where = "folder = ?"
        if path:
            here = path_bytes(path)
            where += " AND (directory = ? OR directory >= ? AND directory < ?)"
            # "0" is the byte behind "/": the range holds all that begins with the path and a slash.
            keys += (here, here + b"/", here + b"0")
        sql = f"SELECT state, count(*) AS n FROM jobs WHERE {where} GROUP BY state"
        return {State(row["state"]): row["n"] for row in self._rows(sql, keys)}

    def filed_at(self, path: str) -> Sequence[Job]:
        """The jobs whose audio or metadata was moved to this absolute path."""
        return self._found("filed_to = ? OR metadata_filed_to = ?", (path_bytes(path), path_bytes(path)))

    def with_talk(self, talk_id: str) -> Sequence[Job]:
        return self._found("talk_id = ?", (talk_id,))

    def containing(self, text: str) -> Sequence[Job]:
        """Those with this text in a path, a talk id or a field; every row is read for that."""
        columns = ("audio_path", "metadata_path", "filed_to", "talk_id", "uid", "fields")
        tests = [rf"CAST({column} AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\'" for column in columns]
        sql = f"SELECT * FROM jobs WHERE {' OR '.join(tests)} ORDER BY id"
        return [job_of(row) for row in self._rows(sql, [_pattern(text)] * len(columns))]

    def arrivals(self, job: Job) -> tuple[Sequence[str], Sequence[str]]:
        """Talks of it beyond the one that counts, and the recording ids of the tries that may have arrived, as far as they are
        on record.
        """
        talks = self._rows("SELECT talk_id FROM orphans WHERE job_id = ? ORDER BY talk_id", (job.id,))
        sql = "SELECT uid, n FROM attempts WHERE job_id = ? AND uid IS NOT NULL AND committed_at IS NOT NULL ORDER BY n"
        tries = self._rows(sql, (job.id,))
        return [row["talk_id"] for row in talks], [f"{row['uid']}-{row['n']}" for row in tries]

    def same_calls(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Every row that is one of these calls: duplicates, what they are duplicates of, and those with the same audio, for
        which every row is read.
        """
        found: dict[int, Job] = {}
        for start in range(0, len(jobs), _PAGE):
            part = jobs[start : start + _PAGE]
            ids = [*(job.id for job in part), *(job.duplicate_of for job in part if job.duplicate_of)]
            sounds = [job.audio.sha256 for job in part if job.audio and job.audio.sha256]
            marks = placeholders(ids)
            sql = (
                f"SELECT * FROM jobs WHERE id IN ({marks})"
                f" UNION SELECT * FROM jobs WHERE duplicate_of IN ({marks})"
                f" UNION SELECT * FROM jobs WHERE audio_sha256 IN ({placeholders(sounds) or 'NULL'})"
            )
            found |= {job.id: job for job in map(job_of, self._rows(sql, (*ids, *ids, *sounds)))}
        return [job for _, job in sorted(found.items())]

    def _found(self, where: str, keys: Sequence[object]) -> Sequence[Job]:
        order = "ORDER BY state = 'done', id DESC LIMIT 1000"
        return [job_of(row) for row in self._rows(f"SELECT * FROM jobs WHERE {where} {order}", keys)]

    def events(self, job_id: int) -> Sequence[EventRow]:
        """Oldest first."""
        sql = "SELECT at, event, from_state, to_state, detail FROM events WHERE job_id = ? ORDER BY id"
        return [EventRow(**{**row, "at": from_us(row["at"])}) for row in self._rows(sql, (job_id,))]

    def attempts(self, job_id: int) -> Sequence[AttemptRow]:
        """Oldest first."""
        sql = (
            "SELECT n, started_at, ended_at, request_id, server_request_id, code, message, bytes_sent, verdict"
            " FROM attempts WHERE job_id = ? ORDER BY n"
        )
        return [_attempt(row) for row in self._rows(sql, (job_id,))]

    def orphans(self, *, seen: bool = False) -> tuple[OrphanTalk, ...]:
        """As `SqliteDoubts.orphans`."""
        return tuple(SqliteDoubts(self._queue).orphans(seen=seen)) if self._queue else ()

    def orphans_of(self, job_id: int) -> tuple[OrphanTalk, ...]:
        return tuple(each for each in self.orphans(seen=True) if each.job_id == job_id)


def _attempt(row: dict[str, Any]) -> AttemptRow:
    ended_at = None if row["ended_at"] is None else from_us(row["ended_at"])
    return AttemptRow(**{**row, "started_at": from_us(row["started_at"]), "ended_at": ended_at})


def _has_index(choice: Choice) -> bool:
    return choice.changed or choice.since is not None or (bool(choice.states) and State.DONE not in choice.states)


def _condition(choice: Choice) -> tuple[str, tuple[object, ...]]:
    # A leading "+" keeps SQLite from an index that would make it sort everything anew for each page.
    parts: list[str] = ["1"]
    keys: list[object] = []
    if choice.states:
        states = sorted(choice.states)
        parts.append(f"+state IN ({placeholders(states)})")
        keys.extend(state.value for state in states)
    if choice.folder is not None:
        parts.append("+folder = ?")
        keys.append(choice.folder)
    if choice.since is not None:
        parts.append("+updated_at >= ?")
        keys.append(to_us(choice.since))
    if choice.changed:
        parts.append("+changed_after_upload = 1")
    if choice.match:
        columns = ("audio_path", "metadata_path", "talk_id", "uid")
        # Paths are bytes and need not be UTF-8, so the pattern goes in as bytes too.
        tests = [rf"CAST({column} AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\'" for column in columns]
        parts.append(f"({' OR '.join(tests)})")
        keys.extend([_pattern(choice.match)] * len(columns))
    return " AND ".join(parts), tuple(keys)


def _pattern(text: str) -> bytes:
    escaped = "".join(rf"\{character}" if character in r"\%_" else character for character in text)
    return path_bytes(f"%{escaped}%")


@contextmanager
def opened(path: Path) -> Iterator[Records]:
    """The queue at `path`, for reading only. Raises NotReadable, QueueTrouble, schema.NewerSchema."""
    try:
        empty = path.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        empty = True
    except OSError as error:
        raise NotReadable(f"the queue {path} cannot be reached: {error.strerror}") from error
    if empty:
        yield Records(None)
        return
    if not os.access(path, os.R_OK):
        raise NotReadable(f"this user may not read the queue {path}")
    with closing(SqliteQueue(path, read_only=True)) as queue:
        # A daemon that starts this very moment has made the file, but not yet its tables.
        made = queue.rows("SELECT 1 FROM sqlite_master WHERE name = 'jobs'")
        yield Records(queue if made else None)
