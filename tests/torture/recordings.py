"""What is dropped into the folder, and what must come of it."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from speechsense_watch.core.model import uid_of
from support.rig import FIELDS
from support.wavs import chunk, fmt, riff

STREAM_ABOVE = 4096
CHUNK_SIZE = 4096
# How long the audio is, in bytes, and how often.
SIZES = ((600, 40), (3_000, 15), (9_000, 15), (40_000, 20), (150_000, 8), (700_000, 2))
IN_A_DIRECTORY = 50


@dataclass(frozen=True, slots=True)
class Recording:
    """One call as it was dropped at `place`. `key` is in its fields and in no other's; `uid` is how the daemon knows it, be it at
    another place as well.
    """

    key: str
    place: str
    uid: str
    sha256: str
    size: int
    fields: Mapping[str, str]


class Recorder:
    """Plays the telephone exchange: every recording's bytes are its own, and each is renamed into place, the metadata last."""

    def __init__(self, folder: Path, aside: Path, connection_id: str, seed: int) -> None:
        self.folder, self._aside = folder, aside
        self._connection_id = connection_id
        self._chance = random.Random(seed)
        self._aside.mkdir(exist_ok=True)
        self.dropped: list[Recording] = []
        # Metadata that are still to come, by the place of their audio.
        self._late: dict[str, bytes] = {}

    def drop(self, size: int | None = None, *, later: bool = False) -> Recording:
        """A recording is there; `later` leaves its metadata to `complete`."""
        number = len(self.dropped)
        key = f"{self._chance.getrandbits(48):012x}-{number}"
        data = self._chance.randbytes((size or self._size()) // 4 * 4)
        audio = riff(fmt(), chunk(b"data", data))
        place = f"{number // IN_A_DIRECTORY:03}/call-{number:05}.wav"
        fields = {**FIELDS, "client_id": key}
        metadata = json.dumps(fields, ensure_ascii=False).encode()
        self._put(place, audio)
        self._late[place] = metadata
        if not later:
            self.complete(place)
        sent = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fields.items()}
        sha256 = hashlib.sha256(audio).hexdigest()
        uid = uid_of(self._connection_id, sha256, hashlib.sha256(metadata).hexdigest())
        recording = Recording(key, place, uid, sha256, len(audio), sent)
        self.dropped.append(recording)
        return recording

    def complete(self, place: str) -> None:
        """Its metadata come."""
        self._put(place.removesuffix(".wav") + ".json", self._late.pop(place))

    def complete_all(self) -> None:
        for place in list(self._late):
            self.complete(place)

    def copy(self, recording: Recording, place: str) -> None:
        """The same recording lies at another place as well, if it still lies at its own."""
        for ending in (".wav", ".json"):
            original = self.folder / (recording.place.removesuffix(".wav") + ending)
            if original.exists():
                self._put(place + ending, original.read_bytes())

    def touch(self, recording: Recording) -> None:
        """Its metadata look as if they had been written anew."""
        with suppress(FileNotFoundError):  # sent and put away
            os.utime(self.folder / (recording.place.removesuffix(".wav") + ".json"))

    def put(self, place: str, data: bytes) -> None:
        """Some file that is no recording."""
        self._put(place, data)

    def _size(self) -> int:
        sizes, weights = zip(*SIZES, strict=True)
        return int(self._chance.choices(sizes, weights)[0] * self._chance.uniform(0.8, 1.2))

    def _put(self, place: str, data: bytes) -> None:
        target, part = self.folder / place, self._aside / "part"
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.rename(target)
