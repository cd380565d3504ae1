"""What is done about a lost answer: as the daemon offers it, as others do it, and with one safeguard taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from speechsense_watch.core.beacons import Beacons
from speechsense_watch.core.lookup import Absent, Inquiry, Ruling, _OpenDoubt
from speechsense_watch.core.rules import OnUnknown

PATIENCE_S = 600.0


class Naive(StrEnum):
    """Ways of delivering that are found in the wild. None of them has a commit mark."""

    RETRY_ON_ERROR = "retry on error"  # what has no talk id is sent again, after errors and after crashes
    MARK_SENT_FIRST = "mark sent first"  # taken off the list before it is sent
    RESEND_AFTER_CRASH = "resend after crash"  # errors wait for a person; what a crash left in flight is sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`unknown` is what the daemon is told to do, `naive` what is done instead of all that. The rest are its safeguards."""

    name: str
    unknown: OnUnknown = OnUnknown.SEARCH
    naive: Naive | None = None
    inquiry: type[Inquiry] = Inquiry
    patience_s: float = PATIENCE_S
    # Teeth: false takes the safeguard away.
    commit_mark: bool = True
    tries_told_apart: bool = True
    counter_only_grows: bool = True
    looks_after_leftovers: bool = True

    def begin_inquiry(self, lags: list[float]) -> Inquiry:
        return self.inquiry(patience_s=self.patience_s, beacons=Beacons(list(lags)))


# --- safeguards taken away -------------------------------------------------------------------


@dataclass(slots=True)
class FirstNegative(Inquiry):
    """One look that finds nothing is believed."""

    def _look_at_doubt(
        self, looked: _OpenDoubt, found: Mapping[str, Sequence[str]], asked_at: float, at: float, fence: int
    ) -> list[Ruling]:
        ruled = Inquiry._look_at_doubt(self, looked, found, asked_at, at, fence)
        doubt = looked.doubt
        return ruled or [Absent(doubt.job_id, doubt.claims, 1, 0.0)]


_ANYTHING = 1 << 60


@dataclass(slots=True)
class WithoutFence(Inquiry):
    """Any known talk in the answer will do, however old, and no later one is sought."""

    @property
    def _newest_doubt(self) -> int:
        return -1

    @property
    def _showing_absence(self) -> bool:
        return False

    def _look_at_doubt(
        self, looked: _OpenDoubt, found: Mapping[str, Sequence[str]], asked_at: float, at: float, fence: int
    ) -> list[Ruling]:
        return Inquiry._look_at_doubt(self, looked, found, asked_at, at, _ANYTHING if fence >= 0 else fence)


@dataclass(slots=True)
class Unwatched(Inquiry):
    """Once a later talk is in sight, no other is looked for: an index that stands still from then on goes unnoticed."""

    @property
    def _showing_absence(self) -> bool:
        return False


@dataclass(slots=True)
class WithoutControl(Inquiry):
    """A later talk was in sight once; whether this very answer shows anything at all is not asked."""

    _ever: int = field(default=-1)

    @property
    def needed_s(self) -> float:
        return max(self.patience_s, 10.0 * max(self.beacons.lags, default=0.0))

    def _look_at_doubt(
        self, looked: _OpenDoubt, found: Mapping[str, Sequence[str]], asked_at: float, at: float, fence: int
    ) -> list[Ruling]:
        self._ever = max(self._ever, fence)
        return Inquiry._look_at_doubt(self, looked, found, asked_at, at, self._ever)


@dataclass(slots=True)
class OneLook(Inquiry):
    """Control and fence, but no more than one look."""

    def _look_at_doubt(
        self, looked: _OpenDoubt, found: Mapping[str, Sequence[str]], asked_at: float, at: float, fence: int
    ) -> list[Ruling]:
        ruled = Inquiry._look_at_doubt(self, looked, found, asked_at, at, fence)
        doubt = looked.doubt
        return ruled or ([Absent(doubt.job_id, doubt.claims, 1, 0.0)] if looked.negatives else [])


@dataclass(slots=True)
class FixedPatience(WithoutFence):
    """Neither a fence nor what was measured: so many seconds are believed to be enough."""

    @property
    def needed_s(self) -> float:
        return self.patience_s


@dataclass(slots=True)
class Unmeasured(Inquiry):
    """The patience is what was configured, however long known talks were looked for in vain."""

    @property
    def needed_s(self) -> float:
        return self.patience_s


SEARCH = Policy(name="search")
HOLD = Policy(name="hold", unknown=OnUnknown.HOLD)
RESEND = Policy(name="resend", unknown=OnUnknown.RESEND)
OFFERED = (SEARCH, HOLD, RESEND)

NAIVE = (
    Policy(name="naive: retry on error", naive=Naive.RETRY_ON_ERROR),
    Policy(name="naive: mark sent first", naive=Naive.MARK_SENT_FIRST),
    Policy(name="naive: resend after crash", naive=Naive.RESEND_AFTER_CRASH),
    replace(SEARCH, name="naive: first negative believed", inquiry=FirstNegative),
    replace(SEARCH, name="naive: 60 s, no fence", inquiry=FixedPatience, patience_s=60.0),
)

TEETH = (
    replace(SEARCH, name="commit mark ignored", commit_mark=False),
    replace(SEARCH, name="fence off", inquiry=WithoutFence),
    replace(SEARCH, name="index not watched", inquiry=Unwatched),
    replace(SEARCH, name="control off", inquiry=WithoutControl),
    replace(SEARCH, name="absence after one look", inquiry=OneLook),
    replace(SEARCH, name="counter goes back", counter_only_grows=False),
    replace(SEARCH, name="tries not told apart", tries_told_apart=False),
    replace(SEARCH, name="leftovers ignored", looks_after_leftovers=False),
)
