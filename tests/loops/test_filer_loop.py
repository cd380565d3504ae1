"""What is done with the files after the upload: only with the ones uploaded, only after the talk id is on disk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import Place, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import AfterUpload
from speechsense_watch.filer import BETWEEN_TRIMS_S, LONGEST_REST_S
from speechsense_watch.ports import Hint
from support.bench import Bench, bench_on
from support.rig import FIELDS
from support.starts import examined
from support.wavs import pcm


@pytest.fixture
def archiving(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path, after_upload=AfterUpload.ARCHIVE, archive_to=str(tmp_path / "archive")) as bench:
        yield bench


def upload(bench: Bench, stem: str = "call") -> bytes:
    audio = bench.drop(stem)
    bench.settle()
    bench.send()
    return audio


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_by_default_nothing_is_touched(tmp_path: Path) -> None:
    """Keep: the recordings belong to the user."""
    with bench_on(tmp_path) as bench:
        upload(bench)
        bench.file()
        assert bench.job().state is State.DONE
        assert names(bench.folder_path) == ["call.json", "call.wav"]


def test_archive_keeps_the_relative_path(archiving: Bench, tmp_path: Path) -> None:
    """Both halves move; the place is seen empty and stays remembered."""
    audio = upload(archiving, "2026/01/call")
    archiving.file()
    assert names(tmp_path / "archive") == ["2026/01/call.json", "2026/01/call.wav"]
    assert (tmp_path / "archive/2026/01/call.wav").read_bytes() == audio
    assert names(archiving.folder_path) == []
    archiving.look(60)
    assert archiving.job("2026/01/call.wav").state is State.DONE
    assert archiving.job("2026/01/call.wav").gone_at is not None


@pytest.mark.parametrize("action", [AfterUpload.ARCHIVE, AfterUpload.DELETE])
def test_a_folder_that_is_not_mounted_has_lost_nothing(tmp_path: Path, action: AfterUpload) -> None:
    """An empty directory in its place is no evidence that the files are gone: they are filed when they are back."""
    with bench_on(tmp_path, after_upload=action, archive_to=str(tmp_path / "archive")) as bench:
        upload(bench)
        away = bench.folder_path.rename(tmp_path / "away")
        bench.folder_path.mkdir()
        bench.file()
        assert (bench.job().state, bench.job().reason) == (State.UPLOADED, Reason.FILING_FAILED)
        bench.folder_path.rmdir()
        away.rename(bench.folder_path)
        bench.file(61)
        assert bench.job().state is State.DONE
        assert names(bench.folder_path) == []


def test_a_name_that_is_taken_is_never_overwritten(archiving: Bench, tmp_path: Path) -> None:
    """Both halves get the same free name."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/call.json").write_text("somebody else's")
    upload(archiving)
    archiving.file()
    assert names(tmp_path / "archive") == ["call.1.json", "call.1.wav", "call.json"]
    assert (tmp_path / "archive/call.json").read_text() == "somebody else's"


def test_delete_removes_both(tmp_path: Path) -> None:
    """And nothing beside them."""
    with bench_on(tmp_path, after_upload=AfterUpload.DELETE) as bench:
        upload(bench)
        bench.write("other.txt", b"stays")
        bench.file()
        assert names(bench.folder_path) == ["other.txt"]


@pytest.mark.parametrize("action", [AfterUpload.ARCHIVE, AfterUpload.DELETE])
def test_files_that_changed_are_left_alone(tmp_path: Path, action: AfterUpload) -> None:
    """Done, with a note that says so."""
    with bench_on(tmp_path, after_upload=action, archive_to=str(tmp_path / "archive")) as bench:
        upload(bench)
        bench.write("call.wav", pcm(seconds=0.9, seed=7))
        bench.file()
        assert (bench.job().state, bench.job().reason) == (State.DONE, Reason.FILES_CHANGED)
        assert names(bench.folder_path) == ["call.json", "call.wav"]


def test_what_cannot_be_filed_is_tried_again(archiving: Bench, tmp_path: Path) -> None:
    """It stays uploaded, with a reason and the time of the first failure."""
    (tmp_path / "archive").write_text("a file where the archive should be")
    upload(archiving)
    archiving.file()
    job = archiving.job()
    assert (job.state, job.reason) == (State.UPLOADED, Reason.FILING_FAILED)
    archiving.file(61)
    assert archiving.job().updated_at == job.updated_at
    (tmp_path / "archive").unlink()
    archiving.file(61)
    assert archiving.job().state is State.DONE
    assert archiving.job().reason is None


def test_a_restart_between_the_halves_finishes_the_move(archiving: Bench, tmp_path: Path) -> None:
    """The plan was on disk before the first file moved."""
    upload(archiving)
    job = archiving.job()
    archive = tmp_path / "archive"
    archive.mkdir()
    archiving.queue.apply(lifecycle.filing(job, str(archive / "call.wav"), str(archive / "call.json"), archiving.clock.now()))
    (archiving.folder_path / "call.wav").rename(archive / "call.wav")
    archiving.file()
    assert archiving.job().state is State.DONE
    assert names(archive) == ["call.json", "call.wav"]


def test_a_later_recording_at_the_same_place_is_a_new_one(archiving: Bench) -> None:
    """The place was seen empty in between."""
    upload(archiving)
    archiving.file()
    archiving.look(60)
    archiving.drop("call", seed=5)
    archiving.look(60)
    archiving.settle()
    archiving.send()
    archiving.file()
    assert [job.state for job in archiving.jobs()] == [State.DONE, State.DONE]
    assert len(archiving.service.sent) == 2


def test_a_change_after_the_upload_is_told_and_not_sent(tmp_path: Path) -> None:
    """One half alone changed in place: the operator decides."""
    with bench_on(tmp_path) as bench:
        upload(bench)
        bench.file()
        bench.write("call.wav", pcm(seconds=0.9, seed=7))
        bench.look(60)
        bench.look(10.1)
        job = bench.job()
        assert (job.state, job.changed_after_upload, job.reason) == (State.DONE, True, Reason.CHANGED_AFTER_UPLOAD)
        assert len(bench.service.calls) == 1
        bench.queue.apply(lifecycle.retried(job, bench.clock.now()))
        bench.intake.revisit()
        bench.settle()
        bench.send()
        assert len(bench.service.sent) == 2
        assert [job.state for job in bench.jobs()] == [State.DONE, State.DONE]


def test_both_halves_replaced_in_place_are_a_new_recording(tmp_path: Path) -> None:
    """A recorder that uses its names again."""
    with bench_on(tmp_path) as bench:
        upload(bench)
        bench.file()
        bench.drop("call", seed=8, fields={**FIELDS, "client_id": "another"})
        bench.intake.hint(Hint("in", "call.wav"))
        bench.settle()
        bench.send()
        assert len(bench.service.sent) == 2


def test_the_same_bytes_copied_anew_are_no_change(tmp_path: Path) -> None:
    """Another inode and mtime, but what was sent."""
    with bench_on(tmp_path) as bench:
        audio = upload(bench)
        bench.file()
        (bench.folder_path / "call.wav").unlink()
        bench.clock.advance(5)
        bench.write("call.wav", audio)
        bench.look(60)
        bench.look(10.1)
        job = bench.job()
        assert (job.state, job.changed_after_upload) == (State.DONE, False)
        assert bench.events(job.id)[-1] == "seen_same"


def test_trimming_goes_on_a_moment_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part by part until nothing is left; then the filer rests. Before, queue and journal are seen to agree on what may go."""
    with bench_on(tmp_path) as bench:
        bench.file()
        parts, done = [500, 500, 7, 0], list[str]()

        def trim(*_: object) -> int:
            done.append("trim")
            return parts.pop(0)

        monkeypatch.setattr(bench.queue, "keep_up", lambda: done.append("keep_up"))
        monkeypatch.setattr(bench.queue, "trim", trim)
        bench.file(365 * 86400)
        rests = [bench.filer.step() for _ in range(4)]
        assert rests[:2] == [BETWEEN_TRIMS_S] * 2
        assert rests[-1] == LONGEST_REST_S
        assert done == ["keep_up", *["trim"] * 4]


def test_a_year_later_nothing_is_sent_again(tmp_path: Path) -> None:
    """History is trimmed, what was sent is not forgotten: not even after the row's details went."""
    with bench_on(tmp_path) as bench:
        upload(bench)
        bench.file()
        bench.filer.present = ["in"]
        job = bench.job()
        bench.file(365 * 86400)
        trimmed = bench.job()
        assert trimmed.fields == {}
        assert bench.events(job.id) == []
        assert (trimmed.uid, trimmed.talk_id, trimmed.audio) == (job.uid, job.talk_id, job.audio)
        bench.configure()
        bench.settle()
        bench.send()
        assert len(bench.service.calls) == 1
        # Even a copy under another name is known.
        bench.drop("copy")
        bench.look(60)
        bench.settle()
        bench.send()
        assert len(bench.service.calls) == 1
        assert bench.job("copy.wav").duplicate_of == job.id


def test_a_row_is_forgotten_three_years_after_its_files_went(tmp_path: Path) -> None:
    """Journal line first; not while the folder's root is away. It may be a thirtieth later."""
    with bench_on(tmp_path) as bench:
        upload(bench)
        bench.file()
        for name in ("call.wav", "call.json"):
            (bench.folder_path / name).unlink()
        bench.look(60)
        bench.file(timedelta(days=3 * 365 * 31 / 30 + 1).total_seconds())
        assert bench.queue.at_place(Place("in", "call.wav")) is not None
        bench.filer.present = ["in"]
        bench.file(3601)
        assert bench.queue.at_place(Place("in", "call.wav")) is None
        assert examined(bench.queue) == 0
        assert "talk-1" not in (tmp_path / "queue.db.journal").read_text()
