"""What came of many simulated lives: counted, held against what is promised, printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from support.simulation.fate import Faults
from support.simulation.policies import TEETH, Naive, Policy
from support.simulation.world import RECORDINGS_A_LIFE, Account, World

USUAL = Faults()
# Median five minutes, one in a thousand over three hours: the index is slower than the patience.
HEAVY = replace(USUAL, lag_median_s=300.0, lag_sigma=1.2)
HEAVY_AND_MEASURED = replace(HEAVY, measured_before=50)

# The conditions that each safeguard is for.
_TRUNCATING = replace(USUAL, broken=0.2, truncated=0.5)
_STALLING = replace(USUAL, stalls=1, blind_spells=0, crash=0.003)
_STANDING_STILL = replace(_STALLING, stalls=2, zombie=0.2, zombie_at_most_s=550.0)
_GOING_BLIND = replace(USUAL, stalls=0, blind_spells=2, crash=0.003, lag_median_s=30.0, lag_sigma=1.0)
CONDITIONS = {
    "commit mark ignored": USUAL,
    "fence off": _STALLING,
    "index not watched": _STANDING_STILL,
    "control off": _GOING_BLIND,
    "absence after one look": USUAL,
    "counter goes back": _TRUNCATING,
    "tries not told apart": _TRUNCATING,
    "leftovers ignored": _TRUNCATING,
}


@dataclass(slots=True)
class Tally:
    """Sums over lives. `doubled` counts recordings, not talks."""

    policy: Policy
    recordings: int = 0
    lost: int = 0
    doubled: int = 0
    marked: int = 0
    held: int = 0
    held_though_stored: int = 0
    refused: int = 0
    wrong_ids: int = 0
    deceived: int = 0
    unknown: int = 0
    searches: int = 0
    orphans_stored: int = 0
    orphans_reported: int = 0
    orphans_explained: int = 0
    reported_wrongly: int = 0
    unfinished: int = 0
    longest_unconfirmed_s: float = 0.0
    longest_lag_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, account: Account) -> None:
        for end in account.ends:
            self.recordings += 1
            self.lost += end.lost
            self.doubled += end.doubled
            self.marked += end.doubled and end.marked
            self.held += end.held
            self.held_though_stored += end.held_though_stored
            self.refused += end.refused
            self.wrong_ids += end.wrong_id
            self.deceived += end.deceived
        for name in (
            "unknown",
            "searches",
            "orphans_stored",
            "orphans_reported",
            "orphans_explained",
            "reported_wrongly",
            "unfinished",
        ):
            setattr(self, name, getattr(self, name) + getattr(account, name))
        self.longest_unconfirmed_s = max(self.longest_unconfirmed_s, account.longest_unconfirmed_s)
        self.longest_lag_s = max(self.longest_lag_s, account.longest_lag_s)
        self.faults += account.faults

    @property
    def broken_promises(self) -> list[str]:
        """What the policy promises and did not keep; of the naive ones, what `search` would promise in their place."""
        searching = self.policy.naive is None and self.policy.name not in ("hold", "resend")
        not_told = self.orphans_stored - self.orphans_reported - self.orphans_explained
        promises = {
            "lost": (self.lost, True),
            "doubled": (self.doubled, self.policy.name != "resend"),
            "doubled and not marked": (self.doubled - self.marked, True),
            "a talk id that is not its own": (self.wrong_ids, True),
            "believed what was not so": (self.deceived, True),
            "neither sent nor held": (self.unfinished, True),
            "held": (self.held, searching),
            "orphans not told": (not_told, searching),
            "told as orphans and not there": (self.reported_wrongly, True),
        }
        return [f"{how_many} {what}" for what, (how_many, promised) in promises.items() if how_many and promised]


def play(policy: Policy, recordings: int, seed: int = 0, faults: Faults = USUAL) -> Tally:
    """Lives of some hundred recordings each, until there were so many recordings; they bear the numbers from `seed` on."""
    tally = Tally(policy)
    for account in lives(policy, recordings, seed, faults):
        tally.add(account)
    return tally


def lives(policy: Policy, recordings: int, seed: int, faults: Faults) -> Iterable[Account]:
    for first in range(seed, seed + recordings, RECORDINGS_A_LIFE):
        yield World(first, policy, faults, min(RECORDINGS_A_LIFE, seed + recordings - first)).run()


@dataclass(frozen=True, slots=True)
class Bite:
    """A safeguard taken away: after how many recordings the checker saw it, and what; nothing when it did not."""

    policy: Policy
    recordings: int
    seen: Sequence[str]


def bites(seed: int = 0, at_most: int = 12_500) -> list[Bite]:
    """Each safeguard taken away in the conditions that it is for, until that is seen."""
    return [_bite(policy, seed, at_most) for policy in TEETH]


def _bite(policy: Policy, seed: int, at_most: int) -> Bite:
    tally = Tally(policy)
    for account in lives(policy, at_most, seed, CONDITIONS[policy.name]):
        tally.add(account)
        if tally.broken_promises:
            break
    return Bite(policy, tally.recordings, tally.broken_promises)


# --- printed -----------------------------------------------------------------------------------

_COLUMNS = (
    ("policy", 31),
    ("recordings", 11),
    ("lost", 7),
    ("doubled", 8),
    ("marked", 7),
    ("wrong id", 9),
    ("held", 7),
    ("..stored", 9),
    ("orphans told/there", 19),
    ("unknown", 8),
    ("searches each", 14),
    ("longest open", 13),
)


def heading() -> str:
    return "".join(f"{name:<{width}}" if name == "policy" else f"{name:>{width}}" for name, width in _COLUMNS)


def line(tally: Tally, name: str = "") -> str:
    each = f"{tally.searches / tally.unknown:.1f}" if tally.unknown and tally.searches else "-"
    told = tally.policy.naive is None and tally.policy.name not in ("hold", "resend")
    there = tally.orphans_stored - tally.orphans_explained
    cells = (
        name or tally.policy.name,
        tally.recordings,
        tally.lost,
        tally.doubled,
        tally.marked,
        tally.wrong_ids,
        tally.held,
        tally.held_though_stored,
        f"{tally.orphans_reported}/{there}" if told else f"-/{there}",
        tally.unknown,
        each,
        f"{tally.longest_unconfirmed_s / 3600:.1f} h" if tally.policy.naive is not Naive.RETRY_ON_ERROR else "-",
    )
    return "".join(
        f"{cell:<{width}}" if i == 0 else f"{cell:>{width}}"
        for i, (cell, (_, width)) in enumerate(zip(cells, _COLUMNS, strict=True))
    )
