"""The intent to send a recording: which try it is, and that it is on disk before the first byte leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.model import Half, Job, Recording, uid_of
from speechsense_watch.core.rules import Folder, OnUnknown
from speechsense_watch.core.verdict import Halt
from speechsense_watch.ports import Arrival, Clock, Halted, Queue, QueueTrouble, Stale, UidTaken
from speechsense_watch.recording import swapped


@dataclass(frozen=True, slots=True)
class Intent:
    """To send this recording of a folder with these rules as this try."""

    job: Job
    rules: Folder
    claim: Claim

    @property
    def claimed(self) -> edges.Change:
        return lifecycle.claimed(self.connected, self.claim).of(self.job)

    @property
    def connected(self) -> Job:
        return replace(self.job, connection_id=_frozen(self.job, self.rules, self.claim.recording)[0])


class Intents:
    """Any number of threads may ask at once."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock

    def of(self, job: Job, rules: Folder, recording: Recording, sha256: str, *, whole: bool) -> Intent:
        """Of the next try, as of now. To be recorded at once: by the next moment a copy of it may have been tried. Raises
        QueueTrouble.
        """
        connection_id, fields = _frozen(job, rules, recording)
        uid = uid_of(connection_id, sha256, recording.metadata.sha256)
        tries = tries_before(self._queue, job, recording.audio, uid)
        n = tries.last + 1
        claim = Claim(
            n=n,
            doubted=tries.doubted,
            uid=uid,
            recording=replace(
                recording,
                audio=Half(recording.audio.stamp, sha256),
                fields=with_recording_id(fields, rules, uid, n),
                # By the fields of this try: what says who speaks and who speaks on which channel must agree.
                shape=replace(recording.shape, swapped=swapped(rules, fields)),
            ),
            request_id=str(uuid4()),
            at=self._clock.now(),
            whole=whole,
            in_doubt=tries.in_doubt,
        )
        return Intent(job, rules, claim)

    def record_together(self, intents: Sequence[Intent]) -> Sequence[Job | None]:
        """The rows with their intents, all by one write; None where that is not all there is to it, or the write did not come
        about: each of those is recorded by itself then. Raises QueueTrouble when nothing can be asked.
        """
        plain = [intent for intent in intents if not self._is_special(intent)]
        rows: dict[int, Job] = {}
        if len(plain) > 1:
            try:
                done = self._queue.apply_each([Arrival(intent.claimed) for intent in plain])
            except QueueTrouble:
                done = ()
            rows = {row.id: row for row in done if row is not None}
        return [rows.get(intent.job.id) for intent in intents]

    def record(self, intent: Intent) -> Job | None:
        """The row with the intent on it; None when nothing is to be sent: another job already stands for this recording, it may
        have been sent before the queue was lost, or it is one to be forgotten. Raises Stale, QueueTrouble.
        """
        try:
            if not self._is_special(intent):
                return self._queue.apply(intent.claimed)
            if not self._forgotten(intent):
                self._queue.apply(self._special(intent).of(intent.job))
        except UidTaken as taken:
            self._queue.apply(lifecycle.duplicate(intent.job, taken.holder, self._clock.now()))
        except Stale:
            if not self._forgotten(intent):
                raise
        return None

    def commit(self, claimed: Job) -> Job:
        """The mark is on disk: from now on it may arrive whole. Raises Halted."""
        try:
            return self._queue.apply(lifecycle.committing(claimed, self._clock.now()))
        except (Stale, edges.IllegalEdge, QueueTrouble) as error:
            raise Halted(Halt.NOT_RECORDED, str(error)) from error

    def _is_special(self, intent: Intent) -> bool:
        """Only the journal knows its talk id; or it may have been sent before the queue was lost, and is not to be sent again."""
        held = intent.claim.doubted > 0 and intent.rules.on_unknown is not OnUnknown.RESEND
        return held or self._queue.journal_talk(intent.claim.uid) is not None

    def _special(self, intent: Intent) -> edges.Change:
        talk_id = self._queue.journal_talk(intent.claim.uid)
        job, claim = intent.connected, intent.claim
        return lifecycle.adopted(job, claim, talk_id) if talk_id else lifecycle.doubted(job, claim)

    def _forgotten(self, intent: Intent) -> bool:
        if not self._queue.is_forgotten(intent.claim.recording.audio.sha256):
            return False
        self._queue.apply(lifecycle.forgotten(intent.job, self._clock.now()))
        return True


def _frozen(job: Job, rules: Folder, recording: Recording) -> tuple[str, Mapping[str, str]]:
    """Connection and fields of this try. A try that may have arrived is repeated as it was, whatever the rules say by now;
    one that surely did not goes by the present rules, so that a wrong connection can be mended.
    """
    if job.possible_duplicate and job.uid is not None:
        return job.connection_id, job.fields
    return rules.connection_id, recording.fields


@dataclass(frozen=True, slots=True)
class TriesBefore:
    """The number of the last try that a recording had, or may have had; whether it may be with SpeechSense already by one of
    them; and the suspicious start before which it may have been sent, 0 for none.
    """

    last: int
    in_doubt: bool
    doubted: int


def tries_before(queue: Queue, job: Job | None, audio: Half, uid: str) -> TriesBefore:
    on_record = queue.tried_before(uid)
    known = max(job.claims if job is not None else 0, on_record.claims)
    suspicion = queue.suspicion()
    if suspicion is None or not suspicion.doubts(job, audio):
        return TriesBefore(known, on_record.in_doubt, 0)
    return TriesBefore(suspicion.tries(known), on_record.in_doubt, suspicion.k)


def with_recording_id(fields: Mapping[str, str], rules: Folder, uid: str, n: int) -> Mapping[str, str]:
    """The declared key carries `<uid>-<n>`: what a look-up can find and tell from other tries."""
    return {**fields, rules.recording_id_field: f"{uid}-{n}"} if rules.recording_id_field else fields
