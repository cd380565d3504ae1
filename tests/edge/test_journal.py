"""edge.journal: the second record of what was sent, beside a queue that may be lost."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from speechsense_watch.edge.journal import FolderLine, Journal, TalkLine

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ISO = "2026-03-01T09:00:00+00:00"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db.journal"


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal(path)


def test_what_was_written_is_read_in_order(journal: Journal, path: Path) -> None:
    """One line each, in plain ASCII, whatever bytes a path is made of."""
    journal.talk("u1", "t1", AT)
    journal.folder("Звонки", "/in/\udcff\n\u2028", AT)
    journal.talk("u2", "t2", AT)
    expected = [TalkLine("u1", "t1", ISO), FolderLine("Звонки", "/in/\udcff\n\u2028", ISO), TalkLine("u2", "t2", ISO)]
    assert list(journal.lines()) == expected == list(Journal(path).lines())
    assert path.read_bytes().isascii()
    assert path.read_bytes().count(b"\n") == 3


def test_a_journal_that_is_not_there_is_empty(journal: Journal, path: Path) -> None:
    """Asking for it makes none, and so does taking something out of it."""
    assert list(journal.lines()) == []
    assert journal.fill((), ()) == 0
    journal.without(frozenset({"u1"}))
    assert not path.exists()


@pytest.mark.parametrize("kept", range(0, 60, 7))
def test_a_torn_last_line_is_passed_over_and_the_next_is_whole(journal: Journal, path: Path, kept: int) -> None:
    """A crash may leave any part of it; what comes after begins on a line of its own."""
    journal.talk("u1", "t1", AT)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    assert list(journal.lines()) == [TalkLine("u1", "t1", ISO)]
    journal.talk("u2", "t2", AT)
    assert list(journal.lines()) == [TalkLine("u1", "t1", ISO), TalkLine("u2", "t2", ISO)]


def test_a_line_that_lacks_only_its_end_counts(journal: Journal, path: Path) -> None:
    """It says all there is to say, and is not torn apart by the next."""
    journal.talk("u1", "t1", AT)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    journal.talk("u2", "t2", AT)
    assert [line.uid for line in journal.lines() if isinstance(line, TalkLine)] == ["u1", "u2"]


@pytest.mark.parametrize(
    "rubbish", [b"\n", b"[]\n", b"null\n", b'"uid"\n', b"{}\n", b"\xff\xfe\n", b'{"uid"\n', b'{"other": 1}\n']
)
def test_lines_that_say_nothing_are_passed_over(journal: Journal, path: Path, rubbish: bytes) -> None:
    """Wherever they stand."""
    journal.talk("u1", "t1", AT)
    path.write_bytes(rubbish + path.read_bytes() + rubbish)
    assert list(journal.lines()) == [TalkLine("u1", "t1", ISO)]
    journal.without(frozenset({"u2"}))
    assert list(journal.lines()) == [TalkLine("u1", "t1", ISO)]


def test_fill_adds_exactly_what_is_lacking(journal: Journal, path: Path) -> None:
    """And says how much that was; a second time there is nothing to add and nothing is written."""
    journal.talk("u1", "t1", AT)
    journal.folder("calls", "/in", AT)
    talks = [("u1", "t1", AT), ("u2", "t2", AT), ("u1", "other", AT)]
    folders = [("calls", "/in", AT), ("calls", "/elsewhere", AT)]
    assert journal.fill(talks, folders) == 3
    lines = list(journal.lines())
    assert lines[2:] == [TalkLine("u2", "t2", ISO), TalkLine("u1", "other", ISO), FolderLine("calls", "/elsewhere", ISO)]
    before = path.stat()
    assert journal.fill(talks, folders) == 0
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


def test_without_takes_out_the_lines_of_these_recordings_alone(journal: Journal, path: Path) -> None:
    """All of their lines; the rest stays byte for byte, in its order."""
    for uid, talk in (("u1", "t1"), ("u2", "t2"), ("u1", "t3")):
        journal.talk(uid, talk, AT)
    journal.folder("calls", "/in", AT)
    kept = [path.read_bytes().splitlines(keepends=True)[number] for number in (1, 3)]
    journal.without(frozenset({"u1", "u9"}))
    assert path.read_bytes() == b"".join(kept)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    journal.talk("u4", "t4", AT)
    assert len(list(journal.lines())) == 3


def test_the_old_journal_is_there_until_the_new_one_is_whole(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On disk, and then renamed: a crash at any moment leaves one of the two."""
    journal.talk("u1", "t1", AT)
    old = path.read_bytes()
    synced: list[bytes] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(path.read_bytes())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    journal.without(frozenset({"u1"}))
    # First the new file while the old one is in place, then the directory that holds the new name.
    assert synced == [old, b""]


def test_what_a_crash_left_of_a_new_journal_does_no_harm(journal: Journal, path: Path) -> None:
    """It is begun anew."""
    journal.talk("u1", "t1", AT)
    path.with_name(path.name + ".new").write_bytes(b"x" * 10_000)
    journal.without(frozenset())
    assert list(journal.lines()) == [TalkLine("u1", "t1", ISO)]


def test_every_line_is_on_disk_before_it_counts(journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file itself each time, and once the directory it was made in."""
    synced: list[bool] = []

    def fsync(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        assert path.read_bytes().endswith(b"\n")

    monkeypatch.setattr(os, "fsync", fsync)
    journal.talk("u1", "t1", AT)
    assert synced == [False, True]
    journal.folder("calls", "/in", AT)
    assert synced == [False, True, False]


def test_many_lines_are_one_write_and_one_wait_for_the_disk(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that appends meanwhile cannot come between them, and a list of talks costs no wait for each."""
    written: list[int] = []
    synced: list[bool] = []
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        written.append(len(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    journal.talks([(f"u{number}", "t" * 100, AT) for number in range(1000)])
    assert written == [path.stat().st_size]
    assert synced == [False, True]
    assert len(list(journal.lines())) == 1000
    journal.talks([])
    assert len(synced) == 2


_APPENDS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from speechsense_watch.edge.journal import Journal
journal = Journal(Path(sys.argv[1]))
for group in range(60):
    journal.talks([(f"{sys.argv[2]}-{group}-{n}", "t" * 300, datetime.now(UTC)) for n in range(1 + group)])
"""


def test_no_line_is_lost_between_processes(journal: Journal, path: Path) -> None:
    """`adopt` and `upload` write beside the daemon, which meanwhile makes the file anew to take out what is forgotten."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    line = [sys.executable, "-c", _APPENDS, str(path)]
    writers = [subprocess.Popen([*line, name], env=environ) for name in ("a", "b")]
    count = 0
    while any(writer.poll() is None for writer in writers):
        journal.talks([(f"c-{count}", "t", AT), (f"gone-{count}", "t", AT)])
        journal.without(frozenset({f"gone-{count}"}))
        count += 1
    assert [writer.returncode for writer in writers] == [0, 0]
    expected = {f"{name}-{group}-{n}" for name in ("a", "b") for group in range(60) for n in range(1 + group)}
    found = [each.uid for each in journal.lines() if isinstance(each, TalkLine)]
    assert sorted(found) == sorted(expected | {f"c-{number}" for number in range(count)})
    assert all(isinstance(json.loads(each), dict) for each in path.read_text().splitlines())


def test_a_line_goes_to_the_file_that_others_will_read(journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to one that was put aside between its opening and its locking."""
    journal.talk("u1", "t1", AT)
    real = fcntl.flock
    asides = iter((path.with_name("aside"),))

    def flock(descriptor: int, how: int) -> None:
        if aside := next(asides, None):
            path.rename(aside)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    journal.talk("u2", "t2", AT)
    assert list(journal.lines()) == [TalkLine("u2", "t2", ISO)]


def test_the_journal_is_its_owners_alone(journal: Journal, path: Path) -> None:
    """From its first moment, whatever the umask, and after lines were taken out."""
    before = os.umask(0)
    try:
        journal.talk("u1", "t1", AT)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        journal.without(frozenset({"u1"}))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """The queue turns that into a trouble of its own."""
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path / "none" / "queue.db.journal").talk("u1", "t1", AT)
    (tmp_path / "in the way").mkdir()
    with pytest.raises(IsADirectoryError):
        list(Journal(tmp_path / "in the way").lines())


def test_a_journal_that_finds_no_room_to_be_rewritten_stays_and_takes_none(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What uploads need is not left to half a copy of it."""
    journal.talks([("u1", "t1", AT), ("u2", "t2", AT)])

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.without(frozenset({"u1"}), overwrite=True)
    monkeypatch.undo()
    assert [line.talk_id for line in journal.lines() if isinstance(line, TalkLine)] == ["t1", "t2"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]
