"""The intake: turns what happens in the folders into jobs.

Events are hints, scans are the truth. One `FolderIntake` for each folder, one `Intake.step()` for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from speechsense_watch.core.model import Place
from speechsense_watch.folder_intake import FolderIntake
from speechsense_watch.log import Log
from speechsense_watch.loop import AFTER_TROUBLE_S, isolated
from speechsense_watch.ports import Hint

_MOST_HINTS = 10_000


class Intake:
    """All folders. `hint` may be called from any thread; everything else belongs to the loop's."""

    def __init__(self, wake: Callable[[], None], log: Log) -> None:
        self.folders: dict[str, FolderIntake] = {}
        self._wake = wake
        self._log = log
        # Each once: one file that is written brings several events.
        self._hints: dict[Hint, None] = {}
        self._hints_lock = Lock()
        self._revisit = False
        self._replacement: dict[str, FolderIntake] | None = None

    def configure(self, folders: Mapping[str, FolderIntake]) -> None:
        """From the next step on these are the folders; one that is the same object as before goes on undisturbed."""
        self._replacement = dict(folders)
        self._wake()

    def _replace(self, folders: dict[str, FolderIntake]) -> None:
        kept = {id(folder) for folder in folders.values()}
        for old in self.folders.values():
            if id(old) not in kept:
                old.watch.stop()
        known = {id(folder) for folder in self.folders.values()}
        self.folders = folders
        for new in folders.values():
            if id(new) not in known:
                isolated(new.begin, self._log, loop="intake", folder=new.rules.name)

    def stop(self) -> None:
        """No more events; called when the loop has ended."""
        for folder in self.folders.values():
            folder.watch.stop()

    def hint(self, hint: Hint) -> None:
        """Never blocks, never raises: watchdog's threads call it."""
        with self._hints_lock:
            if len(self._hints) < _MOST_HINTS:
                self._hints[hint] = None
            else:
                # More than can be kept in mind: a scan finds what they were about.
                self._hints[Hint(hint.folder, None)] = None
        self._wake()

    def look(self, place: Place) -> None:
        self.hint(Hint(place.folder, place.path))

    def revisit(self) -> None:
        """Another process changed the queue."""
        self._revisit = True
        self._wake()

    def step(self) -> float:
        """A slice of everything that is due is done; returns the seconds until more is."""
        if self._replacement is not None:
            replacement, self._replacement = self._replacement, None
            self._replace(replacement)
        for hint in self._fresh_hints():
            if folder := self.folders.get(hint.folder):
                folder.hinted(hint)
        if self._revisit:
            self._revisit = False
            for folder in self.folders.values():
                folder.revisit()
        return min((self._step(folder) for folder in self.folders.values()), default=60.0)

    def _fresh_hints(self) -> Iterable[Hint]:
        with self._hints_lock:
            hints, self._hints = self._hints, {}
        return hints

    def _step(self, folder: FolderIntake) -> float:
        """A fault with one folder does not stop the others."""
        rest_s = isolated(folder.step, self._log, loop="intake", folder=folder.rules.name)
        return AFTER_TROUBLE_S if rest_s is None else rest_s
