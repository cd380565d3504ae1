"""Recordings that were sent by other means, put on record so that they are not sent again.

With their talk ids they are `done` like any other; without, they are left out by the operator's word.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from speechsense_watch.core import lifecycle, pairing, wav
from speechsense_watch.core.edges import EDGES, Event, IllegalEdge
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.model import AudioFormat, Half, Job, Place, Problem, Recording, State, half_by_name, uid_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.ports import Clock, Files, FileTrouble, FileTroubleKind, Halted, OpenFile, Queue, Stale, UidTaken
from speechsense_watch.recording import hash_of, is_there, read_metadata
from speechsense_watch.scan import Scan

_UNKNOWN_FORMAT = AudioFormat(0, 0, 0, 0, 0.0)


class Outcome(StrEnum):
    """What became of one recording."""

    ADOPTED = "adopted"
    KNOWN = "known"
    BUSY = "busy"
    NOT_THERE = "not there"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Adoption:
    """Of one folder. Works beside the daemon: a row that it changes meanwhile is `busy`."""

    folder: Folder
    files: Files
    queue: Queue
    clock: Clock

    def uploaded(self, path: str, talk_id: str) -> Outcome:
        """The recording at this place is `done` under the talk id. Raises QueueTrouble."""
        try:
            with self.files.open(path) as audio:
                recording = self._recording(audio, path)
        except FileTrouble as trouble:
            return Outcome.NOT_THERE if trouble.kind is FileTroubleKind.GONE else Outcome.UNREADABLE
        except Halted:
            return Outcome.BUSY
        return self._with_talk(path, recording, talk_id)

    def _recording(self, audio: OpenFile, path: str) -> Recording:
        """What it is known by; whether it could be sent does not matter any more. Raises FileTrouble, Halted."""
        stamp = audio.stamp
        found = wav.inspect(audio.read_at, stamp.size)
        metadata = half_by_name(path)
        if beside := self._beside(path):
            try:
                metadata, _ = read_metadata(self.files, beside)
            except FileTrouble as trouble:
                if trouble.kind is not FileTroubleKind.GONE:
                    raise
        shape = found.format if isinstance(found, wav.Finished) else _UNKNOWN_FORMAT
        return Recording(audio=Half(stamp, hash_of(audio, stamp)), metadata=metadata, format=shape, fields={})

    def _beside(self, path: str) -> str | None:
        return pairing.metadata_path(self.folder, path, partial(is_there, self.files))

    def _with_talk(self, path: str, recording: Recording, talk_id: str) -> Outcome:
        uid = uid_of(self.folder.connection_id, recording.audio.sha256, recording.metadata.sha256)
        if self.queue.holder_of(uid) is not None:
            return Outcome.KNOWN
        try:
            job = self._waiting(path)
            if job is None:
                return self._why_not(path)
            n = max(job.claims, self.queue.claims_of(uid)) + 1
            claim = Claim(n=n, uid=uid, recording=recording, request_id="", at=self.clock.now(), whole=True)
            job = self.queue.apply(lifecycle.adopted(job, claim, talk_id))
            # The files stay where they are, whatever is done with those that we send.
            self.queue.apply(lifecycle.filed(job, self.clock.now()))
        except (Stale, IllegalEdge):
            return Outcome.BUSY
        except UidTaken:
            return Outcome.KNOWN
        return Outcome.ADOPTED

    def sent_before(self, path: str, before: datetime) -> Outcome:
        """The recording at this place is left out, if it is older than `before` and nothing was decided of it yet. Raises
        QueueTrouble.
        """
        try:
            job = self._waiting(path)
            if job is None:
                return self._why_not(path)
            said = f"Sent by other means, by the operator's word: it is from before {before.astimezone():%Y-%m-%d %H:%M}."
            self.queue.apply(lifecycle.skipped(job, self.clock.now(), said))
        except (Stale, IllegalEdge):
            return Outcome.BUSY
        return Outcome.ADOPTED

    def older_than(self, before: datetime) -> Iterator[str]:
        """The folder's recordings from before that moment, by the time of their audio files."""
        for listing in Scan(self.files, self.folder, self.clock).walk(anew=True):
            for name in listing.names if listing else ():
                path = posixpath.join(listing.path, name) if listing else name
                if pairing.takes(self.folder, path) and self._is_older(path, before):
                    yield path

    def _is_older(self, path: str, before: datetime) -> bool:
        try:
            return self.files.look(path).mtime_ns < before.timestamp() * 1e9
        except FileTrouble:
            return False

    def _waiting(self, path: str) -> Job | None:
        """A row that nobody works on: new, or as it was; None for one of which more is known already. Raises Stale."""
        job = self.queue.at_place(Place(self.folder.name, path))
        now = self.clock.now()
        problem = Problem(Reason.READ_AGAIN, "To be put on record as sent by other means.")
        if job is None:
            return self.queue.apply(lifecycle.found(self._row(path, problem, now), now))
        if job.state is State.WAITING:
            return job
        if job.state in EDGES[Event.READ_ANEW] and not job.possible_duplicate:
            return self.queue.apply(lifecycle.read_anew(job, problem, now))
        return None

    def _why_not(self, path: str) -> Outcome:
        job = self.queue.at_place(Place(self.folder.name, path))
        return Outcome.KNOWN if job is not None and job.talk_id is not None else Outcome.BUSY

    def _row(self, path: str, problem: Problem, now: datetime) -> Job:
        try:
            recorded_at = datetime.fromtimestamp(self.files.look(path).mtime_ns / 1e9, UTC)
        except (FileTrouble, ValueError, OverflowError, OSError):
            recorded_at = now
        return Job(
            id=0,
            state=State.WAITING,
            place=Place(self.folder.name, path),
            audio_path=path,
            metadata_path=self._beside(path),
            connection_id=self.folder.connection_id,
            created_at=now,
            updated_at=now,
            recorded_at=recorded_at,
            reason=problem.reason,
            message=problem.message,
        )
