"""Copies of the queue: making one while the daemon runs, judging one, and putting one in the queue's place.

At every moment of `put_back` the queue's name leads to the old queue or to the new one, whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from speechsense_watch.core.model import State
from speechsense_watch.edge.history import RESTORED
from speechsense_watch.edge.ownership import give_to_owner_of
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.queue_file import fold, mark
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.ports import QueueTrouble

Progress = Callable[[int, int], None]


class NotACopy(Exception):  # noqa: N818 - the name says it
    """The file cannot be used as a queue; the message says why."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a copy. `talks` are the talk ids it knows."""

    size: int
    counts: Mapping[State, int]
    talks: int
    last_change_at: datetime | None


def back_up(queue: SqliteQueue, target: Path, progress: Progress) -> Contents:
    """`target` is a copy of the queue as it was at one moment: checked, on disk, for its owner alone. What was there before is
    replaced, whole or not at all. Raises QueueTrouble, NotACopy, OSError.
    """
    with _aside(target) as copy:
        queue.copy_to(copy, progress)
        contents = inspect(copy)
        copy.replace(target)
    _sync_directory(target.parent)
    return contents


def inspect(path: Path) -> Contents:
    """Of a whole queue of ours, not newer than this program. Raises NotACopy."""
    try:
        size = path.stat().st_size
        with closing(_opened(path)) as queue:
            found = [str(row["quick_check"]) for row in queue.rows("PRAGMA quick_check(1)")]
            if found != ["ok"]:
                raise NotACopy(f"{path} is damaged: {'; '.join(found)}")
            if not queue.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'jobs'"):
                raise NotACopy(f"{path} is not a queue of speechsense-watch.")
            told = queue.tuples("SELECT count(talk_id), max(updated_at) FROM jobs")[0]
            at = datetime.fromtimestamp(told[1] / 1e6, UTC) if told[1] is not None else None
            return Contents(size, queue.counts(), told[0], at)
    except OSError as error:
        raise NotACopy(f"{path} cannot be read: {error.strerror}.") from error
    except QueueTrouble as error:
        # What its message advises is for the queue.
        said = error.__cause__ if error.fatal else error
        raise NotACopy(f"{path} is not a queue of speechsense-watch, or is damaged ({said}): take another copy.") from error
    except NewerSchema as error:
        raise NotACopy(f"{path} cannot be used: {error}") from error


def _opened(path: Path) -> SqliteQueue:
    """For reading. A copy that was made by other means may have a log beside it that belongs to it."""
    return SqliteQueue(path, read_only=True, as_it_is=True, untouched=not path.with_name(f"{path.name}-wal").exists())


def put_back(copy: Path, path: Path, at: datetime, progress: Progress) -> Path | None:
    """The queue at `path` is what the copy holds, and its next start is suspicious. What was there before lies beside it under
    the name returned, None where there was nothing. To be called with the queue's lock held. Raises QueueTrouble, OSError.
    """
    with _aside(path) as fresh:
        with closing(_opened(copy)) as queue:
            queue.copy_to(fresh, progress)
        mark(fresh, RESTORED, {"at": at.isoformat(), "from": os.fsdecode(copy.name)})
        give_to_owner_of(path if path.exists() else path.parent, fresh)
        kept = _set_aside(path, at) if path.exists() else None
        fresh.replace(path)
    _sync_directory(path.parent)
    return kept


def _set_aside(path: Path, at: datetime) -> Path:
    """A second name for what is at `path`, and no log beside it that the next file of that name would be taken to own."""
    kept = _free_name(path, at)
    try:
        fold(path)  # into its one file: from here on it needs no log
    except QueueTrouble as trouble:
        if not trouble.fatal:
            raise
        # Too damaged for that: file and log are kept as they lie there.
    for end in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(kept.with_name(kept.name + end))
    try:
        kept.hardlink_to(path)
    except OSError:
        path.rename(kept)  # a file system without links: for a moment there is no queue, which the journal sees
    return kept


def _free_name(path: Path, at: datetime) -> Path:
    stem = f"{path.name}.replaced-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 1000)))
    return next(each for name in names if not (each := path.with_name(name)).exists())


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """An empty file in the same directory, for its owner alone; gone afterwards, unless it was renamed. What a process that was
    killed left of one goes first.
    """
    aside = path.with_name(f".{path.name}.part")
    _remove(aside)
    os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        yield aside
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    for end in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).unlink()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
