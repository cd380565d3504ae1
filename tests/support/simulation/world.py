"""One simulated life: some hundred recordings, one daemon that crashes and starts again, one service that fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import NoReturn

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.verdict import Code
from support.edges import born
from support.played_queue import recording
from support.simulation.checker import Checker, End
from support.simulation.daemon import CONNECTION, TRUNCATED_BY_A_KILL, Daemon, Died, wall
from support.simulation.fate import Fate, Faults, Way, fate_of, lag_s, spells
from support.simulation.looking import Looking
from support.simulation.policies import Policy
from support.simulation.rows import SimulatedQueue
from support.simulation.service import SimulatedService

RECORDINGS_A_LIFE = 250
_BETWEEN_S = 15.0
# Traffic that goes on after the recordings that count, without faults: a doubt needs later talks to be settled by.
_LATER = 1 << 40
_LATER_EVERY_S, _LATER_AT_MOST_EVERY_S = 60.0, 600.0
_GIVEN_UP_AFTER_S = 10 * 86400.0
_CRASH_BEFORE_RULING = 0.005
_FINE = Fate(Way.FINE, None, one_message=True, code=Code.OK, body_s=1.0, answer_s=0.2, late_s=0.0, lag_s=0.0)
_WAITING = replace(born(), connection_id=CONNECTION)
_READY = lifecycle.completed(_WAITING, recording("call"), wall(0.0)).after


@dataclass(slots=True)
class Account:
    """What came of one life."""

    ends: list[End] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    searches: int = 0
    orphans_stored: int = 0
    orphans_reported: int = 0
    # Left by tries of recordings that the service refused, or that wait for a person: those are not looked after.
    orphans_explained: int = 0
    reported_wrongly: int = 0
    longest_unconfirmed_s: float = 0.0
    longest_lag_s: float = 0.0
    unfinished: int = 0


class World:
    """Keeps `daemon.Surroundings`."""

    def __init__(self, seed: int, policy: Policy, faults: Faults, recordings: int = RECORDINGS_A_LIFE) -> None:
        """Its recordings bear the numbers from `seed` on; all that happens to one is drawn from its number."""
        self.policy, self._faults = policy, faults
        self.chance = Random(seed)
        over_s = recordings * _BETWEEN_S
        down = spells(self.chance, self._some(faults.outages), (60.0, 400.0), over_s, down=True)
        stalled = spells(self.chance, self._some(faults.stalls), (600.0, 2400.0), over_s)
        blind = spells(self.chance, self._some(faults.blind_spells), (900.0, 2400.0), over_s)
        self.queue = SimulatedQueue(lags=[lag_s(self.chance, faults) for _ in range(faults.measured_before)])
        self.service = SimulatedService(down, stalled, blind)
        self.checker = Checker()
        self.now = 0.0
        self.account = Account()
        self._chances: dict[int, Random] = {}
        self._refused: set[int] = set()
        self._unconfirmed_since: dict[int, float] = {}
        self._orphans: set[str] = set()
        self._heap: list[tuple[float, int, int | None, Callable[[], None]]] = []
        self._order = count()
        self._process = 0
        self._up = False
        self._later = count(_LATER)
        self._numbers = range(seed, seed + recordings)
        at = 0.0
        for number in self._numbers:
            at += self.chance.expovariate(1 / _BETWEEN_S)
            self._push(at, None, self._arriving(number))
        self._last_arrival_at = at
        self._later_every_s = _LATER_EVERY_S
        self._push(at + _LATER_EVERY_S, None, self._go_on)
        self._start()

    def _some(self, expected: float) -> int:
        return int(expected) + (self.chance.random() < expected % 1)

    # --- Surroundings ------------------------------------------------------------------------

    def soon(self, in_s: float, what: Callable[[], None]) -> None:
        self._push(self.now + in_s, self._process, what)

    def at_service(self, in_s: float, what: Callable[[], None]) -> None:
        self._push(self.now + in_s, None, what)

    def fate(self, number: int, *, probe: bool) -> Fate:
        chance = self._chances[number]
        if number >= _LATER:
            return replace(_FINE, one_message=not probe, lag_s=lag_s(chance, self._faults))
        fate = fate_of(chance, self._faults, probe=probe, refused=number in self._refused)
        if fate.way is not Way.FINE:
            self.account.faults[fate.way] += 1
        if fate.crash is not None:
            self.account.faults[f"crash {fate.crash}"] += 1
        return fate

    def crash(self) -> NoReturn:
        self._up = False
        self._process += 1
        for attempt in self._daemon.in_work.values():
            if attempt.sending and self.chance.random() < TRUNCATED_BY_A_KILL:
                self._daemon.store(attempt, whole=False)
        self.account.searches += self._looking.searches
        self._push(self.now + self.chance.uniform(5.0, 60.0), None, self._start)
        raise Died

    def settled(self, job: Job) -> None:
        if job.state is not State.UNCONFIRMED and (since := self._unconfirmed_since.pop(job.id, None)) is not None:
            self.account.longest_unconfirmed_s = max(self.account.longest_unconfirmed_s, self.now - since)

    # --- the run -----------------------------------------------------------------------------

    def _start(self) -> None:
        self._up = True
        self._daemon = Daemon(self, self._look)
        self._looking = Looking(
            self,
            self._daemon,
            self._orphans,
            search_fails=self._faults.search_fails,
            crash_before_ruling=_CRASH_BEFORE_RULING if self._faults.crash else 0.0,
        )
        self._daemon.recover()

    def _look(self) -> None:
        for job_id in self.queue.unconfirmed:
            if job_id not in self._unconfirmed_since:
                self._unconfirmed_since[job_id] = self.now
                self.account.unknown += 1
        self._looking.wake()

    def _push(self, at: float, process: int | None, what: Callable[[], None]) -> None:
        heappush(self._heap, (at, next(self._order), process, what))

    def _arriving(self, number: int) -> Callable[[], None]:
        return lambda: self._arrive(number)

    def _arrive(self, number: int) -> None:
        chance = self._chances[number] = Random(number)
        if number < _LATER and chance.random() < self._faults.refused:
            self._refused.add(number)
        self.queue.add(replace(_READY, id=number, next_attempt_at=wall(self.now), updated_at=wall(self.now)))
        if self._up:
            self._daemon.wake()

    def _go_on(self) -> None:
        """Later traffic, for as long as something is open."""
        if self._open and self.now < self._last_arrival_at + _GIVEN_UP_AFTER_S:
            self._arrive(next(self._later))
            self._later_every_s = min(self._later_every_s * 1.2, _LATER_AT_MOST_EVERY_S)
            self._push(self.now + self._later_every_s, None, self._go_on)

    @property
    def _open(self) -> bool:
        queue = self.queue
        looked_for = self._looking.used and (queue.unconfirmed or queue.with_leftovers)
        waits_for_resend = self.policy.name == "resend" and queue.unconfirmed
        return bool(queue.ready or queue.in_flight or looked_for or waits_for_resend or not self._up)

    def run(self) -> Account:
        after = self._last_arrival_at + _LATER_EVERY_S
        while self._heap and (self._heap[0][0] <= after or self._open):
            at, _, process, what = heappop(self._heap)
            self.now = at
            if process is None or (process == self._process and self._up):
                with suppress(Died):
                    what()
            if at > self._last_arrival_at + _GIVEN_UP_AFTER_S:
                break
        return self._closed()

    def _closed(self) -> Account:
        account, talks = self.account, self.service.talks
        account.searches += self._looking.searches
        account.longest_lag_s = max(self.queue.lags, default=0.0)
        account.longest_unconfirmed_s = max(
            (account.longest_unconfirmed_s, *(self.now - since for since in self._unconfirmed_since.values()))
        )
        account.unfinished = len(self.queue.ready) + len(self.queue.in_flight)
        for number, job in self.queue.rows.items():
            end = self.checker.end(job, talks.get(number, ()), refuses=number in self._refused)
            if number < _LATER or replace(end, marked=False) != End(number):
                account.ends.append(end)
            orphans = {talk.talk_id for talk in talks.get(number, ()) if talk.talk_id != job.talk_id}
            if job.state is State.UNCONFIRMED:
                orphans = {talk.talk_id for talk in talks.get(number, ()) if not talk.whole}
            account.orphans_stored += len(orphans)
            account.orphans_reported += len(orphans & self._orphans)
            if job.state is State.REFUSED:
                account.orphans_explained += len(orphans - self._orphans)
        counting = {talk.talk_id for talk in (t for each in talks.values() for t in each)} & self._orphans
        account.reported_wrongly = len(self._orphans) - len(counting)
        return account
