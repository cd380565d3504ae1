"""Room on the queue's disk that is kept for the one thing that must not fail: writing down how an upload ended.

An upload that is under way when the disk becomes full ends all the same. Its talk id has to be recorded, or the recording
would count as unconfirmed and might be sent twice. So a file of that size lies beside the queue, and is removed when such a
record finds no room. Nothing else may be written from then on until the file is back in its place: that is the test of
whether there is room again.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

# The end of one upload was seen to add up to 87 KB to the write-ahead log, 53 KB in the mean: a page for each table and index.
BYTES_PER_UPLOAD = 128 * 1024
LEAST_BYTES = 2**20
# A disk that has no more room than this beside the ballast is as good as full: the next few writes would fill it.
MARGIN_BYTES = LEAST_BYTES // 2
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_no_room(error: OSError) -> bool:
    """The disk, or this user's share of it, is full."""
    return error.errno in _NO_ROOM


def ballast_of(queue: Path) -> Path:
    """Where the ballast of this queue lies."""
    return queue.with_name(f"{queue.name}.ballast")


def bytes_for(uploads: int) -> int:
    """How large it is for so many uploads at once."""
    return max(LEAST_BYTES, uploads * BYTES_PER_UPLOAD)


class Ballast:
    """The file, mode 0600. Only the daemon renews it; a command may give it up."""

    def __init__(self, queue: Path, uploads: int = 1, *, renews: bool = False) -> None:
        self.path = ballast_of(queue)
        self._renews = renews
        self.provide_for(uploads)

    def provide_for(self, uploads: int) -> None:
        """From now on it is large enough for so many uploads at once."""
        self._bytes = bytes_for(uploads)

    def keep(self) -> None:
        """It is in its place; for whoever does not renew it, this does nothing. Raises OSError when there is no room for it."""
        if not self._renews or self._is_there():
            return
        self._make()
        try:
            self.make_sure_of_room()
        except OSError:
            self.give_up()
            raise

    def make_sure_of_room(self) -> None:
        """Raises OSError unless there is room beside it."""
        usage = os.statvfs(self.path.parent)
        if usage.f_bavail * usage.f_frsize < MARGIN_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def give_up(self) -> bool:
        """Its room is free for others. False when there was nothing to give up."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def _is_there(self) -> bool:
        try:
            # Not its blocks: a file system that compresses, or sees to room in its own way, may show none.
            return self.path.lstat().st_size >= self._bytes
        except FileNotFoundError:
            return False

    def _make(self) -> None:
        """Raises OSError. What was begun and not finished is gone."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            # Unlike a hole (ftruncate) this takes the room; where the file system cannot, libc writes to every block.
            os.posix_fallocate(descriptor, 0, self._bytes)
        except OSError:
            self.give_up()
            raise
        finally:
            os.close(descriptor)
