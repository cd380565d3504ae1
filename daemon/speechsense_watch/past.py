"""Places with a past: whether what lies there now is still what a stopped or finished job was about.

A file is the same when its inode, size and mtime are, or when its bytes are: copies and touched files are no new recordings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import Half, Job, Problem, Sighting, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.ports import Clock, Files, FileTrouble, Halted
from speechsense_watch.recording import hash_of


@dataclass(slots=True)
class Look:
    """Both halves of a place at one moment; None for a half that is not there. `trouble`: why one could not be looked at."""

    place: str
    metadata_path: str
    audio: Sighting | None = None
    metadata: Sighting | None = None
    trouble: FileTrouble | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """Decides for one folder; `apply` carries changes out."""

    files: Files
    clock: Clock
    apply: Callable[[lifecycle.Change], Job]

    def stopped(self, look: Look, job: Job) -> Job:
        """A refused, unusable, skipped or lost job: read anew when its files changed or came back."""
        if not self._changed_since(look, job):
            return job
        problem = Problem(Reason.READ_AGAIN, "The files changed or came back.")
        return self.apply(lifecycle.read_anew(job, problem, self.clock.now()))

    def _changed_since(self, look: Look, job: Job) -> bool:
        if job.state is State.LOST or job.reason is Reason.VANISHED:
            return True
        audio, metadata = job.audio, job.metadata
        if audio is None:
            return False
        same_audio = look.audio is not None and look.audio.stamp == audio.stamp
        same_metadata = (look.metadata.stamp if look.metadata else None) == (metadata.stamp if metadata else None)
        if same_audio and same_metadata:
            return False
        if job.reason is Reason.BY_OPERATOR and not same_audio and look.audio is not None:
            return not self._same_bytes(look.place, look.audio, audio)
        return job.reason is not Reason.BY_OPERATOR or not same_metadata

    def finished(self, look: Look, audio: Sighting, job: Job) -> Job | None:
        """A `done` place: None when what lies there is a new recording."""
        if job.gone_at is not None:
            return None
        if job.audio is None or job.metadata is None or look.metadata is None:
            return job
        same_audio = audio.stamp == job.audio.stamp or self._same_bytes(look.place, audio, job.audio)
        metadata = look.metadata
        same_metadata = metadata.stamp == job.metadata.stamp or self._same_bytes(look.metadata_path, metadata, job.metadata)
        if same_audio and same_metadata:
            return self._remember_same(audio, metadata, job)
        if same_audio or same_metadata:
            if not job.changed_after_upload:
                what = "metadata" if same_audio else "audio"
                self.apply(lifecycle.changed_after_upload(job, self.clock.now(), f"The {what} changed after the upload."))
            return job
        return None

    def _remember_same(self, audio: Sighting, metadata: Sighting, job: Job) -> Job:
        if job.audio and job.metadata and (audio.stamp, metadata.stamp) != (job.audio.stamp, job.metadata.stamp):
            halves = (Half(audio.stamp, job.audio.sha256), Half(metadata.stamp, job.metadata.sha256))
            return self.apply(lifecycle.seen_same(job, *halves, self.clock.now()))
        return job

    def _same_bytes(self, path: str, sighting: Sighting, half: Half) -> bool:
        if not half.sha256 or sighting.size != half.stamp.size:
            return False
        try:
            with self.files.open(path) as file:
                return hash_of(file, sighting.size) == half.sha256
        except (FileTrouble, Halted):
            return False
