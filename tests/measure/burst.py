"""A burst of recordings into a running daemon: are all of them jobs within one rescan, and what does it cost?

`python tests/measure/burst.py [PAIRS] [write|rename]`; `make burst` runs both. Prints one line of figures and ends with 1 when a
recording is missing, the time is over or the memory is too much. The uploads are paused, so that only the intake is measured.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path

from support.rig import FIELDS, Rig
from support.wavs import pcm

RESCAN_S = 60
MOST_MB = 120


def main(pairs: int, how: str) -> int:
    with tempfile.TemporaryDirectory() as directory, Rig(Path(directory), 9) as rig:
        rig.rules |= {"quiet_period": "1s", "rescan_interval": f"{RESCAN_S}s", "metadata_last": how == "rename"}
        rig.start()
        began = time.monotonic()
        drop(rig, pairs, how)
        dropped_s = time.monotonic() - began
        wait(rig, pairs, began)
        took_s = time.monotonic() - began
        folder = json.loads(rig.call("status", "--json")[1])["folders"][0]
        found = rig.read(lambda queue: {row["state"]: row["n"] for row in queue.rows("SELECT state, n FROM counts WHERE n > 0")})
        assert rig.process is not None
        status = Path(f"/proc/{rig.process.pid}/status").read_text()
        peak_mb = int(re.findall(r"VmHWM:\s+([0-9]+)", status)[0]) // 1024
        stat = Path(f"/proc/{rig.process.pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(stat[11]) + int(stat[12])) / 100
    sys.stdout.write(
        f"{how}: {pairs:,} pairs dropped in {dropped_s:.1f} s, all jobs {took_s:.1f} s after the first byte; {found}; "
        f"peak {peak_mb} MB, {cpu_s:.1f} s of CPU; overflows {folder['overflows']}, found by scan {folder['found_by_scan']:,}\n"
    )
    good = sum(found.values()) == pairs and took_s <= dropped_s + RESCAN_S and peak_mb < MOST_MB
    return 0 if good else 1


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


def wait(rig: Rig, pairs: int, began: float) -> None:
    while time.monotonic() - began < 10 * RESCAN_S:
        if rig.read(lambda queue: sum(row["n"] for row in queue.rows("SELECT n FROM counts WHERE state = 'ready'"))) >= pairs:
            return
        time.sleep(0.25)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000, sys.argv[2] if len(sys.argv) > 2 else "write"))
