"""edge.on_record: rows by the hundred, of each place the one that counts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.known import Known
from speechsense_watch.core.model import Problem, Stamp, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.edge import on_record as module
from speechsense_watch.edge.on_record import SqliteOnRecord
from speechsense_watch.edge.queue import SqliteQueue
from support.edges import LATER
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rows import multiply


@pytest.fixture
def played(tmp_path: Path) -> Iterator[PlayedQueue]:
    played = PlayedQueue(tmp_path / "queue.db", ManualClock())
    yield played
    played.queue.close()


@pytest.fixture
def queue(played: PlayedQueue) -> SqliteQueue:
    return played.queue


@pytest.fixture
def calls(queue: SqliteQueue) -> SqliteOnRecord:
    return SqliteOnRecord(queue, "calls")


@pytest.fixture
def elsewhere(queue: SqliteQueue) -> SqliteOnRecord:
    return SqliteOnRecord(queue, "elsewhere")


def test_a_row_comes_as_far_as_it_is_about_files(played: PlayedQueue, calls: SqliteOnRecord) -> None:
    """State and reason, and what both halves were."""
    played.unusable("call")
    played.found("half")
    assert calls.at(["call.wav"])["call.wav"] == Known(
        path="call.wav",
        state=State.UNUSABLE,
        reason=Reason.NOT_PCM,
        gone=False,
        audio_path="call.wav",
        audio=Stamp(7, 32044, 1),
        metadata_path="call.json",
        metadata=Stamp(7, 32044, 1),
    )
    half = calls.at(["half.wav"])["half.wav"]
    assert (half.state, half.audio, half.metadata_path, half.metadata) == (State.WAITING, None, None, None)


def test_of_several_rows_at_a_place_the_open_one_counts_else_the_newest(
    played: PlayedQueue, queue: SqliteQueue, calls: SqliteOnRecord
) -> None:
    """As `at_place` has it, however the rows are asked for."""
    queue.apply(lifecycle.seen_gone(played.done("call"), LATER))
    played.done("call ")
    with queue.transaction() as conn:
        conn.execute("UPDATE jobs SET place = CAST('call.wav' AS BLOB), audio_path = CAST('call.wav' AS BLOB)")
    for found in (calls.at(["call.wav"])["call.wav"], *calls.after("", 10)):
        assert (found.state, found.gone) == (State.DONE, False)
    played.found("call")
    for found in (calls.at(["call.wav"])["call.wav"], *calls.after("", 10)):
        assert found.state is State.WAITING


def test_a_round_comes_by_every_place_once(played: PlayedQueue, queue: SqliteQueue, calls: SqliteOnRecord) -> None:
    """Directory by directory, in portions of any size."""
    done = played.done("call")
    multiply(queue, done, 25)
    played.found("deeper/still/call")
    played.found("many")
    for most in (1, 7, 100):
        at, came = "", []
        while rows := calls.after(at, most):
            assert len(rows) <= most
            came += [known.path for known in rows]
            at = came[-1]
        assert len(came) == len(set(came)) == calls.count() == 28
        assert came[:2] == ["call.wav", "many.wav"]


def test_the_places_whose_files_are_thought_to_be_there(
    played: PlayedQueue, queue: SqliteQueue, calls: SqliteOnRecord, elsewhere: SqliteOnRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those not done, and those done and not seen gone; right in that directory, page by page."""
    jobs = played.of_each_state()
    gone = queue.apply(lifecycle.seen_gone(played.done("gone"), LATER))
    played.found("deeper/call")
    by_path = {job.place.path: job for job in (*jobs.values(), gone)}
    for page in (3, 2_000):
        monkeypatch.setattr(module, "_A_PAGE", page)
        places = [path for some in calls.thought_there("") for path in some]
        assert len(places) == len(set(places))
        assert {by_path[path].state for path in places} == set(State) - {State.SKIPPED, State.LOST}
        assert gone.place.path not in places
        assert jobs[State.DONE].place.path in places
    assert sorted(calls.directories()) == ["", "deeper"]
    assert elsewhere.directories() == []


def test_what_is_right_in_a_directory_comes_bare(
    played: PlayedQueue, queue: SqliteQueue, calls: SqliteOnRecord, elsewhere: SqliteOnRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, without the directory; what was seen gone is left out, and metadata that lie elsewhere have no name."""
    odd = os.fsdecode(b"odd \xff\xc3")
    for stem in ("day/b", f"day/{odd}", "day/deeper/call", "other"):
        played.ready(stem)
    queue.apply(lifecycle.seen_gone(played.done("day/gone"), LATER))
    played.unusable("day/a", Reason.NOT_PCM)
    with queue.transaction() as conn:
        conn.execute("UPDATE jobs SET metadata_path = CAST('meta/b.json' AS BLOB) WHERE place = CAST('day/b.wav' AS BLOB)")
    whole = [
        ("a.wav", "unusable", "not_pcm", 32044, 1, "a.json", 32044, 1),
        ("b.wav", "ready", None, 32044, 1, None, 120, 1),
        (f"{odd}.wav", "ready", None, 32044, 1, f"{odd}.json", 120, 1),
    ]
    for page in (2, 3, 2_000):
        monkeypatch.setattr(module, "_A_PAGE", page)
        assert [row for rows in calls.right_in("day") for row in rows] == whole
    assert list(elsewhere.right_in("day")) == list(calls.right_in("none")) == []


def test_the_rows_of_one_place_come_together(
    played: PlayedQueue, queue: SqliteQueue, calls: SqliteOnRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On whatever page it lies: of several of them nobody may take one for all."""
    for stem in ("a", "b", "c "):
        played.done(stem)
    with queue.transaction() as conn:
        conn.execute(
            "UPDATE jobs SET place = CAST('b.wav' AS BLOB), audio_path = CAST('b.wav' AS BLOB) WHERE talk_id = 'talk-c '"
        )
    for most in (2, 3, 2_000):
        monkeypatch.setattr(module, "_A_PAGE", most)
        pages = [[row[0] for row in rows] for rows in calls.right_in("")]
        assert [name for page in pages for name in page] == ["a.wav", "b.wav", "b.wav"]
        assert any(page.count("b.wav") == 2 for page in pages)


def test_what_is_young(played: PlayedQueue, calls: SqliteOnRecord, elsewhere: SqliteOnRecord) -> None:
    """Uploaded since one moment, stopped since another; and whatever waits for its own files, however long it does."""
    jobs = played.of_each_state()
    grows = played.found("grows", Reason.STILL_CHANGING)
    now = played.clock.now()
    later = now + timedelta(seconds=1)
    stopped = {jobs[state].place.path for state in (State.UNUSABLE, State.REFUSED, State.SKIPPED)}
    assert {known.path for known in calls.young(later, later)} == {grows.place.path}
    assert {known.path for known in calls.young(later, now)} == {grows.place.path} | stopped
    assert {known.path for known in calls.young(now, later)} == {grows.place.path, jobs[State.DONE].place.path}
    assert elsewhere.young(now, now) == []


def test_of_a_flood_the_newest_are_young(
    played: PlayedQueue, queue: SqliteQueue, calls: SqliteOnRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a scan stays short."""
    skipped = played.skipped("call")
    multiply(queue, skipped, 40, updated_at="updated_at + i")
    monkeypatch.setattr(module, "_MOST_YOUNG", 10)
    at = played.clock.now()
    assert {known.path for known in calls.young(at, at)} == {f"many/{number:08d}.wav" for number in range(31, 41)}


def test_what_a_command_wants_to_be_read_anew(
    played: PlayedQueue, queue: SqliteQueue, calls: SqliteOnRecord, elsewhere: SqliteOnRecord
) -> None:
    """`retry`, of what stopped and of what changed after its upload; not what was found gone, nor what was done just now."""
    now = played.clock.now()
    played.done("plain")
    queue.apply(lifecycle.seen_gone(played.done("gone"), now + timedelta(seconds=5)))
    refused = queue.apply(lifecycle.retried(played.refused("refused"), now))
    changed = queue.apply(lifecycle.retried(played.changed("changed"), now))
    assert {known.path for known in calls.read_anew(now)} == {refused.place.path, changed.place.path}
    assert calls.read_anew(now + timedelta(seconds=1)) == []
    assert elsewhere.read_anew(now) == []


def test_inodes_of_64_bits_come_back(played: PlayedQueue, queue: SqliteQueue, calls: SqliteOnRecord) -> None:
    """SQLite's integers are signed."""
    job = played.unusable("call")
    assert job.audio is not None
    inode = 2**64 - 3
    problem = Problem(Reason.NOT_PCM, "The audio is GSM.")
    anew = queue.apply(lifecycle.read_anew(job, problem, LATER))
    queue.apply(lifecycle.found_unusable(anew, problem, LATER, replace(job.audio, stamp=Stamp(inode, 1, 2)), None))
    assert calls.at(["call.wav"])["call.wav"].audio == Stamp(inode, 1, 2)
