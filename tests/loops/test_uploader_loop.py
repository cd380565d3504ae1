"""From a ready job to a talk id: what is sent when, what each answer does, and what is never charged to a recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.model import Job, Problem, Recording, State, uid_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import OnUnknown, Order, UploadRules
from speechsense_watch.core.taking import BIG_ABOVE_BYTES
from speechsense_watch.core.verdict import Code, Halt, Outcome, PauseReason
from speechsense_watch.edge import folder
from speechsense_watch.edge.rows import to_us
from speechsense_watch.ports import Arrival, Channel, ChannelState, FileTrouble, FileTroubleKind, QueueTrouble, Talk
from speechsense_watch.recording import hash_of
from support.bench import Bench, bench_on
from support.starts import examined
from support.wavs import pcm

LOST_ANSWER = Outcome(code=Code.UNAVAILABLE, message="reset", committed=True)


def before(code: Code, message: str = "", halt: Halt | None = None) -> Outcome:
    """An answer that comes before the commit point, where the way of sending leaves one."""
    return Outcome(code=code, message=message, halt=halt)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


@pytest.fixture
def streaming(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path, UploadRules(stream_above_bytes=0, chunk_size_bytes=1000)) as bench:
        yield bench


def test_what_is_sent_is_what_lies_there(bench: Bench) -> None:
    """The audio's bytes, the fields, the connection; the uid is made of what was sent."""
    audio = bench.drop()
    bench.settle()
    bench.send()
    ((talk, sent),) = bench.service.sent
    job = bench.job()
    assert sent == audio
    assert talk.connection_id == "conn"
    assert talk.fields["direction_outgoing"] == "true"
    assert (job.state, job.talk_id) == (State.DONE, "talk-1")
    assert job.audio is not None
    assert job.metadata is not None
    assert job.uid == uid_of("conn", job.audio.sha256, job.metadata.sha256) == talk.uid


def test_the_service_is_told_when_there_is_nothing_to_send(bench: Bench) -> None:
    """It may close a connection that nobody needs; it is never told so while something is due or under way."""
    bench.uploader.step()
    assert bench.service.idled == 1
    bench.drop()
    bench.settle()

    def step(_talk: Talk) -> None:
        bench.uploader.step()

    bench.service.meanwhile, bench.service.idled = step, 0
    bench.uploader.step()
    assert bench.service.sent
    assert bench.service.idled == 0
    bench.send()
    assert bench.service.idled > 0


def test_the_intent_is_on_disk_before_anything_leaves(bench: Bench) -> None:
    """One message carries it all: committing, with an attempt of its own request id."""
    bench.drop()
    bench.settle()
    seen: list[State] = []
    bench.service.meanwhile = lambda _talk: seen.append(bench.job().state)
    bench.send()
    assert seen == [State.COMMITTING]
    (attempt,) = bench.queue.rows("SELECT * FROM attempts")
    assert attempt["request_id"] == bench.service.calls[0][1].request_id
    assert (attempt["n"], attempt["verdict"], attempt["code"]) == (1, "accepted", "OK")


def test_a_stream_is_only_uploading_until_its_last_piece(streaming: Bench) -> None:
    """The commit mark is on disk before the last byte leaves."""
    streaming.drop()
    streaming.settle()
    seen: list[State] = []
    streaming.service.meanwhile = lambda _talk: seen.append(streaming.job().state)
    streaming.send()
    assert seen == [State.UPLOADING]
    assert streaming.events(1) == ["found", "completed", "claimed", "committing", "accepted", "filed"]


def test_the_recording_id_is_the_uid_and_the_claim(tmp_path: Path) -> None:
    """Under every policy, in the declared key; a new try has a new number."""
    with bench_on(tmp_path, recording_id_field="recording_id") as bench:
        bench.drop()
        bench.settle()
        bench.service.script = [LOST_ANSWER]
        bench.send()
        bench.send(60)
        bench.send(1)
        ids = [talk.fields["recording_id"] for _, talk in bench.service.calls]
        uid = bench.job().uid
        assert ids == [f"{uid}-1", f"{uid}-2"]


@pytest.mark.parametrize(("order", "first"), [(Order.NEWEST, "new.wav"), (Order.OLDEST, "old.wav")])
def test_the_order_is_the_users_choice(tmp_path: Path, order: Order, first: str) -> None:
    """By the audio's mtime."""
    with bench_on(tmp_path, UploadRules(concurrency=1, order=order)) as bench:
        bench.drop("old", seed=1)
        bench.clock.advance(5)
        bench.drop("new", seed=2)
        bench.settle()
        bench.look(10)
        bench.send()
        assert bench.started[0][0].place.path == first


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION])
def test_a_refusal_of_the_recording_is_its_end(bench: Bench, code: Code) -> None:
    """Even after the commit point: it is an answer. Nothing else pauses."""
    bench.drop()
    bench.settle()
    bench.service.script = [Outcome(code=code, message="no such language", committed=True)]
    bench.send()
    job = bench.job()
    assert (job.state, job.reason) == (State.REFUSED, Reason.SERVICE_REFUSED)
    assert "no such language" in job.message
    assert bench.paused() == {}


def test_transient_failures_back_off_with_full_jitter_and_are_charged(streaming: Bench) -> None:
    """5 s doubling, times chance; the counter grows with each."""
    streaming.drop()
    streaming.settle()
    streaming.service.script = [before(Code.INTERNAL)] * 3
    for wait_s, attempts in ((2.5, 1), (5.0, 2), (10.0, 3)):
        streaming.send()
        job = streaming.job()
        assert job.state is State.READY
        assert job.attempts == attempts
        assert job.next_attempt_at is not None
        assert (job.next_attempt_at - streaming.clock.now()).total_seconds() == wait_s
        streaming.clock.advance(wait_s)
    streaming.send()
    assert streaming.job().state is State.DONE
    assert streaming.job().attempts == 3


def test_it_gives_up_after_its_own_failures_only(tmp_path: Path) -> None:
    """Refused, with the last reason; time in which the service paused does not count."""
    rules = UploadRules(stream_above_bytes=0, give_up_after_s=10.0)
    with bench_on(tmp_path, rules) as bench:
        bench.drop()
        bench.settle()
        bench.service.state = Channel(ChannelState.FAILED, message="down")
        bench.send(30 * 86400)
        bench.service.state = Channel(ChannelState.READY)
        bench.service.script = [before(Code.INTERNAL, "disk on fire")] * 9
        for _ in range(9):
            bench.send(60)
        job = bench.job()
        assert (job.state, job.reason) == (State.REFUSED, Reason.GAVE_UP)
        assert "disk on fire" in job.message
        assert job.attempts == 3


def test_no_attempt_begins_without_a_connection(bench: Bench) -> None:
    """The pause says why; when the connection is there, one probe goes first and then all."""
    for number in range(6):
        bench.drop(f"call{number}", seed=number)
    bench.settle()
    bench.service.state = Channel(ChannelState.FAILED, message="The name nowhere cannot be resolved.")
    bench.send()
    assert bench.started == []
    assert bench.paused() == {"service": "unreachable"}
    stored = bench.queue.runtime()["paused"]
    assert isinstance(stored, list)
    assert stored[0]["message"] == "The name nowhere cannot be resolved."
    bench.service.state = Channel(ChannelState.READY)
    bench.send(1)
    assert [kind for kind, _ in bench.service.calls][:1] == ["probe"]
    assert bench.paused() == {}
    bench.send()
    assert {job.state for job in bench.jobs()} == {State.DONE}
    assert {job.attempts for job in bench.jobs()} == {0}


@pytest.mark.parametrize(
    ("code", "scope", "reason"),
    [
        (Code.UNAUTHENTICATED, "service", "key_refused"),
        (Code.UNIMPLEMENTED, "service", "unimplemented"),
        (Code.RESOURCE_EXHAUSTED, "service", "quota"),
        (Code.NOT_FOUND, "conn", "connection_not_found"),
        (Code.PERMISSION_DENIED, "conn", "permission_denied"),
    ],
)
def test_a_trouble_of_the_scope_pauses_it_and_charges_nobody(bench: Bench, code: Code, scope: str, reason: str) -> None:
    """The recording goes back to ready; a probe after 20 to 60 s finds out whether it is over."""
    for number in range(3):
        bench.drop(f"call{number}", seed=number)
    bench.settle()
    bench.upload_rules = dataclasses.replace(bench.upload_rules, concurrency=1)
    bench.configure()
    bench.service.script = [Outcome(code=code, message="said so", committed=True), before(code, "still")]
    bench.send()
    assert bench.paused() == {scope: reason}
    assert {job.state for job in bench.jobs()} == {State.READY}
    bench.send(39)
    assert len(bench.service.calls) == 1
    bench.send(2)
    assert [kind for kind, _ in bench.service.calls] == ["whole", "probe"]
    assert bench.paused() == {scope: reason}
    bench.send(41)
    for _ in range(3):
        bench.send()
    assert bench.paused() == {}
    assert {(job.state, job.attempts) for job in bench.jobs()} == {(State.DONE, 0)}


def test_a_paused_connection_does_not_hold_up_another(tmp_path: Path) -> None:
    """Each connection is a scope of its own."""
    with bench_on(tmp_path) as bench:
        bench.drop()
        bench.settle()
        bench.service.script = [Outcome(code=Code.NOT_FOUND, committed=True)]
        bench.send()
        assert bench.paused() == {"conn": "connection_not_found"}
        bench.configure(connection_id="other")
        bench.send()
        assert bench.job().state is State.DONE
        assert bench.job().connection_id == "other"
        assert bench.paused() == {}


def test_too_large_a_message_is_the_recordings_fault_not_the_quota(bench: Bench) -> None:
    """One status code for two things; the text tells them apart."""
    bench.drop()
    bench.settle()
    bench.service.script = [
        Outcome(code=Code.RESOURCE_EXHAUSTED, message="Received message larger than max (9 vs. 4)", committed=True)
    ]
    bench.send()
    assert (bench.job().state, bench.job().reason) == (State.REFUSED, Reason.TOO_LARGE_FOR_SERVICE)
    assert bench.paused() == {}


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED])
def test_unavailable_before_the_commit_point_pauses_the_service(streaming: Bench, code: Code) -> None:
    """Nothing complete had left: nothing is doubtful, nobody is charged."""
    streaming.drop()
    streaming.settle()
    streaming.service.script = [before(code)]
    streaming.send()
    assert streaming.paused() == {"service": "unavailable"}
    job = streaming.job()
    assert (job.state, job.attempts, job.possible_duplicate) == (State.READY, 0, False)


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.CANCELLED, Code.INTERNAL, Code.UNKNOWN, Code.ABORTED])
def test_a_lost_answer_is_resent_and_marked(bench: Bench, code: Code) -> None:
    """With `resend`: unconfirmed for a backoff, then sent again as a possible duplicate."""
    bench.drop()
    bench.settle()
    bench.service.script = [Outcome(code=code, committed=True)]
    bench.send()
    assert bench.job().state is State.UNCONFIRMED
    bench.send(60)
    bench.send()
    job = bench.job()
    assert (job.state, job.possible_duplicate, job.claims) == (State.DONE, True, 2)


def test_a_lost_answer_is_not_resent_before_the_service_asked_for_it(bench: Bench) -> None:
    """It may have said so in the answer that left the outcome unknown."""
    bench.drop()
    bench.settle()
    bench.service.script = [Outcome(code=Code.UNAVAILABLE, committed=True, retry_after_s=300.0)]
    bench.send()
    bench.send(299)
    bench.send()
    assert len(bench.service.calls) == 1
    bench.send(2)
    bench.send()
    assert (bench.job().state, len(bench.service.calls)) == (State.DONE, 2)


@pytest.mark.parametrize("policy", [OnUnknown.HOLD, OnUnknown.SEARCH])
def test_a_lost_answer_is_held(tmp_path: Path, policy: OnUnknown) -> None:
    """Never twice: until the operator says what is so."""
    with bench_on(tmp_path, on_unknown=policy) as bench:
        bench.drop()
        bench.settle()
        bench.service.script = [LOST_ANSWER]
        bench.send()
        bench.send(30 * 86400)
        job = bench.job()
        assert (job.state, job.reason) == (State.UNCONFIRMED, Reason.OUTCOME_UNKNOWN)
        bench.queue.apply(lifecycle.confirmed(job, "seen-in-the-ui", bench.clock.now()))
        assert (bench.job().state, bench.job().talk_id) == (State.UPLOADED, "seen-in-the-ui")


def test_many_lost_answers_in_a_row_make_the_next_a_probe(bench: Bench) -> None:
    """As many as may be in flight, at least three."""
    for number in range(8):
        bench.drop(f"call{number}", seed=number)
    bench.settle()
    bench.service.script = [LOST_ANSWER] * 4
    bench.send()
    assert bench.paused() == {"service": "many_unknown"}
    assert len(bench.service.calls) == 4
    bench.send(61)
    assert bench.service.calls[4][0] == "probe"


def test_five_recordings_refused_in_a_row_are_a_fault_of_the_configuration(bench: Bench) -> None:
    """They go back to ready, the connection pauses for the operator, and each probe takes another recording."""
    bench.upload_rules = UploadRules(concurrency=1)
    bench.configure()
    for number in range(7):
        bench.drop(f"call{number}", seed=number)
    bench.settle()
    bench.service.script = [Outcome(code=Code.INVALID_ARGUMENT, message="bad key", committed=True)] * 5
    for _ in range(5):
        bench.send()
    assert bench.paused() == {"conn": "many_refused"}
    assert {job.state for job in bench.jobs()} == {State.READY}
    assert {job.attempts for job in bench.jobs()} == {0}
    probed = []
    for _ in range(2):
        bench.service.script = [before(Code.INVALID_ARGUMENT, "bad key")]
        bench.send(61)
        probed.append(bench.started[-1][0].id)
        assert {job.state for job in bench.jobs()} == {State.READY}
    assert len(set(probed)) == 2
    bench.service.script = []
    bench.send(61)
    for _ in range(3):
        bench.send()
    assert {job.state for job in bench.jobs()} == {State.DONE}


def test_a_disk_that_fills_up_meanwhile_leaves_none_of_them_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be taken back at once is taken back when the queue can be written again."""
    for number in range(5):
        bench.drop(f"call-{number}", seed=number)
    bench.settle()
    bench.service.script += [before(Code.INVALID_ARGUMENT, "no such key")] * 5
    real = bench.queue.apply
    failed: list[edges.Change] = []

    def full_once(change: edges.Change) -> Job:
        if change.event is edges.Event.REINSTATED and len(failed) < 2:
            failed.append(change)
            if len(failed) == 2:
                raise QueueTrouble("The queue: database or disk is full.", full=True)
        return real(change)

    monkeypatch.setattr(bench.queue, "apply", full_once)
    for _ in range(4):
        bench.send(6)
    assert len(failed) == 2
    assert {job.state for job in bench.jobs()} == {State.READY}


def test_a_recording_dropped_twice_is_a_duplicate(bench: Bench) -> None:
    """Same audio, same metadata: skipped, naming the job it doubles."""
    bench.drop("first")
    bench.drop("second")
    bench.settle()
    bench.send()
    jobs = bench.jobs()
    done = next(job for job in jobs if job.state is State.DONE)
    skipped = next(job for job in jobs if job.state is State.SKIPPED)
    assert (skipped.reason, skipped.duplicate_of) == (Reason.DUPLICATE, done.id)
    assert len(bench.service.sent) == 1


def test_a_duplicate_of_what_was_never_taken_is_sent(bench: Bench) -> None:
    """The job it waited behind ended without a talk id."""
    bench.drop("first")
    bench.drop("second")
    bench.settle()
    bench.service.script = [Outcome(code=Code.INVALID_ARGUMENT, committed=True)]
    bench.send()
    assert {job.state for job in bench.jobs()} == {State.REFUSED, State.SKIPPED}
    bench.look(60)
    bench.settle()
    bench.send()
    assert {job.state for job in bench.jobs()} == {State.REFUSED, State.DONE}


def test_a_copy_of_what_may_have_arrived_is_marked_when_it_goes_first(bench: Bench) -> None:
    """Whichever place it is sent again from: the row that gets the talk id says that there may be two."""
    bench.upload_rules = UploadRules(concurrency=1)
    bench.configure()
    bench.drop("first")
    bench.settle()
    bench.service.script = [Outcome(code=Code.UNAVAILABLE, committed=True)]
    bench.send()
    bench.drop("copy")
    bench.look(60)
    bench.settle()
    for _ in range(3):
        bench.send(60)
    assert [(job.place.path, job.state) for job in bench.jobs()] == [("first.wav", State.SKIPPED), ("copy.wav", State.DONE)]
    assert bench.job("copy.wav").possible_duplicate


def test_files_that_changed_while_they_waited_are_read_anew(bench: Bench) -> None:
    """Nothing is sent of the old or the new until they were quiet again."""
    bench.drop()
    bench.settle()
    new = pcm(seconds=0.7, seed=9)
    bench.write("call.wav", new)
    bench.send()
    assert bench.job().state is State.WAITING
    assert bench.service.calls == []
    bench.settle()
    bench.send()
    assert [audio for _, audio in bench.service.sent] == [new]


def test_files_that_vanished_while_they_waited_are_lost(bench: Bench) -> None:
    """An alarm; not while the root itself is away."""
    bench.drop("a")
    bench.drop("b", seed=1)
    bench.settle()
    (bench.folder_path / "a.wav").unlink()
    bench.send()
    assert bench.job("a.wav").state is State.LOST
    assert bench.job("b.wav").state is State.DONE


def test_a_root_that_went_away_loses_nothing(bench: Bench) -> None:
    """The job stays ready, and is sent when the root is back."""
    bench.drop()
    bench.settle()
    bench.folder_path.rename(bench.directory / "away")
    bench.send()
    assert bench.job().state is State.READY
    (bench.directory / "away").rename(bench.folder_path)
    bench.send(31)
    assert bench.job().state is State.DONE


def test_a_file_that_changes_during_the_stream_is_not_committed(streaming: Bench) -> None:
    """The last piece stays here; the claim counter is not forgotten."""
    streaming.drop()
    streaming.settle()
    streaming.service.meanwhile = lambda _talk: streaming.write("call.wav", pcm(seconds=0.9, seed=4))
    streaming.send()
    assert streaming.job().state is State.WAITING
    assert streaming.service.sent == []
    streaming.service.meanwhile = lambda _talk: None
    streaming.settle()
    streaming.send()
    assert streaming.job().state is State.DONE
    assert streaming.job().claims == 2


def test_no_commit_mark_no_last_byte(streaming: Bench) -> None:
    """Somebody else changed the row meanwhile: the recording is not sent whole."""
    streaming.drop()
    streaming.settle()

    def interfere(_talk: object) -> None:
        job = streaming.job()
        streaming.queue.apply(lifecycle.read_anew(job, _problem(), streaming.clock.now()))

    streaming.service.meanwhile = interfere
    streaming.send()
    assert streaming.service.sent == []


def _problem() -> Problem:
    return Problem(Reason.READ_AGAIN, "a test interferes")


def test_a_start_settles_what_an_earlier_process_left_in_flight(bench: Bench) -> None:
    """Uploading: given back, not charged. Committing: unconfirmed."""
    for stem, seed in (("a", 1), ("b", 2)):
        bench.drop(stem, seed=seed)
    bench.settle()
    bench.attempts.service = _Gone()  # type: ignore[assignment]
    for stem in ("a.wav", "b.wav"):
        with pytest.raises(_Killed):
            bench.attempts.run(bench.job(stem), probe=stem == "a.wav")
    assert [bench.job(stem).state for stem in ("a.wav", "b.wav")] == [State.UPLOADING, State.COMMITTING]
    assert bench.uploader.recover() == 2
    a, b = bench.job("a.wav"), bench.job("b.wav")
    assert (a.state, a.attempts) == (State.READY, 0)
    assert (b.state, b.reason) == (State.UNCONFIRMED, Reason.OUTCOME_UNKNOWN)


class _Killed(BaseException):
    pass


class _Gone:
    """A service in whose calls the process dies."""

    def __getattr__(self, _name: str) -> object:
        def die(*_arguments: object, **_options: object) -> object:
            raise _Killed

        return die


def test_a_lost_queue_does_not_send_again_what_the_journal_knows(tmp_path: Path) -> None:
    """The talk id is adopted."""
    with bench_on(tmp_path) as bench:
        bench.drop()
        bench.settle()
        bench.send()
    for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with bench_on(tmp_path) as bench:
        assert examined(bench.queue) == 1
        bench.settle()
        bench.send()
        assert bench.service.calls == []
        assert (bench.job().state, bench.job().talk_id) == (State.UPLOADED, "talk-1")


def test_a_row_of_an_upload_command_is_left_to_it_while_it_lives(bench: Bench) -> None:
    """Afterwards nobody knows: unconfirmed, and held for the operator whatever the folder's policy is."""
    bench.drop()
    bench.settle()
    job = bench.job()
    assert job.audio is not None
    assert job.metadata is not None
    assert job.format is not None
    recording = Recording(audio=job.audio, metadata=job.metadata, format=job.format, fields=job.fields)
    claim = Claim(n=1, uid="ab" * 32, recording=recording, request_id="r", at=bench.clock.now(), whole=True, owner="123:456")
    bench.queue.apply(lifecycle.claimed(job, claim))
    bench.living.add("123:456")
    bench.send(61)
    assert bench.uploader.recover() == 0
    assert bench.job().state is State.COMMITTING
    bench.living.clear()
    bench.send(61)
    bench.send(3600)
    assert bench.job().state is State.UNCONFIRMED
    assert bench.service.calls == []


def test_an_answer_that_cannot_be_recorded_is_kept_until_it_can(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full just then: the talk id is not lost."""
    bench.drop()
    bench.settle()

    def full(_arrivals: Sequence[Arrival]) -> Sequence[Job | None]:
        raise QueueTrouble("The queue: database or disk is full.")

    monkeypatch.setattr(bench.queue, "apply_each", full)
    for _ in range(3):
        bench.send()
        assert bench.paused() == {"service": "queue_not_writable"}
    monkeypatch.undo()
    bench.send()
    assert (bench.job().state, bench.job().talk_id) == (State.DONE, "talk-1")
    assert len(bench.service.calls) == 1


def test_without_a_recorded_intent_nothing_is_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service pauses for as long as the queue cannot be written, and goes on by itself."""
    bench.drop()
    bench.settle()

    def full(_change: edges.Change) -> Job:
        raise QueueTrouble("The queue: database or disk is full.")

    monkeypatch.setattr(bench.queue, "apply", full)
    bench.send()
    assert bench.service.calls == []
    assert bench.paused() == {"service": "queue_not_writable"}
    monkeypatch.undo()
    bench.send(61)
    assert bench.job().state is State.DONE
    assert bench.paused() == {}


def test_a_file_that_cannot_be_read_is_charged_and_backs_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of its disk is its own failure; nothing else waits for it."""
    audio = bench.drop("bad", seconds=2)
    bench.drop("good", seed=3)
    bench.settle()
    real = folder._OpenFile.read_at

    def failing(file: folder._OpenFile, offset: int, count: int) -> bytes:
        if file.stamp.size == len(audio) and count > 1000:
            raise FileTrouble(FileTroubleKind.IO, "input/output error")
        return real(file, offset, count)

    monkeypatch.setattr(folder._OpenFile, "read_at", failing)
    bench.send()
    bad = bench.job("bad.wav")
    assert (bad.state, bad.attempts, bad.claims) == (State.READY, 1, 0)
    assert "input/output error" in bad.message
    assert bench.job("good.wav").state is State.DONE
    monkeypatch.undo()
    bench.send(5)
    assert bench.job("bad.wav").state is State.DONE


def test_stopping_ends_the_wait_for_bandwidth(tmp_path: Path) -> None:
    """Before the claim: the job stays as it was."""
    with bench_on(tmp_path) as bench:
        bench.attempts._throttle.bytes_per_s = 1
        bench.drop()
        bench.drop("second", seed=1)
        bench.settle()
        bench.attempts._throttle.take(1_000_000)
        bench.attempts._throttle.stopped = True
        bench.send()
        assert {(job.state, job.claims) for job in bench.jobs()} == {(State.READY, 0)}


@pytest.mark.parametrize("first", [Code.PERMISSION_DENIED, Code.NOT_FOUND])
def test_a_pause_of_the_connection_and_one_of_the_service_both_end(bench: Bench, first: Code) -> None:
    """When nothing but recordings of paused connections is left, one of them is the service's probe."""
    bench.drop()
    bench.settle()
    bench.service.script = [Outcome(code=first, committed=True), before(Code.UNAVAILABLE)]
    bench.send()
    bench.send(61)
    assert set(bench.paused()) == {"conn", "service"}
    for _ in range(4):
        bench.send(61)
    assert bench.job().state is State.DONE
    assert bench.paused() == {}


def test_a_probe_is_no_giant_while_there_are_others(bench: Bench) -> None:
    """An hour of a four-hour call would be an hour of pause for a service that works. A giant that waited for an hour has its
    turn all the same: what a small one is refused for again and again may not hold for it.
    """
    for seed, stem in enumerate(("giant", "small")):
        bench.drop(stem, seed=seed)
    bench.settle()
    longer = "UPDATE jobs SET audio_size = ?, updated_at = updated_at - 1 WHERE place = CAST('giant.wav' AS BLOB)"
    with bench.queue.transaction() as conn:
        conn.execute(longer, (2 * BIG_ABOVE_BYTES,))
    bench.uploader.traffic.pause("service", PauseReason.UNAVAILABLE, "", bench.uploader._moment())
    candidate = bench.uploader._candidate("service")
    assert candidate is not None
    assert candidate.place.path == "small.wav"
    bench.clock.advance(3601)
    with bench.queue.transaction() as conn:
        conn.execute("UPDATE jobs SET updated_at = ? WHERE audio_size < ?", (to_us(bench.clock.now()), BIG_ABOVE_BYTES))
    candidate = bench.uploader._candidate("service")
    assert candidate is not None
    assert candidate.place.path == "giant.wav"


def test_a_connection_is_probed_however_much_waits_for_others(tmp_path: Path) -> None:
    """Newer recordings of another connection do not hide it."""
    with bench_on(tmp_path, UploadRules(concurrency=1)) as bench:
        bench.drop("paused")
        bench.settle()
        bench.service.script = [Outcome(code=Code.PERMISSION_DENIED, committed=True)]
        bench.send()
        bench.queue.rows("SELECT 1")
        for number in range(60):
            bench.drop(f"other{number}", seed=number + 1)
        bench.look(60)
        bench.settle()
        with bench.queue.transaction() as conn:
            conn.execute("UPDATE jobs SET connection_id = 'other' WHERE place <> CAST('paused.wav' AS BLOB)")
        bench.uploader._folders = {
            "in": bench.folder,
            "more": dataclasses.replace(bench.folder, name="more", connection_id="other"),
        }
        bench.clock.advance(61)
        bench.uploader._begin_probes()
        assert bench.started[-1][0].place.path == "paused.wav"


def test_a_probe_whose_file_cannot_be_read_says_nothing_of_the_service(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause stays, and another probe follows."""
    for number in range(4):
        bench.drop(f"call{number}", seed=number)
    bench.settle()
    bench.service.script = [Outcome(code=Code.UNAUTHENTICATED, committed=True)] * 4
    bench.send()
    assert bench.paused() == {"service": "key_refused"}
    sent = len(bench.service.calls)

    def failing(_file: folder._OpenFile, _offset: int, count: int) -> bytes:
        raise FileTrouble(FileTroubleKind.IO, "input/output error")

    monkeypatch.setattr(folder._OpenFile, "read_at", failing)
    bench.send(61)
    monkeypatch.undo()
    assert bench.paused() == {"service": "key_refused"}
    assert len(bench.service.calls) == sent


def test_a_try_that_may_have_arrived_is_repeated_as_it_was(bench: Bench) -> None:
    """Connection and fields stay, whatever the rules say by then; so the uid does, and a later look-up finds both."""
    bench.drop()
    bench.settle()
    bench.service.script = [LOST_ANSWER]
    bench.send()
    bench.look()
    bench.configure(connection_id="elsewhere", metadata_defaults={"ticket": "1"})
    bench.send(60)
    bench.send(1)
    (_, first), (_, second) = bench.service.calls
    assert (second.connection_id, second.fields, second.uid) == (first.connection_id, first.fields, first.uid)


def test_a_held_recording_does_not_keep_the_uploader_awake(tmp_path: Path) -> None:
    """Nothing is due for it."""
    with bench_on(tmp_path, on_unknown=OnUnknown.HOLD) as bench:
        bench.drop()
        bench.settle()
        bench.service.script = [LOST_ANSWER]
        bench.send()
        bench.clock.advance(3600)
        assert bench.uploader.step() == 60.0


def test_a_claim_that_failed_and_is_on_disk_all_the_same_is_settled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that raised may be durable: the row does not stay in flight."""
    bench.drop()
    bench.settle()
    real = bench.queue.apply

    def half_failed(change: edges.Change) -> Job:
        job = real(change)
        if change.event is edges.Event.COMMITTING:
            raise QueueTrouble("The queue: disk I/O error.")
        return job

    monkeypatch.setattr(bench.queue, "apply", half_failed)
    bench.send()
    assert bench.service.calls == []
    assert bench.job().state is State.UNCONFIRMED
    monkeypatch.undo()
    bench.send(61)
    assert len(bench.service.calls) == 1
    assert (bench.job().state, bench.job().possible_duplicate) == (State.DONE, True)


def test_an_outcome_that_does_not_fit_its_row_leaves_nothing_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what a crash would make of it: the commit mark counts for more than what is told of it."""

    def forgetful(talk: Talk, pieces: Iterator[bytes], at_commit: Callable[[], None], hold_s: float) -> Outcome:
        at_commit()
        return before(Code.ABORTED)

    with bench_on(tmp_path, UploadRules(stream_above_bytes=0), on_unknown=OnUnknown.HOLD) as bench:
        monkeypatch.setattr(bench.service, "send_stream", forgetful)
        bench.drop()
        bench.settle()
        bench.send()
        assert bench.job().state is State.UNCONFIRMED
        assert "attempt_stale" in bench.log.getvalue()


def test_a_clock_that_was_ahead_does_not_put_anything_off_for_long(streaming: Bench) -> None:
    """Tries planned by a clock a month ahead are due once it is right again."""
    streaming.drop()
    streaming.settle()
    right = streaming.clock._now
    streaming.clock._now = right + timedelta(days=30)
    streaming.service.script = [before(Code.INTERNAL)]
    streaming.send()
    streaming.clock._now = right
    streaming.send(61)
    streaming.send()
    assert streaming.job().state is State.DONE


def test_what_was_skipped_in_doubt_and_is_sent_after_all_is_marked(tmp_path: Path) -> None:
    """It may be there twice then."""
    with bench_on(tmp_path, on_unknown=OnUnknown.HOLD) as bench:
        bench.drop()
        bench.settle()
        bench.service.script = [LOST_ANSWER]
        bench.send()
        bench.queue.apply(lifecycle.skipped(bench.job(), bench.clock.now()))
        bench.queue.apply(lifecycle.retried(bench.job(), bench.clock.now()))
        bench.intake.revisit()
        bench.settle()
        bench.send()
        assert (bench.job().state, bench.job().possible_duplicate) == (State.DONE, True)


@pytest.mark.parametrize("when", ["before the hash", "between hash and sending", "while sending"])
def test_a_file_rewritten_in_place_at_the_same_size_is_not_sent(
    streaming: Bench, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """What leaves is what was hashed and claimed: the stamp of the claim is what counts, at every pass."""
    audio = streaming.drop()
    streaming.settle()
    other = pcm(seconds=0.5, seed=77)
    assert len(other) == len(audio)

    def rewrite(*_: object) -> None:
        with (streaming.folder_path / "call.wav").open("r+b") as file:
            file.write(other)

    if when == "before the hash":
        monkeypatch.setattr("speechsense_watch.attempt.hash_of", lambda *a: (rewrite(), hash_of(*a))[1])  # type: ignore[func-returns-value]
    elif when == "between hash and sending":
        streaming.service.meanwhile = rewrite
    else:
        reads: list[int] = []
        real_read = folder._OpenFile.read_at

        def reading(file: folder._OpenFile, offset: int, count: int) -> bytes:
            reads.append(offset)
            if streaming.service.calls and offset == 3000:
                rewrite()
            return real_read(file, offset, count)

        monkeypatch.setattr(folder._OpenFile, "read_at", reading)
    streaming.send()
    assert streaming.service.sent == []
    assert streaming.job().state is State.WAITING
