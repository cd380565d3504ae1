"""One place: what lies there, what the queue says of it, and the edge that brings the two together.

`Places.examine` is asked for every hint, every due look and every name a scan finds. It looks (lstat), decides by
`core.pairing` whether the files have been left alone, reads them by `recording.examine` when they have, and applies one or
two edges of `core.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from speechsense_watch.core import edges, lifecycle, pairing
from speechsense_watch.core.model import Half, Job, Place, Problem, Recording, Sighting, State
from speechsense_watch.core.pairing import Track
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.log import Event, Log
from speechsense_watch.past import Look, Past
from speechsense_watch.ports import NO_SOURCES, Arrival, Clock, Files, FileTrouble, FileTroubleKind, Queue, Sources, Stale
from speechsense_watch.recording import Fate, Finding, Fit, Reader, Unfit
from speechsense_watch.roots import Roots

_STOPPED = frozenset({State.REFUSED, State.UNUSABLE, State.SKIPPED, State.LOST})
_UNFINISHED = {Reason.HEADER_UNFINISHED: Reason.NEVER_FINISHED, Reason.SHORTER_THAN_HEADER: Reason.TRUNCATED}
_LOGGED = {
    State.READY: Event.RECORDING_READY,
    State.WAITING: Event.RECORDING_WAITING,
    State.UNUSABLE: Event.RECORDING_UNUSABLE,
    State.SKIPPED: Event.RECORDING_SKIPPED,
    State.LOST: Event.RECORDING_LOST,
}
UNREADABLE_AGAIN_S = 30.0
# Exchanges hold records back for a while (`batch=yes` in cdr.conf), or a database is away for a night.
_LATE_RECORDS = timedelta(days=1)
# So many recordings are entered in one write at most: each write waits for the disk.
_MOST_TOGETHER = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one look. `left_alone`: older than `start_from`, so there is no row. `new`: first seen just now."""

    again_in_s: float | None = None
    left_alone: bool = False
    new: bool = False


@dataclass(slots=True)
class Places:
    """Examines places of one folder. Called on the intake's thread only."""

    rules: Folder
    files: Files
    queue: Queue
    clock: Clock
    log: Log
    roots: Roots
    # When this folder was first watched, or the date in the rules; None takes recordings of any age.
    start_from: datetime | None
    local: bool
    ready: Callable[[], None]
    sources: Sources = NO_SOURCES
    _tracks: dict[str, Track] = field(default_factory=dict)
    # Recordings found complete that are not in the queue yet, by place.
    _arrivals: dict[str, Arrival] = field(default_factory=dict)
    _past: Past = field(init=False)
    _reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = Reader(self.files, self.rules, self.sources)
        self._past = Past(self.files, self.clock, self._apply)

    def examine(self, place: str) -> Seen:
        """The job of this place is as far as what lies there allows, or will be with the next `flush`."""
        if place in self._arrivals:
            self.flush()
        look = self._look(place)
        job = self._job_of(look)
        try:
            return self._examine(look, job)
        except Stale:
            return Seen(again_in_s=1.0)  # a command changed the row just now

    def _job_of(self, look: Look) -> Job | None:
        """The row of the place; else that of a metadata file which waits for this audio."""
        paths = [look.place] if look.metadata_path is None else [look.place, look.metadata_path]
        found = self.queue.at_places(self.rules.name, paths)
        if look.place in found or look.metadata_path is None:
            return found.get(look.place)
        orphan = found.get(look.metadata_path)
        return orphan if orphan is not None and orphan.audio_path is None and orphan.state is not State.DONE else None

    # --- looking -----------------------------------------------------------------------------

    def _look(self, place: str) -> Look:
        look = Look(place, None)
        look.audio = self._sighting(place, look)
        found: dict[str, Sighting] = {}

        def is_there(path: str) -> bool:
            sighting = self._sighting(path, look)
            if sighting is not None:
                found[path] = sighting
            return sighting is not None or look.trouble is not None

        look.metadata_path = pairing.metadata_path(self.rules, place, is_there)
        look.metadata = found.get(look.metadata_path or "")
        return look

    def _sighting(self, path: str, look: Look) -> Sighting | None:
        try:
            return self.files.look(path)
        except FileTrouble as trouble:
            if trouble.kind is not FileTroubleKind.GONE:
                look.trouble = trouble
            return None

    def _track(self, path: str, sighting: Sighting) -> Track:
        wall_ns = int(self.clock.now().timestamp() * 1e9)
        track = pairing.follow(self._tracks.get(path), sighting, wall_ns, local=self.local)
        self._tracks[path] = track
        return track

    def _settled(self, look: Look) -> None:
        self._tracks.pop(look.place, None)
        if look.metadata_path is not None:
            self._tracks.pop(look.metadata_path, None)

    # --- deciding ----------------------------------------------------------------------------

    def _examine(self, look: Look, job: Job | None) -> Seen:
        if look.trouble is not None:
            problem = Problem(Reason.UNREADABLE, f"The directory cannot be searched ({look.trouble.message}).")
            return self._wait(look, job, problem, UNREADABLE_AGAIN_S) if job else Seen(UNREADABLE_AGAIN_S)
        if look.audio is None:
            return self._no_audio(look, job)
        if job is not None and job.state is State.DONE:
            if left_s := self._not_yet_quiet(look, look.audio, job):
                return Seen(left_s)
            job = self._past.finished(look, look.audio, job)
            if job is not None:
                self._settled(look)
                return Seen()
        if job is not None and job.state in _STOPPED:
            job = self._past.stopped(look, job)
            if self._record_has_come(look, look.audio, job):
                came = Problem(Reason.READ_AGAIN, "Its call record has come.")
                job = self._apply(lifecycle.read_anew(job, came, self.clock.now()))
        if job is not None and job.state is not State.WAITING:
            return Seen()
        if job is None and self._older_than_start(look.audio):
            self._settled(look)
            return Seen(left_alone=True)
        return self._candidate(look, look.audio, job)

    def _record_has_come(self, look: Look, audio: Sighting, job: Job) -> bool:
        """A recording that went without its call record, since it had been waited for long enough, and did not do without."""
        lacking = job.state is State.UNUSABLE and job.reason is Reason.METADATA_KEY_LACKING and self.rules.cdr.wanted
        return lacking and self.clock.now() - job.updated_at < _LATE_RECORDS and isinstance(self._read(look, audio, job), Fit)

    def _not_yet_quiet(self, look: Look, audio: Sighting, job: Job) -> float:
        """Seconds until files that are no longer the ones uploaded have been left alone: only then they can be judged."""
        pairs = ((look.place, audio, job.audio), (look.metadata_path, look.metadata, job.metadata))
        changed = [(path, seen) for path, seen, known in pairs if path and seen and known and seen.stamp != known.stamp]
        if job.gone_at is not None or not changed:
            return 0.0
        return max(pairing.quiet_left_s(self._track(path, seen), self.rules.quiet_period_s) for path, seen in changed)

    def left_alone(self, directory: str, names: Sequence[str]) -> frozenset[str]:
        """Those of these audio names, none of which has a row, that are older than `start_from`."""
        if self.start_from is None:
            return frozenset()
        try:
            found = self.files.mtimes_ns(directory, names)
        except FileTrouble:
            return frozenset()  # looked at singly, each has its trouble told
        start_ns = self.start_from.timestamp() * 1e9
        return frozenset(name for name, mtime_ns in found.items() if mtime_ns < start_ns)

    def _older_than_start(self, sighting: Sighting) -> bool:
        return self.start_from is not None and sighting.mtime_ns < self.start_from.timestamp() * 1e9

    def _candidate(self, look: Look, audio: Sighting, job: Job | None) -> Seen:
        new = job is None and look.place not in self._tracks
        tracks = [self._track(look.place, audio)]
        if look.metadata is not None and look.metadata_path is not None:
            tracks.append(self._track(look.metadata_path, look.metadata))
        left_s = max(pairing.quiet_left_s(track, self.rules.quiet_period_s) for track in tracks)
        promised = self.rules.metadata_last and look.metadata is not None
        if left_s > 0 and not promised:
            return self._changing(look, job, left_s, tracks, new=new)
        finding = self._read(look, audio, job)
        if left_s > 0 and not isinstance(finding, Fit):
            # The promise that metadata comes last was not kept; then the quiet period decides, as without it.
            return self._changing(look, job, left_s, tracks, new=new)
        finding = self._after_all(finding, tracks)
        seen = self._act(look, job, finding, tracks)
        return Seen(seen.again_in_s, seen.left_alone, new)

    def _changing(self, look: Look, job: Job | None, left_s: float, tracks: list[Track], *, new: bool) -> Seen:
        """Not quiet yet. A row only when it has been so for longer than the quiet period; one that is there is told when
        something did change, not when this is only the first look in a while.
        """
        changed = any(t.since > t.first for t in tracks)
        if job is None:
            tell = changed and any(t.sighting.at - t.first > self.rules.quiet_period_s for t in tracks)
        else:
            both = (job.audio_path is not None, job.metadata_path is not None)
            tell = changed or both != (True, look.metadata is not None)
        if tell:
            self._enter(look, job, Problem(Reason.STILL_CHANGING, "The files are still being written."))
        return Seen(left_s, new=new)

    def _read(self, look: Look, audio: Sighting, job: Job | None) -> Finding:
        for sighting, half in ((audio, "audio"), (look.metadata, "metadata")):
            if sighting is not None and not sighting.regular:
                problem = Problem(Reason.NOT_A_REGULAR_FILE, f"The {half} is {sighting.oddity}, not a regular file.")
                return Unfit(Fate.UNUSABLE, problem, Half(audio.stamp))
        metadata_path = look.metadata_path if look.metadata else None
        return self._reader.examine(look.place, metadata_path, forced=bool(job and job.forced))

    def _after_all(self, finding: Finding, tracks: list[Track]) -> Finding:
        """What it comes to without that for which it has been waited long enough."""
        while isinstance(finding, Unfit) and finding.otherwise is not None:
            record = finding.problem.reason is Reason.CALL_RECORD_MISSING
            patience_s = self.rules.cdr.wait_s if record else self.rules.abandon_after_s
            if self._unchanged_for_s(tracks) < patience_s:
                break
            finding = finding.otherwise
        return finding

    def _act(self, look: Look, job: Job | None, finding: Finding, tracks: list[Track]) -> Seen:
        now = self.clock.now()
        if isinstance(finding, Fit):
            self._complete(look, job, finding.recording)
            self._settled(look)
            return Seen()
        match finding.fate:
            case Fate.GONE:
                return Seen(self.rules.quiet_period_s)
            case Fate.WAIT:
                return self._waits(look, job, finding, tracks)
            case Fate.UNUSABLE:
                waiting = self._enter(look, job, finding.problem)
                self._apply(lifecycle.found_unusable(waiting, finding.problem, now, finding.audio, self._half(look.metadata)))
            case Fate.LEAVE_OUT:
                waiting = self._enter(look, job, finding.problem)
                self._apply(lifecycle.left_out(waiting, finding.problem, now, finding.audio, self._half(look.metadata)))
        self._settled(look)
        return Seen()

    def _complete(self, look: Look, job: Job | None, recording: Recording) -> None:
        """Entered with the next `flush`: in a burst one write to the disk serves many."""
        now = self.clock.now()
        entering = self._entering(look, job, Problem(Reason.READ_AGAIN, "Complete."))
        self._arrivals[look.place] = Arrival(entering, [lambda waiting: lifecycle.completed(waiting, recording, now)])
        if len(self._arrivals) >= _MOST_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """What was found complete is on disk and may be sent. A row that a command changed meanwhile is looked at again by the
        next scan.
        """
        if not self._arrivals:
            return
        arrivals, self._arrivals = list(self._arrivals.values()), {}
        for job in self.queue.apply_each(arrivals):
            if job is not None:
                self._tell(job)
        self.ready()

    def _waits(self, look: Look, job: Job | None, finding: Unfit, tracks: list[Track]) -> Seen:
        abandoned = _UNFINISHED.get(finding.problem.reason)
        if abandoned is not None and self._unchanged_for_s(tracks) >= self.rules.abandon_after_s:
            problem = Problem(
                abandoned, f"{finding.problem.message} Nobody has written to it for {self.rules.abandon_after_s:g} s."
            )
            waiting = self._enter(look, job, problem)
            self._apply(lifecycle.found_unusable(waiting, problem, self.clock.now(), finding.audio, self._half(look.metadata)))
            self._settled(look)
            return Seen()
        if finding.problem.reason is Reason.METADATA_MISSING:
            # Its arrival is what is waited for; the audio is looked at again then.
            self._settled(look)
            return self._wait(look, job, finding.problem, None)
        return self._wait(look, job, finding.problem, max(self.rules.quiet_period_s, 1.0))

    def _unchanged_for_s(self, tracks: list[Track]) -> float:
        """By our own looks, or by the file's times where those of its file system can be believed."""
        seen_s = min(track.sighting.at - track.since for track in tracks)
        if not self.local:
            return seen_s
        newest_ns = max(max(track.sighting.mtime_ns, track.sighting.ctime_ns) for track in tracks)
        return max(seen_s, self.clock.now().timestamp() - newest_ns / 1e9)

    # --- rows --------------------------------------------------------------------------------

    def _wait(self, look: Look, job: Job | None, problem: Problem, again_in_s: float | None) -> Seen:
        self._enter(look, job, problem)
        return Seen(again_in_s)

    def _enter(self, look: Look, job: Job | None, problem: Problem) -> Job:
        """A waiting row for the place, new or as it was, with this reason."""
        entering = self._entering(look, job, problem)
        return entering if isinstance(entering, Job) else self._apply(entering)

    def _entering(self, look: Look, job: Job | None, problem: Problem) -> edges.Change | Job:
        """What makes the row or brings it to this reason; the row itself when it is there with it."""
        audio_path = look.place if look.audio else None
        metadata_path = look.metadata_path if look.metadata else None
        place = Place(self.rules.name, audio_path or metadata_path or look.place)
        now = self.clock.now()
        if job is None:
            return lifecycle.found(self._fresh(look, place, audio_path, metadata_path, problem), now)
        same = (job.reason, job.message, job.place, job.audio_path, job.metadata_path)
        if same == (problem.reason, problem.message, place, audio_path, metadata_path):
            return job
        return lifecycle.still_waiting(job, problem, now, place=place, audio_path=audio_path, metadata_path=metadata_path)

    def _fresh(self, look: Look, place: Place, audio: str | None, metadata: str | None, problem: Problem) -> Job:
        sighting = look.audio or look.metadata
        mtime_ns = sighting.mtime_ns if sighting else 0
        now = self.clock.now()
        return Job(
            id=0,
            state=State.WAITING,
            place=place,
            audio_path=audio,
            metadata_path=metadata,
            connection_id=self.rules.connection_id,
            created_at=now,
            updated_at=now,
            recorded_at=_time_of(mtime_ns),
            reason=problem.reason,
            message=problem.message,
        )

    def _apply(self, change: edges.Change) -> Job:
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

    def _half(self, sighting: Sighting | None) -> Half | None:
        return Half(sighting.stamp) if sighting else None

    def release(self, duplicate: Job) -> None:
        """The job it was a duplicate of has ended without a talk id: this one is read anew."""
        problem = Problem(Reason.READ_AGAIN, "The job it was a duplicate of was not uploaded.")
        self._apply(lifecycle.read_anew(duplicate, problem, self.clock.now()))

    # --- places with a past ------------------------------------------------------------------

    def _no_audio(self, look: Look, job: Job | None) -> Seen:
        self._tracks.pop(look.place, None)
        if job is not None and job.audio_path is not None:
            return self._gone(look, job)
        if look.metadata is None or look.metadata_path is None:
            self._settled(look)
            return self._gone(look, job) if job is not None else Seen()
        if job is None and self._older_than_start(look.metadata):
            return Seen()
        track = self._track(look.metadata_path, look.metadata)
        if left_s := pairing.quiet_left_s(track, self.rules.quiet_period_s):
            return Seen(left_s)
        if job is None or job.state is State.WAITING:
            self._enter(look, job, Problem(Reason.AUDIO_MISSING, "There is metadata, but no audio yet."))
        self._tracks.pop(look.metadata_path, None)
        return Seen()

    def _gone(self, look: Look, job: Job) -> Seen:
        if not self.roots.gone_counts():
            return Seen()
        now = self.clock.now()
        self._settled(look)
        if job.state is State.DONE and job.gone_at is None:
            self._apply(lifecycle.seen_gone(job, now))
        elif job.state in (State.WAITING, State.READY):
            self._apply(lifecycle.vanished(job, now))
        elif job.state is State.UNUSABLE:
            # Whoever removes a file that could not be used has dealt with it.
            anew = self._apply(lifecycle.read_anew(job, Problem(Reason.READ_AGAIN, "The files were removed."), now))
            self._apply(lifecycle.vanished(anew, now))
        return Seen()


def _time_of(mtime_ns: int) -> datetime:
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime(1970, 1, 1, tzinfo=UTC)  # a file system that holds nonsense
