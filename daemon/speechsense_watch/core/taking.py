"""Which recordings may be begun beside those that are under way: the big ones leave a place to the small, and one that may
have killed the daemon goes last and alone.

Nobody knows which of the recordings in hand a death was about, so each is counted one more. An innocent one is cleared by the
first try that the daemon outlives; the guilty one harms nobody but itself from the third time on, and is never given up.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from speechsense_watch.core.model import Job

# Deaths in a row. The schema's index `suspects` has the number written out.
SUSPECT_AFTER = 3
# So long a suspect that is due waits for a moment without other work; then none is begun until it had its turn.
PATIENCE = timedelta(hours=1)
# A four-hour call is 461 MB and takes an hour at 1 Mbit/s; one of ten minutes has this size and takes two minutes.
BIG_ABOVE_BYTES = 16 * 2**20


def is_suspect(job: Job) -> bool:
    return job.deaths >= SUSPECT_AFTER


def is_big(job: Job) -> bool:
    return job.audio is not None and job.audio.stamp.size > BIG_ABOVE_BYTES


def probe_turn(job: Job) -> datetime:
    """The earliest is probed with first: what nobody has touched for longest. A big one comes an hour later, since all others
    wait for the end of a probe; it comes all the same, in case the small ones are refused for a reason of theirs.
    """
    return job.updated_at + (PATIENCE if is_big(job) else timedelta(0))


class Turn(StrEnum):
    ORDINARY = "ordinary"
    SUSPECT = "suspect"
    NOBODY = "nobody"  # what is under way ends first


@dataclass(frozen=True, slots=True)
class Hands:
    """The recordings in work: those on their way, of at most `places`, and small ones read `ahead`, so that as soon as a place
    is free there is something to put there.
    """

    jobs: Collection[Job]
    places: int
    ahead: int = 0
    most_ahead: int = 0

    @property
    def free(self) -> int:
        """Places for one that is sent as it is read."""
        return max(0, self.places - (len(self.jobs) - self.ahead))

    @property
    def room(self) -> int:
        """How many more may be begun, if they can all be read ahead."""
        return max(0, self.places + self.most_ahead - len(self.jobs))

    @property
    def free_for_big(self) -> int:
        """One place is not for big ones, so that whatever they take, a small one waits for small ones only. With a single
        place that cannot be had.
        """
        return min(self.free, self._left_for_big)

    @property
    def _left_for_big(self) -> int:
        return max(1, self.places - 1) - sum(map(is_big, self.jobs))

    @property
    def most_bytes(self) -> int | None:
        """How big the next one may be; None: of any size."""
        return BIG_ABOVE_BYTES if self._left_for_big <= 0 else None

    def admits(self, job: Job, *, ahead: bool = False) -> bool:
        """Whether it may be begun; `ahead`: as one that is read ahead."""
        return self.room > 0 if ahead else self.free > 0 and (self.free_for_big > 0 or not is_big(job))

    def turn(self, suspect: Job | None, *, ordinary_due: bool, now: datetime) -> Turn:
        """Whose turn it is. `suspect` is the one that has been due for longest, if one is."""
        if any(map(is_suspect, self.jobs)):
            return Turn.NOBODY
        if suspect is None:
            return Turn.ORDINARY
        if self.jobs:
            return Turn.NOBODY if patience_over(suspect, now) else Turn.ORDINARY
        return Turn.ORDINARY if ordinary_due and not patience_over(suspect, now) else Turn.SUSPECT


def patience_over(suspect: Job, now: datetime) -> bool:
    return now - (suspect.next_attempt_at or suspect.updated_at) >= PATIENCE
