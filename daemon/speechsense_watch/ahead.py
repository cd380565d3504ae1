"""Small recordings that are read before there is a place for them on the line: until one is sent nothing is on record of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from speechsense_watch.attempt import Whole
from speechsense_watch.core.model import Job

# So many are read ahead, or as many as there are places.
MOST_AHEAD = 8


class Ahead:
    """Belongs to the uploader's thread."""

    def __init__(self) -> None:
        # None as long as it is being read.
        self._wholes: dict[int, Whole | None] = {}

    def __len__(self) -> int:
        return len(self._wholes)

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._wholes

    def begin(self, job: Job) -> None:
        """It is being read."""
        self._wholes[job.id] = None

    def read(self, whole: Whole) -> None:
        self._wholes[whole.job.id] = whole

    def over(self, job_id: int) -> None:
        """It is not ahead of anything any more."""
        self._wholes.pop(job_id, None)

    def take(self, most: int) -> Sequence[Whole]:
        """The first that have been read: they are sent now."""
        return self._drop([whole for whole in self._wholes.values() if whole is not None][:most])

    def lay_aside(self, which: Callable[[Job], bool]) -> Sequence[Whole]:
        """What has been read of these is not to be sent for now."""
        return self._drop([whole for whole in self._wholes.values() if whole is not None and which(whole.job)])

    def _drop(self, wholes: Sequence[Whole]) -> Sequence[Whole]:
        for whole in wholes:
            del self._wholes[whole.job.id]
        return wholes
