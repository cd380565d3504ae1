"""Recordings left in place after their upload: what does each further scan cost, and the start?

`python tests/measure/kept.py [RECORDINGS] [DIRECTORIES]`; `make kept` runs it with a million in a thousand directories, and with
a hundred thousand in one. Each is a pair of files with a finished row that says the same of them. Prints one line of figures and
ends with 1 when a scan takes a second of CPU or more. The uploads go nowhere, so that only the intake is measured.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from measure.bench import processes
from measure.bench.figures import Figure, Found, at_most
from measure.bench.stage import Stage
from speechsense_watch.core.model import Job, State
from speechsense_watch.edge.rows import columns_of
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rig import Rig
from support.waiting import wait_for

MOST_S = 1.0
FIRST_SCAN_S = 3600.0
SCANS = 3
# Finished and uploaded long ago, so that nothing is looked at for being new.
AN_OLD_TIME = 1_700_000_000

Kept = tuple[bytes, bytes, bytes, int, int]


@dataclass(frozen=True, slots=True)
class Scans:
    """CPU seconds of the start's scan, of the dearest of some that found nothing new, and of one that did."""

    start_cpu_s: float
    start_s: float
    still_s: float
    moved_s: float
    peak_mb: float


def for_bench(stage: Stage) -> Found:
    recordings, directories = (20_000, 20) if stage.quick else (1_000_000, 1_000)
    stage.say(f"makes {recordings:,} kept recordings")
    scans = measured(recordings, directories, 5 if stage.quick else 20, stage.directory)
    what = f"a rescan with {recordings:,} recordings kept in place"
    return Found([Figure("kept", what, scans.still_s, "s of CPU", target=at_most(MOST_S), note=f"peak {scans.peak_mb:.0f} MB")])


def main(recordings: int, directories: int, rescan_s: int = 20) -> int:
    scans = measured(recordings, directories, rescan_s)
    sys.stdout.write(
        f"{recordings:,} kept recordings in {directories:,} directories: the start's scan {scans.start_cpu_s:.1f} s of CPU "
        f"({scans.start_s:.0f} s); a further scan {scans.still_s:.2f} s of CPU at most, with a new recording "
        f"{scans.moved_s:.2f} s; peak {scans.peak_mb:.0f} MB\n"
    )
    return 0 if scans.still_s < MOST_S else 1


def measured(recordings: int, directories: int, rescan_s: int, base: Path | None = None) -> Scans:
    with tempfile.TemporaryDirectory(dir=base) as directory, Rig(Path(directory), 9) as rig:
        keep(rig, recordings, directories)
        rig.rules |= {"detection": "polling", "rescan_interval": f"{rescan_s}s"}
        rig.start()
        begun_s, began = processes.cpu_s(rig.pid), time.monotonic()
        wait_for(lambda: scanned_at(rig), FIRST_SCAN_S, "the first scan is over")
        start_s, start_cpu_s = time.monotonic() - began, processes.cpu_s(rig.pid) - begun_s
        still_s = max(scan_s(rig, rescan_s) for _ in range(SCANS))
        rig.drop(f"{0:04}/new" if directories > 1 else "new")
        moved_s = scan_s(rig, rescan_s)
        wait_for(partial(is_ready, rig), 60 + rescan_s, "a new one is taken")
        peak_mb = processes.peak_mb(rig.pid)
    return Scans(start_cpu_s, start_s, still_s, moved_s, peak_mb)


def keep(rig: Rig, recordings: int, directories: int) -> None:
    """The files, all empty, and their rows."""
    rig.queue_path.parent.mkdir(exist_ok=True)
    played = PlayedQueue(rig.queue_path, ManualClock(), folder="in")
    with closing(played.queue) as queue:
        job = played.done("pattern")
        with queue.transaction() as conn:
            conn.execute("DELETE FROM attempts")
            conn.execute("DELETE FROM jobs")
            conn.executemany(*insertion(job, files(rig.folder, recordings, directories)))


def files(root: Path, recordings: int, directories: int) -> Iterator[Kept]:
    """What they are called, and the inodes of both halves."""
    each = recordings // directories
    for number in range(directories):
        name = f"{number:04}" if directories > 1 else ""
        (root / name).mkdir(exist_ok=True)
        here = os.open(root / name, os.O_RDONLY)
        for call in range(each):
            paths = [f"call-{call:07}.{ending}" for ending in ("wav", "json")]
            audio_inode, metadata_inode = (make(path, here) for path in paths)
            audio, metadata = (os.fsencode(f"{name}/{path}".lstrip("/")) for path in paths)
            yield os.fsencode(name), audio, metadata, audio_inode, metadata_inode
        os.utime(here, (AN_OLD_TIME, AN_OLD_TIME))
        os.close(here)
    os.utime(root, (AN_OLD_TIME, AN_OLD_TIME))


def make(name: str, directory: int) -> int:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=directory)
    os.utime(descriptor, (AN_OLD_TIME, AN_OLD_TIME))
    inode = os.fstat(descriptor).st_ino
    os.close(descriptor)
    return inode


def insertion(job: Job, kept: Iterator[Kept]) -> tuple[str, Iterator[dict[str, object]]]:
    columns = columns_of(job)
    names = ", ".join(columns)
    sql = f"INSERT INTO jobs ({names}) VALUES ({', '.join(f':{name}' for name in columns)})"  # noqa: S608 - a test's own words
    at_us, stamp = AN_OLD_TIME * 10**6, {"size": 0, "mtime_ns": AN_OLD_TIME * 10**9}
    same = {f"{half}_{what}": value for half in ("audio", "metadata") for what, value in stamp.items()}
    whole = columns | same | {"created_at": at_us, "updated_at": at_us, "recorded_at": at_us}
    return sql, (
        whole
        | {"directory": directory, "place": audio, "audio_path": audio, "metadata_path": metadata}
        | {"audio_inode": audio_inode, "metadata_inode": metadata_inode, "uid": f"{n:064x}", "talk_id": f"talk-{n}"}
        for n, (directory, audio, metadata, audio_inode, metadata_inode) in enumerate(kept)
    )


def scan_s(rig: Rig, rescan_s: int) -> float:
    """CPU from the end of one scan to the end of the next."""
    before_s, before = processes.cpu_s(rig.pid), scanned_at(rig)
    wait_for(lambda: scanned_at(rig) != before, 2 * rescan_s + FIRST_SCAN_S, "another scan is over")
    return processes.cpu_s(rig.pid) - before_s


def is_ready(rig: Rig) -> bool:
    return bool(rig.read(lambda queue: queue.counts())[State.READY])


def scanned_at(rig: Rig) -> object:
    told: dict[str, object] = rig.read(lambda queue: queue.runtime()).get("folder:in", {})
    return told.get("scanned_at")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*numbers) if numbers else main(1_000_000, 1_000))
