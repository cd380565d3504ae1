"""Forgetting in the files: nothing of a call is left in the queue, its log, the journal or the archive."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.cli.forgetting import copies_beside
from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import Job, State, digest_of
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.edge.archived import Removal, remove_archived
from speechsense_watch.edge.journal import Journal, TalkLine
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ports import Stale
from support.edges import AT
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue

NUMBER = "79161234567"
STEM = f"out-{NUMBER}-201"


@pytest.fixture
def played(tmp_path: Path) -> Iterator[PlayedQueue]:
    played = PlayedQueue(tmp_path / "queue.db", ManualClock())
    yield played
    played.queue.close()


def held(directory: Path) -> bytes:
    """Every byte of every file there, free pages and logs included."""
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()) if not path.name.endswith("-shm"))


def digest(job: Job) -> str:
    assert job.audio
    return digest_of(job.audio.sha256)


def test_nothing_of_a_forgotten_call_is_left_in_any_file(played: PlayedQueue, tmp_path: Path) -> None:
    """While the daemon's connection is open too, and the row lies among others."""
    for number in range(50):
        played.done(f"other-{number}")
    job = played.done(STEM)
    job = played.apply(lifecycle.changed_after_upload(job, AT, f"Number {NUMBER} changed."))
    names = [NUMBER, job.uid or "", job.talk_id or ""]
    assert [name for name in names if name.encode() in held(tmp_path)] == names
    with closing(SqliteQueue(tmp_path / "queue.db")) as command:
        command.forget([job], [digest(job)], AT)
        assert (tmp_path / "queue.db-wal").stat().st_size == 0
    assert [name for name in names if name.encode() in held(tmp_path)] == []
    assert played.queue.job(job.id) is None
    for table in ("events", "attempts"):
        assert played.queue.rows(f"SELECT 1 FROM {table} WHERE job_id = ?", (job.id,)) == []  # noqa: S608
    assert [row["digest"] for row in played.queue.rows("SELECT digest FROM forgotten")] == [digest(job)]
    assert played.queue.counts()[State.DONE] == 50
    assert played.queue.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_a_row_leaves_nothing_of_its_earlier_self(played: PlayedQueue, tmp_path: Path) -> None:
    """Each change writes zeros over what it replaces, so that nothing is left in the gaps of the daemon's own writing."""
    job = played.ready(STEM)
    for tries in range(30):
        said = Outcome(code=Code.INTERNAL, message=f"{NUMBER} " * (tries * 97 % 50))
        job = played.end(played.claim(job), said)
        played.done(f"other-{tries}")
    assert held(tmp_path).count(NUMBER.encode()) > 30
    with closing(SqliteQueue(tmp_path / "queue.db")) as command:
        command.forget([job], [], AT)
    assert NUMBER.encode() not in held(tmp_path)


def test_all_or_none(played: PlayedQueue) -> None:
    """When one of them is not as it was, none goes."""
    first, second = played.done("first"), played.ready("second")
    played.claim(second)
    with pytest.raises(Stale):
        played.queue.forget([first, second], [digest(first)], AT)
    assert played.queue.job(first.id) == first
    assert played.queue.rows("SELECT * FROM forgotten") == []


@pytest.mark.parametrize("state", State)
def test_what_is_under_way_is_never_forgotten(played: PlayedQueue, state: State) -> None:
    """Whoever asks; everything else is."""
    job = played.of_each_state()[state]
    if state in (State.UPLOADING, State.COMMITTING, State.UPLOADED):
        with pytest.raises(Stale):
            played.queue.forget([job], [], AT)
    else:
        played.queue.forget([job], [], AT)
    assert (played.queue.job(job.id) is None) == (state not in (State.UPLOADING, State.COMMITTING, State.UPLOADED))


def test_a_digest_is_known_by_the_audio(played: PlayedQueue) -> None:
    """And stands for no other; it may be given twice."""
    job = played.done("call")
    assert job.audio
    assert not played.queue.is_forgotten(job.audio.sha256)
    played.queue.forget([job], [digest(job), digest(job)], AT)
    assert played.queue.is_forgotten(job.audio.sha256)
    assert not played.queue.is_forgotten("ab" * 32)
    assert digest(job) != job.audio.sha256


def test_copies_that_this_program_made_beside_the_queue_are_named(tmp_path: Path) -> None:
    """They hold what the queue held then: from before an upgrade, and from before a `restore`."""
    names = ("queue.db.before-m006_forgotten", "queue.db.replaced-20260101T000000Z", "queue.db.journal", "queue.db")
    for name in names:
        (tmp_path / name).touch()
    assert [Path(copy).name for copy in copies_beside(tmp_path / "queue.db")] == list(names[:2])


# --- the journal -------------------------------------------------------------------------------


def test_the_old_journal_is_written_over(tmp_path: Path) -> None:
    """Whoever still has it open, or reads the disk below it, finds zeros."""
    journal = Journal(tmp_path / "journal")
    journal.talks([("a" * 64, "talk-a", AT), ("b" * 64, "talk-b", AT)])
    with (tmp_path / "journal").open("rb") as old:
        size = os.fstat(old.fileno()).st_size
        journal.without(frozenset({"a" * 64}), overwrite=True)
        assert old.read() == bytes(size)
    assert [line.talk_id for line in journal.lines() if isinstance(line, TalkLine)] == ["talk-b"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_new_journal_belongs_to_whom_the_old_one_did(tmp_path: Path) -> None:
    """A command of root's does not lock the daemon out."""
    journal = Journal(tmp_path / "journal")
    journal.talk("a" * 64, "talk-a", AT)
    os.chown(tmp_path / "journal", 65534, 65534)
    journal.without(frozenset({"a" * 64}), overwrite=True)
    found = (tmp_path / "journal").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65534, 0o600)


# --- the archive -------------------------------------------------------------------------------

SHA256 = hashlib.sha256(b"audio").hexdigest()


def test_an_archived_file_is_deleted_by_its_bytes(tmp_path: Path) -> None:
    """Not by its name alone."""
    path = tmp_path / "call.wav"
    path.write_bytes(b"audio")
    assert remove_archived(path, SHA256) is Removal.REMOVED
    assert not path.exists()
    assert remove_archived(path, SHA256) is Removal.NOT_THERE
    assert remove_archived(tmp_path / "none" / "call.wav", SHA256) is Removal.NOT_THERE
    path.write_bytes(b"somebody else's")
    assert remove_archived(path, SHA256) is Removal.ANOTHER
    assert path.exists()


def test_links_and_pipes_in_the_archive_are_left_alone(tmp_path: Path) -> None:
    """Nothing is followed, nothing waited for."""
    target = tmp_path / "target"
    target.write_bytes(b"audio")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    assert [remove_archived(tmp_path / name, SHA256) for name in ("link", "pipe")] == [Removal.ANOTHER] * 2
    assert target.exists()
