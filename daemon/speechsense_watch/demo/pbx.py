"""The telephone exchange, played: it records its calls into a folder as real ones do, each at its time.

Each way of recording is a generator that writes a little and yields the seconds until it goes on, so that all calls go on
side by side without a thread.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import math
import struct
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from speechsense_watch.demo.scene import OPERATORS, Call, Way

RATE_HZ, CHANNELS, SAMPLE_BYTES = 8000, 2, 2
SECOND_BYTES = RATE_HZ * CHANNELS * SAMPLE_BYTES
HEADER_BYTES = 44
# Longer than the quiet period: what tells that the call goes on is its header.
_BETWEEN_WRITES_S = 1.3
# The audio of a call whose metadata came first follows after this.
_AUDIO_LATE_S = 3.0

_Script: TypeAlias = Generator[float, None, None]


@dataclass(frozen=True, slots=True)
class Said:
    """What the exchange did with a call last; `detail` is what goes on changing meanwhile."""

    what: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Taped:
    """What a call's files hold when the exchange is through with it."""

    audio_sha256: str
    fields: Mapping[str, str]


class Pbx:
    """Records `calls` below `root`, into a folder of the day."""

    def __init__(self, root: Path, calls: Sequence[Call], now: datetime) -> None:
        """Calls that begin before the start lie there already. Raises OSError, here and in `step`."""
        self.day = root / now.strftime("%Y/%m/%d")
        self.day.mkdir(parents=True, exist_ok=True)
        self._now = now
        self._said: dict[str, Said] = {}
        self.taped: dict[str, Taped] = {}
        self._scripts = {call: self._script(call) for call in calls}
        self._due = [(call.at_s, number, call) for number, call in enumerate(calls)]
        heapq.heapify(self._due)
        self.step(-0.001)

    @property
    def done(self) -> bool:
        return not self._due

    def said(self, call: Call) -> Said:
        return self._said.get(call.name, Said())

    def audio_path(self, call: Call) -> Path:
        return self.day / f"{call.name}.wav"

    def metadata_path(self, call: Call) -> Path:
        return self.day / f"{call.name}.json"

    def step(self, elapsed_s: float) -> None:
        """Everything that was to happen until `elapsed_s` after the daemon's start has happened."""
        while self._due and self._due[0][0] <= elapsed_s:
            at_s, number, call = heapq.heappop(self._due)
            try:
                rest_s = next(self._scripts[call])
            except StopIteration:
                continue
            # From now on, not from when it was due: a slow machine must not make a call grow in one leap.
            heapq.heappush(self._due, (max(at_s, elapsed_s) + rest_s, number, call))

    def close(self) -> None:
        """No file is left open."""
        for script in self._scripts.values():
            script.close()

    def _script(self, call: Call) -> _Script:
        ways: Mapping[Way, Callable[[Call], _Script]] = {
            Way.WHOLE: self._whole,
            Way.GROWING: self._growing,
            Way.METADATA_FIRST: self._metadata_first,
            Way.MOVED_IN: self._moved_in,
            Way.CUT_SHORT: self._cut_short,
            Way.BROKEN_METADATA: self._broken_metadata,
            Way.UNANSWERED: self._unanswered,
        }
        return ways[call.way](call)

    # --- the ways of recording ---------------------------------------------------------------

    def _whole(self, call: Call) -> _Script:
        self._write_audio(call)
        self._write_metadata(call)
        self._say(call, "was there before" if call.at_s < 0 else f"recorded {_length(call)}")
        yield from ()

    def _growing(self, call: Call) -> _Script:
        self._write_metadata(call)
        with self.audio_path(call).open("wb") as file:
            file.write(_header(0, 0))
            for second in range(call.length_s):
                file.write(_second_of(call, second % 2))
                file.flush()
                self._say(call, "on the phone", f"{second + 1} s")
                yield _BETWEEN_WRITES_S
            file.seek(0)
            file.write(_header(call.length_s * SECOND_BYTES))
        self._tape(call, _audio(call))
        self._say(call, f"hung up after {_length(call)}")

    def _metadata_first(self, call: Call) -> _Script:
        self._write_metadata(call)
        self._say(call, "only metadata yet")
        yield _AUDIO_LATE_S
        self._write_audio(call)
        self._say(call, f"audio came {_AUDIO_LATE_S:g} s later")

    def _moved_in(self, call: Call) -> _Script:
        elsewhere = self.day / f".{call.name}.tmp"
        elsewhere.write_bytes(_audio(call))
        self._tape(call, _audio(call))
        yield 0.1
        elsewhere.rename(self.audio_path(call))
        self._write_metadata(call)
        self._say(call, f"{_length(call)}, moved in")

    def _cut_short(self, call: Call) -> _Script:
        self._write_metadata(call)
        whole = _audio(call)
        part = whole[: HEADER_BYTES + call.length_s // 4 * SECOND_BYTES]
        self.audio_path(call).write_bytes(part)
        self._tape(call, part)
        self._say(call, "audio copy broke off")
        yield from ()

    def _broken_metadata(self, call: Call) -> _Script:
        self._write_audio(call)
        self.metadata_path(call).write_bytes(self._as_json(call)[:60])
        self._say(call, "metadata is cut off")
        yield from ()

    def _unanswered(self, call: Call) -> _Script:
        self._write_audio(call)
        self._say(call, "nobody answered")
        yield from ()

    # --- files -------------------------------------------------------------------------------

    def _say(self, call: Call, what: str, detail: str = "") -> None:
        self._said[call.name] = Said(what, detail)

    def _write_audio(self, call: Call) -> None:
        audio = _audio(call)
        self.audio_path(call).write_bytes(audio)
        self._tape(call, audio)

    def _tape(self, call: Call, audio: bytes) -> None:
        self.taped[call.name] = Taped(hashlib.sha256(audio).hexdigest(), self._fields(call))

    def _write_metadata(self, call: Call) -> None:
        """Under another name first, so that nobody ever sees half of it."""
        aside = self.day / f".{call.name}.json.tmp"
        aside.write_bytes(self._as_json(call))
        aside.rename(self.metadata_path(call))

    def _as_json(self, call: Call) -> bytes:
        return json.dumps(self._fields(call), ensure_ascii=False, indent=2).encode()

    def _fields(self, call: Call) -> dict[str, str]:
        began = self._now + timedelta(seconds=round(call.at_s))
        return {
            "operator_name": OPERATORS[call.operator],
            "operator_id": call.operator,
            "client_name": "Client",
            "client_id": call.number,
            "date": began.isoformat(timespec="seconds"),
            "direction_outgoing": "true" if call.outgoing else "false",
            "language": "ru-RU",
        }


# --- sound ------------------------------------------------------------------------------------


def _length(call: Call) -> str:
    minutes, seconds = divmod(call.length_s, 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _header(data_bytes: int, riff_bytes: int | None = None) -> bytes:
    """The 44 bytes before the audio. A recorder that still writes leaves both lengths 0."""
    riff_bytes = HEADER_BYTES - 8 + data_bytes if riff_bytes is None else riff_bytes
    described = struct.pack("<HHIIHH", 1, CHANNELS, RATE_HZ, SECOND_BYTES, CHANNELS * SAMPLE_BYTES, 8 * SAMPLE_BYTES)
    return struct.pack("<4sI4s4sI16s4sI", b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, described, b"data", data_bytes)


def _audio(call: Call) -> bytes:
    seconds = (_second_of(call, 0), _second_of(call, 1))
    return _header(call.length_s * SECOND_BYTES) + b"".join(seconds[second % 2] for second in range(call.length_s))


def _second_of(call: Call, second: int) -> bytes:
    """The two sides speak in turns, each in a tone of its own; no two calls sound the same."""
    tone_hz = 200 + int(call.number) % 100 * 4 + 150 * (second % 2)
    wave = [round(6000 * math.sin(2 * math.pi * tone_hz * at / RATE_HZ)) for at in range(RATE_HZ)]
    pairs = ((value, 0) if second % 2 == 0 else (0, value) for value in wave)
    return struct.pack(f"<{RATE_HZ * CHANNELS}h", *(value for pair in pairs for value in pair))
