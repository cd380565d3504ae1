"""`upload`: one recording now, by the operator's word, beside a running daemon or without one.

The promise is the daemon's: the intent is on disk before the first byte. The row is written as `committing`, with the
process that holds it, so that the daemon leaves it alone; whoever finds that process gone makes it `unconfirmed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.lifecycle import Backoff, Claim
from speechsense_watch.core.model import IN_FLIGHT, Half, Job, Place, Recording, State, uid_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.reshape import reshaped
from speechsense_watch.core.rules import OnUnknown, UploadRules
from speechsense_watch.core.verdict import Halt, Kind, Outcome, PauseReason, Verdict, judge
from speechsense_watch.ending import (
    Ending,
    Result,
    busy,
    ending_of,
    forgotten,
    not_recorded,
    stopped,
    undecided,
    unfit,
    unreachable,
)
from speechsense_watch.intents import tries_before, with_recording_id
from speechsense_watch.named import Source, examine
from speechsense_watch.ports import (
    ChannelState,
    Clock,
    FileTrouble,
    Halted,
    OpenFile,
    Queue,
    QueueTrouble,
    Service,
    Stale,
    Talk,
    UidTaken,
)
from speechsense_watch.recording import Unfit, hash_of, pieces, read_whole, unfit_by_trouble
from speechsense_watch.throttle import Throttle

CONNECT_WITHIN_S = 20.0
# A failed connection is given this long to come about after all, and to be explained.
FAILED_FOR_S = 2.0
_LOOK_EVERY_S = 0.05
_TRIES = 5


class OneShot:
    """Sends one recording. `owner` names this process, `alive` tells whether the one another row names still runs."""

    def __init__(
        self,
        queue: Queue,
        service: Service,
        clock: Clock,
        rules: UploadRules,
        owner: str,
        alive: Callable[[str], bool],
    ) -> None:
        self._queue = queue
        self._service = service
        self._clock = clock
        self._rules = rules
        self._owner = owner
        self._alive = alive
        self._throttle = Throttle(clock)
        # Of this process alone: a daemon beside it keeps to the limit by itself.
        self._throttle.configure(rules)
        # Set by whoever wants it to end: nothing is begun from then on.
        self.stopping = False

    def run(self, source: Source) -> Ending:
        """The recording is accepted, or it is told why not and what is on record of it. Raises nothing for what a file,
        the queue or the service does.
        """
        try:
            with source.files.open(source.audio_file) as audio:
                finding = examine(source, audio, self._clock.now())
                if isinstance(finding, Unfit):
                    return unfit(finding)
                return self._send(source, audio, finding.recording)
        except FileTrouble as trouble:
            return unfit(unfit_by_trouble(trouble, "audio"))
        except Halted as halted:
            return Ending(result=Result.LATER, message=halted.message)
        except Stale:
            return busy()
        except QueueTrouble as trouble:
            return Ending(result=Result.LATER, message=f"{trouble} Nothing was sent.")

    def _send(self, source: Source, audio: OpenFile, recording: Recording) -> Ending:
        stamp = recording.audio.stamp
        small = stamp.size <= self._rules.stream_above_bytes and self._throttle.lets_whole(stamp.size)
        whole = read_whole(audio, stamp) if small else None
        sha256 = hash_of(audio, stamp) if whole is None else hashlib.sha256(whole).hexdigest()
        if self._queue.is_forgotten(sha256):
            return forgotten()
        uid = uid_of(source.rules.connection_id, sha256, recording.metadata.sha256)
        recording = replace(recording, audio=Half(recording.audio.stamp, sha256))
        ending = (
            self._in_journal(uid)
            or self._known(self._queue.holder_of(uid))
            or self._in_the_way(self._at_place(source))
            or self._doubted(source, recording, uid)
            or self._reach()
        )
        if ending is not None:
            return ending
        self._throttle.take_call(recording.fields)
        claimed = self._claim(source, recording, uid)
        if isinstance(claimed, Ending):
            return claimed
        job, talk = claimed
        if whole is not None:
            self._throttle.take(stamp.size)
            outcome = self._service.send_whole(talk, b"".join(reshaped([whole], recording.format, recording.shape)))
        else:
            read = pieces(audio, stamp, self._rules.chunk_size_bytes)
            sent = reshaped(read, recording.format, recording.shape)
            outcome = self._service.send_stream(talk, self._throttle.paced(sent), lambda: self._still_ours(job), 0.0)
        return self._finish(job, source, outcome)

    # --- what is on record already ---------------------------------------------------------------

    def _in_journal(self, uid: str) -> Ending | None:
        if talk_id := self._queue.journal_talk(uid):
            message = "The journal beside the queue knows this recording: nothing was sent."
            return Ending(result=Result.ON_RECORD, message=message, talk_id=talk_id)
        return None

    def _known(self, holder: Job | None) -> Ending | None:
        if holder is None:
            return None
        if holder.talk_id:
            message = f"This recording is on record as job {holder.id}: nothing was sent."
            return Ending(result=Result.ON_RECORD, message=message, talk_id=holder.talk_id)
        return self._in_the_way(holder)

    def _in_the_way(self, job: Job | None) -> Ending | None:
        if job is None or (job.state not in IN_FLIGHT and job.state not in (State.UNCONFIRMED, State.UPLOADED)):
            return None
        if job.state in IN_FLIGHT and job.owner is not None and not self._alive(job.owner):
            job = self._queue.apply(lifecycle.recovered(job, self._clock.now()))
        if job.state is State.UNCONFIRMED:
            return Ending(result=Result.UNKNOWN, message=undecided(job))
        if job.state is State.UPLOADED:
            message = f"Job {job.id} at this place was uploaded; the daemon has still to see to its files."
            return Ending(result=Result.LATER, message=message)
        return Ending(result=Result.LATER, message=f"Job {job.id} is being sent at this moment.")

    def _at_place(self, source: Source) -> Job | None:
        """The row of the place; else that of its metadata, while they wait for the audio."""
        job = self._queue.at_place(source.place)
        if job is not None or source.metadata_path is None:
            return job
        orphan = self._queue.at_place(Place(source.place.folder, source.metadata_path))
        return orphan if orphan is not None and orphan.audio_path is None and orphan.state is State.WAITING else None

    # --- the claim -----------------------------------------------------------------------------

    def _doubted(self, source: Source, recording: Recording, uid: str) -> Ending | None:
        """What may have been sent before the queue was lost, and is not simply sent again, has to be decided first."""
        if source.rules.on_unknown is OnUnknown.RESEND:
            return None
        for _ in range(_TRIES):
            before = self._at_place(source)
            if (ending := self._in_the_way(before)) is not None:
                return ending
            here = before if before is not None and before.state is not State.DONE else None
            if tries_before(self._queue, here, recording.audio, uid).doubted == 0:
                return None
            try:
                row = self._row(source, before, recording)
                job = _handed_in(row, source)
                job = self._queue.apply(lifecycle.doubted(job, self._claim_of(job, source, recording, uid)).of(row))
            except Stale:
                continue
            except UidTaken as taken:
                return self._known(self._queue.job(taken.holder)) or busy()
            return Ending(result=Result.UNKNOWN, message=f"{job.message} {undecided(job)}")
        return busy()

    def _claim_of(self, job: Job, source: Source, recording: Recording, uid: str) -> Claim:
        tries = tries_before(self._queue, job, recording.audio, uid)
        n = tries.last + 1
        return Claim(
            n=n,
            uid=uid,
            recording=replace(recording, fields=with_recording_id(recording.fields, source.rules, uid, n)),
            request_id=str(uuid4()),
            at=self._clock.now(),
            whole=True,
            owner=self._owner,
            in_doubt=tries.in_doubt,
            doubted=tries.doubted,
        )

    def _reach(self) -> Ending | None:
        """None once there is a connection: before that no row is touched."""
        until = self._clock.monotonic() + CONNECT_WITHIN_S
        failed_at: float | None = None
        channel = self._service.channel()
        while channel.state is not ChannelState.READY and not self.stopping:
            now = self._clock.monotonic()
            failed = channel.state is ChannelState.FAILED
            failed_at = (failed_at or now) if failed else None
            if failed and channel.reason is PauseReason.NO_CREDENTIALS:
                return Ending(result=Result.NO_KEY, message=channel.message)
            if now >= until or (failed_at is not None and now - failed_at >= FAILED_FOR_S):
                return Ending(result=Result.LATER, message=unreachable(channel))
            self._clock.sleep(_LOOK_EVERY_S)
            channel = self._service.channel()
        return stopped() if self.stopping else None

    def _claim(self, source: Source, recording: Recording, uid: str) -> tuple[Job, Talk] | Ending:
        for _ in range(_TRIES):
            if self._queue.is_forgotten(recording.audio.sha256):
                return forgotten()  # while we waited for the connection
            before = self._at_place(source)
            if (ending := self._in_the_way(before)) is not None:
                return ending
            try:
                row = self._row(source, before, recording)
                job = _handed_in(row, source)
                claim = self._claim_of(job, source, recording, uid)
                job = self._queue.apply(lifecycle.claimed(job, claim).of(row))
            except Stale:
                continue  # the daemon or another command was first: look again
            except UidTaken as taken:
                return self._known(self._queue.job(taken.holder)) or busy()
            return job, _talk(job, claim)
        return busy()

    def _row(self, source: Source, before: Job | None, recording: Recording) -> Job:
        """The row to be claimed: the one that is there, or a new one."""
        now = self._clock.now()
        if before is not None and before.state is not State.DONE:
            return before
        fresh = Job(
            id=0,
            state=State.WAITING,
            place=source.place,
            audio_path=source.place.path,
            metadata_path=source.metadata_path,
            connection_id=source.rules.connection_id,
            created_at=now,
            updated_at=now,
            recorded_at=_time_of(recording.audio.stamp.mtime_ns),
            reason=Reason.READ_AGAIN,
            message="Handed in by `upload`.",
            forced=True,
        )
        return self._queue.apply(lifecycle.found(fresh, now))

    def _still_ours(self, claimed: Job) -> None:
        """Asked before the last byte leaves: somebody may have decided otherwise about the row meanwhile."""
        try:
            job = self._queue.job(claimed.id)
        except QueueTrouble as trouble:
            raise Halted(Halt.NOT_RECORDED, str(trouble)) from trouble
        if job is None or not self._holds(job, claimed):
            raise Halted(Halt.NOT_RECORDED, "The job was changed by somebody else during the upload.")

    def _holds(self, job: Job, claimed: Job) -> bool:
        held = job.state in (State.COMMITTING, State.UNCONFIRMED)
        return held and (job.owner, job.claims) == (self._owner, claimed.claims)

    # --- the end -------------------------------------------------------------------------------

    def _finish(self, claimed: Job, source: Source, outcome: Outcome) -> Ending:
        verdict = _nothing_complete_left(judge(outcome), outcome)
        try:
            job = self._record(claimed, outcome, verdict)
            if verdict.kind is Kind.ACCEPTED and job.state is State.UPLOADED and source.keeps_files:
                self._close(job)
        except QueueTrouble as trouble:
            return not_recorded(claimed, outcome, verdict, trouble)
        return ending_of(job, source, outcome, verdict)

    def _record(self, claimed: Job, outcome: Outcome, verdict: Verdict) -> Job:
        """The outcome is on disk, as far as the row is still ours; returns the row as it is then."""
        for _ in range(_TRIES):
            job = self._queue.job(claimed.id)
            if job is None or not self._holds(job, claimed):
                return job or claimed
            change = self._end_of(job, outcome, verdict)
            try:
                return self._queue.apply(change) if change else job
            except Stale:
                continue
        return claimed

    def _end_of(self, job: Job, outcome: Outcome, verdict: Verdict) -> edges.Change | None:
        """None where the daemon took us for gone and only a talk id would change anything."""
        now = self._clock.now()
        if job.state is State.COMMITTING:
            return lifecycle.finished(job, outcome, verdict, self._backoff(), now, 0.0)
        return lifecycle.confirmed(job, outcome.talk_id, now) if verdict.kind is Kind.ACCEPTED else None

    def _close(self, job: Job) -> None:
        try:
            self._queue.apply(lifecycle.filed(job, self._clock.now()))
        except Stale:
            return  # the daemon's filer was first

    def _backoff(self) -> Backoff:
        rules = self._rules
        return Backoff(initial_s=rules.retry_initial_s, max_s=rules.retry_max_s, give_up_after_s=rules.give_up_after_s)


def _handed_in(row: Job, source: Source) -> Job:
    """The row taken over, whatever the daemon knew it by."""
    return replace(
        row,
        place=source.place,
        audio_path=source.place.path,
        metadata_path=source.metadata_path,
        connection_id=source.rules.connection_id,
        forced=True,
    )


def _talk(job: Job, claim: Claim) -> Talk:
    fields = claim.recording.fields
    size = claim.recording.audio.stamp.size
    return Talk(connection_id=job.connection_id, fields=fields, request_id=claim.request_id, uid=claim.uid, size_bytes=size)


def _nothing_complete_left(verdict: Verdict, outcome: Outcome) -> Verdict:
    """The row stands at the commit point from the start, so what failed before it is given back, charged to nobody."""
    if not outcome.committed and verdict.kind in (Kind.TRANSIENT, Kind.CHANGED):
        return Verdict(Kind.GIVEN_BACK, verdict.problem)
    return verdict


def _time_of(mtime_ns: int) -> datetime:
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime(1970, 1, 1, tzinfo=UTC)  # a file system that holds nonsense
