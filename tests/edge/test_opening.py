"""Where a queue may lie, and what is kept beside it."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.edge import opening
from speechsense_watch.edge.ballast import BYTES_PER_UPLOAD, LEAST_BYTES, MARGIN_BYTES, Ballast
from speechsense_watch.edge.lock import LockBusy, acquire, holder_cannot_write
from speechsense_watch.edge.opening import opened_whole, passing, unfit_place
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.syscalls import _REMOTE, name_of_magic
from speechsense_watch.ports import QueueTrouble
from support.manual_clock import ManualClock
from support.rig import Rig


@pytest.mark.parametrize("magic", _REMOTE, ids=_REMOTE.values())
def test_a_queue_on_a_file_system_of_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, magic: int) -> None:
    """By its name, and with what to do; the directory need not be there yet."""
    monkeypatch.setattr(opening, "file_system_of", lambda _descriptor: name_of_magic(magic))
    said = unfit_place(tmp_path / "to" / "come")
    assert _REMOTE[magic] in said
    assert "allow_network_file_system" in said


@pytest.mark.parametrize(("magic", "words"), [(0x794C7630, "container"), (0x01021994, "memory"), (0xEF53, "")])
def test_a_queue_that_will_not_last_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, magic: int, words: str
) -> None:
    """A container's own layer and memory are lost; a disk is not, nor is one whose name nobody knows."""
    monkeypatch.setattr(opening, "file_system_of", lambda _descriptor: name_of_magic(magic))
    assert unfit_place(tmp_path) == ""
    assert (words in passing(tmp_path)) if words else passing(tmp_path) == ""


REPLACED = """
import runpy, sys
from speechsense_watch.edge import opening
opening.file_system_of = lambda descriptor: ("nfs", True)
sys.argv = ["speechsense-watch", *sys.argv[1:]]
runpy.run_module("speechsense_watch", run_name="__main__")
"""


def test_run_refuses_it_and_check_says_so_unless_it_is_allowed(tmp_path: Path) -> None:
    """Exit code 73 before anything is made there; forced, it is only warned about."""
    (tmp_path / "daemon.py").write_text(REPLACED)
    with Rig(tmp_path, 1) as rig:
        rig.program = (str(tmp_path / "daemon.py"),)
        rig.configure()
        code, said = rig.call("run")
        assert code == 73
        assert "lies on nfs" in said
        assert list(rig.queue_path.parent.iterdir()) == []
        assert "lies on nfs" in rig.call("check")[1]
        rig.config_path.write_text(
            rig.config_path.read_text().replace("[queue]\n", "[queue]\nallow_network_file_system = true\n")
        )
        rig.start(configure=False)
        assert "lies on nfs" in rig.log()
        assert rig.stop() == 0


def test_the_ballast_takes_its_room_for_real(tmp_path: Path) -> None:
    """Mode 0600, not a hole, large enough for every upload at once; what is too small, or a link, is replaced."""
    path = tmp_path / "queue.db"
    Ballast(path, renews=True).keep()
    ballast = tmp_path / "queue.db.ballast"
    found = ballast.stat()
    assert (found.st_size, found.st_mode & 0o777) == (LEAST_BYTES, 0o600)
    assert found.st_blocks * 512 >= LEAST_BYTES
    Ballast(path, 64, renews=True).keep()
    assert ballast.stat().st_size == 64 * BYTES_PER_UPLOAD
    ballast.unlink()
    (tmp_path / "elsewhere").write_bytes(b"")
    ballast.symlink_to(tmp_path / "elsewhere")
    Ballast(path, renews=True).keep()
    assert not ballast.is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_a_command_gives_it_up_and_never_makes_it(tmp_path: Path) -> None:
    """It may run as another user."""
    commands = Ballast(tmp_path / "queue.db")
    commands.keep()
    assert list(tmp_path.iterdir()) == []
    assert not commands.give_up()
    Ballast(tmp_path / "queue.db", renews=True).keep()
    assert commands.give_up()


def test_a_ballast_that_would_fill_the_disk_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside it there has to be room for the daily business."""

    class Usage:
        f_bavail, f_frsize = MARGIN_BYTES - 1, 1

    monkeypatch.setattr(os, "statvfs", lambda _path: Usage)
    with pytest.raises(OSError, match="No space left"):
        Ballast(tmp_path / "queue.db", renews=True).keep()
    assert list(tmp_path.iterdir()) == []


def test_every_page_is_looked_at_only_after_an_end_that_nobody_saw(tmp_path: Path) -> None:
    """It takes seconds where there are many recordings."""
    path = tmp_path / "queue.db"
    ballast = Ballast(path, renews=True)
    with closing(opened_whole(path, ballast, doubtful=False)) as queue:
        root = queue.rows("SELECT rootpage FROM sqlite_master WHERE name = 'by_talk'")[0]["rootpage"]
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    opened_whole(path, ballast, doubtful=False).close()
    with pytest.raises(QueueTrouble, match="is damaged") as trouble:
        opened_whole(path, ballast, doubtful=True)
    assert trouble.value.fatal


def test_what_is_damaged_is_not_written_to(tmp_path: Path) -> None:
    """Not even what its log holds, as after a kill: it may be the log of another file that lay there."""
    path = tmp_path / "killed" / "queue.db"
    path.parent.mkdir()
    with closing(SqliteQueue(tmp_path / "queue.db")) as queue:
        root = queue.rows("SELECT rootpage FROM sqlite_master WHERE name = 'by_talk'")[0]["rootpage"]
        queue.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        queue.set_runtime("daemon", {"pid": 1})
        for end in ("", "-wal"):
            shutil.copy(tmp_path / f"queue.db{end}", f"{path}{end}")
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    held = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    assert len(held["queue.db-wal"]) > 4096
    with pytest.raises(QueueTrouble, match="is damaged"):
        opened_whole(path, Ballast(path), doubtful=True)
    assert {each.name: each.read_bytes() for each in path.parent.iterdir() if not each.name.endswith("-shm")} == held


def test_a_lock_tells_how_its_last_holder_ended(tmp_path: Path) -> None:
    """`ended_well` is said at the end of a daemon that could write everything down."""
    path = str(tmp_path / "queue.db.lock")
    with acquire(path, ManualClock()) as first:
        assert not first.left_behind
    with acquire(path, ManualClock()) as second:
        assert second.left_behind
        second.ended_well()
    with acquire(path, ManualClock()) as third:
        assert not third.left_behind
        third.tell(unwritable=True)
        assert holder_cannot_write(path)
        with pytest.raises(LockBusy, match=str(os.getpid())):
            acquire(path, ManualClock())
        third.tell(unwritable=False)
        assert not holder_cannot_write(path)
