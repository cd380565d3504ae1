"""The simulated queue: rows as values, one compare-and-set per change, events that are only counted. It survives every crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from speechsense_watch.core.beacons import Known
from speechsense_watch.core.edges import AttemptBegun, AttemptCommitted, Change, Event
from speechsense_watch.core.lookup import Check, Doubt, Try, doubt_of, recording_id
from speechsense_watch.core.model import IN_FLIGHT, Job, State

_SETTLED = (State.UPLOADED, State.DONE)
_KNOWN_KEPT = 3


class Stale(Exception):  # noqa: N818 - as the port's
    """The row is not what the change was made from."""


@dataclass(slots=True)
class SimulatedQueue:
    rows: dict[int, Job] = field(default_factory=dict)
    events: int = 0
    tries: dict[int, dict[int, Try]] = field(default_factory=dict)
    # The number of the event that made the job unconfirmed, and of the one that began its last try.
    since: dict[int, int] = field(default_factory=dict)
    begun: dict[int, int] = field(default_factory=dict)
    known: list[Known] = field(default_factory=list)
    ready: dict[int, None] = field(default_factory=dict)
    in_flight: dict[int, None] = field(default_factory=dict)
    unconfirmed: dict[int, None] = field(default_factory=dict)
    with_leftovers: dict[int, None] = field(default_factory=dict)
    # What the daemon keeps in `runtime`.
    lags: list[float] = field(default_factory=list)
    # Made once and kept until the row changes: they are asked for at every step.
    _doubts: dict[int, Doubt] = field(default_factory=dict)
    _checks: dict[int, Check] = field(default_factory=dict)

    def add(self, job: Job) -> None:
        self.events += 1
        self.rows[job.id] = job
        self.tries[job.id] = {}
        self._file(job)

    def apply(self, change: Change) -> Job:
        """Raises Stale."""
        before, job = change.before, change.after
        now = self.rows[job.id]
        if before is None or (now.state, now.claims) != (before.state, before.claims):
            raise Stale
        self.events += 1
        match change.attempt:
            case AttemptBegun(n=n, uid=uid, committed=committed):
                self.tries[job.id][n] = Try(recording_id(uid, n), committed)
                self.begun[job.id] = self.events
            case AttemptCommitted(n=n):
                self.tries[job.id][n] = Try(self.tries[job.id][n].recording_id, committed=True)
            case _:
                pass
        if job.state is State.UNCONFIRMED:
            self.since[job.id] = self.events
        if change.event is Event.ACCEPTED:
            ended = Known(
                talk_id=job.talk_id or "", recording_id=recording_id(job.uid or "", job.claims), claimed=self.begun[job.id]
            )
            self.known = [ended, *self.known[: _KNOWN_KEPT - 1]]
        self.write(job)
        return job

    def write(self, job: Job) -> None:
        """As it is, past every rule: for the naive policies, which know none."""
        self.rows[job.id] = job
        self._doubts.pop(job.id, None)
        self._checks.pop(job.id, None)
        self._file(job)

    def _file(self, job: Job) -> None:
        for where, belongs in (
            (self.ready, job.state is State.READY),
            (self.in_flight, job.state in IN_FLIGHT),
            (self.unconfirmed, job.state is State.UNCONFIRMED),
            (self.with_leftovers, job.leftovers and job.state in _SETTLED),
        ):
            if belongs:
                where[job.id] = None
            else:
                where.pop(job.id, None)

    def doubts(self, now: datetime) -> Sequence[Doubt]:
        for job in self.unconfirmed:
            if job not in self._doubts:
                self._doubts[job] = doubt_of(self.rows[job], self.since[job], self._tries(job), now)
        return [self._doubts[job] for job in self.unconfirmed]

    def checks(self) -> Sequence[Check]:
        for job in self.with_leftovers:
            if job not in self._checks:
                tries = self._tries(job)
                whole = tuple(each.recording_id for each in tries if each.committed)
                broken = tuple(each.recording_id for each in tries if not each.committed)
                self._checks[job] = Check(job_id=job, talk_id=self.rows[job].talk_id or "", whole=whole, broken=broken)
        return [self._checks[job] for job in self.with_leftovers]

    def _tries(self, job_id: int) -> Sequence[Try]:
        return [each for _, each in sorted(self.tries[job_id].items())]
