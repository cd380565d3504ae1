"""Places with a past: whether what lies there now is still what a stopped or finished job was about.

A file is the same when its size and mtime are (`core.known.still_the_same`), or when its bytes are: copies and touched files are
no new recordings, and a tree that was moved to another machine is recognised without reading it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.known import still_the_same
from speechsense_watch.core.model import Half, Job, Problem, Sighting, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.ports import Clock, Files, FileTrouble, Halted
from speechsense_watch.recording import Reader, hash_of


@dataclass(slots=True)
class Look:
    """Both halves of a place at one moment; None for a half that is not there. `trouble`: why one could not be looked at; `free`:
    there is no row about it.
    """

    place: str
    metadata_path: str | None
    reader: Reader
    audio: Sighting | None = None
    metadata: Sighting | None = None
    trouble: FileTrouble | None = None
    free: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """Decides for one folder; `apply` carries changes out."""

    files: Files
    clock: Clock
    apply: Callable[[edges.Change], Job]

    def stopped(self, look: Look, job: Job) -> Job:
        """A refused, unusable, skipped or lost job: read anew when its files changed or came back."""
        if not self._changed_since(look, job):
            return job
        problem = Problem(Reason.READ_AGAIN, "The files changed or came back.")
        return self.apply(lifecycle.read_anew(job, problem, self.clock.now()))

    def _changed_since(self, look: Look, job: Job) -> bool:
        if job.state is State.LOST or job.reason in (Reason.VANISHED, Reason.BY_RULE):
            # Whoever is asked about a place that the rules left out has rules that take it again.
            return True
        if job.reason is Reason.BY_OPERATOR:
            return self._rewritten(look, job)
        if job.reason is Reason.NOT_A_REGULAR_FILE and all(half.regular for half in (look.audio, look.metadata) if half):
            # Inode, size and mtime of a hard link stay what they are when its other name is removed.
            return True
        audio, metadata = job.audio, job.metadata
        if audio is None:
            return False
        same_audio = look.audio is not None and still_the_same(audio.stamp, look.audio.stamp)
        before, now = metadata.file_stamp if metadata else None, look.metadata.stamp if look.metadata else None
        same_metadata = still_the_same(before, now) if before and now else before is now
        return not (same_audio and same_metadata)

    def _rewritten(self, look: Look, job: Job) -> bool:
        """What the operator skipped stays skipped unless its bytes differ: a touched or copied file is still that call.

        Of a file that was never hashed the size has to do; of one that was not even complete, whether it was written to later.
        """
        halves = ((look.place, look.audio, job.audio), (look.metadata_path, look.metadata, job.metadata))
        for path, sighting, known in halves:
            if path is None or sighting is None or (known is not None and still_the_same(known.stamp, sighting.stamp)):
                continue
            if known is None:
                if job.audio is None and sighting.mtime_ns > job.updated_at.timestamp() * 1e9:
                    return True
            elif sighting.size != known.stamp.size or (known.sha256 and not self._same_bytes(path, sighting, known)):
                return True
        return False

    def finished(self, look: Look, audio: Sighting, job: Job) -> Job | None:
        """A `done` place: None when what lies there is a new recording."""
        if job.gone_at is not None:
            return None
        if job.audio is None or job.metadata is None:
            return job
        if look.metadata is None and (look.metadata_path is not None or job.metadata.file_stamp is not None):
            return job
        same_audio = still_the_same(job.audio.stamp, audio.stamp) or self._same_bytes(look.place, audio, job.audio)
        same_metadata = self._same_metadata(look, job.metadata)
        if same_audio and same_metadata:
            return self._remember_same(audio, look.metadata, job)
        if same_audio or same_metadata:
            if not job.changed_after_upload:
                what = "metadata" if same_audio else "audio"
                self.apply(lifecycle.changed_after_upload(job, self.clock.now(), f"The {what} changed after the upload."))
            return job
        # Another recording has taken the place: of this one nothing is left here.
        self.apply(lifecycle.seen_gone(job, self.clock.now(), replaced=True))
        return None

    def _same_metadata(self, look: Look, known: Half) -> bool:
        """Of a recording without a metadata file nothing but the audio can change."""
        if look.metadata is None or look.metadata_path is None:
            return known.file_stamp is None
        return still_the_same(known.stamp, look.metadata.stamp) or self._same_bytes(look.metadata_path, look.metadata, known)

    def _remember_same(self, audio: Sighting, metadata: Sighting | None, job: Job) -> Job:
        if job.audio is None or job.metadata is None:
            return job
        now_there = (audio.stamp, metadata.stamp if metadata else job.metadata.stamp)
        if now_there == (job.audio.stamp, job.metadata.stamp):
            return job
        halves = (Half(now_there[0], job.audio.sha256), Half(now_there[1], job.metadata.sha256))
        return self.apply(lifecycle.seen_same(job, *halves, self.clock.now()))

    def _same_bytes(self, path: str, sighting: Sighting, half: Half) -> bool:
        if not half.sha256 or sighting.size != half.stamp.size:
            return False
        try:
            with self.files.open(path) as file:
                return hash_of(file, sighting.stamp) == half.sha256
        except (FileTrouble, Halted):
            return False
