"""Where the parts play: a directory for all of them, the recordings they share, and how often each is measured."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from measure.bench.recordings import Recordings, Size, make


@dataclass(slots=True)
class Stage:
    directory: Path
    rounds: int = 3
    # Fewer cases, and fewer of all: to see that it works, not to go by.
    quick: bool = False
    # Of the throughput only the cases with this word in their names, and nothing beside them; all when it is empty.
    cases: str = ""
    _pools: dict[Size, Recordings] = field(default_factory=dict)

    def recordings(self, size: Size, count: int) -> Recordings:
        """That many in a directory of their own. The same files stand behind all of a size: they are made once."""
        count = max(min(2, count), count // 4) if self.quick else count
        directory = self.directory / f"{size.name.replace(' ', '')}-{count}"
        if directory.exists():
            return Recordings(directory, size, count)
        pool = self._pool(size, count)
        directory.mkdir()
        wanted = Recordings(directory, size, count)
        for number in range(count):
            os.link(pool.audio(number), wanted.audio(number))
            os.link(pool.metadata(number), wanted.metadata(number))
        return wanted

    def _pool(self, size: Size, count: int) -> Recordings:
        pool = self._pools.get(size)
        if pool is None or pool.count < count:
            self.say(f"makes {count} {size.name} recordings")
            pool = self._pools[size] = make(self.directory / f"pool-{size.name.replace(' ', '')}-{count}", size, count)
        return pool

    def say(self, text: str) -> None:
        """What is going on, for those who wait; the figures are the only thing on the standard output."""
        sys.stderr.write(f"bench: {text}\n")
