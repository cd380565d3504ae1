"""Tries to upload: read, freeze, record the intent, send. Run on worker threads.

The order is the promise: the files are checked and hashed, then the claim is on disk, then the first byte leaves; the commit
mark is on disk before the last byte does. What the answer means is not decided here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.model import Job, Problem, Recording, Stamp
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.reshape import reshaped
from speechsense_watch.core.rules import Folder, UploadRules
from speechsense_watch.core.verdict import Code, Halt, Outcome
from speechsense_watch.foreseen import Foreseen
from speechsense_watch.intents import Intent, Intents
from speechsense_watch.ports import (
    NO_SOURCES,
    Clock,
    Files,
    FileTrouble,
    FileTroubleKind,
    Halted,
    OpenFile,
    Queue,
    QueueTrouble,
    Service,
    Sources,
    Stale,
    Talk,
)
from speechsense_watch.recording import Fate, Finding, Fit, Reader, Unfit, hash_of, pieces, read_whole, unfit_by_trouble
from speechsense_watch.throttle import Throttle

# The service gets this long to refuse a probe before its last piece leaves.
PROBE_HOLD_S = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What a worker hands back. `outcome` is None when nothing was sent."""

    job: Job
    outcome: Outcome | None = None
    # The files are not what they were: the intake must look again.
    look_again: bool = False
    # The folder's root is away: nothing in it can be sent for now.
    root_away: bool = False
    trouble: QueueTrouble | None = None
    # A fault of ours ended the attempt; where it stood is on the row.
    broke_off: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """A watched folder as the workers see it. `gone_counts` tells whether a file that is not there is really gone."""

    rules: Folder
    files: Files
    gone_counts: Callable[[], bool]
    sources: Sources = NO_SOURCES
    # No share: whatever is read is read in no time.
    local: bool = False
    # Another daemon works this folder: it sends these recordings.
    taken: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Whole:
    """A recording that goes in one message, read, checked and hashed; which try it will be is settled when it is its turn."""

    job: Job
    tree: Tree
    recording: Recording
    sha256: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """The row with the intent on it, and what that is."""

    job: Job
    claim: Claim


class Attempts:
    """Makes attempts; any number of threads may do so at once."""

    def __init__(self, queue: Queue, service: Service, clock: Clock, throttle: Throttle) -> None:
        self._queue = queue
        self.service = service
        self._clock = clock
        self._throttle = throttle
        self._intents = Intents(queue, clock)
        self.rules = UploadRules()
        self.trees: Mapping[str, Tree] = {}
        self.foreseen = Foreseen()
        self.stopping = False

    def run(self, job: Job, *, probe: bool) -> Ended:
        """The whole of it. Never raises for anything a file, the queue or the service does."""
        prepared = self.prepare(job, probe=probe)
        if isinstance(prepared, Ended):
            return prepared
        (claimed,) = self.claim([prepared])
        if isinstance(claimed, Ended):
            return claimed
        ended: SimpleQueue[Ended] = SimpleQueue()
        self.begin(prepared, claimed, ended.put)
        return ended.get()

    def is_quick(self, job: Job, *, probe: bool) -> bool:
        """Whether it goes in one message, is read in no time, and waits for nothing on its way: no limit, no share."""
        tree = self.trees.get(job.place.folder)
        small = job.audio is not None and job.audio.stamp.size <= self.rules.stream_above_bytes
        return small and not probe and tree is not None and tree.local and not self._throttle.bytes_per_s

    def hash_ahead(self, job: Job) -> str:
        """The hash of one whose turn has not come; nothing is on record of that, and nothing is kept open. Empty when it is on
        the row, or none is to be had, for a reason that is met again and told when its turn comes. A share is not read for this.
        """
        tree = self.trees.get(job.place.folder)
        if tree is None or not tree.local or tree.taken():
            return ""
        if job.audio is None or job.audio.sha256 or job.audio_path is None:
            return ""
        try:
            with tree.files.open(job.audio_path) as audio:
                return hash_of(audio, job.audio.stamp, lambda: self.stopping)
        except (FileTrouble, Halted):
            return ""

    def prepare(self, job: Job, *, probe: bool) -> Ended | Whole:
        """As far as it goes without a record of it. What does not go in one message is sent, and has ended."""
        tree = self.trees.get(job.place.folder)
        if tree is None or job.audio_path is None or tree.taken():
            return Ended(job, root_away=True)
        try:
            with tree.files.open(job.audio_path) as audio:
                return self._read(job, tree, audio, probe=probe)
        except FileTrouble as trouble:
            return self._not_there(job, tree, trouble)
        except Halted as halted:
            return self._halted(job, halted)
        except Stale:
            return Ended(job, look_again=True)
        except QueueTrouble as trouble:
            return Ended(job, trouble=trouble)

    def claim(self, wholes: Sequence[Whole]) -> Sequence[Claimed | Ended]:
        """The intents are on disk, all by one write; an end for those of which nothing is to be sent."""
        try:
            return self._claim_each(wholes)
        except QueueTrouble as trouble:
            return [Ended(each.job, trouble=trouble) for each in wholes]

    def _claim_each(self, wholes: Sequence[Whole]) -> Sequence[Claimed | Ended]:
        if self.stopping:
            return [Ended(each.job) for each in wholes]
        fresh = [each for each in wholes if not self._is_of_yesterday(each)]
        intents = [self._intents.of(each.job, each.tree.rules, each.recording, each.sha256, whole=True) for each in fresh]
        rows = self._intents.record_together(intents)
        claimed = {
            intent.job.id: Claimed(row, intent.claim) if row is not None else self._claimed_alone(intent)
            for intent, row in zip(intents, rows, strict=True)
        }
        return [claimed.get(each.job.id) or Ended(each.job) for each in wholes]

    def _is_of_yesterday(self, whole: Whole) -> bool:
        """Other rules have come since it was read."""
        return self.trees.get(whole.job.place.folder) is not whole.tree

    def _claimed_alone(self, intent: Intent) -> Claimed | Ended:
        try:
            row = self._intents.record(intent)
        except Stale:
            return Ended(intent.job, look_again=True)
        except QueueTrouble as trouble:
            return Ended(intent.job, trouble=trouble)
        return Claimed(row, intent.claim) if row is not None else Ended(intent.job)

    def begin(self, whole: Whole, claimed: Claimed, hand_back: Callable[[Ended], None]) -> None:
        """Its call is under way; how it ended is handed back on whatever thread."""
        recording = claimed.claim.recording
        sent = b"".join(reshaped([whole.audio], recording.format, recording.shape))
        talk = _talk(claimed.job, claimed.claim, len(sent))
        self.service.begin_whole(talk, sent, lambda outcome: hand_back(Ended(claimed.job, outcome)))

    def _halted(self, job: Job, halted: Halted) -> Ended:
        """Before the claim: nothing was sent and nothing is on record."""
        match halted.halt:
            case Halt.SHUTDOWN:
                return Ended(job)
            case Halt.READ_FAILED:
                return Ended(job, Outcome(code=Code.CANCELLED, message=halted.message, halt=halted.halt))
            case _:
                return self._unfit(job, Problem(Reason.READ_AGAIN, halted.message or "The files changed."))

    def _not_there(self, job: Job, tree: Tree, trouble: FileTrouble) -> Ended:
        if trouble.kind is not FileTroubleKind.GONE:
            return self._unfit(job, unfit_by_trouble(trouble, "audio").problem)
        if not tree.gone_counts():
            return Ended(job, root_away=True)
        return self._settle(lifecycle.vanished(job, self._clock.now(), self._queue.suspicion()))

    def _unfit(self, job: Job, problem: Problem) -> Ended:
        return self._settle(lifecycle.read_anew(job, problem, self._clock.now()))

    def _settle(self, change: edges.Change) -> Ended:
        try:
            return Ended(self._queue.apply(change), look_again=True)
        except Stale:
            return Ended(change.after, look_again=True)
        except QueueTrouble as trouble:
            return Ended(change.after, trouble=trouble)

    def _read(self, job: Job, tree: Tree, audio: OpenFile, *, probe: bool) -> Ended | Whole:
        finding = _finding(job, tree, audio)
        if not isinstance(finding, Fit) or not _same(job, finding.recording):
            if not isinstance(finding, Fit) and finding.fate is Fate.GONE:
                return self._not_there(job, tree, FileTrouble(FileTroubleKind.GONE, finding.problem.message))
            return self._unfit(job, _what_changed(finding))
        recording = finding.recording
        stamp = recording.audio.stamp
        self._throttle.take_call(recording.fields)
        if not probe and stamp.size <= self.rules.stream_above_bytes and self._throttle.lets_whole(stamp.size):
            data = read_whole(audio, stamp)
            self._throttle.take(len(data))
            return Whole(job, tree, recording, hashlib.sha256(data).hexdigest(), data)
        return self._send_stream(job, tree, recording, audio, hold_s=PROBE_HOLD_S if probe else 0.0)

    def _send_stream(self, job: Job, tree: Tree, recording: Recording, audio: OpenFile, *, hold_s: float) -> Ended:
        stamp = recording.audio.stamp
        intent = self._intents.of(job, tree.rules, recording, self._hash(job, audio, stamp), whole=False)
        claim, claimed = intent.claim, None if self.stopping else self._intents.record(intent)
        if claimed is None:
            return Ended(job)
        read = pieces(audio, stamp, self.rules.chunk_size_bytes)
        row = claimed

        def at_commit() -> None:
            nonlocal row
            row = self._intents.commit(claimed)

        outcome = self.service.send_stream(
            _talk(claimed, claim, stamp.size),
            self._throttle.paced(reshaped(read, recording.format, claim.recording.shape)),
            at_commit,
            hold_s,
        )
        return Ended(row, outcome)

    def _hash(self, job: Job, audio: OpenFile, stamp: Stamp) -> str:
        """Of a file that has the stamp of the job. One that was made under that stamp before is as good. Raises Halted."""
        known = job.audio.sha256 if job.audio else ""
        return known or self.foreseen.take(job) or hash_of(audio, stamp, lambda: self.stopping)


def _finding(job: Job, tree: Tree, audio: OpenFile) -> Finding:
    """Read as the intake read it; what was waited for then is not waited for again."""
    reader = Reader(tree.files, tree.rules, tree.sources, job.fields)
    finding = reader.examine_open(audio, job.place.path, job.metadata_path, forced=job.forced)
    while isinstance(finding, Unfit) and finding.otherwise is not None:
        finding = finding.otherwise
    return finding


def _talk(claimed: Job, claim: Claim, size_bytes: int) -> Talk:
    return Talk(
        connection_id=claimed.connection_id,
        fields=claim.recording.fields,
        request_id=claim.request_id,
        uid=claim.uid,
        size_bytes=size_bytes,
    )


def _same(job: Job, recording: Recording) -> bool:
    """Still the files that were found complete."""
    return (
        job.audio is not None
        and job.metadata is not None
        and job.audio.stamp == recording.audio.stamp
        and job.metadata.stamp == recording.metadata.stamp
    )


def _what_changed(finding: Finding) -> Problem:
    if isinstance(finding, Fit):
        return Problem(Reason.READ_AGAIN, "The files changed while the recording waited for its upload.")
    return finding.problem
