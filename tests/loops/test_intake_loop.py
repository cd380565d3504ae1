"""From files in a folder to jobs: nothing early, nothing missed, every wait with its reason."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.model import Job, Recording, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.folder_intake import FolderIntake
from speechsense_watch.log import logger
from speechsense_watch.places import Places, Seen
from speechsense_watch.ports import Arrival, Entries, Files, FileTrouble, FileTroubleKind, Hint, QueueTrouble, WatchState
from speechsense_watch.recording import Reader
from support.bench import Bench, StillWatch, bench_on
from support.rig import FIELDS
from support.wavs import asterisk_open, header_only, pcm, truncated


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


def test_a_pair_left_alone_for_the_quiet_period_is_ready(bench: Bench) -> None:
    """Not a moment earlier."""
    bench.drop()
    bench.look()
    bench.look(9.9)
    assert bench.jobs() == []
    bench.look(0.2)
    assert bench.job().state is State.READY
    assert bench.events(1) == ["found", "completed"]


@pytest.mark.parametrize("first", ["wav", "json"])
def test_either_half_may_come_first(bench: Bench, first: str) -> None:
    """The job waits, with a reason that names the other half, and is one and the same when that comes."""
    bench.drop()
    late = bench.folder_path / ("call.json" if first == "wav" else "call.wav")
    content = late.read_bytes()
    late.unlink()
    bench.settle()
    (waiting,) = bench.jobs()
    expected = Reason.METADATA_MISSING if first == "wav" else Reason.AUDIO_MISSING
    assert (waiting.state, waiting.reason) == (State.WAITING, expected)
    bench.write(late.name, content)
    bench.intake.hint(Hint("in", late.name))
    bench.settle()
    (ready,) = bench.jobs()
    assert (ready.id, ready.state, ready.place.path) == (waiting.id, State.READY, "call.wav")


@pytest.mark.parametrize("first", ["wav", "json"])
def test_the_other_half_is_found_by_a_scan_too(bench: Bench, first: str) -> None:
    """An event that never came delays it by a rescan at the most."""
    bench.drop()
    late = bench.folder_path / ("call.json" if first == "wav" else "call.wav")
    content = late.read_bytes()
    late.unlink()
    bench.settle()
    bench.write(late.name, content)
    bench.look(60)
    bench.look(11)
    assert bench.job().state is State.READY


def test_a_file_that_grows_is_never_taken(bench: Bench) -> None:
    """However long it takes; it is visible as growing after a quiet period."""
    bench.drop()
    for number in range(12):
        bench.write("call.wav", pcm(seconds=0.5 + number / 10))
        bench.look(6)
    job = bench.job()
    assert (job.state, job.reason) == (State.WAITING, Reason.STILL_CHANGING)
    bench.look(10.1)
    bench.look(10.1)
    assert bench.job().state is State.READY


def test_what_waits_unchanged_is_told_once(bench: Bench) -> None:
    """Arrivals beside it make the directory be listed again and again: that writes nothing about those that only wait."""
    bench.write("lonely.wav", pcm(seed=1))
    bench.settle()
    before = bench.job("lonely.wav")
    assert before.reason is Reason.METADATA_MISSING
    for number in range(5):
        bench.drop(f"other-{number}")
        bench.look(60)
        assert bench.job("lonely.wav") == before
        bench.look(11)
    assert bench.job("lonely.wav") == before
    bench.write("lonely.json", json.dumps(FIELDS).encode())
    bench.look(60)
    assert bench.job("lonely.wav").reason is Reason.STILL_CHANGING
    bench.look(11)
    assert bench.job("lonely.wav").state is State.READY


def test_metadata_last_completes_at_once(tmp_path: Path) -> None:
    """The recorder's promise spares the quiet period, but not the header check."""
    with bench_on(tmp_path, metadata_last=True) as bench:
        bench.drop("whole")
        bench.drop("broken")
        bench.write("broken.wav", asterisk_open())
        bench.look()
        assert bench.job("whole.wav").state is State.READY
        assert [job.place.path for job in bench.jobs()] == ["whole.wav"]


def test_old_files_need_no_second_look(bench: Bench, tmp_path: Path) -> None:
    """mtime and ctime both over an hour old at first sight, by the wall clock."""
    bench.drop()
    bench.clock.advance(365 * 3 * 86400.0)  # ctime is the machine's own
    bench.look()
    assert bench.job().state is State.READY


def test_an_unfinished_header_is_reported_after_abandon_after(bench: Bench) -> None:
    """Waiting with its reason first, unusable when nobody has written for that long."""
    bench.drop()
    bench.write("call.wav", asterisk_open())
    bench.settle()
    assert (bench.job().state, bench.job().reason) == (State.WAITING, Reason.HEADER_UNFINISHED)
    for _ in range(62):
        bench.look(60)
    job = bench.job()
    assert (job.state, job.reason) == (State.UNUSABLE, Reason.NEVER_FINISHED)
    bench.write("call.wav", pcm())
    bench.intake.hint(Hint("in", "call.wav"))
    bench.settle()
    assert bench.job().state is State.READY
    assert bench.job().id == job.id


def test_a_truncated_file_waits_and_is_then_unusable(bench: Bench) -> None:
    """It may still be on its way."""
    bench.drop()
    bench.write("call.wav", truncated(pcm(), 4000))
    bench.settle()
    assert bench.job().reason is Reason.SHORTER_THAN_HEADER
    for _ in range(62):
        bench.look(60)
    assert (bench.job().state, bench.job().reason) == (State.UNUSABLE, Reason.TRUNCATED)


def test_a_header_without_audio_is_skipped_without_waiting_for_metadata(bench: Bench) -> None:
    """A call that was never answered; resumed, it is a recording after all."""
    bench.write("call.wav", header_only())
    bench.settle()
    assert (bench.job().state, bench.job().reason) == (State.SKIPPED, Reason.NO_AUDIO)
    bench.drop()
    bench.intake.hint(Hint("in", "call.wav"))
    bench.settle()
    assert bench.job().state is State.READY


def test_bad_metadata_mended_is_taken(bench: Bench) -> None:
    """By itself, at the next look."""
    bench.drop(fields={"operator_id": "1"})
    bench.settle()
    assert (bench.job().state, bench.job().reason) == (State.UNUSABLE, Reason.METADATA_KEY_LACKING)
    bench.write("call.json", json.dumps(FIELDS).encode())
    bench.look(60)
    bench.settle()
    assert bench.job().state is State.READY


def test_start_from_leaves_old_calls_alone(tmp_path: Path) -> None:
    """No rows, only a count; a call after that moment is taken."""
    with bench_on(tmp_path) as bench:
        bench.configure(start_from=bench.clock.now())
        for number in range(5):
            bench.drop(f"old{number}")
            os.utime(bench.folder_path / f"old{number}.wav", (1_600_000_000, 1_600_000_000))
            os.utime(bench.folder_path / f"old{number}.json", (1_600_000_000, 1_600_000_000))
        bench.drop("new")
        bench.settle()
        assert [job.place.path for job in bench.jobs()] == ["new.wav"]
        folder = bench.queue.runtime()["folder:in"]
        assert isinstance(folder, dict)
        assert folder["left_alone"] == 5


def test_vanished_while_incomplete_is_skipped_and_complete_is_lost(bench: Bench) -> None:
    """Only the latter is an alarm; coming back, both are taken up again."""
    bench.drop("whole")
    bench.write("half.wav", pcm(seed=3))
    bench.settle()
    for name in ("whole.wav", "whole.json", "half.wav"):
        (bench.folder_path / name).unlink()
    bench.look(60)
    assert (bench.job("whole.wav").state, bench.job("whole.wav").reason) == (State.LOST, Reason.VANISHED_BEFORE_UPLOAD)
    assert (bench.job("half.wav").state, bench.job("half.wav").reason) == (State.SKIPPED, Reason.VANISHED)
    bench.drop("whole")
    bench.drop("half")
    bench.look(60)
    bench.settle()
    assert {job.state for job in bench.jobs()} == {State.READY}


def test_a_root_that_is_away_is_an_outage(bench: Bench) -> None:
    """Never "all files deleted"; the same for an empty mount point in its place."""
    bench.drop()
    bench.settle()
    away = bench.directory / "away"
    bench.folder_path.rename(away)
    bench.look(60)
    assert bench.folder_intake.away
    bench.folder_path.mkdir()
    bench.look(60)
    assert "mounted" in bench.folder_intake.away
    assert bench.job().state is State.READY
    bench.folder_path.rmdir()
    away.rename(bench.folder_path)
    bench.look(60)
    assert bench.folder_intake.away == ""
    assert bench.job().state is State.READY


def test_a_tree_that_went_is_noticed(bench: Bench) -> None:
    """Also the recordings of a directory that is no longer there."""
    bench.drop("2026/01/call")
    bench.settle()
    shutil.rmtree(bench.folder_path / "2026")
    bench.look(60)
    assert bench.job("2026/01/call.wav").state is State.LOST


def test_a_tree_that_went_while_the_daemon_was_down_is_noticed(bench: Bench) -> None:
    """By the first scan."""
    bench.drop("2026/01/call")
    bench.settle()
    shutil.rmtree(bench.folder_path / "2026")
    bench.configure()
    bench.look()
    assert bench.job("2026/01/call.wav").state is State.LOST


def test_names_that_are_no_recordings_are_left_out(tmp_path: Path) -> None:
    """Unfinished names, what the rules exclude, and other audio, which is counted."""
    with bench_on(tmp_path, exclude=("tmp/*",), include=()) as bench:
        for name in (".hidden.wav", "a.wav.tmp", "b.wav~", "tmp/c.wav", "d.mp3", "e.gsm"):
            bench.write(name, pcm())
        bench.settle()
        assert bench.jobs() == []
        folder = bench.queue.runtime()["folder:in"]
        assert isinstance(folder, dict)
        assert folder["unmatched"] == 2


def test_a_wrong_include_is_not_silent(tmp_path: Path) -> None:
    """What it drops is counted, and when more of that came is remembered; not what `exclude` drops or another folder watches."""
    rules: dict[str, Any] = {"include": ("2025/**",), "exclude": ("tmp",), "inner": ("sales",)}
    with bench_on(tmp_path, **rules) as bench:

        def told() -> tuple[object, object]:
            folder = bench.queue.runtime()["folder:in"]
            assert isinstance(folder, dict)
            return folder["unmatched"], folder["unmatched_at"]

        bench.look()
        assert told() == (0, None)
        for name in ("2026/call", "tmp/call", "sales/call", "call"):
            bench.drop(name)
        bench.look(60)
        first = bench.clock.now().isoformat()
        assert told() == (2, first)
        bench.look(3600)
        bench.configure(**rules)
        bench.look()
        assert told() == (2, first)
        bench.drop("2026/more")
        bench.look(60)
        assert told() == (3, bench.clock.now().isoformat())
        assert bench.jobs() == []


@pytest.mark.parametrize("metadata_first", [True, False])
@pytest.mark.parametrize("names", [("CALL.WAV", "CALL.json"), ("CALL.WAV", "CALL.JSON"), ("Call.wav", "Call.JSON")])
@pytest.mark.parametrize("hinted", [True, False])
def test_the_case_of_endings_does_not_matter(bench: Bench, names: tuple[str, str], *, metadata_first: bool, hinted: bool) -> None:
    """`*.wav` takes CALL.WAV, `{stem}.json` finds CALL.JSON, whichever comes first and however it is noticed."""
    written = [(names[0], pcm()), (names[1], json.dumps(FIELDS).encode())]
    for name, data in reversed(written) if metadata_first else written:
        bench.write(name, data)
        if hinted:
            bench.intake.hint(Hint("in", name))
            bench.look(11)
            bench.look(11)
        else:
            bench.look(61)
            bench.look(11)
    job = bench.job(names[0])
    assert (job.state, job.metadata_path) == (State.READY, names[1])
    assert len(bench.jobs()) == 1


@pytest.mark.parametrize("name", ["with\nnewline", "с именем", "\udcff\udcfe", "a'b\"c", "[Caller]_201-0114(380)"])
def test_any_name_works(bench: Bench, name: str) -> None:
    """Bytes that are no UTF-8 among them."""
    bench.drop(name)
    bench.settle()
    assert bench.job(f"{name}.wav").state is State.READY


def test_an_unreadable_recording_waits_and_is_taken_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of rights after the close is usual with some recorders."""
    bench.drop()
    monkeypatch.setattr(
        type(bench.files),
        "open",
        lambda _self, _path: (_ for _ in ()).throw(FileTrouble(FileTroubleKind.UNREADABLE, "permission denied")),
    )
    bench.settle()
    assert (bench.job().state, bench.job().reason) == (State.WAITING, Reason.UNREADABLE)
    monkeypatch.undo()
    bench.look(60)
    assert bench.job().state is State.READY


def test_a_rescan_of_an_unchanged_tree_lists_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept after its upload costs nothing."""
    bench.drop("2026/01/call")
    bench.look()
    bench.clock._now += timedelta(days=365 * 3)
    bench.look(60)
    listed: list[str] = []
    real = FolderFiles.entries

    def listing(files: FolderFiles, path: str, batch: int = 1000) -> Iterator[Entries]:
        listed.append(path)
        return real(files, path, batch)

    monkeypatch.setattr(FolderFiles, "entries", listing)
    bench.look(60)
    assert listed == []
    bench.drop("2026/01/second", seed=5)
    bench.look(60)
    assert listed == ["2026/01"]


def test_a_hint_about_a_directory_looks_into_it(bench: Bench) -> None:
    """A tree that was moved in gives one event, for itself."""
    bench.look()
    bench.drop("moved/in/call")
    bench.intake.hint(Hint("in", "moved"))
    bench.settle()
    assert bench.job("moved/in/call.wav").state is State.READY


def test_a_queue_that_fails_in_between_makes_nothing_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was being looked at is looked at again when the queue works."""
    for number in range(3):
        bench.drop(f"call{number}", seed=number)
    bench.look()
    bench.clock.advance(10.1)
    real, calls = bench.queue.apply_each, []

    def failing(arrivals: Sequence[Arrival]) -> Sequence[Job | None]:
        calls.append(arrivals)
        if len(calls) == 1:
            raise QueueTrouble("The queue: database or disk is full.")
        return real(arrivals)

    monkeypatch.setattr(bench.queue, "apply_each", failing)
    with pytest.raises(QueueTrouble):
        bench.look()
    bench.settle()
    assert [job.state for job in bench.jobs()] == [State.READY] * 3


def test_a_fault_of_ours_with_one_recording_does_not_stop_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and that recording is looked at again later."""
    bench.drop("bad")
    bench.drop("good", seed=1)
    real = bench.places.examine

    def examine(_places: Places, place: str, near: Reader | None = None) -> Seen:
        if place == "bad.wav":
            raise ZeroDivisionError
        return real(place, near)

    monkeypatch.setattr(Places, "examine", examine)
    bench.settle()
    assert [job.place.path for job in bench.jobs()] == ["good.wav"]
    monkeypatch.undo()
    bench.look(60)
    bench.settle()
    assert bench.job("bad.wav").state is State.READY


def skip(bench: Bench, path: str = "call.wav") -> None:
    bench.queue.apply(lifecycle.skipped(bench.job(path), bench.clock.now()))


def test_what_the_operator_skipped_stays_skipped_when_only_touched(bench: Bench) -> None:
    """A backup put back, a change of times: the bytes are the same."""
    audio = bench.drop()
    bench.settle()
    skip(bench)
    bench.clock.advance(60)
    for name, data in (("call.wav", audio), ("call.json", json.dumps(FIELDS).encode())):
        (bench.folder_path / name).unlink()
        bench.write(name, data)
        bench.look(60)
        bench.settle()
    assert (bench.job().state, bench.job().reason) == (State.SKIPPED, Reason.BY_OPERATOR)


def test_what_the_operator_skipped_is_taken_when_it_was_rewritten(bench: Bench) -> None:
    """Another call under the same name."""
    bench.drop()
    bench.settle()
    skip(bench)
    bench.clock.advance(60)
    bench.drop(seed=4, seconds=0.7)
    bench.look(60)
    bench.settle()
    assert bench.job().state is State.READY


def test_a_half_that_was_skipped_does_not_block_its_place(bench: Bench) -> None:
    """A whole call that comes there later is taken."""
    bench.write("call.wav", pcm())
    bench.settle()
    skip(bench)
    bench.look(60)
    assert bench.job().state is State.SKIPPED
    bench.drop(seed=7)
    bench.look(60)
    bench.settle()
    assert bench.job().state is State.READY


def test_a_header_only_file_that_grows_in_place_is_noticed_without_events(bench: Bench) -> None:
    """The directory does not change when a file grows: a call without audio so far is looked at for a day."""
    bench.drop()
    bench.write("call.wav", header_only())
    bench.settle()
    assert bench.job().reason is Reason.NO_AUDIO
    bench.clock._now += timedelta(minutes=5)  # the directory counts as settled
    bench.look(60)
    with (bench.folder_path / "call.wav").open("r+b") as file:
        file.write(pcm(seconds=2))
    bench.look(60)
    bench.settle()
    assert bench.job().state is State.READY


def test_a_finished_place_is_judged_when_its_files_are_quiet(bench: Bench) -> None:
    """A recorder that uses its names again writes one half after the other: no alarm in between."""
    bench.drop()
    bench.settle()
    bench.send()
    bench.file()
    bench.write("call.wav", pcm(seconds=0.7, seed=9))
    bench.intake.hint(Hint("in", "call.wav"))
    bench.look(1)
    assert bench.job().changed_after_upload is False
    bench.write("call.json", json.dumps({**FIELDS, "client_id": "other"}).encode())
    bench.settle()
    bench.settle()
    jobs = bench.jobs()
    assert [job.state for job in jobs] == [State.DONE, State.READY]
    assert not any(job.changed_after_upload for job in jobs)


def test_a_new_recording_answers_for_the_change_that_was_seen_before_it_was_whole(bench: Bench) -> None:
    """The mark of the old one is gone with its files."""
    bench.drop()
    bench.settle()
    bench.send()
    bench.file()
    bench.write("call.wav", pcm(seconds=0.7, seed=9))
    bench.look(60)
    bench.look(10.1)
    assert bench.job().changed_after_upload is True
    bench.write("call.json", json.dumps({**FIELDS, "client_id": "other"}).encode())
    bench.look(60)
    bench.settle()
    bench.settle()
    old, new = bench.jobs()
    assert (old.changed_after_upload, old.reason, new.state) == (False, None, State.READY)


def test_a_fault_with_one_folder_does_not_stop_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and tried again."""
    bench.look()
    other = FolderIntake(
        dataclasses.replace(bench.folder, name="broken"),
        bench.files,
        bench.folder_intake.watch,
        bench.places,
        bench.folder_intake.scan,
        bench.clock,
        bench.queue,
        bench.folder_intake.on_record,
        logger(),
    )
    monkeypatch.setattr(FolderIntake, "_step", _broken_for("broken", FolderIntake._step))
    bench.intake.configure({"broken": other, "in": bench.folder_intake})
    bench.drop()
    bench.look(60)
    for _ in range(3):
        bench.look(10.1)
    assert bench.job().state is State.READY
    assert "loop_failed" in bench.log.getvalue()


def _broken_for(name: str, real: Callable[[FolderIntake], float]) -> Callable[[FolderIntake], float]:
    def step(intake: FolderIntake) -> float:
        if intake.rules.name == name:
            raise ZeroDivisionError
        return real(intake)

    return step


def test_a_folder_whose_events_prove_unreliable_is_polled(tmp_path: Path) -> None:
    """Most of the last 20 recordings were found by a scan only."""
    with bench_on(tmp_path) as bench:
        watch = cast("StillWatch", bench.folder_intake.watch)
        watch.state = WatchState.WATCHING
        bench.look()
        for number in range(19):
            bench.drop(f"call{number}", seed=number)
        bench.look(60)
        bench.settle()
        assert watch.polling_because == ""
        bench.drop("last", seed=99)
        bench.look(60)
        assert watch.polling_because == ""
        bench.look(11)
        assert "20 of the last 20" in watch.polling_because


@pytest.mark.parametrize("after", [True, False])
def test_a_scan_that_is_quicker_than_the_events_proves_nothing(tmp_path: Path, *, after: bool) -> None:
    """In a burst it often is: of what it found the events come while it runs, or have come and nobody has looked yet."""
    with bench_on(tmp_path) as bench:
        watch = cast("StillWatch", bench.folder_intake.watch)
        watch.state = WatchState.WATCHING
        bench.look()
        names = [f"call{number}.wav" for number in range(40)]
        for number, name in enumerate(names):
            bench.drop(name.removesuffix(".wav"), seed=number)
        bench.clock.advance(60)
        for name in () if after else names:
            bench.folder_intake.arrivals.told(name)
        bench.look(0)
        for name in names if after else ():
            bench.intake.hint(Hint("in", name))
        bench.look(1)
        bench.look(60)
        assert watch.polling_because == ""
        assert bench.folder_intake.arrivals.found_by_scan == 0


def test_events_that_bring_the_recordings_are_believed(tmp_path: Path) -> None:
    """However many there are."""
    with bench_on(tmp_path) as bench:
        watch = cast("StillWatch", bench.folder_intake.watch)
        watch.state = WatchState.WATCHING
        bench.look()
        for number in range(30):
            bench.drop(f"call{number}", seed=number)
            bench.intake.hint(Hint("in", f"call{number}.wav"))
            bench.look()
        bench.look(60)
        assert watch.polling_because == ""
        assert bench.folder_intake.arrivals.found_by_scan == 0


@pytest.mark.parametrize("hinted", [True, False])
@pytest.mark.parametrize("late_s", [1.0, 600.0])
def test_a_recording_counts_when_its_audio_is_first_seen(bench: Bench, late_s: float, *, hinted: bool) -> None:
    """Once, be its metadata there before, with a row of its own or not yet, or come after."""
    bench.look()
    audio = bench.drop()
    (bench.folder_path / "call.wav").unlink()
    bench.look(60)
    bench.look(late_s)
    assert [job.reason for job in bench.jobs()] == [Reason.AUDIO_MISSING] * (late_s > 10)
    assert bench.folder_intake.arrivals.last_seen_at is None
    bench.write("call.wav", audio)
    if hinted:
        bench.intake.hint(Hint("in", "call.wav"))
    bench.look(0 if hinted else 60)
    at = bench.clock.now()
    for _ in range(5):
        bench.look(60)
    assert bench.job().state is State.READY
    arrivals = bench.folder_intake.arrivals
    assert (arrivals.last_seen_at, arrivals.found_by_scan) == (at, 0 if hinted else 1)


def test_a_name_that_is_used_again_counts_too(bench: Bench) -> None:
    """A recorder that always writes the same names is no silent one."""
    bench.drop()
    bench.settle()
    bench.send()
    bench.file()
    bench.look(3600)
    bench.drop(seed=3, fields={**FIELDS, "client_id": "2"})
    bench.look(60)
    bench.look(11)
    assert [job.state for job in bench.jobs()] == [State.DONE, State.READY]
    assert bench.folder_intake.arrivals.last_seen_at == bench.clock.now()


def test_metadata_that_comes_first_is_evidence_like_any_other(tmp_path: Path) -> None:
    """With the audio by scans alone, events are given up."""
    with bench_on(tmp_path) as bench:
        watch = cast("StillWatch", bench.folder_intake.watch)
        watch.state = WatchState.WATCHING
        for number in range(20):
            bench.write(f"call{number}.json", json.dumps(FIELDS).encode())
        bench.settle()
        assert {job.reason for job in bench.jobs()} == {Reason.AUDIO_MISSING}
        for number in range(20):
            bench.write(f"call{number}.wav", pcm(seed=number))
        bench.look(60)
        bench.look(11)
        assert "20 of the last 20" in watch.polling_because


def test_a_lost_recording_is_not_retried_but_comes_back(bench: Bench) -> None:
    """There is nothing to send; its files coming back is what ends the alarm."""
    bench.drop()
    bench.settle()
    for name in ("call.wav", "call.json"):
        (bench.folder_path / name).unlink()
    bench.look(60)
    with pytest.raises(edges.IllegalEdge):
        lifecycle.retried(bench.job(), bench.clock.now())


@pytest.mark.parametrize("path", ["private/call", "secret/deep/call", ".trash/call", "day/.hidden/call"])
@pytest.mark.parametrize("hinted", ["wav", "json", "directory"])
def test_what_is_excluded_is_not_taken_by_an_event_either(tmp_path: Path, path: str, hinted: str) -> None:
    """Events and scans go by the same rule, for files and for the directories above them."""
    with bench_on(tmp_path, exclude=("private/*", "secret")) as bench:
        bench.look()
        bench.drop(path)
        bench.drop("day/call", seed=1)
        name = path.rpartition("/")[0] if hinted == "directory" else f"{path}.{hinted}"
        bench.intake.hint(Hint("in", name))
        bench.intake.hint(Hint("in", "day/call.wav"))
        bench.settle()
        bench.look(60)
        assert [job.place.path for job in bench.jobs()] == ["day/call.wav"]


def test_only_what_is_included_is_taken_by_an_event(tmp_path: Path) -> None:
    """`include` names files."""
    with bench_on(tmp_path, include=("in-*",)) as bench:
        bench.look()
        for stem, seed in (("in-1", 1), ("out-1", 2)):
            bench.drop(stem, seed=seed)
            bench.intake.hint(Hint("in", f"{stem}.wav"))
        bench.settle()
        assert [job.place.path for job in bench.jobs()] == ["in-1.wav"]


def test_a_recording_that_cannot_be_entered_holds_up_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came with it in one write is entered, and the scan goes on."""
    real = lifecycle.completed

    def completed(job: Job, recording: Recording, at: datetime) -> edges.Change:
        if job.place.path == "call-1.wav":
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return real(job, recording, at)

    monkeypatch.setattr(lifecycle, "completed", completed)
    for number in range(3):
        bench.drop(f"call-{number}", seed=number)
    bench.settle()
    assert {job.place.path for job in bench.jobs() if job.state is State.READY} == {"call-0.wav", "call-2.wav"}
    monkeypatch.undo()
    bench.look(61)
    bench.look(11)
    assert {job.place.path for job in bench.jobs() if job.state is State.READY} == {f"call-{n}.wav" for n in range(3)}


def test_after_a_fault_a_directory_that_went_meanwhile_is_missed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is looked at anew, and what was there before is not forgotten for that."""
    bench.write("day/call.wav", pcm())
    bench.settle()
    assert bench.job("day/call.wav").reason is Reason.METADATA_MISSING

    def locked(_self: object) -> None:
        raise QueueTrouble("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(type(bench.folder_intake.places), "flush", locked)
        with pytest.raises(QueueTrouble):
            bench.look(61)
    shutil.rmtree(bench.folder_path / "day")
    for _ in range(3):
        bench.look(61)
    assert (bench.job("day/call.wav").state, bench.job("day/call.wav").reason) == (State.SKIPPED, Reason.VANISHED)


def test_below_a_directory_that_cannot_be_entered_nothing_is_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not looked at either, be there a million finished recordings."""
    bench.drop("2026/01/call")
    bench.settle()
    bench.send()
    bench.file()
    bench.configure()
    real = FolderFiles.directory_mtime_ns

    def closed(self: FolderFiles, path: str) -> int:
        if path == "2026":
            raise FileTrouble(FileTroubleKind.UNREADABLE, "not for us")
        return real(self, path)

    monkeypatch.setattr(FolderFiles, "directory_mtime_ns", closed)
    looked: list[str] = []
    real_examine = bench.folder_intake.places.examine

    def examine(_self: object, place: str, near: Reader | None = None) -> Seen:
        looked.append(place)
        return real_examine(place, near)

    monkeypatch.setattr(type(bench.folder_intake.places), "examine", examine)
    for _ in range(3):
        bench.look(61)
    assert looked == []
    assert bench.job("2026/01/call.wav").state is State.DONE


# --- by the hundred ----------------------------------------------------------------------------


def test_audio_that_a_scan_finds_takes_over_the_row_of_its_metadata(bench: Bench) -> None:
    """Its own place has no row, and must not get a second one."""
    bench.configure(metadata_last=True)
    bench.write("call.json", json.dumps(FIELDS).encode())
    bench.settle()
    assert bench.job("call.json").reason is Reason.AUDIO_MISSING
    bench.write("call.wav", pcm())
    bench.write("other.wav", pcm(seed=1))
    bench.write("other.json", json.dumps({**FIELDS, "client_id": "2"}).encode())
    bench.look(61)
    assert {job.place.path: job.state for job in bench.jobs()} == {"call.wav": State.READY, "other.wav": State.READY}


def test_a_place_that_is_taken_while_a_scan_goes_by_gets_no_second_row(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event, or an `upload`, is quicker than what the scan has just been told."""
    bench.configure(metadata_last=True)
    for number in range(3):
        bench.drop(f"call{number}", seed=number)
    real = FolderFiles.within

    def within(files: FolderFiles, directory: str) -> AbstractContextManager[Files]:
        monkeypatch.undo()
        bench.places.examine("call1.wav")
        bench.places.flush()
        bench.send()
        bench.file()
        return real(files, directory)

    monkeypatch.setattr(FolderFiles, "within", within)
    bench.look()
    states = {job.place.path: job.state for job in bench.jobs()}
    assert states == {"call0.wav": State.READY, "call1.wav": State.DONE, "call2.wav": State.READY}
    assert len(bench.jobs()) == 3
