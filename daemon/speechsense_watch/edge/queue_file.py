"""The queue's file: one SQLite database that is opened, read and written safely, whatever stands in it.

One connection writes, guarded by a lock, in short BEGIN IMMEDIATE transactions (sqlite-utils' `atomic()` is deferred and
fails at once with SQLITE_BUSY_SNAPSHOT when a read precedes the write). WAL with synchronous=FULL: what a transaction wrote is
on disk. Reading commands open the same file read-only beside the daemon.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Any

from sqlite_utils import Database

from speechsense_watch.edge import schema
from speechsense_watch.edge.ballast import Ballast
from speechsense_watch.edge.damage import journal_trouble, no_room_beside, refuse_odd, trouble_of
from speechsense_watch.ports import QueueTrouble

_OLDER = "The queue is of an earlier speechsense-watch: start the daemon anew, which brings it up to date."
_BUSY_TIMEOUT_MS = 10_000
_WAL_TRIES = 5


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's and the journal's errors as QueueTrouble."""
    try:
        yield
    except sqlite3.Error as error:
        raise trouble_of(path, getattr(error, "sqlite_errorname", ""), str(error)) from error
    except OSError as error:
        raise journal_trouble(path, error) from error


class QueueFile:
    """`path` must lie on a local file system; its directory exists. May be used from any thread."""

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        untouched: bool = False,
        as_it_is: bool = False,
        ballast: Ballast | None = None,
    ) -> None:
        """Opens, or creates and migrates. `untouched`: a file that nobody writes is read, without making anything beside it;
        `as_it_is`: by tables that may be those of an earlier version. Raises QueueTrouble, schema.NewerSchema.
        """
        self.path = path
        self._ballast = ballast or Ballast(path)
        # The first fatal trouble: from then on nothing more is asked of this connection.
        self._broken: QueueTrouble | None = None
        # There was no room lately: it has to be shown that there is.
        self._doubted = False
        self._lock = RLock()
        refuse_odd(path)
        with translated(path), ExitStack() as undo:
            self._db = _connected(path, read_only=read_only, untouched=untouched)
            undo.callback(self._db.conn.close)
            if read_only or untouched:
                schema.refuse_newer(self._db)
                if schema.is_older(self._db) and not as_it_is:
                    raise QueueTrouble(_OLDER)
            else:
                _set_up(self._db, path)
            self._data_version = self._pragma("data_version")
            self._identity, self._identity_of_log = _identity(path), _identity(_log_of(path))
            undo.pop_all()
        self._opened()

    def _opened(self) -> None:
        """What a queue has beside its file, made once that is open."""

    def close(self) -> None:
        with self._lock, translated(self.path):
            self._db.conn.close()

    def copy_to(self, target: Path, progress: Callable[[int, int], None] = lambda _done, _pages: None) -> None:
        """The empty file `target` holds the queue as it is at this moment, in one file and on disk, while others go on writing.
        `progress` is told how many pages are done, of how many. Raises QueueTrouble.
        """
        with self._using():
            schema.copy_whole(self._db.conn, target, progress)

    @contextmanager
    def _using(self) -> Iterator[None]:
        """One thread at a time. After a fatal trouble nothing reaches the connection any more: what it would write or answer
        might contradict what is on disk.
        """
        with self._lock:
            if self._broken is not None:
                raise QueueTrouble(str(self._broken), fatal=True)
            try:
                with translated(self.path):
                    yield
            except QueueTrouble as trouble:
                self._doubted |= trouble.full
                if trouble.fatal:
                    self._broken = trouble
                raise

    def rows(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[dict[str, Any]]:
        """For reading: every row of a SELECT."""
        with self._using():
            cursor = self._db.conn.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def tuples(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """The same without the columns' names: half the time where a million rows are read."""
        with self._using():
            return self._db.conn.execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self, *, spare: bool = False) -> Iterator[sqlite3.Connection]:
        """`spare`: it may use the room that the ballast made."""
        with self._using():
            if not spare:
                self._keep_ballast()
            conn = self._db.conn
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield conn
                conn.execute("COMMIT")
            finally:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")

    def fold_log(self) -> None:
        """Nothing of what was written over or deleted is left in the log. Waits for those who read, as long as for any lock; if
        one reads on, the next writes go over it.
        """
        with self._using():
            self._db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def make_sure_of_room(self) -> None:
        """After a trouble for want of room: it is shown that there is some again. Raises QueueTrouble."""
        with self._using():
            if not self._doubted:
                return
            self._ballast.make_sure_of_room()
        with self.transaction() as conn:
            # Random, or SQLite would see that the page stays as it is and write nothing.
            conn.execute("INSERT INTO runtime VALUES ('written', random()) ON CONFLICT DO UPDATE SET value = excluded.value")
        self._doubted = False

    def _keep_ballast(self) -> None:
        try:
            self._ballast.keep()
        except OSError as error:
            raise no_room_beside(self.path, error) from error

    def is_there(self) -> bool:
        """The file that was opened still lies at its path. One that was removed or replaced takes writes that nobody will see."""
        return _identity(self.path) == self._identity

    def take_log_away(self, at: datetime) -> None:
        """To be called after `close`. Where another file was put in the queue's place, the log beside it is still ours: SQLite
        would take it for that file's and write it into it. So it goes aside. Raises OSError.
        """
        log = _log_of(self.path)
        if self.is_there() or not self.path.exists() or _identity(log) != self._identity_of_log:
            return
        log.rename(f"{self.path}.replaced-{at:%Y%m%dT%H%M%SZ}-wal")
        self.path.with_name(f"{self.path.name}-shm").unlink(missing_ok=True)

    def _version(self) -> int:
        """Another one as soon as somebody else has written (sqlite.org/pragma.html, data_version)."""
        with self._using():
            return self._pragma("data_version")

    def changed_elsewhere(self) -> bool:
        with self._using():
            version = self._version()
            changed, self._data_version = version != self._data_version, version
            return changed

    def _pragma(self, name: str) -> int:
        return int(self._db.conn.execute(f"PRAGMA {name}").fetchone()[0])


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def fold(path: Path) -> None:
    """The queue is in its one file; nothing of it is left in the log beside it. To be called while nobody else has it open.
    Raises QueueTrouble; of a file that is no database the log is left alone too.
    """
    with translated(path), closing(_connect(path, "ro&immutable=1").conn) as conn:
        conn.execute("SELECT count(*) FROM sqlite_master")
    with translated(path), closing(_connect(path, "rw").conn) as conn:
        busy = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise QueueTrouble("The queue: somebody else reads it at this moment.")


def mark(path: Path, key: str, value: object) -> None:
    """A word for the next start of a queue that nobody has open yet. Raises QueueTrouble."""
    with translated(path), closing(_connect(path, "rw").conn) as conn:
        conn.execute("INSERT OR REPLACE INTO runtime VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))


def _connected(path: Path, *, read_only: bool, untouched: bool) -> Database:
    if untouched:
        return _connect(path, "ro&immutable=1")
    return _connect_to_read(path) if read_only else _connect(path, "rwc")


def _connect_to_read(path: Path) -> Database:
    """SQLite makes files beside the queue for that. Where it cannot, on a disk that is full or read-only, and nobody has the
    queue open nor left anything to recover, it is read as it lies there (sqlite.org/uri.html, "immutable").
    """
    db = _connect(path, "ro")
    try:
        db.conn.execute("SELECT 1 FROM sqlite_master")
    except sqlite3.OperationalError as error:
        db.conn.close()
        wal = _log_of(path)
        held = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        if held or not path.is_file() or (wal.exists() and wal.stat().st_size > 0):
            raise
        return _connect(path, "ro&immutable=1")
    except sqlite3.Error:
        db.conn.close()
        raise
    return db


def _connect(path: Path, mode: str) -> Database:
    uri = path.absolute().as_uri() + f"?mode={mode}"
    # Several threads share the connection under our own lock; isolation_level=None leaves BEGIN to us.
    conn = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    conn.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    conn.execute("PRAGMA foreign_keys = ON")
    # No plugins: nothing that happens to be installed may run on our connection.
    return Database(conn, execute_plugins=False)


def _set_up(db: Database, path: Path) -> None:
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)  # it holds names and numbers of callers
    schema.refuse_newer(db)
    _switch_to_wal(db.conn)
    db.conn.execute("PRAGMA synchronous = FULL")
    # What was deleted or written over is zeros from then on, not calls that a copy of the file still shows.
    db.conn.execute("PRAGMA secure_delete = ON")
    db.conn.execute("PRAGMA journal_size_limit = 67108864")
    # What a savepoint may have to take back is kept in memory, not in a file of the common /tmp with callers' names in it.
    db.conn.execute("PRAGMA temp_store = MEMORY")
    # 16 MB of log before it is folded into the file: the pages of a burst are written there once, not once in every 4 MB.
    db.conn.execute("PRAGMA wal_autocheckpoint = 4000")
    schema.migrate(db, path)


def _switch_to_wal(conn: sqlite3.Connection) -> None:
    """As every statement, this waits while others write; the pragma itself fails at once when others are about the same."""
    for _ in range(_WAL_TRIES):
        with suppress(sqlite3.OperationalError):
            conn.execute("PRAGMA journal_mode = WAL")
            return
        conn.execute("BEGIN IMMEDIATE")
        conn.execute("ROLLBACK")
    conn.execute("PRAGMA journal_mode = WAL")
