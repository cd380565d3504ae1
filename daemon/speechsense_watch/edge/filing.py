"""Archiving and deleting files that were uploaded: the only code that changes the user's folders.

Nothing is ever overwritten, and nothing but the very file that was uploaded is moved or removed. Each call may be
cut off anywhere and made again: what it finds tells it how far it had come.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from speechsense_watch.core.known import still_the_same
from speechsense_watch.core.model import Stamp
from speechsense_watch.edge import syscalls
from speechsense_watch.ports import Filed, FilesChanged, FilingResult, FilingTrouble

_PIECE_BYTES = 1 << 20
_DIRECTORY_MODE = 0o750
# NAME_MAX of every usual file system is 255 bytes.
_NAME_MAX_BYTES = 255
_PART_MARK = b".speechsense-watch-part"
# The file system does not know a rename that refuses to replace: nfs, some fuse.
_NO_SUCH_RENAME = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
# Some file systems cannot flush a directory, and then need not.
_NO_SUCH_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

# ELOOP: a link was put in the directory's place.
_NO_SUCH_DIRECTORY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

_GONE = FilesChanged("it was moved or removed by somebody else after the upload")
_CHANGED = FilesChanged("it is not the file that was uploaded any more, so it was left alone")
_TAKEN = FilingTrouble("the archive holds another file of this name, which is never overwritten: move that one away")


def _unlink(name: str, directory: int) -> None:
    os.unlink(name, dir_fd=directory)


def _link(source_directory: int, source: str, target_directory: int, target: str) -> None:
    os.link(source, target, src_dir_fd=source_directory, dst_dir_fd=target_directory, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class FilingCalls:
    """The calls whose order keeps files safe, so that a test can end the process between any two of them."""

    rename: Callable[[int, str, int, str], None] = syscalls.rename_without_replacing
    link: Callable[[int, str, int, str], None] = _link
    unlink: Callable[[str, int], None] = _unlink
    sync: Callable[[int], None] = os.fsync


class FileFiling:
    """Keeps `ports.Filing`."""

    def __init__(self, calls: FilingCalls | None = None) -> None:
        self._calls = calls or FilingCalls()

    def archive(self, source_root: str, relative_path: str, target: str, expected: Stamp, sha256: str = "") -> FilingResult:
        """The file lies at `target` (absolute) and no longer in the folder, both on disk.

        Also Filed when the file is gone and `target` has its size: an earlier call came that far.
        """
        try:
            with _source(source_root, relative_path) as (directory, name):
                _put_back(self._calls, directory, name, expected, sha256)
                found = _look(name, directory)
                if found is None:
                    return self._already_archived(directory, Path(target), expected)
                if (known := _known_again(found, expected, sha256, directory, name)) is None:
                    return _CHANGED
                with self._target_directory(Path(target).parent) as to_directory:
                    return _Move(self._calls, directory, name, to_directory, Path(target).name, known).run()
        except OSError as error:
            return _trouble("moving it to the archive", error)

    def taken(self, target: str) -> bool:
        """Whether anything has this absolute path, be it a broken link."""
        return os.path.lexists(target)

    def delete(self, source_root: str, relative_path: str, expected: Stamp, sha256: str = "") -> FilingResult:
        """The file is gone from the folder; Filed too when it was gone before."""
        try:
            with _source(source_root, relative_path) as (directory, name):
                _put_back(self._calls, directory, name, expected, sha256)
                found = _look(name, directory)
                if found is None:
                    return Filed()
                if (known := _known_again(found, expected, sha256, directory, name)) is None:
                    return _CHANGED
                return _remove(self._calls, directory, name, known)
        except OSError as error:
            return _trouble("deleting it", error)

    def _already_archived(self, directory: int, target: Path, expected: Stamp) -> FilingResult:
        try:
            found = target.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return _GONE
        if not stat.S_ISREG(found.st_mode) or found.st_size != expected.size:
            return _GONE
        with self._target_directory(target.parent) as to_directory:
            _sync_directory(self._calls, to_directory)
        if directory >= 0:
            _sync_directory(self._calls, directory)
        return Filed()

    @contextmanager
    def _target_directory(self, path: Path) -> Iterator[int]:
        self._make_directories(path)
        with syscalls.opened(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as descriptor:
            yield descriptor

    def _make_directories(self, path: Path) -> None:
        """Each new one is flushed into its parent: after a power cut there is a way to the file."""
        if path.is_dir():
            return
        self._make_directories(path.parent)
        with suppress(FileExistsError):
            path.mkdir(_DIRECTORY_MODE)
            with syscalls.opened(os.open(path, syscalls.READ_DIRECTORY)) as made:
                os.fchmod(made, _DIRECTORY_MODE)  # the service's umask is narrower than what an archive is for
        with syscalls.opened(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as parent:
            _sync_directory(self._calls, parent)


@dataclass(frozen=True, slots=True)
class _Move:
    """One file on its way from `directory`/`name` to `to_directory`/`to_name`, both open directories."""

    calls: FilingCalls
    directory: int
    name: str
    to_directory: int
    to_name: str
    expected: Stamp

    def run(self) -> FilingResult:
        there = _look(self.to_name, self.to_directory)
        if there is not None:
            return self._finish_earlier(there)
        try:
            return self._within_file_system()
        except FileExistsError:
            return _TAKEN
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        return self._to_other_file_system()

    def _finish_earlier(self, there: os.stat_result) -> FilingResult:
        """A call was cut off between the arrival of the file and the removal of its source, or the name is taken."""
        if not stat.S_ISREG(there.st_mode) or there.st_size != self.expected.size or not self._same_bytes(there):
            return _TAKEN
        self._drop_part()
        return self._drop_source()

    def _same_bytes(self, there: os.stat_result) -> bool:
        here = _look(self.name, self.directory)
        if here is not None and os.path.samestat(here, there):
            return True
        with (
            os.fdopen(self._open(self.name, self.directory), "rb") as ours,
            os.fdopen(self._open(self.to_name, self.to_directory), "rb") as theirs,
        ):
            while True:
                piece = ours.read(_PIECE_BYTES)
                if piece != theirs.read(_PIECE_BYTES):
                    return False
                if not piece:
                    return True

    def _within_file_system(self) -> FilingResult:
        try:
            self.calls.rename(self.directory, self.name, self.to_directory, self.to_name)
        except OSError as error:
            if error.errno not in _NO_SUCH_RENAME:
                raise
            return self._by_link()
        # Between the last look and the rename somebody may have put another file there: it goes back.
        moved = _look(self.to_name, self.to_directory)
        if moved is not None and not _is_the_one(moved, self.expected):
            self.calls.rename(self.to_directory, self.to_name, self.directory, self.name)
            return _CHANGED
        _sync_directory(self.calls, self.to_directory)
        _sync_directory(self.calls, self.directory)
        return Filed()

    def _by_link(self) -> FilingResult:
        self.calls.link(self.directory, self.name, self.to_directory, self.to_name)
        linked = _look(self.to_name, self.to_directory)
        if linked is None or not _is_the_one(linked, self.expected):
            with suppress(FileNotFoundError):
                self.calls.unlink(self.to_name, self.to_directory)
            return _CHANGED
        return self._drop_source()

    def _to_other_file_system(self) -> FilingResult:
        part = _part_name(self.to_name)
        self._drop_part()
        try:
            with syscalls.opened(self._open(self.name, self.directory)) as source:
                if not self._copy(source, part):
                    return _CHANGED
            self._give_its_name(part)
        except FileExistsError:
            return _TAKEN
        finally:
            with suppress(OSError):
                self.calls.unlink(part, self.to_directory)
        return self._drop_source()

    def _drop_part(self) -> None:
        """Of a call that was cut off: one filer works at a time."""
        with suppress(FileNotFoundError):
            self.calls.unlink(_part_name(self.to_name), self.to_directory)

    def _copy(self, source: int, part: str) -> bool:
        """Whether `part` now is, on disk, the file that was uploaded. Raises OSError."""
        before = os.fstat(source)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with syscalls.opened(os.open(part, flags, 0o600, dir_fd=self.to_directory)) as copy:
            while piece := os.read(source, _PIECE_BYTES):
                _write_all(copy, piece)
            if not (_is_the_one(before, self.expected) and _is_the_one(os.fstat(source), self.expected)):
                return False
            with suppress(OSError):  # a group that is not ours to give, a file system without owners
                os.fchown(copy, -1, before.st_gid)
            with suppress(OSError):
                os.fchmod(copy, before.st_mode & 0o777)
            os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
            self.calls.sync(copy)
            if os.fstat(copy).st_size != self.expected.size:
                raise OSError(errno.EIO, "the copy has another size than the file")
        return True

    def _give_its_name(self, part: str) -> None:
        try:
            self.calls.rename(self.to_directory, part, self.to_directory, self.to_name)
        except OSError as error:
            if error.errno not in _NO_SUCH_RENAME:
                raise
            self.calls.link(self.to_directory, part, self.to_directory, self.to_name)

    def _drop_source(self) -> FilingResult:
        """Only when the archived file is safe on disk, and only if the source still is what was archived."""
        _sync_directory(self.calls, self.to_directory)
        found = _look(self.name, self.directory)
        if found is not None and not _is_the_one(found, self.expected):
            return _CHANGED
        return _remove(self.calls, self.directory, self.name, self.expected)

    @staticmethod
    def _open(name: str, directory: int) -> int:
        return os.open(name, syscalls.READ_FILE, dir_fd=directory)


@contextmanager
def _source(root_path: str, path: str) -> Iterator[tuple[int, str]]:
    """The file's directory and name; (-1, name) when the directory is gone, though the root is there. Raises OSError."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(syscalls.parent_of(root_path, path))
        except OSError as error:
            if error.errno not in _NO_SUCH_DIRECTORY:
                raise
            os.close(syscalls.open_root(root_path))  # a root that is not there is an outage, not a vanished file
            found = -1, path.rpartition("/")[2]
        yield found


def _look(name: str, directory: int) -> os.stat_result | None:
    if directory < 0:
        return None
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _known_again(found: os.stat_result, expected: Stamp, sha256: str, directory: int, name: str) -> Stamp | None:
    """What the file is looked for by from here on; None when it is not the one. On another machine, or put back from a backup, it
    has a new inode: then its bytes tell, not its time alone. Raises OSError.
    """
    if _is_the_one(found, expected):
        return expected
    now = Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
    if not (sha256 and stat.S_ISREG(found.st_mode) and still_the_same(expected, now)):
        return None
    with os.fdopen(os.open(name, syscalls.READ_FILE, dir_fd=directory), "rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        return now if same and _is_the_one(os.fstat(file.fileno()), now) else None


def _is_the_one(found: os.stat_result, expected: Stamp) -> bool:
    return stat.S_ISREG(found.st_mode) and Stamp(found.st_ino, found.st_size, found.st_mtime_ns) == expected


def _remove(calls: FilingCalls, directory: int, name: str, expected: Stamp) -> FilingResult:
    """The file is gone, if it is the one: it is looked at under a hidden name, at which nobody puts another in its place. Where
    there is no such rename, the moment between the look and the removal is left. Raises OSError.
    """
    aside = _aside_name(name)
    try:
        calls.rename(directory, name, directory, aside)
    except FileNotFoundError:
        aside = name  # gone by itself
    except OSError as error:
        if error.errno not in _NO_SUCH_RENAME:
            raise
        aside = name
    found = _look(aside, directory)
    if found is not None and not _is_the_one(found, expected):
        if aside != name:
            calls.rename(directory, aside, directory, name)
        return _CHANGED
    if found is not None:
        _unlink_or_put_back(calls, directory, name, aside)
    _sync_directory(calls, directory)
    return Filed()


def _unlink_or_put_back(calls: FilingCalls, directory: int, name: str, aside: str) -> None:
    try:
        calls.unlink(aside, directory)
    except OSError:
        if aside != name:
            calls.rename(directory, aside, directory, name)
        raise


def _put_back(calls: FilingCalls, directory: int, name: str, expected: Stamp, sha256: str) -> None:
    """What `_remove` had aside when it was cut off is in its place again; or gone, if another file came there meanwhile and it is
    the one that was to go. Raises OSError, FileExistsError when both have to stay.
    """
    aside = _aside_name(name)
    if (found := _look(aside, directory)) is None:
        return
    try:
        calls.rename(directory, aside, directory, name)
    except FileExistsError:
        if _known_again(found, expected, sha256, directory, aside) is None:
            raise
        calls.unlink(aside, directory)


def _sync_directory(calls: FilingCalls, directory: int) -> None:
    with syscalls.opened(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)) as readable:
        try:
            calls.sync(readable)
        except OSError as error:
            if error.errno not in _NO_SUCH_SYNC:
                raise


def _write_all(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _part_name(name: str) -> str:
    """Always the same for one target, so that what a crash left behind is found and removed by the next try."""
    return os.fsdecode(b"." + os.fsencode(name)[: _NAME_MAX_BYTES - len(_PART_MARK) - 1] + _PART_MARK)


def _aside_name(name: str) -> str:
    """Beside the file, the same for each try; of a hash, since names that are too long would end alike."""
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}{os.fsdecode(_PART_MARK)}"


def _trouble(doing: str, error: OSError) -> FilingTrouble:
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            advice = (
                "the service's user needs the right to write in the folder and in `archive_to`; "
                "under systemd both must stand in ReadWritePaths="
            )
        case errno.ENOSPC | errno.EDQUOT:
            advice = "make room on the archive's disk"
        case errno.ENOENT | errno.ENOTDIR:
            advice = "see that the folder and `archive_to` are there and mounted"
        case errno.EEXIST:
            advice = "another file lies at its place, and one that belongs there is hidden beside it: move the first one away"
        case errno.ENAMETOOLONG:
            advice = "the archive's path is too long with this name: choose a shorter `archive_to`"
        case _:
            advice = "see to the disk or share; it is tried again by itself"
    return FilingTrouble(f"{doing} failed ({os.strerror(error.errno or 0)}): {advice}")
