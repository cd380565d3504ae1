"""What an error of the queue's file means, in words that say what to do. Nothing here touches the file.

The names are SQLite's result codes (sqlite.org/rescode.html).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from speechsense_watch.edge.ballast import is_no_room
from speechsense_watch.ports import QueueTrouble

# The wal-index could not grow: nothing was written yet, and the reason is the room.
_FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_ODDITIES = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def trouble_of(path: Path, code: str, said: str) -> QueueTrouble:
    """`code` is the name of SQLite's result code, `said` its sentence."""
    if code in _FULL:
        return QueueTrouble(f"The disk that holds the queue {path} is full ({said}).", full=True)
    if code.startswith(_DAMAGED):
        return QueueTrouble(damaged(path, said), fatal=True)
    if code.startswith("SQLITE_IOERR"):
        message = f"The disk that holds the queue {path} failed ({said}): see to it and to the system's log."
        return QueueTrouble(message, fatal=True)
    if code.startswith("SQLITE_READONLY"):
        return QueueTrouble(f"The queue {path} cannot be written ({said}): see to its rights, and whether its disk is read-only.")
    return QueueTrouble(f"The queue: {said}.")


def damaged(path: Path, said: str) -> str:
    """The sentence about a queue whose content cannot be trusted."""
    return (
        f"The queue {path} is damaged ({said}). It was left as it is, and nothing is sent. Restore it from a backup; or move it "
        f"away together with {path.name}-wal and {path.name}-shm, and leave {path.name}.journal: what the journal names is not "
        "sent again. See docs/operations.md, A damaged queue."
    )


def journal_trouble(path: Path, error: OSError) -> QueueTrouble:
    said = error.strerror or str(error)
    return QueueTrouble(f"The journal beside the queue {path}: {said}.", full=is_no_room(error))


def no_room_beside(path: Path, error: OSError) -> QueueTrouble:
    """There is no room for the ballast, or it cannot be made for another reason."""
    if is_no_room(error):
        return QueueTrouble(f"The disk that holds the queue {path} is full. It goes on by itself once there is room.", full=True)
    return QueueTrouble(
        f"Nothing can be made beside the queue {path} ({error.strerror or error}): see to the directory's rights."
    )


def refuse_odd(path: Path) -> None:
    """Raises QueueTrouble when what lies there can be no queue. SQLite would say no more than that it cannot open it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    for is_odd, name in _ODDITIES:
        if is_odd(mode):
            raise QueueTrouble(f"{path} is {name}, not a queue: move it away, or correct `path` under [queue].")
    if not os.access(path, os.R_OK):
        raise QueueTrouble(f"The queue {path} may not be read by this user: give it to the service's user.")
