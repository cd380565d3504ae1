"""What looks like peace and quiet in a folder: files that no rule takes, and no recordings at all."""

from __future__ import annotations

import json
import signal
from collections import Counter

from speechsense_watch.core.model import State
from speechsense_watch.standin import StandIn
from support.rig import Rig, toml
from support.waiting import wait_for
from support.wavs import pcm


def needs(rig: Rig) -> list[str]:
    return [line["code"] for line in json.loads(rig.call("status", "--json")[1])["attention"]]


def test_files_that_no_rule_takes_are_told_while_nothing_else_arrives(rig: Rig) -> None:
    """A glob that misses everything is found on the first day; a stray file beside real recordings is no alarm."""
    (rig.folder / "call.wav16").write_bytes(pcm())
    rig.start()
    wait_for(lambda: "unmatched" in needs(rig), 20)
    rig.drop("call")
    rig.wait_for_states(call=State.DONE)
    wait_for(lambda: needs(rig) == [], 20)


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


def test_a_folder_made_within_a_watched_one_takes_over_what_is_not_sent_yet(rig: Rig, standin: StandIn) -> None:
    """What was sent to the outer one's connection stays there; what waits goes to the inner one's, and only there."""
    (rig.folder / "sales").mkdir()
    rig.drop("sales/sent", pcm(seed=1))
    (rig.folder / "sales" / "half.wav").write_bytes(pcm(seed=2))
    rig.start()
    rig.wait_for_states(**{"sales/sent": State.DONE, "sales/half": State.WAITING})
    inner = {"path": str(rig.folder / "sales"), "connection_id": "conn-2", "start_from": "now", "quiet_period": "200ms"}
    rig.tables = "\n[[folders]]\n" + toml(inner)
    rig.configure()
    assert rig.process is not None
    rig.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "folder:sales" in rig.read(lambda queue: queue.runtime()), 20, "the inner folder is watched")
    assert rig.states()["sales/half.wav"] is State.SKIPPED
    (rig.folder / "sales" / "half.wav").touch()
    rig.drop_metadata("sales/half")
    wait_for(lambda: rig.states().get("half.wav") is State.DONE, 20, "the inner folder sends it")
    assert Counter(talk.connection_id for talk in standin.talks()) == {"conn-1": 1, "conn-2": 1}
    assert rig.states()["sales/half.wav"] is State.SKIPPED
