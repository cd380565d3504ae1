"""The note of what is in hand: a small file beside the queue, written over in place and never waited for.

A recording may kill the process while it is read and hashed, before there is a claim on disk. A claim costs a wait for the
disk, this note a single pwrite(2): what was written outlives the process in the kernel's page cache, however it is killed. A
power failure may take it away, but that is no recording's doing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

# At most 64 places, 19 digits and a comma each. Always the whole of it, so that no older end shows behind a newer beginning.
_BYTES = 2048


class InHandFile:
    """Keeps `ports.InHand`. The file is `<queue>.in-hand`, mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def holds(self, jobs: Collection[int]) -> None:
        text = json.dumps(sorted(jobs), separators=(",", ":")).encode("ascii")
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.pwrite(descriptor, text.ljust(_BYTES), 0)
            finally:
                os.close(descriptor)

    def left(self) -> frozenset[int] | None:
        try:
            noted = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(noted, list) or not all(type(job) is int and 0 < job < 2**63 for job in noted):
            return None
        return frozenset(noted)
