"""Call records (CDR) of the exchange -> what they tell of one recording."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

CallRecord: TypeAlias = Mapping[str, str]

_UNIQUE_ID = re.compile(r"(?<![0-9])[0-9]{9,}\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Key:
    """What the call record of a recording is found by; `unique_id` is empty where the name holds none."""

    file_name: str
    unique_id: str = ""


def key_of(audio_path: str) -> Key:
    name = audio_path.rpartition("/")[2]
    found = _UNIQUE_ID.findall(name.rpartition(".")[0])
    return Key(name, found[-1] if found else "")


def spoken(records: Sequence[CallRecord]) -> CallRecord:
    """Of the lines about one call the one of the leg that spoke longest."""
    return max(records, key=lambda record: int(record.get("billsec") or 0))


def fields_of(record: CallRecord) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Our keys by what the record says, and a sentence for each decision."""
    date = record.get("start") or record.get("calldate") or ""
    return ({"date": date} if date else {}), ()
