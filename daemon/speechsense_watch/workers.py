"""The threads that make attempts.

Small recordings take a thread only as long as they are read and checked. The uploader has those that are read recorded by one
write and sent, and grpc tells how each ended. All others keep a thread to themselves until they have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TypeVar

from speechsense_watch.attempt import Attempts, Claimed, Ended, Whole
from speechsense_watch.core.model import Job
from speechsense_watch.log import Event, Log

_Result = TypeVar("_Result")
HandBack = Callable[[Ended | Whole], None]


@dataclass(slots=True)
class _Task:
    job: Job
    probe: bool
    hand_back: HandBack


class Workers:
    """`start` keeps the uploader's `Start`."""

    def __init__(self, attempts: Attempts, most: int, log: Log) -> None:
        self._attempts = attempts
        self._log = log
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="attempt")
        # The quick ones of each folder that a thread is at, in their order. One thread a folder: more would only get into each
        # other's way, and a disk that hangs holds up its own folder alone.
        self._quick: dict[str, deque[_Task]] = {}
        self._lock = Lock()

    def start(self, job: Job, probe: bool, hand_back: HandBack) -> None:  # noqa: FBT001 - a callback's
        """`hand_back` is called once, whatever happens."""
        task = _Task(job, probe, hand_back)
        if not self._attempts.is_quick(job, probe=probe):
            self._pool.submit(self._work_alone, task)
            return
        folder = job.place.folder
        with self._lock:
            waiting = self._quick.get(folder)
            if waiting is not None:
                waiting.append(task)
                return
            self._quick[folder] = deque([task])
        self._pool.submit(self._work, folder)

    def foresee(self, job: Job) -> None:
        """Its hash is there when its turn comes, or is being made."""
        made = self._pool.submit(lambda: self._told(partial(self._attempts.hash_ahead, job), job.id) or "")
        self._attempts.foreseen.keep(job, made)

    def shutdown(self, *, wait: bool) -> None:
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def send(self, wholes: Sequence[Whole], hand_back: HandBack) -> None:
        """Keeps the uploader's `send`: intents are on disk, calls under way, and each is handed back when it has ended."""
        rows: Sequence[Claimed | Ended | None] | None = self._told(
            lambda: self._attempts.claim(wholes), *(whole.job.id for whole in wholes)
        )
        for whole, row in zip(wholes, rows or [None] * len(wholes), strict=True):
            if isinstance(row, Ended):
                hand_back(row)
            elif row is None or not self._told(partial(self._begin, whole, row, hand_back), whole.job.id):
                hand_back(Ended(whole.job, broke_off=True))

    def _begin(self, whole: Whole, row: Claimed, hand_back: HandBack) -> bool:
        self._attempts.begin(whole, row, hand_back)
        return True

    def _work_alone(self, task: _Task) -> None:
        attempt = self._told(lambda: self._attempts.run(task.job, probe=task.probe), task.job.id)
        task.hand_back(attempt or Ended(task.job, broke_off=True))

    def _work(self, folder: str) -> None:
        """Until the folder has no more of them."""
        while (task := self._next(folder)) is not None:
            read = self._told(partial(self._attempts.prepare, task.job, probe=task.probe), task.job.id)
            task.hand_back(read or Ended(task.job, broke_off=True))

    def _next(self, folder: str) -> _Task | None:
        with self._lock:
            waiting = self._quick[folder]
            if waiting:
                return waiting.popleft()
            del self._quick[folder]
            return None

    def _told(self, do: Callable[[], _Result], *jobs: int) -> _Result | None:
        """None when it met a fault of ours, which is told whole: each recording must be handed back all the same."""
        try:
            return do()
        except Exception:  # noqa: BLE001 - see above
            self._log.exception(Event.LOOP_FAILED, loop="attempt", job=jobs[0], jobs=jobs)
            return None
