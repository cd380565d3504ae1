"""Traces of real recorders, played again as real file operations.

A trace is what inotify told of an Asterisk at work (tests/traces): one line an event, with the size that the file then had;
further writes to the same file are only counted. The bytes are made up, the headers are as the recorder leaves them: zeros while
it writes, right when it has closed the file.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from support.wavs import chunk, fmt, riff

_LINE = re.compile(
    r"\+\s*(?P<at>[0-9.]+)s (?P<event>[A-Z_,]+)\s+(?P<name>\S*?)\s*(?:size=(?P<size>[0-9]+) mode=0o(?P<mode>[0-7]+)|\(gone\))"
)
_FURTHER = re.compile(r"\s+\.\.\. MODIFY (?P<name>\S+) x(?P<count>[0-9]+) until \+(?P<until>[0-9.]+)s")
_HEADER_BYTES = 44


@dataclass(frozen=True, slots=True)
class Step:
    at_s: float
    event: str
    name: str
    size: int
    mode: int


def steps_of(trace: Path) -> list[Step]:
    """What the recorder did, in order; of writes that are only counted each is a step of its own. Raises ValueError for a line
    that is not understood.
    """
    lines = trace.read_text().splitlines()
    told = [step for line in lines if isinstance(step := _step(line), Step)]
    steps: list[Step] = []
    for line in lines:
        match _step(line):
            case Step() as step:
                steps.append(step)
                told.remove(step)
            case further:
                name, count, until_s = further
                before = next(step for step in reversed(steps) if step.name == name)
                steps += _growth(before, next(step for step in told if step.name == name), count, until_s)
    return steps


def _step(line: str) -> Step | tuple[str, int, float]:
    """A step, or of further writes the file's name, their number and the time of the last."""
    if m := _LINE.match(line):
        return Step(float(m["at"]), m["event"], m["name"], int(m["size"] or 0), int(m["mode"] or "644", 8))
    if m := _FURTHER.match(line):
        return m["name"], int(m["count"]), float(m["until"])
    raise ValueError(f"no line of a trace: {line}")


def _growth(before: Step, after: Step, count: int, until_s: float) -> Iterator[Step]:
    """So many writes between two steps of which sizes are known: a call fills its file at an even pace."""
    between_s = after.at_s - before.at_s
    for number in range(1, count + 1):
        at_s = before.at_s + (until_s - before.at_s) * number / count
        share = (at_s - before.at_s) / between_s if between_s else 1.0
        yield replace(before, at_s=at_s, event="MODIFY", size=before.size + round((after.size - before.size) * share))


def finished(name: str, size: int) -> bytes:
    """A whole recording of so many bytes; another name has other samples. One channel, 16 bits, 8 kHz."""
    return riff(fmt(channels=1), chunk(b"data", _samples(name, max(0, size - _HEADER_BYTES))))[:size]


def growing(name: str, size: int) -> bytes:
    """The same while the recorder writes: the lengths in its header are zero."""
    return riff(fmt(channels=1), chunk(b"data", _samples(name, max(0, size - _HEADER_BYTES)), 0), length=0)[:size]


def _samples(name: str, count: int) -> bytes:
    # Of the call and not of the file: a leg that becomes the whole keeps its sound.
    seed = zlib.crc32(name.encode()) % 251
    count -= count % 2
    return (bytes((index * 7 + seed) % 251 for index in range(251)) * (count // 251 + 1))[:count]


@dataclass(slots=True)
class Player:
    """Plays one trace below a directory. `written` is what lies there in the end, by path."""

    directory: Path
    steps: Sequence[Step]
    written: dict[str, bytes] = field(default_factory=dict)
    _below: str = ""
    _moving: str = ""

    def play(self, step: Step) -> None:
        name = f"{self._below}{step.name}"
        path = self.directory / name
        match step.event.partition(",")[0]:
            case "CREATE" if "ISDIR" in step.event:
                path.mkdir(exist_ok=True)
                self._below = f"{name}/"
            case "CREATE" | "MODIFY":
                self._write(path, name, growing(step.name, step.size) if _is_audio(name) else b"x" * step.size)
            case "CLOSE_WRITE":
                self._write(path, name, finished(step.name, step.size) if _is_audio(name) else b"x" * step.size)
            case "MOVED_FROM":
                self._moving = name
            case "MOVED_TO":
                (self.directory / self._moving).rename(path)
                self.written[name] = self.written.pop(self._moving)
            case "DELETE":
                path.unlink(missing_ok=True)
                self.written.pop(name, None)
            case "ATTRIB":
                path.chmod(step.mode)

    def _write(self, path: Path, name: str, data: bytes) -> None:
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(data)
            file.truncate(len(data))
        self.written[name] = data


def _is_audio(name: str) -> bool:
    return name.lower().endswith((".wav", ".wav16"))


def play_together(players: Sequence[Player]) -> None:
    """All of them side by side, in the time that it took the recorders."""
    nobody = threading.Event()
    at_s = 0.0
    for player, step in sorted(_all(players), key=lambda each: each[1].at_s):
        # Nobody sets it: time has to pass between the steps as it did.
        nobody.wait(max(0.0, step.at_s - at_s))
        at_s = max(at_s, step.at_s)
        player.play(step)


def _all(players: Sequence[Player]) -> Iterator[tuple[Player, Step]]:
    for player in players:
        for step in player.steps:
            yield player, step
