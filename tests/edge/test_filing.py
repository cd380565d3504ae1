"""What happens to the user's files after an upload, whatever interrupts it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from speechsense_watch.core.model import Stamp
from speechsense_watch.edge.filing import FileFiling, FilingCalls
from speechsense_watch.ports import Filed, FilesChanged, FilingTrouble

CONTENT = bytes(range(256)) * 9000  # more than two pieces of the copying loop


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "monitor"
    (path / "day").mkdir(parents=True)
    return path


@pytest.fixture
def call(root: Path) -> Path:
    path = root / "day" / "call.wav"
    path.write_bytes(CONTENT)
    path.chmod(0o640)
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    with tempfile.TemporaryDirectory(dir=shm) as path:
        yield Path(path)


@pytest.fixture(params=["same", "other"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive on the same and on another file system."""
    base: Path = tmp_path if request.param == "same" else request.getfixturevalue("elsewhere")
    return base / "archive"


def stamp_of(path: Path) -> Stamp:
    found = path.lstat()
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def files_below(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*") if not found.is_dir()}


def no_rename(*_: object) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def test_an_archived_file_is_the_same_file_elsewhere(root: Path, call: Path, archive: Path) -> None:
    """Bytes, mtime and mode are kept, the folder no longer has it, and nothing else lies in the archive."""
    expected = stamp_of(call)
    target = archive / "day" / "call.wav"
    assert FileFiling().archive(str(root), "day/call.wav", str(target), expected) == Filed()
    assert not call.exists()
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mtime_ns == expected.mtime_ns
    assert target.stat().st_mode & 0o777 == 0o640
    assert files_below(archive) == {"day/call.wav"}


def test_new_directories_of_the_archive_are_for_owner_and_group(root: Path, call: Path, archive: Path) -> None:
    """They are made with their parents, 0750 whatever the umask says; those that exist are left as they are."""
    archive.mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        result = FileFiling().archive(str(root), "day/call.wav", str(archive / "a/b/call.wav"), stamp_of(call))
    finally:
        os.umask(before)
    assert result == Filed()
    assert [(archive / name).stat().st_mode & 0o777 for name in ("", "a", "a/b")] == [0o700, 0o750, 0o750]


@pytest.mark.parametrize("name", ["two\nlines.wav", os.fsdecode(b"caf\xe9.wav"), "ж" * 125 + ".wav", "-f"], ids=ascii)
def test_any_name_can_be_archived(root: Path, archive: Path, name: str) -> None:
    """Names of any bytes and of the full length go through, to another file system too."""
    (root / name).write_bytes(b"x")
    assert FileFiling().archive(str(root), name, str(archive / name), stamp_of(root / name)) == Filed()
    assert [path.name for path in archive.iterdir()] == [name]


@pytest.mark.parametrize("content", [b"somebody else's", CONTENT[:-1] + b"!"], ids=["size differs", "one byte differs"])
def test_nothing_is_ever_overwritten(root: Path, call: Path, archive: Path, content: bytes) -> None:
    """A target that holds another file, even of the same size, is trouble, and both files stay."""
    target = archive / "call.wav"
    archive.mkdir()
    target.write_bytes(content)
    result = FileFiling().archive(str(root), "day/call.wav", str(target), stamp_of(call))
    assert isinstance(result, FilingTrouble)
    assert "never overwritten" in result.message
    assert (target.read_bytes(), call.read_bytes()) == (content, CONTENT)


def test_a_name_taken_in_the_last_moment_is_not_overwritten(root: Path, call: Path, archive: Path) -> None:
    """The move itself refuses to replace: the look before it is not what protects the other file."""
    target = archive / "call.wav"

    def late(directory: int, name: str, to_directory: int, to_name: str) -> None:
        target.write_bytes(b"late")
        FilingCalls().rename(directory, name, to_directory, to_name)

    result = FileFiling(FilingCalls(rename=late)).archive(str(root), "day/call.wav", str(target), stamp_of(call))
    assert isinstance(result, FilingTrouble)
    assert (target.read_bytes(), call.read_bytes()) == (b"late", CONTENT)
    assert files_below(archive) == {"call.wav"}


def test_a_link_in_the_archive_is_not_written_through(root: Path, call: Path, archive: Path, tmp_path: Path) -> None:
    """A broken link of the target's name counts as taken."""
    archive.mkdir()
    (archive / "call.wav").symlink_to(tmp_path / "through.wav")
    assert FileFiling().taken(str(archive / "call.wav"))
    result = FileFiling().archive(str(root), "day/call.wav", str(archive / "call.wav"), stamp_of(call))
    assert isinstance(result, FilingTrouble)
    assert not (tmp_path / "through.wav").exists()
    assert call.exists()


def longer(call: Path) -> None:
    call.write_bytes(CONTENT + b"more")


def touched(call: Path) -> None:
    os.utime(call, ns=(1, 1))


def replaced(call: Path) -> None:
    found = call.stat()
    call.with_suffix(".new").write_bytes(CONTENT)
    call.with_suffix(".new").replace(call)
    os.utime(call, ns=(found.st_mtime_ns, found.st_mtime_ns))


def linked(call: Path) -> None:
    call.rename(call.with_suffix(".kept"))
    call.symlink_to(call.with_suffix(".kept"))


def removed(call: Path) -> None:
    call.unlink()


def moved_with_its_directory(call: Path) -> None:
    call.parent.rename(call.parent.parent.parent / "gone")


def behind_a_link(call: Path) -> None:
    moved_with_its_directory(call)
    call.parent.symlink_to(call.parent.parent.parent / "gone")


CHANGES = [longer, touched, replaced, linked, removed, moved_with_its_directory, behind_a_link]


@pytest.mark.parametrize("change", CHANGES)
def test_only_the_file_that_was_uploaded_is_moved(root: Path, call: Path, archive: Path, change: Callable[[Path], None]) -> None:
    """Another size, mtime or inode, a link, nothing at all: told as changed, and the archive stays empty."""
    expected = stamp_of(call)
    change(call)
    result = FileFiling().archive(str(root), "day/call.wav", str(archive / "call.wav"), expected)
    assert isinstance(result, FilesChanged)
    assert not archive.exists() or not files_below(archive)


@pytest.mark.parametrize("change", [longer, touched, replaced, linked])
def test_only_the_file_that_was_uploaded_is_deleted(root: Path, call: Path, change: Callable[[Path], None]) -> None:
    """What changed after the upload is somebody's new work and stays."""
    expected = stamp_of(call)
    change(call)
    assert isinstance(FileFiling().delete(str(root), "day/call.wav", expected), FilesChanged)
    assert os.path.lexists(call)


@pytest.mark.parametrize("calls", [FilingCalls(), FilingCalls(rename=no_rename)], ids=["rename", "link"])
def test_a_file_swapped_in_the_last_moment_goes_back(root: Path, call: Path, tmp_path: Path, calls: FilingCalls) -> None:
    """When the recorder puts a new file there between our look and our move, it is in its place again afterwards."""
    expected = stamp_of(call)

    def swap(move: Callable[[int, str, int, str], None]) -> Callable[[int, str, int, str], None]:
        swapped: list[bool] = []

        def late(directory: int, name: str, to_directory: int, to_name: str) -> None:
            if not swapped:
                swapped.append(True)
                call.unlink()
                call.write_bytes(b"a new call")
            move(directory, name, to_directory, to_name)

        return late

    calls = replace(calls, rename=swap(calls.rename))
    result = FileFiling(calls).archive(str(root), "day/call.wav", str(tmp_path / "archive/call.wav"), expected)
    assert isinstance(result, FilesChanged)
    assert call.read_bytes() == b"a new call"
    assert not files_below(tmp_path / "archive")


@pytest.mark.parametrize("how", ["delete", "archive"])
def test_a_file_that_comes_in_the_last_moment_before_the_removal_stays(
    request: pytest.FixtureRequest, root: Path, call: Path, how: str
) -> None:
    """Whether the uploaded one is deleted, or archived to another file system: a new call at its place is no file of ours."""
    expected, new = stamp_of(call), root / "new.tmp"
    real = FilingCalls()

    def rename(directory: int, name: str, to_directory: int, to_name: str) -> None:
        """As `unlink`, the step that takes the name away."""
        if name == "call.wav" and to_directory == directory:
            replaced_now()
        real.rename(directory, name, to_directory, to_name)

    def unlink(name: str, directory: int) -> None:
        if name == "call.wav":
            replaced_now()
        real.unlink(name, directory)

    def replaced_now() -> None:
        new.write_bytes(b"a new call")
        new.replace(call)

    filing = FileFiling(FilingCalls(rename=rename, unlink=unlink))
    if how == "delete":
        result = filing.delete(str(root), "day/call.wav", expected)
    else:
        elsewhere: Path = request.getfixturevalue("elsewhere")
        result = filing.archive(str(root), "day/call.wav", str(elsewhere / "call.wav"), expected)
        assert (elsewhere / "call.wav").read_bytes() == CONTENT
    assert isinstance(result, FilesChanged)
    assert files_below(root) == {"day/call.wav"}
    assert call.read_bytes() == b"a new call"


@pytest.mark.parametrize("came", [False, True])
@pytest.mark.parametrize("mine", [False, True])
def test_what_was_aside_when_a_removal_was_cut_off_is_seen_to_by_the_next(
    root: Path, call: Path, *, mine: bool, came: bool
) -> None:
    """The uploaded file goes; a new one that was taken with its name goes back, and is never removed for another that `came`."""
    expected = stamp_of(call)
    if not mine:
        replaced(call)
    new = stamp_of(call)

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # a look at what is aside would come next
        FileFiling(FilingCalls(rename=_then(cut_off))).delete(str(root), "day/call.wav", expected if mine else new)
    assert not call.exists()
    if came:
        call.write_bytes(b"came later")
    result = FileFiling().delete(str(root), "day/call.wav", expected)
    if mine and not came:
        assert (result, files_below(root)) == (Filed(), set())
    elif mine:
        assert isinstance(result, FilesChanged)
        assert (files_below(root), call.read_bytes()) == ({"day/call.wav"}, b"came later")
    elif not came:
        assert isinstance(result, FilesChanged)
        assert (files_below(root), stamp_of(call)) == ({"day/call.wav"}, new)
    else:
        assert isinstance(result, FilingTrouble)
        assert "move the first one away" in result.message
        call.unlink()
        assert isinstance(FileFiling().delete(str(root), "day/call.wav", expected), FilesChanged)
        assert stamp_of(call) == new


def _then(what: Callable[[], None]) -> Callable[[int, str, int, str], None]:
    def renamed(directory: int, name: str, to_directory: int, to_name: str) -> None:
        FilingCalls().rename(directory, name, to_directory, to_name)
        what()

    return renamed


def test_a_file_that_cannot_be_removed_is_in_its_place_again(root: Path, call: Path) -> None:
    """The disk fails between the two steps."""

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    assert isinstance(FileFiling(FilingCalls(unlink=fails)).delete(str(root), "day/call.wav", stamp_of(call)), FilingTrouble)
    assert files_below(root) == {"day/call.wav"}


def test_file_systems_without_that_rename_are_served_by_links(root: Path, call: Path, archive: Path) -> None:
    """Network shares refuse RENAME_NOREPLACE: a hard link refuses to replace as well."""
    filing = FileFiling(FilingCalls(rename=no_rename))
    assert filing.archive(str(root), "day/call.wav", str(archive / "call.wav"), stamp_of(call)) == Filed()
    assert not call.exists()
    assert files_below(archive) == {"call.wav"}
    assert (archive / "call.wav").read_bytes() == CONTENT


@pytest.mark.parametrize("existed", [True, False])
def test_deleting_ends_with_no_file(root: Path, call: Path, *, existed: bool) -> None:
    """Filed, whether this call or one before it removed the file; its neighbours stay."""
    expected = stamp_of(call)
    call.with_suffix(".json").touch()
    if not existed:
        call.unlink()
    assert FileFiling().delete(str(root), "day/call.wav", expected) == Filed()
    assert files_below(root) == {"day/call.json"}


def test_a_root_that_is_not_there_is_an_outage(root: Path, call: Path, tmp_path: Path) -> None:
    """An unmounted folder must not count as files that were removed, or deleted."""
    expected = stamp_of(call)
    root.rename(tmp_path / "unmounted")
    assert isinstance(FileFiling().delete(str(root), "day/call.wav", expected), FilingTrouble)
    result = FileFiling().archive(str(root), "day/call.wav", str(tmp_path / "archive/call.wav"), expected)
    assert isinstance(result, FilingTrouble)
    assert "mounted" in result.message


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.EACCES, "ReadWritePaths="), (errno.EROFS, "ReadWritePaths="), (errno.ENOSPC, "make room"), (errno.EIO, "disk")],
)
def test_trouble_says_what_to_do_and_leaves_the_file(root: Path, call: Path, tmp_path: Path, number: int, advice: str) -> None:
    """Each refusal of the system has its sentence, without names of files in it."""

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    target = tmp_path / "archive/call.wav"
    result = FileFiling(FilingCalls(rename=fails)).archive(str(root), "day/call.wav", str(target), stamp_of(call))
    assert isinstance(result, FilingTrouble)
    assert advice in result.message
    assert "call.wav" not in result.message
    assert call.read_bytes() == CONTENT
    result = FileFiling(FilingCalls(unlink=fails)).delete(str(root), "day/call.wav", stamp_of(call))
    assert isinstance(result, FilingTrouble)
    assert "deleting" in result.message


def test_a_full_disk_leaves_no_half_copy(root: Path, call: Path, elsewhere: Path) -> None:
    """When the copy cannot be brought to disk, it is removed and the original stays."""

    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size == len(CONTENT):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    result = FileFiling(FilingCalls(sync=full)).archive(str(root), "day/call.wav", str(elsewhere / "call.wav"), stamp_of(call))
    assert isinstance(result, FilingTrouble)
    assert call.read_bytes() == CONTENT
    assert files_below(elsewhere) == set()


def test_a_file_that_grows_while_it_is_copied_is_left_alone(root: Path, call: Path, elsewhere: Path) -> None:
    """What was copied is compared with the file after the last byte: the copy is dropped."""
    expected = stamp_of(call)

    def grows(directory: int, name: str, to_directory: int, to_name: str) -> None:
        with call.open("ab") as writer:
            writer.write(b"more")
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    result = FileFiling(FilingCalls(rename=grows)).archive(str(root), "day/call.wav", str(elsewhere / "call.wav"), expected)
    assert isinstance(result, FilesChanged)
    assert call.exists()
    assert files_below(elsewhere) == set()


def test_a_file_that_changes_after_it_was_copied_is_not_removed(root: Path, call: Path, elsewhere: Path) -> None:
    """Between the copy and the removal the original is looked at once more: what was written to it since stays."""
    expected = stamp_of(call)

    def late(descriptor: int) -> None:
        if (elsewhere / "call.wav").exists():
            call.write_bytes(b"rewritten")

    result = FileFiling(FilingCalls(sync=late)).archive(str(root), "day/call.wav", str(elsewhere / "call.wav"), expected)
    assert isinstance(result, FilesChanged)
    assert call.read_bytes() == b"rewritten"
    assert (elsewhere / "call.wav").read_bytes() == CONTENT


def test_a_file_of_another_size_is_no_proof_of_an_earlier_move(root: Path, call: Path, archive: Path) -> None:
    """With the source gone, the target counts as the moved file only when its size is right."""
    expected = stamp_of(call)
    archive.mkdir()
    (archive / "call.wav").write_bytes(b"another")
    call.unlink()
    result = FileFiling().archive(str(root), "day/call.wav", str(archive / "call.wav"), expected)
    assert isinstance(result, FilesChanged)
    (archive / "call.wav").write_bytes(CONTENT)
    assert FileFiling().archive(str(root), "day/call.wav", str(archive / "call.wav"), expected) == Filed()
    call.parent.rmdir()
    assert FileFiling().archive(str(root), "day/call.wav", str(archive / "call.wav"), expected) == Filed()


def test_directories_that_cannot_be_flushed_need_not_be(root: Path, call: Path, archive: Path) -> None:
    """Some network file systems refuse fsync of a directory: that is no reason to keep the file."""

    def flush(descriptor: int) -> None:
        if os.fstat(descriptor).st_mode & 0o040000:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    filing = FileFiling(FilingCalls(sync=flush))
    assert filing.archive(str(root), "day/call.wav", str(archive / "call.wav"), stamp_of(call)) == Filed()


CUT_OFF = """
    import os, sys
    from speechsense_watch.core.model import Stamp
    from speechsense_watch.edge.filing import FileFiling, FilingCalls

    root, target, at, when, links, *stamp = sys.argv[1:]
    left = int(at)

    def deadly(call):
        def wrapped(*arguments):
            global left
            left -= 1
            if left == 0 and when == "before":
                os._exit(9)
            call(*arguments)
            if left == 0:
                os._exit(9)
        return wrapped

    def no_rename(*_):
        raise OSError(22, "no such rename")

    own = FilingCalls()
    calls = FilingCalls(
        rename=no_rename if links == "links" else deadly(own.rename),
        link=deadly(own.link), unlink=deadly(own.unlink), sync=deadly(own.sync),
    )
    if target:
        FileFiling(calls).archive(root, "day/call.wav", target, Stamp(*map(int, stamp)))
    else:
        FileFiling(calls).delete(root, "day/call.wav", Stamp(*map(int, stamp)))
"""


@pytest.mark.parametrize("links", ["links", "rename"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_cut_off_anywhere_is_finished_by_the_next(root: Path, call: Path, archive: Path, when: str, links: str) -> None:
    """However often the process dies, before or after any step, the file is whole in at least one of both places, and
    one undisturbed call ends with it in the archive alone and no part files.
    """
    expected = stamp_of(call)
    target = archive / "new" / "call.wav"
    died = 0
    for step in range(1, 30):
        child = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CUT_OFF), str(root), str(target), str(step), when, links]
            + [str(number) for number in (expected.inode, expected.size, expected.mtime_ns)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            check=False,
        )
        whole = [path for path in (call, target) if path.exists() and path.read_bytes() == CONTENT]
        assert whole, f"lost at step {step}"
        assert not target.exists() or target in whole, f"half a file has the target's name at step {step}"
        if child.returncode == 0:
            break
        assert child.returncode == 9
        died += 1
    assert died >= 1
    assert FileFiling().archive(str(root), "day/call.wav", str(target), expected) == Filed()
    assert files_below(archive) == {"new/call.wav"}
    assert target.read_bytes() == CONTENT
    assert files_below(root) == set()


@pytest.mark.parametrize("links", ["links", "rename"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_removal_cut_off_anywhere_is_finished_by_the_next(root: Path, call: Path, when: str, links: str) -> None:
    """Nothing is left of the file, under no name."""
    expected = stamp_of(call)
    for step in range(1, 5):
        if not files_below(root):
            call.write_bytes(CONTENT)
            os.utime(call, ns=(expected.mtime_ns, expected.mtime_ns))
            expected = stamp_of(call)
        child = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CUT_OFF), str(root), "", str(step), when, links]
            + [str(number) for number in (expected.inode, expected.size, expected.mtime_ns)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            check=False,
        )
        assert child.returncode in (0, 9)
        assert FileFiling().delete(str(root), "day/call.wav", expected) == Filed()
        assert files_below(root) == set()
