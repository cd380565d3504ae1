"""How soon: from the rename of a recording's metadata to its first word at the service, while recordings come one by one.

At the rate that counts, and at one that leaves what the daemon works with less time to be forgotten by the machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from random import Random

from measure.bench import ours, untouched
from measure.bench.figures import Figure, Found, Target, at_most
from measure.bench.recordings import MARK, SMALL, Recordings
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage

PART = "latency"
Targets = tuple[Target | None, Target | None]
_COUNT = 200
_WITHIN_S = 60.0
# A second, and how long half and 99 of 100 may take then (ms).
_RATE, _TARGETS = 5, (at_most(30), at_most(150))
_OFTEN = 20


def measure(stage: Stage) -> Found:
    recordings = stage.recordings(SMALL, _COUNT)
    figures = [*_figures(stage, recordings, _RATE, _TARGETS), *_figures(stage, recordings, _OFTEN)]
    return Found([*figures, untouched.figure(PART, 1 / _RATE)])


def _figures(stage: Stage, recordings: Recordings, rate: int, targets: Targets = (None, None)) -> Iterator[Figure]:
    took_ms, cpu_ms = _took(stage, recordings, rate)
    note = f"{len(took_ms)} small recordings over TLS; their first byte came no later than this"
    when = f"{rate} a second: "
    yield Figure(PART, when + "median", _percentile(took_ms, 50), "ms", target=targets[0], raw=took_ms, note=note)
    yield Figure(PART, when + "99 of 100", _percentile(took_ms, 99), "ms", target=targets[1])
    yield Figure(PART, when + "the longest", took_ms[-1], "ms")
    yield Figure(PART, when + "CPU a file", cpu_ms, "ms")


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
