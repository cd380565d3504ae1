"""What is dropped into the folder, and what must come of it."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.rig import FIELDS
from support.wavs import chunk, fmt, riff

STREAM_ABOVE = 4096
CHUNK_SIZE = 4096
# How long the audio is, in bytes, and how often.
SIZES = ((600, 40), (3_000, 15), (9_000, 15), (40_000, 20), (150_000, 8), (700_000, 2))
IN_A_DIRECTORY = 50


@dataclass(frozen=True, slots=True)
class Recording:
    """One call as it was dropped at `place`. `key` is in its fields and in no other's."""

    key: str
    place: str
    sha256: str
    size: int
    fields: Mapping[str, str]

    @property
    def streamed(self) -> bool:
        return self.size > STREAM_ABOVE


class Recorder:
    """Plays the telephone exchange: every recording's bytes are its own, and each is renamed into place, the metadata last."""

    def __init__(self, folder: Path, aside: Path, seed: int) -> None:
        self.folder, self._aside = folder, aside
        self._chance = random.Random(seed)
        self._aside.mkdir(exist_ok=True)
        self.dropped: list[Recording] = []

    def drop(self, size: int | None = None) -> Recording:
        number = len(self.dropped)
        key = f"{self._chance.getrandbits(48):012x}-{number}"
        data = self._chance.randbytes(2 * ((size or self._size()) // 2))
        audio = riff(fmt(), chunk(b"data", data[: len(data) // 4 * 4]))
        place = f"{number // IN_A_DIRECTORY:03}/call-{number:05}.wav"
        fields = {**FIELDS, "client_id": key}
        self._put(place, audio)
        self._put(place.removesuffix(".wav") + ".json", json.dumps(fields, ensure_ascii=False).encode())
        sent = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fields.items()}
        recording = Recording(key, place, hashlib.sha256(audio).hexdigest(), len(audio), sent)
        self.dropped.append(recording)
        return recording

    def _size(self) -> int:
        sizes, weights = zip(*SIZES, strict=True)
        return int(self._chance.choices(sizes, weights)[0] * self._chance.uniform(0.8, 1.2))

    def _put(self, place: str, data: bytes) -> None:
        target, part = self.folder / place, self._aside / "part"
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.rename(part, target)
