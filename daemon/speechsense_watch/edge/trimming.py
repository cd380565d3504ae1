"""What grows old in the queue: history goes first, and long after a file is gone all that was known of it.

Both in parts: whoever writes waits for a part, not for a million rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from speechsense_watch.edge.agreement import remember
from speechsense_watch.edge.history import Connection, History
from speechsense_watch.edge.rows import placeholders, to_us

# So many rows are trimmed in one write.
_TOGETHER = 500
# For so many that are forgotten the journal is written anew once.
_FORGOTTEN_TOGETHER = 10_000


def trim(connection: Connection, before: datetime) -> int:
    """Some of the finished rows last changed before then keep only what tells that they were sent; returns how many."""
    old = "state IN ('done', 'skipped') AND updated_at < ?"
    which = f"jobs INDEXED BY with_history WHERE trimmed = 0 AND {old} ORDER BY updated_at LIMIT {_TOGETHER}"
    ids = [job_id for (job_id,) in connection.tuples(f"SELECT id FROM {which}", (to_us(before),))]
    if ids:
        with connection.transaction() as conn:
            # One of them may have been changed since.
            still, keys = f"id IN ({placeholders(ids)}) AND {old}", (*ids, to_us(before))
            for table in ("events", "attempts"):
                conn.execute(f"DELETE FROM {table} WHERE job_id IN (SELECT id FROM jobs WHERE {still})", keys)
            conn.execute(f"UPDATE jobs SET fields = NULL, trimmed = 1 WHERE {still}", keys)
    return len(ids)


def forget_gone(connection: Connection, history: History, before: datetime, folders: Iterable[str]) -> int:
    """Some of the rows whose files were gone before then go, journal line first, where their folder is among these; returns how
    many.
    """
    names = tuple(folders)
    gone = connection.tuples(
        "SELECT id, uid FROM jobs INDEXED BY gone WHERE gone_at IS NOT NULL AND state = 'done' AND gone_at < ?"
        f" AND folder IN ({placeholders(names) or 'NULL'}) ORDER BY gone_at LIMIT {_FORGOTTEN_TOGETHER}",
        (to_us(before), *names),
    )
    if not gone:
        return 0
    mark = history.mark()
    left = history.forget((uid for _, uid in gone), size=mark.size if mark else 0)
    end = history.end_at(left)
    for start in range(0, len(gone), _TOGETHER):
        with connection.transaction() as conn:
            conn.executemany("DELETE FROM jobs WHERE id = ?", [(job_id,) for job_id, _ in gone[start : start + _TOGETHER]])
            if mark and start + _TOGETHER >= len(gone):
                remember(conn, replace(mark, size=left, end=end, talks=mark.talks - len(gone)))
    return len(gone)
