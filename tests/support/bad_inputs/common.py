"""What every part of the collection is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason

GOOD_FIELDS: Mapping[str, str] = {
    "operator_name": "Анна Петрова",
    "operator_id": "201",
    "client_name": "Client",
    "client_id": "+79990000000",
    "date": "2025-04-24T14:34:19+03:00",
    "direction_outgoing": "true",
    "language": "ru-RU",
}

Expected: TypeAlias = tuple[State, Reason]


@dataclass(frozen=True, slots=True)
class BadInput:
    """`stem`.wav and its metadata, and the state and reason of its job: when it has been left alone for the quiet period, and,
    where that is something else, when it has been for `abandon_after`.
    """

    stem: str
    at_once: Expected
    later: Expected | None = None

    @property
    def in_the_end(self) -> Expected:
        return self.later or self.at_once


def good_sidecar(**changes: object) -> bytes:
    """A metadata file that can be sent; None takes a key out."""
    whole = {key: value for key, value in {**GOOD_FIELDS, **changes}.items() if value is not None}
    return json.dumps(whole, ensure_ascii=False).encode()


def put(directory: Path, stem: str, audio: bytes, metadata: bytes) -> None:
    (directory / f"{stem}.json").write_bytes(metadata)
    (directory / f"{stem}.wav").write_bytes(audio)


def seeded(whole: bytes, seed: int) -> bytes:
    """The same kind of file with another last sample, so that no two recordings are the same call."""
    return whole[:-2] + seed.to_bytes(2, "little") if len(whole) > 200 else whole
