"""What was measured with, and on what: a figure means nothing without."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def about(directory: Path) -> dict[str, object]:
    """Of this interpreter and machine, and of the file system on which `directory` lies."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "speechsense-watch": version("speechsense-watch"),
            "commit": _commit(),
            "python": platform.python_version(),
            "grpcio": version("grpcio"),
            "protobuf": version("protobuf"),
            "sqlite": sqlite3.sqlite_version,
            "kernel": platform.release(),
        },
        "machine": {
            "cpu": _cpu_model(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
            "file_system": _file_system(directory),
        },
    }


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else platform.machine()


def _file_system(directory: Path) -> str:
    done = subprocess.run(["df", "--output=fstype", directory], capture_output=True, text=True, check=False)
    return done.stdout.split()[-1] if done.returncode == 0 else ""


def _commit() -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
