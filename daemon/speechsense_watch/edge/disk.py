"""What a disk tells without anything being opened: how much room there is, when a file was written."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
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


def written_at(path: Path) -> datetime:
    """When the file was last written; 1970 where that is not known."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return datetime(1970, 1, 1, tzinfo=UTC)
