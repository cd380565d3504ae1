"""A burst of recordings into a running daemon: are all of them jobs within one rescan, and what does it cost?

`python tests/measure/burst.py [PAIRS] [write|rename] [unheard]`; `make burst` runs both ways. Prints one line of figures and ends
with 1 when a recording is missing, the time is over or the memory is too much. The uploads are paused, so that only the intake is
measured. `unheard`: the daemon is stopped meanwhile and the kernel's queue of events is full before the first pair comes, so that
scans must find every one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure.bench import processes
from support.rig import FIELDS, Rig
from support.waiting import came_true, wait_for
from support.wavs import pcm

RESCAN_S = 60
MOST_MB = 120


def main(pairs: int, how: str, *, unheard: bool = False, rescan_s: int = RESCAN_S) -> int:
    with tempfile.TemporaryDirectory() as directory, Rig(Path(directory), 9) as rig:
        rig.rules |= {"quiet_period": "1s", "rescan_interval": f"{rescan_s}s", "metadata_last": how == "rename"}
        rig.start()
        wait_for(lambda: rig.read(lambda queue: queue.runtime()).get("folder:in", {}).get("scanned_at"), 20, "the first scan")
        began = time.monotonic()
        if unheard:
            with nobody_reads_events(rig):
                drop(rig, pairs, how)
        else:
            drop(rig, pairs, how)
        dropped_s = time.monotonic() - began
        wait(rig, pairs, began + 10 * rescan_s)
        took_s = time.monotonic() - began
        # Told at the end of a scan, which may be a little after the last job.
        came_true(lambda: not unheard or told(rig)["found_by_scan"] >= pairs, 60)
        folder, words = told(rig), " ".join(rig.call("status")[1].split())
        found = rig.read(lambda queue: {row["state"]: row["n"] for row in queue.rows("SELECT state, n FROM counts WHERE n > 0")})
        peak_mb, cpu_s = processes.peak_mb(rig.pid), processes.cpu_s(rig.pid)
    sys.stdout.write(
        f"{how}: {pairs:,} pairs dropped in {dropped_s:.1f} s, all jobs {took_s:.1f} s after the first byte; {found}; "
        f"peak {peak_mb:.0f} MB, {cpu_s:.1f} s of CPU; "
        f"overflows {folder['overflows']}, found by scan {folder['found_by_scan']:,}\n"
    )
    # The scan that an overflow asks for does not wait for the next rescan.
    most_s = dropped_s + (rescan_s / 2 if unheard else rescan_s)
    good = sum(found.values()) == pairs and took_s <= most_s and peak_mb < MOST_MB
    if unheard:
        good &= folder["overflows"] >= 1 and folder["found_by_scan"] == pairs
        good &= f"found by scans alone: {pairs:,}; event overflows: {folder['overflows']}" in words
    return 0 if good else 1


def told(rig: Rig) -> dict[str, Any]:
    folder: dict[str, Any] = json.loads(rig.call("status", "--json")[1])["folders"][0]
    return folder


@contextmanager
def nobody_reads_events(rig: Rig) -> Iterator[None]:
    """The daemon stands still, and the kernel has no room left for what happens."""
    assert rig.process is not None
    tasks = Path(f"/proc/{rig.process.pid}/task")
    rig.process.send_signal(signal.SIGSTOP)
    try:
        # One that goes on for a moment would make room again.
        wait_for(lambda: all("State:\tT" in (task / "status").read_text() for task in tasks.iterdir()), 20, "it stands still")
        # Two names in turn: of two events that are alike and follow each other the kernel keeps one (inotify(7)).
        for number in range(int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())):
            os.close(os.open(rig.folder / f"noise-{number % 2}.part", os.O_CREAT | os.O_WRONLY))
        yield
    finally:
        rig.process.send_signal(signal.SIGCONT)


def drop(rig: Rig, pairs: int, how: str) -> None:
    audio, metadata = pcm(seconds=0.01), json.dumps(FIELDS).encode()
    for number in range(pairs):
        stem = rig.folder / f"call-{number:06}"
        for ending, data in ((".wav", audio), (".json", metadata)):
            target = stem.with_suffix(ending)
            if how == "rename":
                aside = rig.directory / f"aside{ending}"
                aside.write_bytes(data)
                aside.rename(target)
            else:
                target.write_bytes(data)


def wait(rig: Rig, pairs: int, until: float) -> None:
    while time.monotonic() < until:
        if rig.read(lambda queue: sum(row["n"] for row in queue.rows("SELECT n FROM counts WHERE state = 'ready'"))) >= pairs:
            return
        time.sleep(0.25)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    sys.exit(main(int(given.get(0, 50_000)), given.get(1, "write"), unheard=given.get(2) == "unheard"))
