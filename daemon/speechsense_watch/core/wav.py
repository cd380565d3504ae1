"""Is this file a whole WAV that SpeechSense takes? Told from its header and its real size.

The header is a claim, the size is a fact: recorders write the header first and fill its lengths
in when they close the file, if they live to do so. So every length is checked against the size,
and audio is never read: a few hundred bytes decide about a file of any size.

Layout: RIFF and its WAVE form as in "Multimedia Programming Interface and Data Specifications 1.0"
(IBM and Microsoft, 1991).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from speechsense_watch.core.model import AudioFormat, Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.wav_format import LONGEST_FORMAT_BYTES, SampleFormat, kind_of, read_format

# (offset, count) -> up to `count` bytes, fewer only at the end of the file.
ReadAt: TypeAlias = Callable[[int, int], bytes]

# No recorder writes more than five or so before its audio, or more than two behind it. Together with the opening and the
# format this bounds all reading; behind the audio it is looked once with its pad byte and once without.
MOST_CHUNKS = 32
MOST_CHUNKS_BEHIND = 8
MOST_BYTES_READ = 12 + MOST_CHUNKS * 8 + LONGEST_FORMAT_BYTES + 2 * MOST_CHUNKS_BEHIND * 8


@dataclass(frozen=True, slots=True)
class Finished:
    """Whole: header and size agree. Whether it suits the folder's connection is decided in `core.fitness`."""

    format: AudioFormat


@dataclass(frozen=True, slots=True)
class NoAudio:
    """Nothing but a header, or not even that: a call that was never answered, or one that only begins."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Header and size do not agree (yet): still being written or copied, or left so by a recorder that died.

    `repaired` is what the file would be if its lengths were corrected after its size; None where that
    cannot be known.
    """

    problem: Problem
    repaired: AudioFormat | None = None


@dataclass(frozen=True, slots=True)
class Bad:
    """More bytes would not help: not a WAV, or not one that SpeechSense takes."""

    problem: Problem


WavVerdict: TypeAlias = Finished | NoAudio | Unfinished | Bad


def inspect(read_at: ReadAt, size: int) -> WavVerdict:
    """The verdict on a file of `size` bytes, having read no more than MOST_BYTES_READ of it.

    Raises nothing of its own; what `read_at` raises passes through.
    """
    if size <= 0:
        return _no_audio("The audio file is empty (0 bytes).")
    opening = read_at(0, 12)
    if not opening.strip(b"\0"):
        # Space reserved by a copier (SMB clients set the length first), or blocks lost in a power cut.
        return _unfinished("The audio file begins with zero bytes: its beginning was never written, or not yet.", None)
    if not (b"RIFF".startswith(opening[:4]) and b"WAVE".startswith(opening[8:12])):
        return Bad(Problem(Reason.NOT_WAV, f"The audio file is not WAV: it is {kind_of(opening)}."))
    if len(opening) < 12:
        return _cut_short()
    riff_end = 8 + _u32(opening, 4)
    header = _walk(read_at, size, riff_end)
    return _compare(header, size, read_at) if isinstance(header, _Header) else header


@dataclass(frozen=True, slots=True)
class _Header:
    """The claims of a header, not believed yet. `riff_end` is where the whole file should end."""

    samples: SampleFormat
    riff_end: int
    data_offset: int
    data_bytes: int

    @property
    def data_end(self) -> int:
        return self.data_offset + self.data_bytes

    @property
    def pad(self) -> int:
        """A chunk of odd length is followed by a pad byte. Writers differ in whether they count and write it."""
        return self.data_bytes % 2

    def as_announced(self) -> AudioFormat:
        return self.samples.over(self.data_offset, self.data_bytes)

    def by_size(self, size: int) -> AudioFormat | None:
        """All whole steps from the beginning of the audio to the end of the file."""
        return self._whole_steps(size - self.data_offset)

    def by_its_length(self) -> AudioFormat | None:
        """All whole steps of the audio as long as it is announced."""
        return self._whole_steps(self.data_bytes)

    def _whole_steps(self, there: int) -> AudioFormat | None:
        whole = there - there % self.samples.frame_bytes
        return self.samples.over(self.data_offset, whole) if whole > 0 else None


def _u32(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 4], "little")


def _names_chunk(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _no_audio(message: str) -> NoAudio:
    return NoAudio(Problem(Reason.NO_AUDIO, message))


def _unfinished(message: str, repaired: AudioFormat | None) -> Unfinished:
    return Unfinished(Problem(Reason.HEADER_UNFINISHED, message), repaired)


def _shorter(message: str, repaired: AudioFormat | None) -> Unfinished:
    return Unfinished(Problem(Reason.SHORTER_THAN_HEADER, message), repaired)


def _cut_short() -> Unfinished:
    return _shorter("The audio file ends within its header, before any audio.", None)


def _damaged(how: str) -> Bad:
    return Bad(Problem(Reason.NOT_WAV, f"The audio file is damaged: {how}."))


# --- from the opening to the audio ----------------------------------------------------------


def _walk(read_at: ReadAt, size: int, riff_end: int) -> _Header | WavVerdict:
    """Chunk by chunk up to the audio, following no length further than the size allows."""
    samples: SampleFormat | None = None
    offset = 12
    for _ in range(MOST_CHUNKS):
        head = read_at(offset, 8) if offset + 8 <= size else b""
        if len(head) < 8:
            whole = offset == size == riff_end
            return _damaged("by its header it is whole, but it has no place for audio") if whole else _cut_short()
        name, length = head[:4], _u32(head, 4)
        if name == b"data":
            return _at_data(samples, riff_end, offset + 8, length)
        if name == b"fmt ":
            if samples is not None:
                return _damaged("its header describes the audio twice")
            described = _read_format_chunk(read_at, offset + 8, length)
            if not isinstance(described, SampleFormat):
                return described
            samples = described
        elif not _names_chunk(name):
            return _damaged("its header holds something that is not WAV")
        offset += 8 + length + length % 2
    return _damaged(f"there is no audio among its first {MOST_CHUNKS} parts")


def _at_data(samples: SampleFormat | None, riff_end: int, data_offset: int, data_bytes: int) -> _Header | Bad:
    if samples is None:
        return _damaged("its header does not say how the audio is coded")
    return _Header(samples, riff_end, data_offset, data_bytes)


def _read_format_chunk(read_at: ReadAt, offset: int, length: int) -> SampleFormat | WavVerdict:
    wanted = min(length, LONGEST_FORMAT_BYTES)
    body = read_at(offset, wanted) if wanted else b""
    if len(body) < wanted:
        return _cut_short()
    described = read_format(body)
    return Bad(described) if isinstance(described, Problem) else described


# --- header against size --------------------------------------------------------------------


def _is_placeholder(length: int) -> bool:
    """Whether a length that the file does not have stands for "not known yet".

    ffmpeg writes 0xFFFFFFFF, sox 0x7FFFF000 and 0x7FFFF024. Real lengths that big exist (3 h of two channels
    at 48 kHz), which is why the size is always asked first.
    """
    return 0x7FFF0000 <= length <= 0x7FFFFFFF or length >= 0xFFFF0000


def _compare(header: _Header, size: int, read_at: ReadAt) -> WavVerdict:
    there = size - header.data_offset
    if header.data_bytes == 0 or (header.data_bytes > there and _is_placeholder(header.data_bytes)):
        return _compare_open(header, size, read_at)
    if header.data_bytes > there:
        return _shorter(
            f"The audio file holds {there:,} of the {header.data_bytes:,} bytes of audio that its header announces.",
            header.by_size(size),
        )
    if header.riff_end > size + header.pad:
        return _riff_beyond(header, size)
    return _compare_end(header, size, read_at)


def _compare_open(header: _Header, size: int, read_at: ReadAt) -> WavVerdict:
    """The length of the audio is given as nothing or by a placeholder."""
    there = size - header.data_offset
    # Closed in good order without audio, but with notes behind it (LIST). That something follows is no proof:
    # a length of 0 stands for "up to the end" with some writers, and then it is a call.
    notes_only = header.data_bytes == 0 and header.riff_end == size and _names_chunk(read_at(header.data_offset, 4))
    if there < header.samples.frame_bytes or notes_only:
        return _no_audio(f"The audio file is a header without audio ({size:,} bytes).")
    return _unfinished(
        "The header of the audio file does not say how long it is: the recorder has not closed it.",
        header.by_size(size),
    )


def _riff_beyond(header: _Header, size: int) -> WavVerdict:
    """All announced audio is there, yet the file as a whole should be longer."""
    if _is_placeholder(header.riff_end - 8):
        return _half_filled(header.by_its_length())
    return _shorter(f"The audio file has {size:,} bytes; its header announces {header.riff_end:,}.", header.by_its_length())


def _compare_end(header: _Header, size: int, read_at: ReadAt) -> WavVerdict:
    """All announced audio is there: is there more than was announced?"""
    if header.riff_end < header.data_end:
        return _half_filled(_likeliest(header, size, read_at))
    # One byte more is Asterisk's pad: wav_close (formats/format_wav.c) writes it after it filled the header in.
    if size > header.riff_end + 1:
        audio_was_last = header.riff_end <= header.data_end + header.pad
        return _unfinished(
            "The audio file is longer than its header says: the recorder goes on with it, or died while it did.",
            _likeliest(header, size, read_at) if audio_was_last else None,
        )
    if size - header.data_end >= 8:
        behind = read_at(header.data_end, 5)
        if not any(_names_chunk(behind[pad : pad + 4]) for pad in (0, header.pad)):
            return _half_filled(None)
    if header.data_bytes < header.samples.frame_bytes:
        return _no_audio("The audio file holds not even one sample of audio.")
    return Finished(header.as_announced())


def _likeliest(header: _Header, size: int, read_at: ReadAt) -> AudioFormat | None:
    """Where the length of the whole is wrong: the audio's own length if nothing but notes follow it to the end of the file,
    which no audio does by chance; else it is taken for audio up to the end.
    """
    starts = range(header.data_end, header.data_end + header.pad + 1)
    if size <= header.data_end + 1 or any(_notes_to_the_end(read_at, start, size) for start in starts):
        return header.by_its_length()
    return header.by_size(size)


def _notes_to_the_end(read_at: ReadAt, offset: int, size: int) -> bool:
    """Whether chunks, one behind the other, fill the file from here to its end; the last one's pad byte may be lacking."""
    for _ in range(MOST_CHUNKS_BEHIND):
        head = read_at(offset, 8) if offset + 8 <= size else b""
        if len(head) < 8 or not _names_chunk(head[:4]):
            return False
        length = _u32(head, 4)
        end = offset + 8 + length
        offset = end + length % 2
        if size in (end, offset):
            return True
    return False


def _half_filled(repaired: AudioFormat | None) -> Unfinished:
    return _unfinished(
        "The lengths in the header of the audio file contradict each other: the recorder has not closed it.", repaired
    )
