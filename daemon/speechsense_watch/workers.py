"""The threads that make attempts.

Small recordings take a thread only until they are on their way: what one thread finds to do is read and checked one after the
other, recorded by one write, and sent; grpc tells how each ended. All others keep a thread to themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TypeVar

from speechsense_watch.attempt import Attempts, Ended, Whole
from speechsense_watch.core.model import Job
from speechsense_watch.log import Event, Log
from speechsense_watch.ports import Clock

# So many are recorded by one write, if reading them takes no longer than this: the first one waits for the last.
MOST_TOGETHER = 8
TOGETHER_WITHIN_S = 0.02

_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Task:
    job: Job
    probe: bool
    hand_back: Callable[[Ended], None]


class Workers:
    """`start` keeps the uploader's `Start`."""

    def __init__(self, attempts: Attempts, most: int, clock: Clock, log: Log) -> None:
        self._attempts = attempts
        self._clock = clock
        self._log = log
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="attempt")
        # The quick ones of each folder that a thread is at, in their order. One thread a folder: more would only get into each
        # other's way, and a disk that hangs holds up its own folder alone.
        self._quick: dict[str, deque[_Task]] = {}
        self._lock = Lock()

    def start(self, job: Job, probe: bool, hand_back: Callable[[Ended], None]) -> None:  # noqa: FBT001 - a callback's
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

    def shutdown(self, *, wait: bool) -> None:
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _work_alone(self, task: _Task) -> None:
        prepared = self._prepared(task)
        if isinstance(prepared, Ended):
            task.hand_back(prepared)
        else:
            self._send([(task, prepared)])

    def _work(self, folder: str) -> None:
        """Until the folder has no more of them."""
        while wholes := self._read(folder):
            self._send(wholes)

    def _read(self, folder: str) -> Sequence[tuple[_Task, Whole]]:
        """Some that are ready to be sent; empty when there is nothing left to do."""
        wholes: list[tuple[_Task, Whole]] = []
        until = self._clock.monotonic() + TOGETHER_WITHIN_S
        while len(wholes) < MOST_TOGETHER and not (wholes and self._clock.monotonic() >= until):
            task = self._next(folder, last=not wholes)
            if task is None:
                break
            prepared = self._prepared(task)
            if isinstance(prepared, Ended):
                task.hand_back(prepared)
            else:
                wholes.append((task, prepared))
        return wholes

    def _next(self, folder: str, *, last: bool) -> _Task | None:
        """None when there is none now; whoever comes after the `last` one finds nobody at it."""
        with self._lock:
            waiting = self._quick[folder]
            if waiting:
                return waiting.popleft()
            if last:
                del self._quick[folder]
            return None

    def _prepared(self, task: _Task) -> Ended | Whole:
        broken = Ended(task.job, broke_off=True)
        return self._told(lambda: self._attempts.prepare(task.job, probe=task.probe), task.job.id) or broken

    def _send(self, wholes: Sequence[tuple[_Task, Whole]]) -> list[tuple[_Task, Whole]]:
        """None of them is left."""
        if not wholes:
            return []
        rows: Sequence[Job | Ended | None] | None = self._told(
            lambda: self._attempts.claim([whole for _, whole in wholes]), *(task.job.id for task, _ in wholes)
        )
        for (task, whole), row in zip(wholes, rows or [None] * len(wholes), strict=True):
            if isinstance(row, Ended):
                task.hand_back(row)
            elif row is None or not self._told(partial(self._begin, whole, row, task), task.job.id):
                task.hand_back(Ended(task.job, broke_off=True))
        return []

    def _begin(self, whole: Whole, row: Job, task: _Task) -> bool:
        self._attempts.begin(whole, row, task.hand_back)
        return True

    def _told(self, do: Callable[[], _Result], *jobs: int) -> _Result | None:
        """None when it met a fault of ours, which is told whole: each recording must be handed back all the same."""
        try:
            return do()
        except Exception:  # noqa: BLE001 - see above
            self._log.exception(Event.LOOP_FAILED, loop="attempt", job=jobs[0], jobs=jobs)
            return None
