"""How soon: from the rename of a recording's metadata to its first word at the service, while recordings come one by one.

At the rate that counts, and at one that leaves what the daemon works with less time to be forgotten by the machine.
"""

from __future__ import annotations

import time
from math import ceil
from pathlib import Path
from random import Random

from measure.bench import ours, untouched
from measure.bench.figures import Figure, Found, at_most
from measure.bench.recordings import MARK, SMALL, Recordings
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage

PART = "latency"
_RATE = 5
_COUNT = 200
_OFTEN = 20
_WITHIN_S = 60.0


def measure(stage: Stage) -> Found:
    recordings = stage.recordings(SMALL, _COUNT)
    took_ms, cpu_ms = _took(stage, recordings, _RATE)
    often_ms, often_cpu_ms = _took(stage, recordings, _OFTEN)
    note = f"{len(took_ms)} small recordings over TLS; their first byte came no later than this"
    figures = [
        Figure(PART, f"{_RATE} a second: median", _percentile(took_ms, 50), "ms", target=at_most(30), raw=took_ms, note=note),
        Figure(PART, f"{_RATE} a second: 99 of 100", _percentile(took_ms, 99), "ms", target=at_most(150)),
        Figure(PART, f"{_RATE} a second: the longest", took_ms[-1], "ms"),
        Figure(PART, f"{_RATE} a second: CPU a file", cpu_ms, "ms"),
        Figure(PART, f"{_OFTEN} a second: median", _percentile(often_ms, 50), "ms", raw=often_ms),
        Figure(PART, f"{_OFTEN} a second: 99 of 100", _percentile(often_ms, 99), "ms"),
        Figure(PART, f"{_OFTEN} a second: CPU a file", often_cpu_ms, "ms"),
        untouched.figure(PART, 1 / _RATE),
    ]
    return Found(figures)


def _took(stage: Stage, recordings: Recordings, rate: int) -> tuple[list[float], float]:
    """Milliseconds, sorted, and those of processor time a recording."""
    folder = stage.directory / "in-time"
    folder.mkdir(exist_ok=True)
    stage.say(f"{rate} recordings a second for {recordings.count / rate:.0f} s")
    with Service(stage.directory, Setting(tls=True)) as service, ours.started(stage.directory, service, folder=folder) as daemon:
        daemon.count_from_now()
        renamed_at = _arrive(recordings, folder, rate)
        run = daemon.wait_for_done(recordings.count, _WITHIN_S)
        first_at = service.seen().first_at
    recordings.move_back(folder)
    return sorted(1000 * (first_at[name] - at) for name, at in renamed_at.items()), run.cpu_ms_each


def _arrive(recordings: Recordings, folder: Path, rate: int) -> dict[str, float]:
    """When the metadata of each was put in its place. The pauses differ, so that none keeps step with a loop of the daemon."""
    chance, renamed_at = Random(1), dict[str, float]()
    began = time.monotonic()
    for number in range(recordings.count):
        due_at = began + (number + chance.random()) / rate
        time.sleep(max(0.0, due_at - time.monotonic()))
        recordings.move_audio_to(folder, number)
        renamed_at[MARK.format(number)] = time.monotonic()
        recordings.move_metadata_to(folder, number)
    return renamed_at


def _percentile(numbers: list[float], percent: int) -> float:
    """Of sorted numbers: so many of a hundred are no larger."""
    return numbers[ceil(len(numbers) * percent / 100) - 1]
