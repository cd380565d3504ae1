"""`adopt`: leaving the script that sent recordings until now, without sending them again."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from datetime import datetime
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
    heading = "Line 1 is taken for a heading: path\n"
    assert (code, said) == (0, heading + "2 recordings of sent.csv will be put on record as sent.\n2 adopted, 0 known.\n")
    rig.start()
    wait_for(lambda: list(rig.states().values()) == [DONE] * 3, 20)
    jobs = rig.jobs()
    assert (jobs["call-0.wav"].talk_id, jobs["call-1.wav"].talk_id) == ("talk-a", "talk-b")
    assert len(standin.talks()) == 1
    assert (rig.folder / "call-0.wav").exists()
    assert rig.call("adopt", sent, "--yes")[1].endswith("\n0 adopted, 2 known.\n")


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
    lines = "4 not adopted:\n  1: has no talk id (line 6)\n  1: is no audio by the folder's rules (line 5)\n"
    assert said.endswith(f"\n1 adopted, 0 known.\n{lines}  2: lies in none of the watched folders (lines 3-4)\n")
    gone = listing(rig, f"{rig.folder}/gone.wav,talk-b\n{rig.folder}/call.wav,talk-a\n")
    assert rig.call("adopt", gone, "--yes")[0] == 1
    code, said = rig.call("adopt", gone, "--yes", "--missing-ok")
    assert code == 0
    assert said.endswith("\n0 adopted, 1 known.\n1 not adopted:\n  1: is not there any more (line 1)\n")


@pytest.mark.parametrize("first", ["/elsewhere/call.wav", "gone.WAV", "in/gone", "gone.mp3"])
def test_a_first_line_that_could_be_a_recording_is_no_heading(rig: Rig, first: str) -> None:
    """Passed over without a word, its recording would be sent again."""
    rig.drop("call")
    code, said = rig.call("adopt", listing(rig, f"{first},talk-a\ncall.wav,talk-b\n"), "--yes")
    assert code == 1
    assert f"line 1: {first} lies in none of the watched folders" in said
    assert said.endswith("1 adopted, 0 known.\n1 not adopted:\n  1: lies in none of the watched folders (line 1)\n")


def test_what_contradicts_the_record_is_told_and_not_taken(rig: Rig, standin: StandIn) -> None:
    """Another talk id for a recording, one talk id for two recordings: whoever made the list has to look."""
    for number in range(2):
        rig.drop(f"call-{number}", pcm(seconds=1, seed=number))
    assert rig.call("adopt", listing(rig, "call-0.wav,talk-a\n"), "--yes")[0] == 0
    code, said = rig.call("adopt", listing(rig, "call-0.wav,talk-b\ncall-1.wav,talk-a\n"), "--yes")
    assert code == 1
    assert "line 1: call-0.wav is on record with another talk id: see `show`\n" in said
    assert "line 2: call-1.wav has the talk id of another recording\n" in said
    assert said.partition("\n")[2].endswith(
        "  1: is on record with another talk id: see `show` (line 1)\n" + said.splitlines()[-1] + "\n"
    )
    rig.start()
    wait_for(lambda: list(rig.states().values()) == [DONE] * 2, 20)
    assert rig.jobs()["call-0.wav"].talk_id == "talk-a"
    assert rig.jobs()["call-1.wav"].talk_id == standin.talks()[0].talk_id


def test_names_that_a_file_system_allows_can_be_listed(rig: Rig, standin: StandIn) -> None:
    """With line ends of any kind in them, spaces at either end, and bytes that are no UTF-8."""
    names = [
        "\u0085\u2028.wav",
        "a\nb.wav",
        "c\r\nd.wav",
        'q"uote.wav',
        ' "space".wav',
        "comma,;.wav",
        "\udcff\udcfe.wav",
        "e\x0cf.wav",
    ]
    for number, name in enumerate(names):
        rig.drop(name[:-4], pcm(seconds=1, seed=number))
    with Path(rig.directory, "sent.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows([name, f"talk-{number}"] for number, name in enumerate(names))
    code, said = rig.call("adopt", str(rig.directory / "sent.csv"), "--yes")
    assert (code, said.endswith(f"\n{len(names)} adopted, 0 known.\n")) == (0, True), said
    assert {job.place.path: job.talk_id for job in rig.jobs().values()} == {n: f"talk-{i}" for i, n in enumerate(names)}


def test_a_name_below_a_folder_may_be_written_in_several_ways(rig: Rig) -> None:
    """As `find` and people write it; what leads out of the folder lies in none."""
    (rig.folder / "day").mkdir()
    rig.drop("day/call")
    (rig.directory / "outside.wav").write_bytes(pcm())
    code, said = rig.call("adopt", listing(rig, "./day//call.wav,talk-a\n../outside.wav,talk-b\n"), "--yes")
    assert (code, "line 2: ../outside.wav lies in none of the watched folders" in said) == (1, True)
    assert [(job.place.path, job.state) for job in rig.jobs().values()] == [("day/call.wav", DONE)]


@pytest.mark.parametrize("codec", ["cp1251", "utf-16", "utf-16-le"])
def test_a_list_in_another_encoding_is_told(rig: Rig, codec: str) -> None:
    """In a sentence that says how to mend it, and nothing of it is adopted."""
    rig.drop("звонок")
    (rig.directory / "sent.csv").write_bytes("путь;номер\r\nзвонок.wav;talk-a\r\n".encode(codec))
    code, said = rig.call("adopt", str(rig.directory / "sent.csv"), "--yes")
    assert (code, "is not in UTF-8" in said, "save" in said) == (1, True, True)
    assert "Traceback" not in said
    assert rig.jobs() == {}


def test_everything_before_a_date_is_left_out(rig: Rig, standin: StandIn) -> None:
    """Beside the running daemon or before it; an operator may take single ones back."""
    rig.drop("old")
    for name in ("old.wav", "old.json"):
        os.utime(rig.folder / name, (1_700_000_000, 1_700_000_000))
    rig.drop("new", pcm(seconds=1, seed=1))
    code, said = rig.call("adopt", "--before", "2024-01-01", "--yes")
    assert (code, "1 recordings from before 2024-01-01" in said, "1 adopted, 0 known." in said) == (0, True, True)
    rig.start()
    rig.wait_for_states(old=State.SKIPPED, new=DONE)
    job = rig.jobs()["old.wav"]
    assert (job.reason, "Sent by other means" in job.message) == (Reason.BY_OPERATOR, True)
    code, said = rig.call("adopt", "--before", "2024-01-01", "--yes")
    assert (code, said.endswith("\n0 adopted, 1 known.\n")) == (0, True)
    assert len(standin.talks()) == 1
    assert rig.call("retry", str(job.id))[0] == 0
    rig.wait_for_states(old=DONE)
    wait_for(lambda: len(standin.talks()) == 2, 20)


def test_a_date_means_what_it_means_in_the_configuration(rig: Rig) -> None:
    """By the folder's time zone unless it names one: on a machine in UTC a call of the same morning would be taken for sent."""
    rig.rules |= {"time_zone": "Asia/Tokyo", "start_from": "2024-01-01T09:00"}
    rig.configure()
    for stem, at in (("older", "2024-01-01T08:59+09:00"), ("newer", "2024-01-01T09:01+09:00")):
        rig.drop(stem)
        os.utime(rig.folder / f"{stem}.wav", (datetime.fromisoformat(at).timestamp(),) * 2)
    for date in ("2024-01-01T09:00", "2024-01-01T00:00+00:00"):
        code, said = rig.call("adopt", "--before", date, "--yes")
        assert (code, said.partition(" ")[0]) == (0, "1"), said
        assert list(rig.states()) == ["older.wav"]
    assert rig.call("adopt", "--before", "0001-01-01", "--yes")[0] == 2


def test_nobody_there_to_agree(rig: Rig) -> None:
    """A script must say --yes."""
    rig.drop("call")
    code, said = rig.call("adopt", listing(rig, "call.wav,talk-a\n"))
    assert (code, "add --yes" in said) == (1, True)
    assert rig.call("adopt")[0] == 2
    assert "expected a date" in rig.call("adopt", "--before", "soon")[1]
