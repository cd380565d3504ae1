"""edge.claims: one daemon for one directory of recordings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechsense_watch.edge.claims import RootClaims

_HOLDS = """
import sys
from speechsense_watch.edge.claims import RootClaims
claims = RootClaims()
print(repr(claims.hold("in", (int(sys.argv[1]), int(sys.argv[2])))), flush=True)
sys.stdin.read()
"""


def identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that works the folder."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    line = [sys.executable, "-c", _HOLDS, *map(str, identity(tmp_path))]
    holder = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "''\n"
    return holder


def test_the_second_daemon_is_told_who_was_first(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """Until that one ends, however it does."""
    claims = RootClaims()
    try:
        for _ in range(20):
            assert claims.hold("in", identity(tmp_path)) == f"process {other.pid} of user {os.geteuid()}"
        other.kill()
        other.communicate()
        assert claims.hold("in", identity(tmp_path)) == ""
    finally:
        claims.keep_only(())


def test_however_often_it_asks(tmp_path: Path) -> None:
    """As long as the first one looks at its folder now and then, as a daemon does."""
    mine, theirs = RootClaims(), RootClaims()
    for _ in range(200):
        assert mine.hold("in", identity(tmp_path)) == ""
        assert theirs.hold("in", identity(tmp_path)) == f"process {os.getpid()} of user {os.geteuid()}"
    mine.keep_only(())


def test_a_process_holds_its_own_by_any_name(tmp_path: Path) -> None:
    """A reload may rename the folder; other directories are others'."""
    (tmp_path / "b").mkdir()
    claims = RootClaims()
    assert [claims.hold(name, identity(tmp_path)) for name in ("in", "in", "renamed")] == ["", "", ""]
    assert claims.hold("b", identity(tmp_path / "b")) == ""
    claims.keep_only(())


def test_what_is_worked_no_more_is_free(tmp_path: Path) -> None:
    """For another daemon."""
    mine, theirs = RootClaims(), RootClaims()
    assert mine.hold("in", identity(tmp_path)) == ""
    assert theirs.hold("in", identity(tmp_path)).startswith("process")
    mine.keep_only(["another"])
    assert theirs.hold("in", identity(tmp_path)) == ""
    theirs.keep_only(())


def test_a_claim_opens_nothing_below_the_folder(tmp_path: Path) -> None:
    """So that its file system can be unmounted."""
    claims = RootClaims()
    claims.hold("in", identity(tmp_path))
    held = [each.resolve() for each in Path("/proc/self/fd").iterdir()]
    assert not [path for path in held if path.is_relative_to(tmp_path)]
    claims.keep_only(())
