"""`forget`: a customer's call is removed from what is ours, beside a running daemon, and stays so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner

from speechsense_watch.cli import group
from speechsense_watch.cli.forgetting import Call, Forgetting
from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.ports import Stale
from speechsense_watch.standin import Fault, StandIn
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue, recording
from support.rig import FIELDS, Rig
from support.waiting import wait_for
from support.wavs import pcm

DONE = State.DONE
NUMBER = "79161234567"
NAME = f"in-{NUMBER}-201-20250424-143419-1745493259.123"


def held(rig: Rig) -> bytes:
    paths = [path for path in rig.queue_path.parent.iterdir() if not path.name.endswith("-shm")]
    return b"".join(path.read_bytes() for path in paths)


def is_done(rig: Rig, path: str) -> bool:
    return rig.states().get(path) is DONE


def test_an_archived_call_is_gone_everywhere_and_not_sent_when_it_comes_back(rig: Rig, standin: StandIn) -> None:
    """The daemon runs on; what remains and what is to be deleted by hand is printed."""
    archive = rig.directory / "archive"
    rig.rules |= {"after_upload": "archive", "archive_to": str(archive)}
    rig.start()
    audio = rig.drop(NAME, fields={**FIELDS, "client_id": NUMBER})
    rig.drop("other", pcm(seconds=1, seed=5))
    wait_for(lambda: is_done(rig, f"{NAME}.wav") and is_done(rig, "other.wav"), 20)
    job = rig.jobs()[f"{NAME}.wav"]
    assert len(list(archive.rglob(f"{NAME}.*"))) == 2
    code, said = rig.call("forget", "--match", NUMBER, "--dry-run")
    assert (code, f"{NAME}.wav" in said, str(job.talk_id) in said) == (0, True, True)
    # But for what the daemon adds once it sees that its files are in the archive.
    assert replace(rig.jobs()[f"{NAME}.wav"], gone_at=job.gone_at, updated_at=job.updated_at) == job
    assert rig.call("forget", str(job.id))[0] == 1  # nobody is there to agree
    code, said = rig.call("forget", str(job.id), "--yes")
    assert code == 0, said
    assert f"SpeechSense has it as talk {job.talk_id}." in said
    assert "Backups of the queue may still hold it." in said
    assert list(archive.rglob(f"{NAME}.*")) == []
    assert NUMBER.encode() not in held(rig)
    assert f"{NAME}.wav" not in rig.jobs()
    assert rig.call("forget", str(job.id), "--yes")[0] == 1
    rig.drop(NAME, audio, {**FIELDS, "client_id": NUMBER, "more": "said"})
    wait_for(lambda: rig.states().get(f"{NAME}.wav") is State.SKIPPED, 20)
    back = rig.jobs()[f"{NAME}.wav"]
    assert (back.reason, dict(back.fields)) == (Reason.FORGOTTEN, {})
    assert len(standin.talks()) == 2
    assert NUMBER not in rig.log()
    assert rig.stop() == 0


def test_files_in_the_folder_are_named_and_duplicates_go_too(rig: Rig, standin: StandIn) -> None:
    """They are not ours to delete; what still lies there is not sent, by the daemon nor by `upload`."""
    rig.start()
    audio = rig.drop(NAME)
    wait_for(lambda: is_done(rig, f"{NAME}.wav"), 20)
    rig.drop("copy", audio)
    wait_for(lambda: rig.states().get("copy.wav") is State.SKIPPED, 20)
    # Named by the copy: the call itself goes with it.
    code, said = rig.call("forget", str(rig.folder / "copy.wav"), "--yes")
    assert code == 0, said
    assert "Forgotten: 2 recordings." in said
    for path in (f"{NAME}.wav", f"{NAME}.json", "copy.wav", "copy.json"):
        assert f"  {rig.folder / path}\n" in said
    wait_for(lambda: [job.reason for job in rig.jobs().values()] == [Reason.FORGOTTEN] * 2, 20)
    code, said = rig.call("upload", str(rig.folder / "copy.wav"))
    assert (code, "forgotten" in said) == (1, True)
    assert len(standin.talks()) == 1
    for file in rig.folder.iterdir():
        file.unlink()
    assert rig.call("forget", "--match", NUMBER, "--yes")[0] == 0
    assert NUMBER.encode() not in held(rig)


def test_a_call_under_way_is_refused_and_an_unknown_outcome_is_told(rig: Rig, standin: StandIn) -> None:
    """All or none; what SpeechSense may have is to be looked for by its recording id."""
    rig.rules |= {"on_unknown": "hold", "recording_id_field": "recording_id"}
    rig.upload |= {"stream_above": "0B", "chunk_size": "32KiB", "bandwidth": "64KiB/s"}
    rig.start()
    rig.drop("slow", pcm(seconds=20))
    rig.wait_for_states(slow=State.UPLOADING)
    code, said = rig.call("forget", str(rig.folder / "slow.wav"), "--yes")
    assert (code, "is being sent at this moment" in said, "nothing was forgotten" in said) == (1, True, True)
    rig.stop()
    del rig.upload["bandwidth"]
    standin.order(Fault("lost_answer"))
    rig.start()
    rig.wait_for_states(slow=State.UNCONFIRMED)
    job = rig.jobs()["slow.wav"]
    code, said = rig.call("forget", str(job.id), "--yes")
    assert code == 0, said
    assert f"look for recording_id = {job.uid}-{job.claims}." in said
    assert rig.call("forget", "no-such-talk", "--yes")[0] == 1


def test_a_call_that_was_never_sent_is_known_by_what_lies_there(rig: Rig, standin: StandIn) -> None:
    """It is read for that, since nobody has hashed it yet; when sending goes on it is left out."""
    rig.start()
    assert rig.call("pause")[0] == 0
    rig.drop(NAME)
    rig.drop("other", pcm(seconds=1, seed=5))
    wait_for(lambda: list(rig.states().values()) == [State.READY] * 2, 20)
    code, said = rig.call("forget", "--match", NUMBER, "--yes")
    assert (code, "by hand" in said) == (0, False), said
    assert rig.call("resume")[0] == 0
    wait_for(lambda: rig.states() == {f"{NAME}.wav": State.SKIPPED, "other.wav": DONE}, 20)
    assert rig.jobs()[f"{NAME}.wav"].reason is Reason.FORGOTTEN
    assert len(standin.talks()) == 1


def test_what_lies_at_the_place_of_an_earlier_call_is_left_alone(rig: Rig, standin: StandIn) -> None:
    """A recorder may give a name twice: the later call is another one, which is sent, and nobody is told to delete it."""
    rig.start()
    rig.drop("line1", pcm(seconds=1, seed=1))
    wait_for(lambda: is_done(rig, "line1.wav"), 20)
    assert rig.call("pause")[0] == 0
    for path in rig.folder.iterdir():
        path.unlink()
    wait_for(lambda: rig.read(lambda queue: queue.job(1)).gone_at is not None, 20)
    rig.drop("line1", pcm(seconds=1, seed=2), {**FIELDS, "client_id": "another"})
    wait_for(lambda: rig.states()["line1.wav"] is State.READY, 20)
    code, said = rig.call("forget", "1", "--yes")
    assert code == 0, said
    assert str(rig.folder / "line1.wav") not in said
    assert rig.call("resume")[0] == 0
    wait_for(lambda: rig.states()["line1.wav"] in (DONE, State.SKIPPED), 20)
    assert rig.states()["line1.wav"] is DONE
    assert len(standin.talks()) == 2


def test_a_call_that_nobody_has_read_is_not_forgotten_while_its_folder_is_away(rig: Rig, standin: StandIn) -> None:
    """It could not be known again: when the share came back it would be sent."""
    rig.start()
    assert rig.call("pause")[0] == 0
    rig.drop("call")
    wait_for(lambda: rig.states() == {"call.wav": State.READY}, 20)
    rig.folder.rename(rig.directory / "away")
    for made in (False, True):
        if made:
            rig.folder.mkdir()  # an empty mount point
        code, said = rig.call("forget", "1", "--yes")
        assert (code, "would not be known again" in said) == (1, True), said
    rig.folder.rmdir()
    (rig.directory / "away").rename(rig.folder)
    assert rig.call("forget", "1", "--yes")[0] == 0
    assert rig.call("resume")[0] == 0
    wait_for(lambda: rig.states() == {"call.wav": State.SKIPPED}, 20)
    assert standin.talks() == []


def test_a_call_that_is_not_over_yet_is_not_forgotten(rig: Rig, standin: StandIn) -> None:
    """What it will sound like in the end nobody knows now."""
    rig.start()
    whole = pcm(seconds=2)
    (rig.folder / "call.wav").write_bytes(whole[: len(whole) // 2])
    rig.drop_metadata("call")
    wait_for(lambda: rig.states() == {"call.wav": State.WAITING}, 20)
    code, said = rig.call("forget", "1", "--yes")
    assert (code, "is not complete yet" in said, "nothing was forgotten" in said) == (1, True, True), said
    (rig.folder / "call.wav").write_bytes(whole)
    wait_for(lambda: is_done(rig, "call.wav"), 20)
    assert rig.call("forget", "1", "--yes")[0] == 0
    assert len(standin.talks()) == 1


def changed(rig: Rig, *, audio: bool, metadata: bool) -> None:
    """Of a call that was sent, while no daemon runs."""
    rig.start()
    rig.drop("line1", pcm(seconds=1, seed=1))
    wait_for(lambda: is_done(rig, "line1.wav"), 20)
    assert rig.stop() == 0
    if audio:
        (rig.folder / "line1.wav").write_bytes(pcm(seconds=1, seed=2))
    if metadata:
        rig.drop_metadata("line1", {**FIELDS, "client_id": "another"})


def test_another_call_that_the_daemon_has_not_seen_yet_is_sent(rig: Rig, standin: StandIn) -> None:
    """Audio and metadata both differ from what is on record."""
    changed(rig, audio=True, metadata=True)
    code, said = rig.call("forget", "1", "--yes")
    assert (code, str(rig.folder / "line1.wav") in said) == (0, False)
    rig.start()
    wait_for(lambda: rig.states() == {"line1.wav": DONE}, 20)
    assert len(standin.talks()) == 2


def test_a_call_that_was_worked_over_is_forgotten_as_it_lies_there_too(rig: Rig, standin: StandIn) -> None:
    """Its audio was changed and its metadata was not. One of which both were only touched is still that call."""
    changed(rig, audio=True, metadata=False)
    code, said = rig.call("forget", "1", "--yes")
    assert (code, str(rig.folder / "line1.wav") in said) == (0, True)
    rig.drop("touched", pcm(seconds=1, seed=3))
    rig.start()
    wait_for(lambda: rig.states() == {"line1.wav": State.SKIPPED, "touched.wav": DONE}, 20)
    assert rig.stop() == 0
    for ending in (".wav", ".json"):
        (rig.folder / f"touched{ending}").touch()
    code, said = rig.call("forget", str(rig.folder / "touched.wav"), "--yes")
    assert (code, str(rig.folder / "touched.wav") in said) == (0, True)
    assert len(standin.talks()) == 2


def test_copies_beside_the_queue_are_named(rig: Rig) -> None:
    """Those of upgrades, and the queue in whose place another was put back."""
    rig.start()
    rig.drop("call")
    wait_for(lambda: is_done(rig, "call.wav"), 20)
    assert rig.stop() == 0
    copy = rig.directory / "copy.db"
    assert rig.call("backup", str(copy))[0] == 0
    code, said = rig.call("restore", str(copy), "--yes")
    assert code == 0, said
    rig.queue_path.with_name("queue.db.before-m003_search").write_bytes(b"")
    code, said = rig.call("forget", "1", "--yes")
    assert code == 0, said
    assert f"{rig.queue_path}.before-m003_search" in said
    assert f"{rig.queue_path}.replaced-" in said


def test_only_what_was_agreed_to_goes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the operator reads the question another recording may come to the place that he named."""
    rig.configure()
    rig.queue_path.parent.mkdir()
    played = PlayedQueue(rig.queue_path, ManualClock(), "in")
    agreed = played.done("line1")
    real = Forgetting.forget

    def forget(forgetting: Forgetting, calls: Sequence[Call]) -> list[str]:
        if played.queue.counts()[DONE] == len(played.queue.in_states(State)):
            came = played.found("line1", Reason.READ_AGAIN)
            played.apply(lifecycle.completed(came, recording("another"), played.clock.now()))
            raise Stale
        return real(forgetting, calls)

    with closing(played.queue):
        monkeypatch.setattr(Forgetting, "forget", forget)
        path = str(rig.folder / "line1.wav")
        found = CliRunner().invoke(group, ["forget", "--config", str(rig.config_path), path, "--yes"])
        assert found.exit_code == 0, found.output
        assert [(job.state, job.id != agreed.id) for job in played.queue.in_states(State)] == [(State.READY, True)]
