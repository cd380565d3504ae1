"""One daemon for one queue: flock(2) on a file beside it, which the kernel drops when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from speechsense_watch.edge.ballast import is_no_room
from speechsense_watch.ports import Clock

_PAUSE_S = 0.1
_ENDED, _UNWRITABLE = b"ended", b" unwritable"
_BYTES = 32
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class LockBusy(Exception):  # noqa: N818 - somebody else was first
    """Another process holds the lock; `pid` is None where it did not say who it is."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}" if pid else "held by another process")
        self.pid = pid


class LockTrouble(Exception):  # noqa: N818
    """The lock's file could not be opened; the message says why and what to do."""


class Lock:
    """Held until released or the process ends. The file stays: removing it would let two hold "the" lock."""

    def __init__(self, descriptor: int, *, left_behind: bool = False) -> None:
        self._descriptor = descriptor
        # Its last holder never said that it had ended: it was killed, or the machine went down.
        self.left_behind = left_behind

    def ended_well(self) -> None:
        """The next holder finds it so."""
        with suppress(OSError):
            _say(self._descriptor, _ENDED)

    def release(self) -> None:
        """Lets the next one in; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def tell(self, *, unwritable: bool) -> None:
        """For `status`: whether its holder can write the queue. The file's block is there already, so this takes no room."""
        with suppress(OSError):
            _say(self._descriptor, b"%d%s" % (os.getpid(), _UNWRITABLE if unwritable else b""))

    def touch(self) -> None:
        """Says that its holder is alive where nothing can be written: a file's times take no room."""
        with suppress(OSError):
            os.utime(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def acquire(path: str, clock: Clock, tries_for_s: float = 2.0) -> Lock:
    """The lock, with our process id in its file for whoever comes second.

    Trying on for a while lets a probe by `is_held`, or a predecessor on its way out, pass unnoticed.
    Raises LockBusy, LockTrouble.
    """
    until = clock.monotonic() + tries_for_s
    while True:
        descriptor = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            if _lock(descriptor, fcntl.LOCK_EX) and _is_still(path, descriptor):
                left_behind = os.pread(descriptor, _BYTES, 0).strip() not in (b"", _ENDED)
                _say(descriptor, str(os.getpid()).encode())
                return Lock(descriptor, left_behind=left_behind)
            holder = _holder(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise _trouble(path, error) from error
        os.close(descriptor)
        if clock.monotonic() >= until:
            raise LockBusy(holder)
        clock.sleep(_PAUSE_S)


def is_held(path: str) -> bool:
    """Whether some process holds the lock now. Creates nothing; its own grip lasts for microseconds.

    Raises LockTrouble when the file is there and may not be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _trouble(path, error) from error
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        raise _trouble(path, error) from error
    finally:
        os.close(descriptor)


def holder_cannot_write(path: str) -> bool:
    """Whether the lock's holder said last that it could not write the queue."""
    try:
        return Path(path).read_bytes().rstrip().endswith(_UNWRITABLE)
    except OSError:
        return False


def touched_at(path: str) -> datetime | None:
    """When its holder last said that it was alive, or took it; None where there is no such file."""
    try:
        return datetime.fromtimestamp(Path(path).lstat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | _FLAGS, 0o600)
    except OSError as error:
        raise _trouble(path, error) from error


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: str, descriptor: int) -> bool:
    """Whether the file we locked is the one that others will find; somebody may have removed it meanwhile."""
    try:
        return os.path.samestat(Path(path).lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _say(descriptor: int, what: bytes) -> None:
    """On a full disk a file that is new stays empty. One that is not keeps its block, since it is never cut."""
    try:
        os.pwrite(descriptor, what.ljust(_BYTES - 1) + b"\n", 0)
    except OSError as error:
        if not is_no_room(error):
            raise


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, _BYTES, 0).partition(b" ")[0].strip()
    return int(text) if text.isdigit() else None


def _trouble(path: str, error: OSError) -> LockTrouble:
    number = error.errno or 0
    match number:
        case errno.ENOENT:
            advice = "create the directory, or correct `path` under [queue]"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            advice = "run it as the service's user (or with sudo), or give that user the directory"
        case errno.ELOOP:
            advice = "it is a symbolic link: remove it"
        case _:
            advice = "see to the file system it lies on"
    return LockTrouble(f"the lock {path!a} cannot be used ({os.strerror(number)}): {advice}")
