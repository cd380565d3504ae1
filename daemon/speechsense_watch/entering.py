"""The rows of one folder's places: made, moved along and told of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.model import Half, Job, Place, Problem, Recording, Sighting, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.log import Event, Log
from speechsense_watch.past import Look
from speechsense_watch.ports import Arrival, Clock, Queue

_LOGGED = {
    State.READY: Event.RECORDING_READY,
    State.WAITING: Event.RECORDING_WAITING,
    State.UNUSABLE: Event.RECORDING_UNUSABLE,
    State.SKIPPED: Event.RECORDING_SKIPPED,
    State.LOST: Event.RECORDING_LOST,
}
# So many recordings are entered in one write at most: each write waits for the disk.
_MOST_TOGETHER = 500


@dataclass(slots=True)
class Entering:
    """Writes what was found. Called on the intake's thread only; `ready`: something may be sent."""

    rules: Folder
    queue: Queue
    clock: Clock
    log: Log
    ready: Callable[[], None]
    # Recordings found complete that are not in the queue yet, by place.
    _arrivals: dict[str, Arrival] = field(default_factory=dict)

    # --- complete ------------------------------------------------------------------------------

    def complete(self, look: Look, job: Job | None, recording: Recording) -> None:
        """Entered with the next `flush`: in a burst one write to the disk serves many."""
        now = self.clock.now()
        entering = self._entering(look, job, Problem(Reason.READ_AGAIN, "Complete."))
        then = [lambda waiting: lifecycle.completed(waiting, recording, now)]
        self._arrivals[look.place] = Arrival(entering, then, free=look.free)
        if len(self._arrivals) >= _MOST_TOGETHER:
            self.flush()

    def has_yet_to(self, place: str) -> bool:
        """Whether it was found complete and not yet entered."""
        return place in self._arrivals

    def flush(self) -> None:
        """What was found complete is on disk and may be sent. A row that a command changed meanwhile is looked at again by the
        next scan.
        """
        if not self._arrivals:
            return
        arrivals, self._arrivals = list(self._arrivals.values()), {}
        jobs = self.queue.apply_each(arrivals)
        self.ready()
        for job in jobs:
            if job is not None:
                self._tell(job)

    # --- everything else -----------------------------------------------------------------------

    def wait(self, look: Look, job: Job | None, problem: Problem) -> Job:
        """A waiting row for the place, new or as it was, with this reason."""
        entering = self._entering(look, job, problem)
        return entering if isinstance(entering, Job) else self.apply(entering)

    def unusable(self, look: Look, job: Job | None, problem: Problem, audio: Half | None) -> None:
        waiting = self.wait(look, job, problem)
        self.apply(lifecycle.found_unusable(waiting, problem, self.clock.now(), audio, _half(look.metadata)))

    def leave_out(self, look: Look, job: Job | None, problem: Problem, audio: Half | None) -> None:
        waiting = self.wait(look, job, problem)
        self.apply(lifecycle.left_out(waiting, problem, self.clock.now(), audio, _half(look.metadata)))

    def gone(self, job: Job) -> None:
        """Its place is empty, and that counts."""
        now = self.clock.now()
        if job.state is State.DONE and job.gone_at is None:
            self.apply(lifecycle.seen_gone(job, now))
        elif job.state in (State.WAITING, State.READY):
            self.apply(lifecycle.vanished(job, now, self.queue.suspicion()))
        elif job.state is State.UNUSABLE:
            # Whoever removes a file that could not be used has dealt with it.
            anew = self.apply(lifecycle.read_anew(job, Problem(Reason.READ_AGAIN, "The files were removed."), now))
            self.apply(lifecycle.vanished(anew, now))

    def apply(self, change: edges.Change) -> Job:
        job = self.queue.apply(change)
        if change.event is edges.Event.CHANGED_AFTER_UPLOAD:
            self.log.warning(Event.CHANGED_AFTER_UPLOAD, job=job.id, folder=job.place.folder)
        elif change.before is None or change.before.state is not job.state:
            self._tell(job)
        return job

    def _tell(self, job: Job) -> None:
        if job.state is State.WAITING and job.reason in (Reason.READ_AGAIN, Reason.STILL_CHANGING):
            return
        if (event := _LOGGED.get(job.state)) is not None:
            say = self.log.warning if job.state in (State.UNUSABLE, State.LOST) else self.log.info
            say(event, job=job.id, folder=job.place.folder, reason=job.reason)

    def _entering(self, look: Look, job: Job | None, problem: Problem) -> edges.Change | Job:
        """What makes the row or brings it to this reason; the row itself when it is there with it."""
        now = self.clock.now()
        if job is None:
            return lifecycle.found(self._fresh(look, problem, now), now)
        place, audio_path, metadata_path = self._paths(look)
        same = (job.reason, job.message, job.place, job.audio_path, job.metadata_path)
        if same == (problem.reason, problem.message, place, audio_path, metadata_path):
            return job
        return lifecycle.still_waiting(job, problem, now, place=place, audio_path=audio_path, metadata_path=metadata_path)

    def _paths(self, look: Look) -> tuple[Place, str | None, str | None]:
        audio = look.place if look.audio else None
        metadata = look.metadata_path if look.metadata else None
        return Place(self.rules.name, audio or metadata or look.place), audio, metadata

    def _fresh(self, look: Look, problem: Problem, now: datetime) -> Job:
        place, audio, metadata = self._paths(look)
        sighting = look.audio or look.metadata
        return Job(
            id=0,
            state=State.WAITING,
            place=place,
            audio_path=audio,
            metadata_path=metadata,
            connection_id=self.rules.connection_id,
            created_at=now,
            updated_at=now,
            recorded_at=_time_of(sighting.mtime_ns if sighting else 0),
            reason=problem.reason,
            message=problem.message,
        )


def _half(sighting: Sighting | None) -> Half | None:
    return Half(sighting.stamp) if sighting else None


def _time_of(mtime_ns: int) -> datetime:
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime(1970, 1, 1, tzinfo=UTC)  # a file system that holds nonsense
