"""edge.watched: one directory is watched once, whatever it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechsense_watch.core.rules import Folder
from speechsense_watch.edge import watched
from speechsense_watch.edge.watched import conflicts, roots_of, watched_around, with_inner


def folder(path: Path, name: str = "", archive_to: str = "") -> Folder:
    return Folder(path=str(path), connection_id="c", start_from="all", name=name or path.name, archive_to=archive_to)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    path = tmp_path / "calls"
    (path / "sales" / "2026").mkdir(parents=True)
    return path


def test_a_directory_by_two_names_is_watched_twice(calls: Path, tmp_path: Path) -> None:
    """Both are named, and the place in the file."""
    (tmp_path / "again").symlink_to(calls)
    (problem,) = conflicts([folder(calls), folder(tmp_path / "again")])
    assert problem.place == "folders.again.path"
    assert f"{tmp_path}/again is the directory that is watched as {calls} already" in problem.message


def test_directories_that_are_two_or_not_there_are_no_conflict(calls: Path, tmp_path: Path) -> None:
    """Nor is one that only lies in the other."""
    assert conflicts([folder(calls), folder(calls / "sales"), folder(tmp_path / "none"), folder(tmp_path / "nor this")]) == ()


def test_an_archive_in_a_watched_folder_is_a_conflict(calls: Path, tmp_path: Path) -> None:
    """What it takes would be found as new."""
    (tmp_path / "archive").symlink_to(calls / "sales")
    (problem,) = conflicts([folder(calls, archive_to=f"{tmp_path}/archive/old")])
    assert (problem.place, "lies inside the watched folder" in problem.message) == ("folders.calls.archive_to", True)


def test_a_folder_inside_another_by_a_link_is_left_to_it(calls: Path, tmp_path: Path) -> None:
    """The outer one knows what the inner one watches; what the names tell stays."""
    (tmp_path / "vip").symlink_to(calls / "sales")
    outer, by_link, by_name = with_inner([folder(calls), folder(tmp_path / "vip"), folder(calls / "support")])
    assert outer.inner == ("sales", "support")
    assert by_link.inner == by_name.inner == ()


def test_an_outer_folder_may_be_the_link(calls: Path, tmp_path: Path) -> None:
    """The inner one is found below what it leads to."""
    (tmp_path / "all").symlink_to(calls)
    assert with_inner([folder(tmp_path / "all"), folder(calls / "sales" / "2026")])[0].inner == ("sales/2026",)


def test_a_bind_mount_is_seen_through(calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel's table of mounts, in which blanks are written in octal."""
    (tmp_path / "for vip").mkdir()
    table = tmp_path / "mountinfo"
    table.write_text(
        f"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"21 20 8:2 /rec {tmp_path}/calls rw - ext4 /dev/sdb1 rw\n"
        f"22 20 8:2 /rec/sales {tmp_path}/for\\040vip rw - ext4 /dev/sdb1 rw\n"
    )
    monkeypatch.setattr(watched, "_MOUNTS", table)
    assert with_inner([folder(calls), folder(tmp_path / "for vip")])[0].inner == ("sales",)
    monkeypatch.setattr(watched, "_MOUNTS", tmp_path / "none")
    assert with_inner([folder(calls), folder(tmp_path / "for vip")])[0].inner == ()


_IN_A_NAMESPACE = """
import os, subprocess, sys
from pathlib import Path
from speechsense_watch.core.rules import Folder
from speechsense_watch.edge.watched import conflicts, with_inner
base = Path(sys.argv[1])
for source, target in ((base / "calls" / "sales", base / "vip"), (base / "calls", base / "again")):
    target.mkdir()
    subprocess.run(["mount", "--bind", source, target], check=True)
folders = [Folder(path=str(base / name), connection_id="c", start_from="all", name=name) for name in ("calls", "vip", "again")]
print([folder.inner for folder in with_inner(folders)], [problem.place for problem in conflicts(folders)])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_real_bind_mounts_are_seen_through(calls: Path, tmp_path: Path) -> None:
    """In a mount namespace of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    line = ["unshare", "--mount", sys.executable, "-c", _IN_A_NAMESPACE, str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environ)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout == "[('sales',), (), ('sales',)] ['folders.again.path']\n", done.stderr


def test_what_lies_in_a_watched_folder(calls: Path, tmp_path: Path) -> None:
    """By whatever name, be it there yet or not."""
    roots = roots_of([folder(calls), folder(tmp_path / "none")])
    (tmp_path / "link").symlink_to(calls)
    for path in (calls, calls / "sales", tmp_path / "link" / "sales", calls / "new" / "newer"):
        assert watched_around(str(path), roots) == str(calls)
    assert watched_around(str(tmp_path), roots) is None
