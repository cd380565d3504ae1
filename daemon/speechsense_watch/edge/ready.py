"""What is ready to be sent, asked for at every step of the uploader: each question costs the same however much is ready.

A pause or a trial may leave a million recordings of one folder behind those of another that are sent meanwhile. So the index
holds what is ready by folder and connection, and only such groups are read as may be picked from. They are few: a folder sends
to one connection, and to another only what was in doubt when that was changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from speechsense_watch.core.rules import Order
from speechsense_watch.core.taking import SUSPECT_AFTER
from speechsense_watch.edge.rows import placeholders
from speechsense_watch.ports import Selection

Query = tuple[str, tuple[object, ...]]
Group = tuple[str, str]

# From one connection of a folder to its next, each by one step into the index. `counts` has the folders.
_NEXT = "SELECT min(connection_id) FROM jobs INDEXED BY due WHERE state = 'ready' AND folder ="
_GROUPS = f"""
WITH RECURSIVE here(folder, connection) AS (
  SELECT folder, ({_NEXT} counts.folder) FROM counts WHERE state = 'ready' AND n > 0
  UNION ALL SELECT folder, ({_NEXT} here.folder AND connection_id > here.connection) FROM here WHERE connection IS NOT NULL
) SELECT folder, connection FROM here WHERE connection IS NOT NULL
"""
# SQLite takes 500 at most in a row (sqlite.org/limits.html, "Maximum Number Of Terms In A Compound SELECT").
_TOGETHER = 400
_GROUP = "state = 'ready' AND folder = ? AND connection_id = ?"
_DOUBTFUL = "doubtful WHERE possible_duplicate = 1 AND state <> 'done'"


class Connection(Protocol):
    def tuples(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...


class Ready:
    """Asks the queue's connection, or says what to ask it: a Query is a statement with its parameters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def groups(self) -> Sequence[Group]:
        """Folders that have something ready, with the connections it goes to."""
        return self._connection.tuples(_GROUPS)

    def due(self, now_us: int, limit: int, order: Order, choice: Selection) -> Iterator[Query]:
        """Each for the rows of at most `limit` jobs, in order; no more than `limit` of all these are to be taken."""
        if choice.suspects:
            where, keys = _suspects(choice)
            yield f"SELECT * FROM jobs {where} AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?", (*keys, now_us, limit)
            return
        by = "recorded_at DESC" if order is Order.NEWEST else "recorded_at"
        for sources in self._sources(choice, "due"):
            # The first of each place where to look, of these the first, and then their rows.
            of_one = f"SELECT id, recorded_at FROM jobs {{}} AND next_attempt_at <= ? ORDER BY {by} LIMIT ?"
            each = " UNION ALL ".join(f"SELECT * FROM ({of_one.format(where)})" for where, _ in sources)
            first = f"SELECT * FROM ({each}) ORDER BY {by} LIMIT ?"
            sql = f"SELECT jobs.* FROM ({first}) AS first CROSS JOIN jobs ON jobs.id = first.id ORDER BY first.{by}"
            yield sql, (*(key for _, keys in sources for key in (*keys, now_us, limit)), limit)

    def next_at(self, choice: Selection) -> int | None:
        """When the first of them is to be tried, be that over or not."""
        found = [_suspects(choice)] if choice.suspects else [each for part in self._sources(choice, "later") for each in part]
        sql = "SELECT next_attempt_at FROM jobs {} ORDER BY next_attempt_at LIMIT 1"
        return min((at for where, keys in found for (at,) in self._connection.tuples(sql.format(where), keys)), default=None)

    def ahead(self, now_us: int, horizon_us: int, changed_us: int) -> list[int]:
        """Those that are to be tried after the horizon, or later than now and were changed after that moment."""
        later = "next_attempt_at > ? AND (next_attempt_at > ? OR updated_at > ?)"
        sql, keys = f"SELECT id FROM jobs INDEXED BY later WHERE {_GROUP} AND {later}", (now_us, horizon_us, changed_us)
        return [job_id for group in self.groups() for (job_id,) in self._connection.tuples(sql, (*group, *keys))]

    def _sources(self, choice: Selection, index: str) -> Iterator[Sequence[Query]]:
        """Where to look, as what follows FROM jobs. Of some folders only what may have been sent before."""
        open_to = [each for each in self.groups() if each[1] not in choice.without_connections]
        condition, keys = _chosen(choice)
        found = [
            (f"INDEXED BY {index} WHERE {_GROUP} AND {condition}", (*each, *keys))
            for each in open_to
            if each[0] in choice.folders
        ]
        found += [
            (f"INDEXED BY {_DOUBTFUL} AND {_GROUP} AND {condition}", (*each, *keys))
            for each in open_to
            if each[0] in choice.again - choice.folders
        ]
        for start in range(0, len(found), _TOGETHER):
            yield found[start : start + _TOGETHER]


def _chosen(choice: Selection) -> Query:
    """Of a group; jobs in work are few."""
    where = f"deaths < {SUSPECT_AFTER} AND id NOT IN ({placeholders(tuple(choice.without_jobs))})"
    if choice.most_bytes is not None:
        where += f" AND audio_size <= {choice.most_bytes}"
    return where, tuple(choice.without_jobs)


def _suspects(choice: Selection) -> Query:
    """They are few in all, and have an index of their own, which is taken only where its condition stands in the query."""
    parts = (tuple(choice.folders), tuple(choice.again), tuple(choice.without_jobs), tuple(choice.without_connections))
    folders, again, jobs, connections = (placeholders(part) for part in parts)
    chosen = f"(folder IN ({folders or 'NULL'}) OR folder IN ({again or 'NULL'}) AND possible_duplicate = 1)"
    where = f"INDEXED BY suspects WHERE state = 'ready' AND deaths >= {SUSPECT_AFTER} AND {chosen}"
    return f"{where} AND id NOT IN ({jobs}) AND connection_id NOT IN ({connections})", sum(parts, ())
