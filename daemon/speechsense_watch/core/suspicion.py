"""What a suspicious start means: the queue was lost or is older than the journal, so it does not tell all that was sent.

Each such start has a number `k` and a time. Whatever was recorded before that time may have been sent by a try of which
nothing is on record any more; those tries are taken to have had the numbers up to 32 * k, and none of them is used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from speechsense_watch.core.model import Half, Job, Problem
from speechsense_watch.core.reasons import Reason

# So many tries a recording may have had that no record tells of. Each is asked for by a look-up.
TRIES_APART = 32
_ROOM = TRIES_APART // 2

MAYBE_SENT = Problem(
    Reason.MAYBE_SENT_BEFORE,
    "The queue was lost or put back from a copy after this was recorded, so it may have been sent before.",
)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The latest suspicious start."""

    k: int
    at: datetime

    def doubts(self, job: Job | None, audio: Half | None) -> bool:
        """Whether it may have been sent before that start, which has not been asked of this job yet (None: there is no row).

        The audio's mtime decides: who sends a recording has it whole, so nothing that was sent then is younger, unless somebody
        touched it. The ctime, and the time of the row, tell when the file came to this disk: a tree that was copied to a new one
        is new by both, and all of it may have been sent from the old one.
        """
        asked = job is not None and job.doubted >= self.k
        return not asked and audio is not None and audio.stamp.mtime_ns < self.at.timestamp() * 1e9

    def tries(self, claims: int) -> int:
        """The number of the last try that may have been made. The row of a restored queue tells of those before the copy, however
        many they were: there has to be room for those that may have followed.
        """
        reserved = TRIES_APART * self.k
        return reserved if claims + _ROOM <= reserved else claims + TRIES_APART
