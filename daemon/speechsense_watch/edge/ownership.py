"""Whose the files beside the queue are: what root makes there must be the service's.

A command that is run with `sudo` writes to the queue of a daemon that runs as another user. SQLite gives the files it
makes beside the database (-wal, -shm) the database's owner when root makes them (sqlite3: os_unix.c, findCreateFileMode);
the journal and a new database are ours to give.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

# The account that systemd/speechsense-watch.sysusers makes.
SERVICE_USER = "speechsense-watch"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def give_to_owner_of(model: Path, path: Path) -> None:
    """Run as root, `path` is there (made empty, mode 0600, if it was not) and belongs to whom `model` belongs.

    For everybody else it does nothing: what they make is theirs. A link is not followed. Raises OSError.
    """
    if os.geteuid() != 0:
        return
    owner = model.stat()
    descriptor = os.open(path, _FLAGS, 0o600)
    try:
        found = os.fstat(descriptor)
        if (found.st_uid, found.st_gid) != (owner.st_uid, owner.st_gid):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def give_to_user(name: str, directory: Path) -> None:
    """Run as root, the directory belongs to this user, where this machine has one. Raises OSError."""
    if os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return
    os.chown(directory, user.pw_uid, user.pw_gid, follow_symlinks=False)
