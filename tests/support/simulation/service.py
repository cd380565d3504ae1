"""The simulated service. It stores what arrives, shows it in Search when its index has got that far, and forgets nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

PREFIX = "user."


@dataclass(frozen=True, slots=True)
class StoredTalk:
    """`whole`: all of the recording, else what a broken stream left that was taken for whole (grpc/grpc#33038)."""

    talk_id: str
    number: int
    recording_id: str
    whole: bool
    visible_at: float


@dataclass(frozen=True, slots=True)
class Spell:
    """Something lasts from `start` to `end`."""

    start: float
    end: float
    what: str = ""


def during(spells: Sequence[Spell], at: float) -> Spell | None:
    """The spell that lasts at that time. They are sorted and do not overlap."""
    i = bisect_right(spells, at, key=lambda spell: spell.start) - 1
    return spells[i] if i >= 0 and at < spells[i].end else None


@dataclass(slots=True)
class SimulatedService:
    """`down`: uploads and questions fail. `stalled`: what is stored becomes visible only after it. `blind`: Search answers
    nothing, as if there were nothing.
    """

    down: Sequence[Spell] = ()
    stalled: Sequence[Spell] = ()
    blind: Sequence[Spell] = ()
    talks: dict[int, list[StoredTalk]] = field(default_factory=lambda: defaultdict(list))
    _by_recording_id: dict[str, list[StoredTalk]] = field(default_factory=lambda: defaultdict(list))
    _ids: Iterable[int] = field(default_factory=count)

    def store(self, number: int, recording_id: str, at: float, lag_s: float, *, whole: bool) -> str:
        talk_id = f"talk-{next(iter(self._ids))}"
        stall = during(self.stalled, at)
        visible_at = (stall.end if stall else at) + lag_s
        while (stall := during(self.stalled, visible_at)) is not None:
            visible_at = stall.end
        talk = StoredTalk(talk_id, number, recording_id, whole, visible_at)
        self.talks[number].append(talk)
        self._by_recording_id[recording_id].append(talk)
        return talk_id

    def search(self, key: str, recording_ids: Iterable[str], at: float) -> dict[str, list[str]]:
        """Talk ids by the recording ids that they carry."""
        if not key.startswith(PREFIX) or during(self.blind, at):
            return {}
        found: dict[str, list[str]] = {}
        for recording_id in recording_ids:
            shown = [each.talk_id for each in self._by_recording_id.get(recording_id, ()) if each.visible_at <= at]
            if shown:
                found[recording_id] = shown
        return found
