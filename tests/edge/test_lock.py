"""One daemon for one queue."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.lock import LockBusy, LockTrouble, acquire, is_held
from support.manual_clock import ManualClock

HOLDER = """
import sys
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.lock import acquire
lock = acquire(sys.argv[1], SystemClock())
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "queue.db.lock")


@contextmanager
def another_process(path: str) -> Iterator[subprocess.Popen[str]]:
    """Holds the lock until its input ends or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "held\n"
        try:
            yield child
        finally:
            child.kill()


def test_a_second_process_is_told_who_was_first(path: str) -> None:
    """After two seconds of trying, LockBusy names the holder's process id."""
    clock = ManualClock()
    with another_process(path) as child:
        with pytest.raises(LockBusy) as caught:
            acquire(path, clock)
        assert caught.value.pid == child.pid
    assert 2.0 <= sum(clock.slept) < 2.5


def test_a_killed_holder_holds_nothing(path: str) -> None:
    """The kernel drops the lock with the process, even by kill -9; the file that stays does no harm."""
    with another_process(path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not is_held(path)
        with acquire(path, ManualClock()):
            assert Path(path).read_text().split() == [str(os.getpid())]


def test_an_outgoing_holder_is_waited_for(path: str) -> None:
    """A predecessor that ends within the two seconds is no reason to fail."""
    first = acquire(path, SystemClock())

    class Passing(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            first.release()

    acquire(path, Passing()).release()


def test_the_probe_sees_another_process_and_disturbs_nothing(path: str) -> None:
    """`is_held` is true exactly while somebody holds the lock, and leaves it with its holder."""
    assert not is_held(path)
    assert not Path(path).exists()
    with another_process(path):
        assert is_held(path)
        assert is_held(path)
        with pytest.raises(LockBusy):
            acquire(path, ManualClock())
    assert not is_held(path)


def test_two_probes_do_not_take_each_other_for_a_daemon(path: str) -> None:
    """Two people may ask for the status at once."""
    acquire(path, ManualClock()).release()
    with Path(path).open() as probe:
        fcntl.flock(probe, fcntl.LOCK_SH)
        assert not is_held(path)


def test_a_probe_in_progress_delays_the_daemon_but_does_not_stop_it(path: str) -> None:
    """The two seconds of trying cover somebody's `status`."""
    acquire(path, ManualClock()).release()
    probe = os.open(path, os.O_RDONLY)
    fcntl.flock(probe, fcntl.LOCK_SH)

    class Passing(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            fcntl.flock(probe, fcntl.LOCK_UN)

    clock = Passing()
    acquire(path, clock).release()
    assert clock.slept
    os.close(probe)


def test_released_is_released_once_and_for_all(path: str) -> None:
    """After release the next one gets it, and a second release harms nobody."""
    lock = acquire(path, ManualClock())
    lock.release()
    with acquire(path, ManualClock()):
        lock.release()
        assert is_held(path)
    assert not is_held(path)


def test_a_lock_file_removed_in_mid_grip_is_not_trusted(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever locked a file that has no name any more tries again with the one that others will find."""
    take = fcntl.flock
    removed: list[str] = []

    def flock(descriptor: int, how: int) -> None:
        take(descriptor, how)
        if not removed:
            removed.append(path)
            Path(path).unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    with acquire(path, ManualClock()):
        assert is_held(path)
        assert removed


def test_a_lock_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    """A missing directory, a link in the file's place: a sentence each, and no OSError."""
    with pytest.raises(LockTrouble, match="create the directory"):
        acquire(str(tmp_path / "no" / "queue.db.lock"), ManualClock())
    (tmp_path / "link.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LockTrouble, match="symbolic link"):
        acquire(str(tmp_path / "link.lock"), ManualClock())
    with pytest.raises(LockTrouble):
        is_held(str(tmp_path / "link.lock"))
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_is_not_readable_for_others(path: str) -> None:
    """The file is its owner's alone."""
    with acquire(path, ManualClock()):
        assert Path(path).stat().st_mode & 0o077 == 0
