"""Where an archived recording goes: names only, nothing is looked at or moved here."""

from __future__ import annotations

import itertools
from collections.abc import Callable


def choose_target(archive_to: str, audio_path: str, metadata_path: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """Absolute targets for both halves, neither of which exists: their paths below the folder's root, kept below
    `archive_to`. Where one is taken, both get the same number after the stem, so that they stay a pair.
    """
    stem = _stem_of(audio_path.rpartition("/")[2])
    base = archive_to.rstrip("/")
    for number in itertools.count():
        audio, metadata = (f"{base}/{free_name(path, stem, number)}" for path in (audio_path, metadata_path))
        if not exists(audio) and not exists(metadata):
            return audio, metadata
    raise AssertionError  # count() never ends


def partner_target(audio_target: str, audio_path: str, metadata_path: str) -> str:
    """The metadata's target for an audio target that `choose_target` chose, perhaps before a restart."""
    stem = _stem_of(audio_path.rpartition("/")[2])
    chosen = audio_target.rpartition("/")[2]
    suffix = audio_path.rpartition("/")[2][len(stem) :]
    digits = chosen[len(stem) : len(chosen) - len(suffix)].removeprefix(".")
    number = int(digits) if digits else 0
    base = audio_target.removesuffix(f"/{free_name(audio_path, stem, number)}")
    return f"{base}/{free_name(metadata_path, stem, number)}"


def free_name(path: str, stem: str, number: int) -> str:
    """`path` with `.number` after the audio's stem (before the last suffix where it has another stem); 0 changes nothing."""
    if number == 0:
        return path
    directory, slash, name = path.rpartition("/")
    head = stem if name.startswith(f"{stem}.") else _stem_of(name)
    return f"{directory}{slash}{head}.{number}{name[len(head) :]}"


def _stem_of(name: str) -> str:
    return name.rpartition(".")[0] or name
