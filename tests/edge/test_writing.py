"""edge.writing: many recordings in one write, each whole or not at all, and of each no more than what a change changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import Change
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.verdict import Code, Outcome, judge
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ports import Arrival
from support.edges import BACKOFF, LATER, Taken, born
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue, recording


@pytest.fixture
def played(tmp_path: Path) -> Iterator[PlayedQueue]:
    played = PlayedQueue(tmp_path / "queue.db", ManualClock())
    with closing(played.queue):
        yield played


@pytest.fixture
def queue(played: PlayedQueue) -> SqliteQueue:
    return played.queue


def accepted(job: Job, talk_id: str = "talk") -> Change:
    outcome = Outcome(code=Code.OK, talk_id=talk_id, committed=True)
    return lifecycle.finished(job, outcome, judge(outcome), BACKOFF, LATER, 0.5)


def completed(content: str) -> Callable[[Job], Change]:
    return lambda waiting: lifecycle.completed(waiting, recording(content), LATER)


def events(queue: SqliteQueue, job_id: int) -> list[tuple[object, ...]]:
    found = queue.rows("SELECT event, from_state, to_state FROM events WHERE job_id = ? ORDER BY id", (job_id,))
    return [tuple(row.values()) for row in found]


def written(queue: SqliteQueue) -> list[str]:
    """From now on: the statements that reach the disk, and each end of a transaction."""
    statements: list[str] = []
    queue._db.conn.set_trace_callback(statements.append)
    return statements


def updates(statements: list[str]) -> set[str]:
    """Of jobs; SQLite tells of each once more for every trigger that it sets off."""
    return {statement for statement in statements if statement.startswith("UPDATE jobs")}


# --- many in one write -------------------------------------------------------------------------


def test_claims_of_many_are_one_write(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Each with its attempt, in the order in which they were handed in."""
    jobs = [played.ready(f"call-{number}") for number in range(5)]
    statements = written(queue)
    claimed = queue.apply_each([Arrival(lifecycle.claimed(job, played.claim_of(job, whole=True))) for job in jobs])
    assert statements.count("COMMIT") == 1
    assert [job and (job.id, job.state) for job in claimed] == [(job.id, State.COMMITTING) for job in jobs]
    assert queue.rows("SELECT count(*) AS n FROM attempts") == [{"n": 5}]


def test_what_cannot_be_entered_holds_up_none_of_the_others(played: PlayedQueue, queue: SqliteQueue) -> None:
    """One whose row was changed meanwhile, and one that another job stands for, leave nothing behind."""
    jobs = [played.ready(stem) for stem in ("first", "skipped", "twin", "last")]
    played.uploaded("holder")
    queue.apply(lifecycle.skipped(jobs[1], LATER))
    claims = [played.claim_of(job, whole=True) for job in jobs]
    claims[2] = Taken(content="holder").claim(jobs[2], whole=True)
    claimed = queue.apply_each([Arrival(lifecycle.claimed(job, claim)) for job, claim in zip(jobs, claims, strict=True)])
    assert [job and job.state for job in claimed] == [State.COMMITTING, None, None, State.COMMITTING]
    assert [queue.rows("SELECT state FROM jobs WHERE id = ?", (job.id,))[0]["state"] for job in jobs] == [
        *("committing", "skipped", "ready", "committing")
    ]
    tried = queue.rows("SELECT job_id FROM attempts WHERE job_id <= 4 ORDER BY job_id")
    assert [row["job_id"] for row in tried] == [jobs[0].id, jobs[3].id]


def test_of_what_fails_half_way_nothing_stays(played: PlayedQueue, queue: SqliteQueue) -> None:
    """The row was written, and its attempt cannot be, since there is one with that number: the row is as it was."""
    again, other = queue.apply(lifecycle.recovered(played.uploading("again"), LATER)), played.ready("other")
    with queue.transaction() as conn:
        conn.execute("UPDATE jobs SET claims = 0 WHERE id = ?", (again.id,))
    again = replace(again, claims=0)
    arrivals = [Arrival(lifecycle.claimed(job, played.claim_of(job, whole=True))) for job in (again, other)]
    claimed = queue.apply_each(arrivals)
    assert [job and job.state for job in claimed] == [None, State.COMMITTING]
    assert queue.job(again.id) == again
    assert events(queue, again.id)[-1] == ("given_back", "uploading", "ready")


def test_a_twin_in_the_same_write_is_not_claimed(played: PlayedQueue, queue: SqliteQueue) -> None:
    """The same recording at two places: one of them stands for it."""
    jobs = [played.ready(stem) for stem in ("call", "copy")]
    claims = [Taken(content="call").claim(job, whole=True) for job in jobs]
    claimed = queue.apply_each([Arrival(lifecycle.claimed(job, claim)) for job, claim in zip(jobs, claims, strict=True)])
    assert [job and job.state for job in claimed] == [State.COMMITTING, None]


# --- one after the other -----------------------------------------------------------------------


def test_a_chain_is_one_row_and_the_event_of_each_step(played: PlayedQueue, queue: SqliteQueue) -> None:
    """An accepted recording whose files stay is done at once, and its history tells both."""
    sent = played.uploading("call", whole=True)
    statements = written(queue)
    (done,) = queue.apply_each([Arrival(accepted(sent), (partial(lifecycle.filed, at=LATER),))])
    assert len(updates(statements)) == 1
    assert done == queue.job(sent.id)
    assert done is not None
    assert (done.state, done.talk_id) == (State.DONE, "talk")
    assert events(queue, sent.id)[-2:] == [("accepted", "committing", "uploaded"), ("filed", "uploaded", "done")]
    assert queue.rows("SELECT verdict FROM attempts") == [{"verdict": "accepted"}]


def test_a_new_row_goes_its_first_steps_at_once(queue: SqliteQueue) -> None:
    """It is made as the last one leaves it."""
    (job,) = queue.apply_each([Arrival(lifecycle.found(born(), LATER), (completed("call"),))])
    assert job is not None
    assert job == queue.job(job.id)
    assert job.state is State.READY
    assert events(queue, job.id) == [("found", None, "waiting"), ("completed", "waiting", "ready")]


def test_of_a_chain_whose_row_was_changed_nothing_is_written(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Neither the row nor one event."""
    sent = played.uploading("call", whole=True)
    queue.apply(lifecycle.recovered(sent, LATER))
    before = (queue.job(sent.id), events(queue, sent.id))
    assert queue.apply_each([Arrival(accepted(sent), (partial(lifecycle.filed, at=LATER),))]) == [None]
    assert (queue.job(sent.id), events(queue, sent.id)) == before


# --- what changes, and no more -----------------------------------------------------------------


def test_what_a_change_leaves_alone_others_may_write(played: PlayedQueue, queue: SqliteQueue) -> None:
    """A connection that was changed since the row was read stays changed."""
    seen = played.ready("call")
    queue.reconnect("calls", "new")
    after = queue.apply(lifecycle.vanished(seen, LATER))
    row = queue.job(seen.id)
    assert row is not None
    assert (row.state, row.connection_id) == (after.state, "new")


def test_a_change_writes_what_it_changes_alone(played: PlayedQueue, queue: SqliteQueue) -> None:
    """An end of an attempt has no business with where the files lie."""
    sent = played.uploading("call", whole=True)
    statements = written(queue)
    queue.apply(accepted(sent))
    (update,) = updates(statements)
    assigned = update.partition(" WHERE ")[0]
    assert "talk_id = " in assigned
    assert not any(f"{name} = " in assigned for name in ("place", "audio_path", "fields", "uid", "connection_id"))


def test_what_was_set_on_the_row_beforehand_is_written_with_the_change(played: PlayedQueue, queue: SqliteQueue) -> None:
    """A claim by the rules of now, an upload by hand that takes a row over."""
    row = played.ready("call")
    taken = replace(row, connection_id="another", forced=True)
    claimed = queue.apply(lifecycle.claimed(taken, played.claim_of(taken, whole=True)).of(row))
    assert queue.job(row.id) == claimed
    assert (claimed.connection_id, claimed.forced) == ("another", True)
