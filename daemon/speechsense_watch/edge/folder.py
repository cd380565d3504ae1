"""The tree below one watched root, read as hostile ground: no link is followed, nothing blocks.

Every operation starts anew from the root's path, so that no descriptor stands in the way of an unmount.
Whoever may write to the folder may name things as he likes; what he may not do is make us read
something else than a regular file that lies in the folder.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar

from speechsense_watch.core.known import Expected
from speechsense_watch.core.model import A_DIRECTORY, A_LINK, Glance, Sighting, Stamp
from speechsense_watch.edge import syscalls
from speechsense_watch.ports import Clock, Entries, Files, FileTrouble, FileTroubleKind, Root

_ODDITIES = (
    (stat.S_ISLNK, A_LINK),
    (stat.S_ISDIR, A_DIRECTORY),
    (stat.S_ISFIFO, "a FIFO (named pipe)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
FOREIGN_LINK = "a hard link owned by somebody else"
_LINK_PATIENCE_S = 2.0
_T = TypeVar("_T")
_LINK_ON_THE_WAY = "a symbolic link stands on the way to it, and links are never followed"

_KINDS = {
    errno.ENOENT: (FileTroubleKind.GONE, "it does not exist (any more)"),
    errno.ENOTDIR: (FileTroubleKind.GONE, "a part of its path is not a directory (any more)"),
    errno.EINVAL: (FileTroubleKind.GONE, "no file can have this name"),
    errno.ENAMETOOLONG: (FileTroubleKind.GONE, "the name is longer than the file system allows"),
    errno.EACCES: (FileTroubleKind.UNREADABLE, "the service's user may not read it"),
    errno.EPERM: (FileTroubleKind.UNREADABLE, "the service's user may not read it"),
    errno.ELOOP: (FileTroubleKind.NOT_REGULAR, _LINK_ON_THE_WAY),
    errno.EXDEV: (FileTroubleKind.NOT_REGULAR, "its path leads out of the folder"),
    errno.ENXIO: (FileTroubleKind.NOT_REGULAR, "it is a pipe, socket or device, not a file"),
}


def _trouble(error: OSError) -> FileTrouble:
    number = error.errno or 0
    kind, message = _KINDS.get(number, (FileTroubleKind.IO, f"reading failed: {os.strerror(number)}"))
    return FileTrouble(kind, message)


@contextmanager
def _told_as_trouble() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _trouble(error) from error


def _oddity(found: os.stat_result, directory: int) -> str:
    """What is wrong with taking this for a file of its own; '' for nothing."""
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return ""
    for test, words in _ODDITIES:
        if test(found.st_mode):
            return words
    if not stat.S_ISREG(found.st_mode):
        return "not a regular file"
    # Without fs.protected_hardlinks anybody may link /etc/shadow into a folder he can write to. What belongs to the
    # directory's owner was his to give; what belongs to others was not.
    if found.st_nlink > 1 and found.st_uid != os.fstat(directory).st_uid:
        return FOREIGN_LINK
    return ""


def _leads_to_directory(link: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # a loop, or a target that may not be looked at
        return link.is_dir()
    return False


# The nanoseconds that SQLite's integers hold: the years 1677 to 2262. Whoever may write to the folder may set any other.
_FIRST_NS, _LAST_NS = -(2**63), 2**63 - 1


def _ns(nanoseconds: int) -> int:
    return max(_FIRST_NS, min(nanoseconds, _LAST_NS))


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_ino, found.st_size, _ns(found.st_mtime_ns))


_NOTHING_KNOWN = Glance(Stamp(0, -1, 0), regular=True)


class _OpenFile(AbstractContextManager["_OpenFile"]):
    """Keeps `ports.OpenFile` for one descriptor, which it closes in the end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        # The number is somebody else's file soon: it must not be asked by mistake.
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    @property
    def stamp(self) -> Stamp:
        try:
            return _stamp(os.fstat(self._descriptor))
        except OSError as error:
            raise _trouble(error) from error

    def read_at(self, offset: int, count: int) -> bytes:
        pieces: list[bytes] = []
        try:
            while count > 0:
                piece = os.pread(self._descriptor, count, offset)
                if not piece:
                    break
                pieces.append(piece)
                offset += len(piece)
                count -= len(piece)
        except OSError as error:
            raise _trouble(error) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class FolderFiles:
    """Keeps `ports.Files` for the tree below `path`, which may itself be a link to a directory."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._links_hang = False

    def root(self) -> Root:
        """The root as it is now; trouble is told in it, never raised."""
        try:
            with syscalls.opened(os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as descriptor:
                # Listing needs the right to read, looking at what is in it the right to enter.
                os.stat(".", dir_fd=descriptor)
                found = os.fstat(descriptor)
                name, remote = syscalls.file_system_of(descriptor)
        except OSError as error:
            return Root(identity=None, trouble=_trouble_with_root(error))
        return Root(identity=(found.st_dev, found.st_ino), file_system=name, remote=remote)

    def directory_mtime_ns(self, path: str) -> int:
        with _told_as_trouble(), self._directory(path) as descriptor:
            return _ns(os.fstat(descriptor).st_mtime_ns)

    def entries(self, path: str, batch: int = 1000) -> Iterator[Entries]:
        """Names come as `os.fsdecode` gives them. The directory is open until the iteration ends."""
        with _told_as_trouble(), self._directory(path) as descriptor, os.scandir(descriptor) as found:
            while some := list(islice(found, batch)):
                yield self._sorted(some)

    def _sorted(self, found: list[os.DirEntry[str]]) -> Entries:
        files = [entry.name for entry in found if not entry.is_dir(follow_symlinks=False)]
        if len(files) == len(found) and not any(entry.is_symlink() for entry in found):
            return Entries(files)
        directories = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
        linked = [entry.name for entry in found if entry.is_symlink() and self._leads_away(entry)]
        return Entries(files, directories, linked)

    def look(self, path: str) -> Sighting:
        with _told_as_trouble(), self._parent(path) as (directory, name):
            return self._sighting(directory, name)

    def _sighting(self, directory: int, name: str) -> Sighting:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        oddity = _oddity(found, directory)
        return Sighting(
            inode=found.st_ino,
            size=found.st_size,
            mtime_ns=_ns(found.st_mtime_ns),
            ctime_ns=_ns(found.st_ctime_ns),
            at=self._clock.monotonic(),
            regular=not oddity,
            oddity=oddity,
        )

    def glances(self, directory: str, names: Sequence[str]) -> Mapping[str, Glance]:
        found: dict[str, Glance] = {}
        if not names:
            return found
        with _told_as_trouble(), self._parent(f"{directory}/{names[0]}" if directory else names[0]) as (descriptor, _):
            for name in names:
                try:
                    seen = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError:
                    # One name that cannot be looked at hides no other; a closer look tells what is wrong with it.
                    found[name] = _NOTHING_KNOWN
                    continue
                found[name] = Glance(_stamp(seen), not _oddity(seen, descriptor))
        return found

    def unlike(self, directory: str, expected: Sequence[Expected]) -> Sequence[str]:
        found: list[str] = []
        if not expected:
            return found
        first = expected[0][0]
        with _told_as_trouble(), self._parent(f"{directory}/{first}" if directory else first) as (descriptor, _):
            for name, size, mtime_ns in expected:
                try:
                    seen = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                except OSError:
                    found.append(name)
                    continue
                if seen.st_mtime_ns != mtime_ns or seen.st_size != size or seen.st_nlink != 1 or not stat.S_ISREG(seen.st_mode):
                    found.append(name)
        return found

    @contextmanager
    def within(self, directory: str) -> Iterator[Files]:
        near = _Within(self._path, self._clock, directory)
        try:
            yield near
        finally:
            near.close()

    def leads_to(self, path: str) -> str:
        found = self._in_time(lambda: os.path.realpath(f"{self._path}/{path}"))
        return f"{self._path}/{path}" if found is None else found

    def _leads_away(self, link: os.DirEntry[str]) -> bool:
        """Only to tell people about it: nothing is entered or read through a link. What is not known in time counts as one."""
        found = self._in_time(lambda: _leads_to_directory(link))
        return found is None or found

    def _in_time(self, question: Callable[[], _T]) -> _T | None:
        """A link may lead to a share that hangs, and asking about it cannot be broken off: that is done on a thread which is left
        behind then, once, and no link is asked after any more. None where it is not known.
        """
        answer: list[_T] = []
        if not self._links_hang:
            thread = threading.Thread(target=lambda: answer.append(question()), name="link", daemon=True)
            thread.start()
            thread.join(_LINK_PATIENCE_S)
            self._links_hang = not answer
        return answer[0] if answer else None

    def open(self, path: str) -> AbstractContextManager[_OpenFile]:
        return _OpenFile(self._open_regular(path))

    def _open_regular(self, path: str) -> int:
        with _told_as_trouble(), self._parent(path) as (directory, name):
            return _opened_regular(directory, name)

    @contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        with (
            syscalls.opened(syscalls.open_root(self._path)) as root,
            syscalls.opened(syscalls.open_below(root, path, syscalls.READ_DIRECTORY)) as descriptor,
        ):
            yield descriptor

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        with syscalls.parent_of(self._path, path) as found:
            yield found


class _Within(FolderFiles):
    """The same tree; what lies right in one directory is reached through a descriptor that is opened once."""

    def __init__(self, path: str, clock: Clock, directory: str) -> None:
        super().__init__(path, clock)
        self._prefix = f"{directory}/" if directory else ""
        self._descriptor = -1

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _name(self, path: str) -> str:
        """What it is called in the directory; empty for what lies elsewhere, and for what no file is called."""
        name = path[len(self._prefix) :]
        return "" if not path.startswith(self._prefix) or "/" in name or "\0" in name or name in {".", ".."} else name

    def _here(self, path: str) -> int:
        """Raises OSError."""
        if self._descriptor < 0:
            with syscalls.parent_of(self._path, path) as (directory, _):
                self._descriptor = os.dup(directory)
        return self._descriptor

    def look(self, path: str) -> Sighting:
        if not (name := self._name(path)):
            return super().look(path)
        try:
            return self._sighting(self._here(path), name)
        except OSError as error:
            raise _trouble(error) from error

    def _open_regular(self, path: str) -> int:
        if not (name := self._name(path)):
            return super()._open_regular(path)
        try:
            return _opened_regular(self._here(path), name)
        except OSError as error:
            raise _trouble(error) from error


def _opened_regular(directory: int, name: str) -> int:
    """Raises OSError, FileTrouble."""
    # Looked at first: opening a FIFO lets its writer go on, opening a device may make it do something.
    _refuse_odd(os.stat(name, dir_fd=directory, follow_symlinks=False), directory)
    descriptor = os.open(name, syscalls.READ_FILE, dir_fd=directory)
    try:
        _refuse_odd(os.fstat(descriptor), directory)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_odd(found: os.stat_result, directory: int) -> None:
    oddity = _oddity(found, directory)
    if oddity:
        raise FileTrouble(FileTroubleKind.NOT_REGULAR, f"it is {oddity}, not a regular file of this folder")


def _trouble_with_root(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "the folder does not exist: create it, mount it, or correct `path` in the folder's rules"
        case errno.ENOTDIR:
            return "`path` in the folder's rules does not lead to a directory"
        case errno.EACCES | errno.EPERM:
            return (
                "the service's user may not list the folder: give it the right to read and enter (r-x) every "
                "directory, for instance by membership of the recorder's group"
            )
        case _:
            return f"the folder cannot be opened: {os.strerror(error.errno or 0)}"
