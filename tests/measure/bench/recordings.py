"""Recordings to measure with: the same silence of a size, each with other bytes at its beginning, so that none is another's
duplicate.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from support.rig import FIELDS
from support.wavs import fmt

RATE_HZ, CHANNELS = 8000, 2
# Where a call's own name stands in its metadata, for a service that looks at bytes only.
MARK = "bench-{:06}"


@dataclass(frozen=True, slots=True)
class Size:
    name: str
    seconds: float

    @property
    def audio_bytes(self) -> int:
        return round(self.seconds * RATE_HZ) * CHANNELS * 2


TINY = Size("tiny", 3)
SMALL = Size("small", 30)
LARGE = Size("large", 4 * 3600)


def of_megabytes(megabytes: int) -> Size:
    return Size(f"{megabytes} MB", megabytes * 10**6 / (RATE_HZ * CHANNELS * 2))


@dataclass(frozen=True, slots=True)
class Recordings:
    """`count` pairs that lie in `directory`."""

    directory: Path
    size: Size
    count: int

    def audio(self, number: int) -> Path:
        return self.directory / f"call-{number:06}.wav"

    def metadata(self, number: int) -> Path:
        return self.directory / f"call-{number:06}.json"

    def sha256s(self) -> list[str]:
        """Of the audio, sorted."""
        return sorted(_sha256(self.audio(number)) for number in range(self.count))

    def move_to(self, directory: Path, number: int) -> None:
        """One pair, its metadata last, as a recorder puts it in place."""
        self.move_audio_to(directory, number)
        self.move_metadata_to(directory, number)

    def move_audio_to(self, directory: Path, number: int) -> None:
        path = self.audio(number)
        path.rename(directory / path.name)

    def move_metadata_to(self, directory: Path, number: int) -> None:
        path = self.metadata(number)
        path.rename(directory / path.name)

    def move_back(self, directory: Path) -> None:
        for path in directory.iterdir():
            path.rename(self.directory / path.name)


def make(directory: Path, size: Size, count: int, first: int = 0) -> Recordings:
    """They are on the disk: nothing is left to be written while something is measured, and still in the page cache."""
    directory.mkdir(parents=True)
    head = fmt(channels=CHANNELS, rate_hz=RATE_HZ) + b"data" + struct.pack("<I", size.audio_bytes)
    begin = b"RIFF" + struct.pack("<I", 4 + len(head) + size.audio_bytes) + b"WAVE" + head
    noise = os.urandom(min(size.audio_bytes, 2**20))
    made = Recordings(directory, size, count)
    for number in range(count):
        with made.audio(number).open("wb", buffering=0) as file:
            file.write(begin + struct.pack("<QQ", first + number, count))
            left = size.audio_bytes - 16
            while left > 0:
                left -= file.write(noise[:left])
        fields = {**FIELDS, "client_name": MARK.format(first + number)}
        made.metadata(number).write_text(json.dumps(fields, ensure_ascii=False), encoding="utf-8")
    os.sync()
    return made


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
