"""A root that goes, comes back, is another one or is mounted over, and a watch that dies.

Each time the outage is visible, nothing counts as deleted, and the next recording is taken without a restart.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.standin import StandIn
from support.rig import Rig
from support.waiting import came_true, wait_for
from support.wavs import pcm

# Its own mounts for the daemon, also without being root (user_namespaces(7)).
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")
# The program that looks after its roots as often as it does everything else here.
ATTENTIVE = """
from speechsense_watch import folder_intake
from speechsense_watch.cli import main

folder_intake.SUPERVISE_EVERY_S = 1.0
main()
"""


@pytest.fixture(params=["events", "polling"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, standin: StandIn) -> Iterator[Rig]:
    with Rig(tmp_path, standin.port) as rig:
        # No scan by the clock helps: what is noticed is noticed because somebody looks after the root.
        rig.rules |= {"detection": request.param, "rescan_interval": "1h" if request.param == "events" else "1s"}
        rig.program = ("-c", ATTENTIVE)
        yield rig


def told(rig: Rig) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(rig.call("status", "--json")[1])
    return answer


def folder_of(rig: Rig) -> Mapping[str, Any]:
    found: Mapping[str, Any] = rig.read(lambda queue: queue.runtime()).get("folder:in", {})
    return found


def wait_for_outage(rig: Rig, *, words: str) -> None:
    wait_for(lambda: words in str(folder_of(rig).get("away")), 20, f"the outage is told: {words}")
    assert [line["code"] for line in told(rig)["attention"]] == ["folder_away"]
    assert "folder_down" in rig.log()


def has_its_past(rig: Rig) -> None:
    """One that was sent and one that still waits: neither may be taken for deleted."""
    rig.drop("sent")
    (rig.folder / "half.wav").write_bytes(pcm(seed=1))
    rig.start()
    rig.wait_for_states(sent=State.DONE, half=State.WAITING)


def is_taken(rig: Rig, stem: str) -> None:
    rig.drop(stem, pcm(seed=len(stem) + ord(stem[0])))
    rig.wait_for_states(**{stem: State.DONE})
    wait_for(lambda: not folder_of(rig)["away"], 20, "the outage is over")
    wait_for(lambda: told(rig)["attention"] == [], 20)


def test_a_root_deleted_and_made_anew(rig: Rig) -> None:
    """While it is gone and while it is empty it is an outage; the first recording in it ends that."""
    has_its_past(rig)
    # In one step: file after file it would be a folder that is being cleaned up.
    shutil.rmtree(rig.folder.rename(rig.directory / "deleted"))
    wait_for_outage(rig, words="does not exist")
    rig.folder.mkdir()
    wait_for_outage(rig, words="empty and another directory")
    assert rig.states() == {"sent.wav": State.DONE, "half.wav": State.WAITING}
    is_taken(rig, "next")


def test_a_root_renamed_and_replaced(rig: Rig, standin: StandIn) -> None:
    """What goes on below the old name is another tree's; the new root is watched."""
    has_its_past(rig)
    moved = rig.folder.rename(rig.directory / "old")
    rig.folder.mkdir()
    (rig.folder / "readme.txt").touch()
    is_taken(rig, "next")
    shutil.copy(rig.folder / "next.wav", moved / "stray.wav")
    shutil.copy(rig.folder / "next.json", moved / "stray.json")
    is_taken(rig, "after")
    assert "stray.wav" not in rig.states()
    assert len(standin.talks()) == 3


def test_a_root_behind_a_link_that_is_turned_elsewhere(rig: Rig) -> None:
    """A link as root is followed, also when it leads somewhere else one day."""
    link = rig.directory / "link"
    link.symlink_to(rig.folder)
    rig.rules["path"] = str(link)
    rig.rules["name"] = "in"
    has_its_past(rig)
    other = rig.directory / "other"
    other.mkdir()
    (other / "readme.txt").touch()
    link.unlink()
    link.symlink_to(other)
    rig.folder = other
    is_taken(rig, "next")


def test_a_file_system_mounted_over_the_root(rig: Rig) -> None:
    """Empty at first it is an outage; what is recorded onto it is taken, and what lies below it when it is unmounted."""
    if subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    rig.launcher = OWN_MOUNTS
    has_its_past(rig)
    assert rig.process is not None
    inside = ("nsenter", "--target", str(rig.process.pid), "--user", "--mount", "--preserve-credentials")
    below = rig.folder
    subprocess.run([*inside, "mount", "-t", "tmpfs", "none", str(below)], check=True)
    wait_for_outage(rig, words="is a file system not mounted?")
    assert rig.states() == {"sent.wav": State.DONE, "half.wav": State.WAITING}
    rig.folder = Path(f"/proc/{rig.process.pid}/root{below}")
    is_taken(rig, "mounted")
    # Nothing of the daemon's holds the mount: it goes without --lazy.
    subprocess.run([*inside, "umount", str(below)], check=True)
    rig.folder = below
    is_taken(rig, "below")


class Storm:
    """Directories made, renamed and removed by four threads at once, until it is over."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._churn, args=(number,)) for number in range(4)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _churn(self, number: int) -> None:
        chance = random.Random(number)
        base = self._root / f"storm-{number}"
        for turn in itertools.count():
            if self._over.is_set():
                return
            first, second = (base / f"{letter}{chance.randrange(7)}" for letter in "ab")
            (first / "x" / "y").mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # not empty: the names are used up, and then they move on
                first.rename(second)
                continue
            with suppress(OSError):
                second.rename(base / f"c{chance.randrange(99)}")
            if turn % 200 == 0:
                shutil.rmtree(base, ignore_errors=True)


# It has a reader that dies as the storm lets it die, and always.
MORTAL = """
from watchdog.observers.inotify_c import InotifyFD

heard = InotifyFD.handle_event

def handle_event(self, event):
    if event.name == b"last breath":
        raise KeyError(event.wd)
    heard(self, event)

InotifyFD.handle_event = handle_event
"""


def goes_on_after_its_reader_died(rig: Rig) -> None:
    wait_for(lambda: folder_of(rig).get("watch_restarts", 0) >= 1, 20, "the reader's death is noticed")
    wait_for(lambda: folder_of(rig)["detection"] == "watching", 20, "the watch is started anew")
    is_taken(rig, "next")
    assert "watch started anew" in rig.call("status")[1]


def has_a_log_of_its_own(rig: Rig) -> None:
    """Whatever watchdog had to say of it: the log is ours, line by line."""
    assert all(json.loads(line)["event"] for line in rig.log().splitlines())
    assert os.fspath(rig.folder) not in rig.log()


@pytest.mark.parametrize("rig", ["events"], indirect=True)
def test_a_reader_that_dies(rig: Rig) -> None:
    """Of a KeyError in watchdog, while everything else says it is alive; as often as it does."""
    rig.program = ("-c", MORTAL + ATTENTIVE)
    rig.start()
    wait_for(lambda: folder_of(rig).get("detection") == "watching", 20, "the watch is up")
    (rig.folder / "last breath").touch()
    goes_on_after_its_reader_died(rig)
    (rig.folder / "last breath").write_bytes(b"again")
    wait_for(lambda: folder_of(rig)["watch_restarts"] >= 2, 20, "the second death is noticed")
    is_taken(rig, "after")
    has_a_log_of_its_own(rig)


@pytest.mark.parametrize("rig", ["events"], indirect=True)
def test_a_storm_of_renames(rig: Rig) -> None:
    """watchdog's reader dies in it, most of the time; what comes after it is taken either way."""
    rig.start()
    with Storm(rig.folder):
        came_true(lambda: folder_of(rig).get("watch_restarts", 0) >= 1, 10)
    if folder_of(rig).get("watch_restarts", 0):
        goes_on_after_its_reader_died(rig)
    is_taken(rig, "calm")
    has_a_log_of_its_own(rig)
