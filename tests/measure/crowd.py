"""A directory with very many files: does it stop or bloat the daemon, and what does each further scan cost?

`python tests/measure/crowd.py [FILES]`; `make crowd` runs it with a million. The files are recordings older than `start_from`:
each has a name the rules take and none gets a row. Among them new recordings arrive. Prints one line of figures and ends with 1
when a recording was not taken in time or the memory is too much.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from measure.bench import processes
from speechsense_watch.core.model import State
from support.rig import Rig
from support.waiting import wait_for

MOST_MB = 250
FIRST_SCAN_S = 300.0
LATER_S = 120.0


def main(files: int, rescan_s: int = 60) -> int:
    with tempfile.TemporaryDirectory() as directory, Rig(Path(directory), 9) as rig:
        fill(rig.folder, files)
        rig.rules |= {"start_from": "2020-01-01", "quiet_period": "1s", "rescan_interval": f"{rescan_s}s", "detection": "events"}
        began = time.monotonic()
        rig.start()
        wait_for(lambda: runtime(rig).get("left_alone") == files, FIRST_SCAN_S, "the first scan is over")
        first_s = time.monotonic() - began
        slowest_s = 0.0
        for number in range(3):
            began = time.monotonic()
            rig.drop(f"new-{number}")
            wait_for(partial(is_ready, rig, f"new-{number}.wav"), LATER_S, "a new one is taken")
            slowest_s = max(slowest_s, time.monotonic() - began)
        before_s, scanned_at = processes.cpu_s(rig.pid), runtime(rig).get("scanned_at")
        wait_for(lambda: runtime(rig).get("scanned_at") != scanned_at, 2 * rescan_s + FIRST_SCAN_S, "another scan is over")
        scan_s = processes.cpu_s(rig.pid) - before_s
        peak_mb = processes.peak_mb(rig.pid)
    sys.stdout.write(
        f"{files:,} old recordings in one directory: first scan {first_s:.1f} s; a new one is taken after {slowest_s:.1f} s at "
        f"most; a further scan {scan_s:.1f} s of CPU, peak {peak_mb:.0f} MB\n"
    )
    return 0 if peak_mb < MOST_MB else 1


def fill(directory: Path, files: int) -> None:
    """Old by their mtime: 2017."""
    here = os.open(directory, os.O_RDONLY)
    for number in range(files):
        descriptor = os.open(f"call-{number:07}.wav", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=here)
        os.utime(descriptor, (1_500_000_000, 1_500_000_000))
        os.close(descriptor)
    os.close(here)


def is_ready(rig: Rig, path: str) -> bool:
    return rig.states().get(path) is State.READY


def runtime(rig: Rig) -> dict[str, object]:
    told: dict[str, object] = rig.read(lambda queue: queue.runtime()).get("folder:in", {})
    return told


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
