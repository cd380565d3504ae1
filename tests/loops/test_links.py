"""Links to directories: never followed, and never passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.watched import roots_of, watched_around
from support.bench import Bench, bench_on


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Another one, outside the folder."""
    path = tmp_path / "other disk"
    path.mkdir()
    (path / "x.wav").write_bytes(b"")
    return path


def told(bench: Bench) -> dict[str, Any]:
    found = bench.queue.runtime()["folder:in"]
    assert isinstance(found, dict)
    return found


def test_a_link_to_a_directory_is_counted_and_told_once(bench: Bench, disk: Path) -> None:
    """Not again with each scan; the next one that comes is."""
    (bench.folder_path / "2026").symlink_to(disk)
    bench.drop("2025/call")
    bench.settle()
    assert told(bench)["linked_directories"] == 1
    for number in range(3):
        bench.drop(f"2025/call{number}", seed=number)
        bench.look(60)
    assert bench.log.getvalue().count("directories_linked") == 1
    (bench.folder_path / "2025" / "deeper").symlink_to(disk)
    bench.look(60)
    assert told(bench)["linked_directories"] == 2
    assert bench.log.getvalue().count("directories_linked") == 2
    assert "deeper" not in bench.log.getvalue()
    (bench.folder_path / "2026").unlink()
    bench.look(60)
    assert told(bench)["linked_directories"] == 1
    assert all(job.place.path.startswith("2025/call") for job in bench.jobs())


def test_a_link_to_a_file_or_to_nothing_is_none(bench: Bench, disk: Path) -> None:
    """A file that is a link has a row that says so."""
    (bench.folder_path / "file").symlink_to(disk / "x.wav")
    (bench.folder_path / "nothing").symlink_to(disk / "none")
    bench.settle()
    assert told(bench)["linked_directories"] == 0


@pytest.mark.parametrize("rules", [{"exclude": ("2026",)}, {"recursive": False}, {"inner": ("2026",)}])
def test_a_link_that_would_not_be_entered_anyway_is_none(tmp_path: Path, disk: Path, rules: dict[str, Any]) -> None:
    """What is left out by the rules is so on purpose, and another folder's is the other's."""
    with bench_on(tmp_path, **rules) as bench:
        (bench.folder_path / "2026").symlink_to(disk)
        (bench.folder_path / ".hidden").symlink_to(disk)
        bench.settle()
        assert told(bench)["linked_directories"] == 0


def test_what_is_watched_by_its_own_name_is_seen(bench: Bench, disk: Path) -> None:
    """Here or in another folder, from the next scan after it was put into the configuration on."""
    roots = dict(roots_of([bench.folder]))
    bench.folder_intake.telling.watched = lambda path: watched_around(path, roots) is not None
    bench.drop("2026/01/call")
    (bench.folder_path / "latest").symlink_to("2026/01")
    (bench.folder_path / "2027").symlink_to(disk)
    bench.settle()
    bench.look(60)
    assert told(bench)["linked_directories"] == 1
    found = disk.stat()
    roots[found.st_dev, found.st_ino] = str(disk)
    bench.look(60)
    assert told(bench)["linked_directories"] == 1
    bench.folder_intake.links_anew()
    bench.look(60)
    assert told(bench)["linked_directories"] == 0


def test_where_a_link_leads_is_asked_once(bench: Bench, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share that hangs later would hold up every scan."""
    asked: list[str] = []
    real = FolderFiles.leads_to

    def leads_to(files: FolderFiles, path: str) -> str:
        asked.append(path)
        return real(files, path)

    monkeypatch.setattr(FolderFiles, "leads_to", leads_to)
    (bench.folder_path / "2026").symlink_to(disk)
    for number in range(200):
        (bench.folder_path / f"more{number}").symlink_to(disk)
    for _ in range(5):
        bench.look(60)
    assert told(bench)["linked_directories"] == 201
    assert 0 < len(asked) <= 200
