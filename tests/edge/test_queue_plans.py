"""edge.queue: what is asked every second costs the same however many recordings were ever sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from speechsense_watch.core.model import Place, State
from speechsense_watch.core.rules import Order
from speechsense_watch.edge.doubts import SqliteDoubts
from speechsense_watch.edge.on_record import SqliteOnRecord
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ports import Selection
from support.edges import AT
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rows import multiply

ONE = Selection(frozenset({"calls"}))
SEVERAL = Selection(frozenset({"calls", "others"}), frozenset({1, 2}), frozenset({"conn-2"}))
PATHS = ["a.wav", "deep/b.wav"]

Ask = Callable[[SqliteQueue], object]


def on_record(queue: SqliteQueue) -> SqliteOnRecord:
    return SqliteOnRecord(queue, "calls")


# what is asked, and the index that answers it
ASKED: dict[str, tuple[Ask, str]] = {
    "due, newest first": (lambda q: q.due(AT, 4, Order.NEWEST, ONE), "due"),
    "due, oldest first": (lambda q: q.due(AT, 4, Order.OLDEST, ONE), "due"),
    "due, by a choice": (lambda q: q.due(AT, 4, Order.NEWEST, SEVERAL), "due"),
    "next_due": (lambda q: q.next_due(ONE, ["calls"]), "unfinished"),
    "next_due, by a choice": (lambda q: q.next_due(SEVERAL, ["calls", "others"]), "unfinished"),
    "due, small ones": (lambda q: q.due(AT, 4, Order.NEWEST, replace(SEVERAL, most_bytes=2**24)), "due"),
    "due, suspects": (lambda q: q.due(AT, 1, Order.NEWEST, replace(SEVERAL, suspects=True)), "suspects"),
    "next_due, suspects": (lambda q: q.next_due(replace(SEVERAL, suspects=True), []), "suspects"),
    "uploaded_due": (lambda q: q.uploaded_due(AT, 200), "unfinished"),
    "next_filing": (lambda q: q.next_filing(), "unfinished"),
    "in_states": (lambda q: q.in_states([State.UNCONFIRMED]), "unfinished"),
    "in_states, two of them": (lambda q: q.in_states([State.UPLOADING, State.COMMITTING]), "unfinished"),
    "to_resend": (lambda q: q.to_resend(AT, ["calls"]), "unfinished"),
    "to_resend, of two folders": (lambda q: q.to_resend(AT, ["calls", "others"]), "unfinished"),
    "released_duplicates": (lambda q: q.released_duplicates(), "by_duplicate"),
    "reconnect": (lambda q: q.reconnect("calls", "conn-2"), "unfinished"),
    "holder_of": (lambda q: q.holder_of("ab" * 32), "one_job_a_uid"),
    "of_talk": (lambda q: q.of_talk("talk"), "by_talk"),
    "claims_of": (lambda q: q.claims_of("ab" * 32), "by_uid"),
    "at_place": (lambda q: q.at_place(Place("calls", "none.wav")), "by_place"),
    "at_places": (lambda q: q.at_places("calls", PATHS), "by_place"),
    "young, stopped": (lambda q: on_record(q).young(AT + timedelta(days=1), AT), "unfinished"),
    "young, uploaded": (lambda q: on_record(q).young(AT + timedelta(days=1), AT), "by_age"),
    "read_anew": (lambda q: on_record(q).read_anew(AT + timedelta(days=1)), "by_age"),
    "at": (lambda q: on_record(q).at(PATHS), "by_place"),
    "after": (lambda q: on_record(q).after("deep/b.wav", 4), "by_place"),
    "doubts": (lambda q: SqliteDoubts(q).doubts(["calls"], AT, "recording_id"), "unfinished"),
    "doubts, from the middle": (lambda q: SqliteDoubts(q).doubts(["calls"], AT, "recording_id", (1, 1)), "unfinished"),
    "checks": (lambda q: SqliteDoubts(q).checks(["calls"]), "with_leftovers"),
    "right_in": (lambda q: list(on_record(q).right_in("deep")), "by_place"),
    "thought_there": (lambda q: list(on_record(q).thought_there("deep")), "by_place"),
}


@pytest.fixture
def played(tmp_path: Path) -> Iterator[PlayedQueue]:
    played = PlayedQueue(tmp_path / "queue.db", ManualClock())
    yield played
    played.queue.close()


def plans(queue: SqliteQueue, ask: Ask) -> list[str]:
    """How SQLite goes about it: the lines of EXPLAIN QUERY PLAN of all statements that read or change jobs."""
    statements: list[str] = []
    conn = queue._db.conn
    conn.set_trace_callback(statements.append)
    try:
        ask(queue)
    finally:
        conn.set_trace_callback(None)
    verbs = ("SELECT", "UPDATE", "DELETE")
    asked = [sql for sql in statements if sql.startswith(verbs) and "jobs" in sql]
    assert asked
    return [row["detail"] for sql in asked for row in queue.rows(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize(("ask", "index"), ASKED.values(), ids=list(ASKED))
def test_an_index_answers_and_no_table_is_read_whole(played: PlayedQueue, ask: Ask, index: str) -> None:
    """Whether the queue is empty or not, since SQLite keeps no statistics here."""
    played.of_each_state()
    lines = plans(played.queue, ask)
    assert any(f"INDEX {index} " in f"{line} " for line in lines), lines
    # A subquery is what an index found before it, up to a limit.
    scans = [line for line in lines if line.startswith("SCAN") and "(subquery" not in line]
    assert scans == (["SCAN jobs USING INDEX due"] if index == "due" else [])


def test_due_jobs_are_not_sorted(played: PlayedQueue) -> None:
    """The index holds them in order: of a backlog of any length only the first few are read."""
    for order in Order:
        ask = ASKED["due, newest first" if order is Order.NEWEST else "due, oldest first"][0]
        assert plans(played.queue, ask) == ["SCAN jobs USING INDEX due"]


def test_doubts_are_not_sorted_nor_read_to_the_end(played: PlayedQueue) -> None:
    """Wherever their turn begins: the index holds them in order."""
    ask = ASKED["doubts, from the middle"][0]
    ahead, again = (line for line in plans(played.queue, ask) if "jobs" in line)
    assert ahead == "SEARCH jobs USING INDEX unfinished (state=? AND updated_at>?)"
    assert again == "SEARCH jobs USING INDEX unfinished (state=? AND updated_at<?)"
    assert not any("TEMP B-TREE" in line for line in plans(played.queue, ask))


def work_of(queue: SqliteQueue, ask: Ask) -> int:
    """Hundreds of steps of SQLite's machine, which do not depend on how busy this one is."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    conn = queue._db.conn
    conn.set_progress_handler(count, 100)
    try:
        ask(queue)
    finally:
        conn.set_progress_handler(None, 0)
    return steps


def test_the_work_does_not_grow_with_what_is_finished(played: PlayedQueue) -> None:
    """The same to a few hundred steps with twenty thousand more finished recordings; reading them would take tens of
    thousands.
    """
    played.of_each_state()
    done = played.done("call")
    few = {name: work_of(played.queue, ask) for name, (ask, _) in ASKED.items()}
    multiply(played.queue, done, 20_000)
    many = {name: work_of(played.queue, ask) for name, (ask, _) in ASKED.items()}
    assert work_of(played.queue, lambda q: q.rows("SELECT max(message) FROM jobs")) > 500
    assert {name: (few[name], steps) for name, steps in many.items() if steps > few[name] + 5} == {}


def test_the_backlog_does_not_slow_the_next_recordings(played: PlayedQueue) -> None:
    """Four of twenty thousand that are ready take no more than four of a few."""
    ready = played.ready("call")
    few = work_of(played.queue, ASKED["due, newest first"][0])
    multiply(played.queue, ready, 20_000)
    assert work_of(played.queue, ASKED["due, newest first"][0]) <= few + 5
