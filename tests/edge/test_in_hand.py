"""edge.in_hand: what the daemon had in hand is known after its death."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from speechsense_watch.edge.in_hand import InHandFile

_NOTES_AND_DIES = """
import os, signal, sys
from pathlib import Path
from speechsense_watch.edge.in_hand import InHandFile
InHandFile(Path(sys.argv[1])).holds([17])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db.in-hand"


def test_what_was_noted_last_is_told(path: Path) -> None:
    """By another process too; a shorter note leaves nothing of a longer one."""
    for jobs in map(frozenset, ([1, 22, 2**62], [7], [], range(1, 65))):
        InHandFile(path).holds(jobs)
        assert InHandFile(path).left() == jobs
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_outlives_a_kill(path: Path) -> None:
    """Without a wait for the disk: the kernel has it."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = subprocess.run([sys.executable, "-c", _NOTES_AND_DIES, str(path)], check=False, env=environ)
    assert killed.returncode == -signal.SIGKILL
    assert InHandFile(path).left() == frozenset({17})


def test_as_many_as_there_can_be_have_room(path: Path) -> None:
    """Each with the longest number SQLite gives."""
    jobs = frozenset(range(2**63 - 64, 2**63))
    InHandFile(path).holds(jobs)
    assert InHandFile(path).left() == jobs
    assert path.stat().st_size == 2048


@pytest.mark.parametrize("content", [b"", b"[1,2", b"{}", b'["1"]', b"[1.5]", b"[true]", b"[-1]", b"\xff", b"[" * 10_000])
def test_a_note_that_cannot_be_read_is_none(path: Path, content: bytes) -> None:
    """Lost with the power, or written by a hand."""
    path.write_bytes(content)
    assert InHandFile(path).left() is None
    assert InHandFile(path.with_name("none")).left() is None


def test_a_note_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    """Uploads do not depend on it."""
    note = InHandFile(tmp_path / "none" / "queue.db.in-hand")
    note.holds([1])
    assert note.left() is None
