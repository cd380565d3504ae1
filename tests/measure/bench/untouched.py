"""Memory that nobody touches. On some virtual machines whoever touches it again pays for that, in processor time of his own, and
the more the longer it lay: what is done seldom costs many times there what it costs when it is done all the time.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from measure.bench.figures import Figure

_PAGES = 1024
_READ_EVERY_S = 0.1
# Larger ranges are addresses that were reserved and are not used.
_MOST_BYTES = 64 * 2**20


def figure(part: str, seconds: float) -> Figure:
    """How this machine is in that respect."""
    first_us, again_us = touched_after(seconds)
    return Figure(part, f"this machine: to touch a page that lay for {seconds:g} s", first_us, "us", again_us, "once more")


def new_page(part: str) -> Figure:
    with mmap.mmap(-1, _PAGES * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE) as memory:
        return Figure(part, "this machine: a new page of memory", _touch(memory, write=True), "us")


def touched_after(seconds: float) -> tuple[float, float]:
    """Microseconds of processor time for a page that was left alone for so long, and for the same once more at once."""
    with mmap.mmap(-1, _PAGES * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE) as memory:
        _touch(memory, write=True)
        time.sleep(seconds)
        return _touch(memory), _touch(memory)


def _touch(memory: mmap.mmap, *, write: bool = False) -> float:
    began = time.thread_time()
    for offset in range(0, len(memory), mmap.PAGESIZE):
        if write:
            memory[offset] = 1
        else:
            memory[offset]
    return 1e6 * (time.thread_time() - began) / _PAGES


@contextmanager
def kept_at_hand(pid: int) -> Iterator[None]:
    """Some times a second all memory of this child is read, by us, so that it is never left alone for long.

    Raises PermissionError when that is not allowed.
    """
    read_once(pid)
    over = threading.Event()

    def read_again_and_again() -> None:
        while not over.wait(_READ_EVERY_S):
            with suppress(OSError):  # it has ended
                read_once(pid)

    reader = threading.Thread(target=read_again_and_again)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def read_once(pid: int) -> int:
    """All of this child's memory; returns how many bytes (proc_pid_mem(5)). Raises PermissionError when that is not allowed."""
    count = 0
    with Path(f"/proc/{pid}/maps").open(encoding="utf-8") as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            addresses, permissions, *_ = line.split()
            begin, end = (int(each, 16) for each in addresses.split("-"))
            if permissions.startswith("r") and end - begin <= _MOST_BYTES:
                with suppress(OSError, OverflowError):  # what the kernel itself put there is not read in this way
                    memory.seek(begin)
                    count += len(memory.read(end - begin))
    return count
