"""Reading a recording: from two open files to what would be sent, or why it would not.

The intake asks before it queues a job, the uploader again before it sends one, `check --file` and `upload` when the
operator asks; all of them get the same answer from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from speechsense_watch.core import fitness, reshape, wav
from speechsense_watch.core.metadata import Fields
from speechsense_watch.core.model import AudioFormat, Half, Problem, Recording, Shape, Stamp, half_by_name
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder, Unfinished
from speechsense_watch.core.verdict import Halt
from speechsense_watch.gathering import NotYet, gather
from speechsense_watch.ports import NO_SOURCES, Files, FileTrouble, FileTroubleKind, Halted, OpenFile, Sources

METADATA_MAX_BYTES = 2**20
_WHOLE_PIECE_BYTES = 2**20
# As quick as in larger ones.
_HASH_PIECE_BYTES = 2**18
_HEADER_BYTES = 512


class Fate(StrEnum):
    WAIT = "wait"
    LEAVE_OUT = "leave_out"
    UNUSABLE = "unusable"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Unfit:
    """A recording that is not to be sent as it is now; the halves are what was seen of it. `otherwise` is what it comes to
    when what is lacking (its call record, the end of its header) is waited for no longer.
    """

    fate: Fate
    problem: Problem
    audio: Half | None = None
    metadata: Half | None = None
    otherwise: Fit | Unfit | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """A recording that can be sent. The audio's sha256 is empty until its bytes were read."""

    recording: Recording
    actions: tuple[str, ...] = ()


Finding = Fit | Unfit


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio that can be sent, for what it is worth without its metadata."""

    half: Half
    format: AudioFormat
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads recordings of one folder by its rules. `settled` are the fields that were found for this recording when it was
    queued: they stand when its call record is not to be found any more, or nothing can be read just now, since records are
    rotated away and recordings may wait.
    """

    files: Files
    folder: Folder
    sources: Sources = NO_SOURCES
    settled: Mapping[str, str] = field(default_factory=dict)

    def examine(self, audio_path: str, metadata_path: str | None, *, forced: bool = False) -> Finding:
        """Opens both halves, reads the audio's header and the metadata. Without a `metadata_path`, where the folder's
        recordings have one, only the audio is judged: it is never Fit then, but may turn out to hold no audio at all.
        """
        try:
            with self.files.open(audio_path) as audio:
                return self.examine_open(audio, audio_path, metadata_path, forced=forced)
        except FileTrouble as trouble:
            return unfit_by_trouble(trouble, "audio")

    def examine_open(self, audio: OpenFile, audio_path: str, metadata_path: str | None, *, forced: bool = False) -> Finding:
        """As `examine`, for an audio file that is open already. Raises FileTrouble for the audio."""
        alone = metadata_path is None and self.folder.metadata != ""
        judged = judge_audio(self.folder, audio, alone=alone, forced=forced)
        if isinstance(judged, Unrepaired):
            then = self._with_metadata(judged.otherwise, audio_path, metadata_path)
            return Unfit(Fate.WAIT, judged.problem, judged.half, otherwise=then)
        return self._with_metadata(judged, audio_path, metadata_path)

    def _with_metadata(self, judged: Sound | Unfit, audio_path: str, metadata_path: str | None) -> Finding:
        if isinstance(judged, Unfit):
            return judged
        half, raw = half_by_name(audio_path), None
        try:
            if metadata_path is not None:
                half, raw = read_metadata(self.files, metadata_path)
        except FileTrouble as trouble:
            return unfit_by_trouble(trouble, "metadata", judged.half)
        return self._made(judged, half, gather(self.folder, audio_path, raw, self.sources))

    def _made(self, sound: Sound, metadata: Half, fields: Fields | Problem | NotYet) -> Finding:
        if isinstance(fields, NotYet) and self.settled:
            fields = Fields(self.settled)
        match fields:
            case NotYet(problem, otherwise):
                then = self._made(sound, metadata, otherwise) if otherwise is not None else None
                return Unfit(Fate.WAIT, problem, sound.half, metadata, then)
            case Problem():
                return Unfit(Fate.UNUSABLE, fields, sound.half, metadata)
            case Fields(values, actions):
                shape = Shape(sound.repaired, swapped(self.folder, values))
                recording = Recording(audio=sound.half, metadata=metadata, format=sound.format, fields=values, shape=shape)
                return Fit(recording, (*actions, *in_words(shape)))


def swapped(folder: Folder, fields: Mapping[str, str]) -> bool:
    """Left and right are to be exchanged. A rule for two-channel audio: the folder's check of the channels came before."""
    wanted = folder.swap_channels_when
    return bool(wanted) and all(fields.get(key) == value for key, value in wanted.items())


def in_words(shape: Shape) -> tuple[str, ...]:
    """What is done to the audio on its way, a sentence each."""
    said = []
    if shape.repaired:
        said.append("The header was never finished and is sent as the file's size says (`unfinished`).")
    if shape.swapped:
        said.append("Left and right are exchanged (`swap_channels_when`).")
    return tuple(said)


@dataclass(frozen=True, slots=True)
class Unrepaired:
    """Audio whose header is not finished: `otherwise` is what it comes to when nobody goes on with it."""

    problem: Problem
    half: Half
    otherwise: Sound | Unfit


def judge_audio(folder: Folder, audio: OpenFile, *, alone: bool = False, forced: bool = False) -> Sound | Unfit | Unrepaired:
    """The audio by its header and size, against the folder's rules. `alone`: there is no metadata, so that only a file
    without any audio in it is more than something to wait with. Raises FileTrouble.
    """
    stamp = audio.stamp
    verdict = wav.inspect(_beginning_at_once(audio, stamp.size), stamp.size)
    if audio.stamp != stamp:
        return Unfit(Fate.WAIT, Problem(Reason.STILL_CHANGING, "The audio changed while it was read."))
    half = Half(stamp)
    if isinstance(verdict, wav.NoAudio):
        return Unfit(Fate.LEAVE_OUT, verdict.problem, half)
    if alone:
        return _alone(half)
    if isinstance(verdict, wav.Unfinished):
        repaired = verdict.repaired if verdict.problem.reason is Reason.HEADER_UNFINISHED else None
        if folder.unfinished is not Unfinished.REPAIR or repaired is None or not reshape.sendable(repaired):
            return Unfit(Fate.WAIT, verdict.problem, half)
        return Unrepaired(verdict.problem, half, _suited(folder, half, repaired, forced=forced, repaired=True))
    if isinstance(verdict, wav.Bad):
        return Unfit(Fate.UNUSABLE, verdict.problem, half)
    return _suited(folder, half, verdict.format, forced=forced)


def _beginning_at_once(audio: OpenFile, size: int) -> wav.ReadAt:
    """Reads as the file does, but what a header has its parts in is read in one piece."""
    beginning = audio.read_at(0, min(size, _HEADER_BYTES))

    def read_at(offset: int, count: int) -> bytes:
        if offset + count <= len(beginning):
            return beginning[offset : offset + count]
        return audio.read_at(offset, count)

    return read_at


def _suited(folder: Folder, half: Half, audio: AudioFormat, *, forced: bool, repaired: bool = False) -> Sound | Unfit:
    match fitness.judge(audio, folder, forced=forced):
        case fitness.Skip(problem):
            return Unfit(Fate.LEAVE_OUT, problem, half)
        case fitness.Unusable(problem):
            return Unfit(Fate.UNUSABLE, problem, half)
        case fitness.Fit():
            return Sound(half, audio, repaired)


def _alone(audio: Half) -> Unfit:
    return Unfit(Fate.WAIT, Problem(Reason.METADATA_MISSING, "The metadata has not come yet."), audio)


def unfit_by_trouble(trouble: FileTrouble, half: str, audio: Half | None = None) -> Unfit:
    """What a file that could not be opened or read means for its recording. `half` is "audio" or "metadata"."""
    match trouble.kind:
        case FileTroubleKind.GONE:
            reason = Reason.AUDIO_MISSING if half == "audio" else Reason.METADATA_MISSING
            return Unfit(Fate.GONE, Problem(reason, f"The {half} is no longer there."), audio)
        case FileTroubleKind.NOT_REGULAR:
            message = f"The {half} cannot be taken: {trouble.message}."
            return Unfit(Fate.UNUSABLE, Problem(Reason.NOT_A_REGULAR_FILE, message), audio)
        case FileTroubleKind.UNREADABLE | FileTroubleKind.IO:
            message = f"The {half} cannot be read ({trouble.message})."
            return Unfit(Fate.WAIT, Problem(Reason.UNREADABLE, message), audio)


def read_metadata(files: Files, path: str) -> tuple[Half, bytes]:
    """One byte more than is allowed at the most, so that the reader can tell. Raises FileTrouble."""
    with files.open(path) as file:
        stamp = file.stamp
        # Not more than there is and one byte: a reader that is asked for a megabyte makes room for it.
        raw = file.read_at(0, min(stamp.size, METADATA_MAX_BYTES) + 1)
        if file.stamp != stamp or len(raw) < min(stamp.size, METADATA_MAX_BYTES + 1):
            raise FileTrouble(FileTroubleKind.IO, "it changed while it was read")
        return Half(stamp, hashlib.sha256(raw).hexdigest()), raw


def read_whole(audio: OpenFile, expected: Stamp) -> bytes:
    """All bytes of a file that is to be sent in one message. Raises Halted when it is not the expected one, as `pieces` does."""
    return b"".join(pieces(audio, expected, _WHOLE_PIECE_BYTES))


def hash_of(audio: OpenFile, expected: Stamp, stopping: Callable[[], bool] = lambda: False) -> str:
    """The sha256 of a file in a pass of its own, without holding it in memory. Raises Halted, also when we are stopping."""
    digest = hashlib.sha256()
    for piece in pieces(audio, expected, _HASH_PIECE_BYTES):
        if stopping():
            raise Halted(Halt.SHUTDOWN)
        digest.update(piece)
    return digest.hexdigest()


def pieces(audio: OpenFile, expected: Stamp, piece_bytes: int) -> Iterator[bytes]:
    """The file piece by piece, none of them empty. Ends normally only when all its bytes were handed out and it still is what
    was examined: `expected` is the stamp of that moment, so that a change between two passes is seen as well. Raises Halted.
    """
    offset = 0
    while offset < expected.size:
        try:
            piece = audio.read_at(offset, min(piece_bytes, expected.size - offset))
        except FileTrouble as trouble:
            raise Halted(Halt.READ_FAILED, trouble.message) from trouble
        if not piece:
            raise Halted(Halt.CHANGED, "The audio became shorter while it was read.")
        offset += len(piece)
        yield piece
    if _stamp(audio) != expected:
        raise Halted(Halt.CHANGED, "The audio changed while it was read.")


def _stamp(audio: OpenFile) -> Stamp:
    try:
        return audio.stamp
    except FileTrouble as trouble:
        raise Halted(Halt.READ_FAILED, trouble.message) from trouble


def is_there(files: Files, path: str) -> bool:
    """Whether something has this name that can be looked at."""
    try:
        files.look(path)
    except FileTrouble:
        return False
    return True
