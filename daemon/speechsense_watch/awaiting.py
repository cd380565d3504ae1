"""Which of the attempts under way hold a place, and which only wait for an answer and gave theirs up.

A recording that was sent whole costs neither line nor processor while its answer is out, and it may be out for long: to end
such a wait early makes an unknown outcome of it. So after a minute the next recording is sent beside it. Were the places kept,
four calls that a service never answers would stop all others for ten minutes, however well it answers those. What is still
being sent keeps its place: it is ended when nothing of it is taken for two minutes, and then waits its turn again.
"""

from __future__ import annotations

from collections.abc import Collection

from speechsense_watch.core.model import State
from speechsense_watch.ports import Clock, Queue

KEEPS_PLACE_S = 60.0


class Awaiting:
    """Asked before attempts are begun; on the uploader's thread."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        # When each was first seen under way, and when first with nothing left to send (monotonic seconds).
        self._seen_at: dict[int, float] = {}
        self._sent_at: dict[int, float] = {}

    def let_off(self, in_work: Collection[int], concurrency: int) -> int:
        """How many do not count against `concurrency`. No more than there are places, so that what is under way is bounded by
        twice as many.
        """
        now = self._clock.monotonic()
        self._seen_at = {job_id: self._seen_at.get(job_id, now) for job_id in in_work}
        self._sent_at = {job_id: at for job_id, at in self._sent_at.items() if job_id in in_work}
        # Rows are read only of what has been under way for long.
        for job_id, at in self._seen_at.items():
            if now - at >= KEEPS_PLACE_S and job_id not in self._sent_at and self._sent_whole(job_id):
                self._sent_at[job_id] = now
        return min(concurrency, sum(now - at >= KEEPS_PLACE_S for at in self._sent_at.values()))

    def still_sending(self, job_id: int) -> bool:
        """Under way for a minute, and it has not been sent whole."""
        at = self._seen_at.get(job_id)
        return at is not None and self._clock.monotonic() - at >= KEEPS_PLACE_S and not self._sent_whole(job_id)

    def _sent_whole(self, job_id: int) -> bool:
        job = self._queue.job(job_id)
        return job is not None and job.state is State.COMMITTING
