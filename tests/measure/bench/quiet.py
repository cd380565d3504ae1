"""How quiet: what a daemon costs that has nothing to do, between two rescans.

What waking costs by itself differs more between machines than anything the daemon does: 2 ms on a virtual one that was seen. So a
program that wakes once a second and does nothing sleeps beside it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
        _waking_once_a_second() as beside,
    ):
        time.sleep(_SETTLES_IN_S)
        before, began, beside_s = _taken(daemon.pid), time.monotonic(), processes.cpu_s(beside)
        time.sleep(seconds)
        cpu_s, switches, written = (now - then for now, then in zip(_taken(daemon.pid), before, strict=True))
        seconds_gone, beside_s = time.monotonic() - began, processes.cpu_s(beside) - beside_s
    return Found(
        [
            Figure(
                PART,
                "CPU",
                1000 * cpu_s / seconds_gone,
                "ms/s",
                1000 * beside_s / seconds_gone,
                "a program that wakes once a second",
                target=at_most(1),
            ),
            Figure(PART, "written to the disk", written, "bytes", target=at_most(0)),
            Figure(PART, "wake-ups", switches / seconds_gone, "a second"),
        ]
    )


@contextmanager
def _waking_once_a_second() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(1)"]) as program:
        try:
            yield program.pid
        finally:
            program.kill()


def _taken(pid: int) -> tuple[float, float, float]:
    return processes.cpu_s(pid), processes.switches(pid), processes.written_bytes(pid)
