"""Which directories are watched, by whatever name: links and bind mounts are seen through.

A configuration is judged by its names alone; what they lead to is for the disk to say, before the daemon starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from speechsense_watch.config import ConfigProblem
from speechsense_watch.core.rules import Folder

Identity = tuple[int, int]
_MOUNTS = Path("/proc/self/mountinfo")


def roots_of(folders: Iterable[Folder]) -> dict[Identity, str]:
    """The paths of the folders that are there, by (st_dev, st_ino)."""
    found: dict[Identity, str] = {}
    for folder in folders:
        with suppress(OSError):
            root = Path(folder.path).stat()
            found.setdefault((root.st_dev, root.st_ino), folder.path)
    return found


def watched_around(path: str, roots: Mapping[Identity, str]) -> str | None:
    """The watched folder in which `path` lies, or that it is. A part of the path that is not there yet lies where its parent
    does.
    """
    here = Path(path).resolve()
    for place in (here, *here.parents):
        with suppress(OSError):
            found = place.stat()
            if name := roots.get((found.st_dev, found.st_ino)):
                return name
    return None


def conflicts(folders: Sequence[Folder]) -> tuple[ConfigProblem, ...]:
    """Directories that are watched twice, and archives in watched folders: each call would be found twice, or again."""
    roots = roots_of(folders)
    problems = []
    for folder in folders:
        first = watched_as(folder, roots)
        if first != folder.path:
            message = f"{folder.path} is the directory that is watched as {first} already, by a link or a mount."
            problems.append(ConfigProblem(f"folders.{folder.name}.path", message))
        if folder.archive_to and (around := watched_around(folder.archive_to, roots)):
            message = f"{folder.archive_to} lies inside the watched folder {around}, by a link or a mount."
            problems.append(ConfigProblem(f"folders.{folder.name}.archive_to", message))
    return tuple(problems)


def watched_as(folder: Folder, roots: Mapping[Identity, str]) -> str:
    """The path by which the configuration names this folder's directory first."""
    with suppress(OSError):
        root = Path(folder.path).stat()
        return roots.get((root.st_dev, root.st_ino), folder.path)
    return folder.path


def with_inner(folders: Sequence[Folder]) -> tuple[Folder, ...]:
    """The folders, each with the directories below it that others of them watch by another name: the nearest one owns a file."""
    mounts = _mounts()
    places = {folder.path: _place_of(folder.path, mounts) for folder in folders}
    return tuple(replace(folder, inner=_inner(folder, places)) for folder in folders)


def _inner(folder: Folder, places: Mapping[str, tuple[str, PurePosixPath]]) -> tuple[str, ...]:
    device, here = places[folder.path]
    below = {
        str(place.relative_to(here))
        for other, place in places.values()
        if other == device and place != here and place.is_relative_to(here)
    }
    return tuple(sorted({*folder.inner, *below}))


def _place_of(path: str, mounts: Sequence[tuple[PurePosixPath, str, PurePosixPath]]) -> tuple[str, PurePosixPath]:
    """The file system and the path in it: the same for each name of a directory, below whatever mount."""
    real = PurePosixPath(os.path.realpath(path))
    for point, device, root in mounts:
        if real.is_relative_to(point):
            return device, root / real.relative_to(point)
    return "", real


def _mounts() -> list[tuple[PurePosixPath, str, PurePosixPath]]:
    """(mount point, file system, directory in it that is mounted), by proc_pid_mountinfo(5); the innermost and latest first."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in reversed(lines):
        fields = line.split()
        root, point = (PurePosixPath(os.fsdecode(_unescaped(field))) for field in (fields[3], fields[4]))
        found.append((point, fields[2].decode(), root))
    return sorted(found, key=lambda mount: -len(mount[0].parts))


def _unescaped(field: bytes) -> bytes:
    """Blanks and backslashes in it are written as three octal digits."""
    for code in (b"\\040", b"\\011", b"\\012", b"\\134"):
        field = field.replace(code, bytes([int(code[1:], 8)]))
    return field
