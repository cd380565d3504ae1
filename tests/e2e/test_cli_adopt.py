"""`adopt`: leaving the script that sent recordings until now, without sending them again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.standin import StandIn
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm

DONE = State.DONE


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "service") as service:
        yield service


@pytest.fixture
def rig(tmp_path: Path, standin: StandIn) -> Iterator[Rig]:
    with Rig(tmp_path, standin.port) as rig:
        rig.configure()
        yield rig


def listing(rig: Rig, text: str) -> str:
    path = rig.directory / "sent.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_list_of_talks_is_on_record_and_not_sent(rig: Rig, standin: StandIn) -> None:
    """Before the first start: absolute and relative paths, a heading, and what the list does not name is sent."""
    for number in range(3):
        rig.drop(f"call-{number}", pcm(seconds=1, seed=number))
    sent = listing(rig, f"path,talk\n{rig.folder}/call-0.wav,talk-a\ncall-1.wav,talk-b\n")
    code, said = rig.call("adopt", sent, "--yes")
    assert (code, said) == (0, "2 recordings of sent.csv will be put on record as sent.\n2 adopted.\n")
    rig.start()
    wait_for(lambda: list(rig.states().values()) == [DONE] * 3, 20)
    jobs = rig.jobs()
    assert (jobs["call-0.wav"].talk_id, jobs["call-1.wav"].talk_id) == ("talk-a", "talk-b")
    assert len(standin.talks()) == 1
    assert (rig.folder / "call-0.wav").exists()
    assert rig.call("adopt", sent, "--yes")[1].endswith("2 known.\n")


def test_the_same_recording_elsewhere_is_known_by_its_bytes(rig: Rig, standin: StandIn) -> None:
    """As if we had sent it ourselves."""
    audio = rig.drop("call")
    rig.call("adopt", listing(rig, "call.wav;talk-a\n"), "--yes")
    rig.start()
    rig.drop("copy", audio)
    rig.wait_for_states(copy=State.SKIPPED)
    assert rig.jobs()["copy.wav"].reason is Reason.DUPLICATE
    assert standin.talks() == []


def test_what_was_adopted_is_not_sent_when_the_queue_is_lost(rig: Rig, standin: StandIn) -> None:
    """Beside a running daemon, which is then killed, and whose queue is gone at the next start: the journal knows."""
    rig.start()
    rig.call("pause")
    rig.drop("call")
    rig.wait_for_states(call=State.READY)
    assert rig.call("adopt", listing(rig, "call.wav,talk-a\n"), "--yes")[0] == 0
    rig.stop(signal.SIGKILL)
    for path in rig.queue_path.parent.glob("queue.db*"):
        if not path.name.endswith(".journal"):
            path.unlink()
    rig.drop("new", pcm(seconds=1, seed=1))
    rig.start()
    rig.wait_for_states(call=DONE, new=DONE)
    assert rig.jobs()["call.wav"].talk_id == "talk-a"
    assert len(standin.talks()) == 1


def test_what_a_list_has_wrong_is_told_by_its_line(rig: Rig) -> None:
    """And the rest is done all the same."""
    rig.drop("call")
    (rig.folder / "notes.txt").write_text("x")
    text = "heading,talk\ncall.wav,talk-a\ngone.wav,talk-b\n/etc/passwd,talk-c\nnotes.txt,talk-d\n"
    code, said = rig.call("adopt", listing(rig, text + "call.wav,\n"), "--yes")
    assert code == 1
    assert "line 3: gone.wav lies in none of the watched folders" in said
    assert "line 4: /etc/passwd lies in none of the watched folders" in said
    assert "line 5: notes.txt is no audio by the folder's rules" in said
    assert "line 6: call.wav has no talk id" in said
    assert "1 adopted" in said
    gone = listing(rig, f"{rig.folder}/gone.wav,talk-b\n{rig.folder}/call.wav,talk-a\n")
    assert rig.call("adopt", gone, "--yes")[0] == 1
    code, said = rig.call("adopt", gone, "--yes", "--missing-ok")
    assert (code, "1 known, 1 not there." in said) == (0, True)


def test_everything_before_a_date_is_left_out(rig: Rig, standin: StandIn) -> None:
    """Beside the running daemon or before it; an operator may take single ones back."""
    rig.drop("old")
    for name in ("old.wav", "old.json"):
        os.utime(rig.folder / name, (1_700_000_000, 1_700_000_000))
    rig.drop("new", pcm(seconds=1, seed=1))
    code, said = rig.call("adopt", "--before", "2024-01-01", "--yes")
    assert (code, "1 recordings from before 2024-01-01" in said, "1 adopted." in said) == (0, True, True)
    rig.start()
    rig.wait_for_states(old=State.SKIPPED, new=DONE)
    job = rig.jobs()["old.wav"]
    assert (job.reason, "Sent by other means" in job.message) == (Reason.BY_OPERATOR, True)
    assert rig.call("adopt", "--before", "2024-01-01", "--yes")[0] == 0
    assert len(standin.talks()) == 1
    assert rig.call("retry", str(job.id))[0] == 0
    rig.wait_for_states(old=DONE)
    wait_for(lambda: len(standin.talks()) == 2, 20)


def test_nobody_there_to_agree(rig: Rig) -> None:
    """A script must say --yes."""
    rig.drop("call")
    code, said = rig.call("adopt", listing(rig, "call.wav,talk-a\n"))
    assert (code, "add --yes" in said) == (1, True)
    assert rig.call("adopt")[0] == 2
    assert "expected a date" in rig.call("adopt", "--before", "soon")[1]
