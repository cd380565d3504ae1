"""The disk that holds the queue becomes full, with uploads under way: what is promised then, on a real disk of some megabytes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.edge.ballast import LEAST_BYTES
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.standin import Fault, StandIn
from support.rig import Rig
from support.small_disk import SmallDisk, small_disk
from support.waiting import wait_for
from support.wavs import pcm

DONE = State.DONE


@pytest.fixture
def disk(rig: Rig) -> Iterator[SmallDisk]:
    """Holds the queue and what lies beside it, and nothing else."""
    with small_disk(rig.queue_path.parent, 4) as disk:
        yield disk


def ballast(rig: Rig) -> Path:
    return rig.queue_path.with_name("queue.db.ballast")


def told(rig: Rig) -> tuple[int, dict[str, Any]]:
    code, output = rig.call("status", "--json")
    answer: dict[str, Any] = json.loads(output)
    return code, answer


def all_done(rig: Rig, count: int) -> bool:
    states = rig.states()
    return len(states) == count and set(states.values()) == {DONE}


def nothing_lost_or_doubled(rig: Rig, standin: StandIn, count: int) -> None:
    """Every recording has the one talk id that the service gave it, in the queue and in the journal."""
    talks = standin.talks()
    assert len(talks) == count
    assert len({talk.sha256 for talk in talks}) == count
    assert {job.talk_id for job in rig.jobs().values()} == {talk.talk_id for talk in talks}
    journal = [json.loads(line) for line in rig.queue_path.with_name("queue.db.journal").read_text().splitlines() if line]
    assert {line["talk_id"] for line in journal if "talk_id" in line} == {talk.talk_id for talk in talks}
    assert not any(job.possible_duplicate for job in rig.jobs().values())
    with closing(SqliteQueue(rig.queue_path)) as queue:
        assert queue.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_a_disk_that_fills_up_under_uploads_loses_and_doubles_nothing(rig: Rig, standin: StandIn, disk: SmallDisk) -> None:
    """Those under way end and are recorded at the cost of the ballast; the rest waits, `status` says why by exit code 2, and with
    room everything goes on by itself, the ballast first.
    """
    standin.order(Fault(what="delay", when="after", seconds=8, count=4))
    rig.start()
    for number in range(4):
        rig.drop(f"first-{number}", pcm(seconds=1, seed=number))
    wait_for(lambda: list(rig.states().values()).count(State.COMMITTING) == 4, 20, "four are on their way")
    assert ballast(rig).stat().st_blocks * 512 >= LEAST_BYTES
    assert ballast(rig).stat().st_mode & 0o777 == 0o600
    disk.fill()
    for number in range(4):
        rig.drop(f"later-{number}", pcm(seconds=1, seed=10 + number))
    wait_for(lambda: list(rig.states().values()).count(DONE) + list(rig.states().values()).count(State.UPLOADED) == 4, 30)
    assert not ballast(rig).exists()
    wait_for(lambda: "service_paused" in rig.log(), 20, "the pause is told")
    wait_for(lambda: rig.queue_path.with_name("queue.db.lock").read_text().rstrip().endswith("unwritable"), 20)
    code, answer = told(rig)
    assert code == 2
    assert [pause["reason"] for pause in answer["paused"]] == ["queue_not_writable"]
    assert {"paused", "disk_nearly_full"} <= {line["code"] for line in answer["attention"]}
    assert rig.call("status")[0] == 2
    assert rig.call("status", "--alive")[0] == 0
    assert rig.call("list")[0] == 0
    assert rig.call("show", str(rig.folder / "first-0.wav"))[0] == 0
    assert len(standin.talks()) == 4
    disk.make_room()
    wait_for(lambda: all_done(rig, 8), 60, "everything went on by itself")
    assert ballast(rig).exists()
    wait_for(lambda: not rig.queue_path.with_name("queue.db.lock").read_text().rstrip().endswith("unwritable"), 20)
    assert told(rig)[1]["paused"] == []
    assert rig.stop() == 0
    nothing_lost_or_doubled(rig, standin, 8)


def test_a_daemon_killed_on_a_full_disk_starts_once_there_is_room(rig: Rig, standin: StandIn, disk: SmallDisk) -> None:
    """Until then it says so, by exit code 73, or runs and waits; a talk id that was recorded is not asked for again."""
    standin.order(Fault(what="delay", when="after", seconds=5))
    rig.start()
    rig.drop("first", pcm(seconds=1, seed=1))
    wait_for(lambda: rig.states().get("first.wav") is State.COMMITTING, 20)
    disk.fill()
    rig.drop("later", pcm(seconds=1, seed=2))
    wait_for(lambda: rig.states()["first.wav"] in (State.UPLOADED, DONE), 30)
    rig.stop(signal.SIGKILL)
    disk.fill()
    assert rig.call("list")[0] == 0
    process = rig.command("run", stderr=-1)
    try:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 73
        assert b"is full" in said
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    disk.make_room()
    rig.start(configure=False)
    wait_for(lambda: all_done(rig, 2), 30)
    rig.stop()
    nothing_lost_or_doubled(rig, standin, 2)


def test_reading_works_after_a_clean_end_on_a_disk_that_is_full_or_read_only(rig: Rig, disk: SmallDisk) -> None:
    """SQLite would make files beside the queue for that; there is no room for them, or no right."""
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=DONE)
    rig.stop()
    disk.fill()
    for command in (("list",), ("show", "1"), ("status", "--json")):
        code, output = rig.call(*command)
        assert code == (2 if command[0] == "status" else 0), output
    disk.make_room()
    disk.remount("ro")
    try:
        assert rig.call("list")[0] == 0
        code, output = rig.call("run")
        assert code == 73
        assert "ead-only" in output
    finally:
        disk.remount("rw")
