"""What the acting commands share: the queue opened for writing, beside a daemon that may run as another user."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechsense_watch.cli.common import fail
from speechsense_watch.cli.words import printable
from speechsense_watch.edge.lock import LockTrouble, is_held
from speechsense_watch.edge.ownership import give_to_owner_of
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.ports import QueueTrouble

EXIT_FAILED, EXIT_CANNOT_OPEN = 1, 73


@contextmanager
def existing_queue(path: Path) -> Iterator[SqliteQueue]:
    """The queue for writing. Where there is none, none is made: the program ends with a sentence, as it does when the
    queue cannot be opened or written.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        fail(f"There is no queue at {path}: the daemon has not run with this configuration yet.", EXIT_FAILED)
    except OSError as error:
        fail(_may_not(path, error.strerror), EXIT_CANNOT_OPEN)
    with opened(path) as queue:
        yield queue


def make_queue(path: Path, *, configured: bool) -> None:
    """A file is there, to become a queue if it was not one. Where root makes it, it belongs to whom its directory belongs.
    Ends the program with a sentence when it cannot be made.
    """
    try:
        if path.exists():
            return
        if configured and os.geteuid() == 0 and not path.parent.is_dir():
            fail(f"There is no {path.parent} yet, where the queue lies: start the daemon once, it makes it.", EXIT_CANNOT_OPEN)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        give_to_owner_of(path.parent, path)
    except OSError as error:
        fail(_may_not(path, error.strerror), EXIT_CANNOT_OPEN)


@contextmanager
def opened(path: Path) -> Iterator[SqliteQueue]:
    """A queue that is there. What root makes beside it belongs to the queue's owner."""
    # SQLite needs to make files beside the queue, so the directory counts too (sqlite.org/wal.html).
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        fail(_may_not(path, None), EXIT_CANNOT_OPEN)
    try:
        give_to_owner_of(path, journal_of(path))
        queue = SqliteQueue(path)
        try:
            yield queue
        finally:
            queue.close()
    except (QueueTrouble, NewerSchema, OSError) as error:
        fail(printable(f"{path}: {error}"), EXIT_CANNOT_OPEN)


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.journal")


def daemon_runs(path: Path) -> bool:
    """Whether a daemon holds this queue's lock; where that cannot be asked it is taken to run."""
    try:
        return is_held(f"{path}.lock")
    except LockTrouble:
        return True


def user_name() -> str:
    """The user whose rights count."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _may_not(path: Path, reason: str | None) -> str:
    because = f" ({reason})" if reason else ""
    return f"The queue {path} may not be written by user {user_name()}{because}: try again with `sudo speechsense-watch ...`."
