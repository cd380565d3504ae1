"""What Yandex's guides say SpeechSense demands of an upload, and that the audio is all there.

The WAV check is deliberately not the daemon's own, so that a slip there cannot hide itself here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import grpc

LONGEST_VALUE_BYTES = 1024
UNARY_LIMIT_BYTES = 128 * 2**20
LONGEST_AUDIO_S = 4 * 3600
MOST_CHUNKS = 64
PCM, EXTENSIBLE = 0x0001, 0xFFFE

TWO_CHANNEL_KEYS = frozenset(
    ("operator_name", "operator_id", "client_name", "client_id", "date", "direction_outgoing", "language")
)
SINGLE_CHANNEL_KEYS = frozenset(("operator_name", "operator_id", "date", "language"))
REQUIRED_KEYS: Mapping[str, frozenset[str]] = {
    "two-channel": TWO_CHANNEL_KEYS,
    "single-channel": SINGLE_CHANNEL_KEYS,
}


class Refused(Exception):  # noqa: N818 - an answer of the service, not an error of the program
    """The call ends with this status, and `trailing` beside it."""

    def __init__(self, code: grpc.StatusCode, message: str, trailing: tuple[tuple[str, str | bytes], ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.trailing = trailing


class CutShort(Refused):
    """The audio ends before its header says."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of the stand-in. `declared` are its own keys beside the required ones; None takes all as declared.

    Keys that are not declared are taken, but neither found by Search nor shown by Get. Raises ValueError for an
    unknown type.
    """

    type: str = "two-channel"
    declared: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.type not in REQUIRED_KEYS:
            raise ValueError(f"the connection type is {self.type!r}: expected {' or '.join(REQUIRED_KEYS)}")

    def shown(self, fields: Mapping[str, str]) -> dict[str, str]:
        if self.declared is None:
            return dict(fields)
        return {key: value for key, value in fields.items() if key in self.declared | REQUIRED_KEYS[self.type]}


def invalid(message: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def check_fields(fields: Mapping[str, str], connection: Connection) -> None:
    """Raises Refused when a required key is lacking or a value too long."""
    if lacking := sorted(REQUIRED_KEYS[connection.type] - fields.keys()):
        raise invalid(f"metadata lack {', '.join(lacking)}, which a {connection.type} connection requires")
    for key, value in fields.items():
        if (length := len(value.encode())) > LONGEST_VALUE_BYTES:
            raise invalid(f"the value of {key} has {length} bytes, at most {LONGEST_VALUE_BYTES} are taken")


def check_wav(file: BinaryIO, size_bytes: int) -> None:
    """`file` is a WAV of 16-bit PCM and as long as it says. Raises CutShort when it ends too early, else Refused."""
    file.seek(0)
    riff, riff_bytes, wave = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if (riff, wave) != (b"RIFF", b"WAVE"):
        raise invalid("the audio is not a WAV file")
    bytes_per_s, data_bytes = _walk(file, size_bytes)
    end = 8 + riff_bytes
    # The pad byte behind audio of odd length is counted, or written, or not: recorders differ.
    if size_bytes + data_bytes % 2 < end:
        raise _cut_short(f"{size_bytes} bytes of audio arrived, its header announces {end}")
    if size_bytes > end + 1:
        raise invalid(f"{size_bytes} bytes of audio arrived, its header announces only {end}")
    if data_bytes == 0:
        raise invalid("the WAV file holds no audio")
    if data_bytes > LONGEST_AUDIO_S * bytes_per_s:
        raise invalid("the audio is longer than 4 hours")


def _walk(file: BinaryIO, size_bytes: int) -> tuple[int, int]:
    """Bytes per second, and bytes of audio, having come to the end of the data chunk."""
    offset, bytes_per_s = 12, 0
    for _ in range(MOST_CHUNKS):
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            raise _cut_short("the audio ends within its header")
        name, length = struct.unpack("<4sI", head)
        offset += 8 + length + length % 2
        if name == b"fmt ":
            bytes_per_s = _check_format(file.read(min(length, 40)))
        elif name == b"data":
            if bytes_per_s == 0:
                raise invalid("the WAV header does not say how the audio is coded")
            if offset - length % 2 > size_bytes:
                raise _cut_short(f"{size_bytes} bytes of audio arrived, its header announces {offset}")
            return bytes_per_s, length
    raise invalid(f"there is no audio among the first {MOST_CHUNKS} chunks of the WAV file")


def _check_format(chunk: bytes) -> int:
    if len(chunk) < 16:
        raise _cut_short("the audio ends within its header")
    tag, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack("<H", chunk[24:26])
    if tag != PCM or bits != 16:
        raise invalid(f"the audio is not 16-bit PCM (format {tag:#06x}, {bits} bits)")
    if not 8000 <= rate_hz <= 48000 or channels not in (1, 2):
        raise invalid(f"the audio has {rate_hz} Hz and {channels} channels: 8 to 48 kHz and 1 or 2 channels are taken")
    return int(rate_hz * channels * 2)


def _cut_short(message: str) -> CutShort:
    return CutShort(grpc.StatusCode.INVALID_ARGUMENT, message)
