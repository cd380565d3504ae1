"""A disk of some megabytes, for filling."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    @property
    def free_bytes(self) -> int:
        usage = os.statvfs(self.path)
        return usage.f_bavail * usage.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Somebody else takes all the room but so much."""
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT)
        try:
            with suppress(OSError):
                while (more := self.free_bytes - leave_bytes) > 0:
                    os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, min(more, 2**16))
        finally:
            os.close(descriptor)

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)

    def remount(self, *options: str) -> None:
        subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(self.path)], check=True)


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounted there while it lasts; the test is skipped where nothing may be mounted."""
    path.mkdir(parents=True, exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "none", str(path)]
    if subprocess.run(line, check=False, capture_output=True).returncode != 0:
        pytest.skip("nothing may be mounted here")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
