"""Who waits for a file to be touched sleeps until one is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from speechsense_watch.edge import syscalls
from speechsense_watch.edge.signals import News
from speechsense_watch.edge.touched import Touched, told_of
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: path.write_bytes(b"other"),
        lambda path: path.unlink(),
        lambda path: path.rename(path.with_name("b")),
        lambda path: path.with_name("b").touch(),
        lambda path: (path.unlink(), path.parent.rmdir()),
        lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
    ],
)
def test_whatever_changes_is_told(tmp_path: Path, touch: Callable[[Path], object]) -> None:
    path = tmp_path / "directory" / "a"
    path.parent.mkdir()
    path.touch()
    with Touched(str(path.parent)) as touched:
        assert not touched.heard()
        touch(path)
        assert touched.heard()
        assert not touched.heard(), "it is old"


def test_a_touch_ends_the_waiting_for_news(tmp_path: Path) -> None:
    """It is none itself."""
    news, began = News(), time.monotonic()
    with Touched(str(tmp_path)) as touched:
        (tmp_path / "a").touch()
        assert not news.wait(60, beside=touched)
        assert time.monotonic() - began < 30
        assert touched.heard()


def test_what_is_only_read_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    with Touched(str(tmp_path)) as touched:
        path.read_bytes()
        list(tmp_path.iterdir())
        assert not touched.heard()


def test_what_another_process_writes_to_the_queue_is_told(tmp_path: Path) -> None:
    """It goes into the log beside the file (sqlite.org/wal.html)."""
    played = PlayedQueue(tmp_path / "queue.db", ManualClock())
    program = (
        "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as conn: conn.execute(\"INSERT INTO runtime VALUES ('a', 1)\")"
    )
    with Touched(str(tmp_path)) as touched:
        subprocess.run([sys.executable, "-c", program, tmp_path / "queue.db"], check=True)
        assert touched.heard()
        assert played.queue.changed_elsewhere()
    played.queue.close()


def test_where_nobody_tells_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a directory that is not there, or when the kernel tells as many as it may; nothing is left open then."""
    opened: list[int] = []
    init = syscalls._libc.inotify_init1

    def noted(flags: object) -> int:
        opened.append(init(flags))
        return opened[-1]

    monkeypatch.setattr(syscalls._libc, "inotify_init1", noted)
    with told_of(tmp_path / "missing") as touched:
        assert touched is None
    assert not Path(f"/proc/self/fd/{opened[0]}").exists()
    monkeypatch.setattr(syscalls._libc, "inotify_init1", lambda _flags: -1)
    with told_of(tmp_path) as touched:
        assert touched is None
