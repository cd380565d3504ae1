"""Hashes of big recordings whose turn has not come, made while those before them are on their way.

A recording is named at the service by its hash, so that each turn would begin with a pass over the file, a third of a second for
461 MB, in which nothing is sent. Nothing is on record of what is foreseen, and no file is held open for it. A hash is as good as
one that an earlier try left on the row: for the file as it was found complete, by its stamp.
"""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock

from speechsense_watch.core.model import Job

# Those that have begun may still have to ask when others are foreseen.
_MOST_KEPT = 8


class Foreseen:
    """Any number of threads may ask."""

    def __init__(self) -> None:
        self._hashes: dict[int, tuple[Job, Future[str]]] = {}
        self._lock = Lock()

    def keep(self, job: Job, sha256: Future[str]) -> None:
        """It is being made; empty in the end where it cannot be had."""
        with self._lock:
            self._hashes[job.id] = (job, sha256)
            while len(self._hashes) > _MOST_KEPT:
                del self._hashes[next(iter(self._hashes))]

    def take(self, job: Job) -> str:
        """Waits for it if it is being made, and forgets it; empty where there is none of this file."""
        with self._lock:
            foreseen, sha256 = self._hashes.pop(job.id, (None, None))
        if foreseen is None or sha256 is None or foreseen.audio != job.audio:
            return ""
        return sha256.result()
