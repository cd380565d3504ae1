"""How far queue and journal were seen to agree, so that a start looks at what came since and not at millions of lines and rows.

The mark lies in the queue and says: this queue knows every line in the first so many bytes of the journal, and the journal has
a line for each of the so many talk ids that the queue held then. Both only ever grow, but for `forget`, which moves the mark.
Whatever was lost or replaced shows, and then everything is looked at as if there were no mark:

- the queue is lost: so is the mark with it.
- the queue is an older copy: so is its mark, and what came into the journal since lies behind it.
- the journal is lost, an older copy or another one: it ends before the mark, or what stands right before the mark is not what
  did; each line bears an id and a time that no other has.
- rows are gone, or have come, by another hand than ours: the triggers count them, and their number is not that of the mark with
  those that got their talk id since by their events. The same shows when events of that time have been trimmed, or an id of
  theirs was used again.

What a disk alters in the midst of the file without changing its length is not looked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from speechsense_watch.core.edges import Event
from speechsense_watch.edge.journal import Journal

# The edges on which a job gets its talk id.
WITH_TALK = frozenset({Event.ACCEPTED, Event.CONFIRMED, Event.ADOPTED})
_KEY = "agreed"
_WITH_TALK = ", ".join(f"'{event}'" for event in sorted(WITH_TALK))


class _Asked(Protocol):
    def tuples(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...


class _Writing(Protocol):
    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> object: ...


@dataclass(frozen=True, slots=True)
class Mark:
    """`size` bytes of the journal that end as `end` says; `talks` rows with a talk id, the latest `event` and row of `folders`,
    and how many `forgotten` calls there were then. `start`, `k` and `newest` are what the lines so far tell of starts.
    """

    size: int
    end: str
    talks: int
    event: int
    folders: int
    forgotten: int
    start: str = ""
    k: int = 0
    newest: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """What the queue holds at one moment."""

    talks: int
    event: int
    folders: int
    forgotten: int


def held(connection: _Asked) -> Held:
    talks = "SELECT coalesce(sum(n), 0) FROM counts WHERE state IN ('uploaded', 'done')"
    latest = (f"coalesce((SELECT max({which}), 0)" for which in ("id) FROM events", "rowid) FROM folders"))
    return Held(*connection.tuples(f"SELECT ({talks}), {', '.join(latest)}, (SELECT count(*) FROM forgotten)")[0])


def gained(connection: _Asked, since: Mark) -> list[tuple[str, str, int]]:
    """Uid, talk id and time of each job that got its talk id since then, as far as events tell."""
    those = f"SELECT job_id FROM events WHERE id > ? AND event IN ({_WITH_TALK})"
    sql = f"SELECT uid, talk_id, updated_at FROM jobs WHERE id IN ({those}) AND talk_id IS NOT NULL ORDER BY id"
    return connection.tuples(sql, (since.event,))


def mark_of(connection: _Asked, journal: Journal) -> Mark | None:
    """The mark, if it still holds. Raises QueueTrouble, OSError."""
    told = connection.tuples("SELECT value FROM runtime WHERE key = ?", (_KEY,))
    try:
        mark = Mark(**json.loads(told[0][0])) if told else None
    except (TypeError, ValueError):
        return None
    if mark is None or journal.end_at(mark.size) != mark.end:
        return None
    now = held(connection)
    as_told = now.talks == mark.talks + len(gained(connection, mark)) and now.forgotten == mark.forgotten
    return mark if as_told else None


def remember(conn: _Writing, mark: Mark) -> None:
    text = json.dumps(asdict(mark), sort_keys=True)
    conn.execute("INSERT INTO runtime VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (_KEY, text))
