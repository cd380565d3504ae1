"""edge.copies: a copy of the queue while it is written, and one put in its place."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.edge import copies
from speechsense_watch.edge.copies import NotACopy, back_up, inspect, put_back
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ports import QueueTrouble
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rows import multiply
from support.starts import HERE, NOW


def quiet(_done: int, _pages: int) -> None:
    pass


def queue_of(path: Path, *stems: str) -> Path:
    played = PlayedQueue(path, ManualClock())
    with closing(played.queue):
        for stem in stems:
            played.uploaded(stem)
    return path


def talks(path: Path) -> list[str]:
    with closing(SqliteQueue(path, read_only=True)) as queue:
        return sorted(talk for (talk,) in queue.tuples("SELECT talk_id FROM jobs WHERE talk_id IS NOT NULL"))


_DIES = """
import os, sys
from pathlib import Path
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
PlayedQueue(Path(sys.argv[1]), ManualClock()).uploaded(sys.argv[2])
os._exit(0)
"""


def die_over(path: Path, stem: str) -> None:
    """A process that ended without closing the queue: what it wrote last is in the log beside it."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", _DIES, str(path), stem], check=True, env=environ)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "queue.db"


# --- making one ------------------------------------------------------------------------------


def test_a_copy_is_of_one_moment_while_others_write(path: Path, tmp_path: Path) -> None:
    """Another process changes the queue between all of its parts; the copy is sound, alone in its file, and for its owner."""
    played = PlayedQueue(path, ManualClock())
    with closing(played.queue), closing(SqliteQueue(path, read_only=True)) as source:
        multiply(played.queue, played.uploaded("call"), 30_000)
        reports: list[tuple[int, int]] = []

        def write(done: int, pages: int) -> None:
            reports.append((done, pages))
            played.done(f"later-{len(reports)}")

        contents = back_up(source, tmp_path / "copy.db", write)
        assert played.queue.counts()[State.DONE] == len(reports)
    assert (contents.counts[State.UPLOADED], contents.counts[State.DONE], contents.talks) == (30_001, 0, 30_001)
    assert len(reports) > 2
    assert reports[-1][0] == reports[-1][1]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "state"]
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    with closing(sqlite3.connect(f"file:{tmp_path}/copy.db?mode=ro", uri=True)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "state"]


def test_a_copy_that_fails_leaves_what_was_there(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old copy, and no half of a new one."""
    queue_of(path, "call")
    (tmp_path / "copy.db").write_text("the old one")

    def full(*_: object) -> None:
        raise QueueTrouble("database or disk is full")

    monkeypatch.setattr(SqliteQueue, "copy_to", full)
    with closing(SqliteQueue(path, read_only=True)) as queue, pytest.raises(QueueTrouble):
        back_up(queue, tmp_path / "copy.db", quiet)
    assert (tmp_path / "copy.db").read_text() == "the old one"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "state"]


@pytest.mark.parametrize("what", ["text", "nothing", "cut", "another database", "scrambled"])
def test_what_is_no_sound_copy_is_refused(path: Path, tmp_path: Path, what: str) -> None:
    """Before anything is touched."""
    queue_of(path, *(f"call-{number}" for number in range(40)))
    file = tmp_path / "copy.db"
    with closing(SqliteQueue(path)) as queue:
        back_up(queue, file, quiet)
    data = file.read_bytes()
    match what:
        case "text":
            file.write_text("Hello, this is no database at all." * 100)
        case "nothing":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "scrambled":
            file.write_bytes(data[:8192] + os.urandom(len(data) - 8192))
        case _:
            file.unlink()
            with closing(sqlite3.connect(file)) as conn:
                conn.execute("CREATE TABLE notes (text TEXT)")
                conn.commit()
    with pytest.raises(NotACopy) as told:
        inspect(file)
    assert "Restore it from a backup" not in str(told.value)  # that is for a damaged queue: this is the backup


# --- putting one back ------------------------------------------------------------------------


def test_what_is_replaced_is_kept_whole(path: Path, tmp_path: Path) -> None:
    """Also what was still in its log; the copy stays, and the next start is suspicious."""
    copy = tmp_path / "copy.db"
    queue_of(path, "before")
    with closing(SqliteQueue(path)) as queue:
        back_up(queue, copy, quiet)
    die_over(path, "after")
    assert path.with_name("queue.db-wal").stat().st_size > 0
    kept = put_back(copy, path, NOW, quiet)
    assert kept is not None
    assert kept.name == "queue.db.replaced-20260501T000000Z"
    assert talks(kept) == ["talk-after", "talk-before"]
    assert (talks(path), talks(copy)) == (["talk-before"], ["talk-before"])
    assert put_back(copy, path, NOW, quiet) == kept.with_name(f"{kept.name}-2")
    with closing(SqliteQueue(path)) as queue:
        assert queue.history.examine(HERE, NOW) is not None


def test_a_queue_that_is_damaged_is_kept_as_it_lies(path: Path, tmp_path: Path) -> None:
    """With its log, for whoever can make something of it."""
    copy = tmp_path / "copy.db"
    queue_of(path, "before")
    with closing(SqliteQueue(path)) as queue:
        back_up(queue, copy, quiet)
    path.write_bytes(b"rubbish" * 1000)
    path.with_name("queue.db-wal").write_bytes(b"the log")
    kept = put_back(copy, path, NOW, quiet)
    assert kept is not None
    assert kept.read_bytes() == b"rubbish" * 1000
    assert kept.with_name(f"{kept.name}-wal").read_bytes() == b"the log"
    assert talks(path) == ["talk-before"]


def test_there_need_be_no_queue_yet(path: Path, tmp_path: Path) -> None:
    """A new machine has none."""
    queue_of(tmp_path / "old.db", "call")
    assert put_back(tmp_path / "old.db", path, NOW, quiet) is None
    assert talks(path) == ["talk-call"]


_RESTORES = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from speechsense_watch.edge import copies, queue
steps = iter(range(1000))
last = int(sys.argv[3])

def watch(event, args):
    # Whatever is done to the queue's directory, and each time that SQLite opens a file.
    ours = event in ("os.rename", "os.link", "os.remove", "sqlite3.connect")
    ours = ours or (event == "open" and str(args[0]).startswith(os.path.dirname(sys.argv[2])))
    if ours and next(steps) == last:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
copies.put_back(Path(sys.argv[1]), Path(sys.argv[2]), datetime(2026, 5, 1, tzinfo=UTC), lambda _done, _pages: None)
print(next(steps))
"""


def test_kill_9_at_any_step_leaves_the_old_or_the_new(path: Path, tmp_path: Path) -> None:
    """Whole and sound, be it the copy or what was there with all that was in its log."""
    copy = queue_of(tmp_path / "copy.db", "new")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    die_over(path, "old")
    as_it_died = shutil.copytree(path.parent, tmp_path / "as it died")
    seen: set[str] = set()
    for step in range(60):
        shutil.rmtree(path.parent)
        shutil.copytree(as_it_died, path.parent)
        done = subprocess.run(
            [sys.executable, "-c", _RESTORES, str(copy), str(path), str(step)],
            capture_output=True,
            text=True,
            check=False,
            env=environ,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        (found,) = talks(path)
        seen.add(found)
        with closing(SqliteQueue(path)) as queue:
            assert queue.tuples("PRAGMA integrity_check") == [("ok",)]
            assert (queue.history.examine(HERE, NOW) is not None) == (found == "talk-new")
        if done.returncode == 0:
            break
    else:
        pytest.fail("it never came to its end")
    assert step > 8
    assert seen == {"talk-old", "talk-new"}


def test_the_restored_queue_is_marked_before_it_is_in_place(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start in between would take it for an ordinary one."""
    copy = queue_of(tmp_path / "copy.db", "new")
    queue_of(path, "old")
    monkeypatch.setattr(copies, "_set_aside", lambda *_: pytest.fail("not before it is marked"))
    monkeypatch.setattr(copies, "mark", lambda *_: (_ for _ in ()).throw(QueueTrouble("no")))
    with pytest.raises(QueueTrouble):
        put_back(copy, path, NOW, quiet)
    assert talks(path) == ["talk-old"]
