"""`upload` without the program around it: one recording, its row at every moment, and what is told in the end."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import Change
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.model import AudioFormat, Half, Job, Place, Problem, Recording, Stamp, State, digest_of, uid_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import AfterUpload, Folder, OnUnknown, UploadRules
from speechsense_watch.core.verdict import Code, Halt, Outcome, PauseReason
from speechsense_watch.edge.ballast import Ballast
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ending import Ending, Result
from speechsense_watch.named import Source
from speechsense_watch.oneshot import CONNECT_WITHIN_S, FAILED_FOR_S, OneShot
from speechsense_watch.ports import Channel, ChannelState, QueueTrouble, Tried
from support.bench import ScriptedService
from support.broken_disk import FULL, IO_ERROR, BrokenDisk
from support.manual_clock import ManualClock
from support.rig import FIELDS
from support.starts import HERE, NOW
from support.wavs import asterisk_open, header_only, pcm

US, SOMEBODY = "4711:100", "4712:200"
AUDIO = pcm(seconds=1)


class Desk:
    """One folder with one recording, one queue, one upload."""

    def __init__(self, directory: Path, queue: SqliteQueue) -> None:
        self.queue = queue
        self.clock = ManualClock()
        self.service = ScriptedService()
        self.rules = UploadRules()
        self.living = {US}
        self.root = directory / "in"
        self.root.mkdir()
        self.folder = Folder(path=str(self.root), connection_id="conn", start_from="all", name="in", min_duration_s=60.0)
        self.drop("call", AUDIO)

    def drop(self, stem: str, audio: bytes) -> None:
        (self.root / f"{stem}.wav").write_bytes(audio)
        (self.root / f"{stem}.json").write_text(json.dumps(FIELDS))

    def source(self, stem: str = "call", **changes: object) -> Source:
        place, metadata = Place("in", f"{stem}.wav"), f"{stem}.json"
        made = Source(
            place=place,
            files=FolderFiles(str(self.root), self.clock),
            audio_file=place.path,
            metadata_file=metadata,
            metadata_path=metadata,
            rules=self.folder,
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    def outside(self, metadata: str | None = "call.json", folder: str = "") -> Source:
        rules = Folder(path="/", connection_id="other", start_from="all", name="")
        place = Place(folder, str(self.root / "call.wav") if not folder else "call.wav")
        return self.source(place=place, rules=rules, plain=True, metadata_file=metadata, metadata_path=None)

    def upload(self, source: Source | None = None) -> Ending:
        one = OneShot(self.queue, self.service, self.clock, self.rules, US, self.living.__contains__)
        return one.run(source or self.source())

    def job(self, path: str = "call.wav", folder: str = "in") -> Job:
        job = self.queue.at_place(Place(folder, path))
        assert job is not None
        return job

    def jobs(self) -> list[Job]:
        return sorted(self.queue.in_states(tuple(State)), key=lambda job: job.id)

    # --- rows that others left -----------------------------------------------------------------

    def apply(self, change: Change) -> Job:
        return self.queue.apply(change)

    def waiting(self, place: Place | None = None) -> Job:
        """For its metadata; at the place of metadata, for the audio."""
        now = self.clock.now()
        born = Job(
            id=0,
            state=State.WAITING,
            place=place or Place("in", "call.wav"),
            audio_path=None if place else "call.wav",
            metadata_path=place.path if place else None,
            connection_id="conn",
            created_at=now,
            updated_at=now,
            recorded_at=now,
            reason=Reason.METADATA_MISSING,
        )
        return self.apply(lifecycle.found(born, now))

    def recording(self, sha256: str = "00" * 32) -> Recording:
        half = Half(Stamp(1, 2, 3), sha256)
        return Recording(audio=half, metadata=half, format=AudioFormat(2, 8000, 44, 4, 1.0), fields={"a": "b"})

    def ready(self) -> Job:
        return self.apply(lifecycle.completed(self.waiting(), self.recording(), self.clock.now()))

    def claimed(self, *, whole: bool, owner: str | None = None) -> Job:
        claim = Claim(
            n=1,
            uid="ab" * 32,
            recording=self.recording(),
            request_id="request",
            at=self.clock.now(),
            whole=whole,
            owner=owner,
        )
        return self.apply(lifecycle.claimed(self.ready(), claim))

    def stopped(self, state: State) -> Job:
        now, problem = self.clock.now(), Problem(Reason.NOT_PCM, "It is GSM.")
        match state:
            case State.UNUSABLE:
                return self.apply(lifecycle.found_unusable(self.waiting(), problem, now, None, None))
            case State.SKIPPED:
                return self.apply(lifecycle.skipped(self.ready(), now))
            case State.REFUSED:
                return self.apply(lifecycle.gave_up(self.ready(), now))
            case State.LOST:
                return self.apply(lifecycle.vanished(self.ready(), now))
            case State.READY:
                return self.ready()
            case _:
                return self.waiting()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with closing(SqliteQueue(tmp_path / "queue.db")) as queue:
        yield Desk(tmp_path, queue)


# --- going well ------------------------------------------------------------------------------


def test_a_recording_is_sent_and_on_record(desk: Desk) -> None:
    """By its folder's rules, those of choice (here min_duration) lifted; the files are kept, so the job is done."""
    ending = desk.upload()
    assert ending == Ending(result=Result.ACCEPTED, talk_id="talk-1")
    job = desk.job()
    assert (job.state, job.talk_id, job.owner, job.claims) == (State.DONE, "talk-1", None, 1)
    [(talk, sent)] = desk.service.sent
    assert sent == AUDIO
    assert talk.fields == {**FIELDS, "direction_outgoing": "true"}
    metadata = hashlib.sha256((desk.root / "call.json").read_bytes()).hexdigest()
    assert job.uid == uid_of("conn", hashlib.sha256(AUDIO).hexdigest(), metadata)


@pytest.mark.parametrize("stream_above", [0, 2**20], ids=["streamed", "one message"])
def test_the_row_stands_at_the_commit_point_before_the_first_byte(desk: Desk, stream_above: int) -> None:
    """Written down with its holder, so that the daemon leaves it alone and a crash leaves it unconfirmed."""
    desk.rules = UploadRules(stream_above_bytes=stream_above)
    seen: list[tuple[State, str | None, int]] = []
    desk.service.meanwhile = lambda _: seen.append((desk.job().state, desk.job().owner, len(desk.service.sent)))
    assert desk.upload().result is Result.ACCEPTED
    assert seen == [(State.COMMITTING, US, 0)]
    assert desk.service.calls[0][0] == ("whole" if stream_above else "stream")
    assert desk.service.sent[0][1] == AUDIO


def test_what_is_on_record_is_not_sent_again(desk: Desk) -> None:
    """The same call at another place has the same talk id."""
    first = desk.upload()
    desk.drop("copy", AUDIO)
    again = desk.upload(desk.source("copy"))
    assert (again.result, again.talk_id) == (Result.ON_RECORD, first.talk_id)
    assert len(desk.service.calls) == 1
    assert len(desk.jobs()) == 1


def test_what_the_folder_archives_is_left_to_the_daemon(desk: Desk) -> None:
    """Filing is the daemon's work."""
    desk.folder = replace(desk.folder, after_upload=AfterUpload.ARCHIVE, archive_to="/archive")
    assert desk.upload().result is Result.ACCEPTED
    assert desk.job().state is State.UPLOADED
    desk.drop("copy", AUDIO)
    assert desk.upload(desk.source("copy")).result is Result.ON_RECORD
    desk.drop("call", pcm(seconds=1, seed=5))
    assert desk.upload().result is Result.LATER


def test_a_declared_key_carries_the_try(desk: Desk) -> None:
    """`recording_id_field` goes along with an upload by hand, too."""
    desk.folder = replace(desk.folder, recording_id_field="recording_id")
    desk.upload()
    assert desk.service.sent[0][0].fields["recording_id"] == f"{desk.job().uid}-1"


def test_outside_every_folder_the_place_is_the_path(desk: Desk) -> None:
    """Fields go as they are, for the connection that was named."""
    (desk.root / "call.json").write_text('{"id": 7, "outgoing": true}')
    assert desk.upload(desk.outside()).result is Result.ACCEPTED
    [(talk, _)] = desk.service.sent
    assert (talk.connection_id, talk.fields) == ("other", {"id": "7", "outgoing": "true"})
    assert desk.job(str(desk.root / "call.wav"), "").state is State.DONE


def test_without_metadata_the_built_in_fields_are_sent(desk: Desk) -> None:
    """The file's name then tells one call from the next, so that it is not sent twice."""
    assert desk.upload(desk.outside(None)).result is Result.ACCEPTED
    [(talk, _)] = desk.service.sent
    assert (talk.fields["operator_name"], talk.fields["client_id"]) == ("Operator", "2222")
    name = hashlib.sha256(b"call.wav").hexdigest()
    assert desk.jobs()[0].uid == uid_of("other", hashlib.sha256(AUDIO).hexdigest(), name)
    desk.clock.advance(60.0)
    assert desk.upload(desk.outside(None)).result is Result.ON_RECORD


def test_mono_goes_to_an_unknown_connection(desk: Desk) -> None:
    """Whether the connection takes it is for the service to say."""
    desk.drop("call", pcm(seconds=1, channels=1))
    assert desk.upload(desk.outside()).result is Result.ACCEPTED


# --- going wrong -----------------------------------------------------------------------------

DOWN = Outcome(code=Code.UNAVAILABLE, message="reset")
REFUSED = Outcome(code=Code.INVALID_ARGUMENT, message="bad date")
KEY = Outcome(code=Code.UNAUTHENTICATED, message="unknown key")


@pytest.mark.parametrize(
    ("stream_above", "outcome", "result", "state"),
    [
        (2**20, REFUSED, Result.REFUSED, State.REFUSED),
        (2**20, KEY, Result.LATER, State.READY),
        (2**20, Outcome(code=Code.NOT_FOUND), Result.LATER, State.READY),
        (2**20, DOWN, Result.UNKNOWN, State.UNCONFIRMED),
        (2**20, Outcome(code=Code.INTERNAL), Result.UNKNOWN, State.UNCONFIRMED),
        (0, REFUSED, Result.REFUSED, State.REFUSED),
        (0, KEY, Result.LATER, State.READY),
        (0, DOWN, Result.LATER, State.READY),
        (0, Outcome(code=Code.INTERNAL), Result.LATER, State.READY),
        (0, Outcome(code=Code.CANCELLED, halt=Halt.SHUTDOWN), Result.LATER, State.READY),
        (0, Outcome(code=Code.CANCELLED, halt=Halt.CHANGED), Result.LATER, State.READY),
        (0, Outcome(code=Code.UNAVAILABLE, committed=True), Result.UNKNOWN, State.UNCONFIRMED),
    ],
)
def test_how_a_try_ends(desk: Desk, stream_above: int, outcome: Outcome, result: Result, state: State) -> None:
    """Refused, not now, or unknown: a stream that broke off before its last byte left nothing behind."""
    desk.rules = UploadRules(stream_above_bytes=stream_above)
    desk.service.script = [outcome]
    ending = desk.upload()
    job = desk.job()
    assert (ending.result, job.state) == (result, state)
    assert ending.message
    assert not ending.talk_id
    assert job.attempts == (1 if state is State.REFUSED else 0)
    # What is given back is not left out by a rule of choice when the daemon takes it up.
    assert job.forced
    # What is undecided stays with the operator: the daemon sends nothing again that it did not send.
    assert job.owner == (US if state is State.UNCONFIRMED else None)


def test_a_refused_recording_can_be_sent_again(desk: Desk) -> None:
    """The operator has mended what was wrong; the claim counter goes on."""
    desk.service.script = [REFUSED]
    desk.upload()
    assert desk.upload().result is Result.ACCEPTED
    assert (desk.job().state, desk.job().claims) == (State.DONE, 2)


def test_an_undecided_upload_is_not_repeated(desk: Desk) -> None:
    """The operator has to decide first."""
    desk.service.script = [DOWN]
    desk.upload()
    again = desk.upload()
    assert again.result is Result.UNKNOWN
    assert f"resolve {desk.job().id}" in again.message
    assert len(desk.service.calls) == 1


@pytest.mark.parametrize(
    ("channel", "result", "patience_s"),
    [
        (Channel(ChannelState.CONNECTING), Result.LATER, CONNECT_WITHIN_S),
        (Channel(ChannelState.FAILED, message="No such name."), Result.LATER, FAILED_FOR_S),
        (Channel(ChannelState.FAILED, PauseReason.NO_CREDENTIALS, "No key."), Result.NO_KEY, 0.0),
    ],
)
def test_without_a_connection_nothing_is_written(desk: Desk, channel: Channel, result: Result, patience_s: float) -> None:
    """No row, no attempt; the message says why."""
    desk.service.state = channel
    began = desk.clock.monotonic()
    ending = desk.upload()
    assert ending.result is result
    assert channel.message in ending.message
    assert desk.clock.monotonic() - began == pytest.approx(patience_s, abs=0.1)
    assert desk.jobs() == []


def test_stopped_while_it_waits_for_a_connection_it_begins_nothing(desk: Desk) -> None:
    """Ctrl-C before anything was sent takes everything back."""
    desk.service.state = Channel(ChannelState.CONNECTING)
    one = OneShot(desk.queue, desk.service, desk.clock, desk.rules, US, desk.living.__contains__)
    one.stopping = True
    assert one.run(desk.source()).result is Result.LATER
    assert desk.jobs() == []


def test_a_call_forgotten_while_it_waits_for_a_connection_is_not_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another command, in the twenty seconds that this may take."""

    def channel() -> Channel:
        desk.queue.forget([], [digest_of(hashlib.sha256(AUDIO).hexdigest())], desk.clock.now())
        return Channel(ChannelState.READY)

    monkeypatch.setattr(desk.service, "channel", channel)
    ending = desk.upload()
    assert (ending.result, "forgotten" in ending.message) == (Result.REFUSED, True)
    assert (desk.jobs(), desk.service.calls) == ([], [])


@pytest.mark.parametrize(
    ("audio", "metadata", "result", "word"),
    [
        (header_only(), "{}", Result.REFUSED, "audio"),
        (b"Hello, this is no recording", "{}", Result.REFUSED, "WAV"),
        (asterisk_open(), "{}", Result.LATER, ""),
        (AUDIO, "{", Result.REFUSED, "JSON"),
        (AUDIO, "{}", Result.REFUSED, "lacks"),
        (None, "{}", Result.REFUSED, "no longer there"),
        (AUDIO, None, Result.REFUSED, "metadata"),
    ],
)
def test_what_cannot_be_sent_is_not(desk: Desk, audio: bytes | None, metadata: str | None, result: Result, word: str) -> None:
    """What is still growing may be tried later; nothing is written down of what was only looked at."""
    for name, content in (("call.wav", audio), ("call.json", metadata.encode() if metadata is not None else None)):
        if content is None:
            (desk.root / name).unlink()
        else:
            (desk.root / name).write_bytes(content)
    ending = desk.upload()
    assert ending.result is result
    assert word in ending.message
    assert desk.jobs() == []


def test_metadata_that_have_not_come_are_waited_for(desk: Desk) -> None:
    """By a folder's rules a recording needs its metadata."""
    ending = desk.upload(desk.source(metadata_file=None, metadata_path=None))
    assert (ending.result, "metadata" in ending.message) == (Result.LATER, True)


# --- beside others ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.WAITING, State.READY, State.REFUSED, State.UNUSABLE, State.SKIPPED, State.LOST])
def test_a_job_that_is_not_under_way_is_taken_over(desk: Desk, state: State) -> None:
    """One row a place: the daemon's goes on with what the operator sent."""
    before = desk.stopped(state)
    assert before.state is state
    assert desk.upload().result is Result.ACCEPTED
    [job] = desk.jobs()
    assert (job.id, job.state, job.metadata_path) == (before.id, State.DONE, "call.json")
    assert job.forced


def test_metadata_that_waited_for_their_audio_are_taken_over(desk: Desk) -> None:
    """Their row becomes the recording's."""
    waiting = desk.waiting(Place("in", "call.json"))
    assert desk.upload().result is Result.ACCEPTED
    [job] = desk.jobs()
    assert (job.id, job.place.path, job.audio_path, job.metadata_path) == (waiting.id, "call.wav", "call.wav", "call.json")


@pytest.mark.parametrize(("whole", "owner"), [(False, None), (True, None), (True, SOMEBODY)])
def test_what_is_under_way_is_left_alone(desk: Desk, whole: bool, owner: str | None) -> None:  # noqa: FBT001
    """The daemon, or another `upload` that still runs, is at it."""
    before = desk.claimed(whole=whole, owner=owner)
    desk.living.add(SOMEBODY)
    assert desk.upload().result is Result.LATER
    assert desk.job() == before
    assert desk.service.calls == []


def test_what_a_killed_upload_left_is_unconfirmed(desk: Desk) -> None:
    """Also where no daemon runs that would find it out."""
    desk.claimed(whole=True, owner=SOMEBODY)
    assert desk.upload().result is Result.UNKNOWN
    assert desk.job().state is State.UNCONFIRMED
    assert desk.service.calls == []


def test_an_answer_counts_although_we_were_taken_for_gone(desk: Desk) -> None:
    """The daemon may be unable to see this process: then the row is unconfirmed when the answer comes."""
    desk.service.meanwhile = lambda _: _ignore(desk.apply(lifecycle.recovered(desk.job(), desk.clock.now())))
    assert desk.upload() == Ending(result=Result.ACCEPTED, talk_id="talk-1")
    assert (desk.job().state, desk.job().owner) == (State.DONE, None)


@pytest.mark.parametrize("outcome", [REFUSED, DOWN])
def test_no_talk_id_leaves_such_a_row_unconfirmed(desk: Desk, outcome: Outcome) -> None:
    """Only an answer with a talk id says more than is on record."""
    desk.service.script = [outcome]
    desk.service.meanwhile = lambda _: _ignore(desk.apply(lifecycle.recovered(desk.job(), desk.clock.now())))
    desk.upload()
    assert desk.job().state is State.UNCONFIRMED


def test_a_row_that_was_decided_otherwise_is_not_sent_to_its_end(desk: Desk) -> None:
    """The operator resolved it from another terminal: the last byte stays here."""

    def resolve(_: object) -> None:
        desk.apply(lifecycle.recovered(desk.job(), desk.clock.now()))
        desk.apply(lifecycle.resent(desk.job(), desk.clock.now(), by_operator=True))

    desk.rules = UploadRules(stream_above_bytes=0)
    desk.service.meanwhile = resolve
    assert desk.upload().result is Result.LATER
    assert desk.service.sent == []
    assert desk.job().state is State.READY


def test_the_daemon_may_be_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that changes between look and claim is looked at again."""
    desk.waiting()
    original: Callable[[str], Tried] = desk.queue.tried_before
    raced = iter([True])

    def tried_before(uid: str) -> Tried:
        if next(raced, False):
            desk.apply(lifecycle.completed(desk.job(), desk.recording(), desk.clock.now()))
        return original(uid)

    monkeypatch.setattr(desk.queue, "tried_before", tried_before)
    assert desk.upload().result is Result.ACCEPTED
    assert [job.state for job in desk.jobs()] == [State.DONE]


def test_somebody_may_send_the_same_call_at_this_moment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that claim one recording, one does."""
    desk.drop("copy", AUDIO)
    monkeypatch.setattr(desk.queue, "holder_of", lambda _uid: None)
    raced: list[Ending] = []

    def other(_: object) -> None:
        monkeypatch.undo()
        raced.append(desk.upload(desk.source("copy")))

    desk.service.meanwhile = other
    assert desk.upload().result is Result.ACCEPTED
    assert [ending.result for ending in raced] == [Result.LATER]
    assert len(desk.service.sent) == 1


def test_an_answer_that_cannot_be_written_down_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator learns the talk id and how to put it on record."""

    def break_down(_: object) -> None:
        monkeypatch.setattr(desk.queue, "apply", _broken)

    desk.service.meanwhile = break_down
    ending = desk.upload()
    assert ending.result is Result.UNKNOWN
    assert "resolve 1 --uploaded talk-1" in ending.message


def test_without_a_queue_that_can_be_written_nothing_is_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The intent must be on disk first."""
    monkeypatch.setattr(desk.queue, "apply", _broken)
    assert desk.upload().result is Result.LATER
    assert desk.service.calls == []


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("kind", [FULL, IO_ERROR], ids=["full", "io"])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_disk_that_fails_before_the_claim_is_written_lets_nothing_leave(
    desk: Desk, nth: int, kind: tuple[int, str, str], *, durable: bool
) -> None:
    """The row and the claim are two writes; whether the failed one is on disk all the same or not."""
    BrokenDisk(desk.queue, durable=durable).fails = lambda commit: kind if commit == nth else None
    assert desk.upload().result is Result.LATER
    assert desk.service.calls == []


def test_a_full_disk_does_not_lose_the_talk_id(desk: Desk, tmp_path: Path) -> None:
    """The daemon's ballast is given up for it; the journal's line is owed until there is room."""
    ballast = Ballast(tmp_path / "queue.db", renews=True)
    ballast.keep()
    disk = BrokenDisk(desk.queue)
    desk.service.meanwhile = lambda _talk: setattr(disk, "fails", lambda _commit: FULL if ballast.path.exists() else None)
    assert desk.upload().talk_id == "talk-1"
    assert desk.job().talk_id == "talk-1"
    assert not ballast.path.exists()


def _broken(_change: Change) -> Job:
    raise QueueTrouble("The queue: disk full.")


def _ignore(_job: Job) -> None:
    return None


# --- after a suspicious start ------------------------------------------------------------------------


def doubt(desk: Desk) -> None:
    """The journal knows a start that the queue does not."""
    desk.queue.history._journal.start("another queue's", NOW)
    assert desk.queue.history.examine(HERE, NOW) is not None


@pytest.mark.parametrize("policy", [OnUnknown.HOLD, OnUnknown.SEARCH])
def test_what_may_have_been_sent_before_is_not_sent_silently(desk: Desk, policy: OnUnknown) -> None:
    """It ends as an outcome that is not known, with what to do; on the operator's word it is sent."""
    os.utime(desk.root / "call.wav", (1, 1))
    doubt(desk)
    source = desk.source(rules=replace(desk.folder, on_unknown=policy))
    for _ in range(2):
        ending = desk.upload(source)
        assert ending.result is Result.UNKNOWN
        assert f"resolve {desk.job().id} --resend" in ending.message
    assert desk.service.calls == []
    assert (desk.job().state, desk.job().reason, desk.job().claims) == (State.UNCONFIRMED, Reason.MAYBE_SENT_BEFORE, 32)
    desk.apply(lifecycle.resent(desk.job(), NOW, by_operator=True))
    assert desk.upload(source).result is Result.ACCEPTED
    assert (desk.job().claims, desk.job().possible_duplicate) == (33, True)


def test_where_doubtful_ones_are_sent_again_upload_marks_it(desk: Desk) -> None:
    """By a number above every earlier try."""
    os.utime(desk.root / "call.wav", (1, 1))
    doubt(desk)
    assert desk.upload().result is Result.ACCEPTED
    assert (desk.job().claims, desk.job().possible_duplicate) == (33, True)


def test_what_came_after_the_start_upload_sends_as_ever(desk: Desk) -> None:
    """Whatever the policy."""
    doubt(desk)
    os.utime(desk.root / "call.wav", (NOW.timestamp() + 1, NOW.timestamp() + 1))
    assert desk.upload(desk.source(rules=replace(desk.folder, on_unknown=OnUnknown.HOLD))).result is Result.ACCEPTED
    assert (desk.job().claims, desk.job().possible_duplicate) == (1, False)
