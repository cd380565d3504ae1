"""Finding out what became of a recording whose answer was lost, by asking the service for it.

A find settles the matter; not finding proves nothing by itself: the service may show a talk late, or not under this key, or
the request that was lost may still be on its way. So absence counts only when it is shown. A look is worth something only if
the same query finds a talk that is known to exist (the control), and one that was begun after the doubt arose (the fence);
both come from `core.beacons`. At least three such looks over the patience must agree, and the patience is ten times the longest
time for which a talk that was known to exist was looked for in vain, should that be longer than what is configured.

All times here are seconds on the monotonic clock: no jump of the wall clock shortens a proof. What is known here is lost with
the process, which only makes the next one begin its proofs anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from speechsense_watch.core.beacons import Beacons, Known, Looking
from speechsense_watch.core.model import Job
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.turns import FIRST, Position

# What comes before a field's name in the key of a filter; the service's own documents name both.
PREFIXES = ("userMeta.", "user.")
NEEDED_LOOKS = 3
LAG_FACTOR = 10.0
# One query asks for so many recordings, and for so many tries of them; for so many tries of any one.
JOBS_A_QUERY, IDS_A_QUERY, IDS_A_JOB = 100, 1_000, 200
# SpeechSense keeps talks for three months: what may be older is absent whether it was there or not.
KEPT_FOR = timedelta(days=80)
FIRST_LOOK_S = 2.0
# Without a single known talk in sight for so long, looking up does not work at all.
BLIND_AFTER_S = 3600.0
_MOST_REST_S = 600.0
# For what can be found and never be shown absent: thousands of those would use up what may be read in a day.
_RARELY_S = 3600.0
_KEY_IN_VAIN = 3
_CHECK_LOOKS = 20


def recording_id(uid: str, n: int) -> str:
    """What the n-th try of a recording carries in the declared key."""
    return f"{uid}-{n}"


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt as it is on record; `committed`: it reached its commit point, so it may have arrived whole."""

    recording_id: str
    committed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An unconfirmed job. `since` is the number of the event that made it so: whatever was claimed later has a higher one.

    `whole` are the recording ids of the tries that may have arrived whole, the latest first; `broken` those of its other
    tries. `claims` is the job's counter of them. `may_resend`: to be sent again once its absence is shown. `position`: among all
    that are in doubt.
    """

    job_id: int
    since: int
    whole: tuple[str, ...]
    broken: tuple[str, ...] = ()
    claims: int
    may_resend: bool = True
    position: Position = FIRST


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A finished job of which other tries may have left talks of their own. `whole` and `broken` are as in Doubt."""

    job_id: int
    talk_id: str
    whole: tuple[str, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The service has the recording under this talk id; `doubled`: and under another as well."""

    job_id: int
    talk_id: str
    recording_id: str
    doubled: bool


@dataclass(frozen=True, slots=True)
class Absent:
    """It was shown that the service has none of the job's first `claims` tries; `looks` over `seconds` agreed."""

    job_id: int
    claims: int
    looks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Orphan:
    """A talk beside the one that counts. `whole`: it is the whole recording a second time, else what a broken try left."""

    job_id: int
    talk_id: str
    recording_id: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """No more is to be expected of the job's other tries; `doubled`: one of them arrived whole as well."""

    job_id: int
    doubled: bool


Ruling = Found | Absent | Orphan | Checked


@dataclass(slots=True)
class _OpenDoubt:
    doubt: Doubt
    looking: Looking
    negatives: int = 0
    first_negative_at: float = 0.0


@dataclass(slots=True)
class _OpenCheck:
    check: Check
    since: float
    looking: Looking
    doubled: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What one query asks for, and when. `ids` are recording ids; the talk ids of `known` need not be asked about."""

    ids: tuple[str, ...]
    known: Mapping[str, str]
    at: float
    doubts: tuple[int, ...] = ()
    checks: tuple[int, ...] = ()


@dataclass(slots=True)
class Inquiry:
    """All that is being found out about the talks of one connection. Fed with what the queue holds and what the service
    answers; asked what to ask next.
    """

    patience_s: float
    beacons: Beacons = field(default_factory=Beacons)
    prefix: str = ""
    _not_before: float = 0.0
    _doubts: dict[int, _OpenDoubt] = field(default_factory=dict)
    _checks: dict[int, _OpenCheck] = field(default_factory=dict)
    _in_vain: int = 0

    # --- what there is to find out -------------------------------------------------------------

    def take_in(self, doubts: Iterable[Doubt], checks: Iterable[Check], known: Sequence[Known], at: float) -> None:
        """What the queue holds now; `known` are talks that exist, the latest first. What was settled otherwise is forgotten."""
        before, self._doubts = self._doubts, {}
        for doubt in doubts:
            old = before.get(doubt.job_id)
            if old is not None and old.doubt.since == doubt.since:
                old.doubt = doubt
            else:  # a job that came back into doubt is another doubt
                old = _OpenDoubt(doubt, Looking(at + FIRST_LOOK_S))
            self._doubts[doubt.job_id] = old
        self._checks = {
            check.job_id: self._checks.get(check.job_id) or _OpenCheck(check, at, Looking(at + FIRST_LOOK_S)) for check in checks
        }
        self.beacons.choose(known, self._newest_doubt if self._doubts else None, at, in_doubt=self._showing_absence)

    @property
    def wants_known(self) -> bool:
        """Whether talks that exist are of use now: for a control or a fence."""
        return bool(self._doubts or self._checks) and not self.beacons.reach(self._newest_doubt)

    def measure_due(self, at: float) -> bool:
        return self.beacons.measure_due(at, in_doubt=self._showing_absence)

    @property
    def _showing_absence(self) -> bool:
        return any(each.negatives and each.doubt.may_resend for each in self._doubts.values())

    @property
    def _newest_doubt(self) -> int:
        return max((each.doubt.since for each in self._doubts.values()), default=-1)

    # --- asking ------------------------------------------------------------------------------

    @property
    def needed_s(self) -> float:
        """Over how long looks have to agree before absence counts."""
        return max(self.patience_s, LAG_FACTOR * self.beacons.longest_in_vain_s)

    def keys(self, name: str) -> tuple[str, ...]:
        """Under which keys to ask for the declared field: the one that was found out, else all that may be."""
        return tuple(prefix + name for prefix in ((self.prefix,) if self.prefix else PREFIXES))

    def next_at(self) -> float | None:
        """When the next query is due; None while there is nothing to find out."""
        due = [
            *(each.looking.next_at for each in self._doubts.values()),
            *(each.looking.next_at for each in self._checks.values()),
        ]
        if (beacon := self.beacons.next_at()) is not None:
            due.append(beacon)
        return max(min(due), self._not_before) if due else None

    def batch(self, at: float) -> Batch | None:
        """What to ask for now; None while nothing is due."""
        due = self.next_at()
        if due is None or due > at:
            return None
        known = self.beacons.known
        ids = list(known.values())
        # What would be due soon goes along: one query instead of many.
        soon = at + self._rest_s / 2
        due_doubts = [
            (each.looking.next_at, job, each.doubt) for job, each in self._doubts.items() if each.looking.next_at <= soon
        ]
        due_checks = [
            (each.looking.next_at, job, each.check) for job, each in self._checks.items() if each.looking.next_at <= soon
        ]
        doubts = _fitting(due_doubts, ids, JOBS_A_QUERY)
        checks = _fitting(due_checks, ids, JOBS_A_QUERY - len(doubts))
        return Batch(tuple(dict.fromkeys(ids)), known, at, doubts, checks)

    # --- answers -----------------------------------------------------------------------------

    def answered(self, batch: Batch, found: Mapping[str, Sequence[str]], at: float) -> list[Ruling]:
        """What the service's answer means. `found` gives the talk ids by the recording ids that these talks carry."""
        latest = self.beacons.looked(batch.known, found, at)
        asked = frozenset(batch.ids)
        worked = latest >= 0
        rulings: list[Ruling] = []
        for job_id in batch.checks:
            if (check := self._checks.get(job_id)) is not None:
                own, ruled = self._look_at_check(check, found, at)
                worked, rulings = worked or own, rulings + ruled
        if batch.known or worked:
            self._in_vain = 0 if worked else self._in_vain + 1
        if self._in_vain >= _KEY_IN_VAIN:
            self.prefix = ""
        for job_id in batch.doubts:
            if (looked := self._doubts.get(job_id)) is not None:
                # Not to be found counts only for what was asked for whole.
                fence = latest if asked.issuperset(looked.doubt.whole) else -1
                rulings += self._look_at_doubt(looked, found, batch.at, at, fence)
        return rulings

    def failed(self, batch: Batch, at: float, again_in_s: float) -> None:
        """The query could not be made: nothing of it counts, and it comes again, behind all others. Nor is anything else asked
        before: who may not look for one may not look for ten thousand, and each such question is one less for whoever may.
        """
        self._not_before = at + again_in_s
        self.beacons.not_before(at + again_in_s)
        looking = [self._doubts[job].looking for job in batch.doubts if job in self._doubts]
        looking += [self._checks[job].looking for job in batch.checks if job in self._checks]
        for each in looking:
            each.not_before(at + again_in_s)

    def key_worked(self, key: str, name: str) -> None:
        """A known talk was found under this key."""
        self.prefix = key.removesuffix(name)

    def blind_s(self, at: float) -> float:
        """For how long known talks have been looked for without any being seen; 0 while one is in sight."""
        return self.beacons.blind_s(at)

    def _look_at_check(self, looked: _OpenCheck, found: Mapping[str, Sequence[str]], at: float) -> tuple[bool, list[Ruling]]:
        """Whether its own talk was seen, and what else was."""
        check = looked.check
        own = any(check.talk_id in found.get(name, ()) for name in check.whole)
        rulings: list[Ruling] = [
            Orphan(check.job_id, talk_id, name, whole=name in check.whole)
            for name in (*check.whole, *check.broken)
            for talk_id in found.get(name, ())
            if talk_id != check.talk_id
        ]
        looked.doubled = looked.doubled or any(isinstance(each, Orphan) and each.whole for each in rulings)
        looked.looking.looked(at, FIRST_LOOK_S, self._rest_s)
        long_enough = at - looked.since >= self.needed_s
        if long_enough and (own or looked.looking.looks >= _CHECK_LOOKS):
            rulings.append(Checked(check.job_id, looked.doubled))
        return own, rulings

    def _look_at_doubt(
        self, looked: _OpenDoubt, found: Mapping[str, Sequence[str]], asked_at: float, at: float, fence: int
    ) -> list[Ruling]:
        """`fence`: what the latest known talk in this very answer was claimed at."""
        doubt = looked.doubt
        looked.looking.looked(at, FIRST_LOOK_S, self._rest_s if doubt.may_resend else _RARELY_S)
        rulings: list[Ruling] = [
            Orphan(doubt.job_id, talk_id, name, whole=False) for name in doubt.broken for talk_id in found.get(name, ())
        ]
        hits = [(name, talk_id) for name in doubt.whole for talk_id in found.get(name, ())]
        if hits:
            (name, talk_id), *others = hits
            rulings += [Orphan(doubt.job_id, other, under, whole=True) for under, other in others]
            return [*rulings, Found(doubt.job_id, talk_id, name, doubled=bool(others))]
        # One that was begun after the doubt arose is control and fence in one.
        if fence > doubt.since:
            looked.first_negative_at = looked.first_negative_at if looked.negatives else at
            looked.negatives += 1
            for_s = asked_at - looked.first_negative_at
            if doubt.may_resend and looked.negatives >= NEEDED_LOOKS and for_s >= self.needed_s:
                rulings.append(Absent(doubt.job_id, doubt.claims, looked.negatives, for_s))
        return rulings

    @property
    def _rest_s(self) -> float:
        """The longest rest between two looks: several of them fit into the patience."""
        return min(max(self.needed_s / 4, 1.0), _MOST_REST_S)


def _fitting(due: Sequence[tuple[float, int, Doubt | Check]], ids: list[str], most: int) -> tuple[int, ...]:
    """The jobs that one query may ask for, the longest due first; what it asks for is added to `ids`."""
    chosen: list[int] = []
    for _, job_id, asked in sorted(due, key=lambda each: each[:2]):
        # Those that may have arrived whole, then the latest of the others.
        own = (*asked.whole, *reversed(asked.broken))[:IDS_A_JOB]
        if len(chosen) < most and len(ids) + len(own) <= IDS_A_QUERY:
            chosen.append(job_id)
            ids += own
    return tuple(chosen)


def carries(job: Job, name: str) -> bool:
    """Whether the latest try of this recording bore its id in the field `name`. One from before the field was declared, or under
    the name it had then, is not found by it: not to find it shows nothing. Earlier tries than the latest were shown to be absent
    by what they bore, or their recording is marked as a possible duplicate.
    """
    return bool(job.uid) and job.fields.get(name, "").startswith(f"{job.uid}-")


def doubt_of(job: Job, since: int, tries: Sequence[Try], now: datetime) -> Doubt:
    """The doubt about an unconfirmed job. `tries` are those on record, the first one first. Of what may have been sent before the
    queue was lost no record tells which tries there were: each number up to the counter may have been one that arrived.
    """
    whole = tuple(each.recording_id for each in reversed(tries) if each.committed)
    broken = tuple(each.recording_id for each in tries if not each.committed)
    sent_since = job.updated_at
    if job.reason is Reason.MAYBE_SENT_BEFORE and job.uid:
        whole, broken = tuple(recording_id(job.uid, n) for n in range(job.claims, 0, -1)), ()
        sent_since = min(job.recorded_at, job.updated_at)
    return Doubt(
        job_id=job.id,
        since=since,
        whole=whole,
        broken=broken,
        claims=job.claims,
        # The operator's own `upload` is never repeated by itself.
        may_resend=job.owner is None and bool(whole) and now - sent_since < KEPT_FOR,
    )
