"""edge.shared_claims: the note in a folder that several machines can see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from speechsense_watch.core.pairing import ignored
from speechsense_watch.edge.shared_claims import NAME, SharedClaims
from support.manual_clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def mine(clock: ManualClock) -> SharedClaims:
    return SharedClaims("us", "s1", "pbx2", clock.monotonic)


@pytest.fixture
def theirs(clock: ManualClock) -> SharedClaims:
    return SharedClaims("them", "s2", "pbx1", clock.monotonic)


def note(root: Path) -> dict[str, object]:
    return dict(json.loads((root / NAME).read_text()))


def test_the_second_machine_is_told_who_was_first(
    tmp_path: Path, mine: SharedClaims, theirs: SharedClaims, clock: ManualClock
) -> None:
    """Until that one ends in order: then at once."""
    assert theirs.hold(tmp_path, 60) == ""
    assert mine.hold(tmp_path, 60) == (
        "perhaps: one on the machine pbx1 had it last; whether that goes on shows within 3 minutes"
    )
    for _ in range(10):
        clock.advance(60)
        assert theirs.hold(tmp_path, 60) == ""
        assert mine.hold(tmp_path, 60) == "on the machine pbx1"
    theirs.keep_only(())
    assert list(tmp_path.iterdir()) == []
    clock.advance(10)
    assert mine.hold(tmp_path, 60) == ""


def test_a_machine_that_died_is_waited_for_and_then_no_more(
    tmp_path: Path, mine: SharedClaims, theirs: SharedClaims, clock: ManualClock
) -> None:
    """And told when it comes back."""
    theirs.hold(tmp_path, 60)
    said = []
    for _ in range(20):
        said.append(mine.hold(tmp_path, 60) == "")
        clock.advance(10)
    assert said == [False] * 18 + [True] * 2
    clock.advance(60)
    assert theirs.hold(tmp_path, 60) == "on the machine pbx2"


def test_the_same_daemon_started_again_goes_on_at_once(tmp_path: Path, mine: SharedClaims, clock: ManualClock) -> None:
    """After a kill its note lies there still."""
    mine.hold(tmp_path, 60)
    again = SharedClaims("us", "s3", "pbx2", clock.monotonic)
    assert again.hold(tmp_path, 60) == ""
    assert note(tmp_path)["session"] == "s3"


_KILLED = """
import os, pathlib, signal, sys, time
from speechsense_watch.edge.shared_claims import SharedClaims
pathlib.Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
SharedClaims("us", "s0", "pbx2", time.monotonic).hold(pathlib.Path(sys.argv[1]), 60)
"""


@pytest.mark.parametrize("taken", [False, True])
def test_a_note_that_a_kill_left_half_written_is_cleared_by_the_next_start(
    tmp_path: Path, mine: SharedClaims, theirs: SharedClaims, *, taken: bool
) -> None:
    """Whoever has the folder by then; what another daemon is writing stays, and neither is ever a recording or metadata."""
    killed = subprocess.run([sys.executable, "-c", _KILLED, tmp_path], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert ignored(left.name)
    another = tmp_path / f"{NAME}-them.tmp"
    if taken:
        theirs.hold(tmp_path, 60)
    another.touch()
    assert (mine.hold(tmp_path, 60) == "") == (not taken)
    assert {path.name for path in tmp_path.iterdir()} == {NAME, another.name}


def test_the_share_is_asked_about_once_a_minute(tmp_path: Path, mine: SharedClaims, clock: ManualClock) -> None:
    """However often the folder is looked at; what is renewed grows by one."""
    beats = []
    for _ in range(120):
        mine.hold(tmp_path, 1)
        beats.append(json.dumps(note(tmp_path)["beat"]))
        clock.advance(1)
    assert sorted(set(beats)) == ["1", "2", "3"]


def test_a_folder_that_is_left_to_others_keeps_no_note_of_ours(
    tmp_path: Path, mine: SharedClaims, theirs: SharedClaims, clock: ManualClock
) -> None:
    """And none of theirs is taken away."""
    mine.hold(tmp_path, 60)
    clock.advance(60)
    (tmp_path / NAME).unlink()
    theirs.hold(tmp_path, 60)
    mine.keep_only(())
    assert note(tmp_path)["host"] == "pbx1"
    theirs.keep_only([tmp_path])
    assert note(tmp_path)["host"] == "pbx1"


def test_where_nothing_may_be_written_everybody_works(mine: SharedClaims) -> None:
    """As without a guard. Not even root makes a file in here."""
    assert mine.hold(Path("/proc/self"), 60) == ""
    mine.keep_only(())


def test_a_folder_that_is_away_has_no_note(tmp_path: Path, mine: SharedClaims) -> None:
    """Nor is it made for that."""
    assert mine.hold(tmp_path / "away", 60) == ""
    assert not (tmp_path / "away").exists()
    mine.keep_only(())


def _link(path: Path) -> None:
    (path.parent.parent / "elsewhere").write_text('{"owner": "x", "session": "x", "host": "h", "beat": 1, "every_s": 60}')
    path.symlink_to(path.parent.parent / "elsewhere")


_SOUND = {"owner": "x", "session": "x", "host": "h", "beat": 1, "every_s": 60}


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\x00 no note"),
        lambda path: path.write_text("[" * 4000),
        lambda path: path.write_text("[1]"),
        *(
            lambda path, bad=bad: path.write_text(json.dumps(_SOUND | bad))
            for bad in ({"beat": "1"}, {"beat": True}, {"every_s": "x"}, {"owner": 3}, {"session": ""})
        ),
        lambda path: path.write_text(json.dumps(_SOUND | {"every_s": float("nan")})),
        lambda path: path.write_text(json.dumps(_SOUND)[:-9] + " " * 5000 + "60}"),
        _link,
        os.mkfifo,
    ],
)
def test_what_is_no_note_is_written_over(tmp_path: Path, mine: SharedClaims, make: object) -> None:
    """Whoever put it there; what a link points at stays as it was."""
    root = tmp_path / "folder"
    root.mkdir()
    assert callable(make)
    make(root / NAME)
    assert mine.hold(root, 60) == ""
    assert note(root)["owner"] == "us"
    elsewhere = tmp_path / "elsewhere"
    assert not elsewhere.exists() or '"owner": "x"' in elsewhere.read_text()


def test_a_directory_by_the_note_s_name_stops_nothing(tmp_path: Path, mine: SharedClaims) -> None:
    """Nothing can be written then."""
    (tmp_path / NAME).mkdir()
    assert mine.hold(tmp_path, 60) == ""
    mine.keep_only(())


def test_a_host_s_name_is_shown_as_hosts_have_them(tmp_path: Path, mine: SharedClaims) -> None:
    """What others wrote is not printed to a terminal."""
    (tmp_path / NAME).write_text(json.dumps(_SOUND | {"host": "\x1b[31mp\nbx\u202e" + "x" * 100}))
    assert "the machine 31mpbx" + "x" * 54 + " had" in mine.hold(tmp_path, 60)


def test_many_threads_ask_at_once(tmp_path: Path, mine: SharedClaims) -> None:
    """The uploader asks from its threads."""
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(mine.hold(tmp_path, 60))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [""] * 8
    assert note(tmp_path)["beat"] == 1
