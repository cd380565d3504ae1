"""core.wav: whole, without audio, unfinished or bad, told from a few header bytes and the file's size."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speechsense_watch.core.model import AudioFormat, Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.wav import MOST_BYTES_READ, MOST_CHUNKS, Bad, Finished, NoAudio, Unfinished, inspect
from speechsense_watch.core.wav_format import read_format
from support import wavs


class Recorded:
    """A file in memory that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.bytes_read = 0

    def read_at(self, offset: int, count: int) -> bytes:
        assert offset >= 0
        assert count > 0
        self.bytes_read += count
        return self.content[offset : offset + count]


def verdict_on(content: bytes) -> Finished | NoAudio | Unfinished | Bad:
    file = Recorded(content)
    verdict = inspect(file.read_at, len(content))
    assert file.bytes_read <= MOST_BYTES_READ
    return verdict


def problem_of(content: bytes) -> Problem:
    verdict = verdict_on(content)
    assert not isinstance(verdict, Finished)
    return verdict.problem


SECOND = 32000  # bytes of two channels of 16 bits at 8 kHz


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (wavs.pcm(), AudioFormat(2, 8000, 44, SECOND, 1.0)),
        (wavs.pcm(channels=1), AudioFormat(1, 8000, 44, 16000, 1.0)),
        (wavs.pcm(seconds=0.5, rate_hz=48000), AudioFormat(2, 48000, 44, 96000, 0.5)),
        (wavs.pcm(channels=4, seconds=0.1), AudioFormat(4, 8000, 44, 6400, 0.1)),
        (wavs.extensible(), AudioFormat(2, 8000, 68, SECOND, 1.0)),
        (wavs.with_list_before(), AudioFormat(2, 8000, 78, SECOND, 1.0)),
        (wavs.with_list_after(), AudioFormat(2, 8000, 44, SECOND, 1.0)),
        (wavs.with_junk(), AudioFormat(2, 8000, 80, SECOND, 1.0)),
        (wavs.asterisk_padded(), AudioFormat(2, 8000, 44, SECOND, 1.0)),
        (wavs.odd(), AudioFormat(2, 8000, 44, SECOND + 1, (SECOND + 1) / SECOND)),
        (wavs.odd(counted=False), AudioFormat(2, 8000, 44, SECOND + 1, (SECOND + 1) / SECOND)),
        (wavs.odd(padded=False), AudioFormat(2, 8000, 44, SECOND + 1, (SECOND + 1) / SECOND)),
        (wavs.odd(counted=False, padded=False), AudioFormat(2, 8000, 44, SECOND + 1, (SECOND + 1) / SECOND)),
    ],
    ids=[
        "two channels",
        "one channel",
        "48 kHz",
        "four channels",
        "EXTENSIBLE with PCM in it",
        "notes before the audio",
        "notes behind the audio",
        "room for RF64 before the format",
        "a pad byte nobody counted",
        "odd length, pad counted and written",
        "odd length, pad written only",
        "odd length, pad counted only",
        "odd length without pad",
    ],
)
def test_a_whole_file_is_finished_and_its_format_known(content: bytes, expected: AudioFormat) -> None:
    """PCM of 16 bits is finished when header and size agree, whatever stands around the audio."""
    assert verdict_on(content) == Finished(expected)


@pytest.mark.parametrize("pad", [b"", b"\0"], ids=["unpadded", "padded"])
def test_notes_behind_audio_of_odd_length_are_found_padded_or_not(pad: bytes) -> None:
    """Writers that forget the pad byte before the next chunk are forgiven."""
    audio = wavs.samples() + b"\x11"
    content = wavs.riff(wavs.fmt(), b"data" + struct.pack("<I", len(audio)) + audio + pad, wavs.LIST)
    assert isinstance(verdict_on(content), Finished)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        wavs.header_only(),
        wavs.header_only_open(),
        wavs.header_only() + b"\0",
        wavs.header_and_list(),
        wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"", 0xFFFFFFFF), length=0xFFFFFFFF),
        wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"\x01\x02")),
    ],
    ids=[
        "0 bytes",
        "header closed",
        "header open",
        "header and a stray byte",
        "header and notes",
        "header with placeholders",
        "half a step of two channels",
    ],
)
def test_a_file_without_a_single_sample_is_no_audio(content: bytes) -> None:
    """What unanswered calls leave is told from a broken file."""
    verdict = verdict_on(content)
    assert isinstance(verdict, NoAudio)
    assert verdict.problem.reason is Reason.NO_AUDIO


OPEN = {
    "Asterisk": (wavs.asterisk_open(), AudioFormat(1, 8000, 44, 32768, 2.048)),
    "libsndfile": (wavs.libsndfile_open(), AudioFormat(2, 8000, 44, SECOND, 1.0)),
    "ffmpeg": (wavs.ffmpeg_open(), AudioFormat(2, 8000, 78, SECOND, 1.0)),
    "sox": (wavs.sox_open(), AudioFormat(2, 8000, 44, SECOND, 1.0)),
    "only the data length filled in": (wavs.half_filled_riff(), AudioFormat(2, 8000, 44, SECOND, 1.0)),
    "only the RIFF length filled in": (wavs.half_filled_data(), AudioFormat(2, 8000, 44, SECOND, 1.0)),
    "RIFF length a placeholder": (
        wavs.riff(wavs.fmt(), wavs.chunk(b"data", wavs.samples()), length=0xFFFFFFFF),
        AudioFormat(2, 8000, 44, SECOND, 1.0),
    ),
    "gone on after closing": (wavs.appended(), AudioFormat(2, 8000, 44, SECOND + 1600, 1.05)),
    "gone on behind notes": (wavs.with_list_after() + b"\x10\x20" * 800, None),
    "gone on, RIFF length filled in": (
        wavs.riff(wavs.fmt(), wavs.chunk(b"data", wavs.samples()), b"\x10\x20" * 800),
        None,
    ),
    "zero bytes first": (bytes(4096), None),
}


@pytest.mark.parametrize(("content", "repaired"), OPEN.values(), ids=OPEN)
def test_a_header_that_was_not_filled_in_is_unfinished(content: bytes, repaired: AudioFormat | None) -> None:
    """Each recorder's open file is known by its placeholders, and what it would be by its size is said where possible."""
    verdict = verdict_on(content)
    assert isinstance(verdict, Unfinished)
    assert verdict.problem.reason is Reason.HEADER_UNFINISHED
    assert verdict.repaired == repaired


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (0x7FFEFFFF, Reason.SHORTER_THAN_HEADER),
        (0x7FFF0000, Reason.HEADER_UNFINISHED),
        (0x7FFFFFFF, Reason.HEADER_UNFINISHED),
        (0x80000000, Reason.SHORTER_THAN_HEADER),
        (0xFFFEFFFF, Reason.SHORTER_THAN_HEADER),
        (0xFFFF0000, Reason.HEADER_UNFINISHED),
        (0xFFFFFFFF, Reason.HEADER_UNFINISHED),
    ],
)
def test_the_largest_lengths_of_31_and_32_bits_are_placeholders(length: int, reason: Reason) -> None:
    """Writers put the largest number they dare, less what stands around it, for a length they do not know."""
    as_data = wavs.riff(wavs.fmt(), wavs.chunk(b"data", wavs.samples(), length))
    as_riff = wavs.riff(wavs.fmt(), wavs.chunk(b"data", wavs.samples()), length=length)
    assert (problem_of(as_data).reason, problem_of(as_riff).reason) == (reason, reason)


@pytest.mark.parametrize(
    ("behind", "taken"),
    [
        (wavs.chunk(b"note", b""), True),
        (b"\0" * 7, True),
        (b"\0" * 8, False),
        (b"\x10\x20" * 4, False),
        (b"no\x7fe\0\0\0\0", False),
    ],
)
def test_what_stands_behind_the_audio_must_look_like_notes(behind: bytes, *, taken: bool) -> None:
    """Counted by the RIFF length but no chunk: that is audio whose length was not filled in yet."""
    content = wavs.riff(wavs.fmt(), wavs.chunk(b"data", wavs.samples()), behind)
    assert isinstance(verdict_on(content), Finished if taken else Unfinished)


def test_one_byte_more_than_announced_is_a_pad_and_two_are_not() -> None:
    """Asterisk's uncounted pad byte is the only thing that may follow."""
    assert isinstance(verdict_on(wavs.pcm() + b"\0"), Finished)
    assert isinstance(verdict_on(wavs.pcm() + b"\0\0"), Unfinished)


def test_audio_that_goes_on_after_a_pad_byte_can_be_repaired() -> None:
    """The pad belongs to the audio before it, not to notes that would forbid a repair."""
    verdict = verdict_on(wavs.odd() + b"\x10\x20" * 800)
    assert isinstance(verdict, Unfinished)
    assert verdict.repaired is not None
    assert verdict.repaired.data_bytes == SECOND + 1600


def test_only_whole_steps_are_repaired() -> None:
    """A recorder killed in the middle of a sample leaves a part of one, which a repair leaves out."""
    verdict = verdict_on(wavs.libsndfile_open() + b"\x01\x02\x03")
    assert isinstance(verdict, Unfinished)
    assert verdict.repaired is not None
    assert verdict.repaired.data_bytes == SECOND


def half_filled(data_bytes: int, *behind: bytes, riff_bytes: int, channels: int = 2) -> bytes:
    """That many bytes of audio, counted right, no pad byte behind them; the length of the whole is wrong."""
    data = b"data" + struct.pack("<I", data_bytes) + wavs.samples()[:data_bytes]
    return wavs.riff(wavs.fmt(channels=channels), data, *behind, length=riff_bytes)


@pytest.mark.parametrize("riff_bytes", [0, 8, 0xFFFFFFFF, 0x7FFFF024, 1000])
def test_audio_of_an_odd_length_is_repaired_to_whole_steps(riff_bytes: int) -> None:
    """What is left is sent without a part of a step, whichever length was wrong: a chunk of odd length would lack its pad."""
    verdict = verdict_on(half_filled(41, riff_bytes=riff_bytes))
    assert isinstance(verdict, Unfinished)
    assert verdict.repaired == AudioFormat(2, 8000, 44, 40, 40 / SECOND)


@pytest.mark.parametrize("data_bytes", [400, 401, 402])
@pytest.mark.parametrize("riff_bytes", [0, 8, 100, 0xFFFFFFFF])
@pytest.mark.parametrize("pad", [b"", b"\0"], ids=["unpadded", "padded"])
@pytest.mark.parametrize(
    "notes",
    [wavs.LIST, wavs.chunk(b"id3 ", b"ID3\4\0\0\0")[:-1], wavs.chunk(b"LIST", b"INFO") + wavs.chunk(b"PEAK", b"\1" * 16), b""],
    ids=["LIST", "an odd one without pad", "two", "none"],
)
def test_notes_behind_audio_are_no_sound(data_bytes: int, riff_bytes: int, pad: bytes, notes: bytes) -> None:
    """Where nothing but notes stand between the audio's end and the file's, the audio's own length is believed."""
    content = half_filled(data_bytes, pad if data_bytes % 2 else b"", notes, riff_bytes=riff_bytes)
    verdict = verdict_on(content)
    assert isinstance(verdict, Unfinished)
    assert verdict.repaired == AudioFormat(2, 8000, 44, 400, 400 / SECOND)


def test_a_pad_byte_is_no_sound() -> None:
    """With one channel it would make half a sample whole."""
    verdict = verdict_on(half_filled(41, b"\0", riff_bytes=0, channels=1))
    assert isinstance(verdict, Unfinished)
    assert verdict.repaired is not None
    assert verdict.repaired.data_bytes == 40


def test_notes_that_the_whole_does_not_count_are_no_sound_either() -> None:
    """Programs that add notes to a finished file may forget to count them."""
    verdict = verdict_on(wavs.pcm() + wavs.LIST)
    assert isinstance(verdict, Unfinished)
    assert verdict.repaired == AudioFormat(2, 8000, 44, SECOND, 1.0)


@pytest.mark.parametrize(
    "behind",
    [wavs.LIST + b"\x10\x20" * 800, wavs.LIST[:-2], b"\x10\x20" * 800, wavs.chunk(b"LIST", b"x", 0xFFFFFFFF)],
    ids=["audio behind the notes", "notes cut off", "audio", "notes without end"],
)
def test_what_may_be_audio_is_kept(behind: bytes) -> None:
    """Unless the notes end where the file does, the file's size is all there is to go by."""
    verdict = verdict_on(half_filled(400, behind, riff_bytes=0))
    assert isinstance(verdict, Unfinished)
    assert verdict.repaired is not None
    whole = 400 + len(behind)
    assert verdict.repaired.data_bytes == whole - whole % 4


def test_notes_behind_audio_are_counted_no_further_than_the_bound() -> None:
    """Empty parts without end must not be walked along."""
    content = half_filled(400, wavs.chunk(b"JUNK", b"") * 5000, riff_bytes=0)
    assert isinstance(verdict_on(content), Unfinished)


CUT = {
    "within the opening": (wavs.truncated(wavs.pcm(), 7), None),
    "after two bytes": (b"RI", None),
    "within the format": (wavs.truncated(wavs.pcm(), 30), None),
    "before the data": (wavs.truncated(wavs.pcm(), 36), None),
    "in the notes before the data": (wavs.truncated(wavs.with_list_before(), 50), None),
    "right after the header": (wavs.truncated(wavs.pcm(), 44), None),
    "within the audio": (wavs.truncated(wavs.pcm(), 1045), AudioFormat(2, 8000, 44, 1000, 1000 / SECOND)),
    "one byte from the end": (
        wavs.truncated(wavs.pcm(), 44 + SECOND - 1),
        AudioFormat(2, 8000, 44, SECOND - 4, (SECOND - 4) / SECOND),
    ),
    "within the notes at the end": (
        wavs.truncated(wavs.with_list_after(), 44 + SECOND + 10),
        AudioFormat(2, 8000, 44, SECOND, 1.0),
    ),
}


@pytest.mark.parametrize(("content", "repaired"), CUT.values(), ids=CUT)
def test_a_file_shorter_than_its_header_says_is_unfinished(content: bytes, repaired: AudioFormat | None) -> None:
    """A copy that broke off, or is still under way, is not taken for a whole call."""
    verdict = verdict_on(content)
    assert isinstance(verdict, Unfinished)
    assert verdict.problem.reason is Reason.SHORTER_THAN_HEADER
    assert verdict.repaired == repaired


def test_the_message_says_how_much_is_there() -> None:
    """How far a copy got is worth knowing."""
    assert "1,000 of the 32,000 bytes" in problem_of(wavs.truncated(wavs.pcm(), 1044)).message


BAD = {
    "GSM": (wavs.gsm(), Reason.NOT_PCM, "GSM 06.10 (Asterisk's wav49), not PCM"),
    "A-law": (wavs.alaw(), Reason.NOT_PCM, "A-law"),
    "mu-law": (wavs.mulaw(), Reason.NOT_PCM, "mu-law"),
    "floating point": (wavs.ieee_float(), Reason.NOT_PCM, "floating-point"),
    "EXTENSIBLE with float in it": (wavs.extensible(wavs.IEEE_FLOAT), Reason.NOT_PCM, "floating-point"),
    "EXTENSIBLE with a foreign GUID": (wavs.extensible(tail=b"\1" * 14), Reason.NOT_PCM, "maker's own"),
    "codec 0x1234": (wavs.riff(wavs.fmt(0x1234), wavs.chunk(b"data", b"")), Reason.NOT_PCM, "number 0x1234"),
    "8 bit": (wavs.bits(8), Reason.WRONG_SAMPLE_FORMAT, "8-bit"),
    "24 bit": (wavs.bits(24), Reason.WRONG_SAMPLE_FORMAT, "24-bit"),
    "32 bit": (wavs.bits(32), Reason.WRONG_SAMPLE_FORMAT, "32-bit"),
    "24 bit in EXTENSIBLE": (wavs.extensible(bits=24), Reason.WRONG_SAMPLE_FORMAT, "24-bit"),
    "4 bytes a step for 1 channel": (
        wavs.riff(wavs.fmt(channels=1, frame_bytes=4), wavs.chunk(b"data", wavs.samples())),
        Reason.WRONG_SAMPLE_FORMAT,
        "contradicts itself",
    ),
    "no channel": (
        wavs.riff(wavs.fmt(channels=0, frame_bytes=2), wavs.chunk(b"data", wavs.samples())),
        Reason.WRONG_CHANNELS,
        "no channel",
    ),
    "96 kHz": (wavs.pcm(rate_hz=96000, seconds=0.1), Reason.WRONG_SAMPLE_RATE, "96,000"),
    "7999 Hz": (wavs.pcm(rate_hz=7999, seconds=0.1), Reason.WRONG_SAMPLE_RATE, "7,999"),
    "48001 Hz": (wavs.pcm(rate_hz=48001, seconds=0.1), Reason.WRONG_SAMPLE_RATE, "48,001"),
    "RF64": (wavs.rf64(), Reason.NOT_WAV, "RF64"),
    "BW64": (b"BW64" + wavs.rf64()[4:], Reason.NOT_WAV, "BW64"),
    "RIFX": (wavs.rifx(), Reason.NOT_WAV, "RIFX"),
    "AVI": (wavs.riff(form=b"AVI "), Reason.NOT_WAV, "another kind of RIFF"),
    "Ogg": (wavs.ogg(), Reason.NOT_WAV, "Ogg"),
    "MP3": (wavs.mp3(), Reason.NOT_WAV, "MP3"),
    "MP3 without tag": (wavs.mp3_without_tag(), Reason.NOT_WAV, "MP3"),
    "FLAC": (wavs.flac(), Reason.NOT_WAV, "FLAC"),
    "MP4": (b"\0\0\0\x20ftypM4A \0\0\0\0", Reason.NOT_WAV, "MP4"),
    "text": (wavs.text(), Reason.NOT_WAV, "it is text"),
    "text with a letter cut at the twelfth byte": ("123456789😀".encode(), Reason.NOT_WAV, "it is text"),
    "text of short lines": (b"a\r\n\tb\r\n\tc\r\n", Reason.NOT_WAV, "it is text"),
    "text with a byte order mark": (b"\xef\xbb\xbfRIFF or not", Reason.NOT_WAV, "it is text"),
    "one letter": (b"x", Reason.NOT_WAV, "it is text"),
    "headerless audio": (b"\xd5\x54\x80\x81" * 2000, Reason.NOT_WAV, "headerless"),
    "data without format": (wavs.riff(wavs.chunk(b"data", wavs.samples()), wavs.fmt()), Reason.NOT_WAV, "how the audio"),
    "two formats": (
        wavs.riff(wavs.fmt(), wavs.fmt(channels=1), wavs.chunk(b"data", wavs.samples())),
        Reason.NOT_WAV,
        "twice",
    ),
    "no data at all": (wavs.riff(wavs.fmt(), wavs.LIST), Reason.NOT_WAV, "no place for audio"),
    "format of 14 bytes": (
        wavs.riff(wavs.chunk(b"fmt ", b"\1\0" * 7), wavs.chunk(b"data", wavs.samples())),
        Reason.NOT_WAV,
        "too short",
    ),
    "empty format": (wavs.riff(wavs.chunk(b"fmt ", b""), wavs.chunk(b"data", wavs.samples())), Reason.NOT_WAV, "too short"),
    "EXTENSIBLE of 18 bytes": (
        wavs.riff(wavs.fmt(wavs.EXTENSIBLE, extra=b"\0\0"), wavs.chunk(b"data", wavs.samples())),
        Reason.NOT_WAV,
        "too short",
    ),
    "binary between the chunks": (wavs.riff(wavs.fmt(), b"\x01\x02\x03\x04" * 8), Reason.NOT_WAV, "not WAV"),
    "chunks without end": (wavs.riff(*[wavs.chunk(b"junk", b"")] * 100), Reason.NOT_WAV, f"first {MOST_CHUNKS} parts"),
}


@pytest.mark.parametrize(("content", "reason", "said"), BAD.values(), ids=BAD)
def test_what_speechsense_would_not_take_is_bad_and_says_what_it_is(content: bytes, reason: Reason, said: str) -> None:
    """The message names what the file is in the words of telephony."""
    verdict = verdict_on(content)
    assert isinstance(verdict, Bad)
    assert verdict.problem.reason is reason
    assert said in verdict.problem.message


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        (0x02, "Microsoft ADPCM"),
        (0x11, "IMA ADPCM"),
        (0x22, "TrueSpeech"),
        (0x42, "G.723.1"),
        (0x45, "G.726"),
        (0x50, "MPEG audio"),
        (0x55, "MP3"),
        (0x64, "G.726"),
        (0x65, "G.722"),
        (0x83, "G.729"),
        (0xFF, "AAC"),
        (0x00, "an unknown coding (number 0x0000)"),
    ],
)
def test_codings_have_the_names_that_telephony_gives_them(codec: int, name: str) -> None:
    """The numbers are those of RFC 2361 and mmreg.h."""
    content = wavs.riff(wavs.fmt(codec), wavs.chunk(b"data", b"\0" * 64))
    assert problem_of(content).message == f"The audio file holds {name}, not PCM."


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000])
def test_rates_from_8_to_48_khz_are_taken(rate_hz: int) -> None:
    """The limits themselves belong to what is taken."""
    assert isinstance(verdict_on(wavs.pcm(rate_hz=rate_hz, seconds=0.1)), Finished)


def test_the_byte_rate_of_the_header_is_not_believed() -> None:
    """Length in seconds follows from channels, rate and bytes: the header's own product may be anything."""
    content = bytearray(wavs.pcm())
    content[28:32] = struct.pack("<I", 1)
    assert verdict_on(bytes(content)) == Finished(AudioFormat(2, 8000, 44, SECOND, 1.0))


def test_a_size_of_gigabytes_costs_no_more_reading() -> None:
    """Four hours at 48 kHz are judged by the same few bytes."""
    data_bytes = 4 * 3600 * 48000 * 4
    header = wavs.riff(wavs.fmt(rate_hz=48000), wavs.chunk(b"data", b"", data_bytes), length=data_bytes + 36)
    file = Recorded(header)
    assert inspect(file.read_at, 44 + data_bytes) == Finished(AudioFormat(2, 48000, 44, data_bytes, 4 * 3600.0))
    assert file.bytes_read < 100


def test_a_real_length_that_looks_like_a_placeholder_is_believed_when_the_size_agrees() -> None:
    """Sox's placeholder is also the length of a call of three hours."""
    data_bytes = 0x7FFFF000
    header = wavs.riff(wavs.fmt(rate_hz=48000), wavs.chunk(b"data", b"", data_bytes), length=data_bytes + 36)
    verdict = inspect(Recorded(header).read_at, 44 + data_bytes)
    assert isinstance(verdict, Finished)


@pytest.mark.parametrize("kept", range(0, 100, 3))
def test_a_file_that_shrinks_while_it_is_looked_at_does_no_harm(kept: int) -> None:
    """Between the look at its size and the reading anything may happen to a file."""
    whole = wavs.with_list_before()
    verdict = inspect(Recorded(whole[:kept]).read_at, len(whole))
    assert isinstance(verdict, (Finished, Unfinished))


@pytest.mark.parametrize(
    "build",
    [wavs.pcm, wavs.with_list_before, wavs.with_list_after, wavs.with_junk, wavs.extensible, wavs.asterisk_padded],
)
def test_no_beginning_of_a_whole_file_passes_for_whole(build: Callable[[], bytes]) -> None:
    """However far a copy got, it is not taken before it is complete."""
    whole = build()
    beginnings = [*range(200), *range(200, len(whole) - 200, 997), *range(len(whole) - 200, len(whole) - 1)]
    for kept in beginnings:
        assert not isinstance(verdict_on(whole[:kept]), (Finished, Bad)), kept


def test_a_growing_asterisk_file_is_never_finished_before_its_header_is() -> None:
    """Open files go from no audio to unfinished, buffer by buffer."""
    for data_bytes in (2, 1000, 16000, 32768):
        assert isinstance(verdict_on(wavs.asterisk_open(data_bytes)), Unfinished)


# --- hostile ----------------------------------------------------------------------------------

WORDS = st.one_of(st.sampled_from([0, 1, 2, 8, 16, 36, 40, 0x7FFFF000, 0xFFFFFFFE, 0xFFFFFFFF]), st.integers(0, 2**32 - 1))
CHUNKS = st.builds(
    wavs.chunk,
    st.one_of(st.sampled_from([b"fmt ", b"data", b"LIST", b"fact", b"\0\0\0\0"]), st.binary(min_size=4, max_size=4)),
    st.one_of(st.binary(max_size=64), st.just(wavs.fmt()[8:]), st.just(wavs.extensible()[20:60])),
    st.one_of(st.none(), WORDS),
)
HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda chunks, length: wavs.riff(*chunks, length=length), st.lists(CHUNKS, max_size=40), WORDS),
)


@given(HOSTILE, st.one_of(st.none(), WORDS))
@example(wavs.riff(*[wavs.chunk(b"data", b"", 0xFFFFFFFF)] * 3), None)
def test_any_bytes_of_any_size_get_a_verdict_after_a_few_hundred_bytes(content: bytes, size: int | None) -> None:
    """Nothing in a file can make the walker raise, go on for ever or read more than its bound."""
    file = Recorded(content)
    verdict = inspect(file.read_at, len(content) if size is None else size)
    assert file.bytes_read <= MOST_BYTES_READ
    if isinstance(verdict, Finished):
        assert verdict.format.duration_s > 0
        assert verdict.format.data_offset + verdict.format.data_bytes <= (len(content) if size is None else size)
    else:
        assert verdict.problem.message.endswith(".")


@given(st.binary(max_size=60))
def test_any_format_chunk_is_either_taken_or_explained(body: bytes) -> None:
    """A format that is taken can be sent; every other has a reason."""
    described = read_format(body)
    if isinstance(described, Problem):
        assert described.message
    else:
        assert described.channels >= 1
        assert 8000 <= described.sample_rate_hz <= 48000


@given(
    channels=st.integers(1, 8),
    rate_hz=st.integers(8000, 48000),
    frames=st.integers(1, 2000),
    before=st.lists(st.binary(max_size=30), max_size=5),
    behind=st.lists(st.binary(max_size=30), max_size=5),
)
def test_every_whole_pcm_file_is_finished_and_measured(
    channels: int, rate_hz: int, frames: int, before: list[bytes], behind: list[bytes]
) -> None:
    """Whatever chunks of whatever length surround the audio, its length and place are found."""
    audio = b"\x01\x02" * channels * frames
    head = [wavs.chunk(b"note", body) for body in before]
    tail = [wavs.chunk(b"note", body) for body in behind]
    content = wavs.riff(*head, wavs.fmt(channels=channels, rate_hz=rate_hz), wavs.chunk(b"data", audio), *tail)
    verdict = verdict_on(content)
    assert isinstance(verdict, Finished)
    found = verdict.format
    assert (found.channels, found.sample_rate_hz) == (channels, rate_hz)
    assert content[found.data_offset : found.data_offset + found.data_bytes] == audio
    assert found.duration_s == pytest.approx(frames / rate_hz)
