"""Talks that are known to exist: what a look-up is held against.

Asked for in every query, they show that the query works (the control), how far the service has got with showing what it was
sent (the fence), and how long it takes to show a talk (the lag). All times are seconds on the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# A talk that nobody has seen after a day will not be seen: deleted, or never shown.
BEACON_LOST_S = 86400.0
# A talk is measured by so often, for its time to come into sight, while nothing is in doubt.
MEASURE_EVERY_S = 3600.0
# While absence is being shown: an index that stands still is noticed before it hides what was stored meanwhile.
MEASURE_IN_DOUBT_EVERY_S = 60.0
_FIRST_REST_S, _MOST_REST_S = 1.0, 300.0
# So many wait at once to come into sight. Those that have waited longest stay: they are seen soonest.
_MOST_BEACONS = 8
_LAGS_KEPT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A talk that exists: the service gave us its id for this try. `claimed` is the number of the event that began the try."""

    talk_id: str
    recording_id: str
    claimed: int


@dataclass(slots=True)
class Looking:
    """When next, and how often so far."""

    next_at: float
    looks: int = 0

    def looked(self, at: float, first_s: float, most_s: float) -> None:
        self.looks += 1
        self.next_at = at + min(first_s * 2.0 ** min(self.looks, 20), most_s)

    def not_before(self, at: float) -> None:
        self.next_at = max(self.next_at, at)


@dataclass(slots=True)
class _Beacon:
    known: Known
    # Since when it has been looked for: from the beginning, or since it went out of sight again.
    since: float
    looking: Looking
    in_sight: bool = False
    # It was in sight once: should it not be found any more, it was deleted, which says nothing of the lag.
    measured: bool = False
    # For how long it was looked for in vain before it was first seen.
    in_vain_s: float = 0.0

    @property
    def hopeful(self) -> bool:
        return self.in_sight or not self.measured


@dataclass(slots=True)
class Beacons:
    """The known talks of one connection."""

    # For how long known talks were looked for in vain before they were seen, the latest last; those seen at once left out.
    lags: list[float] = field(default_factory=list)
    _all: dict[str, _Beacon] = field(default_factory=dict)
    _measured_at: float | None = None
    # What was claimed later than that was accepted only just now.
    _newest_known: int | None = None

    @property
    def known(self) -> Mapping[str, str]:
        """Recording ids by talk id."""
        return {talk_id: each.known.recording_id for talk_id, each in self._all.items()}

    @property
    def longest_in_vain_s(self) -> float:
        """The longest time for which a talk that exists was looked for and not seen, as far as is remembered."""
        return max((*self.lags, *(each.in_vain_s for each in self._all.values() if not each.measured)), default=0.0)

    def reach(self, claimed: int) -> bool:
        """Whether there is one that was claimed later than that and is in sight or may come into it."""
        return any(each.hopeful and each.known.claimed > claimed for each in self._all.values())

    def measure_due(self, at: float, *, in_doubt: bool) -> bool:
        every_s = MEASURE_IN_DOUBT_EVERY_S if in_doubt else MEASURE_EVERY_S
        return self._measured_at is None or at - self._measured_at >= every_s

    def next_at(self) -> float | None:
        """When to look for those that are not in sight."""
        return min((each.looking.next_at for each in self._all.values() if not each.in_sight), default=None)

    def not_before(self, at: float) -> None:
        for each in self._all.values():
            each.looking.not_before(at)

    def choose(self, known: Sequence[Known], fence_beyond: int | None, at: float, *, in_doubt: bool = False) -> None:
        """Takes another one in if one is of use. `known` come latest first; one claimed after `fence_beyond` is wanted, and more
        of them where absence is being shown.
        """
        self._drop(at)
        fresh = next((each for each in known if each.talk_id not in self._all), None)
        if fresh is None or sum(not each.measured for each in self._all.values()) >= _MOST_BEACONS:
            return
        fence = fence_beyond is not None and fresh.claimed > fence_beyond and not self.reach(fence_beyond)
        if fence or self._to_measure(fresh, at, in_doubt=in_doubt):
            self._measured_at, self._newest_known = at, None
        elif any(each.hopeful for each in self._all.values()):
            return
        self._all[fresh.talk_id] = _Beacon(fresh, at, Looking(at))

    def _to_measure(self, fresh: Known, at: float, *, in_doubt: bool) -> bool:
        """A talk measures the lag only if it is looked for from when it was accepted; an old one would be seen at once."""
        if not self.measure_due(at, in_doubt=in_doubt):
            return False
        if self._newest_known is None:
            self._newest_known = fresh.claimed
        return fresh.claimed > self._newest_known

    def _drop(self, at: float) -> None:
        """Of those in sight the latest is enough; of those gone again a few are kept, lest they be chosen once more."""
        seen = [each for each in self._all.values() if each.in_sight]
        latest = max((each.known.claimed for each in seen), default=-1)
        for each in list(self._all.values()):
            if not each.in_sight and at - each.since > BEACON_LOST_S:
                if seen and not each.measured:  # else it is the query that does not work
                    self._measured(each.in_vain_s)
                del self._all[each.known.talk_id]
            elif each.in_sight and each.known.claimed < latest:
                del self._all[each.known.talk_id]
        gone = [each for each in self._all.values() if not each.hopeful]
        for each in gone[:-_MOST_BEACONS]:
            del self._all[each.known.talk_id]

    def _measured(self, lag_s: float) -> None:
        if lag_s > 0:
            self.lags = [*self.lags, lag_s][-_LAGS_KEPT:]

    def looked(self, asked: Mapping[str, str], found: Mapping[str, Sequence[str]], at: float) -> int:
        """Takes an answer in. Returns what the latest one in it was claimed at; -1 when none was in it."""
        latest = -1
        for talk_id in asked:
            if (each := self._all.get(talk_id)) is None:
                continue
            each.looking.looked(at, _FIRST_REST_S, _MOST_REST_S)
            if talk_id in found.get(each.known.recording_id, ()):
                latest = max(latest, each.known.claimed)
                if not each.measured:
                    self._measured(each.in_vain_s)
                each.in_sight = each.measured = True
            elif each.in_sight:
                each.in_sight, each.since, each.looking = False, at, Looking(at)
            elif not each.measured:
                each.in_vain_s = at - each.since
        return latest

    def blind_s(self, at: float) -> float:
        """For how long they have been looked for without any being seen; 0 while one is in sight."""
        if any(each.in_sight for each in self._all.values()):
            return 0.0
        return max((at - each.since for each in self._all.values() if each.looking.looks or each.measured), default=0.0)
