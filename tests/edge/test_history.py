"""edge.history: when a start is suspicious, and what it leaves on disk."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import digest_of
from speechsense_watch.core.suspicion import Suspicion
from speechsense_watch.edge import history
from speechsense_watch.edge.journal import Journal, SuspicionLine
from speechsense_watch.edge.machine import Machine, this_machine
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.queue_file import mark
from speechsense_watch.ports import QueueTrouble
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.starts import ELSEWHERE, HERE, NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


def start(path: Path, start_id: str, machine: Machine = HERE) -> history.Suspected | None:
    """Everything a daemon's start does to queue and journal."""
    with closing(SqliteQueue(path)) as queue:
        found = queue.history.examine(machine, NOW)
        queue.history.fill()
        queue.history.begin(start_id, NOW)
        return found


def play(path: Path, *stems: str) -> None:
    played = PlayedQueue(path, ManualClock())
    with closing(played.queue):
        for stem in stems:
            played.uploaded(stem)


def lose(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def counts(path: Path) -> list[int]:
    """The suspicious starts that the journal counts."""
    return [line.k for line in Journal(path.with_name("queue.db.journal")).lines() if isinstance(line, SuspicionLine)]


# --- what is suspicious ----------------------------------------------------------------------


def test_a_first_start_is_not(path: Path) -> None:
    """Nor are those that follow it."""
    assert [start(path, name) for name in "abc"] == [None] * 3
    play(path, "call")
    assert [start(path, name) for name in "de"] == [None] * 2
    assert counts(path) == []


@pytest.mark.parametrize("how", ["gone", "of no bytes"])
def test_a_queue_that_was_lost(path: Path, how: str) -> None:
    """A file of no bytes is what a power failure may leave, and opens as a new queue."""
    start(path, "a")
    lose(path)
    if how == "of no bytes":
        path.touch()
    found = start(path, "b")
    assert found is not None
    assert (found.suspicion, found.talks) == (Suspicion(1, NOW), 0)
    assert start(path, "c") is None


@pytest.mark.parametrize("what", ["start", "talk", "folder", "suspicious", "forgotten"])
def test_each_kind_of_line_that_the_queue_lacks(path: Path, what: str) -> None:
    """Once: the next start is not suspicious for the same line."""
    start(path, "a")
    journal = Journal(path.with_name("queue.db.journal"))
    match what:
        case "start":
            journal.start("b", NOW)
        case "talk":
            journal.talk("ab" * 32, "talk-1", NOW)
        case "folder":
            journal.folder("calls", "/in/\udcff", NOW)
        case "forgotten":
            journal.forgotten(["cd" * 32], NOW)
        case _:
            journal.suspicion(4, NOW)
    found = start(path, "c")
    assert found is not None
    assert found.suspicion.k == (5 if what == "suspicious" else 1)
    assert start(path, "d") is None


def test_what_was_forgotten_stays_so_when_the_queue_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the command that forgot it died before it came to the journal: the next start makes up for it."""
    start(path, "a")
    played = PlayedQueue(path, ManualClock())
    with closing(played.queue):
        first, second = played.done("first"), played.done("second")
        assert first.audio
        assert second.audio
        played.queue.forget([first], [digest_of(first.audio.sha256)], NOW)
        monkeypatch.setattr(Journal, "forgotten", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        played.queue.forget([second], [digest_of(second.audio.sha256)], NOW)
        monkeypatch.undo()
    assert start(path, "b") is None
    lose(path)
    assert start(path, "c") is not None
    with closing(SqliteQueue(path)) as queue:
        assert queue.is_forgotten(first.audio.sha256)
        assert queue.is_forgotten(second.audio.sha256)
    assert start(path, "d") is None


def test_a_command_examines_once_without_a_start_of_its_own(path: Path) -> None:
    """Each further one, and the daemon's next start, finds it settled."""
    start(path, "a")
    lose(path)
    with closing(SqliteQueue(path)) as queue:
        assert [queue.history.examine(HERE, NOW) is not None for _ in range(3)] == [True, False, False]
    assert start(path, "b") is None


def test_a_start_that_died_between_queue_and_journal_is_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is ahead then, however often that happens."""
    start(path, "a")
    for number in range(5):
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "start", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(QueueTrouble, match="No space left"):
                start(path, f"b{number}")
    assert start(path, "c") is None


def test_a_queue_without_its_journal_is_not(path: Path) -> None:
    """The queue is the truth; the count of suspicious starts goes back into the new journal."""
    start(path, "a")
    play(path, "call")
    lose(path)
    assert start(path, "b") is not None
    path.with_name("queue.db.journal").unlink()
    assert start(path, "c") is None
    assert counts(path) == [1]


def test_a_queue_lost_twice_counts_on(path: Path) -> None:
    """By the journal alone."""
    for k in (1, 2, 3):
        start(path, f"a{k}")
        lose(path)
        found = start(path, f"b{k}")
        assert found is not None
        assert found.suspicion.k == k
    assert counts(path) == [1, 2, 3]


def test_a_queue_that_was_put_back(path: Path) -> None:
    """In any case, even where the journal knows nothing newer; once."""
    start(path, "a")
    mark(path, history.RESTORED, {"from": "copy.db"})
    found = start(path, "b")
    assert found is not None
    assert "restore" in found.why
    assert start(path, "c") is None


def test_a_folder_line_keeps_its_time(path: Path) -> None:
    """`start_from = "now"` means the first time this folder was watched, also in a new queue."""
    with closing(SqliteQueue(path)) as queue:
        queue.first_watched("calls", "/in", NOW)
    lose(path)
    assert start(path, "a") is not None
    with closing(SqliteQueue(path)) as queue:
        assert queue.first_watched("calls", "/in", NOW + timedelta(days=9)) == NOW


# --- what it leaves --------------------------------------------------------------------------


def test_talks_that_only_the_journal_knew_are_in_the_queue(path: Path) -> None:
    """For every process, without the journal; forgotten with their lines."""
    play(path, "a", "b")
    uids = [line.uid for line in Journal(path.with_name("queue.db.journal")).lines()]  # type: ignore[union-attr]
    lose(path)
    found = start(path, "x")
    assert found is not None
    assert found.talks == 2
    path.with_name("queue.db.journal").rename(path.with_name("elsewhere"))
    with closing(SqliteQueue(path)) as queue:
        assert [queue.journal_talk(uid) for uid in uids] == ["talk-a", "talk-b"]
        queue.history.forget(uids[:1])
        assert [queue.journal_talk(uid) for uid in uids] == [None, "talk-b"]


def test_a_start_that_dies_over_the_talks_is_gone_on_with(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same suspicious start, and ends with all of them."""
    journal = Journal(path.with_name("queue.db.journal"))
    journal.talks([(f"{number:064x}", f"talk-{number}", NOW) for number in range(1200)])
    real, calls = history.History._lacking, iter(range(100))

    def dies(self: history.History, lines: list[object]) -> dict[str, str]:
        if next(calls) == 2:
            raise QueueTrouble("killed")
        return real(self, lines)

    with monkeypatch.context() as patch:
        patch.setattr(history.History, "_lacking", dies)
        with pytest.raises(QueueTrouble, match="killed"):
            start(path, "a")
    found = start(path, "b")
    assert found is not None
    assert found.suspicion.k == 1
    with closing(SqliteQueue(path)) as queue:
        assert queue.tuples("SELECT count(*) FROM known_talks") == [(1200,)]
    assert start(path, "c") is None
    assert counts(path) == [1]


@pytest.mark.unmeasured
def test_a_long_journal_is_not_held_in_memory(path: Path) -> None:
    """200,000 talks are some 17 MB of journal."""
    line = '{{"uid": "{:064x}", "talk_id": "talk-{}", "at": "2026-03-01T09:00:00+00:00"}}\n'
    path.with_name("queue.db.journal").write_text("".join(line.format(n, n) for n in range(200_000)))
    with closing(SqliteQueue(path)) as queue:
        tracemalloc.start()
        found = queue.history.examine(HERE, NOW)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert found is not None
    assert found.talks == 200_000
    assert peak < 3_000_000


# --- machines --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        (HERE, ELSEWHERE, True),
        (HERE, HERE, False),
        (HERE, Machine(HERE.id, "renamed"), False),
        (Machine("", "4f1c9e"), Machine("", "b07d2a"), False),  # a container, made anew
        (HERE, Machine("", "4f1c9e"), False),
        (Machine("", "4f1c9e"), HERE, False),
    ],
)
def test_a_queue_that_was_carried_elsewhere(path: Path, before: Machine, now: Machine, *, moved: bool) -> None:
    """Once suspicious, and told until the operator has spoken: with the host, and when it was last seen there."""
    start(path, "a", before)
    with closing(SqliteQueue(path)) as queue:
        queue.set_runtime("daemon", {"heartbeat_at": "2026-04-30T12:00:00+00:00"})
    found = start(path, "b", now)
    assert (found is not None) == moved
    assert start(path, "c", now) is None
    with closing(SqliteQueue(path)) as queue:
        told = queue.runtime().get(history.MOVED)
    if moved:
        assert told == {"host": "pbx-old", "seen_at": "2026-04-30T12:00:00+00:00", "at": NOW.isoformat()}
    else:
        assert told is None


@pytest.mark.parametrize(("machine", "kept"), [(ELSEWHERE, True), (HERE, False)])
def test_a_folder_that_lies_elsewhere_after_a_move(path: Path, machine: Machine, *, kept: bool) -> None:
    """What was recorded while neither daemon ran is not left alone as old. On the same machine another path is another folder."""
    start(path, "a")
    then, later = NOW + timedelta(days=1), NOW + timedelta(days=9)
    with closing(SqliteQueue(path)) as queue:
        queue.first_watched("calls", "/long-ago", NOW)
        queue.first_watched("calls", "/old", then)
    start(path, "b", machine)
    with closing(SqliteQueue(path)) as queue:
        assert queue.first_watched("calls", "/new", later) == (then if kept else later)
        assert queue.first_watched("others", "/others", later) == later


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ab" * 16 + "\n", "ab" * 16), ("", ""), ("uninitialized\n", ""), ("\xff" * 32, ""), (None, "")],
)
def test_the_id_of_a_machine(tmp_path: Path, text: str | None, expected: str) -> None:
    """Only what is one: images are made without."""
    if text is not None:
        (tmp_path / "machine-id").write_text(text, encoding="latin-1")
    assert this_machine(tmp_path / "machine-id").id == expected
    assert this_machine(tmp_path / "machine-id").host


def test_the_lines_hold_no_more_than_they_need(path: Path) -> None:
    """An id of the start alone, nothing of the machine."""
    start(path, "a")
    lines = [json.loads(line) for line in path.with_name("queue.db.journal").read_text().splitlines()]
    assert lines == [{"start": "a", "at": NOW.isoformat()}]


@pytest.fixture
def played(path: Path) -> Iterator[PlayedQueue]:
    played = PlayedQueue(path, ManualClock())
    yield played
    played.queue.close()


def test_a_talk_that_was_adopted_from_the_journal_gets_no_second_line(played: PlayedQueue, path: Path) -> None:
    """But one with another talk id does."""
    job = played.ready("a")
    claim = played.claim_of(job)
    Journal(path.with_name("queue.db.journal")).talk(claim.uid, "talk-a", NOW)
    played.queue.history.examine(HERE, NOW)
    played.queue.apply(lifecycle.adopted(job, claim, "talk-other"))
    text = path.with_name("queue.db.journal").read_text()
    assert (text.count("talk-a"), text.count("talk-other")) == (1, 1)
