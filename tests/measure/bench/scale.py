"""How flat: a million pairs to take in, a million kept in place, and millions of rows on record.

Each has a module of its own, with a main of its own.
"""

from __future__ import annotations

from measure import kept, scale_intake, scale_rows
from measure.bench.figures import Found
from measure.bench.stage import Stage


def measure(stage: Stage) -> Found:
    found = Found()
    for each in (scale_intake, kept, scale_rows):
        found.add(each.for_bench(stage))
    return found
