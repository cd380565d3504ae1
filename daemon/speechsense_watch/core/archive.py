"""Where an archived recording goes: names only, nothing is looked at or moved here."""

from __future__ import annotations

import itertools
from collections.abc import Callable


def choose_target(
    archive_to: str, audio_path: str, metadata_path: str | None, exists: Callable[[str], bool]
) -> tuple[str, str | None]:
    """Absolute targets for both halves, neither of which exists: their paths below the folder's root, kept below
    `archive_to`. Where one is taken, both get the same number after the stem, so that they stay a pair. None for metadata
    that lies in no file.
    """
    stem = _stem_of(audio_path.rpartition("/")[2])
    base = archive_to.rstrip("/")
    for number in itertools.count():
        audio = f"{base}/{free_name(audio_path, stem, number)}"
        metadata = f"{base}/{free_name(metadata_path, stem, number)}" if metadata_path is not None else None
        if not exists(audio) and not (metadata is not None and exists(metadata)):
            return audio, metadata
    raise AssertionError  # count() never ends


def free_name(path: str, stem: str, number: int) -> str:
    """`path` with `.number` after the audio's stem (before the last suffix where it has another stem); 0 changes nothing."""
    if number == 0:
        return path
    directory, slash, name = path.rpartition("/")
    head = stem if name.startswith(f"{stem}.") else _stem_of(name)
    return f"{directory}{slash}{head}.{number}{name[len(head) :]}"


def _stem_of(name: str) -> str:
    return name.rpartition(".")[0] or name
