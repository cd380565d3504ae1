"""Starts of a daemon, as far as they are about the queue and its journal."""

from __future__ import annotations

from datetime import UTC, datetime

from speechsense_watch.edge.machine import Machine
from speechsense_watch.edge.queue import SqliteQueue

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HERE = Machine("a" * 32, "pbx-old")
ELSEWHERE = Machine("b" * 32, "pbx-new")


def examined(queue: SqliteQueue, at: datetime = NOW, machine: Machine = HERE) -> int:
    """A start looks at queue and journal; how many talks only the journal knew, 0 also when nothing was suspicious."""
    found = queue.history.examine(machine, at)
    return found.talks if found else 0
