"""How quiet: what a daemon costs that has nothing to do, between two rescans."""

from __future__ import annotations

import time

from measure.bench import ours, processes
from measure.bench.figures import Figure, Found, at_most
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage

PART = "quiet"
_SETTLES_IN_S = 15
_SECONDS = 60


def measure(stage: Stage) -> Found:
    seconds = _SECONDS // 4 if stage.quick else _SECONDS
    stage.say(f"nothing happens for {seconds} s")
    with (
        Service(stage.directory, Setting(tls=True)) as service,
        ours.started(stage.directory, service, rules={"rescan_interval": "1h"}) as daemon,
    ):
        time.sleep(_SETTLES_IN_S)
        before, began = _taken(daemon.pid), time.monotonic()
        time.sleep(seconds)
        cpu_s, switches, written = (now - then for now, then in zip(_taken(daemon.pid), before, strict=True))
        seconds_gone = time.monotonic() - began
    return Found(
        [
            Figure(PART, "CPU", 1000 * cpu_s / seconds_gone, "ms/s", target=at_most(1)),
            Figure(PART, "written to the disk", written, "bytes", target=at_most(0)),
            Figure(PART, "wake-ups", switches / seconds_gone, "a second"),
        ]
    )


def _taken(pid: int) -> tuple[float, float, float]:
    return processes.cpu_s(pid), processes.switches(pid), processes.written_bytes(pid)
