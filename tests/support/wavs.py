"""WAV files as recorders really leave them, built byte by byte: whole, open, cut, coded otherwise, or not WAV at all."""

from __future__ import annotations

import struct
from array import array

PCM, IEEE_FLOAT, ALAW, MULAW, GSM, EXTENSIBLE = 0x0001, 0x0003, 0x0006, 0x0007, 0x0031, 0xFFFE

SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def chunk(name: bytes, body: bytes, length: int | None = None) -> bytes:
    """One chunk with its pad byte; `length` overrides what its header claims."""
    return name + struct.pack("<I", len(body) if length is None else length) + body + b"\0" * (len(body) % 2)


def riff(*chunks: bytes, length: int | None = None, magic: bytes = b"RIFF", form: bytes = b"WAVE") -> bytes:
    body = form + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if length is None else length) + body


def fmt(
    codec: int = PCM,
    channels: int = 2,
    rate_hz: int = 8000,
    bits: int = 16,
    frame_bytes: int | None = None,
    extra: bytes = b"",
) -> bytes:
    frame_bytes = channels * bits // 8 if frame_bytes is None else frame_bytes
    byte_rate = min(rate_hz * frame_bytes, 0xFFFFFFFF)
    return chunk(b"fmt ", struct.pack("<HHIIHH", codec, channels, rate_hz, byte_rate, frame_bytes, bits) + extra)


def samples(seconds: float = 1.0, channels: int = 2, rate_hz: int = 8000, seed: int = 0) -> bytes:
    """A saw-tooth of 16-bit samples; another `seed` gives other bytes."""
    count = round(seconds * rate_hz) * channels
    return array("h", [((index * 37 + seed * 7919) % 16000) - 8000 for index in range(count)]).tobytes()


LIST = chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf59.27.100\0")


# --- whole ------------------------------------------------------------------------------------


def pcm(seconds: float = 1.0, channels: int = 2, rate_hz: int = 8000, seed: int = 0) -> bytes:
    """The plain file that SpeechSense wants, 44 bytes of header."""
    return riff(fmt(PCM, channels, rate_hz), chunk(b"data", samples(seconds, channels, rate_hz, seed)))


def with_list_before(seconds: float = 1.0) -> bytes:
    """As ffmpeg and rtpengine leave it: notes before the audio."""
    return riff(fmt(), LIST, chunk(b"data", samples(seconds)))


def with_list_after(seconds: float = 1.0) -> bytes:
    """As sox and audio editors leave it: notes behind the audio."""
    return riff(fmt(), chunk(b"data", samples(seconds)), LIST)


def with_junk(seconds: float = 1.0) -> bytes:
    """Room kept for the lengths of an RF64 header that was not needed (EBU Tech 3306)."""
    return riff(chunk(b"JUNK", b"\0" * 28), fmt(), chunk(b"data", samples(seconds)))


def extensible(subformat: int = PCM, bits: int = 16, tail: bytes = SUBFORMAT_TAIL) -> bytes:
    extra = struct.pack("<HHI", 22, bits, 3) + struct.pack("<H", subformat) + tail
    return riff(fmt(EXTENSIBLE, bits=bits, extra=extra), chunk(b"data", samples()))


def odd(*, counted: bool = True, padded: bool = True) -> bytes:
    """An odd number of data bytes: the pad byte may or may not be counted, may or may not be there."""
    body = samples() + b"\x11"
    whole = fmt() + b"data" + struct.pack("<I", len(body)) + body
    return riff(whole + b"\0" * padded, length=4 + len(whole) + counted)


def asterisk_padded() -> bytes:
    """Asterisk's pad byte comes after the header was filled in, so that the file is one byte longer."""
    return pcm() + b"\0"


# --- without audio ----------------------------------------------------------------------------


def header_only() -> bytes:
    """What Asterisk closes after a call that was never answered: 44 bytes, lengths filled in."""
    return riff(fmt(channels=1), chunk(b"data", b""))


def header_only_open() -> bytes:
    """The same while the call rings: lengths still 0."""
    return riff(fmt(channels=1), chunk(b"data", b""), length=0)


def header_and_list() -> bytes:
    return riff(fmt(), chunk(b"data", b""), LIST)


# --- open: the recorder still writes, or was killed -------------------------------------------


def asterisk_open(data_bytes: int = 32768) -> bytes:
    return riff(fmt(channels=1), chunk(b"data", samples(3, 1)[:data_bytes], 0), length=0)


def libsndfile_open() -> bytes:
    """FreeSWITCH and OrkAudio: RIFF length 8, data length 0."""
    return riff(fmt(), chunk(b"data", samples(), 0), length=8)


def ffmpeg_open() -> bytes:
    """Rtpengine's recording daemon: all ones, notes before the audio."""
    return riff(fmt(), LIST, chunk(b"data", samples(), 0xFFFFFFFF), length=0xFFFFFFFF)


def sox_open() -> bytes:
    return riff(fmt(), chunk(b"data", samples(), 0x7FFFF000), length=0x7FFFF024)


def half_filled_riff() -> bytes:
    """The length of the audio is filled in, the length of the whole not yet."""
    return riff(fmt(), chunk(b"data", samples()), length=0)


def half_filled_data() -> bytes:
    """The length of the whole is filled in, the length of the audio not: with some writers it never is."""
    return riff(fmt(), chunk(b"data", samples(), 0))


def appended(extra: bytes = b"\x10\x20" * 800) -> bytes:
    """A whole file to which the recorder goes on adding (Asterisk's append mode, FreeSWITCH's RECORD_APPEND)."""
    return pcm() + extra


def truncated(whole: bytes, keep: int) -> bytes:
    """A copy that broke off, or has not got further yet."""
    return whole[:keep]


# --- coded otherwise --------------------------------------------------------------------------


def gsm() -> bytes:
    """Asterisk's wav49: 65 bytes for every 320 samples, 60 bytes of header."""
    described = struct.pack("<HHIIHHHH", GSM, 1, 8000, 1625, 65, 0, 2, 320)
    return riff(chunk(b"fmt ", described), chunk(b"fact", struct.pack("<I", 3200)), chunk(b"data", b"\xd2" * 650))


def _one_byte(codec: int) -> bytes:
    silence = bytes([0xD5 if codec == ALAW else 0xFF]) * 16000
    fact = chunk(b"fact", struct.pack("<I", 8000))
    return riff(fmt(codec, bits=8, extra=b"\0\0"), fact, chunk(b"data", silence))


def alaw() -> bytes:
    return _one_byte(ALAW)


def mulaw() -> bytes:
    return _one_byte(MULAW)


def ieee_float() -> bytes:
    return riff(fmt(IEEE_FLOAT, bits=32, extra=b"\0\0"), chunk(b"data", struct.pack("<2f", 0.1, -0.1) * 8000))


def bits(count: int) -> bytes:
    """PCM with another number of bits a sample."""
    return riff(fmt(bits=count), chunk(b"data", b"\x40" * (2 * count // 8 * 8000)))


def rf64() -> bytes:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 32072, 32000, 8000, 0))
    return riff(sizes, fmt(), chunk(b"data", samples(), 0xFFFFFFFF), length=0xFFFFFFFF, magic=b"RF64")


def rifx() -> bytes:
    """Everything with the byte order reversed."""
    body = samples()
    described = struct.pack(">4sI HHIIHH", b"fmt ", 16, PCM, 2, 8000, 32000, 4, 16)
    data = struct.pack(">4sI", b"data", len(body)) + body
    return b"RIFX" + struct.pack(">I", 4 + len(described) + len(data)) + b"WAVE" + described + data


# --- not WAV ----------------------------------------------------------------------------------


def ogg() -> bytes:
    return b"OggS\0\x02" + b"\0" * 8 + b"\x01\x02\x03\x04" + b"\0" * 8 + b"\x01\x13OpusHead\x01\x02" + b"\x77" * 400


def mp3() -> bytes:
    return b"ID3\x04\0\0\0\0\0\x0aTSSE" + b"\0" * 10 + (b"\xff\xfb\x90\x64" + b"\x55" * 413) * 4


def mp3_without_tag() -> bytes:
    return (b"\xff\xfb\x90\x64" + b"\x55" * 413) * 4


def flac() -> bytes:
    return b"fLaC\0\0\0\x22" + b"\x10" * 400


def text() -> bytes:
    return "Запись разговора недоступна\n".encode() * 20
