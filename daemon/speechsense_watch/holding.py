"""Which folders the uploader may take recordings from: what the operator said, and how far trials are.

The operator's words lie in the queue, written there by `pause`, `resume` and `approve`; they outlive the daemon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from speechsense_watch.core.holding import OperatorPause, Trial, fingerprint
from speechsense_watch.core.model import Job
from speechsense_watch.core.rules import Folder
from speechsense_watch.ports import Clock, Queue

EVERYTHING = ""


@dataclass(frozen=True, slots=True)
class Room:
    """How many recordings of a folder may be begun now; folders without a number have no limit. Nothing of a `paused` one."""

    left: Mapping[str, int] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()

    @property
    def full(self) -> frozenset[str]:
        """Folders whose trial has no place left for another recording; one that may have been sent already has its place."""
        return frozenset(name for name, left in self.left.items() if left <= 0)

    def admits(self, job: Job) -> bool:
        return job.possible_duplicate or job.place.folder not in self.full

    def after(self, job: Job) -> Room:
        """With this recording begun."""
        name = job.place.folder
        if job.possible_duplicate or name not in self.left:
            return self
        return Room({**self.left, name: self.left[name] - 1}, self.paused)


class Holding:
    """Belongs to the uploader's thread."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._folders: Mapping[str, Folder] = {}

    def configure(self, folders: Mapping[str, Folder]) -> None:
        self._folders = folders

    def room(self, in_work: Collection[Job]) -> Room:
        """By what is on disk now; `in_work` are recordings in hand, whose claim may not be on disk yet."""
        told = self._queue.runtime()
        now = self._clock.now()
        in_hand = Counter(job.place.folder for job in in_work)
        left: dict[str, int] = {}
        for name, folder in self._folders.items():
            if folder.trial and (trial := self._trial(folder, told, now)) is not None:
                left[name] = max(0, trial.room - in_hand[name])
        paused = (name for name in self._folders if any(_paused(told, scope, now) for scope in (EVERYTHING, name)))
        return Room(left, frozenset(paused))

    def _trial(self, folder: Folder, told: Mapping[str, object], now: datetime) -> Trial | None:
        """The folder's trial as far as it is, on record for `status`; None when these rules were approved."""
        mark = fingerprint(folder)
        if told.get(f"approved:{folder.name}") == mark:
            return None
        # A clock that was set back must not lift the limit: what is sent now would lie before the trial's beginning.
        since = min(_began(told.get(f"trial:{folder.name}"), mark) or now, now)
        sent = self._queue.sent_since(folder.name, since, folder.trial)
        trial = Trial(mark, since, folder.trial, len(sent), tuple(talk for talk in sent if talk))
        self._queue.set_runtime(f"trial:{folder.name}", trial_as_json(trial))
        return trial


def trial_as_json(trial: Trial) -> dict[str, object]:
    return {
        "fingerprint": trial.fingerprint,
        "since": trial.since.isoformat(),
        "most": trial.most,
        "sent": trial.sent,
        "talks": list(trial.talks),
    }


def pause_key(scope: str) -> str:
    """Where the operator's pause of a folder, or of everything, is on record."""
    return f"hold:{scope}"


def pause_of(value: object) -> OperatorPause | None:
    """As `pause` wrote it; None for none."""
    if not isinstance(value, dict) or not isinstance(value.get("since"), str):
        return None
    until = value.get("until")
    return OperatorPause(
        datetime.fromisoformat(value["since"]), datetime.fromisoformat(until) if isinstance(until, str) else None
    )


def pause_as_json(pause: OperatorPause) -> dict[str, object]:
    return {"since": pause.since.isoformat(), "until": pause.until.isoformat() if pause.until else None}


def _paused(told: Mapping[str, object], scope: str, now: datetime) -> bool:
    pause = pause_of(told.get(pause_key(scope)))
    return pause is not None and pause.holds(now)


def _began(value: object, mark: str) -> datetime | None:
    if isinstance(value, dict) and value.get("fingerprint") == mark and isinstance(value.get("since"), str):
        return datetime.fromisoformat(value["since"])
    return None
