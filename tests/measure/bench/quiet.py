"""How quiet: what a daemon costs that has nothing to do, between two rescans.

What waking costs by itself differs more between machines than anything the daemon does: on a virtual one that was seen each page
of memory that had lain for half a minute cost 80 us to touch. So what such a page costs is measured as well, a program that wakes
once a second and does nothing sleeps beside the daemon, and it is measured once more while a program keeps a core busy, and while
one reads the daemon's memory again and again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from measure.bench import ours, processes, untouched
from measure.bench.figures import Figure, Found, Target, at_most
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage

PART = "quiet"
_SETTLES_IN_S = 15
_SECONDS = 60
# Milliseconds a second.
_MOST_CPU = at_most(1)


class Taken(NamedTuple):
    """Up to now, or over a time: seconds of processor time of the daemon and of the program beside it, in so many seconds."""

    seconds: float
    cpu_s: float
    beside_cpu_s: float
    wake_ups: float
    written_bytes: float


def measure(stage: Stage) -> Found:
    seconds = _SECONDS // 4 if stage.quick else _SECONDS
    with (
        Service(stage.directory, Setting(tls=True)) as service,
        ours.started(stage.directory, service, rules={"rescan_interval": "1h"}) as daemon,
        _program("import time\nwhile True: time.sleep(1)") as beside,
    ):
        time.sleep(_SETTLES_IN_S)
        stage.say(f"nothing happens for {seconds} s")
        left_alone = _taken_in(seconds, daemon.pid, beside)
        stage.say(f"for {seconds} s more, while a program keeps a core busy")
        with _program("while True: pass"):
            awake = _taken_in(seconds, daemon.pid, beside)
        stage.say(f"and for {seconds} s more, while its memory is kept at hand")
        at_hand = None
        with suppress(PermissionError), untouched.kept_at_hand(daemon.pid):
            at_hand = _taken_in(seconds, daemon.pid, beside)
    found = Found([_cpu("CPU", left_alone, _MOST_CPU), _cpu("CPU, while another program keeps a core busy", awake)])
    if at_hand is not None:
        found.figures.append(_cpu("CPU, while another program reads its memory again and again", at_hand, _MOST_CPU))
    else:
        found.notes.append("how quiet it is with its memory at hand: reading that is not allowed here (kernel.yama.ptrace_scope)")
    found.figures += [
        Figure(PART, "written to the disk", left_alone.written_bytes, "bytes", target=at_most(0)),
        Figure(PART, "wake-ups", left_alone.wake_ups / left_alone.seconds, "a second"),
        untouched.figure(PART, seconds / 2),
    ]
    return found


def _cpu(name: str, taken: Taken, target: Target | None = None) -> Figure:
    mine, beside = (1000 * cpu_s / taken.seconds for cpu_s in (taken.cpu_s, taken.beside_cpu_s))
    return Figure(PART, name, mine, "ms/s", beside, "a program that wakes once a second", target=target)


def _taken_in(seconds: float, pid: int, beside: int) -> Taken:
    before = _taken(pid, beside)
    time.sleep(seconds)
    return Taken(*(now - then for now, then in zip(_taken(pid, beside), before, strict=True)))


def _taken(pid: int, beside: int) -> Taken:
    ours_s, beside_s = processes.cpu_s(pid), processes.cpu_s(beside)
    return Taken(time.monotonic(), ours_s, beside_s, processes.switches(pid), processes.written_bytes(pid))


@contextmanager
def _program(code: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", code]) as program:
        try:
            yield program.pid
        finally:
            program.kill()
