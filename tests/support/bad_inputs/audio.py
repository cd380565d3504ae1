"""Audio that is broken, unfinished, coded otherwise, empty, or no audio at all; the metadata beside it is good."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from support import wavs
from support.bad_inputs.common import BadInput, Expected, good_sidecar, put, seeded

# State and reason at once, and after `abandon_after` where they are others then.
_Fate: TypeAlias = tuple[Expected] | tuple[Expected, Expected]

_NO_AUDIO: _Fate = ((State.SKIPPED, Reason.NO_AUDIO),)
_OPEN: _Fate = ((State.WAITING, Reason.HEADER_UNFINISHED), (State.UNUSABLE, Reason.NEVER_FINISHED))
_SHORT: _Fate = ((State.WAITING, Reason.SHORTER_THAN_HEADER), (State.UNUSABLE, Reason.TRUNCATED))


def _unusable(reason: Reason) -> _Fate:
    return ((State.UNUSABLE, reason),)


_NOT_WAV = _unusable(Reason.NOT_WAV)
_NOT_PCM = _unusable(Reason.NOT_PCM)
_SAMPLES = _unusable(Reason.WRONG_SAMPLE_FORMAT)
_RATE = _unusable(Reason.WRONG_SAMPLE_RATE)
_CHANNELS = _unusable(Reason.WRONG_CHANNELS)

_DATA = wavs.chunk(b"data", wavs.samples())
_WHOLE = wavs.pcm()
_DATA_BYTES = len(_DATA) - 8


def _data_claims(length: int) -> bytes:
    return wavs.riff(wavs.fmt(), wavs.chunk(b"data", wavs.samples(), length))


def _riff_claims(length: int) -> bytes:
    return wavs.riff(wavs.fmt(), _DATA, length=length)


def _with_format(body: bytes) -> bytes:
    return wavs.riff(wavs.chunk(b"fmt ", body), _DATA)


_NOTHING_WRITTEN: Mapping[str, tuple[bytes, _Fate]] = {
    "empty": (b"", _NO_AUDIO),
    "header-only": (wavs.header_only(), _NO_AUDIO),
    "header-only-open": (wavs.header_only_open(), _NO_AUDIO),
    "header-and-notes": (wavs.header_and_list(), _NO_AUDIO),
    "half-a-sample": (wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"\1\2")), _NO_AUDIO),
    "one-byte-of-audio": (wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"\1")), _NO_AUDIO),
    "zeros-one": (b"\0", _OPEN),
    "zeros-header": (b"\0" * 44, _OPEN),
    "zeros-mebibyte": (b"\0" * 2**20, _OPEN),
}

_LENGTHS: Mapping[str, tuple[bytes, _Fate]] = {
    "unfinished": (wavs.sox_open(), _OPEN),
    "asterisk-open": (wavs.asterisk_open(), _OPEN),
    "libsndfile-open": (wavs.libsndfile_open(), _OPEN),
    "ffmpeg-open": (wavs.ffmpeg_open(), _OPEN),
    "data-0": (wavs.half_filled_data(), _OPEN),
    "data-ffffffff": (_data_claims(0xFFFFFFFF), _OPEN),
    "data-ffff0000": (_data_claims(0xFFFF0000), _OPEN),
    "data-7fffffff": (_data_claims(0x7FFFFFFF), _OPEN),
    "data-7fffff00": (_data_claims(0x7FFFFF00), _OPEN),
    "data-80000000": (_data_claims(0x80000000), _SHORT),
    "data-one-more": (_data_claims(_DATA_BYTES + 4), _SHORT),
    "data-fewer": (_data_claims(_DATA_BYTES - 400), _OPEN),
    "riff-0": (_riff_claims(0), _OPEN),
    "riff-8": (_riff_claims(8), _OPEN),
    "riff-ffffffff": (_riff_claims(0xFFFFFFFF), _OPEN),
    "riff-7fffff24": (_riff_claims(0x7FFFFF24), _OPEN),
    "riff-one-fewer": (_riff_claims(len(_WHOLE) - 8 - 1), _OPEN),
    "riff-more": (_riff_claims(len(_WHOLE) - 8 + 1000), _SHORT),
    "riff-80000000": (_riff_claims(0x80000000), _SHORT),
    "appended": (wavs.appended(), _OPEN),
    "truncated": (wavs.truncated(wavs.pcm(seconds=2), 40000), _SHORT),
}

_CHUNKS: Mapping[str, tuple[bytes, _Fate]] = {
    "two-formats": (wavs.riff(wavs.fmt(), wavs.fmt(), _DATA), _NOT_WAV),
    "two-different-formats": (wavs.riff(wavs.fmt(), wavs.fmt(channels=1), _DATA), _NOT_WAV),
    "format-behind-audio": (wavs.riff(_DATA, wavs.fmt()), _NOT_WAV),
    "no-format": (wavs.riff(_DATA), _NOT_WAV),
    "no-audio-part": (wavs.riff(wavs.fmt(), wavs.LIST), _NOT_WAV),
    "notes-past-the-end": (wavs.riff(wavs.chunk(b"LIST", b"INFO", 0xFFFFFFFF), wavs.fmt(), _DATA), _SHORT),
    "notes-past-the-end-a-little": (wavs.riff(wavs.chunk(b"LIST", b"INFO", 50_000), wavs.fmt(), _DATA), _SHORT),
    "notes-at-the-last-number": (wavs.riff(wavs.chunk(b"LIST", b"INFO", 0xFFFFFFFE), wavs.fmt(), _DATA), _SHORT),
    "format-past-the-end": (wavs.riff(wavs.chunk(b"fmt ", wavs.fmt()[8:], 0xFFFFFFFF), _DATA), _SHORT),
    "odd-notes-without-pad": (
        wavs.riff(b"LIST" + struct.pack("<I", 5) + b"INFO7", wavs.fmt(), _DATA),
        _NOT_WAV,
    ),
    "endless-empty-parts": (wavs.riff(*[wavs.chunk(b"JUNK", b"")] * 5000, wavs.fmt(), _DATA), _NOT_WAV),
    "endless-named-empty-parts": (wavs.riff(*[wavs.chunk(b"    ", b"")] * 5000), _NOT_WAV),
    "a-part-without-a-name": (wavs.riff(wavs.chunk(b"\0\0\0\0", b""), wavs.fmt(), _DATA), _NOT_WAV),
    "a-part-with-escapes": (wavs.riff(wavs.chunk(b"\x1b[2J", b""), wavs.fmt(), _DATA), _NOT_WAV),
}

_FORMATS: Mapping[str, tuple[bytes, _Fate]] = {
    "format-of-0-bytes": (_with_format(b""), _NOT_WAV),
    "format-of-4-bytes": (_with_format(b"\1\0\2\0"), _NOT_WAV),
    "format-of-15-bytes": (_with_format(wavs.fmt()[8:23]), _NOT_WAV),
    "format-all-zeros": (_with_format(b"\0" * 16), _NOT_PCM),
    "format-all-ones": (_with_format(b"\xff" * 16), _NOT_PCM),
    "gsm": (wavs.gsm(), _NOT_PCM),
    "alaw": (wavs.alaw(), _NOT_PCM),
    "mulaw": (wavs.mulaw(), _NOT_PCM),
    "float": (wavs.ieee_float(), _NOT_PCM),
    "adpcm": (wavs.riff(wavs.fmt(codec=2, bits=4, frame_bytes=256), _DATA), _NOT_PCM),
    "mp3-in-wav": (wavs.riff(wavs.fmt(codec=0x55, bits=0, frame_bytes=1), _DATA), _NOT_PCM),
    "extensible-float": (wavs.extensible(wavs.IEEE_FLOAT), _NOT_PCM),
    "extensible-of-a-stranger": (wavs.extensible(tail=b"\x99" * 14), _NOT_PCM),
    "extensible-cut": (_with_format(wavs.fmt(wavs.EXTENSIBLE)[8:]), _NOT_WAV),
    "8-bit": (wavs.bits(8), _SAMPLES),
    "24-bit": (wavs.bits(24), _SAMPLES),
    "32-bit": (wavs.bits(32), _SAMPLES),
    "0-bit": (wavs.riff(wavs.fmt(bits=0, frame_bytes=4), _DATA), _SAMPLES),
    "17-bit": (wavs.riff(wavs.fmt(bits=17, frame_bytes=4), _DATA), _SAMPLES),
    "65535-bit": (wavs.riff(wavs.fmt(bits=65535, frame_bytes=4), _DATA), _SAMPLES),
    "block-align-0": (wavs.riff(wavs.fmt(frame_bytes=0), _DATA), _SAMPLES),
    "block-align-of-mono": (wavs.riff(wavs.fmt(frame_bytes=2), _DATA), _SAMPLES),
    "block-align-65535": (wavs.riff(wavs.fmt(frame_bytes=65535), _DATA), _SAMPLES),
    "rate-0": (wavs.riff(wavs.fmt(rate_hz=0), _DATA), _RATE),
    "rate-7999": (wavs.riff(wavs.fmt(rate_hz=7999), _DATA), _RATE),
    "96-khz": (wavs.pcm(rate_hz=96000), _RATE),
    "rate-ffffffff": (wavs.riff(wavs.fmt(rate_hz=0xFFFFFFFF), _DATA), _RATE),
    "channels-0": (wavs.riff(wavs.fmt(channels=0, frame_bytes=4), _DATA), _CHANNELS),
    "mono": (wavs.pcm(channels=1), _CHANNELS),
    "channels-3": (wavs.pcm(channels=3), _CHANNELS),
    "channels-32767": (wavs.riff(wavs.fmt(channels=32767), wavs.chunk(b"data", b"\1\2" * 32767)), _CHANNELS),
    "channels-65535": (wavs.riff(wavs.fmt(channels=65535, frame_bytes=65534), _DATA), _SAMPLES),
}

_NOT_AUDIO: Mapping[str, bytes] = {
    "text": wavs.text(),
    "ogg": wavs.ogg(),
    "mp3": wavs.mp3(),
    "mp3-without-tag": wavs.mp3_without_tag(),
    "flac": wavs.flac(),
    "rifx": wavs.rifx(),
    "rf64": wavs.rf64(),
    "bw64": b"BW64" + wavs.rf64()[4:],
    "avi": wavs.riff(wavs.chunk(b"LIST", b"hdrl" * 20), form=b"AVI "),
    "lower-case": wavs.riff(wavs.fmt(), _DATA, magic=b"riff"),
    "wave64": bytes.fromhex("726966662e91cf11a5d628db04c10000") + b"\0" * 200,
    "webm": b"\x1a\x45\xdf\xa3" + b"\x01" * 200,
    "mp4": b"\0\0\0\x20ftypisom" + b"\x02" * 200,
    "amr": b"#!AMR\n" + b"\x3c" * 200,
    "au": b".snd\0\0\0\x18" + b"\1" * 200,
    "zip": b"PK\x03\x04\x14\0" + b"\3" * 200,
    "gzip": b"\x1f\x8b\x08\0" + b"\4" * 200,
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "json": good_sidecar(),
    "script": b"#!/bin/sh\nrm -rf /tmp/nothing\n",
    "elf": b"\x7fELF\x02\x01\x01" + b"\0" * 200,
    "utf-16": "Запись недоступна".encode("utf-16"),
    "headerless-samples": wavs.samples(),
    "all-ones": b"\xff" * 4000,
    "a-header-within-text": b"  " + _WHOLE,
    "nearly": b"RIFF\x24\0\0\0WAVX" + _WHOLE[12:],
}


def table() -> dict[str, tuple[bytes, _Fate]]:
    """Every small file of this part, by the stem it gets."""
    made = {**_NOTHING_WRITTEN, **_LENGTHS, **_CHUNKS, **_FORMATS, **{name: (raw, _NOT_WAV) for name, raw in _NOT_AUDIO.items()}}
    # A copy that broke off at each byte of the header; at byte 0 it is the empty file.
    made |= {f"cut-at-{count:02}": (_WHOLE[:count], _SHORT) for count in range(1, 45)}
    return {f"audio-{name}": what for name, what in made.items()}


# All holes: they take no room on disk. (header, size, expected)
_SPARSE: Mapping[str, tuple[bytes, int, _Fate]] = {
    "audio-too-long": (
        wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"", 4 * 3600 * 32000 + 32000), length=4 * 3600 * 32000 + 32036),
        4 * 3600 * 32000 + 32044,
        _unusable(Reason.TOO_LONG),
    ),
    "audio-gibibyte-unfinished": (wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"", 0), length=0), 2**30, _OPEN),
    "audio-gibibyte-of-nothing": (b"", 2**30, _OPEN),
    "audio-over-four-gibibytes": (
        wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"", 0xFFFFFFFF), length=0xFFFFFFFF),
        5 * 2**30,
        _OPEN,
    ),
}


def write(directory: Path) -> list[BadInput]:
    written = []
    for seed, (stem, (raw, fate)) in enumerate(table().items()):
        put(directory, stem, seeded(raw, seed), good_sidecar(case=stem))
        written.append(BadInput(stem, *fate))
    for stem, (header, size, fate) in _SPARSE.items():
        put(directory, stem, header, good_sidecar(case=stem))
        with (directory / f"{stem}.wav").open("r+b") as file:
            file.truncate(size)
        written.append(BadInput(stem, *fate))
    return written
