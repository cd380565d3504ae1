"""The simulated daemon's look-ups: `core.lookup` asked and answered as the confirmer does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from speechsense_watch.core import lifecycle
from speechsense_watch.core.lookup import Absent, Batch, Checked, Doubt, Found, Orphan, Ruling
from speechsense_watch.core.quota import Quota
from speechsense_watch.core.rules import OnUnknown
from support.simulation.daemon import Daemon, Surroundings, wall
from support.simulation.service import during

_ANSWER_S = 0.3
_AFTER_TROUBLE_S = 60.0
_LONGEST_REST_S, _AT_LEAST_REST_S = 60.0, 0.5
_NAME = "recording_id"


class Looking:
    """One per process, as the Daemon; `orphans` are on disk and handed in."""

    def __init__(
        self, world: Surroundings, daemon: Daemon, orphans: set[str], *, search_fails: float, crash_before_ruling: float
    ) -> None:
        self._world = world
        self._daemon = daemon
        self._orphans = orphans
        self._search_fails = search_fails
        self._crash_before_ruling = crash_before_ruling
        self.inquiry = world.policy.begin_inquiry(world.queue.lags)
        self._quota = Quota()
        self._next_at: float | None = None
        self.searches = 0

    @property
    def used(self) -> bool:
        return self._world.policy.unknown is OnUnknown.SEARCH and self._world.policy.naive is None

    def wake(self, in_s: float = _AT_LEAST_REST_S) -> None:
        at = self._world.now + in_s
        if self.used and (self._next_at is None or at < self._next_at):
            self._next_at = at
            self._world.soon(in_s, self._step)

    def _step(self) -> None:
        self._next_at = None
        world, inquiry = self._world, self.inquiry
        now = world.now
        doubts, checks = self._doubts(), world.queue.checks()
        inquiry.take_in(doubts, checks, (), now)
        if inquiry.wants_known or inquiry.measure_due(now):
            inquiry.take_in(doubts, checks, world.queue.known, now)
        batch = inquiry.batch(now)
        if batch is None:
            due = inquiry.next_at()
            self.wake(_LONGEST_REST_S if due is None else min(max(due - now, _AT_LEAST_REST_S), _LONGEST_REST_S))
            return
        wait_s = self._quota.wait_s(now, len(batch.known) + len(batch.doubts) + len(batch.checks))
        if wait_s > 0:
            self.wake(min(max(wait_s, _AT_LEAST_REST_S), _LONGEST_REST_S))
        elif during(world.service.down, now) or world.chance.random() < self._search_fails:
            inquiry.failed(batch, now, _AFTER_TROUBLE_S)
            self.wake()
        else:
            self._ask(batch)

    def _doubts(self) -> Sequence[Doubt]:
        found = self._world.queue.doubts(wall(self._world.now))
        if self._world.policy.tries_told_apart:
            return found
        return [replace(doubt, whole=(*doubt.whole, *doubt.broken), broken=()) for doubt in found]

    def _ask(self, batch: Batch) -> None:
        world, inquiry = self._world, self.inquiry
        found: dict[str, list[str]] = {}
        for key in inquiry.keys(_NAME):
            self.searches += 1
            shown = world.service.search(key, batch.ids, world.now)
            self._quota.spend(world.now, max(1, sum(map(len, shown.values()))))
            if any(talk_id in shown.get(name, ()) for talk_id, name in batch.known.items()):
                inquiry.key_worked(key, _NAME)
            found |= shown
        world.soon(_ANSWER_S, lambda: self._answered(batch, found))

    def _answered(self, batch: Batch, found: dict[str, list[str]]) -> None:
        world = self._world
        rulings = self.inquiry.answered(batch, found, world.now)
        if rulings and world.chance.random() < self._crash_before_ruling:
            world.crash()
        for ruling in rulings:
            self._carry_out(ruling)
        world.queue.lags = list(self.inquiry.beacons.lags)
        self.wake()

    def _carry_out(self, ruling: Ruling) -> None:
        world, daemon = self._world, self._daemon
        job, now = world.queue.rows[ruling.job_id], wall(world.now)
        match ruling:
            case Found(talk_id=talk_id, doubled=doubled):
                if daemon.try_apply(lambda: lifecycle.confirmed(job, talk_id, now, doubled=doubled)):
                    world.checker.found(job.id)
            case Absent(claims=claims):
                if job.claims == claims and daemon.try_apply(lambda: lifecycle.shown_absent(job, now, "")):
                    world.checker.shown_absent(job.id)
                    daemon.wake()
            case Orphan(talk_id=talk_id):
                if talk_id != job.talk_id:
                    self._orphans.add(talk_id)
            case Checked(doubled=doubled):
                daemon.try_apply(lambda: lifecycle.looked_after(job, now, "", doubled=doubled))
