"""What lies in a folder with its row: whatever becomes of it is noticed by scans alone, sooner while it is young."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from speechsense_watch import kept
from speechsense_watch.core import lifecycle
from speechsense_watch.core.known import Row
from speechsense_watch.core.model import Glance, Sighting, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.places import Places, Seen
from speechsense_watch.ports import FileTrouble, FileTroubleKind, Hint
from speechsense_watch.recording import Reader
from support.bench import Bench, bench_on
from support.rig import FIELDS
from support.wavs import asterisk_open, header_only, pcm

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


def in_place(bench: Bench, path: str, data: bytes) -> None:
    """Rewritten under its name: the directory shows nothing of it."""
    target = bench.folder_path / path
    with target.open("r+b") as file:
        file.truncate(len(data))
        file.write(data)
    now = bench.clock.now().timestamp()
    os.utime(target, (now, now))


def rest(bench: Bench, seconds: float, step_s: float = 60.0) -> None:
    """Time passes, a scan after the other."""
    until = bench.clock.monotonic() + seconds
    while bench.clock.monotonic() < until:
        bench.look(step_s)


def uploaded(bench: Bench, stem: str = "call", seed: int = 0) -> None:
    bench.drop(stem, seed=seed)
    bench.settle()
    bench.send()
    bench.file()
    assert bench.job(f"{stem}.wav").state is State.DONE


# --- young: by the next scan -------------------------------------------------------------------


def too_short(bench: Bench) -> None:
    bench.configure(min_duration_s=5.0)
    bench.drop(seconds=1)


def without_audio(bench: Bench) -> None:
    bench.drop()
    bench.write("call.wav", header_only())


def a_placeholder(bench: Bench) -> None:
    bench.drop()
    bench.write("call.wav", b"")


@pytest.mark.parametrize("after_s", [600.0, 2 * DAY, 10 * DAY])
@pytest.mark.parametrize("begin", [too_short, without_audio, a_placeholder])
def test_a_skipped_recording_that_grows_is_taken(bench: Bench, begin: Callable[[Bench], None], after_s: float) -> None:
    """Paused and appended to, answered after all, or filled in place: within a scan in its first week, within a day later."""
    begin(bench)
    bench.settle()
    assert bench.job().state is State.SKIPPED
    rest(bench, after_s, step_s=max(60.0, after_s / 50))
    in_place(bench, "call.wav", pcm(seconds=9))
    rest(bench, 120 if after_s < 7 * DAY else DAY)
    assert bench.job().state is State.READY


def test_a_refused_recording_that_is_mended_in_place_is_sent_again(bench: Bench) -> None:
    """As one that cannot be used is."""
    bench.service.script = [Outcome(code=Code.INVALID_ARGUMENT, message="no such operator", committed=True)]
    bench.drop()
    bench.settle()
    bench.send()
    assert bench.job().state is State.REFUSED
    rest(bench, 2 * HOUR)
    in_place(bench, "call.json", json.dumps({**FIELDS, "operator_id": "202"}).encode())
    rest(bench, 120)
    assert bench.job().state is State.READY


def test_unusable_metadata_that_is_mended_in_place_is_taken(bench: Bench) -> None:
    """However small the change."""
    bench.drop(fields={**FIELDS, "date": "yesterday"})
    bench.settle()
    assert bench.job().reason is Reason.METADATA_BAD_DATE
    rest(bench, DAY, step_s=600)
    in_place(bench, "call.json", json.dumps(FIELDS).encode())
    rest(bench, 120)
    assert bench.job().state is State.READY


def test_what_the_operator_skipped_is_taken_when_its_bytes_change_in_place(bench: Bench) -> None:
    """Not when it was only touched."""
    audio = bench.drop()
    bench.settle()
    bench.queue.apply(lifecycle.skipped(bench.job(), bench.clock.now()))
    rest(bench, 600)
    in_place(bench, "call.wav", audio)
    rest(bench, 600)
    assert bench.job().state is State.SKIPPED
    in_place(bench, "call.wav", pcm(seconds=3, seed=8))
    rest(bench, 120)
    assert bench.job().state is State.READY


# --- uploaded ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["written anew", "renamed over it", "removed and written anew"])
@pytest.mark.parametrize("after_s", [600.0, 2 * HOUR, 9 * DAY])
def test_a_name_used_again_is_another_recording_however_late(bench: Bench, how: str, after_s: float) -> None:
    """The directory changed, so all names in it are compared with what is on record."""
    uploaded(bench)
    rest(bench, after_s, step_s=max(60.0, after_s / 50))
    for name, data in (("call.wav", pcm(seed=5)), ("call.json", json.dumps({**FIELDS, "client_id": "2"}).encode())):
        target = bench.folder_path / name
        if how != "renamed over it":
            target.unlink()
            bench.write(name, data)
        else:
            bench.write(f".{name}", data)
            (bench.folder_path / f".{name}").rename(target)
        if how == "removed and written anew":
            bench.look(60)
    rest(bench, 240)
    assert [job.state for job in bench.jobs()] == [State.DONE, State.READY]
    assert not any(job.changed_after_upload for job in bench.jobs())


@pytest.mark.parametrize(("after_s", "within_s"), [(600.0, 240.0), (2 * HOUR, DAY), (9 * DAY, DAY)])
def test_audio_appended_after_the_upload_is_told(bench: Bench, after_s: float, within_s: float) -> None:
    """By the next scan within an hour of the upload, by the slow round within a day after that."""
    uploaded(bench)
    rest(bench, after_s, step_s=max(60.0, after_s / 50))
    in_place(bench, "call.wav", pcm(seconds=2))
    rest(bench, within_s)
    assert bench.job().changed_after_upload
    assert len(bench.jobs()) == 1


def test_a_change_that_was_judged_is_not_judged_at_every_scan(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes would be read again and again."""
    uploaded(bench)
    in_place(bench, "call.wav", pcm(seed=3))
    rest(bench, 240)
    assert bench.job().changed_after_upload
    opened: list[str] = []
    real = FolderFiles.open

    def open_(files: FolderFiles, path: str) -> object:
        opened.append(path)
        return real(files, path)

    monkeypatch.setattr(FolderFiles, "open", open_)
    rest(bench, 600)
    assert opened == []
    bench.queue.apply(lifecycle.retried(bench.job(), bench.clock.now()))
    rest(bench, 240)
    assert [job.state for job in bench.jobs()] == [State.DONE, State.READY]


def test_the_slow_round_comes_by_everything_within_a_day(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of recordings, in portions as small as that allows."""
    monkeypatch.setattr(kept, "_LEAST_SHARE", 1)
    for number in range(40):
        bench.drop(f"{number % 7}/call{number}", seed=number)
    bench.settle()
    bench.send()
    for _ in range(20):
        bench.send()
        bench.file()
    assert {job.state for job in bench.jobs()} == {State.DONE}
    rest(bench, 2 * HOUR, step_s=600)
    glanced: list[str] = []
    real = FolderFiles.glances

    def glances(files: FolderFiles, directory: str, names: Sequence[str]) -> Mapping[str, Glance]:
        glanced.extend(f"{directory}/{name}" for name in names)
        return real(files, directory, names)

    monkeypatch.setattr(FolderFiles, "glances", glances)
    for _ in range(24):
        before = len(glanced)
        bench.look(HOUR)
        assert len(glanced) - before <= 2 * 2
    assert {job.place.path for job in bench.jobs()} <= set(glanced)


def test_a_start_looks_at_everything(bench: Bench) -> None:
    """Whatever was rewritten while no daemon ran, in directories that nobody touched."""
    uploaded(bench, "old")
    bench.configure(min_duration_s=5.0)
    bench.drop("short", seed=1)
    bench.settle()
    rest(bench, 9 * DAY, step_s=DAY / 2)
    in_place(bench, "old.wav", pcm(seconds=2))
    in_place(bench, "short.wav", pcm(seconds=9))
    bench.configure(min_duration_s=5.0)
    bench.settle()
    assert bench.job("old.wav").changed_after_upload
    assert bench.job("short.wav").state is State.READY


def test_a_flood_of_waiting_recordings_does_not_make_each_scan_look_at_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that grow have appointments of their own; for those that lack their metadata the listing tells when it comes."""
    for number in range(20):
        bench.write(f"lonely{number}.wav", pcm(seed=number))
        bench.drop(f"grows{number}", seed=number)
        bench.write(f"grows{number}.wav", asterisk_open())
    bench.settle()
    assert {job.state for job in bench.jobs()} == {State.WAITING}
    looked: list[str] = []
    real = Places.examine

    def examine(places: Places, place: str, near: Reader | None = None) -> Seen:
        looked.append(place)
        return real(places, place, near)

    monkeypatch.setattr(Places, "examine", examine)
    bench.look(9)
    bench.drop("lonely3", seed=3)
    bench.intake.hint(Hint("in", None))
    bench.look()
    assert looked == ["lonely3.wav"]


# --- links -------------------------------------------------------------------------------------


def test_a_hard_link_that_was_released_is_taken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also long after its quiet period: of the file's times its ctime alone changes then."""
    bench.drop()
    other = bench.directory / "other"
    os.link(bench.folder_path / "call.wav", other)
    owner = (bench.folder_path / "call.wav").stat().st_uid
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda descriptor: _owned_by(real(descriptor), owner + 1))
    rest(bench, 600)
    assert (bench.job().state, bench.job().reason) == (State.UNUSABLE, Reason.NOT_A_REGULAR_FILE)
    rest(bench, 2 * HOUR)
    other.unlink()
    rest(bench, 180)
    assert bench.job().state is State.READY


def _owned_by(found: os.stat_result, uid: int) -> os.stat_result:
    """A directory as it would be if somebody else owned it."""
    fields = list(found)
    fields[4] = uid
    return os.stat_result(fields, {"st_mtime_ns": found.st_mtime_ns, "st_atime_ns": 0, "st_ctime_ns": found.st_ctime_ns})


def test_of_links_no_scan_reads_anything_anew(bench: Bench) -> None:
    """While they are links they stay what they are."""
    bench.drop("there")
    for name in ("call.wav", "call.json"):
        (bench.folder_path / name).symlink_to("there." + name.partition(".")[2])
    rest(bench, 300)
    assert bench.job().reason is Reason.NOT_A_REGULAR_FILE
    events = bench.events(bench.job().id)
    rest(bench, 600)
    assert bench.events(bench.job().id) == events


def test_a_directory_that_cannot_be_searched_is_no_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what was uploaded or stopped there nothing is said meanwhile."""
    bench.configure(min_duration_s=5.0)
    bench.drop("day/short")
    bench.settle()
    bench.configure()
    uploaded(bench, "day/call", seed=2)
    real = FolderFiles.look

    def look(files: FolderFiles, path: str) -> Sighting:
        if path.startswith("day/"):
            raise FileTrouble(FileTroubleKind.UNREADABLE, "permission denied")
        return real(files, path)

    monkeypatch.setattr(FolderFiles, "look", look)
    for name in ("day/call.wav", "day/short.wav"):
        bench.intake.hint(Hint("in", name))
    rest(bench, 300)
    assert "loop_failed" not in bench.log.getvalue()
    assert [job.state for job in bench.jobs()] == [State.SKIPPED, State.DONE]


def test_of_several_rows_at_one_place_none_is_taken_for_what_lies_there(bench: Bench) -> None:
    """Which of them counts is for a closer look to say."""
    uploaded(bench)
    (rows,) = bench.folder_intake.on_record.right_in("")

    def as_before(rows: Sequence[Row]) -> set[str]:
        return {name for names in bench.folder_intake._kept.as_before("", rows, {"call.wav", "call.json"}) for name in names}

    assert as_before(rows) == {"call.wav", "call.json"}
    assert as_before([*rows, *rows]) == set()
