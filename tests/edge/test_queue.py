"""edge.queue: what was decided is carried out whole or not at all, and what is asked is answered in order."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import Change, Event
from speechsense_watch.core.model import Half, Job, Place, Problem, Recording, Stamp, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Order
from speechsense_watch.edge import queue_file
from speechsense_watch.edge.journal import TalkLine
from speechsense_watch.edge.on_record import SqliteOnRecord
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ports import Arrival, QueueTrouble, Selection, Stale, Tried, UidTaken
from support.edges import AT, CALLS, LATER, Taken, born
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue, recording
from support.rows import multiply
from support.starts import examined

CALLS_FOLDER = Selection(frozenset({"calls"}))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def played(tmp_path: Path, clock: ManualClock) -> Iterator[PlayedQueue]:
    played = PlayedQueue(tmp_path / "queue.db", clock)
    yield played
    played.queue.close()


@pytest.fixture
def queue(played: PlayedQueue) -> SqliteQueue:
    return played.queue


def trim_all(queue: SqliteQueue, before: datetime, forget_before: datetime, folders: list[str]) -> None:
    while queue.trim(before, forget_before, folders):
        pass


def dump(queue: SqliteQueue) -> list[list[dict[str, object]]]:
    return [queue.rows(f"SELECT * FROM {table}") for table in ("jobs", "events", "attempts", "counts")]  # noqa: S608


# --- carried out or not ------------------------------------------------------------------------


def test_a_change_decided_on_an_old_state_is_stale(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Somebody was first: nothing at all is written."""
    seen = played.ready("call")
    queue.apply(lifecycle.skipped(seen, LATER))
    before = dump(queue)
    with pytest.raises(Stale):
        queue.apply(lifecycle.claimed(seen, Taken().claim(seen, whole=True)))
    assert dump(queue) == before


def test_a_change_decided_before_another_claim_is_stale(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Ready again is not the same ready: the end of an attempt never meets a later one."""
    seen = played.ready("call")
    queue.apply(CALLS[Event.GIVEN_BACK](played.claim(seen), Taken()))
    assert queue.at_place(seen.place) is not None
    before = dump(queue)
    with pytest.raises(Stale):
        queue.apply(lifecycle.vanished(seen, LATER))
    assert dump(queue) == before


def test_what_several_keep_on_a_finished_row_is_not_taken_back(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Filer, intake, look-ups and commands change such a row without moving it: none by what it was before another was there."""
    seen = played.uploaded("filed")
    queue.apply(lifecycle.filing(seen, "/archive/filed.wav", None, LATER))
    with pytest.raises(Stale):
        queue.apply(lifecycle.looked_after(seen, LATER, "", doubled=True))
    done = played.done("retried")
    seen = queue.apply(lifecycle.changed_after_upload(done, LATER, "The metadata changed."))
    assert seen.audio is not None
    assert seen.metadata is not None
    queue.apply(lifecycle.retried(seen, LATER))
    with pytest.raises(Stale):
        queue.apply(lifecycle.seen_same(seen, seen.audio, seen.metadata, LATER))


def test_a_change_of_a_row_that_is_gone_is_stale(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Trimmed meanwhile."""
    job = played.ready("call")
    with pytest.raises(Stale):
        queue.apply(lifecycle.skipped(replace(job, id=99), LATER))


def test_a_second_job_for_an_open_place_is_stale(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Two that find the same recording make one row of it; once it is done the place is free."""
    played.found("call")
    with pytest.raises(Stale):
        queue.apply(lifecycle.found(born(), AT))
    played.done("other")
    assert queue.apply(lifecycle.found(born("other.wav"), AT)).id > 2


def test_a_recording_that_another_job_stands_for_is_not_claimed(played: PlayedQueue, queue: SqliteQueue) -> None:
    """The error names that job; nothing is written."""
    holder = played.uploaded("call")
    twin = played.ready("twin")
    before = dump(queue)
    with pytest.raises(UidTaken) as taken:
        queue.apply(lifecycle.claimed(twin, Taken(content="call").claim(twin, whole=True)))
    assert taken.value.holder == holder.id
    assert dump(queue) == before
    assert queue.holder_of(holder.uid or "") == holder


def test_a_change_leaves_its_event_and_its_attempt(played: PlayedQueue, queue: SqliteQueue) -> None:
    """In the same transaction: when, what, from where to where, and what the service said."""
    job = played.refused("call", "date is lacking")
    events = queue.rows("SELECT event, from_state, to_state, detail FROM events WHERE job_id = ? ORDER BY id", (job.id,))
    assert [tuple(event.values()) for event in events] == [
        ("found", None, "waiting", "Complete."),
        ("completed", "waiting", "ready", ""),
        ("committing", "ready", "committing", "attempt 1"),
        ("refused", "committing", "refused", "SpeechSense said INVALID_ARGUMENT: date is lacking"),
    ]
    (attempt,) = queue.rows("SELECT n, request_id, code, message, verdict FROM attempts")
    assert tuple(attempt.values()) == (1, f"request-{job.id}-1", "INVALID_ARGUMENT", "date is lacking", "refused")


def test_two_connections_at_one_claim_have_one_winner(played: PlayedQueue, queue: SqliteQueue, tmp_path: Path) -> None:
    """The daemon and a command."""
    job = played.ready("call")
    with closing(SqliteQueue(tmp_path / "queue.db")) as other:
        assert other.job(job.id) == job
        queue.apply(lifecycle.claimed(job, Taken().claim(job, whole=True)))
        with pytest.raises(Stale):
            other.apply(lifecycle.claimed(job, Taken().claim(job, whole=True)))


# --- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("inode", [0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_inode_numbers_of_64_bits_come_back(queue: SqliteQueue, inode: int) -> None:
    """SQLite's integers are signed, the numbers of some file systems (CIFS, XFS) use all bits."""
    job = queue.apply(lifecycle.found(born(), AT))
    halves = (Half(Stamp(inode, 2**40, -1)), Half(Stamp(inode, 0, 2**62)))
    stored = queue.apply(lifecycle.found_unusable(job, Problem(Reason.NOT_PCM, "GSM."), AT, *halves))
    assert (stored.audio, stored.metadata) == halves


@pytest.mark.parametrize(
    "stem", ["Звонок", "a\nb", "a\tb'\"%_", "\udcff\udc80", "plain \udce9 mixed é", "😀", "deep/er/call", "a\\b"]
)
def test_every_name_a_file_system_allows_comes_back(queue: SqliteQueue, stem: str) -> None:
    """Names are bytes and need not be UTF-8."""
    job = replace(born(f"{stem}.wav"), message=f"About {stem}.")
    stored = queue.apply(lifecycle.found(job, AT))
    assert (stored.place, stored.audio_path, stored.metadata_path) == (job.place, f"{stem}.wav", f"{stem}.json")
    assert queue.at_place(job.place) == stored
    assert list(queue.at_places("calls", [job.place.path])) == [job.place.path]
    assert list(SqliteOnRecord(queue, "calls").at([job.place.path])) == [stored.place.path]


def test_fields_come_back_as_they_were(queue: SqliteQueue) -> None:
    """In their order, whatever they hold."""
    fields = {"z": "", "a": 'Ключ \x00 😀 \\ "', "": "x", "date": "2026-03-01T09:00:00+03:00"}
    job = queue.apply(lifecycle.found(born(), AT))
    stored = queue.apply(lifecycle.completed(job, replace(recording("call"), fields=fields), AT))
    assert list(stored.fields.items()) == list(fields.items())


@pytest.mark.parametrize("microseconds", [0, 1, 999_999])
@pytest.mark.parametrize("year", [1970, 2026, 9999])
def test_times_come_back_to_the_microsecond(queue: SqliteQueue, year: int, microseconds: int) -> None:
    """Aware, in UTC."""
    at = AT.replace(year=year, microsecond=microseconds)
    stored = queue.apply(lifecycle.found(replace(born(), recorded_at=at), at))
    assert (stored.recorded_at, stored.created_at, stored.created_at.utcoffset()) == (at, at, timedelta(0))


# --- by place --------------------------------------------------------------------------------


def test_of_a_place_the_open_job_comes_before_the_done_ones(played: PlayedQueue, queue: SqliteQueue) -> None:
    """And without an open one, the newest done."""
    first = played.done("call")
    assert queue.at_place(first.place) == first
    second = queue.apply(lifecycle.found(born(), AT))
    assert queue.at_place(first.place) == second
    second = queue.apply(lifecycle.completed(second, recording("another"), AT))
    for event in (Event.COMMITTING, Event.ACCEPTED, Event.FILED):
        second = queue.apply(CALLS[event](second, Taken(content="another", talk_id="talk-2")))
    assert queue.at_place(first.place) == second
    assert queue.at_place(Place("elsewhere", "call.wav")) is None


def test_many_places_are_asked_for_at_once(played: PlayedQueue, queue: SqliteQueue) -> None:
    """More of them than fit into one statement; what has no job is left out."""
    job = played.found("call")
    ids = multiply(queue, job, 1300)
    paths = [f"many/{number:08d}.wav" for number in range(1, 1301)]
    found = queue.at_places("calls", [*paths, "call.wav", "none.wav", "many"])
    assert sorted(each.id for each in found.values()) == [job.id, *ids]
    assert found["many/00000007.wav"].place.path == "many/00000007.wav"


@pytest.mark.parametrize("path", ["/call.wav", "/var/calls/call.wav"])
def test_a_recording_outside_every_folder_is_found_by_its_absolute_path(queue: SqliteQueue, path: str) -> None:
    """Right below the root of the file system too."""
    job = queue.apply(lifecycle.found(born(path, folder=""), AT))
    assert queue.at_place(Place("", path)) == job


# --- what is due -------------------------------------------------------------------------------


def test_due_jobs_come_in_order_and_no_more_than_asked_for(played: PlayedQueue, queue: SqliteQueue) -> None:
    """By when they were recorded, out of thousands in no order at all."""
    job = played.ready("call")
    spread = multiply(queue, job, 2500, recorded_at="recorded_at + ((i * 7919) % 2500 + 1) * 1000000")
    now = played.clock.now()
    by_time = [row["id"] for row in queue.rows("SELECT id FROM jobs ORDER BY recorded_at")]
    oldest = [each.id for each in queue.due(now, 3000, Order.OLDEST, CALLS_FOLDER)]
    assert oldest == by_time
    assert len(set(spread)) == 2500
    assert [each.id for each in queue.due(now, 5, Order.NEWEST, CALLS_FOLDER)] == by_time[:-6:-1]


def test_due_is_only_what_may_go_now(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Ready, its time come, of these folders, not in work, its connection not paused."""
    job = played.ready("call")
    multiply(queue, job, 2000, next_attempt_at="next_attempt_at + (i % 5) * 1000000")
    multiply(queue, job, 300, folder="'other'")
    multiply(queue, job, 200, connection_id="'conn-2'")
    played.of_each_state()
    now = played.clock.now()

    def due(choice: Selection, seconds: float = 0.0) -> int:
        return len(queue.due(now + timedelta(seconds=seconds), 10_000, Order.OLDEST, choice))

    both = frozenset({"calls", "other"})
    of_each_state = 1
    assert due(CALLS_FOLDER) == 1 + 400 + 200 + of_each_state
    assert due(CALLS_FOLDER, 2.0) == 1 + 1200 + 200 + of_each_state
    assert due(Selection(both)) == 1 + 400 + 300 + 200 + of_each_state
    assert due(Selection(both, without_jobs=frozenset({job.id, 2}))) == 399 + 300 + 200 + of_each_state
    assert due(Selection(both, without_connections=frozenset({"conn-1"}))) == 200
    assert due(Selection(both, without_connections=frozenset({"conn-1", "conn-2"}))) == 0
    assert due(Selection(frozenset({"other"}))) == 300
    assert due(Selection(frozenset())) == 0


def test_when_the_next_job_is_due(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Of those that are ready, by the same choice, and of those that are unconfirmed where that means sending again."""
    assert queue.next_due(CALLS_FOLDER, ["calls"]) is None
    now = played.clock.now()
    job = played.failed("call")
    assert queue.next_due(CALLS_FOLDER, []) == job.next_attempt_at != now
    assert queue.next_due(Selection(frozenset()), ["calls"]) is None
    nothing_ready = Selection(frozenset({"calls"}), frozenset({job.id}))
    assert queue.next_due(nothing_ready, ["calls"]) is None
    assert queue.next_due(Selection(frozenset({"calls"}), frozenset(), frozenset({"conn-1"})), ["calls"]) is None
    played.clock.advance(-60)
    unconfirmed = played.unconfirmed("other")
    assert queue.next_due(nothing_ready, ["others", "calls"]) == unconfirmed.next_attempt_at
    assert queue.next_due(CALLS_FOLDER, ["calls"]) == unconfirmed.next_attempt_at != job.next_attempt_at
    for held in ([], ["others"]):
        assert queue.next_due(nothing_ready, held) is None
    played.uploaded("third")
    assert queue.next_due(CALLS_FOLDER, []) == job.next_attempt_at


def test_what_is_sent_again_comes_in_its_turn(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Unconfirmed, its time come, in folders where that is the rule; what an `upload` command holds is left to it."""
    second, first = played.unconfirmed("b"), played.unconfirmed("a")
    queue._db.conn.execute("UPDATE jobs SET updated_at = updated_at - 1 WHERE id = ?", (first.id,))
    held = played.unconfirmed("held")
    queue._db.conn.execute("UPDATE jobs SET owner = '1:2' WHERE id = ?", (held.id,))
    later = played.clock.now() + timedelta(hours=1)
    assert [job.id for job in queue.to_resend(later, ["calls", "others"])] == [first.id, second.id]
    assert queue.to_resend(played.clock.now(), ["calls"]) == []
    assert queue.to_resend(later, ["others"]) == []
    assert queue.to_resend(later, []) == []


def test_what_is_to_be_filed_comes_in_its_turn(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Uploaded and due, those first that wait for longest."""
    assert queue.next_filing() is None
    first = played.uploaded("b")
    failed = played.filing_failed("c")
    played.clock.advance(10)
    second = played.uploaded("a")
    now = played.clock.now()
    assert [job.id for job in queue.uploaded_due(now, 10)] == [first.id, second.id]
    assert [job.id for job in queue.uploaded_due(now, 1)] == [first.id]
    assert queue.next_filing() == first.next_attempt_at
    later = now + timedelta(minutes=2)
    assert [job.id for job in queue.uploaded_due(later, 10)] == [first.id, failed.id, second.id]


def test_jobs_are_listed_by_state(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Those first that have been in it for longest; done ones too when they are asked for."""
    jobs = played.of_each_state()
    for state in State:
        assert queue.in_states([state]) == [jobs[state]]
    assert len(queue.in_states(tuple(State))) == 11
    assert len(queue.in_states(tuple(State), 4)) == 4
    played.clock.advance(-100)
    earlier = played.lost("earlier")
    assert [job.id for job in queue.in_states([State.LOST])] == [earlier.id, jobs[State.LOST].id]


@pytest.mark.parametrize("state", [State.WAITING, State.READY, State.UPLOADED, State.REFUSED, State.SKIPPED, State.UNCONFIRMED])
def test_duplicates_of_what_ended_without_a_talk_id_are_released(played: PlayedQueue, queue: SqliteQueue, state: State) -> None:
    """Not while the other may still get one, nor while it is ready."""
    holder = played.of_each_state()[state]
    twin = played.ready("twin")
    duplicate = queue.apply(lifecycle.duplicate(twin, holder.id, LATER))
    released = state in (State.WAITING, State.REFUSED, State.SKIPPED)
    assert queue.released_duplicates() == ([duplicate] if released else [])


def test_a_new_connection_takes_over_what_is_not_under_way(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Waiting and ready jobs of that folder; what may have been sent keeps the connection it was sent to."""
    jobs = played.of_each_state()
    queue.reconnect("elsewhere", "new")
    queue.reconnect("calls", "new")
    changed = {state for state, job in jobs.items() if queue.job(job.id) != job}
    assert changed == {State.WAITING, State.READY}
    assert {job.connection_id for job in queue.in_states([State.WAITING, State.READY])} == {"new"}


def test_the_claim_counter_of_a_recording_is_over_all_its_jobs(played: PlayedQueue, queue: SqliteQueue) -> None:
    """So that a recording id is never given twice."""
    refused = played.refused("call")
    assert queue.tried_before(refused.uid or "") == Tried(1, in_doubt=False)
    twin = played.ready("twin")
    claim = replace(Taken(content="call").claim(twin, whole=True), n=7)
    queue.apply(lifecycle.claimed(twin, claim))
    assert queue.tried_before(refused.uid or "") == Tried(7, in_doubt=False)
    assert queue.tried_before("0" * 64) == Tried(0, in_doubt=False)


# --- counters ----------------------------------------------------------------------------------


def test_the_counters_are_what_counting_would_say(played: PlayedQueue, queue: SqliteQueue) -> None:
    """By folder and state, over births, edges, moves and deaths; all eleven states, 0 where there is none."""
    played.of_each_state()
    job = played.done("call")
    multiply(queue, job, 500)
    multiply(queue, job, 300, folder="'other'")
    queue.apply(lifecycle.seen_gone(job, AT))
    trim_all(queue, AT, AT + timedelta(days=1), ["calls"])
    counted = queue.rows("SELECT folder, state, count(*) AS n FROM jobs GROUP BY folder, state ORDER BY folder, state")
    assert queue.rows("SELECT * FROM counts WHERE n > 0 ORDER BY folder, state") == counted
    assert (queue.counts()[State.DONE], queue.counts("calls")[State.DONE], queue.counts("other")[State.DONE]) == (801, 501, 300)
    assert set(queue.counts("nowhere").items()) == {(state, 0) for state in State}


# --- beside other processes ------------------------------------------------------------------------


def version_of(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA data_version").fetchone()[0])


def test_runtime_is_written_only_when_it_changes(queue: SqliteQueue, tmp_path: Path) -> None:
    """The file is not touched by the same value, not even after a restart."""
    with closing(sqlite3.connect(tmp_path / "queue.db")) as onlooker:
        queue.set_runtime("paused", [{"scope": "service", "since": None}])
        version = version_of(onlooker)
        queue.set_runtime("paused", [{"since": None, "scope": "service"}])
        assert version_of(onlooker) == version
        with closing(SqliteQueue(tmp_path / "queue.db")) as restarted:
            version = version_of(onlooker)
            restarted.set_runtime("paused", [{"scope": "service", "since": None}])
            assert version_of(onlooker) == version
        queue.set_runtime("paused", [])
        assert version_of(onlooker) != version
    assert queue.runtime() == {"paused": []}


def test_the_same_runtime_value_asks_nothing_of_the_queue(queue: SqliteQueue) -> None:
    """The loops say it every second, and nobody waits for a lock for that."""
    queue.set_runtime("paused", [])
    statements: list[str] = []
    queue._db.conn.set_trace_callback(statements.append)
    queue.set_runtime("paused", [])
    assert statements == []
    queue.set_runtime("paused", ["service"])
    assert statements != []


def test_the_runtime_values_are_those_of_everybody(queue: SqliteQueue, tmp_path: Path) -> None:
    """Asked again and again they are read once; what another process or this one wrote since is seen at once."""
    with closing(SqliteQueue(tmp_path / "queue.db")) as other:
        other.set_runtime("a", 1)
        assert queue.runtime() == {"a": 1}
        other.set_runtime("a", 2)
        assert queue.runtime() == {"a": 2}
        queue.set_runtime("b", 3)
        assert queue.runtime() == other.runtime() == {"a": 2, "b": 3}
    statements: list[str] = []
    queue._db.conn.set_trace_callback(statements.append)
    assert queue.runtime() == {"a": 2, "b": 3}
    assert not any("FROM runtime" in statement for statement in statements)


def test_what_another_process_wrote_is_noticed_once(played: PlayedQueue, queue: SqliteQueue, tmp_path: Path) -> None:
    """One's own writing is no news."""
    played.ready("own")
    assert not queue.changed_elsewhere()
    with closing(SqliteQueue(tmp_path / "queue.db")) as other:
        assert not queue.changed_elsewhere()
        other.set_runtime("a", 1)
        assert queue.changed_elsewhere()
        assert not queue.changed_elsewhere()
        assert not other.changed_elsewhere()


def test_reading_goes_on_beside_a_writer(played: PlayedQueue, queue: SqliteQueue, tmp_path: Path) -> None:
    """It sees what is committed and nothing of what is not, and waits for nobody."""
    job = played.ready("call")
    with closing(SqliteQueue(tmp_path / "queue.db", read_only=True)) as reader, queue.transaction() as conn:
        conn.execute("UPDATE jobs SET message = 'half way'")
        assert reader.job(job.id) == job
        assert reader.counts()[State.READY] == 1


def test_who_only_reads_cannot_write(played: PlayedQueue, tmp_path: Path) -> None:
    """Whatever the code asks."""
    job = played.ready("call")
    with closing(SqliteQueue(tmp_path / "queue.db", read_only=True)) as reader:
        with pytest.raises(QueueTrouble, match="readonly"):
            reader.apply(lifecycle.skipped(job, AT))
        with pytest.raises(QueueTrouble, match="readonly"):
            reader.set_runtime("a", 1)


def test_who_only_reads_creates_nothing(tmp_path: Path) -> None:
    """No file, no tables, no journal."""
    with pytest.raises(QueueTrouble, match="unable to open"):
        SqliteQueue(tmp_path / "queue.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


HOLDER = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
conn.close()
"""


def test_a_queue_that_another_process_holds_is_a_passing_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, then told; nothing is lost or half written, and it goes on once the other has let go."""
    monkeypatch.setattr(queue_file, "_BUSY_TIMEOUT_MS", 50)
    path = tmp_path / "queue.db"
    with closing(SqliteQueue(path)) as queue:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(QueueTrouble, match="locked") as trouble:
                queue.apply(lifecycle.found(born(), AT))
            assert not trouble.value.fatal
            assert queue.counts()[State.WAITING] == 0
        assert queue.apply(lifecycle.found(born(), AT)).id == 1


def test_every_write_waits_ten_seconds_for_others(queue: SqliteQueue) -> None:
    """Commands and the daemon write in turns."""
    assert queue.rows("PRAGMA busy_timeout") == [{"timeout": 10_000}]


# --- folders and journal ---------------------------------------------------------------------------


def test_a_folder_is_first_watched_once(queue: SqliteQueue, tmp_path: Path) -> None:
    """By name and path; the journal remembers it for a queue that is lost."""
    assert queue.first_watched("calls", "/in/\udcff", AT) == AT
    assert queue.first_watched("calls", "/in/\udcff", LATER) == AT
    assert queue.first_watched("calls", "/elsewhere", LATER) == LATER
    queue.close()
    for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with closing(SqliteQueue(tmp_path / "queue.db")) as lost:
        assert lost.first_watched("calls", "/in/\udcff", LATER) == AT
        assert lost.first_watched("calls", "/third", LATER) == LATER


def test_every_talk_id_has_its_line_in_the_journal(played: PlayedQueue, queue: SqliteQueue) -> None:
    """From the service's answer or the operator's word; nothing else has one."""
    played.of_each_state()
    queue.apply(lifecycle.confirmed(played.unconfirmed("b"), "talk-b", AT))
    lines = [line.talk_id for line in queue.history._journal.lines() if isinstance(line, TalkLine)]
    assert lines == ["talk-uploaded", "talk-done", "talk-b"]


def test_a_talk_id_that_was_adopted_has_its_line_too(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Whoever gave it would otherwise see the call sent again when the queue is lost; but no line twice for one that came from
    the journal itself.
    """
    job = played.ready("a")
    queue.apply(lifecycle.adopted(job, played.claim_of(job), "talk-a"))
    assert [line.talk_id for line in queue.history._journal.lines() if isinstance(line, TalkLine)] == ["talk-a"]


def test_what_comes_from_the_journal_is_not_written_there_again(played: PlayedQueue, queue: SqliteQueue) -> None:
    """A lost queue of a million recordings would double it."""
    job = played.ready("a")
    claim = played.claim_of(job)
    queue.history._journal.talk(claim.uid, "talk-a", AT)
    assert examined(queue) == 1
    queue.apply(lifecycle.adopted(job, claim, "talk-a"))
    assert len([line for line in queue.history._journal.lines() if isinstance(line, TalkLine)]) == 1


def test_many_talk_ids_are_one_commit_and_one_write_to_the_journal(
    played: PlayedQueue, queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is returned before both are on disk."""
    jobs = [played.ready(f"call-{number}") for number in range(50)]
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _descriptor: synced.append(queue.counts()[State.DONE]))
    arrivals = [
        Arrival(
            job,
            (
                partial(lifecycle.adopted, claim=played.claim_of(job), talk_id=f"talk-{job.id}"),
                partial(lifecycle.filed, at=AT),
            ),
        )
        for job in jobs
    ]
    done = queue.apply_each(arrivals)
    assert [job and job.state for job in done] == [State.DONE] * 50
    assert set(synced) == {50}
    assert len(synced) <= 2
    assert len(list(queue.history._journal.lines())) == 50


def newcomer(stem: str, read: Recording | None = None) -> Arrival:
    place = Place("calls", f"{stem}.wav")
    born = Job(
        id=0,
        state=State.WAITING,
        place=place,
        audio_path=place.path,
        metadata_path=f"{stem}.json",
        connection_id="conn-1",
        created_at=AT,
        updated_at=AT,
        recorded_at=AT,
        reason=Reason.READ_AGAIN,
        message="Complete.",
    )
    return Arrival(lifecycle.found(born, AT), [lambda job: lifecycle.completed(job, read or recording(stem), AT)], free=True)


def test_newcomers_are_as_the_two_edges_would_leave_them(queue: SqliteQueue) -> None:
    """Row and history, each in its place."""
    (entered,) = queue.apply_each([newcomer("new")])
    old = newcomer("old")
    assert isinstance(old.row, Change)
    by_edges = queue.apply(old.then[0](queue.apply(old.row)))
    assert entered is not None
    assert queue.job(entered.id) == entered
    apart: dict[str, Any] = {
        "id": 0,
        "place": entered.place,
        "audio_path": None,
        "metadata_path": None,
        "audio": None,
        "metadata": None,
    }
    assert replace(entered, **apart) == replace(by_edges, **apart)
    assert (entered.audio, entered.metadata) == (recording("new").audio, recording("new").metadata)
    histories = [
        [tuple(row.values())[2:] for row in queue.rows("SELECT * FROM events WHERE job_id = ? ORDER BY id", (job_id,))]
        for job_id in (entered.id, by_edges.id)
    ]
    assert histories[0] == histories[1]
    assert len(histories[0]) == 2


def test_a_newcomer_whose_place_has_a_row_by_now_is_not_entered(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Be it open or done: another process or an event was quicker. Nor is one that no row can hold; the others are."""
    played.ready("open")
    played.done("done")
    big = replace(recording("big"), audio=Half(Stamp(1, 2**70, 1)))
    stems = ("a", "open", "done", "big", "a", "b")
    jobs = queue.apply_each([newcomer(stem, big if stem == "big" else None) for stem in stems])
    assert [job is not None for job in jobs] == [True, False, False, False, False, True]
    assert queue.counts() == dict.fromkeys(State, 0) | {State.READY: 3, State.DONE: 1}
    assert all(queue.job(job.id) == job for job in jobs if job is not None)


def test_the_journal_tells_what_a_lost_queue_had_sent(played: PlayedQueue, queue: SqliteQueue, tmp_path: Path) -> None:
    """Written with the talk id; a start fills in what it lacks; what the queue knows is no news."""
    sent = [played.uploaded("a"), queue.apply(lifecycle.confirmed(played.unconfirmed("b"), "talk-b", AT))]
    (tmp_path / "queue.db.journal").unlink()
    assert queue.history.fill() == 2
    assert queue.history.fill() == 0
    assert examined(queue) == 0
    queue.close()
    (tmp_path / "queue.db").unlink()
    with closing(SqliteQueue(tmp_path / "queue.db")) as lost:
        assert examined(lost) == 2
        assert [lost.journal_talk(job.uid or "") for job in sent] == ["talk-a", "talk-b"]
        assert lost.journal_talk("0" * 64) is None


# --- history -----------------------------------------------------------------------------------


def test_history_trims_what_is_told_and_never_what_was_sent(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Fields, events and attempts go; the row with uid and talk id stays, and open jobs keep all."""
    jobs = played.of_each_state()
    at = played.clock.now() + timedelta(days=91)
    trim_all(queue, at, AT - timedelta(days=1), ["calls"])
    for state, job in jobs.items():
        left: Job | None = queue.job(job.id)
        told = queue.rows("SELECT 1 FROM events WHERE job_id = ?", (job.id,))
        if state in (State.DONE, State.SKIPPED):
            assert left == replace(job, fields={})
            assert told == []
        else:
            assert left == job
            assert told != []
    done = jobs[State.DONE]
    assert queue.holder_of(done.uid or "") is not None


def test_history_is_trimmed_in_parts(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Each a write of its own, so that no upload waits for a million of them; none is trimmed twice, unless it changed since."""
    multiply(queue, played.done("call"), 1_200)
    at = played.clock.now() + timedelta(days=91)
    assert [queue.trim(at, AT - timedelta(days=1), ["calls"]) for _ in range(4)] == [500, 500, 201, 0]
    job = queue.job(7)
    assert job
    assert job.fields == {}
    queue.apply(lifecycle.seen_gone(job, AT))
    assert [queue.trim(at, AT - timedelta(days=1), ["calls"]) for _ in range(2)] == [1, 0]
    assert queue.rows("SELECT 1 FROM events WHERE job_id = 7") == []


def test_a_row_is_forgotten_only_long_after_its_file_was_gone(played: PlayedQueue, queue: SqliteQueue) -> None:
    """Where its folder's root is there; its line in the journal goes first."""
    there = played.done("there")
    gone = queue.apply(lifecycle.seen_gone(played.done("gone"), AT))
    elsewhere = queue.apply(lifecycle.seen_gone(played.done("elsewhere"), AT))
    queue._db.conn.execute("UPDATE jobs SET folder = 'away' WHERE id = ?", (elsewhere.id,))
    trim_all(queue, AT, AT, ["calls"])
    assert queue.job(gone.id) is not None
    trim_all(queue, AT, AT + timedelta(seconds=1), ["calls"])
    assert [bool(queue.job(job.id)) for job in (there, gone, elsewhere)] == [True, False, True]
    assert {line.uid for line in queue.history._journal.lines() if isinstance(line, TalkLine)} == {there.uid, elsewhere.uid}
