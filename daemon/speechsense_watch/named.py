"""A recording that the operator named, for `upload` and `check --file`: where it lies and what would be sent of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from speechsense_watch.core import metadata
from speechsense_watch.core.model import Job, Place, Problem, Recording, half_by_name
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import AfterUpload, ConnectionType, Folder
from speechsense_watch.core.wav import Finished, inspect
from speechsense_watch.ports import NO_SOURCES, Files, FileTrouble, OpenFile, Queue, Sources
from speechsense_watch.recording import (
    Fate,
    Finding,
    Fit,
    Reader,
    Unfit,
    Unrepaired,
    judge_audio,
    read_metadata,
    unfit_by_trouble,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One recording that the operator named. `files` is asked by `audio_file` and `metadata_file`; `place` and
    `metadata_path` are what the queue calls them. `plain`: sent as the metadata say, or with default fields when there
    are none, and not by a folder's rules; `rules` then say no more than the connection.
    """

    place: Place
    files: Files
    audio_file: str
    metadata_file: str | None
    metadata_path: str | None
    rules: Folder
    plain: bool = False
    sources: Sources = NO_SOURCES

    @property
    def keeps_files(self) -> bool:
        """Nothing is left to be done with the files after the upload."""
        return self.place.folder == "" or self.rules.after_upload is AfterUpload.KEEP


def examine(source: Source, audio: OpenFile, now: datetime) -> Finding:
    """What would be sent, the rules of choice lifted, or why it cannot be. Raises FileTrouble for the audio."""
    if not source.plain:
        reader = Reader(source.files, source.rules, source.sources)
        finding = reader.examine_open(audio, source.audio_file, source.metadata_file, forced=True)
        # Who names a recording wants it sent now, without its call record if need be; but not while it may be growing.
        late = isinstance(finding, Unfit) and finding.problem.reason is Reason.CALL_RECORD_MISSING
        return finding.otherwise if late and isinstance(finding, Unfit) and finding.otherwise else finding
    judged = judge_audio(_for_its_channels(source.rules, audio), audio, forced=True)
    if isinstance(judged, Unrepaired):
        return Unfit(Fate.WAIT, judged.problem, judged.half)
    if isinstance(judged, Unfit):
        return judged
    if source.metadata_file is None:
        fields = metadata.default_fields(now.astimezone())
        half = half_by_name(source.place.path)
        recording = Recording(audio=judged.half, metadata=half, format=judged.format, fields=fields)
        return Fit(recording, ("There is no metadata, so the built-in fields are sent.",))
    try:
        half, raw = read_metadata(source.files, source.metadata_file)
    except FileTrouble as trouble:
        return unfit_by_trouble(trouble, "metadata", judged.half)
    read = metadata.plain_fields(raw)
    if isinstance(read, Problem):
        return Unfit(Fate.UNUSABLE, read, judged.half, half)
    return Fit(Recording(audio=judged.half, metadata=half, format=judged.format, fields=read.values), read.actions)


def _for_its_channels(rules: Folder, audio: OpenFile) -> Folder:
    """The connection's type is not known, so the one that suits the audio is taken: the service has the last word."""
    found = inspect(audio.read_at, audio.stamp.size)
    mono = isinstance(found, Finished) and found.format.channels == 1
    return replace(rules, connection_type=ConnectionType.SINGLE_CHANNEL if mono else ConnectionType.TWO_CHANNEL)


def on_record(queue: Queue, uid: str) -> Job | None:
    """The job under whose talk id this recording is known already."""
    holder = queue.holder_of(uid)
    return holder if holder is not None and holder.talk_id else None
