"""How much room the disk below a path has."""

from __future__ import annotations

import shutil
from pathlib import Path

from speechsense_watch.core.attention import Disk


def disk_of(path: Path) -> Disk | None:
    """The disk that holds `path`, or would: its nearest directory that exists. None when the system does not say.

    What is kept back for root does not count as free (statvfs(3), f_bavail).
    """
    for directory in (path, *path.parents):
        try:
            usage = shutil.disk_usage(directory)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return Disk(str(directory if directory.is_dir() else directory.parent), usage.free, usage.total)
    return None
