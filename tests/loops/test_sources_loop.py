"""Recordings without metadata files: the name, the call records and the table of operators say what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.model import NO_FILE, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import AfterUpload, CallRecordRules, ConnectionType
from support.bench import Bench, bench_on
from support.wavs import pcm

NAME = "2026/03/09/in-74950000000-79161234567-20260309-113203-1773081123.265.wav"
RECORD = (
    '"","79161234567","600","from-pstn","""Ivan"" <79161234567>","PJSIP/mts-1","PJSIP/201-2","Queue","600",'
    '"2026-03-09 11:32:03","2026-03-09 11:32:05","2026-03-09 11:33:06",63,61,"ANSWERED","DOCUMENTATION","1773081123.265",""\n'
)
SENT = {
    "operator_id": "201",
    "operator_name": "Anna",
    "client_id": "79161234567",
    "client_name": "Ivan",
    "direction_outgoing": "false",
    "date": "2026-03-09T11:32:03+03:00",
    "language": "ru-RU",
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "operators.csv").write_text("extension,id,name\n201,,Anna\n")
    rules: dict[str, object] = {
        "metadata": "",
        "file_name": "freepbx",
        "time_zone": "Europe/Moscow",
        "cdr": CallRecordRules(csv=str(tmp_path / "Master.csv"), wait_s=300.0),
        "operators": str(tmp_path / "operators.csv"),
        "metadata_defaults": {"language": "ru-RU"},
        "connection_type": ConnectionType.SINGLE_CHANNEL,
    }
    with bench_on(tmp_path, None, **rules) as bench:
        yield bench


def records(bench: Bench) -> Path:
    return bench.directory / "Master.csv"


def record(bench: Bench, seed: int = 0) -> None:
    bench.write(NAME, pcm(seconds=1, channels=1, seed=seed))


def test_a_recording_is_sent_with_what_its_call_record_says(bench: Bench) -> None:
    """Nothing lies beside it; the record was there before it."""
    records(bench).write_text(RECORD)
    record(bench)
    bench.settle()
    bench.send()
    job = bench.job(NAME)
    assert job.state is State.DONE, job
    assert dict(job.fields) == SENT
    assert job.metadata_path is None
    assert job.metadata is not None
    assert job.metadata.stamp == NO_FILE


def test_a_record_that_comes_late_is_waited_for(bench: Bench) -> None:
    """Visible meanwhile; the operator in it is the one that is sent."""
    records(bench).write_text("")
    record(bench)
    bench.settle()
    assert (bench.job(NAME).state, bench.job(NAME).reason) == (State.WAITING, Reason.CALL_RECORD_MISSING)
    bench.look(200)
    assert bench.job(NAME).reason is Reason.CALL_RECORD_MISSING
    records(bench).write_text(RECORD)
    bench.look(20)
    bench.send()
    assert dict(bench.job(NAME).fields) == SENT


def test_a_record_that_never_comes_is_gone_without(bench: Bench) -> None:
    """After `wait` the name and the defaults have to do; here they do not, and that is said."""
    records(bench).write_text("")
    record(bench)
    bench.settle()
    bench.look(301)
    job = bench.job(NAME)
    assert (job.state, job.reason) == (State.UNUSABLE, Reason.METADATA_KEY_LACKING)
    assert "operator_name" in job.message
    assert job.message.endswith("The exchange's call record has not come.")


def test_without_a_record_the_name_may_do(bench: Bench) -> None:
    """And at the upload it is not waited for again."""
    bench.configure(**{**vars_of(bench), "metadata_defaults": {"language": "ru-RU", "operator_id": "0", "operator_name": "?"}})
    records(bench).write_text("")
    record(bench)
    bench.settle()
    bench.look(301)
    bench.send()
    job = bench.job(NAME)
    assert job.state is State.DONE, job
    assert job.fields["client_id"] == "79161234567"
    assert job.fields["date"] == "2026-03-09T11:32:03+03:00"


@pytest.mark.parametrize("broken", ["Master.csv", "operators.csv"])
def test_a_source_that_cannot_be_read_is_waited_for_however_long(bench: Bench, broken: str) -> None:
    """What it would say is not known, so nothing is sent without it; it goes on when the source is back."""
    records(bench).write_text(RECORD)
    path = bench.directory / broken
    path.rename(bench.directory / "aside")
    record(bench)
    bench.settle()
    bench.look(4000)
    job = bench.job(NAME)
    assert (job.state, job.reason) == (State.WAITING, Reason.SOURCE_UNREADABLE)
    assert str(path) in job.message
    (bench.directory / "aside").rename(path)
    bench.look(20)
    bench.send()
    assert dict(bench.job(NAME).fields) == SENT


def test_the_same_recording_elsewhere_is_a_duplicate(bench: Bench) -> None:
    """Its name stands for the metadata in what it is known by."""
    records(bench).write_text(RECORD)
    record(bench)
    bench.settle()
    bench.send()
    copy = f"copy/{NAME.rpartition('/')[2]}"
    bench.write(copy, pcm(seconds=1, channels=1))
    bench.look(61)
    bench.settle()
    bench.send()
    job = bench.job(copy)
    assert (job.state, job.reason, job.duplicate_of) == (State.SKIPPED, Reason.DUPLICATE, bench.job(NAME).id)


def test_audio_that_changes_after_its_upload_is_told(bench: Bench) -> None:
    """A transfer that grows on after the recording was sent."""
    records(bench).write_text(RECORD)
    record(bench)
    bench.settle()
    bench.send()
    bench.file()
    bench.write(NAME, pcm(seconds=2, channels=1, seed=9))
    bench.look(61)
    bench.look(11)
    job = bench.job(NAME)
    assert (job.state, job.changed_after_upload) == (State.DONE, True)


def test_a_record_that_comes_after_it_was_given_up_is_taken_all_the_same(bench: Bench) -> None:
    """Within a day: the exchange may have held it back for longer than was waited. It is asked for ever more seldom."""
    records(bench).write_text("")
    record(bench)
    bench.settle()
    bench.look(301)
    assert bench.job(NAME).state is State.UNUSABLE
    for _ in range(12):
        bench.look(300)
    records(bench).write_text(RECORD)
    bench.look(3600)
    bench.look(11)
    bench.send()
    assert dict(bench.job(NAME).fields) == SENT


def test_a_line_that_says_that_nobody_answered_is_not_the_last_word(bench: Bench) -> None:
    """There is sound in the recording, so somebody did: an agent's line comes before that of the call."""
    missed = RECORD.replace('"ANSWERED"', '"NO ANSWER"').replace("PJSIP/201-2", "PJSIP/203-9")
    records(bench).write_text(missed)
    record(bench)
    bench.settle()
    job = bench.job(NAME)
    assert (job.state, job.reason) == (State.WAITING, Reason.CALL_RECORD_MISSING)
    assert "that somebody answered" in job.message
    records(bench).write_text(missed + RECORD)
    bench.look(61)
    bench.send()
    assert dict(bench.job(NAME).fields) == SENT


def test_whoever_answered_a_queue_is_waited_for(bench: Bench) -> None:
    """The caller's line may be there before that of the agent."""
    queue = RECORD.replace("PJSIP/201-2", "")
    records(bench).write_text(queue)
    record(bench)
    bench.settle()
    assert (bench.job(NAME).state, bench.job(NAME).reason) == (State.WAITING, Reason.CALL_RECORD_MISSING)
    assert "who answered" in bench.job(NAME).message
    agent = RECORD.replace("PJSIP/mts-1", "Local/201@from-queue-1;2")
    records(bench).write_text(queue + agent)
    bench.look(61)
    bench.send()
    assert dict(bench.job(NAME).fields) == SENT


def test_a_record_that_is_rotated_away_before_the_upload_is_not_missed(bench: Bench) -> None:
    """What was found when the recording was queued is what is sent; it may have waited for days."""
    records(bench).write_text(RECORD)
    record(bench)
    bench.settle()
    assert bench.job(NAME).state is State.READY
    records(bench).write_text("")
    bench.send()
    job = bench.job(NAME)
    assert (job.state, dict(job.fields)) == (State.DONE, SENT)


@pytest.mark.parametrize("broken", ["Master.csv", "operators.csv"])
def test_what_was_found_is_sent_although_nothing_can_be_read_at_the_upload(bench: Bench, broken: str) -> None:
    """A database that is started again, a file that is being rotated: nothing that is known is thrown away for that."""
    records(bench).write_text(RECORD)
    record(bench)
    bench.settle()
    (bench.directory / broken).unlink()
    bench.send()
    job = bench.job(NAME)
    assert (job.state, dict(job.fields)) == (State.DONE, SENT)


def test_a_refused_recording_rests(bench: Bench) -> None:
    """Nothing of it has changed, so it is not read again at every scan."""
    (bench.directory / "operators.csv").write_text("extension,id,name\n")
    records(bench).write_text("")
    record(bench)
    bench.settle()
    bench.look(301)
    before = len(bench.events(bench.job(NAME).id))
    bench.look(61)
    bench.look(61)
    assert len(bench.events(bench.job(NAME).id)) == before


def test_it_is_archived_alone(bench: Bench, tmp_path: Path) -> None:
    """There is no second file to move."""
    bench.configure(**{**vars_of(bench), "after_upload": AfterUpload.ARCHIVE, "archive_to": str(tmp_path / "archive")})
    records(bench).write_text(RECORD)
    record(bench)
    bench.settle()
    bench.send()
    bench.file()
    assert bench.job(NAME).state is State.DONE
    assert (tmp_path / "archive" / NAME).read_bytes() == pcm(seconds=1, channels=1)
    assert not (bench.folder_path / NAME).exists()


def vars_of(bench: Bench) -> dict[str, object]:
    folder = bench.folder
    names = ("metadata", "file_name", "time_zone", "cdr", "operators", "metadata_defaults", "connection_type")
    return {name: getattr(folder, name) for name in names}
