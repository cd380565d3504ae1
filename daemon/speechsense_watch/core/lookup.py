"""Finding out what became of a recording whose answer was lost, by asking the service for it.

A find settles the matter; not finding proves nothing by itself: the service may show a talk late, or not under this key, or
the request that was lost may still be on its way. So absence counts only when it is shown. A look is worth something only if
the same query finds a talk that is known to exist (the control), and only after a talk that was begun later than the doubtful
one has come into sight (the fence). At least three such looks over the patience must agree, and the patience is ten times the
longest time for which a talk that was known to exist was looked for in vain, should that be longer than what is configured.

All times here are seconds on the monotonic clock: no jump of the wall clock shortens a proof. What is known here is lost with
the process, which only makes the next one begin its proofs anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from speechsense_watch.core.model import Job

# What comes before a field's name in the key of a filter; the service's own documents name both.
PREFIXES = ("userMeta.", "user.")
NEEDED_LOOKS = 3
LAG_FACTOR = 10.0
# One query asks for so many recordings, and for so many tries of them.
JOBS_A_QUERY, IDS_A_QUERY = 100, 1_000
# SpeechSense keeps talks for three months: what may be older is absent whether it was there or not.
KEPT_FOR = timedelta(days=80)
FIRST_LOOK_S = 2.0
# A talk that nobody has seen after a day will not be seen: deleted, or never shown.
BEACON_LOST_S = 86400.0
# A talk is measured by so often, for its time to come into sight, while nothing is in doubt.
MEASURE_EVERY_S = 3600.0
# Without a single known talk in sight for so long, looking up does not work at all.
BLIND_AFTER_S = 3600.0
_MOST_REST_S = 600.0
_MOST_BEACONS = 8
_LAGS_KEPT = 50
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
    tries. `may_resend`: to be sent again once its absence is shown.
    """

    job_id: int
    since: int
    whole: tuple[str, ...]
    broken: tuple[str, ...] = ()
    may_resend: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A talk that exists: the service gave us its id for this try. `claimed` is the number of the event that began the try."""

    talk_id: str
    recording_id: str
    claimed: int


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
    """It was shown that the service has it not; `looks` over `seconds` agreed."""

    job_id: int
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
class _Looking:
    """When next, and how often so far."""

    next_at: float
    looks: int = 0

    def looked(self, at: float, first_s: float, most_s: float) -> None:
        self.looks += 1
        self.next_at = at + min(first_s * 2.0 ** min(self.looks, 20), most_s)


@dataclass(slots=True)
class _OpenDoubt:
    doubt: Doubt
    looking: _Looking
    negatives: int = 0
    first_negative_at: float = 0.0


@dataclass(slots=True)
class _Beacon:
    known: Known
    since: float
    looking: _Looking
    seen: bool = False
    # For how long it was looked for in vain so far.
    in_vain_s: float = 0.0


@dataclass(slots=True)
class _OpenCheck:
    check: Check
    since: float
    looking: _Looking
    doubled: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What one query asks for. `ids` are recording ids; the talk ids of `known` need not be asked about."""

    ids: tuple[str, ...]
    known: Mapping[str, str]
    doubts: tuple[int, ...] = ()
    checks: tuple[int, ...] = ()


@dataclass(slots=True)
class Inquiry:
    """All that is being found out about the talks of one connection. Fed with what the queue holds and what the service
    answers; asked what to ask next.
    """

    patience_s: float
    # For how long known talks were looked for in vain before they were seen, the latest last.
    lags: list[float] = field(default_factory=list)
    prefix: str = ""
    _doubts: dict[int, _OpenDoubt] = field(default_factory=dict)
    _beacons: dict[str, _Beacon] = field(default_factory=dict)
    _checks: dict[int, _OpenCheck] = field(default_factory=dict)
    _measured_at: float | None = None
    _in_vain: int = 0

    # --- what there is to find out -------------------------------------------------------------

    def take_in(self, doubts: Iterable[Doubt], checks: Iterable[Check], known: Sequence[Known], at: float) -> None:
        """What the queue holds now; `known` are talks that exist, the latest first. What was settled otherwise is forgotten."""
        present = {doubt.job_id: doubt for doubt in doubts}
        self._doubts = {
            # A job that came back into doubt is another doubt.
            job_id: old
            if (old := self._doubts.get(job_id)) and old.doubt.since == doubt.since
            else _OpenDoubt(doubt, _Looking(at + FIRST_LOOK_S))
            for job_id, doubt in present.items()
        }
        self._checks = {
            check.job_id: self._checks.get(check.job_id) or _OpenCheck(check, at, _Looking(at + FIRST_LOOK_S)) for check in checks
        }
        self._choose_beacons(known, at)

    @property
    def wants_known(self) -> bool:
        """Whether talks that exist are of use now: for a control, a fence, or to measure by."""
        newest = max((each.doubt.since for each in self._doubts.values()), default=-1)
        return bool(self._doubts or self._checks) and not any(each.known.claimed > newest for each in self._beacons.values())

    def measure_due(self, at: float) -> bool:
        return self._measured_at is None or at - self._measured_at >= MEASURE_EVERY_S

    def _choose_beacons(self, known: Sequence[Known], at: float) -> None:
        newest_doubt = max((each.doubt.since for each in self._doubts.values()), default=-1)
        fence = any(each.known.claimed > newest_doubt for each in self._beacons.values())
        fresh = next((each for each in known if each.talk_id not in self._beacons), None)
        wanted = (self._doubts and not fence and fresh and fresh.claimed > newest_doubt) or (known and not self._beacons)
        if fresh and (wanted or self.measure_due(at)):
            self._beacons[fresh.talk_id] = _Beacon(fresh, at, _Looking(at))
            self._measured_at = at
        lost = [each for each in self._beacons.values() if not each.seen and at - each.since > BEACON_LOST_S]
        seen = sorted((each for each in self._beacons.values() if each.seen), key=lambda each: each.known.claimed)
        unseen = [each for each in self._beacons.values() if not each.seen and each not in lost]
        for each in (*lost, *seen[:-1], *unseen[:-_MOST_BEACONS]):
            del self._beacons[each.known.talk_id]

    # --- asking ------------------------------------------------------------------------------

    @property
    def needed_s(self) -> float:
        """Over how long looks have to agree before absence counts."""
        in_vain = [each.in_vain_s for each in self._beacons.values() if not each.seen]
        return max(self.patience_s, LAG_FACTOR * max((*self.lags, *in_vain), default=0.0))

    def keys(self, name: str) -> tuple[str, ...]:
        """Under which keys to ask for the declared field: the one that was found out, else all that may be."""
        return tuple(prefix + name for prefix in ((self.prefix,) if self.prefix else PREFIXES))

    def next_at(self) -> float | None:
        """When the next query is due; None while there is nothing to find out."""
        looking = (
            *(each.looking for each in self._doubts.values()),
            *(each.looking for each in self._checks.values()),
            *(each.looking for each in self._beacons.values() if not each.seen),
        )
        return min((each.next_at for each in looking), default=None)

    def batch(self, at: float) -> Batch | None:
        """What to ask for now; None while nothing is due."""
        due = self.next_at()
        if due is None or due > at:
            return None
        ids = [each.known.recording_id for each in self._beacons.values()]
        doubts: list[int] = []
        checks: list[int] = []
        for job_id in _first_due(self._doubts, at):
            if len(doubts) < JOBS_A_QUERY and len(ids) < IDS_A_QUERY:
                doubts.append(job_id)
                ids += (*self._doubts[job_id].doubt.whole, *self._doubts[job_id].doubt.broken)
        for job_id in _first_due(self._checks, at):
            if len(doubts) + len(checks) < JOBS_A_QUERY and len(ids) < IDS_A_QUERY:
                checks.append(job_id)
                ids += (*self._checks[job_id].check.whole, *self._checks[job_id].check.broken)
        known = {each.known.talk_id: each.known.recording_id for each in self._beacons.values()}
        return Batch(tuple(dict.fromkeys(ids)), known, tuple(doubts), tuple(checks))

    # --- answers -----------------------------------------------------------------------------

    def answered(self, batch: Batch, found: Mapping[str, Sequence[str]], at: float) -> list[Ruling]:
        """What the service's answer means. `found` gives the talk ids by the recording ids that these talks carry."""
        control = self._look_at_beacons(batch, found, at)
        rulings: list[Ruling] = []
        for job_id in batch.checks:
            if (check := self._checks.get(job_id)) is not None:
                own, ruled = self._look_at_check(check, found, at)
                control, rulings = control or own, rulings + ruled
        self._in_vain = 0 if control else self._in_vain + 1
        if self._in_vain >= _KEY_IN_VAIN:
            self.prefix = ""
        for job_id in batch.doubts:
            if (looked := self._doubts.get(job_id)) is not None:
                rulings += self._look_at_doubt(looked, found, at, control=control)
        return rulings

    def failed(self, batch: Batch, at: float, again_in_s: float) -> None:
        """The query could not be made: nothing of it counts, and it comes again."""
        for looking in (
            *(self._doubts[job].looking for job in batch.doubts if job in self._doubts),
            *(self._checks[job].looking for job in batch.checks if job in self._checks),
            *(each.looking for each in self._beacons.values()),
        ):
            looking.next_at = max(looking.next_at, at + again_in_s)

    def key_worked(self, key: str, name: str) -> None:
        """A known talk was found under this key."""
        self.prefix = key.removesuffix(name)

    def blind_s(self, at: float) -> float:
        """For how long known talks have been looked for without any being seen; 0 while one is in sight."""
        if any(each.seen for each in self._beacons.values()):
            return 0.0
        return max((at - each.since for each in self._beacons.values() if each.looking.looks), default=0.0)

    def _look_at_beacons(self, batch: Batch, found: Mapping[str, Sequence[str]], at: float) -> bool:
        """Whether one of them was seen: the query works."""
        control = False
        for talk_id in batch.known:
            beacon = self._beacons.get(talk_id)
            if beacon is None:
                continue
            beacon.looking.looked(at, 1.0, min(300.0, _MOST_REST_S))
            if talk_id in found.get(beacon.known.recording_id, ()):
                control = True
                if not beacon.seen:
                    beacon.seen = True
                    self.lags = [*self.lags, beacon.in_vain_s][-_LAGS_KEPT:]
            elif not beacon.seen:
                beacon.in_vain_s = at - beacon.since
        return control

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
        long_enough = own and at - looked.since >= self.needed_s
        if long_enough or looked.looking.looks >= _CHECK_LOOKS:
            rulings.append(Checked(check.job_id, looked.doubled))
        return own, rulings

    def _look_at_doubt(self, looked: _OpenDoubt, found: Mapping[str, Sequence[str]], at: float, *, control: bool) -> list[Ruling]:
        doubt = looked.doubt
        looked.looking.looked(at, FIRST_LOOK_S, self._rest_s)
        rulings: list[Ruling] = [
            Orphan(doubt.job_id, talk_id, name, whole=False) for name in doubt.broken for talk_id in found.get(name, ())
        ]
        hits = [(name, talk_id) for name in doubt.whole for talk_id in found.get(name, ())]
        if hits:
            (name, talk_id), *others = hits
            rulings += [Orphan(doubt.job_id, other, under, whole=True) for under, other in others]
            return [*rulings, Found(doubt.job_id, talk_id, name, doubled=bool(others))]
        fence = any(each.seen and each.known.claimed > doubt.since for each in self._beacons.values())
        if control and fence:
            looked.first_negative_at = looked.first_negative_at if looked.negatives else at
            looked.negatives += 1
            for_s = at - looked.first_negative_at
            if doubt.may_resend and looked.negatives >= NEEDED_LOOKS and for_s >= self.needed_s:
                rulings.append(Absent(doubt.job_id, looked.negatives, for_s))
        return rulings

    @property
    def _rest_s(self) -> float:
        """The longest rest between two looks: several of them fit into the patience."""
        return min(max(self.needed_s / 4, 1.0), _MOST_REST_S)


def _first_due(open_ones: Mapping[int, _OpenDoubt] | Mapping[int, _OpenCheck], at: float) -> list[int]:
    """The longest due first."""
    due = [(each.looking.next_at, job_id) for job_id, each in open_ones.items() if each.looking.next_at <= at]
    return [job_id for _, job_id in sorted(due)]


def doubt_of(job: Job, since: int, tries: Sequence[Try], now: datetime) -> Doubt:
    """The doubt about an unconfirmed job. `tries` are those on record, the first one first."""
    whole = tuple(each.recording_id for each in reversed(tries) if each.committed)
    broken = tuple(each.recording_id for each in tries if not each.committed)
    return Doubt(
        job_id=job.id,
        since=since,
        whole=whole,
        broken=broken,
        # The operator's own `upload` is never repeated by itself.
        may_resend=job.owner is None and bool(whole) and now - job.updated_at < KEPT_FOR,
    )
