"""What looks like peace and quiet in a folder: files that no rule takes, and no recordings at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.standin import StandIn
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "service") as service:
        yield service


@pytest.fixture
def rig(tmp_path: Path, standin: StandIn) -> Iterator[Rig]:
    with Rig(tmp_path, standin.port) as rig:
        yield rig


def needs(rig: Rig) -> list[str]:
    return [line["code"] for line in json.loads(rig.call("status", "--json")[1])["attention"]]


def test_files_that_no_rule_takes_are_told_while_nothing_else_arrives(rig: Rig) -> None:
    """A glob that misses everything is found on the first day; a stray file beside real recordings is no alarm."""
    (rig.folder / "call.wav16").write_bytes(pcm())
    rig.start()
    wait_for(lambda: "unmatched" in needs(rig), 20)
    rig.drop("call")
    rig.wait_for_states(call=State.DONE)
    assert needs(rig) == []


def test_a_folder_that_stays_silent_in_working_time_is_told(rig: Rig) -> None:
    """Also after a restart: when the last one came is remembered."""
    rig.rules |= {"quiet_alarm": "1s", "working_time": "", "time_zone": "Europe/Moscow"}
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=State.DONE)
    wait_for(lambda: "no_recordings" in needs(rig), 20)
    rig.rules["quiet_alarm"] = "1h"
    rig.stop()
    rig.start()
    assert needs(rig) == []
    seen = json.loads(rig.call("status", "--json")[1])["folders"][0]["last_seen_at"]
    assert seen is not None


def test_the_nearest_folder_owns_a_recording(rig: Rig, standin: StandIn) -> None:
    """One talk, by the inner folder's rules."""
    (rig.folder / "sales").mkdir()
    rig.tables = (
        f'[[folders]]\nname = "sales"\npath = "{rig.folder}/sales"\nconnection_id = "conn-2"\nstart_from = "all"\n'
        'quiet_period = "200ms"\nrescan_interval = "1s"\n'
    )
    rig.drop("sales/early")
    rig.start()
    rig.drop("sales/late", pcm(seconds=1, seed=1))
    rig.drop("outer", pcm(seconds=1, seed=2))
    wait_for(lambda: len(rig.jobs()) == 3 and set(rig.states().values()) == {State.DONE}, 20)
    assert sorted((job.place.folder, path) for path, job in rig.jobs().items()) == [
        ("in", "outer.wav"),
        ("sales", "early.wav"),
        ("sales", "late.wav"),
    ]
    assert sorted(talk.connection_id for talk in standin.talks()) == ["conn-1", "conn-2", "conn-2"]
