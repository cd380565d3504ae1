"""A recording dropped into a folder becomes a talk id on record, whatever happens to the daemon or the service."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path

import pytest

from measure.bench import processes
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.standin import Fault, Rules, StandIn
from support.rig import FIELDS, Rig, free_port
from support.waiting import wait_for
from support.wavs import asterisk_open, pcm

DONE = State.DONE


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_recording_becomes_a_talk_id_on_record(rig: Rig, standin: StandIn) -> None:
    """Audio byte for byte, fields as in the file, the talk id in the queue, whichever half comes first."""
    rig.start()
    first = rig.drop("first")
    rig.drop_metadata("second")
    second = pcm(seconds=2, seed=1)
    (rig.folder / "second.wav").write_bytes(second)
    rig.wait_for_states(first=DONE, second=DONE)
    jobs, talks = rig.jobs(), {talk.sha256: talk for talk in standin.talks()}
    assert set(talks) == {sha256(first), sha256(second)}
    assert jobs["first.wav"].talk_id == talks[sha256(first)].talk_id
    assert talks[sha256(second)].fields == {**FIELDS, "direction_outgoing": "true"}
    assert rig.stop() == 0


def test_what_lay_there_before_the_start_is_taken(rig: Rig, standin: StandIn) -> None:
    """The folder is the truth, not the events."""
    (rig.folder / "2026/01/31").mkdir(parents=True)
    rig.drop("2026/01/31/early")
    rig.start()
    wait_for(lambda: rig.states().get("2026/01/31/early.wav") is DONE, 20)
    assert len(standin.talks()) == 1


def test_a_restart_sends_nothing_again(rig: Rig, standin: StandIn) -> None:
    """Neither after SIGTERM nor after SIGKILL."""
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=DONE)
    for number in (signal.SIGTERM, signal.SIGKILL):
        rig.stop(number)
        rig.drop(f"after-{number}", pcm(seconds=1, seed=number))
        rig.start()
        wait_for(lambda name=f"after-{number}.wav": rig.states().get(name) is DONE, 20)  # type: ignore[misc]
    assert len(standin.talks()) == 3


def test_a_streamed_recording_goes_through_whole(rig: Rig, standin: StandIn) -> None:
    """Above `stream_above` it is sent in pieces."""
    rig.upload |= {"stream_above": "64KiB", "chunk_size": "32KiB"}
    rig.start()
    audio = rig.drop("long", pcm(seconds=20))
    rig.wait_for_states(long=DONE)
    (talk,) = standin.talks()
    assert (talk.sha256, talk.size_bytes, talk.how) == (sha256(audio), len(audio), "stream")


def test_sigterm_in_mid_upload_gives_the_attempt_back(rig: Rig, standin: StandIn) -> None:
    """Before the commit point nothing is unconfirmed, no attempt is charged, and the next start sends it once."""
    rig.upload |= {"stream_above": "0B", "chunk_size": "32KiB", "bandwidth": "64KiB/s"}
    rig.start()
    rig.drop("slow", pcm(seconds=20))
    rig.wait_for_states(slow=State.UPLOADING)
    assert rig.stop() == 0
    job = rig.jobs()["slow.wav"]
    assert (job.state, job.attempts, job.possible_duplicate) == (State.READY, 0, False)
    assert standin.talks() == []
    del rig.upload["bandwidth"]
    rig.start()
    rig.wait_for_states(slow=DONE)
    assert len(standin.talks()) == 1


def test_sigterm_while_the_answer_is_awaited_waits_for_it(rig: Rig, standin: StandIn) -> None:
    """A committing attempt gets the grace period."""
    standin.order(Fault("delay", when="after", seconds=4))
    rig.upload["shutdown_grace"] = "60s"
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=State.COMMITTING)
    assert rig.stop() == 0
    assert rig.states()["call.wav"] in (State.UPLOADED, DONE)


@pytest.mark.parametrize(("policy", "talks", "state"), [("resend", 2, DONE), ("hold", 1, State.UNCONFIRMED)])
def test_kill_9_with_the_answer_outstanding(rig: Rig, standin: StandIn, policy: str, talks: int, state: State) -> None:
    """Nobody can know: it is sent again and marked, or held for the operator, as the folder's rules say."""
    standin.order(Fault("hang", when="after"))
    rig.rules["on_unknown"] = policy
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=State.COMMITTING)
    wait_for(lambda: len(standin.talks()) == 1, 10)
    rig.stop(signal.SIGKILL)
    rig.start()
    rig.wait_for_states(call=state)
    job = rig.jobs()["call.wav"]
    assert len(standin.talks()) == talks
    assert job.possible_duplicate is (policy == "resend")
    if policy == "hold":
        code, said = rig.call("resolve", str(job.id), "--uploaded", standin.talks()[0].talk_id)
        assert code == 0, said
        rig.wait_for_states(call=DONE)


def test_kill_9_in_mid_stream_sends_it_once(rig: Rig, standin: StandIn) -> None:
    """Nothing complete had left, so nothing is doubtful."""
    rig.upload |= {"stream_above": "0B", "chunk_size": "32KiB", "bandwidth": "64KiB/s"}
    rig.start()
    rig.drop("slow", pcm(seconds=20))
    rig.wait_for_states(slow=State.UPLOADING)
    rig.stop(signal.SIGKILL)
    del rig.upload["bandwidth"]
    rig.start()
    rig.wait_for_states(slow=DONE)
    assert len(standin.talks()) == 1
    assert rig.jobs()["slow.wav"].possible_duplicate is False


def test_a_failing_recording_is_tried_again_and_charged(rig: Rig, standin: StandIn) -> None:
    """Its own failures cost attempts; in the end it goes through."""
    standin.order(Fault("INTERNAL", count=2, when="mid"))
    rig.upload["stream_above"] = "0B"
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=DONE)
    job = rig.jobs()["call.wav"]
    assert (job.attempts, job.claims) == (2, 3)
    assert len(standin.talks()) == 1


def test_a_refused_recording_says_so_and_waits_for_the_operator(rig: Rig, standin: StandIn) -> None:
    """What SpeechSense said is on record; `retry` sends it again."""
    standin.order(Fault("INVALID_ARGUMENT", message="date is in the future"))
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=State.REFUSED)
    job = rig.jobs()["call.wav"]
    assert job.reason is Reason.SERVICE_REFUSED
    assert "date is in the future" in job.message
    code, said = rig.call("retry", str(job.id))
    assert code == 0, said
    rig.wait_for_states(call=DONE)


def test_an_absent_service_then_a_refused_key_then_all_well(tmp_path: Path) -> None:
    """Nothing is unconfirmed, no attempt is charged, `status` says what to do, and all goes through by itself."""
    port, key = free_port(), tmp_path / "key"
    key.write_text("wrong\n")
    key.chmod(0o600)
    with Rig(tmp_path, port) as rig:
        rig.speechsense |= {"auth": "api-key", "api_key_file": str(key)}
        rig.start()
        for number in range(8):
            rig.drop(f"call{number}", pcm(seconds=1, seed=number))
        wait_for(lambda: _paused(rig) == ["unreachable"], 20, "the pause is visible")
        with StandIn(tmp_path / "service", port, rules=Rules(keys=frozenset({"right"}))) as standin:
            wait_for(lambda: _paused(rig) == ["key_refused"], 40, "the refused key is visible")
            _, said = rig.call("status")
            assert "key" in said
            assert {job.state for job in rig.jobs().values()} <= {State.READY, State.UPLOADING, State.COMMITTING}
            assert {job.attempts for job in rig.jobs().values()} == {0}
            key.write_text("right\n")
            wait_for(lambda: set(rig.states().values()) == {DONE}, 50, "all go through by themselves")
            assert len(standin.talks()) == 8
            assert {job.attempts for job in rig.jobs().values()} == {0}
            assert not any(job.possible_duplicate for job in rig.jobs().values())
            wait_for(lambda: _paused(rig) == [], 20)
        assert "wrong" not in rig.log()
        assert "right" not in rig.log()


def _paused(rig: Rig) -> list[str]:
    paused = rig.read(lambda queue: queue.runtime()).get("paused", [])
    return [pause["reason"] for pause in paused]


def test_a_growing_recording_waits(rig: Rig, standin: StandIn) -> None:
    """Written as Asterisk does: header zero until the end; never taken early."""
    rig.rules["quiet_period"] = "100ms"
    rig.start()
    rig.drop("grows", asterisk_open(32768))
    rig.wait_for_states(grows=State.WAITING)
    whole = pcm(seconds=2.5)
    (rig.folder / "grows.wav").write_bytes(whole)
    rig.wait_for_states(grows=DONE)
    assert [talk.sha256 for talk in standin.talks()] == [sha256(whole)]


def test_sighup_takes_a_good_configuration_and_keeps_the_old_one_for_a_bad(rig: Rig, standin: StandIn) -> None:
    """A second folder begins to work; an error is told and changes nothing."""
    second = rig.directory / "second"
    second.mkdir()
    rig.start()
    assert rig.process is not None
    good = rig.config_path.read_text()
    rig.config_path.write_text(good.replace("quiet_period", "quiet_perid"))
    rig.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "config_rejected" in rig.log() and "quiet_perid" in rig.log(), 10)
    extra = f'\n[[folders]]\npath = "{second}"\nconnection_id = "conn-2"\nstart_from = "all"\nquiet_period = "200ms"\n'
    rig.config_path.write_text(good + extra)
    rig.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "config_reloaded" in rig.log(), 10)
    rig.drop("call")
    (second / "other.wav").write_bytes(pcm(seconds=1, seed=9))
    (second / "other.json").write_bytes((rig.folder / "call.json").read_bytes())
    wait_for(lambda: {talk.connection_id for talk in standin.talks()} == {"conn-1", "conn-2"}, 20)


def test_a_second_daemon_on_the_same_queue_is_refused(rig: Rig, standin: StandIn) -> None:
    """Exit code 73, and the first goes on."""
    rig.start()
    code, said = rig.call("run")
    assert code == 73
    assert "in use" in said
    rig.drop("call")
    rig.wait_for_states(call=DONE)


def test_a_wrong_configuration_ends_with_78_and_all_errors(rig: Rig, standin: StandIn) -> None:
    """Each with its place."""
    rig.rules |= {"quiet_period": 10, "audi": ["*.wav"]}
    rig.configure()
    code, said = rig.call("run")
    assert code == 78
    assert "quiet_period" in said
    assert "audi" in said


def test_a_large_recording_does_not_fill_the_memory(rig: Rig, standin: StandIn) -> None:
    """461 MB, four hours of stereo at 8 kHz, with the daemon's peak under 90 MB."""
    rig.start()
    data_bytes = 4 * 3600 * 32000 - 32000
    with (rig.folder / "long.wav").open("wb") as file:
        header = pcm(seconds=1)[:44]
        file.write(header[:4] + (data_bytes + 36).to_bytes(4, "little") + header[8:40] + data_bytes.to_bytes(4, "little"))
        file.truncate(44 + data_bytes)
    rig.drop_metadata("long")
    rig.wait_for_states(50, long=DONE)
    assert processes.peak_mb(rig.pid) < 90
    assert standin.talks()[0].size_bytes == data_bytes + 44


def test_a_reload_in_mid_upload_does_not_outlive_sigterm(rig: Rig, standin: StandIn) -> None:
    """What began before the reload is given back as well: within the grace period, nothing unconfirmed, sent once in the end."""
    rig.upload |= {"stream_above": "0B", "chunk_size": "32KiB", "bandwidth": "64KiB/s", "shutdown_grace": "2s"}
    rig.start()
    assert rig.process is not None
    rig.drop("slow", pcm(seconds=60))
    rig.wait_for_states(slow=State.UPLOADING)
    rig.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "config_reloaded" in rig.log(), 10)
    assert rig.stop() == 0
    job = rig.jobs()["slow.wav"]
    assert (job.state, job.attempts, job.possible_duplicate) == (State.READY, 0, False)
    del rig.upload["bandwidth"]
    rig.start()
    rig.wait_for_states(slow=DONE)
    assert len(standin.talks()) == 1


def test_a_lost_queue_sends_nothing_that_the_journal_knows(rig: Rig, standin: StandIn) -> None:
    """The start says so; neither the daemon nor `upload` sends the recording again."""
    rig.start()
    rig.drop("call")
    rig.wait_for_states(call=DONE)
    rig.stop()
    for path in rig.queue_path.parent.glob("queue.db*"):
        if not path.name.endswith(".journal"):
            path.unlink()
    talk_id = standin.talks()[0].talk_id
    rig.configure()
    rig.start()
    wait_for(lambda: "queue_suspicious" in rig.log(), 10)
    rig.wait_for_states(call=DONE)
    assert rig.jobs()["call.wav"].talk_id == talk_id
    rig.stop()
    for path in rig.queue_path.parent.glob("queue.db*"):
        if not path.name.endswith(".journal"):
            path.unlink()
    code, said = rig.call("upload", str(rig.folder / "call.wav"))
    assert (code, f"Dialog ID: {talk_id}" in said) == (0, True), said
    assert len(standin.talks()) == 1


def test_a_queue_that_cannot_be_used_ends_the_start_with_73(rig: Rig, standin: StandIn) -> None:
    """A sentence, no traceback; the file is left as it is."""
    rig.configure()
    rig.queue_path.parent.mkdir()
    (rig.queue_path.parent / "queue.db.journal").mkdir()
    code, said = rig.call("run")
    assert code == 73, said
    assert "journal" in said
    assert "Traceback" not in said


def test_a_queue_removed_under_the_daemon_ends_it(rig: Rig, standin: StandIn) -> None:
    """Nothing is sent that nobody would see on record; the next start goes on by the journal, and sends nothing twice."""
    rig.start()
    assert rig.process is not None
    rig.drop("first")
    rig.wait_for_states(first=DONE)
    for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
        (rig.queue_path.parent / name).unlink(missing_ok=True)
    assert rig.process.wait(timeout=120) == 1
    assert "queue_gone" in rig.log()
    rig.drop("second", pcm(seconds=1, seed=2))
    rig.start()
    rig.wait_for_states(first=DONE, second=DONE)
    assert len(standin.talks()) == 2


def test_an_older_copy_put_in_the_place_of_the_queue_under_the_daemon_ends_it(rig: Rig, standin: StandIn) -> None:
    """The log beside it belongs to the queue that was there, and does not get into the copy. What is missing there is adopted."""
    rig.rules["on_unknown"] = "hold"
    rig.start()
    assert rig.process is not None
    for number in range(60):
        rig.drop(f"call{number}", pcm(seconds=0.3, seed=number))
        if number == 29:
            wait_for(lambda: list(rig.states().values()).count(DONE) == 30, 30)
            assert rig.call("backup", str(rig.directory / "copy.db"))[0] == 0
    wait_for(lambda: list(rig.states().values()).count(DONE) == 60, 30)
    copy = (rig.directory / "copy.db").read_bytes()
    (rig.directory / "copy.db").replace(rig.queue_path)
    assert rig.process.wait(timeout=120) == 1
    assert rig.queue_path.read_bytes() == copy
    assert len(list(rig.queue_path.parent.glob("queue.db.replaced-*-wal"))) == 1
    rig.start()
    wait_for(lambda: list(rig.states().values()).count(DONE) == 60, 30)
    assert rig.stop() == 0
    assert len(standin.talks()) == 60
