"""How flat: a million pairs to take in, and millions of rows on record. Each has a module of its own, with a main of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec

from measure.bench.figures import Found
from measure.bench.stage import Stage

_MODULES = ("measure.scale_intake", "measure.scale_rows")


def measure(stage: Stage) -> Found:
    """What `for_bench(stage)` of each brings home."""
    found = Found()
    for name in _MODULES:
        if find_spec(name) is None:
            found.notes.append(f"{name}, which is not there")
            continue
        for_bench: Callable[[Stage], Found] = importlib.import_module(name).for_bench
        found.add(for_bench(stage))
    return found
