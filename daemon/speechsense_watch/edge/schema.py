"""The queue's tables: what the code forbids, the schema refuses.

Paths are BLOBs, since a file name is bytes and need not be UTF-8. Times are integers, microseconds since 1970 in UTC.
Migrations are sqlite-utils' own: each in one transaction with its record. They are append-only: a landed one never changes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from speechsense_watch.core.model import HOLDS_UID, State

migrations = Migrations("speechsense-watch")
# 8 MiB between two reports of how far a copy is.
_PAGES_TOGETHER = 2_048


def _quoted(states: frozenset[State] | type[State]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))


# Written out at the time of the migration: a later state needs a migration of its own.
_TABLES = f"""
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  state TEXT NOT NULL CHECK (state IN ({_quoted(State)})),
  folder TEXT NOT NULL,
  directory BLOB NOT NULL,
  place BLOB NOT NULL,
  audio_path BLOB,
  metadata_path BLOB,
  connection_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  audio_inode INTEGER, audio_size INTEGER, audio_mtime_ns INTEGER, audio_sha256 TEXT,
  metadata_inode INTEGER, metadata_size INTEGER, metadata_mtime_ns INTEGER, metadata_sha256 TEXT,
  channels INTEGER, sample_rate_hz INTEGER, data_offset INTEGER, data_bytes INTEGER, duration_s REAL,
  fields TEXT,
  uid TEXT CHECK (uid IS NULL OR length(uid) = 64),
  talk_id TEXT CHECK (talk_id <> ''),
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  claims INTEGER NOT NULL CHECK (claims >= 0),
  failing_s REAL NOT NULL CHECK (failing_s >= 0),
  next_attempt_at INTEGER,
  reason TEXT,
  message TEXT NOT NULL,
  duplicate_of INTEGER REFERENCES jobs(id) ON DELETE SET NULL,
  possible_duplicate INTEGER NOT NULL CHECK (possible_duplicate IN (0, 1)),
  changed_after_upload INTEGER NOT NULL CHECK (changed_after_upload IN (0, 1)),
  owner TEXT,
  filed_to BLOB,
  metadata_filed_to BLOB,
  gone_at INTEGER,
  forced INTEGER NOT NULL CHECK (forced IN (0, 1)),
  CHECK (audio_path IS NOT NULL OR metadata_path IS NOT NULL),
  CHECK (place = coalesce(audio_path, metadata_path)),
  CHECK (state NOT IN ('uploaded', 'done') OR talk_id IS NOT NULL),
  CHECK (state IN ('uploaded', 'done') OR talk_id IS NULL),
  CHECK (state NOT IN ('uploading', 'committing', 'unconfirmed', 'uploaded', 'done')
         OR (uid IS NOT NULL AND claims > 0)),
  CHECK (state <> 'waiting' OR (uid IS NULL AND reason IS NOT NULL)),
  CHECK (state <> 'ready' OR (audio_inode IS NOT NULL AND metadata_inode IS NOT NULL AND duration_s IS NOT NULL)),
  CHECK (state NOT IN ('ready', 'unconfirmed', 'uploaded') OR next_attempt_at IS NOT NULL),
  CHECK (state NOT IN ('refused', 'unusable', 'skipped', 'lost', 'unconfirmed') OR reason IS NOT NULL),
  CHECK (changed_after_upload = 0 OR state = 'done'),
  CHECK (owner IS NULL OR state IN ('committing', 'unconfirmed'))
) STRICT;
CREATE UNIQUE INDEX one_open_job_a_place ON jobs (folder, place) WHERE state <> 'done';
CREATE UNIQUE INDEX one_job_a_uid ON jobs (uid) WHERE state IN ({_quoted(HOLDS_UID)});
CREATE INDEX by_uid ON jobs (uid) WHERE uid IS NOT NULL;
CREATE INDEX by_place ON jobs (folder, directory, place);
CREATE INDEX due ON jobs (recorded_at) WHERE state = 'ready';
CREATE INDEX unfinished ON jobs (state, updated_at) WHERE state <> 'done';
CREATE INDEX by_talk ON jobs (talk_id) WHERE talk_id IS NOT NULL;
CREATE INDEX changed ON jobs (id) WHERE changed_after_upload = 1;
CREATE INDEX by_duplicate ON jobs (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX by_age ON jobs (updated_at) WHERE state = 'done';

CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  job_id INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  from_state TEXT,
  to_state TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_job ON events (job_id);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT raise(ABORT, 'events are append-only'); END;

CREATE TABLE attempts (
  job_id INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  n INTEGER NOT NULL,
  request_id TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  code TEXT, message TEXT, verdict TEXT, server_request_id TEXT, bytes_sent INTEGER,
  PRIMARY KEY (job_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE runtime (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE folders (name TEXT NOT NULL, path BLOB NOT NULL, first_watched_at INTEGER NOT NULL,
                      PRIMARY KEY (name, path)) STRICT;

CREATE TABLE counts (folder TEXT NOT NULL, state TEXT NOT NULL, n INTEGER NOT NULL CHECK (n >= 0),
                     PRIMARY KEY (folder, state)) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_insert AFTER INSERT ON jobs BEGIN
  INSERT INTO counts VALUES (new.folder, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER count_update AFTER UPDATE OF state, folder ON jobs
WHEN old.state <> new.state OR old.folder <> new.folder BEGIN
  UPDATE counts SET n = n - 1 WHERE folder = old.folder AND state = old.state;
  INSERT INTO counts VALUES (new.folder, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER count_delete AFTER DELETE ON jobs BEGIN
  UPDATE counts SET n = n - 1 WHERE folder = old.folder AND state = old.state;
END;
"""


_FOR_SEARCH = """
ALTER TABLE jobs ADD COLUMN leftovers INTEGER NOT NULL DEFAULT 0 CHECK (leftovers IN (0, 1));
CREATE INDEX with_leftovers ON jobs (folder) WHERE leftovers = 1 AND state IN ('uploaded', 'done');
ALTER TABLE attempts ADD COLUMN uid TEXT;
ALTER TABLE attempts ADD COLUMN committed_at INTEGER;
UPDATE attempts SET uid = (SELECT uid FROM jobs WHERE id = job_id) WHERE n = (SELECT claims FROM jobs WHERE id = job_id);
-- Nobody wrote it down before; of those that matter only the last try can have been at its commit point.
UPDATE attempts SET committed_at = started_at WHERE EXISTS (
  SELECT 1 FROM jobs WHERE id = job_id AND claims = attempts.n AND state IN ('committing', 'unconfirmed', 'uploaded', 'done'));
CREATE INDEX by_attempted_uid ON attempts (uid) WHERE uid IS NOT NULL;
CREATE TABLE orphans (
  talk_id TEXT PRIMARY KEY,
  job_id INTEGER REFERENCES jobs(id) ON DELETE SET NULL,
  connection_id TEXT NOT NULL,
  recording_id TEXT NOT NULL,
  whole INTEGER NOT NULL CHECK (whole IN (0, 1)),
  found_at INTEGER NOT NULL,
  seen_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX orphans_of_job ON orphans (job_id) WHERE job_id IS NOT NULL;
"""


@migrations()
def m001_first_tables(db: Database) -> None:
    # executescript() would commit the migration's transaction, so the statements go one by one.
    for statement in _statements(_TABLES):
        db.conn.execute(statement)


@migrations()
def m002_trials(db: Database) -> None:
    # Both are asked for at every step while a folder's trial runs, beside folders that finish a million recordings meanwhile.
    db.conn.execute("CREATE INDEX doubtful ON jobs (folder) WHERE possible_duplicate = 1 AND state <> 'done'")
    db.conn.execute("CREATE INDEX finished ON jobs (folder, updated_at) WHERE state = 'done'")


@migrations()
def m003_search(db: Database) -> None:
    """What a look-up has to know: which tries reached their commit point, and what was found beyond the one that counts."""
    for statement in _statements(_FOR_SEARCH):
        db.conn.execute(statement)


_SUSPICION = """
CREATE TABLE starts (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE suspicions (k INTEGER PRIMARY KEY CHECK (k > 0), at INTEGER NOT NULL, why TEXT NOT NULL,
                         settled INTEGER NOT NULL CHECK (settled IN (0, 1))) STRICT;
CREATE TABLE known_talks (uid TEXT PRIMARY KEY, talk_id TEXT NOT NULL CHECK (talk_id <> '')) STRICT, WITHOUT ROWID;
ALTER TABLE jobs ADD COLUMN doubted INTEGER NOT NULL DEFAULT 0;
"""


@migrations()
def m004_suspicion(db: Database) -> None:
    for statement in _statements(_SUSPICION):
        db.conn.execute(statement)


@migrations()
def m005_deaths(db: Database) -> None:
    db.conn.execute("ALTER TABLE jobs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0 CHECK (deaths >= 0)")
    # Written out at the time of the migration, as the states are; hardly any row is in it.
    db.conn.execute("CREATE INDEX suspects ON jobs (next_attempt_at) WHERE state = 'ready' AND deaths >= 3")


@migrations()
def m006_forgotten(db: Database) -> None:
    db.conn.execute(
        "CREATE TABLE forgotten (digest TEXT PRIMARY KEY CHECK (length(digest) = 64), at INTEGER NOT NULL) STRICT, WITHOUT ROWID"
    )


# What is asked at every step is answered by folder and connection, since a folder that may not be sent from just now, or a
# connection that pauses, may have a million recordings ready. The time of the next try lies in `due` so that what was put off is
# passed over without a look at its row; when a recording was found in `later`, so that the oldest is found without one.
_FLAT = f"""
DROP INDEX due;
CREATE INDEX due ON jobs (folder, connection_id, recorded_at, next_attempt_at) WHERE state = 'ready';
CREATE INDEX later ON jobs (folder, connection_id, next_attempt_at, created_at) WHERE state = 'ready';
-- `finished` has the same rows by folder, and folders are few.
DROP INDEX by_age;
-- All but a few uids stand in `one_job_a_uid` as well.
DROP INDEX by_uid;
CREATE INDEX uids_of_others ON jobs (uid) WHERE uid IS NOT NULL AND state NOT IN ({_quoted(HOLDS_UID)});
-- Whose history is still to be trimmed, and which rows may be forgotten some day.
ALTER TABLE jobs ADD COLUMN trimmed INTEGER NOT NULL DEFAULT 0 CHECK (trimmed IN (0, 1));
CREATE INDEX with_history ON jobs (updated_at) WHERE trimmed = 0 AND state IN ('done', 'skipped');
CREATE INDEX gone ON jobs (gone_at) WHERE gone_at IS NOT NULL AND state = 'done';
"""


@migrations()
def m007_flat(db: Database) -> None:
    """What is asked over and over costs the same with millions of rows, ready ones or finished."""
    for statement in _statements(_FLAT):
        db.conn.execute(statement)


def _statements(script: str) -> list[str]:
    found, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return found


class NewerSchema(Exception):  # noqa: N818
    """The file was written by a newer version of the program; it was not touched."""


def refuse_newer(db: Database) -> None:
    """Raises NewerSchema when the file holds a migration that this program does not know."""
    with closing(Database(memory=True)) as empty:
        known = {migration.name for migration in migrations.pending(empty)}
    unknown = sorted({migration.name for migration in migrations.applied(db)} - known)
    if unknown:
        raise NewerSchema(
            f"The queue was written by a newer speechsense-watch (it holds {', '.join(unknown)}). "
            "Install that version again; the queue was not touched."
        )


def is_older(db: Database) -> bool:
    """The file holds tables, but not yet as this program knows them: whoever may write brings it up to date."""
    return bool(migrations.applied(db)) and bool(migrations.pending(db))


def migrate(db: Database, path: Path) -> Path | None:
    """All migrations applied, all or none. Where the file held tables before, a copy of it is kept beside it; its path is
    returned. Several processes may do so at once: one does it, the others wait. To be called only after `refuse_newer`.
    """
    pending = migrations.pending(db)
    if not pending:
        return None
    copy = _copy(db, path.with_name(f"{path.name}.before-{pending[0].name}")) if migrations.applied(db) else None
    # Held from before the look at what is pending, since apply() begins with that look.
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(db)
        db.conn.execute("COMMIT")
    finally:
        if db.conn.in_transaction:
            db.conn.execute("ROLLBACK")
    return copy


def copy_whole(conn: sqlite3.Connection, target: Path, progress: Callable[[int, int], None]) -> None:
    """The empty file `target` is a whole copy, in one file and on disk. Raises sqlite3.Error, OSError."""
    # A transaction of our own keeps to one moment: else each write of another process makes SQLite begin anew
    # (sqlite.org/c3ref/backup_finish.html).
    conn.execute("BEGIN")
    try:
        conn.execute("SELECT 1 FROM sqlite_master").fetchone()
        with closing(sqlite3.connect(target)) as copy:
            conn.backup(copy, pages=_PAGES_TOGETHER, progress=lambda _status, left, pages: progress(pages - left, pages))
    finally:
        conn.execute("ROLLBACK")
    # The copy bears the mark of WAL, by which whoever only reads it would make files beside it.
    with closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE")
    descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(db: Database, copy: Path) -> Path:
    """A whole copy of the queue, readable for its owner alone and on disk."""
    copy.unlink(missing_ok=True)
    # VACUUM INTO takes a file that is there if it is empty, and syncs nothing (sqlite.org/lang_vacuum.html).
    descriptor = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        db.conn.execute("VACUUM INTO ?", [str(copy)])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return copy
