"""A backlog of a million recordings, a start over a million that are on record, and ten thousand directories to watch.

`python tests/measure/scale_intake.py [RECORDINGS] [DIRECTORIES] [--tree DIR] [--parts PARTS]`; `make bench` runs it with a
million in a thousand directories, which takes 9 GB and half an hour. A tree that is named is made if it is not there, and stays.

The backlog is taken in while the service, which takes 200 ms for an answer, is sent eight at a time. How long the start takes is
held against a bare scan of the same files: scandir, and one stat for each.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from measure.bench import processes
from measure.bench.figures import Figure, Found, at_most, at_most_times, missed, of_rounds, show
from measure.bench.ours import Ours, started
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage
from support.rig import FIELDS
from support.wavs import pcm

_PART = "intake"
_ANSWER_S = 0.2
_IN_FLIGHT = 8
_WITHIN_S = 3600.0
_WATCHED = 10_000
# Long enough ago for nobody to wait whether a file still grows.
_AN_OLD_TIME = 1_700_000_000
_RULES: Mapping[str, object] = {"name": "in", "rescan_interval": "1h"}


def for_bench(stage: Stage) -> Found:
    recordings, directories = (20_000, 20) if stage.quick else (1_000_000, 1_000)
    return measure(stage.directory, stage.directory / f"tree-{recordings}", recordings, directories, stage.rounds)


def measure(base: Path, tree: Path, recordings: int, directories: int, rounds: int = 3, parts: Sequence[str] = ()) -> Found:
    found = Found()
    if "watched" in parts or not parts:
        found.add(watched(base, _WATCHED))
    if "backlog" in parts or not parts:
        make_tree(tree, recordings, directories)
        found.add(backlog(base, tree, recordings, rounds))
    return found


# --- the tree ------------------------------------------------------------------------------------


def make_tree(root: Path, recordings: int, directories: int) -> None:
    """No two alike. One that is there is taken for what it was made to be."""
    if root.exists():
        return
    root.mkdir(parents=True)
    audio, each = pcm(seconds=0.1), recordings // directories
    for number in range(directories):
        (root / f"{number:04}").mkdir()
        here = os.open(root / f"{number:04}", os.O_RDONLY)
        for call in range(each):
            fields = {**FIELDS, "client_id": f"{number:04}{call:07}"}
            _write(here, f"call-{call:07}.wav", audio)
            _write(here, f"call-{call:07}.json", json.dumps(fields, ensure_ascii=False).encode())
        os.utime(here, (_AN_OLD_TIME, _AN_OLD_TIME))
        os.close(here)


def _write(directory: int, name: str, content: bytes) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=directory)
    os.write(descriptor, content)
    os.utime(descriptor, (_AN_OLD_TIME, _AN_OLD_TIME))
    os.close(descriptor)


def bare_scan_s(root: Path) -> float:
    began, waiting = time.perf_counter(), [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
    return time.perf_counter() - began


# --- a backlog, and the start after it -------------------------------------------------------------


def backlog(base: Path, tree: Path, recordings: int, rounds: int) -> Found:
    found = Found()
    with Service(base, Setting(latency_s=_ANSWER_S)) as service:
        began = time.time()
        with started(base, service, folder=tree, in_flight=_IN_FLIGHT, rules=_RULES) as ours:
            all_in_s = _when(lambda: _counted(ours) >= recordings) - began
            found.figures += _of_backlog(ours, began, all_in_s, recordings)
            ours.rig.stop()
            _all_done(ours.rig.queue_path)
            found.figures.append(_second_start(ours, tree, recordings, rounds))
    return found


def _of_backlog(ours: Ours, began: float, all_in_s: float, recordings: int) -> Iterator[Figure]:
    cpu_ms = 1000 * processes.cpu_s(ours.pid) / recordings
    with closing(_connected(ours.rig.queue_path)) as queue:
        begun = [at / 1e6 - began for (at,) in queue.execute("SELECT started_at FROM attempts ORDER BY 1")]
    meanwhile = [at for at in begun if at <= all_in_s]
    longest_s = max((later - earlier for earlier, later in pairwise(begun)), default=all_in_s)
    possible = _IN_FLIGHT / _ANSWER_S
    rate = len(meanwhile) / (all_in_s - begun[0])
    note = f"{recordings / all_in_s:,.0f} a second, {cpu_ms:.2f} ms of CPU each, uploads and all"
    yield Figure(_PART, f"backlog of {recordings:,}: first upload begins", begun[0], "s", target=at_most(5.0))
    yield Figure(_PART, f"backlog of {recordings:,}: all in the queue", all_in_s, "s", target=at_most(600.0), note=note)
    yield Figure(
        _PART,
        "uploads a second meanwhile",
        rate,
        "",
        possible,
        f"({_IN_FLIGHT} at a time, {1000 * _ANSWER_S:.0f} ms)",
        note=f"longest time without a beginning: {longest_s:.2f} s",
    )
    yield Figure(_PART, f"backlog of {recordings:,}: peak RSS", processes.peak_mb(ours.pid), "MiB", target=at_most(150.0))


def _all_done(queue_path: Path) -> None:
    with closing(sqlite3.connect(queue_path)) as queue, queue:
        queue.execute("DELETE FROM attempts")
        queue.execute(
            "UPDATE jobs SET state = 'done', uid = printf('%064x', id), talk_id = 'talk-' || id, claims = 1,"
            " next_attempt_at = NULL, reason = NULL, updated_at = ?",
            (_AN_OLD_TIME * 10**6,),
        )


def _second_start(ours: Ours, tree: Path, recordings: int, rounds: int) -> Figure:
    """From the program's start to the end of the scan."""
    took_s, bare_s, peak_mb = [], [], 0.0
    for _ in range(rounds):
        if ours.rig.process is not None:
            ours.rig.stop()
        bare_s.append(bare_scan_s(tree))
        before, began = _scanned_at(ours.rig.queue_path), time.time()
        ours.rig.log_path.unlink()
        ours.rig.start()
        _when(lambda: _scanned_at(ours.rig.queue_path) != before)  # noqa: B023 - asked in this round alone
        scanned_at = _scanned_at(ours.rig.queue_path)
        assert scanned_at is not None
        took_s.append(datetime.fromisoformat(scanned_at).timestamp() - began)
        assert ours.rig.process is not None
        peak_mb = max(peak_mb, processes.peak_mb(ours.rig.process.pid))
    return of_rounds(
        _PART,
        f"start with {recordings:,} on record",
        "s",
        took_s,
        bare_s,
        baseline_name="bare scan",
        target=at_most_times(1.2),
        note=f"peak RSS {peak_mb:.0f} MiB",
    )


# --- many directories ------------------------------------------------------------------------------


def watched(base: Path, directories: int) -> Found:
    with Service(base, Setting()) as service, tempfile.TemporaryDirectory(dir=base) as tree:
        for number in range(directories):
            Path(tree, f"{number:05}").mkdir()
        rules = {**_RULES, "metadata_last": True, "detection": "events"}
        with started(base, service, folder=Path(tree), rules=rules) as ours:
            _when(lambda: _scanned_at(ours.rig.queue_path) is not None)
            told = _folder(ours.rig.queue_path)
            assert told["detection"] == "watching", told
            idle_mb = processes.peak_mb(ours.pid)
            last = max(Path(tree).iterdir())
            (last / "call.wav").write_bytes(pcm(seconds=1))
            (last / "new").write_text(json.dumps(FIELDS))
            (last / "new").rename(last / "call.json")
            renamed_at = time.time()
            _when(lambda: _counted(ours) == 1)
            with closing(_connected(ours.rig.queue_path)) as queue:
                (created_us,) = queue.execute("SELECT created_at FROM jobs").fetchone()
            what = f"{directories:,} directories watched"
            figures = [
                Figure(_PART, f"{what}: READY", ours.ready_after_s, "s"),
                Figure(_PART, f"{what}: peak RSS", idle_mb, "MiB"),
                Figure(_PART, f"{what}: from the last one's rename to a job", 1000 * (created_us / 1e6 - renamed_at), "ms"),
            ]
    return Found(figures)


# --- asking ----------------------------------------------------------------------------------------


def _when(reached: Callable[[], bool]) -> float:
    until = time.monotonic() + _WITHIN_S
    while not reached():
        assert time.monotonic() < until, f"not in {_WITHIN_S:.0f} s"
        time.sleep(0.05)
    return time.time()


def _connected(queue_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{queue_path.as_uri()}?mode=ro", uri=True)


def _counted(ours: Ours) -> int:
    with closing(_connected(ours.rig.queue_path)) as queue:
        return int(queue.execute("SELECT coalesce(sum(n), 0) FROM counts").fetchone()[0])


def _folder(queue_path: Path) -> dict[str, str | None]:
    with closing(_connected(queue_path)) as queue:
        found = queue.execute("SELECT value FROM runtime WHERE key = 'folder:in'").fetchone()
    told: dict[str, str | None] = json.loads(found[0]) if found else {}
    return told


def _scanned_at(queue_path: Path) -> str | None:
    return _folder(queue_path).get("scanned_at")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How the intake stands a million recordings.")
    parser.add_argument("recordings", type=int, nargs="?", default=1_000_000)
    parser.add_argument("directories", type=int, nargs="?", default=1_000)
    parser.add_argument("--tree", type=Path, help="is made if it is not there, and stays")
    parser.add_argument("--parts", default="", help="some of watched,backlog; both")
    parser.add_argument("--rounds", type=int, default=3, help="of the start and the bare scan in turn")
    options = parser.parse_args(arguments)
    processes.forget_malloc()
    with tempfile.TemporaryDirectory(prefix="scale-") as base:
        parts = tuple(filter(None, options.parts.split(",")))
        tree = options.tree or Path(base, "tree")
        found = measure(Path(base), tree, options.recordings, options.directories, options.rounds, parts)
    show(found, Console(width=150))
    return 1 if missed(found.figures) else 0


if __name__ == "__main__":
    sys.exit(main())
