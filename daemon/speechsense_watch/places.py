"""One place: what lies there, what the queue says of it, and the edge that brings the two together.

`Places.examine` is asked for every hint, every due look and every name a scan finds. It looks (lstat), decides by
`core.pairing` whether the files have been left alone, reads them by `recording.examine` when they have, and applies one or
two edges of `core.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from speechsense_watch.ages import Ages
from speechsense_watch.beginning import Beginning
from speechsense_watch.core import lifecycle, pairing
from speechsense_watch.core.known import still_the_same
from speechsense_watch.core.model import Half, Job, Problem, Sighting, State
from speechsense_watch.core.pairing import Track
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.entering import Entering
from speechsense_watch.log import Log
from speechsense_watch.past import Look, Past
from speechsense_watch.ports import NO_SOURCES, Clock, Files, FileTrouble, FileTroubleKind, Queue, Sources, Stale
from speechsense_watch.recording import Fate, Finding, Fit, Reader, Unfit
from speechsense_watch.roots import Roots

_STOPPED = frozenset({State.REFUSED, State.UNUSABLE, State.SKIPPED, State.LOST})
_UNFINISHED = {Reason.HEADER_UNFINISHED: Reason.NEVER_FINISHED, Reason.SHORTER_THAN_HEADER: Reason.TRUNCATED}
UNREADABLE_AGAIN_S = 30.0
# Exchanges hold records back for a while (`batch=yes` in cdr.conf), or a database is away for a night.
_LATE_RECORDS = timedelta(days=1)
_RECORD_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one look. `left_alone`: older than `start_from`, so there is no row. `new`: audio that was first seen just
    now; `replaced`: it took the place of an earlier recording.
    """

    again_in_s: float | None = None
    left_alone: bool = False
    new: bool = False
    replaced: bool = False


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
    beginning: Beginning = field(init=False)
    _ages: Ages = field(init=False)
    _tracks: dict[str, Track] = field(default_factory=dict)
    _entering: Entering = field(init=False)
    _past: Past = field(init=False)
    _reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.beginning = Beginning(self.start_from, self.rules.start_from == "now", self.clock)
        self._ages = Ages(self.clock)
        self._reader = Reader(self.files, self.rules, self.sources)
        self._entering = Entering(self.rules, self.queue, self.clock, self.log, self.ready)
        self._past = Past(self.files, self.clock, self._entering.apply)

    @contextmanager
    def near(self, directory: str) -> Iterator[Reader]:
        """For looking at many places in one directory, for a short while."""
        with self.files.within(directory) as files:
            yield replace(self._reader, files=files)

    def examine(self, place: str, near: Reader | None = None) -> Seen:
        """The job of this place is as far as what lies there allows, or will be with the next `flush`. With `near` it was seen
        just now that there is no row about it, and it lies in that directory.
        """
        if self._entering.has_yet_to(place):
            self.flush()
        look = self._look(place, near or self._reader)
        job = self._job_of(look) if near is None else None
        look.free = job is None
        try:
            return self._examine(look, job)
        except Stale:
            return Seen(again_in_s=1.0)  # a command changed the row just now

    def flush(self) -> None:
        """What was found complete is on disk and may be sent."""
        self._entering.flush()

    def _job_of(self, look: Look) -> Job | None:
        """The row of the place; else that of a metadata file which waits for this audio."""
        paths = [look.place] if look.metadata_path is None else [look.place, look.metadata_path]
        found = self.queue.at_places(self.rules.name, paths)
        if look.place in found or look.metadata_path is None:
            return found.get(look.place)
        orphan = found.get(look.metadata_path)
        return orphan if orphan is not None and orphan.audio_path is None and orphan.state is not State.DONE else None

    # --- looking -----------------------------------------------------------------------------

    def _look(self, place: str, reader: Reader) -> Look:
        look = Look(place, None, reader)
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
            return look.reader.files.look(path)
        except FileTrouble as trouble:
            if trouble.kind is not FileTroubleKind.GONE:
                look.trouble = trouble
            return None

    def _track(self, path: str, sighting: Sighting) -> Track:
        wall_ns = int(self._ages.now().timestamp() * 1e9)
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
            return self._unsearchable(look, job, look.trouble)
        if look.audio is None:
            return self._no_audio(look, job)
        replaced = False
        if job is not None and job.state is State.DONE:
            if left_s := self._not_yet_quiet(look, look.audio, job):
                return Seen(left_s)
            kept = self._past.finished(look, look.audio, job)
            if kept is not None:
                self._settled(look)
                return Seen()
            replaced, job = job.gone_at is None, None
        if job is not None and job.state in _STOPPED:
            job = self._past.stopped(look, job)
            if self._record_has_come(look, look.audio, job):
                came = Problem(Reason.READ_AGAIN, "Its call record has come.")
                job = self._entering.apply(lifecycle.read_anew(job, came, self.clock.now()))
        if job is not None and job.state is not State.WAITING:
            return Seen(self._record_may_come_s(job))
        if job is None and self._older_than_start(look.audio):
            self._settled(look)
            return Seen(left_alone=True)
        seen = self._candidate(look, look.audio, job)
        return replace(seen, replaced=True) if replaced else seen

    def _unsearchable(self, look: Look, job: Job | None, trouble: FileTrouble) -> Seen:
        """Nothing can be said of what lies there; a job that waits for nothing there is left as it is."""
        if job is not None and job.state is State.WAITING:
            problem = Problem(Reason.UNREADABLE, f"The directory cannot be searched ({trouble.message}).")
            self._entering.wait(look, job, problem)
            return Seen(UNREADABLE_AGAIN_S)
        # Of a directory that can be entered again a scan tells.
        return Seen(UNREADABLE_AGAIN_S if job is None else None)

    def _record_has_come(self, look: Look, audio: Sighting, job: Job) -> bool:
        return self._record_may_come_s(job) is not None and isinstance(self._read(look, audio, job), Fit)

    def _record_may_come_s(self, job: Job) -> float | None:
        """Of a recording that went without its call record, since it had been waited for long enough, and did not do without:
        seconds until it is asked for again, ever more of them; None for all others, and after a day.
        """
        age_s = (self._ages.now() - job.updated_at).total_seconds()
        if job.state is not State.UNUSABLE or job.reason is not Reason.METADATA_KEY_LACKING or not self.rules.cdr.wanted:
            return None
        return max(_RECORD_AGAIN_S, age_s) if age_s < _LATE_RECORDS.total_seconds() else None

    def _not_yet_quiet(self, look: Look, audio: Sighting, job: Job) -> float:
        """Seconds until files that are no longer the ones uploaded have been left alone: only then they can be judged."""
        pairs = ((look.place, audio, job.audio), (look.metadata_path, look.metadata, job.metadata))
        changed = [
            (path, seen) for path, seen, known in pairs if path and seen and known and not still_the_same(known.stamp, seen.stamp)
        ]
        if job.gone_at is not None or not changed:
            return 0.0
        return max(pairing.quiet_left_s(self._track(path, seen), self.rules.quiet_period_s) for path, seen in changed)

    def left_alone(self, directory: str, names: Sequence[str]) -> frozenset[str]:
        """Those of these audio names, none of which has a row, that are older than `start_from`."""
        if self.start_from is None:
            return frozenset()
        try:
            found = self.files.glances(directory, names)
        except FileTrouble:
            return frozenset()  # looked at singly, each has its trouble told
        return frozenset(name for name, glance in found.items() if self.beginning.leaves_alone(glance.stamp.mtime_ns))

    def _older_than_start(self, sighting: Sighting) -> bool:
        return self.beginning.leaves_alone(sighting.mtime_ns)

    def _candidate(self, look: Look, audio: Sighting, job: Job | None) -> Seen:
        # Not once more when only its metadata was on record before.
        new = (job is None or job.audio_path is None) and look.place not in self._tracks
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
        return Seen(self._act(look, job, finding, tracks), new=new)

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
            self._entering.wait(look, job, Problem(Reason.STILL_CHANGING, "The files are still being written."))
        return Seen(left_s, new=new)

    def _read(self, look: Look, audio: Sighting, job: Job | None) -> Finding:
        for sighting, half in ((audio, "audio"), (look.metadata, "metadata")):
            if sighting is not None and not sighting.regular:
                problem = Problem(Reason.NOT_A_REGULAR_FILE, f"The {half} is {sighting.oddity}, not a regular file.")
                return Unfit(Fate.UNUSABLE, problem, Half(audio.stamp))
        metadata_path = look.metadata_path if look.metadata else None
        return look.reader.examine(look.place, metadata_path, forced=bool(job and job.forced))

    def _after_all(self, finding: Finding, tracks: list[Track]) -> Finding:
        """What it comes to without that for which it has been waited long enough."""
        while isinstance(finding, Unfit) and finding.otherwise is not None:
            record = finding.problem.reason is Reason.CALL_RECORD_MISSING
            patience_s = self.rules.cdr.wait_s if record else self.rules.abandon_after_s
            if self._unchanged_for_s(tracks) < patience_s:
                break
            finding = finding.otherwise
        return finding

    def _act(self, look: Look, job: Job | None, finding: Finding, tracks: list[Track]) -> float | None:
        """Seconds until the place is to be looked at again, if it is."""
        if isinstance(finding, Fit):
            self._entering.complete(look, job, finding.recording)
            self._settled(look)
            return None
        match finding.fate:
            case Fate.GONE:
                return self.rules.quiet_period_s
            case Fate.WAIT:
                return self._waits(look, job, finding, tracks)
            case Fate.UNUSABLE:
                self._entering.unusable(look, job, finding.problem, finding.audio)
            case Fate.LEAVE_OUT:
                self._entering.leave_out(look, job, finding.problem, finding.audio)
        self._settled(look)
        return None

    def _waits(self, look: Look, job: Job | None, finding: Unfit, tracks: list[Track]) -> float | None:
        abandoned = _UNFINISHED.get(finding.problem.reason)
        if abandoned is not None and self._unchanged_for_s(tracks) >= self.rules.abandon_after_s:
            problem = Problem(
                abandoned, f"{finding.problem.message} Nobody has written to it for {self.rules.abandon_after_s:g} s."
            )
            self._entering.unusable(look, job, problem, finding.audio)
            self._settled(look)
            return None
        self._entering.wait(look, job, finding.problem)
        if finding.problem.reason is Reason.METADATA_MISSING:
            # Its arrival is what is waited for; the audio is looked at again then.
            self._settled(look)
            return None
        return max(self.rules.quiet_period_s, 1.0)

    def _unchanged_for_s(self, tracks: list[Track]) -> float:
        """By our own looks, or by the file's times where those of its file system can be believed."""
        seen_s = min(track.sighting.at - track.since for track in tracks)
        if not self.local:
            return seen_s
        newest_ns = max(max(track.sighting.mtime_ns, track.sighting.ctime_ns) for track in tracks)
        return max(seen_s, self._ages.now().timestamp() - newest_ns / 1e9)

    def release(self, duplicate: Job) -> None:
        """The job it was a duplicate of has ended without a talk id: this one is read anew."""
        problem = Problem(Reason.READ_AGAIN, "The job it was a duplicate of was not uploaded.")
        self._entering.apply(lifecycle.read_anew(duplicate, problem, self.clock.now()))

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
            self._entering.wait(look, job, Problem(Reason.AUDIO_MISSING, "There is metadata, but no audio yet."))
        self._tracks.pop(look.metadata_path, None)
        return Seen()

    def _gone(self, look: Look, job: Job) -> Seen:
        if self.roots.gone_counts():
            self._settled(look)
            self._entering.gone(job)
        return Seen()
