"""Files that filing has moved to the archive: the only ones that `forget` deletes, since they are where we have put them."""

from __future__ import annotations

import hashlib
import os
import stat
from enum import StrEnum
from pathlib import Path

from speechsense_watch.edge import syscalls


class Removal(StrEnum):
    REMOVED = "removed"
    NOT_THERE = "not there"
    ANOTHER = "another file"  # of this name, with other bytes: left alone


def remove_archived(path: Path, sha256: str) -> Removal:
    """The file of this absolute path with these bytes is gone, on disk. Links are not followed. Raises OSError."""
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return Removal.NOT_THERE
    with syscalls.opened(directory):
        try:
            found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return Removal.NOT_THERE
        if not stat.S_ISREG(found.st_mode):
            return Removal.ANOTHER
        with os.fdopen(os.open(path.name, syscalls.READ_FILE, dir_fd=directory), "rb") as file:
            if not os.path.samestat(os.fstat(file.fileno()), found) or hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return Removal.ANOTHER
        os.unlink(path.name, dir_fd=directory)
        os.fsync(directory)
    return Removal.REMOVED
