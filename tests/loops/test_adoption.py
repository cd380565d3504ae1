"""What `adopt` makes of a recording, whatever the daemon has made of it before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from speechsense_watch.adoption import Adoption, Outcome
from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import Job, State, digest_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.verdict import Code
from speechsense_watch.core.verdict import Outcome as Answer
from speechsense_watch.edge.journal import TalkLine
from speechsense_watch.holding import EVERYTHING, pause_key
from support.bench import Bench, bench_on
from support.starts import examined

LOST_ANSWER = Answer(code=Code.UNAVAILABLE, message="reset", committed=True)
REFUSAL = Answer(code=Code.INVALID_ARGUMENT, message="no", committed=True)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path, min_duration_s=0.2) as bench:
        yield bench


def adoption(bench: Bench) -> Adoption:
    return Adoption(bench.folder, bench.files, bench.queue, bench.clock)


def adopt(bench: Bench, talk_id: str = "talk-a", path: str = "call.wav") -> Outcome:
    (outcome,) = adoption(bench).uploaded([(path, talk_id)])
    return outcome


def before(bench: Bench, path: str = "call.wav") -> Outcome:
    (outcome,) = adoption(bench).left_out([path], "2026-03-02")
    return outcome


def journal(bench: Bench) -> list[str]:
    return [line.talk_id for line in bench.queue.history._journal.lines() if isinstance(line, TalkLine)]


# --- from every state ------------------------------------------------------------------------


def unseen(bench: Bench) -> None:
    bench.drop()


def waiting(bench: Bench) -> None:
    bench.drop()
    (bench.folder_path / "call.json").rename(bench.folder_path / "call.later")
    bench.settle()
    (bench.folder_path / "call.later").rename(bench.folder_path / "call.json")


def ready(bench: Bench) -> None:
    bench.drop()
    bench.settle()


def metadata_alone(bench: Bench) -> None:
    audio = bench.drop()
    (bench.folder_path / "call.wav").unlink()
    bench.settle()
    assert bench.job("call.json").state is State.WAITING
    bench.write("call.wav", audio)


def to_be_sent_again(bench: Bench) -> None:
    ready(bench)
    bench.service.script = [LOST_ANSWER]
    bench.send()
    bench.queue.apply(lifecycle.resent(bench.job(), bench.clock.now()))


def unconfirmed(bench: Bench) -> None:
    ready(bench)
    bench.service.script = [LOST_ANSWER]
    bench.send()


def refused(bench: Bench) -> None:
    ready(bench)
    bench.service.script = [REFUSAL]
    bench.send()


def unusable(bench: Bench) -> None:
    bench.drop(fields={"operator_id": "201"})
    bench.settle()


def skipped(bench: Bench) -> None:
    bench.drop(seconds=0.1)
    bench.settle()


def skipped_by_hand(bench: Bench) -> None:
    ready(bench)
    bench.queue.apply(lifecycle.skipped(bench.job(), bench.clock.now()))


def lost(bench: Bench) -> None:
    ready(bench)
    (bench.folder_path / "call.wav").rename(bench.folder_path / "aside")
    (bench.folder_path / "other").touch()
    bench.look(60)
    bench.look(60)
    (bench.folder_path / "aside").rename(bench.folder_path / "call.wav")


STATES: dict[Callable[[Bench], None], State | None] = {
    unseen: None,
    metadata_alone: None,
    waiting: State.WAITING,
    ready: State.READY,
    to_be_sent_again: State.READY,
    unconfirmed: State.UNCONFIRMED,
    refused: State.REFUSED,
    unusable: State.UNUSABLE,
    skipped: State.SKIPPED,
    skipped_by_hand: State.SKIPPED,
    lost: State.LOST,
}


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
def test_a_recording_is_adopted_from_every_state_in_which_nobody_sends_it(bench: Bench, reach: Callable[[Bench], None]) -> None:
    """It is `done` with its talk id, the journal knows, and nothing is sent of it from then on."""
    reach(bench)
    job = bench.queue.at_place(bench.jobs()[0].place) if STATES[reach] else None
    assert (job and job.state) == STATES[reach]
    tries = len(bench.service.calls)
    assert adopt(bench) is Outcome.ADOPTED
    assert [(each.place.path, each.state, each.talk_id) for each in bench.jobs()] == [("call.wav", State.DONE, "talk-a")]
    assert journal(bench) == ["talk-a"]
    bench.look(7200)
    bench.send(7200)
    bench.file()
    assert len(bench.service.calls) == tries
    assert adopt(bench) is Outcome.KNOWN
    assert adopt(bench, "talk-b") is Outcome.OTHER_TALK


@pytest.mark.parametrize("streamed", [True, False], ids=["uploading", "committing"])
def test_one_that_is_being_sent_is_left_to_it(tmp_path: Path, *, streamed: bool) -> None:
    """Said as it is, and not called known: it will have a talk id of its own, which then contradicts the list."""
    with bench_on(tmp_path, UploadRules(stream_above_bytes=0 if streamed else 10**9)) as bench:
        ready(bench)
        found: list[Outcome] = []
        bench.service.meanwhile = lambda _talk: found.extend((adopt(bench), before(bench)))
        bench.send()
        assert found == [Outcome.BUSY, Outcome.BUSY]
        assert adopt(bench) is Outcome.OTHER_TALK
        assert adopt(bench, "talk-1") is Outcome.KNOWN
        assert before(bench) is Outcome.KNOWN


def test_one_that_an_upload_command_holds_is_left_to_it(bench: Bench) -> None:
    """It will say what became of it."""
    unconfirmed(bench)
    job = bench.job()
    bench.queue._db.conn.execute("UPDATE jobs SET owner = '1:2' WHERE id = ?", (job.id,))
    assert (adopt(bench), before(bench)) == (Outcome.BUSY, Outcome.BUSY)


def test_a_recording_held_by_a_trial_or_a_pause_is_adopted_and_the_rest_is_sent(bench: Bench) -> None:
    """The order in which a script is left: what it has sent is adopted while everything waits."""
    bench.queue.set_runtime(pause_key(EVERYTHING), {"since": bench.clock.now().isoformat(), "until": None})
    for number in range(4):
        bench.drop(f"call-{number}", seed=number)
    bench.settle()
    bench.send()
    sent = [(f"call-{number}.wav", f"talk-{number}") for number in range(3)]
    assert adoption(bench).uploaded(sent) == [Outcome.ADOPTED] * 3
    bench.queue.set_runtime(pause_key(EVERYTHING), None)
    bench.send()
    assert [talk.uid for talk, _ in bench.service.sent] == [bench.job("call-3.wav").uid]


# --- contradictions --------------------------------------------------------------------------


def test_one_talk_id_is_one_recording(bench: Bench) -> None:
    """In one list as in two; the second recording is left as it is, and will be sent."""
    for number in range(3):
        bench.drop(f"call-{number}", seed=number)
    found = adoption(bench).uploaded([("call-0.wav", "talk-a"), ("call-1.wav", "talk-a")])
    assert found == [Outcome.ADOPTED, Outcome.TALK_TAKEN]
    assert adopt(bench, "talk-a", "call-2.wav") is Outcome.TALK_TAKEN
    bench.settle()
    bench.send()
    assert len(bench.service.sent) == 2


def test_one_recording_has_one_talk_id(bench: Bench) -> None:
    """A copy is the same recording; another talk id for it is a contradiction, in one list as in two."""
    audio = bench.drop("call")
    bench.write("copy.wav", audio)
    bench.write("copy.json", (bench.folder_path / "call.json").read_bytes())
    again = [("call.wav", "talk-a"), ("call.wav", "talk-a"), ("copy.wav", "talk-a"), ("copy.wav", "talk-b")]
    assert adoption(bench).uploaded(again) == [Outcome.ADOPTED, Outcome.KNOWN, Outcome.KNOWN, Outcome.OTHER_TALK]
    assert adopt(bench, "talk-c", "copy.wav") is Outcome.OTHER_TALK
    assert journal(bench) == ["talk-a"]


def test_the_journal_of_a_lost_queue_is_asked_too(tmp_path: Path) -> None:
    """What it knows is adopted, what contradicts it is told, and no line is written twice."""
    with bench_on(tmp_path) as bench:
        bench.drop()
        assert adopt(bench) is Outcome.ADOPTED
    for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with bench_on(tmp_path) as bench:
        examined(bench.queue)
        assert adopt(bench, "talk-b") is Outcome.OTHER_TALK
        assert adopt(bench) is Outcome.ADOPTED
        assert journal(bench) == ["talk-a"]


def test_what_was_forgotten_does_not_come_back_by_a_list(bench: Bench) -> None:
    """An old list of the script's names it still: nothing of it is put on record."""
    ready(bench)
    bench.send()
    job = bench.job()
    assert job.audio
    bench.file()
    bench.queue.forget([bench.job()], [digest_of(job.audio.sha256)], bench.clock.now())
    assert adopt(bench) is Outcome.FORGOTTEN
    assert bench.jobs() == []
    assert journal(bench) == []


def test_a_new_recording_at_an_old_place_is_not_taken_for_the_old_one(bench: Bench) -> None:
    """The place was seen empty in between: the recording that lies there now can be adopted with its own talk id."""
    ready(bench)
    assert adopt(bench) is Outcome.ADOPTED
    for name in ("call.wav", "call.json"):
        (bench.folder_path / name).unlink()
    (bench.folder_path / "other").touch()
    bench.look(60)
    bench.drop(seed=1)
    assert adopt(bench, "talk-b") is Outcome.ADOPTED
    assert [job.talk_id for job in bench.jobs()] == ["talk-a", "talk-b"]


def test_what_cannot_be_read_is_told_from_what_is_gone(bench: Bench) -> None:
    """Neither makes a row."""
    (bench.folder_path / "link.wav").symlink_to("/etc/passwd")
    assert adopt(bench) is Outcome.NOT_THERE
    assert adopt(bench, path="link.wav") is Outcome.UNREADABLE
    assert bench.jobs() == []


def test_many_are_few_writes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write waits for the disk; a list may have a hundred thousand lines."""
    for number in range(60):
        bench.drop(f"call-{number}", seed=number, seconds=0.01)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    statements: list[str] = []
    bench.queue._db.conn.set_trace_callback(statements.append)
    found = adoption(bench).uploaded([(f"call-{number}.wav", f"talk-{number}") for number in range(60)])
    assert found == [Outcome.ADOPTED] * 60
    assert statements.count("COMMIT") == 1
    assert len(synced) <= 2
    assert len(journal(bench)) == 60


def test_a_row_that_changes_meanwhile_is_left_to_whoever_was_faster(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of the same write are adopted all the same."""
    for number in range(2):
        bench.drop(f"call-{number}", seed=number)
    bench.settle()
    real = bench.queue.apply_each

    def raced(arrivals: list[object]) -> object:
        monkeypatch.undo()
        bench.send()
        return real(arrivals)  # type: ignore[arg-type]

    bench.queue.set_runtime(pause_key("in"), None)
    monkeypatch.setattr(bench.queue, "apply_each", raced)
    found = adoption(bench).uploaded([("call-0.wav", "talk-a"), ("call-1.wav", "talk-b")])
    assert found == [Outcome.BUSY, Outcome.BUSY]
    assert {job.talk_id for job in bench.jobs()} == {"talk-1", "talk-2"}


# --- by date ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
def test_what_is_left_out_by_date_is_left_out_once(bench: Bench, reach: Callable[[Bench], None]) -> None:
    """From every state in which nobody sends it; a second time it is known, and nothing is sent in between."""
    reach(bench)
    tries = len(bench.service.calls)
    by_hand = reach is skipped_by_hand
    assert before(bench) is (Outcome.KNOWN if by_hand else Outcome.ADOPTED)
    (job,) = bench.jobs()
    assert (job.place.path, job.state, job.reason) == ("call.wav", State.SKIPPED, Reason.BY_OPERATOR)
    assert by_hand or job.message.startswith("Sent by other means")
    events = len(bench.events(job.id))
    assert before(bench) is Outcome.KNOWN
    assert len(bench.events(job.id)) == events
    bench.look(7200)
    bench.send(7200)
    assert len(bench.service.calls) == tries
    assert journal(bench) == []


def test_what_was_left_out_by_date_can_be_adopted_with_its_talk_id(bench: Bench) -> None:
    """When a list turns up after all."""
    ready(bench)
    assert before(bench) is Outcome.ADOPTED
    assert adopt(bench) is Outcome.ADOPTED
    job: Job = bench.job()
    assert (job.state, job.talk_id) == (State.DONE, "talk-a")
    assert before(bench) is Outcome.KNOWN
