"""What the service is told to do wrong, by chance or to one recording."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

Order: TypeAlias = Mapping[str, object]

# Codes that refuse, which a service has no reason to answer with once it has stored the talk: ordered before that only.
REFUSING = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
REFUSING_MORE = ("NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED")
# Codes that leave it open, at any moment.
OPEN = (
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
    "UNKNOWN",
    "ABORTED",
    "CANCELLED",
    "DATA_LOSS",
    "OUT_OF_RANGE",
    "ALREADY_EXISTS",
)
PHASES = ("before", "mid", "after")
# How late a request is stored that was told to have failed: sooner than a look-up may take it for absent.
LATEST_S = 1.0
# Audio that is cut short becomes a talk whenever that happens: grpc/grpc#33038 made of some broken streams whole ones.
TRUNCATED: Order = {"what": "commit_truncated", "count": 0}


def by_chance(chance: random.Random) -> list[Order]:
    """The faults of one life of the daemon: mostly a few."""
    return [TRUNCATED, *(_one(chance) for _ in range(chance.choice((0, 0, 1, 1, 2, 4))))]


def _one(chance: random.Random) -> Order:
    count = chance.choice((1, 1, 1, 2, 3))
    match chance.choices(("open", "lost", "late", "delay", "slow", "hang", "refusing", "more"), (28, 22, 8, 20, 5, 8, 4, 5))[0]:
        case "open":
            return {"what": chance.choice(OPEN), "when": chance.choice(PHASES), "count": count}
        case "lost":
            return {"what": "lost_answer", "count": count}
        case "late":
            return {"what": "late_commit", "seconds": round(chance.uniform(0.1, LATEST_S), 2), "count": count}
        case "slow":
            return {"what": "slow", "bytes_per_s": chance.choice((20_000, 100_000)), "count": count}
        case "delay":
            return {
                "what": "delay",
                "when": chance.choice(PHASES),
                "seconds": round(chance.uniform(0.05, 0.6), 2),
                "count": count,
            }
        case "hang":
            return {"what": "hang", "when": chance.choice(PHASES)}
        case "refusing":
            return {"what": chance.choice(REFUSING), "when": chance.choice(PHASES[:2])}
        case _:
            wait = chance.choice(({}, {"pushback_ms": "150"}, {"retry_delay_s": 0.2}))
            return {"what": chance.choice(REFUSING_MORE), "when": chance.choice(PHASES[:2]), **wait}


def one_of(key: str, what: str, when: str = "before") -> Order:
    """One fault for the recording of this key."""
    return {"what": what, "when": when, "fields": {"client_id": key}}


def give(service_directory: Path, orders: Iterable[Order]) -> None:
    """These are in force from the service's next look on, in place of those before."""
    service_directory.mkdir(parents=True, exist_ok=True)
    fresh = service_directory / "faults.new"
    fresh.write_text(json.dumps(list(orders)))
    fresh.replace(service_directory / "faults.json")
