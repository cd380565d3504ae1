"""What the acting commands share: the queue opened for writing, beside a daemon that may run as another user."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from speechsense_watch.cli.common import EXIT_CONFIG, fail, load_or_exit
from speechsense_watch.cli.words import printable
from speechsense_watch.config import Config, ConfigError, find, without_file
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.lock import LockTrouble, is_held
from speechsense_watch.edge.machine import this_machine
from speechsense_watch.edge.ownership import SERVICE_USER, give_to_owner_of, give_to_user
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.ports import QueueTrouble

EXIT_FAILED, EXIT_CANNOT_OPEN = 1, 73


def config_or_own_queue(config_path: Path | None) -> Config:
    """The configuration; where there is no file and none was named, one without folders, with this user's own queue.

    Ends the program with exit code 78 and every error on stderr when it is not right.
    """
    if config_path is not None or find(None, os.environ).exists():
        return load_or_exit(config_path)
    state = os.environ.get("XDG_STATE_HOME", "")
    # The XDG Base Directory Specification: a relative path is to be passed over.
    home = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    try:
        return without_file(os.environ, home / "speechsense-watch" / "queue.db")
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"speechsense-watch: {problem}", err=True)
        sys.exit(EXIT_CONFIG)


def config_with_queue(config_path: Path | None) -> Config:
    """As `config_or_own_queue`, but without a file only where this user has made a queue of his own with `upload`."""
    config = config_or_own_queue(config_path)
    if not config.folders and not Path(config.queue.path).exists():
        return load_or_exit(config_path)  # which says that there is no configuration
    return config


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


def make_queue(path: Path) -> None:
    """A file is there, to become a queue if it was not one. Made by root it belongs to whom its directory belongs, and that,
    if it had to be made, to the service's user. Ends the program with a sentence when it cannot be made.
    """
    try:
        if path.exists():
            return
        make_directory(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        give_to_owner_of(path.parent, path)
    except OSError as error:
        fail(_may_not(path, error.strerror), EXIT_CANNOT_OPEN)


def make_directory(directory: Path) -> None:
    """It is there; made by root it belongs to the service's user. Raises OSError."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        give_to_user(SERVICE_USER, directory)


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


def examine_history(queue: SqliteQueue) -> None:
    """What the daemon does at its start is done for it while none runs: a queue that was lost must not be taken for a new one by
    whoever sends from it. Beside a daemon it was done.
    """
    if not daemon_runs(queue.path):
        found = queue.history.examine(this_machine(), SystemClock().now())
        if found is not None:
            said = (
                f"{found.talks:,} talks that only the journal knew are on record" if found.talks else "The journal was looked at"
            )
            click.echo(f"{found.why} {said}; what is older than this moment may have been sent before.", err=True)


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
