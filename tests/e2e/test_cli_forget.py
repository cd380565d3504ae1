"""`forget`: a customer's call is removed from what is ours, beside a running daemon, and stays so."""

from __future__ import annotations

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.standin import Fault, StandIn
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
    assert rig.jobs()[f"{NAME}.wav"] == job
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
