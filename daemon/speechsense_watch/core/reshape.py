"""The bytes that are sent of an audio file that is not sent as it lies there: a header put right, channels exchanged.

The file itself is never touched. A repaired file is sent as the plainest WAV there is, a header of 44 bytes and the samples;
where only channels are exchanged, everything around the samples stays as it is.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator

from speechsense_watch.core.model import AudioFormat, Shape

_SAMPLE_BYTES = 2
_HEADER_BYTES = 44
_LARGEST_RIFF_BYTES = 0xFFFFFFFF


def sendable(audio: AudioFormat) -> bool:
    """Whether the lengths fit into the 32 bits that a WAV header has for them."""
    return audio.data_bytes + _HEADER_BYTES <= _LARGEST_RIFF_BYTES


def header(audio: AudioFormat) -> bytes:
    """The 44 bytes of a plain 16-bit PCM file (Microsoft, Multimedia Programming Interface and Data Specifications 1.0)."""
    frame_bytes = audio.channels * _SAMPLE_BYTES
    riff = struct.pack("<4sI4s", b"RIFF", _HEADER_BYTES - 8 + audio.data_bytes, b"WAVE")
    sizes = (audio.channels, audio.sample_rate_hz, audio.sample_rate_hz * frame_bytes, frame_bytes, 8 * _SAMPLE_BYTES)
    return riff + struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, *sizes, b"data", audio.data_bytes)


def reshaped(pieces: Iterable[bytes], audio: AudioFormat, shape: Shape) -> Iterator[bytes]:
    """The bytes to be sent, from the pieces of the file in their order; none of those yielded is empty. Holds no more than a
    piece. `audio` says where the samples lie in the file.
    """
    if shape == Shape():
        yield from pieces
        return
    if shape.repaired:
        yield header(audio)
    begin, end = audio.data_offset, audio.data_offset + audio.data_bytes
    offset, rest = 0, b""
    for piece in pieces:
        before, samples, after = _split(piece, begin - offset, end - offset)
        offset += len(piece)
        if before and not shape.repaired:
            yield before
        if shape.swapped:
            samples, rest = _exchanged(rest + samples)
        if samples:
            yield samples
        if after and not shape.repaired:
            yield rest + after
            rest = b""
    if rest:
        yield rest


def _split(piece: bytes, begin: int, end: int) -> tuple[bytes, bytes, bytes]:
    """The piece before, within and after the samples, whose borders are counted from its first byte."""
    begin, end = max(0, begin), max(0, end)
    return piece[:begin], piece[begin:end], piece[max(begin, end) :]


def _exchanged(samples: bytes) -> tuple[bytes, bytes]:
    """Left and right of all whole steps exchanged, and the bytes of a step that is not whole yet."""
    whole = len(samples) - len(samples) % (2 * _SAMPLE_BYTES)
    both = array("H", samples[:whole])
    both[0::2], both[1::2] = both[1::2], both[0::2]
    return both.tobytes(), samples[whole:]
