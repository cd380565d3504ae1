"""What the daemon sees of a folder, and what it refuses to see."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import cast

import pytest

from speechsense_watch.core.known import Expected
from speechsense_watch.core.model import Stamp
from speechsense_watch.edge import folder, syscalls
from speechsense_watch.edge.folder import FOREIGN_LINK, FolderFiles
from speechsense_watch.ports import Entries, FileTrouble, FileTroubleKind
from support.manual_clock import ManualClock
from support.waiting import wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others and make devices")
NOBODY = 65534


@pytest.fixture(params=["openat2", "stepwise"], autouse=True)
def way_down(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every promise holds on kernels and in sandboxes without openat2 too."""
    if request.param == "stepwise":
        monkeypatch.setattr(syscalls, "have_openat2", lambda: False)
    elif not syscalls.have_openat2():
        pytest.skip("this kernel has no openat2")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "monitor"
    path.mkdir()
    return path


@pytest.fixture
def files(root: Path) -> FolderFiles:
    return FolderFiles(str(root), ManualClock())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside the folder that nobody may be led to."""
    path = tmp_path / "outside" / "secret.wav"
    path.parent.mkdir()
    path.write_bytes(b"secret")
    return path


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that other users can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


def kind_of(files: FolderFiles, path: str) -> FileTroubleKind:
    with pytest.raises(FileTrouble) as caught, files.open(path):
        pass
    return caught.value.kind


def names(files: FolderFiles, path: str = "") -> Entries:
    """All that there is, sorted."""
    found = list(files.entries(path))
    kinds = ("files", "directories", "linked")
    return Entries(*(tuple(sorted(name for some in found for name in getattr(some, kind))) for kind in kinds))


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_a_look_says_what_lstat_says_and_when(root: Path, files: FolderFiles) -> None:
    """A sighting carries inode, size and both times of the file, and the moment on the monotonic clock."""
    (root / "2026").mkdir()
    (root / "2026/call.wav").write_bytes(b"12345")
    found = (root / "2026/call.wav").lstat()
    seen = files.look("2026/call.wav")
    assert (seen.inode, seen.size, seen.mtime_ns, seen.ctime_ns) == (
        found.st_ino,
        5,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
    assert seen.at == ManualClock().monotonic()
    assert (seen.regular, seen.oddity) == (True, "")


def test_a_file_is_read_by_place_and_up_to_its_end(root: Path, files: FolderFiles) -> None:
    """Reads are short only at the end of the file, empty behind it."""
    (root / "call.wav").write_bytes(b"0123456789")
    with files.open("call.wav") as file:
        assert file.read_at(2, 3) == b"234"
        assert file.read_at(8, 100) == b"89"
        assert file.read_at(10, 1) == b""
        assert file.stamp == files.look("call.wav").stamp


def test_an_open_file_stays_the_one_that_was_opened(root: Path, files: FolderFiles) -> None:
    """When the name is given to another file, the descriptor still reads the first, and the stamps differ."""
    (root / "call.wav").write_bytes(b"first")
    with files.open("call.wav") as file:
        before = file.stamp
        (root / "new").write_bytes(b"second")
        (root / "new").replace(root / "call.wav")
        assert file.read_at(0, 100) == b"first"
        assert file.stamp == before
        assert files.look("call.wav").stamp != before


def test_growth_shows_in_the_open_files_stamp(root: Path, files: FolderFiles) -> None:
    """The stamp is asked of the file each time, not remembered."""
    (root / "call.wav").write_bytes(b"1")
    with files.open("call.wav") as file:
        with (root / "call.wav").open("ab") as writer:
            writer.write(b"2")
        assert file.stamp.size == 2


def test_a_closed_file_answers_no_more(root: Path, files: FolderFiles) -> None:
    """After its end an open file tells trouble, even where its descriptor's number is in use again."""
    (root / "call.wav").write_bytes(b"1")
    with files.open("call.wav") as file:
        pass
    with ExitStack() as others:
        for _ in range(10):
            others.enter_context((root / "call.wav").open("rb"))
        with pytest.raises(FileTrouble):
            file.read_at(0, 1)


@pytest.mark.parametrize(
    "name",
    ["two\nlines.wav", "\x1b[31mred.wav", os.fsdecode(b"caf\xe9.wav"), "звонок.wav", "\u202egpj.wav", " ", "-rf", "a" * 255],
    ids=ascii,
)
def test_any_name_that_a_file_system_allows_survives(root: Path, files: FolderFiles, name: str) -> None:
    """A name listed can be looked at and opened, whatever bytes it is made of."""
    (root / name).write_bytes(b"x")
    assert names(files) == Entries((name,))
    assert files.look(name).size == 1
    with files.open(name) as file:
        assert file.read_at(0, 9) == b"x"


def test_entries_come_in_batches_and_once_each(root: Path, files: FolderFiles) -> None:
    """No batch is larger than asked for, and together they are the directory."""
    for number in range(7):
        (root / f"{number}.wav").touch()
    batches = list(files.entries("", batch=3))
    assert [len(batch.files) for batch in batches] == [3, 3, 1]
    assert {name for batch in batches for name in batch.files} == {f"{n}.wav" for n in range(7)}


def test_only_real_directories_count_as_such(root: Path, files: FolderFiles, secret: Path) -> None:
    """A link to a directory is listed, but not as one to be entered; a link to a file or to nothing is but a name."""
    (root / "day").mkdir()
    (root / "way out").symlink_to(secret.parent)
    (root / "file").symlink_to(secret)
    (root / "loop").symlink_to("loop")
    assert names(files) == Entries(("file", "loop", "way out"), ("day",), ("way out",))
    assert files.leads_to("way out") == str(secret.parent.resolve())


def test_a_directorys_mtime_moves_when_a_name_is_added(root: Path, files: FolderFiles) -> None:
    """What lets a scan leave unchanged directories out is asked of the directory itself."""
    (root / "day").mkdir()
    os.utime(root / "day", ns=(5, 5))
    assert files.directory_mtime_ns("day") == 5
    (root / "day/call.wav").touch()
    assert files.directory_mtime_ns("day") > 5


def test_links_are_neither_regular_nor_opened(root: Path, files: FolderFiles, secret: Path) -> None:
    """A symbolic link is told as such and never followed, wherever it leads."""
    (root / "out.wav").symlink_to(secret)
    (root / "call.wav").write_bytes(b"own")
    (root / "in.wav").symlink_to("call.wav")
    (root / "dangling.wav").symlink_to("nothing")
    for name in ("out.wav", "in.wav", "dangling.wav"):
        assert (files.look(name).regular, files.look(name).oddity) == (False, "a symbolic link")
        assert kind_of(files, name) is FileTroubleKind.NOT_REGULAR


def test_a_link_in_place_of_a_directory_leads_nowhere(root: Path, files: FolderFiles, secret: Path) -> None:
    """Nothing below a linked directory can be looked at, opened or listed."""
    (root / "day").symlink_to(secret.parent)
    (root / "deep").mkdir()
    (root / "deep/day").symlink_to(secret.parent)
    (root / "inner").mkdir()
    (root / "inner/secret.wav").touch()
    (root / "inside").symlink_to("inner")
    for below in ("day", "deep/day", "inside"):
        assert kind_of(files, f"{below}/secret.wav") is FileTroubleKind.NOT_REGULAR
        for ask in (lambda b=below: files.look(f"{b}/secret.wav"), lambda b=below: names(files, b)):
            with pytest.raises(FileTrouble) as caught:
                ask()
            assert caught.value.kind is FileTroubleKind.NOT_REGULAR


@pytest.mark.parametrize("path", ["../outside/secret.wav", "day/../../outside/secret.wav", "/etc/passwd", "a//b", "./a", "day/"])
def test_paths_that_lead_out_are_refused(root: Path, files: FolderFiles, secret: Path, path: str) -> None:
    """A path is names below the root and nothing else."""
    (root / "day").mkdir()
    assert kind_of(files, path) is FileTroubleKind.NOT_REGULAR
    with pytest.raises(FileTrouble):
        files.look(path)
    with pytest.raises(FileTrouble):
        names(files, path)


@pytest.mark.parametrize("path", ["nul\0.wav", "\ud800.wav"], ids=["NUL", "lone surrogate"])
def test_names_that_no_file_can_have_are_gone(files: FolderFiles, path: str) -> None:
    """A path made up outside a file system is trouble, not a crash."""
    assert kind_of(files, path) is FileTroubleKind.GONE


def test_what_is_gone_is_told_as_gone(root: Path, files: FolderFiles) -> None:
    """A missing file, a missing directory and a file in a directory's place are all the same: not there."""
    (root / "call.wav").touch()
    for path in ("no.wav", "no/call.wav", "call.wav/x"):
        assert kind_of(files, path) is FileTroubleKind.GONE
        with pytest.raises(FileTrouble) as caught:
            files.look(path)
        assert caught.value.kind is FileTroubleKind.GONE


@pytest.mark.timeout(60)
def test_a_fifo_blocks_nobody_and_its_writer_goes_on_waiting(root: Path, files: FolderFiles) -> None:
    """A FIFO is told as such; not even its writer learns that we came by."""
    os.mkfifo(root / "call.wav")
    assert files.look("call.wav").oddity == "a FIFO (named pipe)"
    assert kind_of(files, "call.wav") is FileTroubleKind.NOT_REGULAR


def test_a_fifo_put_in_place_between_look_and_open_blocks_nobody(
    root: Path, files: FolderFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever swaps the file in the last moment gains nothing: the open descriptor is asked again."""
    (root / "call.wav").touch()
    look = os.stat

    def swapped(path: str, **how: object) -> os.stat_result:
        found = look(path, **how)  # type: ignore[arg-type]
        if path == "call.wav":
            (root / "call.wav").unlink()
            os.mkfifo(root / "call.wav")
        return found

    before = descriptors()
    monkeypatch.setattr(os, "stat", swapped)
    assert kind_of(files, "call.wav") is FileTroubleKind.NOT_REGULAR
    monkeypatch.undo()
    assert descriptors() <= before


def test_sockets_and_directories_are_not_recordings(root: Path, files: FolderFiles) -> None:
    """Only regular files are opened."""
    (root / "dir.wav").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{(folder := os.open(root, os.O_RDONLY))}/sock.wav")
        os.close(folder)
    for name, oddity in (("dir.wav", "a directory"), ("sock.wav", "a socket")):
        assert files.look(name).oddity == oddity
        assert kind_of(files, name) is FileTroubleKind.NOT_REGULAR


@needs_root
def test_devices_are_not_opened(root: Path, files: FolderFiles) -> None:
    """A device node of any name is told as such."""
    os.mknod(root / "null.wav", 0o20666, os.makedev(1, 3))
    assert files.look("null.wav").oddity == "a device"
    assert kind_of(files, "null.wav") is FileTroubleKind.NOT_REGULAR


def test_hard_links_of_the_folders_owner_are_taken(root: Path, files: FolderFiles) -> None:
    """Recorders that link finished calls into place are served."""
    (root / "call.tmp").write_bytes(b"x")
    os.link(root / "call.tmp", root / "call.wav")
    assert files.look("call.wav").regular
    with files.open("call.wav") as file:
        assert file.read_at(0, 1) == b"x"


@needs_root
def test_hard_links_to_other_peoples_files_are_refused(root: Path, files: FolderFiles, secret: Path) -> None:
    """A file that does not belong to the directory's owner and has a second name elsewhere was not his to give."""
    os.chown(root, NOBODY, -1)
    os.link(secret, root / "call.wav")
    assert (files.look("call.wav").regular, files.look("call.wav").oddity) == (False, FOREIGN_LINK)
    assert kind_of(files, "call.wav") is FileTroubleKind.NOT_REGULAR
    secret.unlink()
    assert files.look("call.wav").regular


def test_a_root_that_is_a_link_is_entered(root: Path, tmp_path: Path) -> None:
    """The path in the configuration may be a link; the identity is that of the directory behind it."""
    (tmp_path / "link").symlink_to(root)
    (root / "call.wav").write_bytes(b"x")
    files = FolderFiles(str(tmp_path / "link"), ManualClock())
    assert files.root().identity == (root.stat().st_dev, root.stat().st_ino)
    assert names(files) == Entries(("call.wav",))
    assert files.look("call.wav").size == 1


def test_the_root_names_its_file_system(files: FolderFiles) -> None:
    """statfs says what lies below the root; a test machine's disk is local."""
    root = files.root()
    assert root.trouble == ""
    assert root.file_system
    assert not root.remote


@pytest.mark.parametrize(
    ("magic", "name", "remote"),
    [
        (0x6969, "nfs", True),
        (0xFF534D42, "cifs", True),
        (0xFF534D42 - 2**32, "cifs", True),
        (0xFE534D42, "cifs", True),
        (0x65735546, "fuse", True),
        (0x01021997, "9p", True),
        (0x00C36400, "ceph", True),
        (0xEF53, "ext2/ext3/ext4", False),
        (0x58465342, "xfs", False),
        (0x794C7630, "overlayfs", False),
        (0x12345, "file system 0x12345", False),
    ],
)
def test_file_systems_that_others_write_to_are_remote(magic: int, name: str, *, remote: bool) -> None:
    """The magic number decides, also where a word is signed; an unknown one is taken for local."""
    assert syscalls.name_of_magic(magic) == (name, remote)


def test_a_missing_root_is_trouble_and_not_an_empty_folder(root: Path, files: FolderFiles) -> None:
    """Gone, replaced by a file: each has its sentence, no identity, and nothing below can be asked."""
    root.rmdir()
    assert files.root().identity is None
    assert "does not exist" in files.root().trouble
    with pytest.raises(FileTrouble) as caught:
        names(files)
    assert caught.value.kind is FileTroubleKind.GONE
    root.touch()
    assert files.root().identity is None
    assert "directory" in files.root().trouble


def test_a_root_made_anew_has_another_identity_or_content(root: Path, files: FolderFiles, tmp_path: Path) -> None:
    """A directory put in the root's place is seen at the next call: nothing is remembered."""
    before = files.root().identity
    root.rename(tmp_path / "old")
    root.mkdir()
    assert files.root().identity not in {None, before}


def test_the_root_itself_is_a_directory_to_look_at(files: FolderFiles) -> None:
    """'' is the root."""
    assert files.look("").oddity == "a directory"


def test_no_descriptor_outlives_its_call(root: Path, files: FolderFiles) -> None:
    """Unmounting stays possible: between calls nothing below the root is open."""
    (root / "day/deep").mkdir(parents=True)
    (root / "day/deep/call.wav").touch()
    before = descriptors()
    files.root(), files.look("day/deep/call.wav"), files.directory_mtime_ns("day/deep"), names(files, "day/deep")
    for path in ("day/deep/call.wav", "day/no/call.wav", "day"):
        try:
            with files.open(path):
                pass
        except FileTrouble:
            pass
    scan: Iterator[object] = files.entries("day", batch=1)
    next(scan)
    del scan
    assert descriptors() <= before


AS_NOBODY = """
    import os, sys
    from speechsense_watch.edge import folder, syscalls
    from speechsense_watch.edge.clock import SystemClock
    from speechsense_watch.edge.folder import FolderFiles
    from speechsense_watch.ports import FileTrouble

    root, way = sys.argv[1:]
    if os.geteuid() == 0:
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
    if way == "stepwise":
        syscalls.have_openat2 = lambda: False
    files = FolderFiles(root, SystemClock())

    def kind(ask):
        try:
            ask()
        except FileTrouble as trouble:
            return trouble.kind.value
        return "fine"

    def read():
        with files.open("call.wav") as file:
            file.read_at(0, 1)

    print(
        kind(read), kind(lambda: files.look("call.wav")), kind(lambda: list(files.entries("shut"))),
        kind(lambda: files.look("shut/call.wav")), FolderFiles(root + "/shut", SystemClock()).root(),
        FolderFiles(root + "/list only", SystemClock()).root(), sep="|",
    )
"""


@needs_root
@pytest.mark.parametrize("way", ["openat2", "stepwise"])
def test_what_may_not_be_read_is_unreadable_and_not_gone(way: str, open_to_all: Path) -> None:
    """Without permission a file can be looked at but not read, and a shut directory is an outage with advice.

    Root may read everything, so a child without any rights asks.
    """
    top = open_to_all
    (top / "call.wav").write_bytes(b"x")
    (top / "call.wav").chmod(0o600)
    (top / "shut").mkdir(mode=0o700)
    (top / "list only").mkdir(mode=0o744)
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(AS_NOBODY), str(top), way],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    read, look, list_shut, look_shut, *roots = answer.stdout.strip().split("|")
    assert (read, look, list_shut, look_shut) == ("unreadable", "fine", "unreadable", "unreadable")
    for shut in roots:
        assert "identity=None" in shut
        assert "may not list" in shut
    assert len(roots) == 2


def test_stamps_tell_contents_apart(root: Path, files: FolderFiles) -> None:
    """A sighting's stamp is the open file's stamp: both name inode, size and mtime."""
    (root / "call.wav").write_bytes(b"x")
    os.utime(root / "call.wav", ns=(1, 2))
    assert files.look("call.wav").stamp == Stamp((root / "call.wav").stat().st_ino, 1, 2)


@pytest.mark.parametrize(("year_ns", "expected"), [(10_413_792_000_000_000_000, 2**63 - 1), (-5_000_000_000, -5_000_000_000)])
def test_a_date_that_no_queue_can_hold_becomes_one_that_it_can(
    root: Path, files: FolderFiles, year_ns: int, expected: int
) -> None:
    """Whoever may write to the folder may give a file any date; the same by every way of looking, or it would seem changed."""
    (root / "call.wav").write_bytes(b"RIFF")
    os.utime(root / "call.wav", ns=(0, year_ns))
    if (root / "call.wav").stat().st_mtime_ns != year_ns:
        pytest.skip("this file system has no such date")
    seen = files.look("call.wav")
    with files.open("call.wav") as file:
        glanced = files.glances("", ["call.wav"])["call.wav"]
        assert {seen.mtime_ns, seen.stamp.mtime_ns, file.stamp.mtime_ns, glanced.stamp.mtime_ns} == {expected}


def test_a_link_that_cannot_be_followed_in_time_counts_as_one_that_leads_away(
    root: Path, files: FolderFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that hangs holds up one thread that is left behind, once, and no scan."""
    (root / "share").symlink_to(root)
    (root / "other").symlink_to(root)
    hangs, asked = threading.Event(), []

    def hang(_link: object) -> bool:
        asked.append(1)
        return hangs.wait(120)

    monkeypatch.setattr(folder, "_LINK_PATIENCE_S", 0.05)
    monkeypatch.setattr(folder, "_leads_to_directory", hang)
    try:
        for _ in range(2):
            (entries,) = files.entries("")
            assert len(entries.linked) == 2
        wait_for(lambda: asked, what="the thread has come to its question")
        assert len(asked) == 1
        assert files.leads_to("share") == f"{root}/share"
    finally:
        hangs.set()


def test_what_lies_in_one_directory_is_reached_as_ever(root: Path, files: FolderFiles, secret: Path) -> None:
    """And what lies elsewhere; what is no file of the folder is refused there as well."""
    (root / "day/deep").mkdir(parents=True)
    for path in ("day/call.wav", "day/deep/call.wav", "call.wav"):
        (root / path).write_bytes(path.encode())
    (root / "day/link").symlink_to(secret)
    os.mkfifo(root / "day/pipe")
    with files.within("day") as near:
        for path in ("day/call.wav", "day/deep/call.wav", "call.wav"):
            assert near.look(path).stamp == files.look(path).stamp
            with near.open(path) as file:
                assert file.read_at(0, 99) == path.encode()
        assert near.look("day/link").oddity == files.look("day/link").oddity
        for path in ("day/link", "day/pipe", "day/..", "day/none", "day/none/call.wav", "../secret", "day/a\0b"):
            assert kind_of(cast("FolderFiles", near), path) is kind_of(files, path)
        with pytest.raises(FileTrouble):
            near.look("day/..")
    (root / "way").symlink_to("day")
    with files.within("way") as near, pytest.raises(FileTrouble):
        near.look("way/call.wav")


def test_no_descriptor_of_a_directory_outlives_its_turn(root: Path, files: FolderFiles) -> None:
    """However it ends."""
    (root / "day").mkdir()
    (root / "day/call.wav").touch()
    before = descriptors()
    with suppress(ZeroDivisionError), files.within("day") as near:
        near.look("day/call.wav")
        assert len(descriptors()) == len(before) + 1
        raise ZeroDivisionError
    assert descriptors() <= before


def test_of_many_files_those_are_named_that_are_not_as_expected(root: Path, files: FolderFiles) -> None:
    """Of another size or time, gone, not regular, or not alone in its name."""
    (root / "day").mkdir()
    names = ["same", "longer", "touched", "linked"]
    for name in names:
        (root / "day" / name).write_bytes(b"12")
    expected: list[Expected] = [(name, 2, (root / "day" / name).stat().st_mtime_ns) for name in names]
    (root / "day/longer").write_bytes(b"123")
    os.utime(root / "day/longer", ns=(1, expected[1][2] or 0))
    os.utime(root / "day/touched", ns=(1, 1))
    os.link(root / "day/linked", root / "other name")
    (root / "day/way").symlink_to("same")
    way = os.lstat(root / "day/way")
    expected += [("gone", 2, 1), ("way", way.st_size, way.st_mtime_ns), ("never", None, None)]
    assert files.unlike("day", expected) == ["longer", "touched", "linked", "gone", "way", "never"]
    assert files.unlike("day", []) == []
    with pytest.raises(FileTrouble):
        files.unlike("none", expected)


def test_one_name_that_cannot_be_looked_at_hides_no_other(
    root: Path, files: FolderFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk with one bad block, a share with one stale handle."""
    for name in ("bad", "good"):
        (root / name).write_bytes(b"x")
    real = os.stat

    def stat(path: str, **options: bool) -> os.stat_result:
        if path == "bad":
            raise OSError(errno.EIO, "Input/output error")
        return real(path, **options)

    expected = files.glances("", ["good"])["good"]
    monkeypatch.setattr(os, "stat", stat)
    found = files.glances("", ["bad", "good", "none"])
    monkeypatch.undo()
    assert found["good"] == expected
    assert found["bad"].stamp != expected.stamp
    assert "none" not in found
