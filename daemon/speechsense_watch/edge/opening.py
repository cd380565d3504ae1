"""The queue, opened by the daemon: on a full disk, after an end that nobody saw, on a file system that may be unfit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from speechsense_watch.edge.ballast import Ballast
from speechsense_watch.edge.damage import damaged
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.syscalls import file_system_of, open_root, opened
from speechsense_watch.ports import QueueTrouble

# They are there for as long as something else is: a container, or the machine until it is started anew.
_PASSING = {
    "overlayfs": "in a container that is the container's own layer and is lost with it: mount a volume there",
    "tmpfs": "that is memory and is lost at the next start of the machine",
    "ramfs": "that is memory and is lost at the next start of the machine",
}


def opened_whole(path: Path, ballast: Ballast, *, doubtful: bool) -> SqliteQueue:
    """The queue for the daemon. SQLite needs some room to open it, for which the ballast is given up.

    `doubtful`: the last daemon did not end by itself. Then every page is looked at (PRAGMA quick_check): 2.5 s for 300,000
    recordings with their history, and the price of not finding out in the midst of an upload. Raises QueueTrouble, NewerSchema.
    """
    try:
        return _opened(path, ballast, doubtful=doubtful)
    except QueueTrouble as trouble:
        if not (trouble.full and ballast.give_up()):
            raise
        return _opened(path, ballast, doubtful=doubtful)


def _opened(path: Path, ballast: Ballast, *, doubtful: bool) -> SqliteQueue:
    if doubtful and path.is_file() and path.stat().st_size:
        _look_at_every_page(path)
    return SqliteQueue(path, ballast=ballast)


def _look_at_every_page(path: Path) -> None:
    """Read only, so that what is damaged stays as it is: else SQLite would write the log beside it into it in the end."""
    with closing(SqliteQueue(path, read_only=True, as_it_is=True)) as queue:
        found = str(queue.rows("PRAGMA quick_check(1)")[0]["quick_check"])
    if found != "ok":
        raise QueueTrouble(damaged(path, " ".join(found.split())), fatal=True)


def unfit_place(directory: Path) -> str:
    """Why a queue must not lie there, a sentence; empty when it may. SQLite's locks and shared memory do not hold there
    (sqlite.org/wal.html: "All processes using a database must be on the same host computer").
    """
    name, remote = _file_system(directory)
    if not remote:
        return ""
    return (
        f"{directory} lies on {name}, where neither SQLite's locks nor its syncs can be relied on: recordings could be sent "
        "twice, or the queue be damaged. Put `path` under [queue] on a local disk. If that is certain to be safe here, "
        "`allow_network_file_system = true` overrules this."
    )


def passing(directory: Path) -> str:
    """Why a queue there will not last, a sentence; empty when it will, as far as can be told."""
    name, _ = _file_system(directory)
    return f"The queue in {directory} lies on {name}: {_PASSING[name]}." if name in _PASSING else ""


def _file_system(directory: Path) -> tuple[str, bool]:
    for there in (directory, *directory.parents):
        try:
            with opened(open_root(str(there))) as descriptor:
                return file_system_of(descriptor)
        except FileNotFoundError:
            continue
        except OSError:
            break
    return "", False
