"""What is sent of audio that is not sent as it lies there."""

from __future__ import annotations

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.model import AudioFormat, Shape
from speechsense_watch.core.reshape import header, reshaped, sendable
from speechsense_watch.core.wav import Finished, Unfinished, inspect
from support.wavs import LIST, asterisk_open, chunk, ffmpeg_open, fmt, libsndfile_open, pcm, riff, samples, with_list_before

SWAPPED, REPAIRED, BOTH = Shape(swapped=True), Shape(repaired=True), Shape(repaired=True, swapped=True)


def cut(data: bytes, piece_bytes: int) -> list[bytes]:
    return [data[i : i + piece_bytes] for i in range(0, len(data), piece_bytes)]


def format_of(data: bytes) -> AudioFormat:
    found = inspect(lambda offset, count: data[offset : offset + count], len(data))
    audio = found.repaired if isinstance(found, Unfinished) else found.format if isinstance(found, Finished) else None
    assert audio is not None
    return audio


def frames(data: bytes) -> bytes:
    with wave.open(io.BytesIO(data)) as read:
        return bytes(read.readframes(read.getnframes()))


def exchanged(audio: bytes) -> bytes:
    return b"".join(audio[i + 2 : i + 4] + audio[i : i + 2] for i in range(0, len(audio), 4))


@pytest.mark.parametrize(
    ("data", "sound"),
    [
        (asterisk_open(), samples(3, 1)[:32768]),
        (asterisk_open()[:-1], samples(3, 1)[:32766]),
        (libsndfile_open(), samples()),
        (ffmpeg_open(), samples()),
    ],
    ids=["asterisk", "half a sample at the end", "libsndfile", "libav"],
)
@given(piece_bytes=st.integers(1, 70_000))
def test_a_header_that_was_never_finished_is_sent_right(data: bytes, sound: bytes, piece_bytes: int) -> None:
    """Any reader then finds all whole samples, however the file was cut into pieces."""
    sent = list(reshaped(cut(data, max(piece_bytes, 50)), format_of(data), REPAIRED))
    assert all(sent)
    assert frames(b"".join(sent)) == sound


@pytest.mark.parametrize(
    "data",
    [pcm(0.1), with_list_before(0.1), riff(fmt(), chunk(b"data", samples(0.1)), LIST)],
    ids=["plain", "notes before", "notes behind"],
)
@given(piece_bytes=st.integers(1, 4000))
def test_channels_are_exchanged_and_nothing_else(data: bytes, piece_bytes: int) -> None:
    """The same length, the same header and notes, the samples of left and right in each other's place."""
    audio = format_of(data)
    pieces = list(reshaped(cut(data, piece_bytes), audio, SWAPPED))
    sent = b"".join(pieces)
    assert all(pieces)
    end = audio.data_offset + audio.data_bytes
    assert sent == data[: audio.data_offset] + exchanged(data[audio.data_offset : end]) + data[end:]
    assert b"".join(reshaped(cut(sent, 7), audio, SWAPPED)) == data


@given(st.integers(50, 5000))
def test_both_at_once(piece_bytes: int) -> None:
    """A header made anew over exchanged channels."""
    data = libsndfile_open()
    sent = b"".join(reshaped(cut(data, piece_bytes), format_of(data), BOTH))
    assert frames(sent) == exchanged(samples())


def test_what_needs_nothing_is_sent_as_it_is() -> None:
    """Not even copied."""
    piece = b"x" * 10
    (sent,) = reshaped([piece], format_of(pcm(0.1)), Shape())
    assert sent is piece


def test_the_header_is_that_of_a_plain_file() -> None:
    """Byte for byte the one that the tests' own writer makes."""
    assert header(format_of(pcm(0.5))) == pcm(0.5)[:44]


def test_lengths_beyond_the_header_s_numbers_cannot_be_sent() -> None:
    """A WAV header counts to four gigabytes."""
    assert sendable(AudioFormat(2, 8000, 44, 0xFFFFFFFF - 44, 1.0))
    assert not sendable(AudioFormat(2, 8000, 44, 0xFFFFFFFF - 43, 1.0))
