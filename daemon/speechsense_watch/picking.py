"""What is begun next, out of what is due: `core.taking` decides, this asks the queue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from speechsense_watch.core.model import Job
from speechsense_watch.core.rules import Order
from speechsense_watch.core.taking import PATIENCE, Hands, Turn, is_big
from speechsense_watch.ports import Clock, Queue, Selection

_LOOKED_AT = 8


@dataclass(frozen=True, slots=True)
class Picking:
    """Out of what a Selection leaves to choose from, suspects or not."""

    queue: Queue
    clock: Clock
    order: Order

    def any_due(self, choice: Selection) -> bool:
        return bool(self._due(choice, 1) or self._suspects(choice))

    def probes(self, choice: Selection, hands: Hands) -> Sequence[Job]:
        """Recordings to probe with; a suspect only when there is no other, and nothing in work."""
        return self._due(choice, 50) or (() if hands.jobs else self._suspects(choice))

    def next(self, choice: Selection, hands: Hands) -> Sequence[Job]:
        """Those whose turn it is, as many as there are places for."""
        suspects = self._suspects(choice)
        ordinary = self._due(replace(choice, most_bytes=hands.most_bytes), hands.room)
        match hands.turn(suspects[0] if suspects else None, ordinary_due=bool(ordinary), now=self.clock.now()):
            case Turn.ORDINARY:
                return ordinary
            case Turn.SUSPECT:
                return suspects
            case Turn.NOBODY:
                return ()

    def next_big(self, choice: Selection) -> Job | None:
        """The big one that would come next if there were a place for it, as far as that can be seen."""
        return next(filter(is_big, self._due(choice, _LOOKED_AT)), None)

    def next_due(self, choice: Selection, hands: Hands, resending: Iterable[str]) -> datetime | None:
        """When there may be something to begin, if nothing in work ends before."""
        now = self.clock.now()
        suspect = self.queue.next_due(replace(choice, suspects=True), ())
        if suspect is not None and suspect <= now and hands.jobs:
            if now - suspect >= PATIENCE:
                return None
            suspect += PATIENCE
        ordinary = self.queue.next_due(replace(choice, most_bytes=hands.most_bytes), resending)
        return min((at for at in (suspect, ordinary) if at is not None), default=None)

    def _due(self, choice: Selection, limit: int) -> Sequence[Job]:
        return self.queue.due(self.clock.now(), limit, self.order, choice)

    def _suspects(self, choice: Selection) -> Sequence[Job]:
        return self._due(replace(choice, suspects=True), 1)
