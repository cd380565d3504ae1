"""The queue: the only truth about what was sent. What `apply` returned is on disk."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from speechsense_watch.core.model import Job, Place, State, digest_of
from speechsense_watch.core.rules import Order
from speechsense_watch.core.suspicion import Suspicion
from speechsense_watch.edge.ready import Ready
from speechsense_watch.edge.rows import HOLDING_UID, from_us, job_of, path_bytes, placeholders, to_us
from speechsense_watch.edge.trimming import forget_gone, trim
from speechsense_watch.edge.writing import WrittenQueue
from speechsense_watch.ports import Selection, Tried

# What was written a moment after somebody looked at the clock is not from the future.
_SAME_MOMENT = timedelta(seconds=5)
# Millions of jobs are done and a few are not. SQLite keeps no statistics here and takes a partial index only where its
# condition stands in the query (sqlite.org/partialindex.html), so what is asked often names the index that leaves the
# finished jobs out: were it of no use, the statement would fail and not just be slow (sqlite.org/lang_indexedby.html).
_UNFINISHED = "INDEXED BY unfinished WHERE state <> 'done' AND"
# Every row of a uid: each is in one of two indexes.
_OF_UID = (f"uid = ? AND state IN ({HOLDING_UID})", f"uid = ? AND state NOT IN ({HOLDING_UID})")
# So many rows are read or written at a time: others need the connection too.
_A_PAGE = 2_000


class SqliteQueue(WrittenQueue):
    """Keeps `ports.Queue`."""

    def _opened(self) -> None:
        super()._opened()
        self._known_runtime: dict[str, str] = {}
        self._ready = Ready(self)

    def _jobs(self, which: str, parameters: Sequence[object] = ()) -> list[Job]:
        return [job_of(row) for row in self.rows(f"SELECT jobs.* FROM jobs {which}", parameters)]

    def _one(self, where: str, parameters: Sequence[object]) -> Job | None:
        found = self._jobs(f"WHERE {where} LIMIT 1", parameters)
        return found[0] if found else None

    # --- reading -----------------------------------------------------------------------------

    def job(self, job_id: int) -> Job | None:
        return self._one("id = ?", (job_id,))

    def at_place(self, place: Place) -> Job | None:
        return self.at_places(place.folder, [place.path]).get(place.path)

    def at_places(self, folder: str, paths: Sequence[str]) -> Mapping[str, Job]:
        found: dict[str, Job] = {}
        for start in range(0, len(paths), 500):
            part = paths[start : start + 500]
            # By directory as well, since the index over all rows begins with it.
            directories = {posixpath.dirname(path) for path in part}
            where = f"WHERE folder = ? AND directory IN ({placeholders(tuple(directories))}) AND place IN ({placeholders(part)})"
            order = " ORDER BY state <> 'done', id"  # the last one read wins: the open one, else the newest
            keys = (folder, *map(path_bytes, directories), *map(path_bytes, part))
            found |= {job.place.path: job for job in self._jobs(where + order, keys)}
        return found

    def unsent_places(self, folder: str) -> Iterator[tuple[int, str]]:
        sql = (
            "SELECT id, place FROM jobs INDEXED BY one_open_job_a_place WHERE state <> 'done' AND state IN ('waiting', 'ready')"
            f" AND folder = ? AND place > ? ORDER BY place LIMIT {_A_PAGE}"
        )
        last = b""
        while page := self.tuples(sql, (folder, last)):
            yield from ((job_id, os.fsdecode(place)) for job_id, place in page)
            last = page[-1][1]

    def due(self, now: datetime, limit: int, order: Order, choice: Selection) -> Sequence[Job]:
        queries = tuple(self._ready.due(to_us(now), limit, order, choice))
        found = [job_of(row) for query in queries for row in self.rows(*query)]
        if len(queries) > 1:
            found.sort(key=lambda job: job.recorded_at, reverse=order is Order.NEWEST)
        return found[:limit]

    def next_due(self, choice: Selection, resending: Iterable[str]) -> datetime | None:
        ready = self._ready.next_at(choice)
        names = tuple(resending)
        lost = self._earliest(f"state = 'unconfirmed' AND owner IS NULL AND folder IN ({_any_of(names)})", names)
        return min((at for at in (None if ready is None else from_us(ready), lost) if at is not None), default=None)

    def _earliest(self, where: str, keys: Sequence[object] = ()) -> datetime | None:
        at = self.tuples(f"SELECT min(next_attempt_at) FROM jobs {_UNFINISHED} {where}", keys)[0][0]
        return from_us(at) if at is not None else None

    def reconnect(self, folder: str, connection_id: str) -> None:
        elsewhere = "folder = ? AND connection_id <> ? AND possible_duplicate = 0"
        waiting = f"SELECT 1 FROM jobs {_UNFINISHED} state = 'waiting' AND {elsewhere} LIMIT 1"
        # Asked first: with each start there is nothing to be changed, and a million that are ready to be looked at.
        if {(folder, connection_id)} >= {each for each in self._ready.groups() if each[0] == folder} and not self.tuples(
            waiting, (folder, connection_id)
        ):
            return
        with self.transaction() as conn:
            conn.execute(
                f"UPDATE jobs INDEXED BY unfinished SET connection_id = ? WHERE state <> 'done' AND state IN ('waiting', 'ready')"
                f" AND {elsewhere}",
                (connection_id, folder, connection_id),
            )

    def uploaded_due(self, now: datetime, limit: int) -> Sequence[Job]:
        which = f"{_UNFINISHED} state = 'uploaded' AND next_attempt_at <= ?"
        return self._jobs(f"{which} ORDER BY updated_at LIMIT ?", (to_us(now), limit))

    def sent_since(self, folder: str, since: datetime, limit: int) -> Sequence[str | None]:
        tried = "EXISTS (SELECT 1 FROM attempts WHERE job_id = jobs.id AND started_at >= ?)"
        late = f"folder = ? AND updated_at >= ? AND {tried}"
        done = f"SELECT id, talk_id FROM jobs INDEXED BY finished WHERE state = 'done' AND {late}"
        rest = f"SELECT id, talk_id FROM jobs {_UNFINISHED} state IN ('unconfirmed', 'uploaded') AND {late}"
        again = (
            "SELECT id, talk_id FROM jobs INDEXED BY doubtful WHERE possible_duplicate = 1 AND state <> 'done'"
            f" AND state IN ('waiting', 'ready') AND {late}"
        )
        keys = (folder, to_us(since), to_us(since))
        # Not sorted by SQLite, which would read all there are for that.
        found = self.tuples(f"{done} UNION ALL {rest} UNION ALL {again} LIMIT ?", (*keys, *keys, *keys, limit))
        return [talk_id for _, talk_id in sorted(found)]

    def next_filing(self) -> datetime | None:
        return self._earliest("state = 'uploaded'")

    def bring_near(self, horizon: datetime, now: datetime) -> int:
        """What a clock that was ahead has written: it has been put right since."""
        ahead = "next_attempt_at > ? AND (next_attempt_at > ? OR updated_at > ?)"
        keys = (to_us(now), to_us(horizon), to_us(now + _SAME_MOMENT))
        rest = f"SELECT id FROM jobs {_UNFINISHED} state IN ('unconfirmed', 'uploaded') AND {ahead}"
        found = [*self._ready.ahead(*keys), *(job_id for (job_id,) in self.tuples(rest, keys))]
        which = f"id = ? AND state IN ('ready', 'unconfirmed', 'uploaded') AND {ahead}"
        # Mostly there is nothing: then nobody waits for a write that changes nothing, nor for one that changes a million rows.
        for start in range(0, len(found), _A_PAGE):
            with self.transaction() as conn:
                part = [(to_us(now), job_id, *keys) for job_id in found[start : start + _A_PAGE]]
                conn.executemany(f"UPDATE jobs SET next_attempt_at = ? WHERE {which}", part)
        return len(found)

    def to_resend(self, now: datetime, folders: Iterable[str]) -> Sequence[Job]:
        names = tuple(folders)
        which = f"state = 'unconfirmed' AND owner IS NULL AND next_attempt_at <= ? AND folder IN ({_any_of(names)})"
        return self._jobs(f"{_UNFINISHED} {which} ORDER BY updated_at LIMIT 1000", (to_us(now), *names))

    def in_states(self, states: Iterable[State], limit: int = 1000) -> Sequence[Job]:
        names = [state.value for state in states]
        begin = "WHERE" if State.DONE in names else _UNFINISHED
        return self._jobs(f"{begin} state IN ({_any_of(names)}) ORDER BY updated_at LIMIT ?", (*names, limit))

    def holder_of(self, uid: str) -> Job | None:
        return self._one(f"uid = ? AND state IN ({HOLDING_UID})", (uid,))

    def of_talk(self, talk_id: str) -> Job | None:
        return self._one("talk_id = ?", (talk_id,))

    def is_forgotten(self, audio_sha256: str) -> bool:
        return bool(self.tuples("SELECT 1 FROM forgotten WHERE digest = ?", (digest_of(audio_sha256),)))

    def tried_before(self, uid: str) -> Tried:
        """By jobs that stand for it now, and by tries of jobs that were read anew since: an id is never used twice."""
        jobs = " UNION ALL ".join(
            f"SELECT max(claims) AS n, max(possible_duplicate) AS doubt FROM jobs WHERE {which}" for which in _OF_UID
        )
        tries = "SELECT max(n), 0 FROM attempts WHERE uid = ?"
        claims, doubt = self.tuples(f"SELECT max(n), max(doubt) FROM ({jobs} UNION ALL {tries})", (uid, uid, uid))[0]
        return Tried(claims or 0, bool(doubt))

    def released_duplicates(self) -> Sequence[Job]:
        return self._jobs(
            "INDEXED BY by_duplicate CROSS JOIN jobs AS holder ON holder.id = jobs.duplicate_of"
            " WHERE jobs.duplicate_of IS NOT NULL AND jobs.state = 'skipped' AND jobs.reason = 'duplicate'"
            f" AND holder.state NOT IN ({HOLDING_UID}, 'ready')"
        )

    def counts(self, folder: str | None = None) -> Mapping[State, int]:
        """How many jobs there are in each state, all eleven of them; kept by triggers, so it costs nothing."""
        where, keys = ("WHERE folder = ?", (folder,)) if folder is not None else ("", ())
        rows = self.rows(f"SELECT state, sum(n) AS n FROM counts {where} GROUP BY state", keys)
        return dict.fromkeys(State, 0) | {State(row["state"]): int(row["n"]) for row in rows}

    # --- history -----------------------------------------------------------------------------

    def journal_talk(self, uid: str) -> str | None:
        return self.history.known_talk(uid)

    def suspicion(self) -> Suspicion | None:
        return self.history.suspicion()

    def first_watched(self, name: str, path: str, now: datetime) -> datetime:
        return self.history.first_watched(name, path, now)

    def keep_up(self) -> None:
        self.history.keep_up()

    def trim(self, before: datetime, forget_before: datetime, folders: Iterable[str]) -> int:
        return trim(self, before) or forget_gone(self, self.history, forget_before, folders)

    # --- what lives in the daemon --------------------------------------------------------------

    def set_runtime(self, key: str, value: object) -> None:
        text = json.dumps(value, sort_keys=True)
        if self._known_runtime.get(key) == text:
            return
        with self.transaction(spare=key == "paused") as conn:
            # SQLite leaves a page alone that would become what it was, so this is no write after a restart either.
            conn.execute("INSERT INTO runtime VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, text))
        self._known_runtime[key] = text
        self._told = None

    def runtime(self) -> Mapping[str, object]:
        """Asked at every step of the uploader, and hardly ever another one than before."""
        with self._lock:
            version = self._version()
            if self._told is None or self._told[0] != version:
                self._told = version, self._read_runtime()
            return self._told[1]

    def _read_runtime(self) -> Mapping[str, object]:
        return {row["key"]: json.loads(row["value"]) for row in self.rows("SELECT key, value FROM runtime")}


def _any_of(names: Sequence[object]) -> str:
    """What stands in an IN. Of nothing SQLite makes a condition that is never true, and no index fits that."""
    return placeholders(names) or "NULL"
