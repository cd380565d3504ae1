"""edge.schema and the queue's file: what the tables refuse, how the file is kept, and what a start makes of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import State
from speechsense_watch.edge import schema
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.ports import QueueTrouble
from support.edges import AT, born
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def played(path: Path) -> Iterator[PlayedQueue]:
    played = PlayedQueue(path, ManualClock())
    yield played
    played.queue.close()


# --- what the tables refuse ------------------------------------------------------------------------

REFUSED = {
    # the talk id
    "uploaded without a talk id": "UPDATE jobs SET talk_id = NULL WHERE state = 'uploaded'",
    "done without a talk id": "UPDATE jobs SET talk_id = NULL WHERE state = 'done'",
    "an empty talk id": "UPDATE jobs SET talk_id = '' WHERE state = 'done'",
    "a talk id of what was not uploaded": "UPDATE jobs SET talk_id = 't' WHERE state = 'ready'",
    "a talk id of what nobody knows": "UPDATE jobs SET talk_id = 't' WHERE state = 'unconfirmed'",
    "ready that was uploaded": "UPDATE jobs SET state = 'uploaded' WHERE state = 'ready'",
    "uploaded that is ready again": "UPDATE jobs SET state = 'ready' WHERE state = 'uploaded'",
    # states
    "an unknown state": "UPDATE jobs SET state = 'parked' WHERE state = 'ready'",
    "a state in capitals": "UPDATE jobs SET state = 'READY' WHERE state = 'ready'",
    "uploading without a uid": "UPDATE jobs SET uid = NULL WHERE state = 'uploading'",
    "committing without a uid": "UPDATE jobs SET uid = NULL WHERE state = 'committing'",
    "unconfirmed without a uid": "UPDATE jobs SET uid = NULL WHERE state = 'unconfirmed'",
    "done without a uid": "UPDATE jobs SET uid = NULL WHERE state = 'done'",
    "uploading without a claim": "UPDATE jobs SET claims = 0 WHERE state = 'uploading'",
    "waiting with a uid": "UPDATE jobs SET uid = (SELECT uid FROM jobs WHERE state = 'refused') WHERE state = 'waiting'",
    "waiting without a reason": "UPDATE jobs SET reason = NULL WHERE state = 'waiting'",
    "refused without a reason": "UPDATE jobs SET reason = NULL WHERE state = 'refused'",
    "unusable without a reason": "UPDATE jobs SET reason = NULL WHERE state = 'unusable'",
    "skipped without a reason": "UPDATE jobs SET reason = NULL WHERE state = 'skipped'",
    "lost without a reason": "UPDATE jobs SET reason = NULL WHERE state = 'lost'",
    "unconfirmed without a reason": "UPDATE jobs SET reason = NULL WHERE state = 'unconfirmed'",
    "ready without its audio": "UPDATE jobs SET audio_inode = NULL WHERE state = 'ready'",
    "ready without its metadata": "UPDATE jobs SET metadata_inode = NULL WHERE state = 'ready'",
    "ready without its format": "UPDATE jobs SET duration_s = NULL WHERE state = 'ready'",
    "ready without its time": "UPDATE jobs SET next_attempt_at = NULL WHERE state = 'ready'",
    "unconfirmed without its time": "UPDATE jobs SET next_attempt_at = NULL WHERE state = 'unconfirmed'",
    "uploaded without its time": "UPDATE jobs SET next_attempt_at = NULL WHERE state = 'uploaded'",
    "changed before it was done": "UPDATE jobs SET changed_after_upload = 1 WHERE state = 'uploaded'",
    "an owner of what is only uploading": "UPDATE jobs SET owner = '1:2' WHERE state = 'uploading'",
    "an owner of what is done": "UPDATE jobs SET owner = '1:2' WHERE state = 'done'",
    # identity
    "a uid twice": "UPDATE jobs SET uid = (SELECT uid FROM jobs WHERE state = 'done') WHERE state = 'uploaded'",
    "a uid twice in flight": "UPDATE jobs SET uid = (SELECT uid FROM jobs WHERE state = 'committing') WHERE state = 'uploading'",
    "a uid that is none": "UPDATE jobs SET uid = 'ab' WHERE state = 'done'",
    "two open jobs for one place": "UPDATE jobs SET place = CAST('ready.wav' AS BLOB), audio_path = CAST('ready.wav' AS BLOB)"
    " WHERE state = 'lost'",
    "a place of its own": "UPDATE jobs SET place = CAST('else.wav' AS BLOB) WHERE state = 'ready'",
    "no file at all": "UPDATE jobs SET audio_path = NULL, metadata_path = NULL WHERE state = 'waiting'",
    "a duplicate of nothing": "UPDATE jobs SET duplicate_of = 999 WHERE state = 'skipped'",
    # numbers
    "claims below nothing": "UPDATE jobs SET claims = -1 WHERE state = 'waiting'",
    "attempts below nothing": "UPDATE jobs SET attempts = -1 WHERE state = 'waiting'",
    "a failing time below nothing": "UPDATE jobs SET failing_s = -0.5 WHERE state = 'waiting'",
    "half a mark": "UPDATE jobs SET forced = 2 WHERE state = 'waiting'",
    # types: the tables are STRICT
    "a time in words": "UPDATE jobs SET updated_at = 'yesterday'",
    "a path as text": "UPDATE jobs SET filed_to = '/archive/call.wav'",
    "a counter with a fraction": "UPDATE jobs SET claims = 1.5",
    "a talk id that is a number of bytes": "UPDATE jobs SET talk_id = x'00' WHERE state = 'done'",
    "an attempt in words": "UPDATE attempts SET started_at = 'now'",
    "a runtime value of bytes": "INSERT INTO runtime VALUES ('a', x'00')",
    # the log
    "an event rewritten": "UPDATE events SET detail = 'nothing happened'",
    "an event of no job": "INSERT INTO events (job_id, at, event, to_state, detail) VALUES (999, 0, 'found', 'waiting', '')",
    "an attempt of no job": "INSERT INTO attempts (job_id, n, request_id, started_at) VALUES (999, 1, 'r', 0)",
    "an attempt twice": "INSERT INTO attempts SELECT * FROM attempts",
    "a counter below nothing": "UPDATE counts SET n = -1",
}


@pytest.mark.parametrize("sql", REFUSED.values(), ids=list(REFUSED))
def test_the_tables_refuse_what_the_code_forbids(played: PlayedQueue, sql: str) -> None:
    """Whoever writes: a fault of ours, or a hand with a tool of its own."""
    played.of_each_state()
    before = played.queue.rows("SELECT * FROM jobs")
    with pytest.raises(sqlite3.IntegrityError):
        played.queue._db.conn.execute(sql)
    assert played.queue.rows("SELECT * FROM jobs") == before


def test_a_second_open_row_for_a_place_cannot_be_inserted(played: PlayedQueue) -> None:
    """By hand; beside a done one it can."""
    jobs = played.of_each_state()
    columns = ", ".join(row["name"] for row in played.queue.rows("SELECT name FROM pragma_table_info('jobs') WHERE name <> 'id'"))
    copy = f"INSERT INTO jobs ({columns}) SELECT {columns} FROM jobs WHERE id = ?"  # noqa: S608
    for state in set(State) - {State.DONE}:
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            played.queue._db.conn.execute(copy, (jobs[state].id,))
    at_waiting = "UPDATE jobs SET place = :path, audio_path = :path WHERE state = 'done'"
    played.queue._db.conn.execute(at_waiting, {"path": b"waiting.wav"})
    assert played.queue.at_place(jobs[State.WAITING].place) == jobs[State.WAITING]


def test_a_row_takes_its_history_with_it(played: PlayedQueue) -> None:
    """Events may go with their job, and only so; whoever was its duplicate stands alone then."""
    holder = played.done("call")
    twin = played.queue.apply(lifecycle.duplicate(played.ready("twin"), holder.id, AT))
    played.queue._db.conn.execute("DELETE FROM jobs WHERE id = ?", (holder.id,))
    for table in ("events", "attempts"):
        assert played.queue.rows(f"SELECT 1 FROM {table} WHERE job_id = ?", (holder.id,)) == []  # noqa: S608
    left = played.queue.job(twin.id)
    assert left is not None
    assert left.duplicate_of is None


def test_a_number_is_never_given_twice(played: PlayedQueue) -> None:
    """Not even that of a row that was forgotten: people wrote it down."""
    last = played.found("last")
    played.queue._db.conn.execute("DELETE FROM jobs")
    assert played.found("next").id == last.id + 1


def test_every_table_is_strict(played: PlayedQueue) -> None:
    """Types are held to, in every column (sqlite.org/stricttables.html)."""
    tables = played.queue.rows("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE '%sqlite%'")
    assert {row["name"] for row in tables} >= {
        *("jobs", "events", "attempts", "runtime", "folders", "counts"),
        *("orphans", "forgotten", "known_talks", "starts", "suspicions"),
    }
    assert all(row["strict"] for row in tables)


# --- how the file is kept --------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_committed_is_on_disk(played: PlayedQueue) -> None:
    """WAL with synchronous=FULL (2), on the connection that writes; rows that refer to others are checked."""
    pragmas = {name: next(iter(played.queue.rows(f"PRAGMA {name}")[0].values())) for name in PRAGMAS}
    assert pragmas == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "journal_size_limit": 67108864, "encoding": "UTF-8"}


@pytest.mark.parametrize("before", [None, 0o644, 0o666, 0o640])
def test_the_file_is_its_owners_alone(path: Path, before: int | None) -> None:
    """It holds names and numbers of callers; so do the files SQLite keeps beside it."""
    if before is not None:
        path.touch()
        path.chmod(before)
    with closing(SqliteQueue(path)) as queue:
        queue.apply(lifecycle.found(born(), AT))
        queue.first_watched("calls", "/in", AT)
        assert {each.name: mode(each) for each in path.parent.iterdir()} == {
            "queue.db": 0o600,
            "queue.db-wal": 0o600,
            "queue.db-shm": 0o600,
            "queue.db.journal": 0o600,
        }


def test_a_queue_comes_back_after_it_was_closed(path: Path) -> None:
    """With nothing to migrate and no copy made."""
    with closing(SqliteQueue(path)) as queue:
        job = queue.apply(lifecycle.found(born(), AT))
    with closing(SqliteQueue(path)) as queue:
        assert queue.job(job.id) == job
    assert [each.name for each in path.parent.iterdir()] == ["queue.db"]


CONTENTS = {
    "text": b"This is the list of our calls, not a queue.\n" * 50,
    "zero bytes": bytes(8192),
    "a header and rubbish": b"SQLite format 3\x00" + bytes(range(256)) * 32,
}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
def test_a_file_that_is_no_queue_is_not_replaced(path: Path, content: bytes, *, read_only: bool) -> None:
    """It does not mend by itself, so the trouble is fatal, and not one byte of it changes."""
    path.write_bytes(content)
    with pytest.raises(QueueTrouble, match=r"not a database|malformed|unsupported") as trouble:
        SqliteQueue(path, read_only=read_only)
    assert trouble.value.fatal
    assert path.read_bytes() == content
    assert not any(str(path) in str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


def test_a_queue_with_a_broken_page_is_fatal_when_that_is_read(path: Path) -> None:
    """What was cut off or overwritten is not made up anew."""
    with closing(SqliteQueue(path)) as queue:
        queue.apply(lifecycle.found(born(), AT))
        root = int(queue.rows("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'")[0]["rootpage"])
        page_bytes = int(queue.rows("PRAGMA page_size")[0]["page_size"])
    with path.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    broken = path.read_bytes()
    with closing(SqliteQueue(path)) as queue, pytest.raises(QueueTrouble, match="malformed") as trouble:
        queue.job(1)
    assert trouble.value.fatal
    assert path.read_bytes() == broken


def test_a_directory_that_is_not_there_is_a_trouble(tmp_path: Path) -> None:
    """Not a fatal one: it may be mounted yet. Nothing is made."""
    with pytest.raises(QueueTrouble, match="unable to open") as trouble:
        SqliteQueue(tmp_path / "none" / "queue.db")
    assert not trouble.value.fatal
    assert list(tmp_path.iterdir()) == []


def test_several_processes_may_make_the_queue_at_once(tmp_path: Path) -> None:
    """`upload` in a loop of a shell, on a machine that never had a queue: one makes it, the others wait."""
    for attempt in range(8):
        path = tmp_path / str(attempt) / "queue.db"
        path.parent.mkdir()
        together = threading.Barrier(4)
        made: list[object] = []

        def make(path: Path = path, together: threading.Barrier = together, made: list[object] = made) -> None:
            together.wait()
            try:
                with closing(SqliteQueue(path)) as queue:
                    made.append(queue.counts()[State.WAITING])
            except QueueTrouble as trouble:
                made.append(trouble)

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [0, 0, 0, 0]


# --- migrations ------------------------------------------------------------------------------------


@pytest.fixture
def further(monkeypatch: pytest.MonkeyPatch) -> Migrations:
    """The program's migrations and room for more, forgotten after the test."""
    migrations = Migrations("speechsense-watch")
    migrations._migrations[:] = schema.migrations._migrations
    monkeypatch.setattr(schema, "migrations", migrations)
    return migrations


def m900_colours(db: Database) -> None:
    db.conn.execute("ALTER TABLE jobs ADD COLUMN colour TEXT")


def test_a_copy_is_kept_before_a_further_migration(path: Path, further: Migrations) -> None:
    """Whole, as it was, for its owner alone; the first start of all has nothing to copy."""
    with closing(SqliteQueue(path)) as queue:
        job = queue.apply(lifecycle.found(born(), AT))
    assert list(path.parent.glob("*.before-*")) == []
    further()(m900_colours)
    with closing(SqliteQueue(path)) as queue:
        assert queue.rows("SELECT id, colour FROM jobs") == [{"id": job.id, "colour": None}]
    copy = path.with_name("queue.db.before-m900_colours")
    assert mode(copy) == 0o600
    with closing(sqlite3.connect(copy)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert conn.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="colour"):
            conn.execute("SELECT colour FROM jobs")


def test_a_copy_is_never_readable_for_others(path: Path, further: Migrations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a moment: SQLite itself would make it with the umask's rights."""
    SqliteQueue(path).close()
    further()(m900_colours)
    seen: list[int] = []
    copy = path.with_name("queue.db.before-m900_colours")
    monkeypatch.setattr(os, "fsync", lambda _descriptor: seen.append(mode(copy)))
    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("a mode that has to be mended"))
    SqliteQueue(path).close()
    assert seen == [0o600]


def test_what_a_start_that_died_left_of_a_copy_is_made_anew(path: Path, further: Migrations) -> None:
    """The migration had not run, so the queue is still what is to be copied."""
    SqliteQueue(path).close()
    further()(m900_colours)
    copy = path.with_name("queue.db.before-m900_colours")
    copy.write_bytes(b"half a copy")
    SqliteQueue(path).close()
    with closing(sqlite3.connect(copy)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_migration_that_fails_leaves_the_queue_as_it_was(path: Path, further: Migrations) -> None:
    """With those before it undone too: the next start begins where this one did."""
    with closing(SqliteQueue(path)) as queue:
        job = queue.apply(lifecycle.found(born(), AT))
    further()(m900_colours)

    @further()
    def m901_wrong(db: Database) -> None:
        db.conn.execute("ALTER TABLE jobs ADD COLUMN taste TEXT")
        db.conn.execute("ALTER TABLE missing ADD COLUMN x TEXT")

    with pytest.raises(QueueTrouble, match="no such table: missing"):
        SqliteQueue(path)
    further._migrations[:] = further._migrations[:-2]
    with closing(SqliteQueue(path)) as queue:
        assert queue.job(job.id) == job
        columns = {row["name"] for row in queue.rows("SELECT name FROM pragma_table_info('jobs')")}
    assert not columns & {"colour", "taste"}


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_queue_is_refused_and_not_touched(path: Path, further: Migrations, *, read_only: bool) -> None:
    """Byte for byte; the message says what to do. The version that wrote it still opens it."""
    SqliteQueue(path).close()
    further()(m900_colours)
    SqliteQueue(path).close()
    copied = path.with_name("copied.db")
    shutil.copy(path, copied)
    newer = further._migrations[:]
    further._migrations[:] = newer[:-1]
    with pytest.raises(NewerSchema, match=r"it holds m900_colours.*Install that version again"):
        SqliteQueue(path, read_only=read_only)
    assert path.read_bytes() == copied.read_bytes()
    further._migrations[:] = newer
    SqliteQueue(path).close()
