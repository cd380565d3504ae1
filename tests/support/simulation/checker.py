"""What may have become of a recording, by all that the daemon was told; and whether what did is one of that.

As in etcd's robustness tests: an answer that is not known forks the state into both, a find and a shown absence rule states
out. What the daemon believed is wrong when the truth, which only the service knows, is none of the states that are left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from speechsense_watch.core.model import Job, State
from support.simulation.service import StoredTalk

_SETTLED = (State.UPLOADED, State.DONE)


@dataclass(frozen=True, slots=True)
class End:
    """What became of one recording."""

    number: int
    lost: bool = False
    doubled: bool = False
    marked: bool = False
    held: bool = False
    held_though_stored: bool = False
    refused: bool = False
    wrong_id: bool = False
    # The truth is none of the states that may be, by all that was told.
    deceived: bool = False


@dataclass(slots=True)
class Checker:
    """`possible` holds, for each recording, how many whole talks of it the service may have."""

    possible: dict[int, frozenset[int]] = field(default_factory=lambda: defaultdict(lambda: frozenset({0})))

    def accepted(self, number: int) -> None:
        self.possible[number] = frozenset(n + 1 for n in self.possible[number])

    def unknown(self, number: int) -> None:
        before = self.possible[number]
        self.possible[number] = before | {n + 1 for n in before}

    def found(self, number: int) -> None:
        self.possible[number] = frozenset(n for n in self.possible[number] if n >= 1)

    def shown_absent(self, number: int) -> None:
        self.possible[number] = frozenset(n for n in self.possible[number] if n == 0)

    def end(self, job: Job, talks: Sequence[StoredTalk], *, refuses: bool) -> End:
        """`refuses`: the service would never have had it."""
        whole = [talk.talk_id for talk in talks if talk.whole]
        settled, held = job.state in _SETTLED, job.state is State.UNCONFIRMED
        refused = job.state is State.REFUSED and refuses
        return End(
            job.id,
            lost=not whole and not held and not refused,
            doubled=len(whole) > 1,
            marked=job.possible_duplicate,
            held=held,
            held_though_stored=held and bool(whole),
            refused=refused,
            wrong_id=settled and bool(whole) and job.talk_id not in whole,
            deceived=len(whole) not in self.possible[job.id],
        )
