"""A directory of recordings that cannot be sent as they are, each with what must become of it.

They are meant for a two-channel folder with `audio = ["*.wav"]`, `metadata = "{stem}.json"`, no `time_zone`
and no defaults for the required keys.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from support import wavs

GOOD_FIELDS: Mapping[str, str] = {
    "operator_name": "Анна Петрова",
    "operator_id": "201",
    "client_name": "Client",
    "client_id": "+79990000000",
    "date": "2025-04-24T14:34:19+03:00",
    "direction_outgoing": "true",
    "language": "ru-RU",
}


@dataclass(frozen=True, slots=True)
class BadInput:
    """`stem`.wav and `stem`.json, and the states and reasons of which its job may show any (a state may come before another)."""

    stem: str
    states: frozenset[State]
    reasons: frozenset[Reason]


_UNUSABLE = frozenset({State.UNUSABLE})
_SKIPPED = frozenset({State.SKIPPED})
_WAITING = frozenset({State.WAITING})
# Waiting at first, unusable once `abandon_after` is over.
_UNFINISHED = frozenset({State.WAITING, State.UNUSABLE})


def good_sidecar(**changes: object) -> bytes:
    """A metadata file that can be sent; None takes a key out."""
    whole = {key: value for key, value in {**GOOD_FIELDS, **changes}.items() if value is not None}
    return json.dumps(whole, ensure_ascii=False).encode()


def write_bad_inputs(directory: Path, outside: Path) -> list[BadInput]:
    """All of them lie in `directory` afterwards; `outside`, another directory, holds what the links among them lead to.

    The unreadable one is left out where permissions do not bind, as for root.
    """
    written = [*_bad_audio(directory), *_bad_metadata(directory), *_odd_files(directory, outside)]
    assert len({bad.stem for bad in written}) == len(written)
    return written


def _put(directory: Path, stem: str, audio: bytes, metadata: bytes) -> None:
    (directory / f"{stem}.json").write_bytes(metadata)
    (directory / f"{stem}.wav").write_bytes(audio)


def _seeded(build: Callable[[], bytes], seed: int) -> bytes:
    """The same kind of file with other samples, so that no two recordings are the same call."""
    whole = build()
    return whole[:-2] + seed.to_bytes(2, "little") if len(whole) > 200 else whole


_AUDIO: Mapping[str, tuple[Callable[[], bytes], frozenset[State], frozenset[Reason]]] = {
    "audio-empty": (lambda: b"", _SKIPPED, frozenset({Reason.NO_AUDIO})),
    "audio-header-only": (wavs.header_only, _SKIPPED, frozenset({Reason.NO_AUDIO})),
    "audio-text": (wavs.text, _UNUSABLE, frozenset({Reason.NOT_WAV})),
    "audio-ogg": (wavs.ogg, _UNUSABLE, frozenset({Reason.NOT_WAV})),
    "audio-mp3": (wavs.mp3, _UNUSABLE, frozenset({Reason.NOT_WAV})),
    "audio-rifx": (wavs.rifx, _UNUSABLE, frozenset({Reason.NOT_WAV})),
    "audio-rf64": (wavs.rf64, _UNUSABLE, frozenset({Reason.NOT_WAV})),
    "audio-gsm": (wavs.gsm, _UNUSABLE, frozenset({Reason.NOT_PCM})),
    "audio-alaw": (wavs.alaw, _UNUSABLE, frozenset({Reason.NOT_PCM})),
    "audio-float": (wavs.ieee_float, _UNUSABLE, frozenset({Reason.NOT_PCM})),
    "audio-extensible-float": (
        lambda: wavs.extensible(wavs.IEEE_FLOAT),
        _UNUSABLE,
        frozenset({Reason.NOT_PCM}),
    ),
    "audio-8-bit": (lambda: wavs.bits(8), _UNUSABLE, frozenset({Reason.WRONG_SAMPLE_FORMAT})),
    "audio-24-bit": (lambda: wavs.bits(24), _UNUSABLE, frozenset({Reason.WRONG_SAMPLE_FORMAT})),
    "audio-96-khz": (lambda: wavs.pcm(rate_hz=96000), _UNUSABLE, frozenset({Reason.WRONG_SAMPLE_RATE})),
    "audio-mono": (lambda: wavs.pcm(channels=1), _UNUSABLE, frozenset({Reason.WRONG_CHANNELS})),
    "audio-truncated": (
        lambda: wavs.truncated(wavs.pcm(seconds=2), 40000),
        _UNFINISHED,
        frozenset({Reason.SHORTER_THAN_HEADER, Reason.TRUNCATED}),
    ),
    "audio-unfinished": (wavs.sox_open, _UNFINISHED, frozenset({Reason.HEADER_UNFINISHED, Reason.NEVER_FINISHED})),
}


def _bad_audio(directory: Path) -> list[BadInput]:
    for seed, (stem, (build, _, _)) in enumerate(_AUDIO.items()):
        _put(directory, stem, _seeded(build, seed), good_sidecar(case=stem))
    _put(directory, "audio-too-long", b"", good_sidecar(case="audio-too-long"))
    data_bytes = 4 * 3600 * 32000 + 32000
    header = wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"", data_bytes), length=data_bytes + 36)
    with (directory / "audio-too-long.wav").open("r+b") as file:  # all holes: it takes no room on disk
        file.write(header)
        file.truncate(len(header) + data_bytes)
    too_long = BadInput("audio-too-long", _UNUSABLE, frozenset({Reason.TOO_LONG}))
    return [*(BadInput(stem, states, reasons) for stem, (_, states, reasons) in _AUDIO.items()), too_long]


_METADATA: Mapping[str, tuple[bytes, Reason]] = {
    "json-empty": (b"", Reason.METADATA_NOT_JSON),
    "json-cut-off": (good_sidecar()[:70], Reason.METADATA_NOT_JSON),
    "json-windows-1251": (good_sidecar().decode().encode("cp1251"), Reason.METADATA_NOT_TEXT),
    "json-list": (b"[" + good_sidecar() + b"]", Reason.METADATA_NOT_AN_OBJECT),
    "json-nested": (good_sidecar(call={"from": "201"}), Reason.METADATA_NESTED),
    "json-list-as-value": (good_sidecar(client_name=["Client"]), Reason.METADATA_NESTED),
    "json-deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Reason.METADATA_NESTED),
    "json-duplicate-key": (good_sidecar()[:-1] + b', "client_id": "2"}', Reason.METADATA_DUPLICATE_KEY),
    "json-nan": (good_sidecar(score=float("nan")), Reason.METADATA_BAD_VALUE),
    "json-half-a-pair": (good_sidecar()[:-1] + b', "note": "\\ud800"}', Reason.METADATA_BAD_VALUE),
    "json-nul": (good_sidecar()[:-1] + b', "note": "a\\u0000b"}', Reason.METADATA_BAD_VALUE),
    "json-direction-in-digits": (good_sidecar(direction_outgoing=1), Reason.METADATA_BAD_VALUE),
    "json-value-too-long": (good_sidecar(note="я" * 513), Reason.METADATA_VALUE_TOO_LONG),
    "json-key-lacking": (good_sidecar(client_id=None), Reason.METADATA_KEY_LACKING),
    "json-date-without-zone": (good_sidecar(date="2025-04-24 14:34:19"), Reason.METADATA_BAD_DATE),
    "json-not-a-date": (good_sidecar(date="yesterday"), Reason.METADATA_BAD_DATE),
    "json-over-a-mebibyte": (good_sidecar(note="x" * 2**20), Reason.METADATA_TOO_BIG),
}


def _bad_metadata(directory: Path) -> list[BadInput]:
    for seed, (stem, (raw, _)) in enumerate(_METADATA.items(), start=1000):
        _put(directory, stem, _seeded(wavs.pcm, seed), raw)
    return [BadInput(stem, _UNUSABLE, frozenset({reason})) for stem, (_, reason) in _METADATA.items()]


def _odd_files(directory: Path, outside: Path) -> list[BadInput]:
    not_regular = frozenset({Reason.NOT_A_REGULAR_FILE})
    # What the links lead to could be sent: following one shows as an upload.
    (outside / "elsewhere.wav").write_bytes(wavs.pcm(seed=5))
    (outside / "elsewhere.json").write_bytes(good_sidecar(case="elsewhere"))

    (directory / "file-fifo.json").write_bytes(good_sidecar(case="file-fifo"))
    os.mkfifo(directory / "file-fifo.wav")
    (directory / "file-link-audio.json").write_bytes(good_sidecar(case="file-link-audio"))
    (directory / "file-link-audio.wav").symlink_to(outside / "elsewhere.wav")
    (directory / "file-link-metadata.wav").write_bytes(wavs.pcm(seed=6))
    (directory / "file-link-metadata.json").symlink_to(outside / "elsewhere.json")
    (directory / "file-directory.json").write_bytes(good_sidecar(case="file-directory"))
    (directory / "file-directory.wav").mkdir()
    (directory / "file-no-metadata.wav").write_bytes(wavs.pcm(seed=7))
    (directory / "file-no-audio.json").write_bytes(good_sidecar(case="file-no-audio"))
    _put(directory, "file-unreadable", wavs.pcm(seed=8), good_sidecar(case="file-unreadable"))
    (directory / "file-unreadable.wav").chmod(0)

    written = [
        BadInput("file-fifo", _UNUSABLE, not_regular),
        BadInput("file-link-audio", _UNUSABLE, not_regular),
        BadInput("file-link-metadata", _UNUSABLE, not_regular),
        # A directory is no audio, whatever its name: the metadata stands alone.
        BadInput("file-directory", _UNFINISHED, not_regular | {Reason.AUDIO_MISSING}),
        BadInput("file-no-metadata", _WAITING, frozenset({Reason.METADATA_MISSING})),
        BadInput("file-no-audio", _WAITING, frozenset({Reason.AUDIO_MISSING})),
        BadInput("file-unreadable", _WAITING, frozenset({Reason.UNREADABLE})),
    ]
    if os.access(directory / "file-unreadable.wav", os.R_OK):
        _remove_pair(directory, written.pop().stem)
    return written


def _remove_pair(directory: Path, stem: str) -> None:
    for suffix in (".wav", ".json"):
        (directory / f"{stem}{suffix}").unlink()
