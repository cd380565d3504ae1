"""How soon: from the rename of a recording's metadata to its first word at the service, while recordings come one by one."""

from __future__ import annotations

import time
from math import ceil
from pathlib import Path
from random import Random

from measure.bench import ours
from measure.bench.figures import Figure, Found, at_most
from measure.bench.recordings import MARK, SMALL, Recordings
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage

PART = "latency"
_RATE = 5
_SECONDS = 40
_WITHIN_S = 60.0


def measure(stage: Stage) -> Found:
    recordings = stage.recordings(SMALL, _RATE * _SECONDS)
    folder = stage.directory / "in-time"
    folder.mkdir(exist_ok=True)
    stage.say(f"{_RATE} recordings a second for {recordings.count / _RATE:.0f} s")
    with Service(stage.directory, Setting(tls=True)) as service, ours.started(stage.directory, service, folder=folder) as daemon:
        renamed_at = _arrive(recordings, folder)
        daemon.wait_for_done(recordings.count, _WITHIN_S)
        first_at = service.seen().first_at
    recordings.move_back(folder)
    took_ms = sorted(1000 * (first_at[name] - at) for name, at in renamed_at.items())
    note = f"{len(took_ms)} small recordings over TLS; their first byte came no later than this"
    return Found(
        [
            Figure(PART, "median", _percentile(took_ms, 50), "ms", target=at_most(30), raw=took_ms, note=note),
            Figure(PART, "99 of 100", _percentile(took_ms, 99), "ms", target=at_most(150)),
            Figure(PART, "the longest", took_ms[-1], "ms"),
        ]
    )


def _arrive(recordings: Recordings, folder: Path) -> dict[str, float]:
    """When the metadata of each was put in its place. The pauses differ, so that none keeps step with a loop of the daemon."""
    chance, renamed_at = Random(1), dict[str, float]()
    began = time.monotonic()
    for number in range(recordings.count):
        due_at = began + (number + chance.random()) / _RATE
        time.sleep(max(0.0, due_at - time.monotonic()))
        recordings.move_audio_to(folder, number)
        renamed_at[MARK.format(number)] = time.monotonic()
        recordings.move_metadata_to(folder, number)
    return renamed_at


def _percentile(numbers: list[float], percent: int) -> float:
    """Of sorted numbers: so many of a hundred are no larger."""
    return numbers[ceil(len(numbers) * percent / 100) - 1]
