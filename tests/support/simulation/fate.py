"""What goes wrong: with one try of one recording, and with the whole world for a while."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from speechsense_watch.core.verdict import Code
from support.simulation.service import Spell


class Way(StrEnum):
    """How a try goes at the service."""

    FINE = "fine"
    BROKEN = "broken body"
    TRUNCATED = "broken body, stored as if it were whole"
    LOST_ANSWER = "answer lost after storing"
    NEVER_STORED = "answer lost, nothing stored"
    ZOMBIE = "answer lost, stored minutes later"
    REFUSED = "refused"


class Crash(StrEnum):
    """Where the daemon dies."""

    BEFORE_CLAIM = "before the claim"
    AFTER_CLAIM = "after the claim"
    AFTER_MARK = "after the commit mark"
    AFTER_LAST_BYTE = "after the last byte"
    BEFORE_RECORDING = "before the answer is recorded"
    AFTER_RECORDING = "after the answer is recorded"
    BEFORE_RULING = "before a look-up's answer is recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often what happens, as shares of all tries; the lag of the index is lognormal."""

    broken: float = 0.10
    # Of the broken streams: the Python server was seen to store 4 of 59, and 1 of 12 when the client was killed.
    truncated: float = 0.07
    lost_answer: float = 0.06
    never_stored: float = 0.02
    zombie: float = 0.02
    zombie_at_most_s: float = 300.0
    refused: float = 0.01
    crash: float = 0.02
    search_fails: float = 0.03
    lag_median_s: float = 10.0
    lag_sigma: float = 0.7
    # So many talks were measured by before the life begins.
    measured_before: int = 0
    # How many to expect in one life.
    outages: float = 2
    stalls: float = 0.3
    blind_spells: float = 0.3


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one try. `code` is what the client is told when it does not go fine."""

    way: Way
    crash: Crash | None
    one_message: bool
    code: Code
    body_s: float
    answer_s: float
    late_s: float
    lag_s: float


_TROUBLE = (Code.UNAVAILABLE, Code.INTERNAL, Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.UNKNOWN)
_CRASHES = tuple(crash for crash in Crash if crash is not Crash.BEFORE_RULING)
_DOWN = (Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.UNAUTHENTICATED)


def lag_s(chance: Random, faults: Faults) -> float:
    return faults.lag_median_s * math.exp(faults.lag_sigma * chance.gauss(0.0, 1.0))


def fate_of(chance: Random, faults: Faults, *, probe: bool, refused: bool) -> Fate:
    one_message = chance.random() < 0.6 and not probe
    drawn = chance.random()
    way = Way.REFUSED if refused else Way.FINE
    for share, each in (
        (faults.broken, Way.BROKEN),
        (faults.lost_answer, Way.LOST_ANSWER),
        (faults.never_stored, Way.NEVER_STORED),
        (faults.zombie, Way.ZOMBIE),
    ):
        if 0.0 <= drawn < share and not refused:
            way = each
        drawn -= share
    if way is Way.BROKEN and not one_message and chance.random() < faults.truncated:
        way = Way.TRUNCATED
    return Fate(
        way=way,
        crash=chance.choice(_CRASHES) if chance.random() < faults.crash else None,
        one_message=one_message,
        code=chance.choice(_TROUBLE),
        body_s=chance.uniform(0.2, 4.0),
        answer_s=chance.uniform(0.1, 1.5),
        late_s=chance.uniform(1.0, faults.zombie_at_most_s),
        lag_s=lag_s(chance, faults),
    )


def spells(chance: Random, how_many: int, length_s: tuple[float, float], over_s: float, *, down: bool = False) -> Sequence[Spell]:
    """So many, apart from each other, in equal parts of the time."""
    found = []
    for i in range(how_many):
        part = over_s / how_many
        start = part * i + chance.uniform(0.1, 0.4) * part
        end = min(start + chance.uniform(*length_s), part * (i + 1))
        found.append(Spell(start, end, chance.choice(_DOWN) if down else ""))
    return found
