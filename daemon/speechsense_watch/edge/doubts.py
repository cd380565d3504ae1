"""The queue as the look-ups see it: what is unconfirmed, what may have left something behind, which talks are known to exist."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from speechsense_watch.core.beacons import Known
from speechsense_watch.core.lookup import Check, Doubt, Try, carries, doubt_of, recording_id
from speechsense_watch.core.model import Job
from speechsense_watch.core.turns import FIRST, MOST_AT_ONCE, Position
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.rows import from_us, job_of, placeholders, to_us

_MOST_CHECKS = 300
_MOST_KNOWN = 3
# Talks that exist are looked for among so many of the last events; a busy queue writes five for each recording.
_LAST_EVENTS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanTalk:
    """A talk in SpeechSense beside the one that counts for its recording."""

    talk_id: str
    job_id: int | None
    connection_id: str
    recording_id: str
    whole: bool
    found_at: datetime
    seen_at: datetime | None


class SqliteDoubts:
    """Keeps `ports.Doubts`."""

    def __init__(self, queue: SqliteQueue) -> None:
        self._queue = queue

    def doubts(
        self, folders: Iterable[str], now: datetime, name: str, after: Position = FIRST, most: int = MOST_AT_ONCE
    ) -> Mapping[str, Sequence[Doubt]]:
        names = tuple(folders)
        rows = self._in_doubt(names, ">", after, most)
        rows += self._in_doubt(names, "<=", after, most - len(rows))
        tries = self._tries([row["id"] for row in rows])
        found: dict[str, list[Doubt]] = defaultdict(list)
        for row in rows:
            job = job_of(row)
            doubt = doubt_of(job, row["since"] or 0, _of(job, tries[job.id]), now)
            may_resend = doubt.may_resend and carries(job, name)
            position = (row["updated_at"], job.id)
            found[job.connection_id].append(replace(doubt, may_resend=may_resend, position=position))
        return found

    def _in_doubt(self, folders: Sequence[str], side: str, of: Position, most: int) -> list[dict[str, Any]]:
        """The first ones on this side of a position."""
        # One that was unconfirmed before a suspicious start may have had further tries: it is in doubt anew.
        since = (
            "(SELECT max(id) FROM events WHERE job_id = jobs.id AND to_state = 'unconfirmed'"
            " AND (from_state <> 'unconfirmed' OR event = 'doubted'))"
        )
        return list(
            self._queue.rows(
                f"SELECT jobs.*, {since} AS since FROM jobs INDEXED BY unfinished WHERE state <> 'done' AND state = 'unconfirmed'"
                f" AND (updated_at, id) {side} (?, ?) AND folder IN ({placeholders(folders) or 'NULL'})"
                " ORDER BY updated_at, id LIMIT ?",
                (*of, *folders, most),
            )
        )

    def checks(self, folders: Iterable[str]) -> Mapping[str, Sequence[Check]]:
        names = tuple(folders)
        rows = self._queue.rows(
            "SELECT * FROM jobs INDEXED BY with_leftovers WHERE leftovers = 1 AND state IN ('uploaded', 'done')"
            f" AND folder IN ({placeholders(names) or 'NULL'}) LIMIT {_MOST_CHECKS}",
            names,
        )
        tries = self._tries([row["id"] for row in rows])
        found: dict[str, list[Check]] = defaultdict(list)
        for row in rows:
            job = job_of(row)
            whole = tuple(each.recording_id for each in tries[job.id] if each.committed)
            if job.doubted and job.uid:  # and any of which the queue that was lost would have told
                on_record = {each.recording_id for each in tries[job.id]}
                every = (recording_id(job.uid, n) for n in range(job.claims, 0, -1))
                whole = tuple(name for name in every if name in whole or name not in on_record)
            broken = tuple(each.recording_id for each in tries[job.id] if not each.committed)
            found[job.connection_id].append(Check(job_id=job.id, talk_id=job.talk_id or "", whole=whole, broken=broken))
        return found

    def known(self, connection_id: str, name: str) -> Sequence[Known]:
        # The claim of a try that carried all in one message is the event by which it reached its commit point.
        claimed = (
            "(SELECT max(id) FROM events AS begun WHERE begun.job_id = jobs.id AND begun.id < ended.id"
            " AND (begun.event = 'claimed' OR begun.event = 'committing' AND begun.from_state <> 'uploading'))"
        )
        rows = self._queue.rows(
            f"SELECT jobs.uid, jobs.claims, jobs.talk_id, jobs.fields, {claimed} AS claimed FROM events AS ended"
            " JOIN jobs ON jobs.id = ended.job_id"
            f" WHERE ended.id > (SELECT max(id) FROM events) - {_LAST_EVENTS} AND ended.event = 'accepted'"
            " AND jobs.connection_id = ? AND jobs.state IN ('uploaded', 'done') ORDER BY ended.id DESC"
            f" LIMIT {_MOST_KNOWN}",
            (connection_id,),
        )
        return [
            Known(talk_id=row["talk_id"], recording_id=recording_id(row["uid"], row["claims"]), claimed=row["claimed"] or 0)
            for row in rows
            if _fields(row["fields"]).get(name) == recording_id(row["uid"], row["claims"])
        ]

    def add_orphan(self, job_id: int, connection_id: str, talk_id: str, recording_id: str, at: datetime, *, whole: bool) -> bool:
        return self._queue.write(
            "INSERT OR IGNORE INTO orphans (talk_id, job_id, connection_id, recording_id, whole, found_at)"
            # A job that was forgotten meanwhile leaves the talk all the same: it is to be deleted, now more than ever.
            " VALUES (?, (SELECT id FROM jobs WHERE id = ?), ?, ?, ?, ?)",
            (talk_id, job_id, connection_id, recording_id, int(whole), to_us(at)),
        )

    def orphans(self, *, seen: bool = False) -> Sequence[OrphanTalk]:
        """Those on record, the latest first; with `seen` also those that the operator has dealt with."""
        where = "" if seen else "WHERE seen_at IS NULL"
        return [
            OrphanTalk(
                talk_id=row["talk_id"],
                job_id=row["job_id"],
                connection_id=row["connection_id"],
                recording_id=row["recording_id"],
                whole=bool(row["whole"]),
                found_at=from_us(row["found_at"]),
                seen_at=from_us(row["seen_at"]) if row["seen_at"] is not None else None,
            )
            for row in self._queue.rows(f"SELECT * FROM orphans {where} ORDER BY found_at DESC, talk_id")
        ]

    def orphan_seen(self, talk_id: str, at: datetime) -> bool:
        """The operator has dealt with it; False when there is none with this id that was not dealt with before."""
        return self._queue.write("UPDATE orphans SET seen_at = ? WHERE talk_id = ? AND seen_at IS NULL", (to_us(at), talk_id))

    def _tries(self, job_ids: Sequence[int]) -> Mapping[int, Sequence[Try]]:
        found: dict[int, list[Try]] = defaultdict(list)
        for start in range(0, len(job_ids), 500):
            part = job_ids[start : start + 500]
            rows = self._queue.tuples(
                f"SELECT job_id, uid, n, committed_at FROM attempts WHERE job_id IN ({placeholders(part)})"
                " AND uid IS NOT NULL ORDER BY job_id, n",
                part,
            )
            for job_id, uid, n, committed_at in rows:
                found[job_id].append(Try(recording_id(uid, n), committed_at is not None))
        return found


def _of(job: Job, tries: Sequence[Try]) -> Sequence[Try]:
    """As they concern what the job stands for now: tries of what lay at the place before count for nothing."""
    return [each if each.recording_id.startswith(f"{job.uid}-") else Try(each.recording_id, committed=False) for each in tries]


def _fields(text: str | None) -> Mapping[str, Any]:
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}
