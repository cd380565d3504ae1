"""A file that appears whole or not at all, for whoever watches its directory."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, *, mode: int, owner: tuple[int, int] | None = None, aside: Path | None = None) -> None:
    """`path` holds `data`, on disk, with these rights; what was there before is replaced. Until then the bytes lie beside it
    under a name that begins with a dot, which those who watch the directory leave alone: `aside`, which nobody else may use and
    where nothing may lie, or one that nobody else has. Raises OSError.
    """
    # Short whatever `path` is called, since names end at 255 bytes; by chance, since hosts that share a directory share no pids.
    aside = aside or path.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        aside.rename(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    _sync_directory(path.parent)


def rights_of(path: Path) -> tuple[int, tuple[int, int] | None]:
    """Mode and, for root, owner of a file, for another one to have the same. Raises OSError."""
    found = path.stat()
    owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
    return stat.S_IMODE(found.st_mode) & 0o666, owner


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
