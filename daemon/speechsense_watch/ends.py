"""Attempts that are over, from the moment they are handed back until what became of them is on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from speechsense_watch.attempt import Ended
from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.lifecycle import Backoff
from speechsense_watch.core.model import IN_FLIGHT, Job, State
from speechsense_watch.core.rules import AfterUpload, Folder, UploadRules
from speechsense_watch.core.verdict import Outcome, judge
from speechsense_watch.log import Event, Log
from speechsense_watch.ports import Arrival, Chance, Clock, Queue, Stale


@dataclass(slots=True)
class End:
    """An attempt that is over, and the row once its outcome is in it."""

    ended: Ended
    recorded: Job | None = None


class Ends:
    """Belongs to the uploader's thread. What cannot be recorded stays `in_hand`, in its order, until it is."""

    def __init__(self, queue: Queue, clock: Clock, chance: Chance, log: Log) -> None:
        self._queue = queue
        self._clock = clock
        self._chance = chance
        self._log = log
        self._rules = UploadRules()
        self._folders: Mapping[str, Folder] = {}
        self.in_hand: list[End] = []

    def configure(self, rules: UploadRules, folders: Mapping[str, Folder]) -> None:
        self._rules, self._folders = rules, folders

    @property
    def backoff(self) -> Backoff:
        return Backoff(
            initial_s=self._rules.retry_initial_s,
            max_s=self._rules.retry_max_s,
            give_up_after_s=self._rules.give_up_after_s,
        )

    def record_together(self) -> None:
        """The outcomes at hand are on disk, all by one write, but for those of jobs that are not as the attempts left them."""
        now = self._clock.now()
        ends, arrivals = [], []
        for end in self.in_hand:
            if end.ended.outcome is not None and end.recorded is None:
                with suppress(edges.IllegalEdge):
                    finished = self._finished(end.ended.job, end.ended.outcome, now)
                    arrivals.append(Arrival(finished, self._filing(finished.after, now)))
                    ends.append(end)
        for end, job in zip(ends, self._queue.apply_each(arrivals) if arrivals else (), strict=True):
            end.recorded = job

    def row_of(self, end: End, outcome: Outcome) -> Job:
        """The row with the outcome in it, which is recorded by itself if it is not yet, whatever the row is like now: the commit
        mark may have been set since the claim.
        """
        if end.recorded is None:
            end.recorded = self._record(self._queue.job(end.ended.job.id) or end.ended.job, outcome)
        return end.recorded

    def leave_nothing_in_flight(self, job: Job | None) -> None:
        """Nobody works on it any more: as honest as after a crash."""
        if job is not None and job.state in IN_FLIGHT and job.owner is None:
            with suppress(Stale):
                self._queue.apply(lifecycle.recovered(job, self._clock.now()))

    def _record(self, job: Job, outcome: Outcome) -> Job:
        try:
            return self._queue.apply(self._finished(job, outcome, self._clock.now()))
        except (Stale, edges.IllegalEdge):
            # The talk id is nowhere else on record then.
            self._log.warning(Event.ATTEMPT_STALE, job=job.id, state=job.state, talk_id=outcome.talk_id)
            self.leave_nothing_in_flight(self._queue.job(job.id))
            return job

    def _finished(self, job: Job, outcome: Outcome, now: datetime) -> edges.Change:
        return lifecycle.finished(job, outcome, judge(outcome), self.backoff, now, self._chance())

    def _filing(self, job: Job, now: datetime) -> Sequence[Callable[[Job], edges.Change]]:
        """Where the files stay as they are there is nothing to wait for: an accepted recording is done at once."""
        folder = self._folders.get(job.place.folder)
        if job.state is not State.UPLOADED or folder is None or folder.after_upload is not AfterUpload.KEEP:
            return ()
        return (lambda taken: lifecycle.filed(taken, now),)
