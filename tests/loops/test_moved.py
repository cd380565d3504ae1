"""A tree of recordings that was moved to another disk or machine is known again without being read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.core.rules import AfterUpload
from speechsense_watch.edge.folder import FolderFiles
from support.bench import Bench, bench_on
from support.wavs import pcm


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


class Counting:
    """How often a file was opened, whoever asked for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        real = FolderFiles.open

        def counted(files: FolderFiles, path: str):  # type: ignore[no-untyped-def]
            self.opened.append(path)
            return real(files, path)

        monkeypatch.setattr(FolderFiles, "open", counted)


def uploaded(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.drop(f"{number % 3}/call-{number}", seed=number)
        for end in ("wav", "json"):
            at_ns = int(bench.clock.now().timestamp()) * 10**9 + 123_456_789
            os.utime(bench.folder_path / f"{number % 3}/call-{number}.{end}", ns=(at_ns, at_ns))
    bench.settle()
    for _ in range(count):
        bench.send()
        bench.file()
    assert {job.state for job in bench.jobs()} == {State.DONE}


def move(bench: Bench, *, fractions: bool = True) -> None:
    """To other inodes, as `rsync -a` does or, without fractions of a second, `scp -p`."""
    old = bench.folder_path.with_name("old")
    bench.folder_path.rename(old)
    shutil.copytree(old, bench.folder_path, copy_function=shutil.copy2)
    for path in bench.folder_path.rglob("*.*"):
        at_ns = path.stat().st_mtime_ns
        if not fractions:
            os.utime(path, ns=(at_ns, at_ns // 10**9 * 10**9))


def start_anew(bench: Bench) -> None:
    bench.configure()
    bench.look()
    bench.look(11)
    bench.look(3600)
    bench.send()
    bench.send()


@pytest.mark.parametrize("fractions", [True, False])
def test_a_moved_tree_is_known_without_reading_a_byte(bench: Bench, monkeypatch: pytest.MonkeyPatch, *, fractions: bool) -> None:
    """By relative path, size and mtime; nothing is sent."""
    uploaded(bench, 20)
    inodes = {job.audio.stamp.inode for job in bench.jobs() if job.audio}
    move(bench, fractions=fractions)
    assert not inodes & {path.stat().st_ino for path in bench.folder_path.rglob("*.wav")}
    counting = Counting(monkeypatch)
    before = len(bench.service.calls)
    start_anew(bench)
    assert counting.opened == []
    assert {job.state for job in bench.jobs()} == {State.DONE}
    assert not any(job.changed_after_upload for job in bench.jobs())
    assert len(bench.service.calls) == before


def test_a_file_that_is_looked_at_closely_has_its_new_inode_on_record(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by an event; without reading it either."""
    uploaded(bench, 1)
    move(bench)
    counting = Counting(monkeypatch)
    bench.places.examine("0/call-0.wav")
    job = bench.job("0/call-0.wav")
    assert job.audio
    assert job.audio.stamp.inode == (bench.folder_path / "0/call-0.wav").stat().st_ino
    assert counting.opened == []


@pytest.mark.parametrize("how", ["another size", "another mtime"])
def test_what_was_rewritten_there_is_noticed(bench: Bench, how: str) -> None:
    """Before or after the move."""
    uploaded(bench, 2)
    move(bench)
    path = bench.folder_path / "0/call-0.wav"
    found = path.stat()
    path.write_bytes(pcm(seconds=0.7 if how == "another size" else 0.5, seed=77))
    at_ns = found.st_mtime_ns + (0 if how == "another size" else 1)
    os.utime(path, ns=(at_ns, at_ns))
    start_anew(bench)
    assert bench.job("0/call-0.wav").changed_after_upload
    assert not bench.job("1/call-1.wav").changed_after_upload


def test_what_comes_to_a_place_that_was_seen_empty_is_a_new_recording(bench: Bench) -> None:
    """Whatever its size and mtime: then its bytes decide."""
    uploaded(bench, 1)
    path = bench.folder_path / "0/call-0.wav"
    data, at_ns = path.read_bytes(), path.stat().st_mtime_ns
    path.unlink()
    bench.look(61)
    path.write_bytes(pcm(seconds=0.5, seed=77))
    assert len(data) == path.stat().st_size
    os.utime(path, ns=(at_ns, at_ns))
    start_anew(bench)
    bench.send(11)
    assert len(bench.service.sent) == 2


@pytest.mark.parametrize("fractions", [True, False])
@pytest.mark.parametrize("how", ["archive", "delete"])
def test_what_was_uploaded_before_the_move_is_filed_after_it(bench: Bench, how: str, *, fractions: bool) -> None:
    """By its bytes, since its inode is another one: whoever has the same time and size but other bytes is left alone."""
    rules = {"after_upload": AfterUpload(how), "archive_to": str(bench.directory / "archive")}
    bench.configure(**rules)
    for stem in ("call", "other"):
        bench.drop(stem, seed=len(stem))
    bench.settle()
    bench.send()
    assert {job.state for job in bench.jobs()} == {State.UPLOADED}
    move(bench, fractions=fractions)
    found = (bench.folder_path / "other.wav").stat()
    (bench.folder_path / "other.wav").write_bytes(pcm(seconds=0.5, seed=99))
    os.utime(bench.folder_path / "other.wav", ns=(found.st_mtime_ns, found.st_mtime_ns))
    bench.file()
    assert {job.state for job in bench.jobs()} == {State.DONE}
    assert sorted(path.name for path in bench.folder_path.iterdir()) == ["other.json", "other.wav"]
    archived = sorted(path.name for path in (bench.directory / "archive").rglob("*.*"))
    assert archived == (["call.json", "call.wav"] if how == "archive" else [])
