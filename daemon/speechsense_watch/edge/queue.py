"""The queue: the only truth about what was sent. What `apply` returned is on disk."""

from __future__ import annotations

import json
import os
import posixpath
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from speechsense_watch.core.edges import AttemptBegun, AttemptCommitted, AttemptEnded, Change, Event
from speechsense_watch.core.model import HOLDS_UID, Job, Place, State, digest_of
from speechsense_watch.core.rules import Order
from speechsense_watch.core.suspicion import Suspicion
from speechsense_watch.core.taking import SUSPECT_AFTER
from speechsense_watch.edge.ballast import Ballast
from speechsense_watch.edge.history import History
from speechsense_watch.edge.journal import Journal
from speechsense_watch.edge.newcomers import insertion
from speechsense_watch.edge.queue_file import QueueFile, translated
from speechsense_watch.edge.rows import EVENT, columns_of, event_of, from_us, job_of, path_bytes, placeholders, to_us
from speechsense_watch.ports import Arrival, Newcomer, QueueTrouble, Selection, Stale, UidTaken

# What was written a moment after somebody looked at the clock is not from the future.
_SAME_MOMENT = timedelta(seconds=5)
_HOLDS_UID = ", ".join(f"'{state}'" for state in sorted(HOLDS_UID))
# Millions of jobs are done and a few are not. SQLite keeps no statistics here and takes a partial index only where its
# condition stands in the query (sqlite.org/partialindex.html), so what is asked often names the index that leaves the
# finished jobs out: were it of no use, the statement would fail and not just be slow (sqlite.org/lang_indexedby.html).
_UNFINISHED = "INDEXED BY unfinished WHERE state <> 'done' AND"
# What the filer, the intake, look-ups and commands change on a row that stays in its state. A change decided before one of
# theirs would take that back.
_KEPT_BY_SEVERAL = ("possible_duplicate", "changed_after_upload", "filed_to", "metadata_filed_to", "gone_at", "leftovers")
# What records how an upload ended: for these the ballast is given up.
_ENDS = frozenset(
    {
        *(Event.ACCEPTED, Event.ADOPTED, Event.CONFIRMED, Event.REFUSED, Event.FAILED),
        *(Event.GIVEN_BACK, Event.OUTCOME_UNKNOWN, Event.READ_ANEW),
    }
)


class SqliteQueue(QueueFile):
    """Keeps `ports.Queue`."""

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        untouched: bool = False,
        as_it_is: bool = False,
        ballast: Ballast | None = None,
    ) -> None:
        """As `QueueFile`, which tells what the words mean."""
        super().__init__(path, read_only=read_only, untouched=untouched, as_it_is=as_it_is, ballast=ballast)
        self._known_runtime: dict[str, str] = {}
        self.history = History(self, Journal(path.with_name(path.name + ".journal")), path, self._ballast)

    def close(self) -> None:
        """What the journal lacks then, the next start fills in."""
        with self._lock, translated(self.path), suppress(OSError):
            self.history.pay()
        super().close()

    def _jobs(self, which: str, parameters: Sequence[object] = ()) -> list[Job]:
        return [job_of(row) for row in self.rows(f"SELECT jobs.* FROM jobs {which}", parameters)]

    def _one(self, where: str, parameters: Sequence[object]) -> Job | None:
        found = self._jobs(f"WHERE {where} LIMIT 1", parameters)
        return found[0] if found else None

    def make_ready(self) -> None:
        with self._using():
            self._keep_ballast()
            self.history.pay()
        self.make_sure_of_room()

    # --- writing -----------------------------------------------------------------------------

    def apply_each(self, arrivals: Sequence[Arrival]) -> Sequence[Job | None]:
        with self.transaction() as conn:
            made = [self._arrived(conn, arrival) for arrival in arrivals]
        self.history.enter(change for changes in made for change in changes)
        return [changes[-1].after if changes else None for changes in made]

    def enter(self, newcomers: Sequence[Newcomer]) -> Sequence[int | None]:
        with self.transaction() as conn:
            entered = [_entered(conn, ready.after) for _, ready in newcomers]
            made = ((number, changes) for number, changes in zip(entered, newcomers, strict=True) if number is not None)
            conn.executemany(EVENT, (event_of(number, change) for number, changes in made for change in changes))
        return entered

    def _arrived(self, conn: sqlite3.Connection, arrival: Arrival) -> Sequence[Change]:
        """Every change that was written, none when one of them could not be."""
        made: list[Change] = []
        conn.execute("SAVEPOINT arrival")
        try:
            job = arrival.row if isinstance(arrival.row, Job) else self._write_one(conn, arrival.row)
            for step in arrival.then:
                made.append(step(job))
                job = self._write_one(conn, made[-1])
        except (Stale, UidTaken, sqlite3.IntegrityError, sqlite3.DataError, ArithmeticError, ValueError):
            # Whatever it is about one recording that cannot be entered, it does not hold up those that came with it.
            conn.execute("ROLLBACK TO arrival")
            return ()
        finally:
            conn.execute("RELEASE arrival")
        return made

    def _write_one(self, conn: sqlite3.Connection, change: Change) -> Job:
        """The row as the change leaves it."""
        job_id = self._write(conn, change)
        conn.execute(EVENT, event_of(job_id, change))
        _write_attempt(conn, job_id, change)
        return replace(change.after, id=job_id)

    def apply(self, change: Change) -> Job:
        try:
            job_id = self._carry_out(change)
        except QueueTrouble as trouble:
            if not (trouble.full and change.event in _ENDS and self._ballast.give_up()):
                raise
            job_id = self._carry_out(change)
        self.history.enter([change])
        if change.event is Event.FORGOTTEN:
            self.fold_log()
        stored = self.job(job_id)
        if stored is None:
            raise Stale  # `forget` was there right behind us
        return stored

    def _carry_out(self, change: Change) -> int:
        with self.transaction(spare=change.event in _ENDS) as conn:
            return self._write_one(conn, change).id

    def write(self, sql: str, parameters: Sequence[object]) -> bool:
        """One statement about what is no job, on disk when this returns; whether it changed anything."""
        with self.transaction() as conn:
            return conn.execute(sql, parameters).rowcount > 0

    def _write(self, conn: sqlite3.Connection, change: Change) -> int:
        columns = columns_of(change.after)
        try:
            if change.before is None:
                names = ", ".join(columns)
                values = placeholders(tuple(columns))
                return int(conn.execute(f"INSERT INTO jobs ({names}) VALUES ({values})", tuple(columns.values())).lastrowid or 0)
            before = change.before
            assignments = ", ".join(f"{name} = ?" for name in columns)
            seen = columns_of(before)
            as_seen = " AND ".join(f"{name} IS ?" for name in _KEPT_BY_SEVERAL)
            still, sound = _not_forgotten(change)
            kept = (seen[name] for name in _KEPT_BY_SEVERAL)
            done = conn.execute(
                f"UPDATE jobs SET {assignments} WHERE id = ? AND state = ? AND claims = ? AND {as_seen}{still}",
                (*columns.values(), before.id, before.state.value, before.claims, *kept, *sound),
            )
        except sqlite3.IntegrityError as error:
            raise self._conflict(change, error) from error
        if done.rowcount != 1:
            raise Stale
        return before.id

    def forget(self, jobs: Sequence[Job], digests: Iterable[str], at: datetime) -> None:
        """Rows, history and journal lines of these jobs are gone, from the log of the database too, and nothing with these
        digests is sent any more. All of it, or Stale when one of them is not as it was, or in flight.
        """
        gone = sorted(set(digests))
        # First, as `trim` does: a line without a row looks like a queue that was lost.
        self.history.forget((job.uid for job in jobs if job.uid), overwrite=True)
        with self.transaction() as conn:
            conn.executemany("DELETE FROM orphans WHERE job_id = ?", [(job.id,) for job in jobs])
            for job in jobs:
                which = "id = ? AND state = ? AND claims = ? AND state NOT IN ('uploading', 'committing', 'uploaded')"
                if conn.execute(f"DELETE FROM jobs WHERE {which}", (job.id, job.state.value, job.claims)).rowcount != 1:
                    raise Stale
            conn.executemany("INSERT OR IGNORE INTO forgotten VALUES (?, ?)", [(digest, to_us(at)) for digest in gone])
        self.history.stays_forgotten(gone, at)
        self.fold_log()

    def _conflict(self, change: Change, error: sqlite3.IntegrityError) -> Exception:
        if "jobs.uid" in str(error) and change.after.uid:
            holder = self.holder_of(change.after.uid)
            return UidTaken(holder.id) if holder else Stale()
        if "jobs.folder, jobs.place" in str(error):
            return Stale()
        return error

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

    def unsent_places(self, folder: str) -> Sequence[tuple[int, str]]:
        found = self.rows(f"SELECT id, place FROM jobs {_UNFINISHED} state IN ('waiting', 'ready') AND folder = ?", (folder,))
        return [(row["id"], os.fsdecode(row["place"])) for row in found]

    def due(self, now: datetime, limit: int, order: Order, choice: Selection) -> Sequence[Job]:
        direction = "DESC" if order is Order.NEWEST else "ASC"
        chosen, keys = _chosen(choice)
        index, by = ("suspects", "next_attempt_at") if choice.suspects else ("due", f"recorded_at {direction}")
        which = f"INDEXED BY {index} WHERE state = 'ready' AND next_attempt_at <= ? AND {chosen}"
        return self._jobs(f"{which} ORDER BY {by} LIMIT ?", (to_us(now), *keys, limit))

    def next_due(self, choice: Selection, resending: Iterable[str]) -> datetime | None:
        chosen, keys = _chosen(choice)
        index = "suspects" if choice.suspects else "unfinished"
        ready = self._earliest(f"state = 'ready' AND {chosen}", keys, index)
        names = tuple(resending)
        lost = self._earliest(f"state = 'unconfirmed' AND owner IS NULL AND folder IN ({_any_of(names)})", names)
        return min((at for at in (ready, lost) if at is not None), default=None)

    def _earliest(self, where: str, keys: Sequence[object] = (), index: str = "unfinished") -> datetime | None:
        which = f"INDEXED BY {index} WHERE state <> 'done' AND {where}"
        at = self.rows(f"SELECT min(next_attempt_at) AS at FROM jobs {which}", keys)[0]["at"]
        return from_us(at) if at is not None else None

    def reconnect(self, folder: str, connection_id: str) -> None:
        with self.transaction() as conn:
            conn.execute(
                "UPDATE jobs INDEXED BY unfinished SET connection_id = ? WHERE state <> 'done' AND state IN ('waiting', 'ready')"
                " AND possible_duplicate = 0"
                " AND folder = ? AND connection_id <> ?",
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
        which = "state <> 'done' AND state IN ('ready', 'unconfirmed', 'uploaded') AND next_attempt_at > ?"
        ahead = "(next_attempt_at > ? OR updated_at > ?)"
        keys = (to_us(now), to_us(now), to_us(horizon), to_us(now + _SAME_MOMENT))
        with self.transaction() as conn:
            done = conn.execute(f"UPDATE jobs INDEXED BY unfinished SET next_attempt_at = ? WHERE {which} AND {ahead}", keys)
        return done.rowcount

    def to_resend(self, now: datetime, folders: Iterable[str]) -> Sequence[Job]:
        names = tuple(folders)
        which = f"state = 'unconfirmed' AND owner IS NULL AND next_attempt_at <= ? AND folder IN ({_any_of(names)})"
        return self._jobs(f"{_UNFINISHED} {which} ORDER BY updated_at LIMIT 1000", (to_us(now), *names))

    def in_states(self, states: Iterable[State], limit: int = 1000) -> Sequence[Job]:
        names = [state.value for state in states]
        begin = "WHERE" if State.DONE in names else _UNFINISHED
        return self._jobs(f"{begin} state IN ({_any_of(names)}) ORDER BY updated_at LIMIT ?", (*names, limit))

    def holder_of(self, uid: str) -> Job | None:
        return self._one(f"uid = ? AND state IN ({_HOLDS_UID})", (uid,))

    def of_talk(self, talk_id: str) -> Job | None:
        return self._one("talk_id = ?", (talk_id,))

    def is_forgotten(self, audio_sha256: str) -> bool:
        return bool(self.tuples("SELECT 1 FROM forgotten WHERE digest = ?", (digest_of(audio_sha256),)))

    def claims_of(self, uid: str) -> int:
        """Of jobs that stand for it now, and of tries of jobs that were read anew since: an id is never used twice."""
        claimed = "SELECT max(claims) AS n FROM jobs WHERE uid = ?"
        tried = "SELECT max(n) FROM attempts WHERE uid = ?"
        found = self.tuples(f"SELECT max(n) FROM ({claimed} UNION ALL {tried})", (uid, uid))
        return int(found[0][0] or 0)

    def in_doubt(self, uid: str) -> bool:
        return bool(self.tuples("SELECT 1 FROM jobs WHERE uid = ? AND possible_duplicate = 1 LIMIT 1", (uid,)))

    def released_duplicates(self) -> Sequence[Job]:
        return self._jobs(
            "INDEXED BY by_duplicate CROSS JOIN jobs AS holder ON holder.id = jobs.duplicate_of"
            " WHERE jobs.duplicate_of IS NOT NULL AND jobs.state = 'skipped' AND jobs.reason = 'duplicate'"
            f" AND holder.state NOT IN ({_HOLDS_UID}, 'ready')"
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

    def trim(self, before: datetime, forget_before: datetime, folders: Iterable[str]) -> int:
        return self.history.trim(before, forget_before, folders)

    # --- what lives in the daemon --------------------------------------------------------------

    def set_runtime(self, key: str, value: object) -> None:
        text = json.dumps(value, sort_keys=True)
        if self._known_runtime.get(key) == text:
            return
        with self.transaction(spare=key == "paused") as conn:
            # SQLite leaves a page alone that would become what it was, so this is no write after a restart either.
            conn.execute("INSERT INTO runtime VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, text))
        self._known_runtime[key] = text

    def runtime(self) -> Mapping[str, object]:
        return {row["key"]: json.loads(row["value"]) for row in self.rows("SELECT key, value FROM runtime")}


def _chosen(choice: Selection) -> tuple[str, tuple[object, ...]]:
    """The choice as a condition and its parameters; folders and pausing connections are few, jobs in work too."""
    parts = (tuple(choice.folders), tuple(choice.again), tuple(choice.without_jobs), tuple(choice.without_connections))
    folders, again, jobs, connections = (placeholders(part) for part in parts)
    where = f"folder IN ({folders or 'NULL'})"
    if again:
        where = f"({where} OR folder IN ({again}) AND possible_duplicate = 1)"
    # Written out, since the index of the suspects is taken only where its condition stands in the query.
    where += f" AND deaths {'>=' if choice.suspects else '<'} {SUSPECT_AFTER}"
    if choice.most_bytes is not None:
        where += f" AND audio_size <= {choice.most_bytes}"
    return f"{where} AND id NOT IN ({jobs}) AND connection_id NOT IN ({connections})", sum(parts, ())


def _not_forgotten(change: Change) -> tuple[str, tuple[str, ...]]:
    """What a claim needs beside an unchanged row, and its parameters: another row of the call may have been forgotten since it
    was asked. It is stale then, like one whose own row was.
    """
    audio = change.after.audio
    if audio is None or not isinstance(change.attempt, AttemptBegun):
        return "", ()
    return " AND NOT EXISTS (SELECT 1 FROM forgotten WHERE digest = ?)", (digest_of(audio.sha256),)


def _any_of(names: Sequence[object]) -> str:
    """What stands in an IN. Of nothing SQLite makes a condition that is never true, and no index fits that."""
    return placeholders(names) or "NULL"


def _entered(conn: sqlite3.Connection, job: Job) -> int | None:
    try:
        done = conn.execute(*insertion(job))
    except (sqlite3.IntegrityError, sqlite3.DataError, ArithmeticError, ValueError):
        return None  # as in `apply_each`, it does not hold up those that came with it
    return done.lastrowid if done.rowcount == 1 else None


def _write_attempt(conn: sqlite3.Connection, job_id: int, change: Change) -> None:
    match change.attempt:
        case AttemptBegun() as begun:
            at = to_us(begun.started_at)
            conn.execute(
                "INSERT INTO attempts (job_id, n, uid, request_id, started_at, committed_at) VALUES (?, ?, ?, ?, ?, ?)",
                (job_id, begun.n, begun.uid, begun.request_id, at, at if begun.committed else None),
            )
        case AttemptCommitted(n=n, committed_at=at):
            conn.execute("UPDATE attempts SET committed_at = ? WHERE job_id = ? AND n = ?", (to_us(at), job_id, n))
        case AttemptEnded() as end:
            conn.execute(
                "UPDATE attempts SET ended_at = ?, code = ?, message = ?, verdict = ?, server_request_id = ?, bytes_sent = ?"
                " WHERE job_id = ? AND n = ?",
                (
                    to_us(end.ended_at),
                    end.code,
                    end.message,
                    end.verdict,
                    end.server_request_id,
                    end.bytes_sent,
                    job_id,
                    end.n,
                ),
            )
        case None:
            pass
