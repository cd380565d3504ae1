"""`pause`, `resume` and `approve` beside a running daemon."""

from __future__ import annotations

import json
import re

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.standin import StandIn
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm


def done(rig: Rig) -> int:
    return sum(state is State.DONE for state in rig.states().values())


def status(rig: Rig) -> tuple[int, dict[str, list[dict[str, object]]]]:
    code, said = rig.call("status", "--json")
    return code, json.loads(said)


def test_a_pause_of_everything_outlives_the_daemon(rig: Rig, standin: StandIn) -> None:
    """Recordings are queued, `status` says who holds them, and `resume` lets them go without a restart."""
    rig.start()
    code, said = rig.call("pause", "--until", "2h")
    assert (code, said.partition(" until ")[0]) == (0, "Nothing is sent"), said
    rig.stop()
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=State.READY)
    code, view = status(rig)
    assert code == 2
    assert [(pause["scope"], pause["reason"]) for pause in view["paused"]] == [("everything", "operator")]
    assert "All uploads paused" in rig.call("status")[1]
    assert rig.call("resume") == (0, "The pause of everything is over.\n")
    rig.wait_for_states(call=State.DONE)
    assert status(rig)[0] == 0
    assert len(standin.talks()) == 1


# Nobody looks at the queue by himself for an hour; and it may be that nobody is told of what others do.
HEARS = """
from speechsense_watch import looks, loop, uploader
from speechsense_watch.cli import main

looks.AT_LEAST_EVERY_S = loop.LONGEST_REST_S = uploader.LONGEST_REST_S = 3600.0
"""
IS_DEAF = """
from speechsense_watch.edge import syscalls

def told_of_changes(directory):
    raise OSError("too many of them")

syscalls.told_of_changes = told_of_changes
"""


@pytest.mark.parametrize("program", [HEARS, HEARS + IS_DEAF], ids=["told", "not told"])
def test_a_word_is_heard_at_once_whether_or_not_the_kernel_tells_of_it(rig: Rig, standin: StandIn, program: str) -> None:
    """What a command has written to the queue is a matter of seconds."""
    rig.rules |= {"rescan_interval": "1h"}
    rig.program = ("-c", f"{program}\nmain()")
    rig.start()
    rig.call("pause")
    rig.drop("call")
    rig.wait_for_states(call=State.READY)
    rig.call("resume")
    wait_for(lambda: len(standin.talks()) == 1, 20)


def test_one_folder_is_paused_and_a_name_that_is_none_is_told(rig: Rig) -> None:
    """That is no standstill of everything: exit code 0."""
    rig.start()
    assert rig.call("pause", "in")[0] == 0
    code, view = status(rig)
    assert (code, view["paused"][0]["scope"]) == (0, "folder in")
    assert "Folder in paused" in rig.call("status")[1]
    assert rig.call("resume") == (
        0,
        "There was no pause of everything.\nStill paused: folder in; `speechsense-watch resume in` ends that.\n",
    )
    assert rig.call("resume", "in") == (0, "The pause of folder in is over.\n")
    assert rig.call("pause", "sales") == (1, "speechsense-watch: No folder is called sales; there are: in.\n")
    assert rig.call("pause", "--until", "yesterday")[0] == 2
    assert "is over already" in rig.call("pause", "--until", "2020-01-01")[1]


def test_a_trial_from_its_first_recording_to_the_word(rig: Rig, standin: StandIn) -> None:
    """`status` names the talks to look at and the command to type."""
    rig.rules["trial"] = 2
    rig.start()
    for number in range(5):
        rig.drop(f"call-{number}", pcm(seconds=1, seed=number))
    wait_for(lambda: done(rig) == 2 and len(rig.states()) == 5, 20)
    wait_for(lambda: status(rig)[1]["attention"], 20)
    code, view = status(rig)
    (line,) = view["attention"]
    assert (code, line["code"]) == (1, "trial")
    assert str(line["do"]).startswith("speechsense-watch approve in")
    assert all(talk.talk_id in str(line["what"]) for talk in standin.talks())
    assert rig.call("approve", "in") == (0, "Folder in is approved: its recordings are sent from now on.\n")
    wait_for(lambda: done(rig) == 5, 20)
    assert status(rig)[0] == 0
    assert rig.call("approve", "in") == (0, "Folder in is approved already.\n")


def test_there_is_nothing_to_approve_without_a_trial(rig: Rig) -> None:
    """Said in words."""
    rig.start()
    code, said = rig.call("approve", "in")
    assert code == 1
    assert "has no trial" in said


def test_show_and_retry_say_what_holds_a_recording(rig: Rig, standin: StandIn) -> None:
    """A recording whose time has come and that does not go: why not, and what to type."""
    rig.rules["trial"] = 1
    rig.start()
    rig.drop("first", pcm(seconds=1, seed=1))
    wait_for(lambda: done(rig) == 1, 20)
    rig.drop("second", pcm(seconds=1, seed=2))
    rig.wait_for_states(second=State.READY)
    wait_for(lambda: "trial" in {line["code"] for line in status(rig)[1]["attention"]}, 20)
    word = "The trial of folder in waits for your word"
    said = rig.call("show", str(rig.folder / "second.wav"))[1]
    assert word in said.replace("\n", " ").replace("  ", "")
    assert "speechsense-watch skip 2" in said
    assert "speechsense-watch retry 2" not in said
    (sentence,) = json.loads(rig.call("show", "--json", "2")[1])["next"]
    assert sentence.startswith(word)
    assert f"But not now. {word}" in rig.call("retry", "2")[1]
    assert rig.call("approve", "in")[0] == 0
    wait_for(lambda: done(rig) == 2, 20)
    said = rig.call("pause", "in", "--until", "3h")[1]
    assert re.search(r"Nothing of folder in is sent until 20[0-9-]+ [0-9:]+; recordings are queued", said), said
    rig.drop("third", pcm(seconds=1, seed=3))
    rig.wait_for_states(third=State.READY)
    (sentence,) = json.loads(rig.call("show", "--json", "3")[1])["next"]
    assert sentence.startswith("Folder in is paused by the operator until 20")
    assert sentence.endswith("; `speechsense-watch resume in` ends that.")
    assert rig.call("resume", "in")[0] == 0
    wait_for(lambda: done(rig) == 3, 20)
    assert json.loads(rig.call("show", "--json", "3")[1])["next"] == []


def test_show_says_that_everything_stands_still(rig: Rig, standin: StandIn) -> None:
    """Be it the service that refuses, or a daemon that does not run."""
    standin.stop()
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=State.READY)
    wait_for(lambda: status(rig)[1]["paused"] != [], 20)
    (sentence,) = json.loads(rig.call("show", "--json", "1")[1])["next"]
    assert sentence.startswith("All uploads stand still: ")
    rig.stop()
    (sentence,) = json.loads(rig.call("show", "--json", "1")[1])["next"]
    assert sentence.startswith("No daemon is running")


def test_a_trial_without_talks_is_not_approved_by_a_slip(rig: Rig) -> None:
    """There is nothing that can have been looked at."""
    rig.rules["trial"] = 3
    rig.start()
    code, said = rig.call("approve", "in")
    assert code == 1
    assert "No recording of folder in has been sent yet" in said
    assert rig.call("approve", "in", "--yes")[0] == 0
