"""One folder of the intake: what asks for a look, and when to look where next.

Events are hints, scans are the truth; both only name places, which `places.Places.examine` looks at.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from speechsense_watch.core import pairing
from speechsense_watch.core.model import Job, Place, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Detection, Folder
from speechsense_watch.log import Event, Log
from speechsense_watch.loop import isolated
from speechsense_watch.places import Places, Seen
from speechsense_watch.ports import Clock, Files, FileTrouble, Hint, Queue, Root, Watch, WatchHealth, WatchState
from speechsense_watch.recording import is_there
from speechsense_watch.ruled_out import rule_out
from speechsense_watch.scan import Directory, Listing, Scan

# One slice of a scan: how many places are looked at before the loop turns to hints and due looks again.
SLICE = 500
ROOT_AWAY_LOOK_S = 5.0
RECENT = timedelta(hours=1)
A_DAY = timedelta(days=1)
# Of that many arrivals most must have come by events for the events to be believed.
EVIDENCE = 20
SUPERVISE_EVERY_S = 2.0
AFTER_A_FAULT_S = 60.0
# Reasons that only a change of the file itself can end, so it is looked at singly at every rescan.
_LOOKED_AT_SINGLY = frozenset(
    {Reason.STILL_CHANGING, Reason.HEADER_UNFINISHED, Reason.SHORTER_THAN_HEADER, Reason.UNREADABLE, Reason.READ_AGAIN}
    | {Reason.CALL_RECORD_MISSING, Reason.SOURCE_UNREADABLE}
)


@dataclass(slots=True)
class FolderIntake:
    """One folder: its files, what is known of them, and when to look where next."""

    rules: Folder
    files: Files
    watch: Watch
    places: Places
    scan: Scan
    clock: Clock
    queue: Queue
    log: Log
    found_by_scan: int = 0
    last_seen_at: datetime | None = None
    scanned_at: datetime | None = None
    away: str = ""
    away_since: datetime | None = None
    _watched: WatchHealth | None = None
    _walk: Iterator[Listing | None] | None = None
    _slices: list[Sequence[str]] = field(default_factory=list)
    _slice_directory: Listing | None = None
    _first_walk: bool = True
    _next_scan_at: float = 0.0
    # Whether somebody asked for the next scan, and whether the present one came by the clock alone.
    _scan_asked: bool = False
    _periodic: bool = False
    _next_supervision_at: float = 0.0
    _looks: list[tuple[float, str]] = field(default_factory=list)
    _due: dict[str, float] = field(default_factory=dict)
    _arrivals: deque[bool] = field(default_factory=lambda: deque(maxlen=EVIDENCE))
    _present_of: Listing | None = None
    _present_names: frozenset[str] = frozenset()

    def begin(self) -> None:
        self.last_seen_at = self._remembered()
        rule_out(self.queue, self.rules, self.clock, self.log)
        self.watch.start()
        self._tell_watch()

    def _tell_watch(self) -> None:
        """How the folder is watched is in the log and in `status` as soon as it changes; when the watch is down, a scan at once
        tells whether the root is away.
        """
        health, before = replace(self.watch.health(), overflows=0), self._watched
        if health == before:
            return
        self._watched = health
        if health.state is WatchState.DOWN:
            self._next_scan_at, self._scan_asked = self.clock.monotonic(), True
        else:
            say = self.log.warning if health.restarts else self.log.info
            say(Event.FOLDER_WATCHING, folder=self.rules.name, how=health.state, why=health.reason, restarts=health.restarts)
        if before is not None:
            self.publish()

    def _remembered(self) -> datetime | None:
        """When the last recording came, by what was told before a restart."""
        told = self.queue.runtime().get(f"folder:{self.rules.name}")
        seen = told.get("last_seen_at") if isinstance(told, dict) and told.get("path") == self.rules.path else None
        return datetime.fromisoformat(seen) if isinstance(seen, str) else None

    # --- what asks for a look ----------------------------------------------------------------

    def hinted(self, hint: Hint) -> None:
        """An event named a path, or asks for a scan of everything."""
        now = self.clock.monotonic()
        if hint.path is None:
            self._next_scan_at, self._scan_asked = now, True
            return
        for place in self._places_of(hint.path):
            self.look_at(place, now)

    def _places_of(self, path: str) -> tuple[str, ...]:
        if pairing.is_audio(self.rules, path):
            return (path,) if pairing.takes(self.rules, path) else ()
        candidates = pairing.audio_paths(self.rules, path)
        if not candidates:
            self._hinted_directory(path)
        taken = tuple(candidate for candidate in candidates if pairing.takes(self.rules, candidate))
        if known := tuple(candidate for candidate in taken if candidate in self._due):
            return known
        return tuple(candidate for candidate in taken if is_there(self.files, candidate)) or taken[:1]

    def _hinted_directory(self, path: str) -> None:
        # A new or moved directory: everything below it counts as not yet seen.
        try:
            self.files.directory_mtime_ns(path)
        except FileTrouble:
            return
        self.scan.forget_mtime(path.rpartition("/")[0])
        self.scan.forget_mtime(path)
        self._next_scan_at, self._scan_asked = min(self._next_scan_at, self.clock.monotonic()), True

    def look_at(self, place: str, at: float) -> None:
        """The place is looked at when its time comes; an earlier appointment stands."""
        if at < self._due.get(place, float("inf")):
            self._due[place] = at
            heapq.heappush(self._looks, (at, place))

    def revisit(self) -> None:
        """Somebody else changed the queue: what is to be read anew is looked at now."""
        now = self.clock.monotonic()
        for job in self._singles():
            if job.reason is Reason.READ_AGAIN or job.state is State.DONE:
                self.look_at(self._place_to_look_at(job), now)

    # --- one slice of work ---------------------------------------------------------------------

    def step(self) -> float:
        """A slice of what is due is done; returns the seconds until more is. Whatever raises: nothing is forgotten, since
        the next step looks at everything anew.
        """
        whole = False
        try:
            rest_s = self._step()
            whole = True
        finally:
            if not whole:
                self._start_over()
        return rest_s

    def _start_over(self) -> None:
        self.scan.directories.clear()
        self._walk, self._slices, self._slice_directory = None, [], None
        self._next_scan_at = self.clock.monotonic()

    def _step(self) -> float:
        now = self.clock.monotonic()
        if now >= self._next_supervision_at:
            self.watch.supervise()
            self._tell_watch()
            self._next_supervision_at = now + SUPERVISE_EVERY_S
        if self._walk is None and now >= self._next_scan_at and not self._begin_scan():
            return ROOT_AWAY_LOOK_S
        busy = self._scan_slice()
        self.places.flush()
        busy |= self._due_looks()
        self.places.flush()
        if busy or self._walk is not None:
            return 0.0
        waits = [self._next_scan_at, self._next_supervision_at, *(at for at, _ in self._looks[:1])]
        return max(0.0, min(waits) - self.clock.monotonic())

    def _due_looks(self) -> bool:
        done = 0
        while self._looks and self._looks[0][0] <= self.clock.monotonic() and done < SLICE:
            at, place = heapq.heappop(self._looks)
            if self._due.get(place) == at:
                del self._due[place]
                self._examine(place, by_scan=False)
                done += 1
        return done == SLICE

    def _examine(self, place: str, *, by_scan: bool) -> None:
        seen = self._seen(place)
        self._count(seen, by_scan=by_scan)
        if seen.again_in_s is not None:
            self.look_at(place, self.clock.monotonic() + seen.again_in_s)

    def _seen(self, place: str) -> Seen:
        """What one recording brings up does not stop the others."""
        seen = isolated(lambda: self.places.examine(place), self.log, loop="intake", folder=self.rules.name)
        return Seen(again_in_s=AFTER_A_FAULT_S) if seen is None else seen

    def _count(self, seen: Seen, *, by_scan: bool) -> None:
        if not seen.new:
            return
        self.last_seen_at = self.clock.now()
        if not self._first_walk:
            self.found_by_scan += by_scan
            # A scan that was asked for, after an overflow for one, is what events are: it says nothing against them.
            if not by_scan or self._periodic:
                self._weigh(by_scan=by_scan)

    def _weigh(self, *, by_scan: bool) -> None:
        """`detection = "auto"` goes by evidence: where most recordings are found by scans only, events are given up."""
        if self.rules.detection is not Detection.AUTO or self.watch.health().state is not WatchState.WATCHING:
            self._arrivals.clear()
            return
        self._arrivals.append(by_scan)
        if len(self._arrivals) == EVIDENCE and sum(self._arrivals) > EVIDENCE / 2:
            self.watch.prefer_polling(f"events missed {sum(self._arrivals)} of the last {EVIDENCE} recordings")
            self._arrivals.clear()
            self._tell_watch()

    # --- scanning ------------------------------------------------------------------------------

    def _begin_scan(self) -> bool:
        """False when the root is away: an outage, never "all files deleted"."""
        root = self.files.root()
        away = self.places.roots.look(root)
        if away != self.away:
            self._tell_root(away, root)
            self.away, self.away_since = away, self.clock.now() if away else None
        if away:
            self._next_scan_at = self.clock.monotonic() + ROOT_AWAY_LOOK_S
            self.publish()
            return False
        self._periodic, self._scan_asked = not self._scan_asked, False
        self._walk = self.scan.walk(anew=self._first_walk)
        self._next_scan_at = self.clock.monotonic() + self.rules.rescan_interval_s
        return True

    def _tell_root(self, away: str, root: Root) -> None:
        if away:
            self.log.error(Event.FOLDER_DOWN, folder=self.rules.name, message=away)
        elif self.away:
            self.log.info(Event.FOLDER_BACK, folder=self.rules.name, file_system=root.file_system)

    def _scan_slice(self) -> bool:
        if self._walk is None:
            return False
        for _ in range(SLICE):
            if self._slices:
                self._look_through(self._slices.pop())
                return True
            if self._slice_directory is not None:
                self._look_for_vanished(self._slice_directory)
                self._slice_directory = None
            try:
                listing = next(self._walk)
            except StopIteration:
                self._end_scan()
                return True
            if listing is not None:
                self._take_listing(listing)
        return True

    def _take_listing(self, listing: Listing) -> None:
        listing.directory.left_alone = listing.directory.unmatched = 0
        self._slices = [listing.names[i : i + SLICE] for i in range(0, len(listing.names), SLICE)]
        self._slice_directory = listing

    def _look_through(self, names: Sequence[str]) -> None:
        listing = self._slice_directory
        if listing is None:
            return
        audio: list[str] = []
        orphans: list[str] = []
        for name in names:
            path = f"{listing.path}/{name}" if listing.path else name
            if pairing.is_audio(self.rules, path):
                # The directory itself is one that the scan enters.
                if pairing.chosen(self.rules, path):
                    audio.append(path)
            elif candidates := pairing.audio_paths(self.rules, path):
                orphans.extend(self._waiting_for(candidates, listing))
            elif pairing.looks_like_audio(path):
                listing.directory.unmatched += 1
        known = self.queue.at_places(self.rules.name, audio)
        old = self._left_alone(listing, [path for path in audio if path not in known])
        for path in audio:
            if path not in old and self._needs_a_look(known.get(path)):
                seen = self._seen(path)
                listing.directory.left_alone += seen.left_alone
                self._after_scan_look(path, seen)
        for path in orphans:
            self._after_scan_look(path, self._seen(path))

    def _after_scan_look(self, path: str, seen: Seen) -> None:
        self._count(seen, by_scan=True)
        if seen.again_in_s is not None:
            self.look_at(path, self.clock.monotonic() + seen.again_in_s)

    def _present(self, listing: Listing) -> frozenset[str]:
        if self._present_of is not listing:
            self._present_of, self._present_names = listing, frozenset(listing.names)
        return self._present_names

    def _left_alone(self, listing: Listing, fresh: Sequence[str]) -> frozenset[str]:
        """Those older than `start_from`: in a directory with years of calls nearly all, so they are looked at together."""
        old = self.places.left_alone(listing.path, [path.rpartition("/")[2] for path in fresh])
        listing.directory.left_alone += len(old)
        return frozenset(path for path in fresh if path.rpartition("/")[2] in old)

    def _waiting_for(self, candidates: Sequence[str], listing: Listing) -> Sequence[str]:
        """The audio places this metadata may complete: those beside it are looked at for their own sake."""
        for candidate in candidates:
            parent, _, name = candidate.rpartition("/")
            if parent == listing.path and name in self._present(listing):
                return ()
        return [candidate for candidate in candidates if pairing.takes(self.rules, candidate)][:1]

    def _needs_a_look(self, job: Job | None) -> bool:
        if job is None or self._first_walk:
            return job is None or job.state not in (State.UPLOADING, State.COMMITTING, State.UNCONFIRMED, State.UPLOADED)
        if job.state is State.DONE:
            return job.gone_at is not None
        return job.state in (State.WAITING, State.UNUSABLE, State.REFUSED, State.SKIPPED, State.LOST)

    def _look_for_vanished(self, listing: Listing) -> None:
        for path in self.queue.open_in(self.rules.name, listing.path):
            if path.rpartition("/")[2] not in self._present(listing) and (
                job := self.queue.at_place(Place(self.rules.name, path))
            ):
                self._examine(self._place_to_look_at(job), by_scan=True)

    def _place_to_look_at(self, job: Job) -> str:
        """The audio's path; of a job that has only its metadata, the likeliest one."""
        if job.audio_path is None and (candidates := pairing.audio_paths(self.rules, job.place.path)):
            return candidates[0]
        return job.place.path

    def _end_scan(self) -> None:
        self._walk = None
        lost = set(self.scan.forgotten)
        self.scan.forgotten.clear()
        if self._first_walk:
            lost |= set(self.queue.directories(self.rules.name)) - self.scan.directories.keys() - self.scan.troubles.keys()
        for directory in lost:
            self._look_for_vanished(Listing(directory, (), self.scan.directories.get(directory) or Directory(0, False, ())))
        self._look_singly()
        self._first_walk = False
        self.scanned_at = self.clock.now()
        self.publish()

    def _singles(self) -> Sequence[Job]:
        now = self.clock.now()
        return self.queue.unfinished(self.rules.name, now - RECENT, now - A_DAY)

    def _look_singly(self) -> None:
        now = self.clock.monotonic()
        for job in self._singles():
            if job.state is not State.WAITING or job.reason in _LOOKED_AT_SINGLY:
                self.look_at(self._place_to_look_at(job), now)
        for duplicate in self.queue.released_duplicates():
            if duplicate.place.folder == self.rules.name:
                self.places.release(duplicate)
                self.look_at(duplicate.place.path, now)

    def publish(self) -> None:
        """What `status` tells of the folder; the queue writes it only when it changed."""
        health = self.watch.health()
        self.queue.set_runtime(
            f"folder:{self.rules.name}",
            {
                "path": self.rules.path,
                "detection": health.state,
                "detection_reason": health.reason,
                "found_by_scan": self.found_by_scan,
                "overflows": health.overflows,
                "watch_restarts": health.restarts,
                "last_seen_at": self.last_seen_at.isoformat() if self.last_seen_at else None,
                "scanned_at": self.scanned_at.isoformat() if self.scanned_at else None,
                "unmatched": self.scan.unmatched,
                "left_alone": self.scan.left_alone,
                "away": self.away,
                "away_since": self.away_since.isoformat() if self.away_since else None,
                "unreadable_directories": len(self.scan.troubles),
            },
        )
