"""edge.queue: what is asked every second costs the same however many recordings were ever sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from speechsense_watch.core.model import Place, State
from speechsense_watch.core.rules import Order
from speechsense_watch.edge.doubts import SqliteDoubts
from speechsense_watch.edge.on_record import SqliteOnRecord
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.records import Choice, Records
from speechsense_watch.ports import Selection
from support.edges import AT
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rows import multiply

ONE = Selection(frozenset({"calls"}))
SEVERAL = Selection(frozenset({"calls", "others"}), frozenset({1, 2}), frozenset({"conn-2"}))
PAUSED = Selection(frozenset({"calls"}), without_connections=frozenset({"conn-1"}))
PATHS = ["a.wav", "deep/b.wav"]

# Indexes of which all may be read: over what hardly ever is.
FEW = ("suspects", "changed")

Ask = Callable[[SqliteQueue], object]


def on_record(queue: SqliteQueue) -> SqliteOnRecord:
    return SqliteOnRecord(queue, "calls")


def listed(queue: SqliteQueue, **choice: Any) -> object:
    return list(Records(queue).jobs(Choice(**choice), 50))


# what is asked, and the index that answers it
ASKED: dict[str, tuple[Ask, str]] = {
    "due, newest first": (lambda q: q.due(AT, 4, Order.NEWEST, ONE), "due"),
    "due, oldest first": (lambda q: q.due(AT, 4, Order.OLDEST, ONE), "due"),
    "due, by a choice": (lambda q: q.due(AT, 4, Order.NEWEST, SEVERAL), "due"),
    "due, what was sent before": (
        lambda q: q.due(AT, 4, Order.NEWEST, Selection(frozenset(), again=frozenset({"calls"}))),
        "doubtful",
    ),
    "next_due": (lambda q: q.next_due(ONE, ["calls"]), "later"),
    "next_due, what is lost": (lambda q: q.next_due(ONE, ["calls"]), "unfinished"),
    "next_due, by a choice": (lambda q: q.next_due(SEVERAL, ["calls", "others"]), "later"),
    "bring_near": (lambda q: q.bring_near(AT + timedelta(days=400), AT + timedelta(days=300)), "later"),
    "unsent_places": (lambda q: list(q.unsent_places("calls")), "one_open_job_a_place"),
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
    "tried_before": (lambda q: q.tried_before("ab" * 32), "one_job_a_uid"),
    "tried_before, what is not sent": (lambda q: q.tried_before("ab" * 32), "uids_of_others"),
    "at_place": (lambda q: q.at_place(Place("calls", "none.wav")), "by_place"),
    "at_places": (lambda q: q.at_places("calls", PATHS), "by_place"),
    "young, stopped": (lambda q: on_record(q).young(AT + timedelta(days=1), AT), "unfinished"),
    "young, uploaded": (lambda q: on_record(q).young(AT + timedelta(days=1), AT), "finished"),
    "read_anew": (lambda q: on_record(q).read_anew(AT + timedelta(days=1)), "finished"),
    "at": (lambda q: on_record(q).at(PATHS), "by_place"),
    "after": (lambda q: on_record(q).after("deep/b.wav", 4), "by_place"),
    "doubts": (lambda q: SqliteDoubts(q).doubts(["calls"], AT, "recording_id"), "unfinished"),
    "doubts, from the middle": (lambda q: SqliteDoubts(q).doubts(["calls"], AT, "recording_id", (1, 1)), "unfinished"),
    "checks": (lambda q: SqliteDoubts(q).checks(["calls"]), "with_leftovers"),
    "directories": (lambda q: on_record(q).directories(), "by_place"),
    "listed, by state": (lambda q: listed(q, states=frozenset({State.REFUSED})), "unfinished"),
    "listed, since": (lambda q: listed(q, since=AT + timedelta(days=1)), "finished"),
    "listed, since, unfinished": (lambda q: listed(q, since=AT + timedelta(days=1)), "unfinished"),
    "listed, changed": (lambda q: listed(q, changed=True), "changed"),
    "rate": (lambda q: Records(q).accepted_since(AT + timedelta(days=1)), "finished"),
    "oldest, ready": (lambda q: Records(q).oldest(State.READY), "later"),
    "show a path": (lambda q: Records(q).at_path("calls", "ready.wav"), "by_place"),
    "trim": (lambda q: q.trim(AT - timedelta(days=1), AT, ["calls"]), "with_history"),
    "trim, forgotten": (lambda q: q.trim(AT - timedelta(days=1), AT, ["calls"]), "gone"),
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
    verbs = ("SELECT", "UPDATE", "DELETE", "WITH")
    asked = [sql for sql in statements if sql.lstrip().startswith(verbs) and "jobs" in sql]
    assert asked
    return [row["detail"] for sql in asked for row in queue.rows(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize(("ask", "index"), ASKED.values(), ids=list(ASKED))
def test_an_index_answers_and_no_table_is_read_whole(played: PlayedQueue, ask: Ask, index: str) -> None:
    """Whether the queue is empty or not, since SQLite keeps no statistics here."""
    played.of_each_state()
    lines = plans(played.queue, ask)
    assert any(f"INDEX {index} " in f"{line} " for line in lines), lines
    # A subquery is what an index found before it, up to a limit; of folders there are few.
    few = {"SCAN counts", "SCAN here", "SCAN first", "SCAN job", "SCAN CONSTANT ROW"} | {
        f"SCAN jobs USING INDEX {name}" for name in FEW
    }
    assert [line for line in lines if line.startswith("SCAN") and "(subquery" not in line and line not in few] == []


@pytest.mark.parametrize("order", Order)
def test_due_jobs_are_not_sorted(played: PlayedQueue, order: Order) -> None:
    """The index holds them in order: of a backlog of any length only the first few of each folder are read."""
    played.of_each_state()
    lines = plans(played.queue, lambda q: q.due(AT, 4, order, ONE))
    at = lines.index("SEARCH jobs USING INDEX due (folder=? AND connection_id=?)")
    assert not lines[at + 1].startswith("USE TEMP B-TREE")


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


def test_a_list_reads_no_further_than_it_shows(played: PlayedQueue) -> None:
    """What is found among the newest is not looked for among all the others."""
    multiply(played.queue, played.done("old"), 20_000)
    for number in range(3):
        played.done(f"new-{number}")
    steps = [work_of(played.queue, lambda q, n=n: list(Records(q).jobs(Choice(match="new-"), n))) for n in (3, 4)]  # type: ignore[misc]
    assert steps[0] < 20
    assert steps[1] > 500


# what is asked while so much is ready, be it that nothing of it may be picked
OF_WHAT_IS_READY: dict[str, Ask] = {
    "due, newest first": ASKED["due, newest first"][0],
    "due, oldest first": ASKED["due, oldest first"][0],
    "due, its connection pauses": lambda q: q.due(AT, 4, Order.NEWEST, PAUSED),
    "due, its trial is full": ASKED["due, what was sent before"][0],
    "due, of another folder": lambda q: q.due(AT, 4, Order.NEWEST, Selection(frozenset({"others"}))),
    "next_due": ASKED["next_due"][0],
    "next_due, its connection pauses": lambda q: q.next_due(PAUSED, ["calls"]),
    "next_due, suspects": ASKED["next_due, suspects"][0],
    "bring_near": ASKED["bring_near"][0],
    "reconnect": lambda q: q.reconnect("calls", "conn-1"),
    "counts": lambda q: q.counts(),
}


def test_the_backlog_does_not_slow_the_next_recordings(played: PlayedQueue) -> None:
    """Whether it may be sent now or not: twenty thousand that are ready take no more than one."""
    ready = played.ready("call")
    few = {name: work_of(played.queue, ask) for name, ask in OF_WHAT_IS_READY.items()}
    multiply(played.queue, ready, 20_000)
    many = {name: work_of(played.queue, ask) for name, ask in OF_WHAT_IS_READY.items()}
    assert {name: (few[name], steps) for name, steps in many.items() if steps > few[name] + 5} == {}
