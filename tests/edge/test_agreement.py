"""edge.agreement: a start looks at what came since queue and journal were last seen to agree, and at everything when it must."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import digest_of
from speechsense_watch.edge.journal import Journal, Line, TalkLine
from speechsense_watch.edge.queue import SqliteQueue
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rows import multiply
from support.starts import HERE, NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A queue with six talks, of which a start has seen that the journal has them."""
    path = tmp_path / "queue.db"
    play(path, *(f"call-{number}" for number in range(6)))
    assert start(path) == (0, 0)
    return path


@pytest.fixture
def read(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of the journal at which somebody began to read."""
    begun: list[int] = []
    lines_at = Journal.lines_at

    def noted(journal: Journal, at: int = 0) -> Iterator[tuple[int, Line | None]]:
        begun.append(at)
        return lines_at(journal, at)

    monkeypatch.setattr(Journal, "lines_at", noted)
    return begun


def start(path: Path) -> tuple[int, int]:
    """What a daemon's start does: how many talks only the journal knew, -1 when it is suspicious for another reason; and how many
    lines the journal lacked.
    """
    with closing(SqliteQueue(path)) as queue:
        found = queue.history.examine(HERE, NOW)
        lacked = queue.history.fill()
        queue.history.begin(f"start-{lacked}-{queue.history._journal.size()}", NOW)
        return (found.talks or -1 if found else 0), lacked


def play(path: Path, *stems: str) -> None:
    played = PlayedQueue(path, ManualClock())
    with closing(played.queue):
        for stem in stems:
            played.done(stem)


def by_hand(path: Path, *statements: str) -> None:
    with closing(SqliteQueue(path)) as queue, queue.transaction() as conn:
        for statement in statements:
            conn.execute(statement)


def journal_of(path: Path) -> Path:
    return path.with_name("queue.db.journal")


def talks_in(path: Path) -> list[str]:
    return [line.talk_id for line in Journal(journal_of(path)).lines() if isinstance(line, TalkLine)]


def copied(path: Path) -> Path:
    """A copy in one file: nobody has the queue open."""
    return Path(shutil.copy(path, path.with_name("copy")))


# --- as long as nothing was lost ---------------------------------------------------------------


def test_a_start_reads_what_came_since_the_last(path: Path, read: list[int]) -> None:
    """And finds nothing lacking; what it saw the next one need not read."""
    size = journal_of(path).stat().st_size
    play(path, "new")
    assert start(path) == (0, 0)
    assert start(path) == (0, 0)
    assert min(read) > size / 2
    assert read[-1] > size


def test_a_start_does_not_read_the_rows(path: Path) -> None:
    """Twenty thousand recordings more, with their lines, cost it nothing once they were seen."""
    steps: list[int] = []

    def count() -> int:
        steps[-1] += 1
        return 0

    for _ in range(2):
        with closing(SqliteQueue(path)) as queue:
            steps.append(0)
            queue._db.conn.set_progress_handler(count, 100)
            queue.history.examine(HERE, NOW)
            queue.history.fill()
        if len(steps) == 1:
            played = PlayedQueue(path, ManualClock())
            with closing(played.queue):
                many(played, 20_000)
            start(path)
    assert steps[1] <= steps[0] + 5


def many(played: PlayedQueue, count: int) -> None:
    ids = multiply(played.queue, played.done("pattern"), count)
    rows = played.queue.tuples("SELECT uid, talk_id FROM jobs WHERE id >= ?", (ids[0],))
    played.queue.history._journal.talks((uid, talk_id, NOW) for uid, talk_id in rows)


def test_a_line_that_a_death_left_lacking_is_filled_in(path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died between the queue's commit and the journal's line: its event tells."""
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "talks", lambda *_: None)
        play(path, "new")
    assert start(path) == (0, 1)
    assert start(path) == (0, 0)
    assert min(read) > 0
    assert talks_in(path)[-1] == "talk-new"


def test_the_daemon_keeps_up_while_it_runs(path: Path, read: list[int]) -> None:
    """So that a start after a year finds no more to look at than an hour's, be the events of that year trimmed."""
    played = PlayedQueue(path, ManualClock())
    with closing(played.queue) as queue:
        done = played.done("new")
        queue.keep_up()
        while queue.trim(done.updated_at + timedelta(days=400), NOW - timedelta(days=3000), ["calls"]):
            pass
    assert start(path) == (0, 0)
    assert min(read) > 0


def test_forgetting_old_rows_moves_it(path: Path, read: list[int]) -> None:
    """Three years after a file was gone: the journal is shorter, and the next start still looks at what came since."""
    played = PlayedQueue(path, ManualClock())
    with closing(played.queue) as queue:
        gone = queue.job(2)
        assert gone
        queue.apply(lifecycle.seen_gone(gone, NOW))
        while queue.trim(NOW - timedelta(days=3000), NOW + timedelta(days=1), ["calls"]):
            pass
        assert queue.job(2) is None
    assert len(talks_in(path)) == 5
    read.clear()
    assert start(path) == (0, 0)
    assert min(read) > 0


# --- whatever was lost or replaced -------------------------------------------------------------


def test_a_queue_that_was_lost(path: Path) -> None:
    """Its mark is lost with it."""
    path.unlink()
    assert start(path) == (6, 0)


def test_a_queue_that_is_an_older_copy(path: Path) -> None:
    """Its mark is as old: what came since is found in the journal."""
    older = copied(path)
    play(path, "new")
    start(path)
    older.replace(path)
    assert start(path) == (1, 0)


def test_a_journal_that_was_lost(path: Path) -> None:
    """Every line is written anew."""
    journal_of(path).unlink()
    assert start(path) == (0, 6)
    assert len(talks_in(path)) == 6


def test_a_journal_that_is_an_older_copy(path: Path) -> None:
    """It ends before the mark, or has other lines there. Its last start is none that the queue knows, which is suspicious."""
    older = journal_of(path).read_bytes()
    play(path, "new-1", "new-2")
    start(path)
    journal_of(path).write_bytes(older)
    assert start(path) == (-1, 2)
    size = journal_of(path).stat().st_size
    start(path)
    journal_of(path).write_bytes(older + b"\n" * size)
    assert start(path) == (-1, 2)


@pytest.mark.parametrize("how", ["shorter", "as long"])
def test_the_journal_of_another_queue(path: Path, tmp_path: Path, how: str) -> None:
    """Its talks are adopted, ours are filled in."""
    other = tmp_path / "other" / "queue.db"
    other.parent.mkdir()
    play(other, *(f"else-{number}" for number in range(6 if how == "as long" else 2)))
    start(other)
    shutil.copy(journal_of(other), journal_of(path))
    assert start(path) == (6 if how == "as long" else 2, 6)


def test_a_row_that_was_deleted_by_hand(path: Path) -> None:
    """The triggers have counted it."""
    by_hand(path, "DELETE FROM jobs WHERE talk_id = 'talk-call-1'")
    assert start(path) == (1, 0)


def test_a_row_that_came_by_hand(path: Path) -> None:
    """No event tells of it."""
    with closing(SqliteQueue(path)) as queue:
        columns = ", ".join(row["name"] for row in queue.rows("SELECT name FROM pragma_table_info('jobs') WHERE name <> 'id'"))
    values = columns.replace("uid", f"'{'f' * 64}'").replace("talk_id", "'talk-x'")
    by_hand(path, f"INSERT INTO jobs ({columns}) SELECT {values} FROM jobs WHERE talk_id = 'talk-call-1'")  # noqa: S608 - a test's own words
    assert start(path) == (0, 1)


def test_events_that_were_trimmed_before_they_were_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of rows tells that some are lacking."""
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "talks", lambda *_: None)
        play(path, "new")
    by_hand(path, "DELETE FROM events")
    play(path, "newer")  # and ids of events are used again
    assert start(path) == (0, 1)


def test_a_call_that_was_forgotten(path: Path) -> None:
    """Its line is gone, its digest is there, and it stays so."""
    with closing(SqliteQueue(path)) as queue:
        job = queue.job(3)
        assert job
        assert job.audio
        queue.forget([job], [digest_of(job.audio.sha256)], NOW)
    assert start(path) == (0, 0)
    assert start(path) == (0, 0)


def test_a_call_that_was_forgotten_before_it_was_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line goes with it, and the one that keeps it from being sent again did not come into the journal: it is filled in."""
    played = PlayedQueue(path, ManualClock())
    with closing(played.queue) as queue, monkeypatch.context() as patch:
        patch.setattr(Journal, "forgotten", lambda *_: None)
        queue.forget([played.ready("new")], ["cd" * 32], NOW)
    assert start(path) == (0, 1)
    assert start(path) == (0, 0)


def test_a_mark_that_is_none(path: Path, read: list[int]) -> None:
    """Whatever stands there, everything is looked at."""
    odd: list[Any] = ["'[]'", "'{}'", "'not json'", "'{\"size\": 1}'", "'7'"]
    for value in odd:
        read.clear()
        by_hand(path, f"UPDATE runtime SET value = {value} WHERE key = 'agreed'")  # noqa: S608 - a test's own words
        assert start(path) == (0, 0)
        assert min(read) == 0
