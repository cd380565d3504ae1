"""Recordings that were sent by other means, put on record so that they are not sent again.

With their talk ids they are `done` like any other; without, they are left out by the operator's word.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from speechsense_watch.core import lifecycle, pairing, wav
from speechsense_watch.core.edges import Change
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.model import (
    IN_FLIGHT,
    AudioFormat,
    Half,
    Job,
    Place,
    Problem,
    Recording,
    State,
    half_by_name,
    uid_of,
)
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.ports import Arrival, Clock, Files, FileTrouble, FileTroubleKind, Halted, OpenFile, Queue
from speechsense_watch.recording import hash_of, is_there, read_metadata
from speechsense_watch.scan import Scan

_UNKNOWN_FORMAT = AudioFormat(0, 0, 0, 0, 0.0)
_WHY = Problem(Reason.READ_AGAIN, "To be put on record as sent by other means.")


class Outcome(StrEnum):
    """What became of one recording."""

    ADOPTED = "adopted"
    KNOWN = "known"
    BUSY = "busy"
    NOT_THERE = "not there"
    UNREADABLE = "unreadable"
    OTHER_TALK = "known with another talk id"
    TALK_TAKEN = "talk id of another recording"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class _Sent:
    """A recording with the talk id it is said to have."""

    path: str
    talk_id: str
    recording: Recording
    uid: str


@dataclass(frozen=True, slots=True)
class Adoption:
    """Of one folder. Works beside the daemon: a row that it changes meanwhile is `busy`. Everything raises QueueTrouble."""

    folder: Folder
    files: Files
    queue: Queue
    clock: Clock

    def uploaded(self, sent: Sequence[tuple[str, str]]) -> Sequence[Outcome]:
        """Each recording, given by its path and talk id, is `done` under that talk id. Whatever is written is one write."""
        read = [self._read(path, talk_id) for path, talk_id in sent]
        rows = self.queue.at_places(self.folder.name, [each.path for each in read if isinstance(each, _Sent)])
        talks: dict[str, str] = {}
        return self._written(
            [each if isinstance(each, Outcome) else self._judge(each, _there(rows.get(each.path)), talks) for each in read]
        )

    def left_out(self, paths: Sequence[str], before: str) -> Sequence[Outcome]:
        """Each recording at these places, all from before this date, is left out as sent; one that was so already is `known`."""
        said = f"Sent by other means, by the operator's word: it is from before {before}."
        rows = self.queue.at_places(self.folder.name, paths)
        skip = partial(lifecycle.skipped, at=self.clock.now(), message=said)
        judged = [self._before(path, _there(rows.get(path))) for path in paths]
        return self._written([each if isinstance(each, Outcome) else Arrival(each, [skip]) for each in judged])

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

    def _written(self, judged: Sequence[Arrival | Outcome]) -> Sequence[Outcome]:
        arrivals = [each for each in judged if isinstance(each, Arrival)]
        jobs = iter(self.queue.apply_each(arrivals) if arrivals else ())
        # What another process was faster with is for the next time: then it is known, or its state says what it is.
        made = (Outcome.ADOPTED if job is not None else Outcome.BUSY for job in jobs)
        return [each if isinstance(each, Outcome) else next(made) for each in judged]

    # --- reading -----------------------------------------------------------------------------

    def _read(self, path: str, talk_id: str) -> _Sent | Outcome:
        try:
            with self.files.open(path) as audio:
                recording = self._recording(audio, path)
        except FileTrouble as trouble:
            return Outcome.NOT_THERE if trouble.kind is FileTroubleKind.GONE else Outcome.UNREADABLE
        except Halted:
            return Outcome.BUSY
        if self.queue.is_forgotten(recording.audio.sha256):
            return Outcome.FORGOTTEN
        uid = uid_of(self.folder.connection_id, recording.audio.sha256, recording.metadata.sha256)
        return _Sent(path, talk_id, recording, uid)

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

    # --- judging -----------------------------------------------------------------------------

    def _judge(self, sent: _Sent, job: Job | None, talks: dict[str, str]) -> Arrival | Outcome:
        """What is to be written; or why nothing is, by what is known of the recording, of its place and of its talk id. `talks`
        are those of this write, by uid.
        """
        holder = self.queue.holder_of(sent.uid)
        known = talks.get(sent.uid) or (holder and holder.talk_id) or (job and job.talk_id)
        if known:
            return Outcome.KNOWN if known == sent.talk_id else Outcome.OTHER_TALK
        if self.queue.journal_talk(sent.uid) not in (None, sent.talk_id):
            return Outcome.OTHER_TALK
        if sent.talk_id in talks.values() or self.queue.of_talk(sent.talk_id) is not None:
            return Outcome.TALK_TAKEN
        if holder is not None and (job is None or job.id != holder.id):
            return Outcome.BUSY  # sent from another place just now
        if holder is not None and holder.state is State.UNCONFIRMED and holder.owner is None:
            arrival = Arrival(holder, [partial(lifecycle.confirmed, talk_id=sent.talk_id, at=self.clock.now()), self._filed])
        elif row := self._row(sent.path, job):
            arrival = Arrival(row, [partial(self._adopted, sent), self._filed])
        else:
            return Outcome.BUSY
        talks[sent.uid] = sent.talk_id
        return arrival

    def _before(self, path: str, job: Job | None) -> Job | Change | Outcome:
        if job is not None and (job.talk_id or (job.state is State.SKIPPED and job.reason is Reason.BY_OPERATOR)):
            return Outcome.KNOWN
        if job is not None and job.state is State.UNCONFIRMED and job.owner is None:
            return job
        return self._row(path, job) or Outcome.BUSY

    def _row(self, path: str, job: Job | None) -> Job | Change | None:
        """The place's row, waiting or ready, or what makes it so; None while an attempt has it."""
        now = self.clock.now()
        if job is None:
            return self._new_row(path, now)
        if job.state in (State.WAITING, State.READY):
            return job
        if job.state in IN_FLIGHT or job.state is State.UNCONFIRMED:
            return None
        return lifecycle.read_anew(job, _WHY, now)

    def _new_row(self, path: str, now: datetime) -> Change:
        beside = self._beside(path)
        place = Place(self.folder.name, path)
        # Its metadata may have been there before it, with a row of its own.
        orphan = self.queue.at_place(Place(self.folder.name, beside)) if beside else None
        if orphan is not None and orphan.state is State.WAITING and orphan.audio_path is None:
            return lifecycle.still_waiting(orphan, _WHY, now, place=place, audio_path=path, metadata_path=beside)
        return lifecycle.found(self._born(place, beside, now), now)

    def _born(self, place: Place, beside: str | None, now: datetime) -> Job:
        try:
            recorded_at = datetime.fromtimestamp(self.files.look(place.path).mtime_ns / 1e9, UTC)
        except (FileTrouble, ValueError, OverflowError, OSError):
            recorded_at = now
        return Job(
            id=0,
            state=State.WAITING,
            place=place,
            audio_path=place.path,
            metadata_path=beside,
            connection_id=self.folder.connection_id,
            created_at=now,
            updated_at=now,
            recorded_at=recorded_at,
            reason=_WHY.reason,
            message=_WHY.message,
        )

    # --- edges -------------------------------------------------------------------------------

    def _adopted(self, sent: _Sent, job: Job) -> Change:
        n = max(job.claims, self.queue.tried_before(sent.uid).claims) + 1
        claim = Claim(n=n, uid=sent.uid, recording=sent.recording, request_id="", at=self.clock.now(), whole=True)
        return lifecycle.adopted(replace(job, connection_id=self.folder.connection_id), claim, sent.talk_id).of(job)

    def _filed(self, job: Job) -> Change:
        """The files stay where they are, whatever is done with those that we send."""
        return lifecycle.filed(job, self.clock.now())


def _there(job: Job | None) -> Job | None:
    """The row of what lies at the place now: whatever was there before is none of its business."""
    return None if job is not None and job.gone_at is not None else job
