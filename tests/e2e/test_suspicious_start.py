"""A queue that is lost, put back or carried elsewhere under a real daemon: nothing that is known to be sent is sent again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.edge.history import MACHINE
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.standin import StandIn
from support.rig import Rig, free_port
from support.waiting import wait_for
from support.wavs import pcm


@pytest.fixture
def rig(tmp_path: Path, standin: StandIn) -> Iterator[Rig]:
    with Rig(tmp_path, standin.port) as rig:
        rig.rules["recording_id_field"] = "recording_id"
        yield rig


def drop(rig: Rig, *stems: str) -> None:
    for stem in stems:
        rig.drop(stem, pcm(seconds=1, seed=crc32(stem.encode()) % 100_000))


def sent(rig: Rig, *stems: str) -> dict[str, str | None]:
    """Their talk ids, once they are done."""
    drop(rig, *stems)
    rig.wait_for_states(**dict.fromkeys(stems, State.DONE))
    return {stem: rig.jobs()[f"{stem}.wav"].talk_id for stem in stems}


def lose(rig: Rig) -> None:
    for end in ("", "-wal", "-shm"):
        rig.queue_path.with_name(f"queue.db{end}").unlink(missing_ok=True)


def status(rig: Rig) -> dict[str, Any]:
    return dict(json.loads(rig.call("status", "--json")[1]))


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("policy", ["resend", "hold", "search"])
def test_a_lost_queue(rig: Rig, standin: StandIn, policy: str, *, empty: bool) -> None:
    """What the journal knows keeps its talk id; what is older follows the policy; what comes later is sent as ever."""
    rig.rules["on_unknown"] = policy
    if policy == "search":
        rig.tables = 'search = { organization_id = "o", space_id = "s" }\n'
    rig.start()
    known = sent(rig, "a", "b")
    rig.stop()
    drop(rig, "older")
    lose(rig)
    if empty:
        rig.queue_path.touch()
    rig.start()
    assert '"talks": 2' in rig.log().replace('"talks":2', '"talks": 2')
    rig.wait_for_states(a=State.DONE, b=State.DONE, older=State.DONE if policy == "resend" else State.UNCONFIRMED)
    assert {stem: rig.jobs()[f"{stem}.wav"].talk_id for stem in known} == known
    older = rig.jobs()["older.wav"]
    sent(rig, "newer")
    assert len(standin.talks()) == (4 if policy == "resend" else 3)
    if policy == "resend":
        assert (older.possible_duplicate, older.claims) == (True, 33)
    else:
        assert (older.reason, older.claims) == ("maybe_sent_before", 32)
        code, output = rig.call("upload", str(rig.folder / "older.wav"))
        assert code == 76, output
        assert f"resolve {older.id} --resend" in output
        assert rig.call("resolve", str(older.id), "--resend")[0] == 0
        rig.wait_for_states(older=State.DONE)
        assert rig.jobs()["older.wav"].claims == 33
    assert not rig.jobs()["newer.wav"].possible_duplicate
    rig.stop()
    rig.start()
    assert "queue_suspicious" not in rig.log()


def test_upload_without_a_daemon_knows_what_a_lost_queue_does_not(rig: Rig, standin: StandIn) -> None:
    """It looks into the journal as a start would, and leaves word for the next one."""
    rig.rules["on_unknown"] = "hold"
    rig.start()
    known = sent(rig, "a")
    rig.stop()
    drop(rig, "older")
    lose(rig)
    code, output = rig.call("upload", str(rig.folder / "a.wav"))
    assert (code, f"Dialog ID: {known['a']}" in output) == (0, True), output
    assert rig.call("upload", str(rig.folder / "older.wav"))[0] == 76
    rig.start()
    rig.wait_for_states(a=State.DONE, older=State.UNCONFIRMED)
    assert "queue_suspicious" not in rig.log()
    assert len(standin.talks()) == 1


def test_backup_while_uploading_restore_and_a_start(rig: Rig, standin: StandIn, tmp_path: Path) -> None:
    """Every recording is sent once: those after the copy are known by the journal."""
    rig.rules["on_unknown"] = "hold"
    rig.start()
    sent(rig, "first")
    stems = [f"call{number:02}" for number in range(30)]
    drop(rig, *stems)
    copy = tmp_path / "copy.db"
    code, output = rig.call("backup", str(copy))
    assert code == 0, output
    assert "It is sound" in output
    assert rig.call("backup", str(copy))[0] == 1
    assert rig.call("backup", "--force", str(copy))[0] == 0
    code, output = rig.call("backup", str(tmp_path / "none" / "copy.db"))
    assert (code, output) == (1, f"speechsense-watch: {tmp_path}/none/copy.db cannot be written: No such file or directory.\n")
    rig.wait_for_states(**dict.fromkeys(stems, State.DONE))
    before = {path: job.talk_id for path, job in rig.jobs().items()}
    code, output = rig.call("restore", "--yes", str(copy))
    assert code == 73, output
    assert "stop" in output
    rig.stop()
    code, output = rig.call("restore", str(copy))
    assert code == 1, output
    assert "the journal 31" in output
    code, output = rig.call("restore", "--yes", str(copy))
    assert code == 0, output
    assert len(list(rig.queue_path.parent.glob("queue.db.replaced-*"))) == 1
    rig.start()
    assert "queue_suspicious" in rig.log()
    rig.wait_for_states(**dict.fromkeys(stems, State.DONE))
    assert {path: job.talk_id for path, job in rig.jobs().items()} == before
    assert len(standin.talks()) == 31


def test_a_copy_that_was_put_back_by_hand(rig: Rig, standin: StandIn, tmp_path: Path) -> None:
    """The end of the daemon that ran since is in the journal, be it that nothing else is."""
    rig.rules["on_unknown"] = "hold"
    rig.start()
    copy = tmp_path / "copy.db"
    assert rig.call("backup", str(copy))[0] == 0
    rig.stop()
    drop(rig, "call")
    lose(rig)
    shutil.copy(copy, rig.queue_path)
    rig.start()
    rig.wait_for_states(call=State.UNCONFIRMED)
    assert "queue_suspicious" in rig.log()
    assert standin.talks() == []


def test_a_queue_carried_to_another_machine_is_told(rig: Rig) -> None:
    """Until the operator has said that the old one is stopped."""
    rig.start()
    sent(rig, "a")
    rig.stop()
    with closing(SqliteQueue(rig.queue_path)) as queue:
        here = queue.runtime()[MACHINE]
        assert isinstance(here, dict)
        if not here["id"]:
            pytest.skip("this machine has no /etc/machine-id")
        queue.set_runtime(MACHINE, {"id": "c" * 32, "host": "pbx-old"})
    rig.start()
    assert "queue_suspicious" in rig.log()
    (line,) = [each for each in status(rig)["attention"] if each["code"] == "queue_moved"]
    assert "pbx-old" in line["what"]
    assert rig.call("moved")[0] == 1
    code, output = rig.call("moved", "--yes")
    assert (code, "pbx-old" in output) == (0, True)
    assert status(rig)["attention"] == []
    assert rig.states()["a.wav"] is State.DONE


def test_a_second_daemon_on_the_same_folder_sends_nothing(rig: Rig, standin: StandIn, tmp_path: Path) -> None:
    """It says why, and goes on when the first one has ended."""
    rig.start()
    sent(rig, "a")
    (tmp_path / "second").mkdir()
    with Rig(tmp_path / "second", free_port()) as second:
        second.speechsense = rig.speechsense
        second.folder.rmdir()
        second.folder = rig.folder
        second.rules = {**rig.rules, "name": "again"}
        second.start()
        wait_for(lambda: any(line["code"] == "folder_claimed_twice" for line in status(second)["attention"]), 20, "it is told")
        sent(rig, "b")
        assert len(standin.talks()) == 2
        rig.stop()
        wait_for(lambda: "folder_back" in second.log(), 20, "the second one goes on")
        second.stop()


# The program on another machine, which sees the same folder over a network: no socket of it is seen here, nor one of ours there.
ELSEWHERE = """
from speechsense_watch import assembly
from speechsense_watch.cli import main
from speechsense_watch.edge import opening, syscalls  # the queue lies on a disk: opening has its own already
from speechsense_watch.edge.machine import Machine

host = "{host}"
syscalls.file_system_of = lambda _descriptor: ("nfs", True)
assembly.this_machine = lambda: Machine("", host)
assembly.RootClaims.hold = lambda *_: ""
main()
"""


def test_a_daemon_on_another_machine_that_shares_the_folder_sends_nothing(rig: Rig, standin: StandIn, tmp_path: Path) -> None:
    """It says who has it, and goes on when that one has ended; in the folder nothing of either is left."""
    rig.program = ("-c", ELSEWHERE.format(host="pbx1"))
    rig.start()
    sent(rig, "a")
    (tmp_path / "second").mkdir()
    with Rig(tmp_path / "second", free_port()) as second:
        second.program = ("-c", ELSEWHERE.format(host="pbx2"))
        second.speechsense = rig.speechsense
        second.folder.rmdir()
        second.folder = rig.folder
        second.rules = {**rig.rules, "name": "again"}
        second.start()
        wait_for(lambda: any(line["code"] == "folder_claimed_twice" for line in status(second)["attention"]), 20, "it is told")
        (line,) = [each for each in status(second)["attention"] if each["code"] == "folder_claimed_twice"]
        assert "the machine pbx1" in line["what"]
        sent(rig, "b")
        assert len(standin.talks()) == 2
        rig.stop()
        wait_for(lambda: "folder_back" in second.log(), 20, "the second one goes on")
        second.stop()
    assert [path.name for path in rig.folder.iterdir() if path.name.startswith(".")] == []
