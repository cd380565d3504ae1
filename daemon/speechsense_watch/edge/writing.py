"""How changes get into the queue: each recording's whole or not at all, and those of many in one write.

A write waits for the disk (synchronous=FULL), which takes a fraction of a millisecond on one machine and 20 ms on another. So
what was found complete, what is about to be sent and what has ended is each written for many recordings at once, every one whole
or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime

from speechsense_watch.core.edges import AttemptBegun, AttemptCommitted, AttemptEnded, Change, Event
from speechsense_watch.core.model import Job, digest_of
from speechsense_watch.edge.history import History
from speechsense_watch.edge.journal import Journal
from speechsense_watch.edge.queue_file import QueueFile, translated
from speechsense_watch.edge.rows import (
    EVENT,
    HOLDING_UID,
    as_stored,
    changed_columns,
    columns_of,
    event_of,
    insertion,
    to_us,
)
from speechsense_watch.ports import Arrival, QueueTrouble, Stale, UidTaken

# What the filer, the intake, look-ups and commands change on a row that stays in its state. A change decided before one of
# theirs would take that back.
_KEPT_BY_SEVERAL = ("possible_duplicate", "changed_after_upload", "filed_to", "metadata_filed_to", "gone_at", "leftovers")
_AS_SEEN = " AND ".join(f"{name} IS ?" for name in _KEPT_BY_SEVERAL)
# What records how an upload ended: for these the ballast is given up.
_ENDS = frozenset(
    {
        *(Event.ACCEPTED, Event.ADOPTED, Event.CONFIRMED, Event.REFUSED, Event.FAILED),
        *(Event.GIVEN_BACK, Event.OUTCOME_UNKNOWN, Event.READ_ANEW),
    }
)

# What one recording brings up.
_ABOUT_ONE = (Stale, UidTaken, sqlite3.IntegrityError, sqlite3.DataError, ArithmeticError, ValueError)

# The changes that were written for one arrival, the rows in them as they are now; or why none was.
_Made = Sequence[Change] | Exception


class WrittenQueue(QueueFile):
    """The writing half of `ports.Queue`."""

    def _opened(self) -> None:
        super()._opened()
        # What `runtime` said last, and the file's version of then: other processes write to it as well.
        self._told: tuple[int, Mapping[str, object]] | None = None
        self.history = History(self, Journal(self.path.with_name(f"{self.path.name}.journal")), self.path, self._ballast)

    def close(self) -> None:
        """What the journal lacks then, the next start fills in."""
        with self._lock, translated(self.path), suppress(OSError):
            self.history.pay()
        super().close()

    def runtime_changed(self) -> None:
        """Others than `set_runtime` write to it over this connection now."""
        self._told = None

    def make_ready(self) -> None:
        with self._using():
            self._keep_ballast()
            self.history.pay()
        self.make_sure_of_room()

    def apply(self, change: Change) -> Job:
        made = self._in_one_write([Arrival(change)])[0]
        if isinstance(made, Exception):
            with translated(self.path):
                raise made
        self.history.enter(made)
        if change.event is Event.FORGOTTEN:
            self.fold_log()
        return made[-1].after

    def apply_each(self, arrivals: Sequence[Arrival]) -> Sequence[Job | None]:
        made = self._in_one_write(arrivals)
        whole = [[] if isinstance(changes, Exception) else changes for changes in made]
        self.history.enter(change for changes in whole for change in changes)
        return [changes[-1].after if changes else None for changes in whole]

    def write(self, sql: str, parameters: Sequence[object]) -> bool:
        """One statement about what is no job, on disk when this returns; whether it changed anything."""
        with self.transaction() as conn:
            return conn.execute(sql, parameters).rowcount > 0

    def _in_one_write(self, arrivals: Sequence[Arrival]) -> Sequence[_Made]:
        ends = all(isinstance(arrival.row, Change) and arrival.row.event in _ENDS for arrival in arrivals)
        try:
            return self._write_all(arrivals, spare=ends)
        except QueueTrouble as trouble:
            if not (trouble.full and ends and self._ballast.give_up()):
                raise
            return self._write_all(arrivals, spare=ends)

    def _write_all(self, arrivals: Sequence[Arrival], *, spare: bool) -> Sequence[_Made]:
        with self.transaction(spare=spare) as conn:
            made = [self._arrived(conn, arrival) for arrival in arrivals]
            written = [changes for changes in made if not isinstance(changes, Exception)]
            conn.executemany(EVENT, (event_of(changes[-1].after.id, change) for changes in written for change in changes))
        return made

    def _arrived(self, conn: sqlite3.Connection, arrival: Arrival) -> _Made:
        """All of its changes are written but for their events, which are for whoever writes them for all; or none is."""
        try:
            return self._write_changes(conn, _changes_of(arrival), free=arrival.free)
        except _ABOUT_ONE as error:
            # Whatever it is about one recording that cannot be entered, it does not hold up those that came with it.
            return error

    def _write_changes(self, conn: sqlite3.Connection, changes: Sequence[Change], *, free: bool) -> Sequence[Change]:
        """One row is written for all of them, as the last one leaves it, and their tries. Returns them with that row."""
        if not changes:
            return ()
        tries = [change for change in changes if change.attempt is not None]
        # A statement that fails leaves nothing behind by itself.
        with _all_or_nothing(conn) if tries else nullcontext():
            job_id = _write_row(conn, changes, free=free)
            for change in tries:
                _write_attempt(conn, job_id, change)
        last = changes[-1]
        after = as_stored(last.after, job_id)
        return changes if after is last.after else [*changes[:-1], replace(last, after=after)]

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


def _changes_of(arrival: Arrival) -> Sequence[Change]:
    """One after the other, each made from the row that the one before leaves."""
    changes = [arrival.row] if isinstance(arrival.row, Change) else []
    row = arrival.row.after if isinstance(arrival.row, Change) else arrival.row
    for step in arrival.then:
        changes.append(step(row))
        row = changes[-1].after
    return changes


@contextmanager
def _all_or_nothing(conn: sqlite3.Connection) -> Iterator[None]:
    conn.execute("SAVEPOINT arrival")
    try:
        yield
    except _ABOUT_ONE:
        conn.execute("ROLLBACK TO arrival")
        conn.execute("RELEASE arrival")
        raise
    conn.execute("RELEASE arrival")


def _write_row(conn: sqlite3.Connection, changes: Sequence[Change], *, free: bool) -> int:
    """The number of the row, which is as the last change leaves it. Raises Stale, UidTaken when the first one does not hold."""
    before, after = changes[0].before, changes[-1].after
    try:
        if before is None:
            done = conn.execute(*insertion(after, free=free))
            if done.rowcount != 1:
                raise Stale
            return int(done.lastrowid or 0)
        columns, seen = changed_columns(before, after), columns_of(before, _KEPT_BY_SEVERAL)
        assignments = ", ".join(f"{name} = ?" for name in columns)
        still, sound = _not_forgotten(changes)
        done = conn.execute(
            f"UPDATE jobs SET {assignments} WHERE id = ? AND state = ? AND claims = ? AND {_AS_SEEN}{still}",
            (*columns.values(), before.id, before.state.value, before.claims, *seen.values(), *sound),
        )
    except sqlite3.IntegrityError as error:
        raise _conflict(conn, after, error) from error
    if done.rowcount != 1:
        raise Stale
    return before.id


def _not_forgotten(changes: Sequence[Change]) -> tuple[str, tuple[str, ...]]:
    """What a claim needs beside an unchanged row, and its parameters: another row of the call may have been forgotten since it
    was asked. It is stale then, like one whose own row was.
    """
    audio = changes[-1].after.audio
    if audio is None or not any(isinstance(change.attempt, AttemptBegun) for change in changes):
        return "", ()
    return " AND NOT EXISTS (SELECT 1 FROM forgotten WHERE digest = ?)", (digest_of(audio.sha256),)


def _conflict(conn: sqlite3.Connection, job: Job, error: sqlite3.IntegrityError) -> Exception:
    if "jobs.uid" in str(error) and job.uid:
        sql = f"SELECT id FROM jobs WHERE uid = ? AND state IN ({HOLDING_UID})"
        holder = conn.execute(sql, (job.uid,)).fetchone()
        return UidTaken(holder[0]) if holder else Stale()
    if "jobs.folder, jobs.place" in str(error):
        return Stale()
    return error


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
