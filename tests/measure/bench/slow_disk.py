"""A disk that takes 10 ms longer for each fsync, as a worn one does: a few lines of C between a program and its library."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

DELAY_MS = 10
_SOURCE = f"""\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
typedef int (*sync_call)(int);
int fsync(int fd) {{ usleep({DELAY_MS * 1000}); return ((sync_call) dlsym(RTLD_NEXT, "fsync"))(fd); }}
int fdatasync(int fd) {{ usleep({DELAY_MS * 1000}); return ((sync_call) dlsym(RTLD_NEXT, "fdatasync"))(fd); }}
"""


def environment(directory: Path) -> dict[str, str] | None:
    """What makes a program's disk slow; None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = directory / "slow_disk.c", directory / "slow_disk.so"
    source.write_text(_SOURCE, encoding="ascii")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}
