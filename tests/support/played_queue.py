"""A queue filled by hand, edge by edge, as the daemon would have filled it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import Change
from speechsense_watch.core.lifecycle import Backoff, Claim
from speechsense_watch.core.model import AudioFormat, Half, Job, Place, Problem, Recording, Stamp, State, uid_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import Code, Outcome, judge
from speechsense_watch.edge.queue import SqliteQueue
from support.manual_clock import ManualClock

BACKOFF = Backoff(initial_s=5.0, max_s=900.0, give_up_after_s=3600.0)
FIELDS: Mapping[str, str] = {"operator_id": "201", "client_id": "+79990000000", "language": "ru-RU"}


class PlayedQueue:
    """Moves jobs along their edges. Every method returns the job as it is on disk then."""

    def __init__(self, path: Path, clock: ManualClock, folder: str = "calls") -> None:
        self.queue = SqliteQueue(path)
        self.clock = clock
        self.folder = folder

    def apply(self, change: Change) -> Job:
        return self.queue.apply(change)

    def found(self, stem: str, reason: Reason = Reason.METADATA_MISSING, message: str = "It has not come yet.") -> Job:
        now = self.clock.now()
        whole = reason is not Reason.METADATA_MISSING
        path = f"{stem}.wav"
        born = Job(
            id=0,
            state=State.WAITING,
            place=Place(self.folder, path),
            audio_path=path,
            metadata_path=f"{stem}.json" if whole else None,
            connection_id="conn-1",
            created_at=now,
            updated_at=now,
            recorded_at=now - timedelta(minutes=2),
            reason=reason,
            message=message,
        )
        return self.apply(lifecycle.found(born, now))

    def ready(self, stem: str) -> Job:
        job = self.found(stem, Reason.READ_AGAIN, "Complete.")
        return self.apply(lifecycle.completed(job, recording(stem), self.clock.now()))

    def unusable(self, stem: str, reason: Reason = Reason.NOT_PCM, message: str = "The audio is GSM.") -> Job:
        job = self.found(stem, reason, message)
        return self.apply(lifecycle.found_unusable(job, Problem(reason, message), self.clock.now(), half(stem), half("m")))

    def skipped(self, stem: str, reason: Reason = Reason.NO_AUDIO) -> Job:
        job = self.found(stem, reason, "There is no audio in it.")
        problem = Problem(reason, "There is no audio in it.")
        return self.apply(lifecycle.left_out(job, problem, self.clock.now(), half(stem), half("m")))

    def lost(self, stem: str) -> Job:
        return self.apply(lifecycle.vanished(self.ready(stem), self.clock.now()))

    def uploading(self, stem: str, *, whole: bool = False) -> Job:
        return self.claim(self.ready(stem), whole=whole)

    def claim(self, job: Job, *, whole: bool = False) -> Job:
        return self.apply(lifecycle.claimed(job, self.claim_of(job, whole=whole)))

    def claim_of(self, job: Job, *, whole: bool = False) -> Claim:
        """What its next try freezes; nothing is written."""
        stem = job.place.path.removesuffix(".wav")
        read = recording(stem)
        return Claim(
            n=job.claims + 1,
            uid=uid_of(job.connection_id, read.audio.sha256, read.metadata.sha256),
            recording=read,
            request_id=f"request-{job.id}-{job.claims + 1}",
            at=self.clock.now(),
            whole=whole,
        )

    def ended(self, stem: str, outcome: Outcome) -> Job:
        """Sent as one message, with this end."""
        return self.end(self.uploading(stem, whole=outcome.committed), outcome)

    def end(self, job: Job, outcome: Outcome) -> Job:
        return self.apply(lifecycle.finished(job, outcome, judge(outcome), BACKOFF, self.clock.now(), 0.5))

    def refused(self, stem: str, message: str = "date is lacking") -> Job:
        return self.ended(stem, Outcome(code=Code.INVALID_ARGUMENT, message=message, committed=True))

    def failed(self, stem: str) -> Job:
        return self.ended(stem, Outcome(code=Code.INTERNAL, message="trouble within"))

    def unconfirmed(self, stem: str) -> Job:
        return self.ended(stem, Outcome(code=Code.UNAVAILABLE, message="connection reset", committed=True))

    def uploaded(self, stem: str) -> Job:
        outcome = Outcome(
            code=Code.OK, talk_id=f"talk-{stem}", committed=True, bytes_sent=32044, server_request_id=f"server-{stem}"
        )
        return self.ended(stem, outcome)

    def done(self, stem: str) -> Job:
        return self.apply(lifecycle.filed(self.uploaded(stem), self.clock.now()))

    def changed(self, stem: str) -> Job:
        return self.apply(
            lifecycle.changed_after_upload(self.done(stem), self.clock.now(), "The audio changed after the upload.")
        )

    def filing_failed(self, stem: str) -> Job:
        now = self.clock.now()
        return self.apply(lifecycle.filing_failed(self.uploaded(stem), "Filing: no permission.", now, now + timedelta(minutes=1)))

    def of_each_state(self) -> dict[State, Job]:
        """One job in each of the eleven states."""
        committing = self.uploading("committing", whole=True)
        return {
            State.WAITING: self.found("waiting"),
            State.READY: self.ready("ready"),
            State.UPLOADING: self.uploading("uploading"),
            State.COMMITTING: committing,
            State.UNCONFIRMED: self.unconfirmed("unconfirmed"),
            State.UPLOADED: self.uploaded("uploaded"),
            State.DONE: self.done("done"),
            State.REFUSED: self.refused("refused"),
            State.UNUSABLE: self.unusable("unusable"),
            State.SKIPPED: self.skipped("skipped"),
            State.LOST: self.lost("lost"),
        }


def half(content: str, size: int = 32044) -> Half:
    return Half(Stamp(inode=7, size=size, mtime_ns=1), sha256(content))


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()


def recording(stem: str) -> Recording:
    audio_format = AudioFormat(channels=2, sample_rate_hz=8000, data_offset=44, data_bytes=32000, duration_s=1.0)
    return Recording(
        audio=half(stem), metadata=replace(half(f"{stem}.json"), stamp=Stamp(8, 120, 1)), format=audio_format, fields=FIELDS
    )
