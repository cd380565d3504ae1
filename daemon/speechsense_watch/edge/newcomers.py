"""Recordings that were found complete where nothing is on record: how their rows are made, one statement each.

A backlog of years comes in by this way, beside uploads that want the processor. That nothing is on record of the place is made
sure of in the statement itself.
"""

from __future__ import annotations

from functools import cache

from speechsense_watch.core.model import Job
from speechsense_watch.edge.rows import columns_of, placeholders


def insertion(job: Job) -> tuple[str, tuple[object, ...]]:
    """The statement, which changes nothing when its place has a row, and its parameters."""
    columns = columns_of(job)
    return _insertion(tuple(columns)), tuple(columns.values())


@cache
def _insertion(columns: tuple[str, ...]) -> str:
    at_the_place = " AND ".join(f"{name} = ?{columns.index(name) + 1}" for name in ("folder", "directory", "place"))
    return (
        f"INSERT INTO jobs ({', '.join(columns)}) SELECT {placeholders(columns)}"
        f" WHERE NOT EXISTS (SELECT 1 FROM jobs INDEXED BY by_place WHERE {at_the_place})"
    )
