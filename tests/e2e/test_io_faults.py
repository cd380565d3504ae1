"""A disk that fails under the real daemon: calls that strace makes fail, and limits of the process."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.standin import StandIn
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm
from torture import io_faults
from torture.io_faults import Figures, Kind


@pytest.mark.skipif(bool(io_faults.why_not()), reason=io_faults.why_not())
@pytest.mark.parametrize(
    ("kind", "nth"),
    [
        (Kind("fdatasync", "EIO"), 3),
        (Kind("fdatasync", "EIO", lasting=True), 2),
        (Kind("pwrite64", "ENOSPC"), 9),
        (Kind("pwrite64", "EIO"), 12),
        (Kind("fsync", "EIO"), 1),
        (Kind("fdatasync", "SIGKILL"), 3),
        (Kind("renameat2", "SIGKILL"), 1),
    ],
    ids=str,
)
def test_a_call_that_fails_loses_and_doubles_nothing(kind: Kind, nth: int) -> None:
    """Nor does one that is the daemon's last. The whole sweep is a part of `make torture`."""
    figures = Figures()
    assert io_faults.run(kind, nth, figures), "the daemon made fewer calls"
    assert figures.clean, figures.table()


def limited(resource: str, limit: int) -> tuple[str, ...]:
    return ("prlimit", f"--{resource}={limit}")


def test_a_queue_that_may_not_grow_stops_the_daemon_and_nothing_else(rig: Rig, standin: StandIn) -> None:
    """RLIMIT_FSIZE: a write beyond it is an error of the disk for SQLite. What was sent until then is known at the next start."""
    for number in range(40):
        rig.drop(f"call-{number}", pcm(seconds=0.3, seed=number))
    rig.configure()
    with rig.log_path.open("ab") as log:
        process = rig.process = rig.command("run", launcher=limited("fsize", 1_200_000), stderr=log)
    assert process.wait(120) in (1, 73), rig.log()
    rig.process = None
    rig.rules["on_unknown"] = "hold"
    rig.start()
    held = (State.DONE, State.UNCONFIRMED)
    wait_for(lambda: len(rig.states()) == 40 and all(state in held for state in rig.states().values()), 40)
    rig.stop()
    hashes = [talk.sha256 for talk in standin.talks()]
    assert len(hashes) == len(set(hashes)) >= 40 - list(rig.states().values()).count(State.UNCONFIRMED)


def test_a_daemon_without_descriptors_left_goes_on_when_there_are_some(rig: Rig, standin: StandIn) -> None:
    """RLIMIT_NOFILE: the queue's connection is open from the start. Files that cannot be opened wait, and nobody is blamed."""
    rig.rules["detection"] = "polling"
    rig.start()
    rig.drop("before", pcm(seconds=0.3, seed=1))
    rig.wait_for_states(before=State.DONE)
    assert rig.process is not None
    pid = rig.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, usual[1]))
    rig.drop("during", pcm(seconds=0.3, seed=2))
    wait_for(lambda: "Too many open files" in rig.log() or "EMFILE" in rig.log() or "folder_down" in rig.log(), 20, rig.log())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    rig.wait_for_states(40, before=State.DONE, during=State.DONE)
    assert len(standin.talks()) == 2
    assert rig.stop() == 0
    assert all({"talk_id", "folder", "start"} & line.keys() for line in map(json.loads, _journal(rig)))


def _journal(rig: Rig) -> list[str]:
    return rig.queue_path.with_name("queue.db.journal").read_text().splitlines()


def damage(rig: Rig, how: str) -> None:
    path = rig.queue_path
    match how:
        case "zeroed header":
            with path.open("r+b") as file:
                file.write(bytes(4096))
        case "cut off":
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2 // 4096 * 4096)
        case "garbage in the middle":
            with path.open("r+b") as file:
                file.seek(5 * 4096)
                file.write(b"\xa5" * (path.stat().st_size - 8 * 4096))


@pytest.mark.parametrize("how", ["zeroed header", "cut off", "garbage in the middle"])
def test_a_damaged_queue_is_told_and_left_alone(rig: Rig, standin: StandIn, how: str) -> None:
    """After an end that nobody saw, by exit code 73 with what to do; no command makes an empty one in its place, none shows a
    traceback, and nothing is sent.
    """
    for number in range(30):
        rig.drop(f"call-{number}", pcm(seconds=0.3, seed=number))
    rig.start()
    wait_for(lambda: list(rig.states().values()).count(State.DONE) == 30, 40)
    rig.stop()
    Path(f"{rig.queue_path}.lock").write_text("4711\n")  # as a daemon leaves it that was killed
    damage(rig, how)
    left = rig.queue_path.read_bytes()
    rig.drop("new", pcm(seconds=0.3, seed=99))
    code, said = rig.call("run")
    assert code == 73, said
    for words in ("is damaged", str(rig.queue_path), "backup", "queue.db.journal"):
        assert words in said
    for command in (("status",), ("list",), ("show", "1"), ("list", "--match", "call")):
        code, said = rig.call(*command)
        assert "Traceback" not in said
        assert code in (0, 1, 2) or (code == 73 and "is damaged" in said), said
    assert rig.queue_path.read_bytes() == left
    assert len(standin.talks()) == 30


def test_a_page_found_broken_in_the_midst_ends_the_daemon_and_the_next_start_says_so(rig: Rig) -> None:
    """Exit code 1 at first; then 73 and the sentence, since the end was not a good one."""
    rig.drop("call")
    rig.start()
    rig.wait_for_states(call=State.DONE)
    rig.stop()
    root = rig.read(lambda queue: queue.rows("SELECT rootpage FROM sqlite_master WHERE name = 'due'"))[0]["rootpage"]
    with rig.queue_path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    rig.drop("next", pcm(seconds=1, seed=5))
    assert rig.call("run")[0] in (1, 73)
    code, said = rig.call("run")
    assert code == 73
    assert "is damaged" in said


@pytest.mark.parametrize("what", ["directory", "socket", "pipe"])
def test_what_is_no_file_is_no_queue(rig: Rig, what: str) -> None:
    """`run` says what lies there."""
    rig.configure()
    rig.queue_path.parent.mkdir()
    if what == "directory":
        rig.queue_path.mkdir()
    elif what == "pipe":
        os.mkfifo(rig.queue_path)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(rig.queue_path))
    code, said = rig.call("run")
    assert code == 73
    assert what in said
    code, said = rig.call("list")
    assert "Traceback" not in said


def test_a_write_ahead_log_that_is_lost_sends_nothing_again(rig: Rig, standin: StandIn) -> None:
    """After kill -9 somebody tidies up `queue.db-wal`: the queue is older than the truth, the journal knows better."""
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=State.DONE)
    rig.stop(signal.SIGKILL)
    for ending in ("-wal", "-shm"):
        Path(f"{rig.queue_path}{ending}").unlink(missing_ok=True)
    rig.start()
    rig.wait_for_states(call=State.DONE)
    assert len(standin.talks()) == 1
