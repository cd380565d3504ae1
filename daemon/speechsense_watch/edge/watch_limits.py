"""Why the kernel would not watch a folder, told to whoever can raise the limit (inotify(7), "/proc interfaces")."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_UNTIL_THEN = "until then new recordings are found by scans only"


def why_not(error: OSError | RuntimeError) -> str:
    """A sentence for whoever runs the machine: which limit, how it is raised, what happens until then."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC:
        return _limit("max_user_watches", "directories to watch", 524_288)
    if number == errno.EMFILE and _descriptors_left():
        return _limit("max_user_instances", "watched folders", 1_024)
    if number in {errno.EMFILE, errno.ENFILE}:
        return f"no file descriptor is left: raise LimitNOFILE= of the service; {_UNTIL_THEN}"
    return f"the folder cannot be watched ({error}); {_UNTIL_THEN}"


def _limit(sysctl: str, what: str, enough: int) -> str:
    now = _sysctl(sysctl)
    enough = max(enough, 2 * (now or 0))
    return (
        f"the kernel's limit of {what} (fs.inotify.{sysctl}{f', now {now}' if now else ''}) is used up: "
        f"put `fs.inotify.{sysctl} = {enough}` into /etc/sysctl.d/ and run `sysctl --system`; {_UNTIL_THEN}"
    )


def _sysctl(name: str) -> int | None:
    # Hidden where the unit says ProcSubset=pid.
    try:
        return int(Path("/proc/sys/fs/inotify", name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _descriptors_left() -> bool:
    try:
        os.close(os.open("/", os.O_PATH | os.O_CLOEXEC))
    except OSError:
        return False
    return True
