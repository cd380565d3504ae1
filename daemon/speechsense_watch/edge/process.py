"""Who holds a row: a process, named so that its number cannot be taken for a later process of the same number."""

from __future__ import annotations

import os
from pathlib import Path

_ENDED = frozenset("ZX")


def this_process() -> str:
    """Our own name as "pid:start time"; the start time is empty where /proc cannot be read."""
    return f"{os.getpid()}:{_read(os.getpid())[1]}"


def owner_alive(owner: str) -> bool:
    """Whether the process that `this_process` named so is still running.

    False only when it surely is not: its number is free (kill(2): ESRCH), or belongs to a process of another start
    time, or to one that has ended and was not yet waited for. What /proc hides (hidepid, another user) counts as alive.
    A text that names no process is nobody's.
    """
    number, _, started = owner.partition(":")
    if not (number.isascii() and number.isdigit() and int(number) > 0):
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's, but there
    state, now_started = _read(int(number))
    if state in _ENDED:
        return False
    return not started or not now_started or started == now_started


def _read(pid: int) -> tuple[str, str]:
    """State and start time (clock ticks since boot): fields 3 and 22 of proc_pid_stat(5); empty where hidden."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    # Field 2 is the program's name in parentheses and may hold anything, spaces and parentheses too.
    fields = text.rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")
