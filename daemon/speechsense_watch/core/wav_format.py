"""What a file is by its first bytes, and what a WAV's format chunk says about its samples.

Codec numbers are those of RFC 2361, WAVE_FORMAT_EXTENSIBLE that of Microsoft's mmreg.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from speechsense_watch.core.model import AudioFormat, Problem
from speechsense_watch.core.reasons import Reason

LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 48_000
BYTES_PER_SAMPLE = 2

# The length of the longest format chunk that is looked at: WAVEFORMATEXTENSIBLE.
LONGEST_FORMAT_BYTES = 40

_PCM = 0x0001
_EXTENSIBLE = 0xFFFE
# A subformat GUID is a codec number followed by these 14 bytes (KSDATAFORMAT_SUBTYPE_*, ksmedia.h).
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")

_CODECS = {
    0x0002: "Microsoft ADPCM",
    0x0003: "floating-point samples",
    0x0006: "G.711 A-law",
    0x0007: "G.711 mu-law",
    0x0011: "IMA ADPCM",
    0x0022: "TrueSpeech",
    0x0031: "GSM 06.10 (Asterisk's wav49)",
    0x0042: "G.723.1",
    0x0045: "G.726",
    0x0050: "MPEG audio",
    0x0055: "MP3",
    0x0064: "G.726",
    0x0065: "G.722",
    0x0083: "G.729",
    0x00FF: "AAC",
}

# What else recorders and people name .wav: the first bytes, and how to call it.
_OPENINGS = (
    (b"RF64", "RF64, the variant of WAV for files over 4 GB"),
    (b"BW64", "BW64, the variant of WAV for files over 4 GB"),
    (b"RIFX", "RIFX, WAV with its byte order reversed"),
    (b"RIFF", "another kind of RIFF file"),
    (b"riff", "Sony Wave64"),
    (b"OggS", "Ogg (Opus or Vorbis)"),
    (b"ID3", "MP3"),
    (b"\xff\xfb", "MP3"),
    (b"\xff\xfa", "MP3"),
    (b"\xff\xf3", "MP3"),
    (b"\xff\xf2", "MP3"),
    (b"\xff\xf1", "AAC"),
    (b"\xff\xf9", "AAC"),
    (b"fLaC", "FLAC"),
    (b"FORM", "AIFF"),
    (b".snd", "Sun audio (.au)"),
    (b"#!AMR", "AMR"),
    (b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive"),
)


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """Samples that SpeechSense takes: 16-bit PCM at 8 to 48 kHz."""

    channels: int
    sample_rate_hz: int

    @property
    def frame_bytes(self) -> int:
        """The bytes of one step in time, all channels together."""
        return self.channels * BYTES_PER_SAMPLE

    def over(self, data_offset: int, data_bytes: int) -> AudioFormat:
        duration_s = data_bytes / (self.frame_bytes * self.sample_rate_hz)
        return AudioFormat(self.channels, self.sample_rate_hz, data_offset, data_bytes, duration_s)


def kind_of(opening: bytes) -> str:
    """What a file that is not WAV seems to be, in words, by its first 12 bytes (or fewer, if that is all)."""
    for start, name in _OPENINGS:
        if opening.startswith(start):
            return name
    if opening[4:8] == b"ftyp":
        return "MP4"
    if _is_text(opening):
        return "text"
    return "nothing that is known here (headerless audio, perhaps)"


def _is_text(opening: bytes) -> bool:
    text = opening.decode("utf-8", "ignore")  # "ignore", since a letter may be cut at the end
    whole = len(opening) - len(text.encode()) <= 3
    return whole and all(letter.isprintable() or letter in "\t\r\n\ufeff" for letter in text)


def read_format(body: bytes) -> SampleFormat | Problem:
    """What the format chunk (its first LONGEST_FORMAT_BYTES, or fewer if it is shorter) says, if it can be sent."""
    extensible = body[:2] == _EXTENSIBLE.to_bytes(2, "little")
    if len(body) < (LONGEST_FORMAT_BYTES if extensible else 16):
        return Problem(Reason.NOT_WAV, "The audio file is damaged: the description of its audio is too short.")
    codec, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    if extensible and body[26:40] != _SUBFORMAT_TAIL:
        return Problem(Reason.NOT_PCM, "The audio file holds a coding of its maker's own, not PCM.")
    if extensible:
        codec = int.from_bytes(body[24:26], "little")
    if codec != _PCM:
        held = _CODECS.get(codec, f"an unknown coding (number 0x{codec:04X})")
        return Problem(Reason.NOT_PCM, f"The audio file holds {held}, not PCM.")
    return _judge_pcm(channels, rate_hz, frame_bytes, bits)


def _judge_pcm(channels: int, rate_hz: int, frame_bytes: int, bits: int) -> SampleFormat | Problem:
    if bits != 8 * BYTES_PER_SAMPLE:
        message = f"The audio file holds {bits}-bit samples; SpeechSense takes 16-bit ones only."
        return Problem(Reason.WRONG_SAMPLE_FORMAT, message)
    if channels < 1:
        return Problem(Reason.WRONG_CHANNELS, "The audio file has no channel by its header.")
    if frame_bytes != channels * BYTES_PER_SAMPLE:
        message = (
            "The audio file's header contradicts itself: "
            f"channels of 16 bits: {channels}, but bytes for all of them: {frame_bytes}."
        )
        return Problem(Reason.WRONG_SAMPLE_FORMAT, message)
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        message = f"The audio file has {rate_hz:,} samples a second; SpeechSense takes 8,000 to 48,000."
        return Problem(Reason.WRONG_SAMPLE_RATE, message)
    return SampleFormat(channels, rate_hz)
