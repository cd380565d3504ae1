"""The wall clock jumps by a year under the running daemon (libfaketime): everything is sent all the same, nothing twice."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.standin import Fault, StandIn
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm

pytestmark = pytest.mark.skipif(shutil.which("faketime") is None, reason="there is no libfaketime")


def library() -> str:
    """Where Debian and others put it; the dynamic linker knows its own directories."""
    found = [path for root in ("/usr/lib", "/usr/local/lib") for path in Path(root).rglob("libfaketimeMT.so.1")]
    return str(found[0]) if found else "libfaketimeMT.so.1"


class Clock:
    """The wall clock of the daemon, as a file that it reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set("+0")

    def set(self, offset: str) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.replace(self._path)


@pytest.fixture
def clock(rig: Rig) -> Clock:
    control = rig.directory / "clock"
    rig.environ |= {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(control),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    return Clock(control)


@pytest.mark.parametrize("offset", ["+365d", "-365d", "+1461d"])
def test_a_jump_changes_nothing_but_timestamps(rig: Rig, standin: StandIn, clock: Clock, offset: str) -> None:
    """While one recording was sent, one waits for its other half, one backs off, one is on its way and one unconfirmed."""
    rig.upload |= {"retry_initial": "6s", "retry_max": "8s"}
    rig.start()
    rig.drop("sent", pcm(seconds=0.3, seed=1))
    rig.wait_for_states(sent=State.DONE)
    (rig.folder / "half.wav").write_bytes(pcm(seconds=0.3, seed=2))
    standin.order(Fault("UNAVAILABLE", when="mid"))
    rig.drop("doubtful", pcm(seconds=0.3, seed=3))
    rig.wait_for_states(half=State.WAITING, doubtful=State.UNCONFIRMED)
    standin.order(Fault("delay", when="after", seconds=6))
    rig.drop("on-its-way", pcm(seconds=0.3, seed=4))
    wait_for(lambda: rig.states().get("on-its-way.wav") is State.COMMITTING, 20)
    clock.set(offset)
    rig.drop("new", pcm(seconds=0.3, seed=5))
    rig.drop_metadata("half")
    wait_for(lambda: set(rig.states().values()) == {State.DONE} and len(rig.states()) == 5, 30, str(rig.states()))
    assert "clock_jumped" in rig.log()
    clock.set("+0")
    rig.drop("afterwards", pcm(seconds=0.3, seed=6))
    wait_for(lambda: rig.states().get("afterwards.wav") is State.DONE, 30)
    assert rig.stop() == 0
    hashes = [talk.sha256 for talk in standin.talks()]
    assert len(hashes) == len(set(hashes)) == 6
    with closing(SqliteQueue(rig.queue_path)) as queue:
        assert queue.rows("SELECT count(*) AS n FROM jobs WHERE fields IS NULL") == [{"n": 0}]
        assert queue.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_a_clock_that_is_behind_at_the_first_start_does_not_make_old_calls_new(rig: Rig, standin: StandIn, clock: Clock) -> None:
    """A dead battery: `start_from = "now"` is not 1970. What is recorded while it is behind is taken."""
    rig.rules["start_from"] = "now"
    rig.drop("old", pcm(seconds=0.3, seed=1))
    long_ago = (rig.folder / "old.wav").stat().st_mtime - 86400
    for name in ("old.wav", "old.json"):
        os.utime(rig.folder / name, (long_ago, long_ago))
    clock.set("-3650d")
    rig.start()
    behind = long_ago + 86400 - 3650 * 86400
    rig.drop("new", pcm(seconds=0.3, seed=2))
    for name in ("new.wav", "new.json"):
        os.utime(rig.folder / name, (behind, behind))
    wait_for(lambda: rig.states().get("new.wav") is State.DONE, 20)
    rig.stop()
    assert len(standin.talks()) == 1
