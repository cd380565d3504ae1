"""The reading commands' questions, asked of a real queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.attention import Group
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.edge.disk import disk_of
from speechsense_watch.edge.records import Choice, NotReadable, Records, opened
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def played(path: Path, clock: ManualClock) -> Iterator[PlayedQueue]:
    queue = PlayedQueue(path, clock)
    yield queue
    queue.queue.close()


@pytest.fixture
def records(played: PlayedQueue, path: Path) -> Iterator[Records]:
    """Beside the connection that writes, as beside a daemon."""
    with opened(path) as view:
        yield view


def stems(records: Records, choice: Choice, limit: int = 0) -> list[str]:
    return [job.place.path.removesuffix(".wav") for job in records.jobs(choice, limit)]


# --- without a queue -------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b""])
def test_without_a_queue_everything_is_empty_and_nothing_is_created(tmp_path: Path, content: bytes | None) -> None:
    """No file, or one that a starting daemon has only just made."""
    path = tmp_path / "queue.db"
    if content is not None:
        path.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    now = ManualClock().now()
    with opened(path) as records:
        assert (records.counts(), records.groups(now), records.runtime(), records.folder_paths()) == ({}, (), {}, {})
        assert (records.job(1), records.last_upload_at(), records.oldest(State.READY)) == (None, None, None)
        assert (list(records.jobs(Choice())), records.accepted_since(now), records.first_watched("a", "/a")) == ([], 0, None)
        assert (records.events(1), records.attempts(1), records.at_path("a", "b"), records.with_talk("t")) == ([], [], [], [])
    assert sorted(tmp_path.iterdir()) == before


def test_a_directory_that_is_not_there_is_no_queue(tmp_path: Path) -> None:
    """Before the first start not even the directory exists."""
    with opened(tmp_path / "none" / "queue.db") as records:
        assert records.counts() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_tables_is_an_empty_queue(path: Path) -> None:
    """A daemon that starts at this very moment has made the file and not its tables."""
    import sqlite3  # noqa: PLC0415 - only to make such a file

    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with opened(path) as records:
        assert records.counts() == {}


def test_a_queue_that_this_user_may_not_read_is_told_as_that(
    played: PlayedQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue belongs to the service's user."""
    monkeypatch.setattr("speechsense_watch.edge.records.os.access", lambda *_: False)
    with pytest.raises(NotReadable, match=r"may not read the queue .*queue\.db"), opened(path):
        pass


# --- the whole -------------------------------------------------------------------------------


def test_counts_are_by_folder_and_state(played: PlayedQueue, records: Records) -> None:
    """Every state of every folder that holds jobs."""
    played.of_each_state()
    played.folder = "more"
    played.ready("other")
    assert records.counts() == {"calls": dict.fromkeys(State, 1), "more": {State.READY: 1}}


def test_jobs_that_need_the_operator_come_in_groups(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """Those of one folder, state and reason together, with the number and sentence of the one that stands longest."""
    begun = clock.now()
    first = played.unusable("a", message="The audio is GSM, the first.")
    clock.advance(60)
    played.unusable("b")
    played.unusable("c", Reason.NOT_WAV)
    expected = Group(
        state=State.UNUSABLE,
        folder="calls",
        reason=Reason.NOT_PCM,
        count=2,
        since=begun,
        first=first.id,
        message="The audio is GSM, the first.",
    )
    groups = {(group.state, group.reason): group for group in records.groups(clock.now())}
    assert groups[State.UNUSABLE, Reason.NOT_PCM] == expected
    assert groups[State.UNUSABLE, Reason.NOT_WAV].count == 1


def test_every_state_that_may_need_the_operator_has_its_group(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """Waiting, queued and finished recordings have none, uploaded ones only when their filing failed."""
    played.of_each_state()
    played.changed("changed")
    played.filing_failed("filing")
    found = {(group.state, group.reason) for group in records.groups(clock.now())}
    assert found == {
        (State.UNUSABLE, Reason.NOT_PCM),
        (State.REFUSED, Reason.SERVICE_REFUSED),
        (State.LOST, Reason.VANISHED_BEFORE_UPLOAD),
        (State.UNCONFIRMED, Reason.OUTCOME_UNKNOWN),
        (State.UPLOADED, Reason.FILING_FAILED),
        (State.DONE, Reason.CHANGED_AFTER_UPLOAD),
    }


def test_those_that_wait_for_a_source_have_one_after_two_minutes(
    played: PlayedQueue, records: Records, clock: ManualClock
) -> None:
    """What waits for the recorder has none, however long; a database that is started again is nobody's concern."""
    played.found("a")
    begun = clock.now()
    first = played.found("b", Reason.SOURCE_UNREADABLE, "The database refuses us.")
    clock.advance(1)
    played.found("c", Reason.SOURCE_UNREADABLE, "The database refuses us.")
    assert records.groups(begun + timedelta(minutes=2)) == ()
    (group,) = records.groups(begun + timedelta(minutes=3))
    assert (group.state, group.reason, group.count, group.overdue) == (State.WAITING, Reason.SOURCE_UNREADABLE, 2, True)
    assert (group.since, group.first, group.message) == (begun, first.id, "The database refuses us.")


@pytest.mark.parametrize(("state", "patience"), [(State.UNCONFIRMED, timedelta(days=1)), (State.UPLOADED, timedelta(hours=1))])
def test_patience_ends_after_a_day_or_an_hour(
    played: PlayedQueue, records: Records, clock: ManualClock, state: State, patience: timedelta
) -> None:
    """Unknown outcomes are overdue after a day, filing after an hour."""
    played.unconfirmed("a") if state is State.UNCONFIRMED else played.filing_failed("a")
    for waited, overdue in ((patience, False), (patience + timedelta(seconds=1), True)):
        assert [group.overdue for group in records.groups(clock.now() + waited)] == [overdue]


def test_accepted_uploads_are_counted_by_when_they_were_accepted(
    played: PlayedQueue, records: Records, clock: ManualClock
) -> None:
    """Filed or not, told by the answer or by a look-up; refusals and earlier ones do not count, nor does a later change."""
    early = played.uploaded("early")
    clock.advance(60)
    since = clock.now()
    played.done("a")
    played.uploaded("b")
    played.refused("c")
    played.apply(lifecycle.filed(early, clock.now()))
    played.apply(lifecycle.confirmed(played.unconfirmed("d"), "talk-d", clock.now()))
    assert records.accepted_since(since) == 3


def test_the_last_upload_is_when_the_last_talk_id_came(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """Later events of other kinds do not move it; an operator's word that SpeechSense has it does."""
    assert records.last_upload_at() is None
    uploaded = played.uploaded("a")
    at = clock.now()
    clock.advance(60)
    played.apply(lifecycle.filed(uploaded, clock.now()))
    unknown = played.unconfirmed("b")
    assert records.last_upload_at() == at
    played.apply(lifecycle.confirmed(unknown, "talk-b", clock.now()))
    assert records.last_upload_at() == clock.now()


def test_the_oldest_job_is_the_one_found_first(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """By when it was found, however often it failed since."""
    begun = clock.now()
    old = played.ready("old")
    clock.advance(60)
    played.ready("new")
    clock.advance(60)
    played.end(played.claim(old), Outcome(code=Code.INTERNAL))
    assert (records.oldest(State.READY), records.oldest(State.WAITING)) == (begun, None)


def test_what_the_daemon_told_and_where_folders_lie(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """As it was written; a folder that moved is where it lay last."""
    played.queue.set_runtime("paused", [])
    played.queue.first_watched("calls", "/old", clock.now())
    clock.advance(1)
    played.queue.first_watched("calls", "/new\udcff", clock.now())
    assert records.runtime() == {"paused": []}
    assert records.folder_paths() == {"calls": "/new\udcff"}
    assert records.first_watched("calls", "/new\udcff") == clock.now()
    assert records.first_watched("calls", "/elsewhere") is None


# --- lists -----------------------------------------------------------------------------------


def test_lists_are_newest_first_and_limited(played: PlayedQueue, records: Records) -> None:
    """0 is no limit."""
    for stem in "abc":
        played.ready(stem)
    assert stems(records, Choice()) == ["c", "b", "a"]
    assert stems(records, Choice(), 2) == ["c", "b"]


@pytest.mark.parametrize(("limit", "count"), [(0, 7), (5, 5), (6, 6), (7, 7), (100, 7)])
def test_a_long_list_comes_page_by_page(
    played: PlayedQueue, records: Records, monkeypatch: pytest.MonkeyPatch, limit: int, count: int
) -> None:
    """No row is lost or doubled between pages."""
    monkeypatch.setattr("speechsense_watch.edge.records._PAGE", 3)
    for number in range(7):
        played.ready(str(number))
    assert stems(records, Choice(), limit) == ["6", "5", "4", "3", "2", "1", "0"][:count]


def test_a_list_is_chosen_by_state_folder_time_and_change(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """Each on its own and all together."""
    played.ready("old")
    played.folder = "more"
    clock.advance(3600)
    half_past = clock.now()
    played.ready("new")
    played.changed("changed")
    assert stems(records, Choice(states=frozenset({State.READY}))) == ["new", "old"]
    assert stems(records, Choice(states=frozenset({State.READY, State.DONE}), folder="more")) == ["changed", "new"]
    assert stems(records, Choice(folder="calls")) == ["old"]
    assert stems(records, Choice(since=half_past)) == ["changed", "new"]
    assert stems(records, Choice(changed=True)) == ["changed"]
    assert stems(records, Choice(states=frozenset({State.READY}), since=half_past)) == ["new"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CALL-7", ["2025/call-7"]),
        ("5/call", ["2025/call-7"]),
        ("talk-done", ["done"]),
        ("100%", ["100%"]),
        ("a_b", ["a_b"]),
        ("back\\slash", ["back\\slash"]),
        ("\udcff", ["not\udcff"]),
        ("звонок", ["звонок"]),
        ("201", []),
        ("nothing", []),
    ],
)
def test_a_match_is_part_of_a_path_or_id(played: PlayedQueue, records: Records, text: str, found: list[str]) -> None:
    """Letter by letter, whatever it means to SQL, in any bytes; values of fields are not searched."""
    for stem in ("2025/call-7", "100%", "a_b", "axb", "back\\slash", "not\udcff", "звонок"):
        played.ready(stem)
    played.done("done")
    assert stems(records, Choice(match=text)) == found


def test_a_match_by_uid(played: PlayedQueue, records: Records) -> None:
    """The identity that the recording was sent with."""
    played.done("a")
    uid = played.done("b").uid
    assert uid
    assert stems(records, Choice(match=uid[:20])) == ["b"]


# --- one job ---------------------------------------------------------------------------------


def test_a_job_by_number_path_metadata_and_talk(played: PlayedQueue, records: Records) -> None:
    """All lead to the same job."""
    job = played.done("a")
    assert records.job(job.id) == job
    assert list(records.at_path("calls", "a.wav")) == [job]
    assert list(records.at_path("calls", "a.json")) == [job]
    assert list(records.with_talk("talk-a")) == [job]
    assert list(records.at_path("more", "a.wav")) == []


@pytest.mark.parametrize("number", [0, 99, 2**63 - 1, 2**63, 10**30])
def test_a_number_that_no_job_has(played: PlayedQueue, records: Records, number: int) -> None:
    """Not even one that SQLite could not hold."""
    assert records.job(number) is None


def test_at_a_place_the_open_job_comes_first_then_the_newest(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """Earlier recordings of the same name are history."""
    jobs = []
    for size in (1, 2):
        done = played.done("a")
        played.apply(lifecycle.seen_gone(done, clock.now()))
        jobs.append(done.id)
        played.queue._db.conn.execute("UPDATE jobs SET uid = ? WHERE id = ?", (str(size) * 64, done.id))
    new = played.ready("a")
    assert [job.id for job in records.at_path("calls", "a.wav")] == [new.id, jobs[1], jobs[0]]


def test_a_recording_is_found_where_it_was_moved_to(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """By its audio's and its metadata's new path."""
    job = played.apply(lifecycle.filing(played.uploaded("a"), "/archive/a.wav", "/archive/a.json", clock.now()))
    assert list(records.filed_at("/archive/a.wav")) == list(records.filed_at("/archive/a.json")) == [job]


def test_the_history_of_a_job_is_in_order(played: PlayedQueue, records: Records) -> None:
    """Every edge with the states it led from and to."""
    job = played.done("a")
    steps = [(event.event, event.from_state, event.to_state) for event in records.events(job.id)]
    assert steps == [
        ("found", None, "waiting"),
        ("completed", "waiting", "ready"),
        ("committing", "ready", "committing"),
        ("accepted", "committing", "uploaded"),
        ("filed", "uploaded", "done"),
    ]


def test_the_tries_of_a_job_tell_their_ends(played: PlayedQueue, records: Records, clock: ManualClock) -> None:
    """The one under way has none yet."""
    failed = played.failed("a")
    played.claim(failed)
    ended, running = records.attempts(failed.id)
    assert (ended.n, ended.verdict, ended.code, ended.message) == (1, "transient", "INTERNAL", "trouble within")
    assert (ended.started_at, ended.ended_at, ended.request_id) == (clock.now(), clock.now(), f"request-{failed.id}-1")
    assert (running.n, running.ended_at, running.verdict) == (2, None, None)


# --- the disk --------------------------------------------------------------------------------


def test_the_disk_of_a_path_that_is_not_there_yet_is_that_of_its_directory(tmp_path: Path) -> None:
    """The queue's directory is made at the first start."""
    disk = disk_of(tmp_path / "not" / "yet" / "queue.db")
    assert disk is not None
    assert disk.path == str(tmp_path)
    assert 0 <= disk.free_bytes <= disk.total_bytes
