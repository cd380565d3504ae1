"""How small: the most memory that was resident at a time, as the kernel keeps it (VmHWM)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from measure.bench import bare, ours
from measure.bench.figures import Figure, Found, at_most
from measure.bench.processes import peak_mb
from measure.bench.recordings import LARGE, SMALL, Recordings, of_megabytes
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage

PART = "memory"
_IDLE_S = 5
_IN_FLIGHT = 8
_WITHIN_S = 300.0
# So far away that all that may be in flight is.
_FAR = Setting(tls=True, latency_s=0.05)
# The last but one for the plot; the large one comes after it.
_MEGABYTES = (1, 10, 50, 100, 200)


def measure(stage: Stage) -> Found:
    found = Found()
    with Service(stage.directory, _FAR) as service:
        found.figures += [_idle(stage, service), _small(stage, service)]
        points = list(_by_size(stage, service))
    found.curves["memory"] = points
    (_, large, whole) = points[-1]
    note = "the baseline sends it in one message, as a script does"
    found.figures.append(Figure(PART, "one file of 461 MB", large, "MB", whole, "in one message", at_most(90), note=note))
    return found


def _idle(stage: Stage, service: Service) -> Figure:
    stage.say("memory while idle")
    with ours.started(stage.directory, service) as daemon:
        time.sleep(_IDLE_S)
        return Figure(PART, "idle", peak_mb(daemon.pid), "MB", target=at_most(60))


def _small(stage: Stage, service: Service) -> Figure:
    recordings = stage.recordings(SMALL, 800)
    stage.say(f"memory with {_IN_FLIGHT} small recordings in flight")
    beside = bare.run(service, recordings, _IN_FLIGHT).peak_mb
    with ours.started(stage.directory, service, folder=recordings.directory, in_flight=_IN_FLIGHT) as daemon:
        peak = daemon.wait_for_done(recordings.count, _WITHIN_S).peak_mb
    return Figure(PART, f"small recordings, {_IN_FLIGHT} in flight", peak, "MB", beside, "bare loop", at_most(130))


def _by_size(stage: Stage, service: Service) -> Iterator[tuple[float, ...]]:
    """Of one file at a time: megabytes of the file, ours, and of a process that sends it in one message."""
    for megabytes in _MEGABYTES:
        yield _of_one(stage, service, stage.recordings(of_megabytes(megabytes), 1))
    yield _of_one(stage, service, stage.recordings(LARGE, 1))


def _of_one(stage: Stage, service: Service, recordings: Recordings) -> tuple[float, ...]:
    stage.say(f"memory for one file of {recordings.size.name}")
    whole = bare.run(service, recordings, 1, whole=True, good_malloc=False).peak_mb
    with ours.started(stage.directory, service, folder=recordings.directory) as daemon:
        peak = daemon.wait_for_done(1, _WITHIN_S).peak_mb
    return recordings.size.audio_bytes / 1e6, peak, whole
