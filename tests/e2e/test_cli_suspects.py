"""`status` and `show` name the recordings with which in hand the daemon died too often."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, 1) as rig:
        rig.queue_path.parent.mkdir()
        rig.configure()
        yield rig


@pytest.fixture
def played(rig: Rig) -> Iterator[PlayedQueue]:
    played = PlayedQueue(rig.queue_path, ManualClock(), "in")
    yield played
    played.queue.close()


def test_a_suspect_is_named_and_needs_nobody(rig: Rig, played: PlayedQueue) -> None:
    """It waits, and waiting never counts; two deaths are not told."""
    poison, other = played.ready("poison"), played.ready("other")
    played.queue._db.conn.execute("UPDATE jobs SET deaths = CASE id WHEN ? THEN 3 ELSE 2 END", (poison.id,))
    _, said = rig.call("status")
    line = (
        f"Recording {poison.id} of in: each of the last 3 times it was being sent the daemon died, so it is sent last and alone."
    )
    assert line in " ".join(said.split())
    told = json.loads(rig.call("status", "--json")[1])
    assert [(each["id"], each["deaths"], each["state"]) for each in told["suspects"]] == [(poison.id, 3, "ready")]
    assert told["attention"] == []
    _, said = rig.call("show", str(poison.id))
    assert "Each of the last 3 times it was being sent the daemon died" in " ".join(said.split())
    assert json.loads(rig.call("show", str(other.id), "--json")[1])["deaths"] == 2
    assert "daemon died" not in rig.call("show", str(other.id))[1]


def test_many_suspects_do_not_hide_the_rest(rig: Rig, played: PlayedQueue) -> None:
    """The worst are named; under way or not."""
    for number in range(13):
        played.ready(f"call-{number}")
    played.uploading("sending")
    played.queue._db.conn.execute("UPDATE jobs SET deaths = 3 + id")
    said = rig.call("status")[1]
    assert said.count("the daemon died") == 10
    assert "and 4 more" in said
    assert len(json.loads(rig.call("status", "--json")[1])["suspects"]) == 14


def test_further_talks_of_a_call_are_told_before_it_is_forgotten(rig: Rig, played: PlayedQueue) -> None:
    """A look-up had found them; their record goes with the call, so their ids are printed."""
    job = played.done("call")
    insert = "INSERT INTO orphans VALUES ('talk-orphan', ?, 'conn-1', ?, 1, 0, NULL)"
    played.queue._db.conn.execute(insert, (job.id, f"{job.uid}-7"))
    code, said = rig.call("forget", "talk-call", "--yes")
    assert code == 0, said
    assert "SpeechSense has it as talk talk-call." in said
    assert "SpeechSense has it as talk talk-orphan." in said
    assert played.queue.rows("SELECT * FROM orphans") == []
