"""Children that speak JSON lines, and what the kernel tells of a process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Freed memory is kept for the next message instead of being given back to the kernel and faulted in again: twice the rate.
GOOD_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}


def environment(*, good_malloc: bool = False) -> dict[str, str]:
    """Ours, with our own way to find modules."""
    found = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return {**os.environ, **found, **(GOOD_MALLOC if good_malloc else {})}


def forget_malloc() -> None:
    """Settings of the allocator that happen to be in our environment reach no child."""
    for name in GOOD_MALLOC:
        os.environ.pop(name, None)


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


class Child:
    """Its input is its life line: it ends when that is closed."""

    def __init__(self, command: list[str], *, good_malloc: bool = False) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(good_malloc=good_malloc)
        )

    def line(self) -> dict[str, Any]:
        """Raises AssertionError when it ended instead."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        assert text, f"{self._process.args!r} ended with {self._process.wait()}"
        told: dict[str, Any] = json.loads(text)
        return told

    def ask(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self.line()

    def end(self) -> None:
        self._process.communicate(timeout=30)


# --- what the kernel tells -----------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """User and system time of all its threads, to the nanosecond: /proc tells hundredths of a second."""
    # How the kernel names the CPU clock of another process: clock_getcpuclockid(3), which Python does not have.
    return time.clock_gettime((~pid << 3) | 2)


def peak_mb(pid: int) -> float:
    """The most memory that was resident at a time."""
    return _number(Path(f"/proc/{pid}/status"), "VmHWM") / 1024


def switches(pid: int) -> int:
    """How often its threads went to sleep by themselves: as often they woke up."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(_number(task / "status", "voluntary_ctxt_switches") for task in tasks)


def written_bytes(pid: int) -> int:
    """What it made the file systems write, or will."""
    return _number(Path(f"/proc/{pid}/io"), "write_bytes")


def _number(path: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+([0-9]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{path} does not tell {name}"
    return int(found[1])
