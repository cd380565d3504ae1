"""One folder of the intake: what asks for a look, and when to look where next.

Events are hints, scans are the truth; both only name places, which `places.Places.examine` looks at.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from speechsense_watch.arrivals import Arrivals
from speechsense_watch.core import pairing
from speechsense_watch.core.rules import Folder
from speechsense_watch.kept import Kept
from speechsense_watch.log import Log
from speechsense_watch.loop import isolated
from speechsense_watch.places import Places, Seen
from speechsense_watch.ports import Clock, Files, FileTrouble, Hint, OnRecord, Queue, Watch, WatchState
from speechsense_watch.recording import Reader, is_there
from speechsense_watch.ruled_out import rule_out
from speechsense_watch.scan import Scan
from speechsense_watch.sweep import Sweep, place_to_look_at
from speechsense_watch.telling import Telling

# A folder's turn: one thread serves all of them, and where reading takes seconds each (a share over a slow line, a database
# that is asked for call records) 500 looks in a row kept every other folder waiting for half an hour.
TURN_S = 0.25
# The most that is done in one turn however quick it is, before what was found complete is entered.
MOST_LOOKS = 500
ROOT_AWAY_LOOK_S = 5.0
# How long a watch may have been broken, or its root another one, without a word; then a scan makes up for it.
SUPERVISE_EVERY_S = 30.0
# One that is down is mended soon.
SUPERVISE_THE_SICK_EVERY_S = 2.0
AFTER_A_FAULT_S = 60.0
# A command's word is looked for among what changed since then.
A_COMMAND_AGO = timedelta(hours=1)


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
    on_record: OnRecord
    log: Log
    # Whether some folder of the configuration, this one or another, watches the directory at this absolute path.
    watched: Callable[[str], bool] = lambda _path: False
    arrivals: Arrivals = field(init=False)
    telling: Telling = field(init=False)
    _kept: Kept = field(init=False)
    _sweep: Sweep = field(init=False)
    # The scan that is under way, and whether it came by the clock alone.
    _scan: Iterator[None] | None = None
    _periodic: bool = False
    _first: bool = True
    _links_anew: bool = False
    _next_scan_at: float = 0.0
    # Whether somebody asked for the next scan.
    _scan_asked: bool = False
    _next_supervision_at: float = 0.0
    # Until when the present turn goes on with the scan.
    _turn_until: float = 0.0
    _looks: list[tuple[float, str]] = field(default_factory=list)
    _due: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.arrivals = Arrivals(self.rules, self.watch, self.clock)
        self.telling = Telling(
            self.rules,
            self.files,
            self.watch,
            self.scan,
            self.arrivals,
            self.clock,
            self.queue,
            self.log,
            self.watched,
        )
        self._kept = Kept(self.rules, self.files, self.on_record, self.clock)
        self._sweep = Sweep(
            self.rules,
            self.places,
            self.scan,
            self._kept,
            self.on_record,
            self.queue,
            look=lambda place: self._examine(place, by_scan=True),
            look_at_new=lambda place, near: self._examine(place, by_scan=True, near=near),
            goes_on=lambda: self.clock.monotonic() < self._turn_until,
            expected=lambda place: place in self._due,
        )

    @property
    def away(self) -> str:
        """Why the root is not there; empty when it is."""
        return self.telling.away

    def links_anew(self) -> None:
        """What is watched has changed; may be called from any thread."""
        self._links_anew = True

    def begin(self) -> None:
        self.telling.remember()
        rule_out(self.queue, self.rules, self.clock, self.log, all_entered=True)
        self.watch.start()
        self._tell_watch()

    def _tell_watch(self) -> None:
        if self.telling.tell_watch():
            # The watch is down: a scan at once tells whether the root is away.
            self._next_scan_at, self._scan_asked = self.clock.monotonic(), True

    # --- what asks for a look ----------------------------------------------------------------

    def hinted(self, hint: Hint) -> None:
        """An event named a path, or asks for a scan of everything."""
        now = self.clock.monotonic()
        if hint.path is None:
            self.arrivals.told(None)
            self._next_scan_at, self._scan_asked = now, True
            # Whoever asks may have seen the watch break.
            self._next_supervision_at = now
            return
        for place in self._places_of(hint.path):
            self.arrivals.told(place)
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
        for known in self.on_record.read_anew(self.clock.now() - A_COMMAND_AGO):
            self.look_at(place_to_look_at(self.rules, known), now)

    # --- one turn ------------------------------------------------------------------------------

    def step(self) -> float:
        """As much of what is due as one turn takes; returns the seconds until there is more. Whatever raises: nothing is
        forgotten, since the next step looks at everything anew.
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
        self.scan.unsettle()
        self._kept.forget()
        self._scan = None
        self._next_scan_at = self.clock.monotonic()

    def _step(self) -> float:
        now = self.clock.monotonic()
        self.places.beginning.look()
        if now >= self._next_supervision_at:
            self.watch.supervise()
            self._tell_watch()
            self.arrivals.settle()
            self._tell_watch()
            self._next_supervision_at = self._supervised_again_at(now)
        if self._scan is None and now >= self._next_scan_at and not self._begin_scan():
            return ROOT_AWAY_LOOK_S
        # Each has at least one look in every turn, so neither keeps the other waiting for longer than that.
        self._go_on_with_scan(now + TURN_S)
        self.places.flush()
        more_due = self._due_looks(now + TURN_S)
        self.places.flush()
        if more_due or self._scan is not None:
            return 0.0
        waits = [self._next_scan_at, self._next_supervision_at, *(at for at, _ in self._looks[:1])]
        return max(0.0, min(waits) - self.clock.monotonic())

    def _supervised_again_at(self, now: float) -> float:
        """All folders at the same moments, so that many of them wake the machine no more often than one."""
        down = self.watch.health().state is WatchState.DOWN
        every_s = SUPERVISE_THE_SICK_EVERY_S if down else SUPERVISE_EVERY_S
        return now - now % every_s + every_s

    def _due_looks(self, until: float) -> bool:
        """Whether there are more of them."""
        for _ in range(MOST_LOOKS):
            if not self._looks or self._looks[0][0] > self.clock.monotonic():
                return False
            at, place = heapq.heappop(self._looks)
            if self._due.get(place) == at:
                del self._due[place]
                self._examine(place, by_scan=False)
            if self.clock.monotonic() >= until:
                break
        return True

    def _examine(self, place: str, *, by_scan: bool, near: Reader | None = None) -> Seen:
        """What one recording brings up does not stop the others."""
        seen = isolated(lambda: self.places.examine(place, near), self.log, loop="intake", folder=self.rules.name)
        if seen is None:
            seen = Seen(again_in_s=AFTER_A_FAULT_S)
        if seen.again_in_s is not None:
            self.look_at(place, self.clock.monotonic() + seen.again_in_s)
        if seen.replaced or (seen.new and self._first):
            self.arrivals.came()
        elif seen.new:
            self.arrivals.came_by(place, scan=by_scan, periodic=self._periodic)
            self._tell_watch()
        return seen

    # --- scanning ------------------------------------------------------------------------------

    def _begin_scan(self) -> bool:
        """False when the root is away: an outage, never "all files deleted"."""
        root = self.files.root()
        away = self.places.roots.look(root)
        self.telling.claimed_twice = bool(self.places.roots.claimed_by)
        self.telling.tell_root(away, root)
        if away:
            self._next_scan_at = self.clock.monotonic() + ROOT_AWAY_LOOK_S
            self.telling.publish()
            return False
        self._periodic, self._scan_asked = not self._scan_asked, False
        self._scan = self._sweep.run(first=self._first)
        self._next_scan_at = self.clock.monotonic() + self.rules.rescan_interval_s
        return True

    def _go_on_with_scan(self, until: float) -> None:
        self._turn_until = until
        for _ in range(MOST_LOOKS):
            if self._scan is None:
                return
            try:
                next(self._scan)
            except StopIteration:
                self._scan, self._first = None, False
                if self._links_anew:
                    self._links_anew = False
                    self.telling.links_anew()
                self.telling.scan_ended()
            if self.clock.monotonic() >= until:
                return
