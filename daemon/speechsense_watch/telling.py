"""What `status` and the log are told of a folder: how it is watched, what came, what the last scan saw."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from speechsense_watch.arrivals import Arrivals
from speechsense_watch.core.rules import Folder
from speechsense_watch.log import Event, Log
from speechsense_watch.ports import Clock, Files, Queue, Root, Watch, WatchHealth, WatchState
from speechsense_watch.scan import Scan

# Of so many links in a directory it is found out where they lead; who puts more of them there has been told enough.
_MOST_FOLLOWED = 100
_UNSEEN = "Links are never followed: recordings below them are not seen. `check` names them; watch their targets by [[folders]]."


@dataclass(slots=True)
class Telling:
    """Of one folder. `watched`: whether some folder of the configuration watches the directory at an absolute path."""

    rules: Folder
    files: Files
    watch: Watch
    scan: Scan
    arrivals: Arrivals
    clock: Clock
    queue: Queue
    log: Log
    watched: Callable[[str], bool]
    scanned_at: datetime | None = None
    away: str = ""
    away_since: datetime | None = None
    # It is away because another daemon works it.
    claimed_twice: bool = False
    # When a scan last found more names than before that no rule takes.
    unmatched_at: datetime | None = None
    _unmatched: int = 0
    _linked: int = 0
    _told_links: set[str] = field(default_factory=set)
    _health: WatchHealth | None = None

    def remember(self) -> None:
        """What was told before a restart, and holds."""
        told = self.queue.runtime().get(f"folder:{self.rules.name}")
        if not isinstance(told, dict) or told.get("path") != self.rules.path:
            return
        self.arrivals.last_seen_at = _time(told.get("last_seen_at"))
        self.unmatched_at = _time(told.get("unmatched_at"))
        self._unmatched = told["unmatched"] if isinstance(told.get("unmatched"), int) else 0

    def tell_watch(self) -> bool:
        """How the folder is watched is in the log and in `status` as soon as it changes; whether the watch has just gone down."""
        health, before = replace(self.watch.health(), overflows=0), self._health
        if health == before:
            return False
        self._health = health
        if health.state is not WatchState.DOWN:
            say = self.log.warning if health.restarts else self.log.info
            say(Event.FOLDER_WATCHING, folder=self.rules.name, how=health.state, why=health.reason, restarts=health.restarts)
        if before is not None:
            self.publish()
        return health.state is WatchState.DOWN

    def tell_root(self, away: str, root: Root) -> None:
        """Why the root is away, or that it is not."""
        if away and away != self.away:
            self.log.error(Event.FOLDER_DOWN, folder=self.rules.name, message=away)
        elif self.away and not away:
            self.log.info(Event.FOLDER_BACK, folder=self.rules.name, file_system=root.file_system)
        if away != self.away:
            self.away, self.away_since = away, self.clock.now() if away else None

    def scan_ended(self) -> None:
        self.scanned_at = self.clock.now()
        unmatched = self.scan.unmatched
        if unmatched > self._unmatched:
            self.unmatched_at = self.scanned_at
        self._unmatched = unmatched
        self._tell_links()
        self.publish()

    def links_anew(self) -> None:
        """Other folders are watched than before, perhaps what some link leads to."""
        for directory in self.scan.directories.values():
            directory.unwatched = None

    def _tell_links(self) -> None:
        """Nothing is seen below a link, which is easily forgotten where it was set to get more room; unless what it leads to
        is watched under its own name.
        """
        unwatched: list[str] = []
        for path, directory in self.scan.directories.items():
            if directory.unwatched is None:
                # Once for each listing: where a share that hangs is linked to, the question would hang as well.
                some, rest = directory.linked[:_MOST_FOLLOWED], directory.linked[_MOST_FOLLOWED:]
                directory.unwatched = (*(name for name in some if not self._is_watched(posixpath.join(path, name))), *rest)
            unwatched += (posixpath.join(path, name) for name in directory.unwatched)
        self._linked = len(unwatched)
        told, self._told_links = self._told_links, set(unwatched)
        if self._told_links - told:
            # Without the names, which the log never holds.
            self.log.warning(Event.DIRECTORIES_LINKED, folder=self.rules.name, count=self._linked, message=_UNSEEN)

    def _is_watched(self, link: str) -> bool:
        return self.watched(self.files.leads_to(link))

    def publish(self) -> None:
        """The queue writes it only when it changed."""
        health, arrivals = self.watch.health(), self.arrivals
        self.queue.set_runtime(
            f"folder:{self.rules.name}",
            {
                "path": self.rules.path,
                "detection": health.state,
                "detection_reason": health.reason,
                "found_by_scan": arrivals.found_by_scan,
                "overflows": health.overflows,
                "watch_restarts": health.restarts,
                "last_seen_at": _text(arrivals.last_seen_at),
                "scanned_at": _text(self.scanned_at),
                "unmatched": self.scan.unmatched,
                "unmatched_at": _text(self.unmatched_at),
                "left_alone": self.scan.left_alone,
                "away": self.away,
                "away_since": _text(self.away_since),
                "claimed_twice": self.claimed_twice,
                "unreadable_directories": len(self.scan.troubles),
                "linked_directories": self._linked,
            },
        )


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _time(told: object) -> datetime | None:
    return datetime.fromisoformat(told) if isinstance(told, str) else None
