"""Who is looked for when more recordings are in doubt than can be kept in mind at once.

They stand in a ring, in the order in which they came into doubt, and a stretch of it is looked for at a time. Whoever has been in
it for long enough to be settled, and is not, goes behind all others: those that can never be settled hold up the rest for a turn.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

MOST_AT_ONCE = 10_000
# Beside twice the time over which looks have to agree. Three looks at so many take 20 minutes of what may be read in an hour.
LEAST_TURN_S = 3600.0

# In the ring: when it came into doubt (microseconds), then the job's number.
Position = tuple[int, int]
FIRST: Position = (-1, 0)


@dataclass(slots=True)
class Turns:
    """Of one ring. `stretch` is who is looked for now: the first `most` behind `after`, from the ring's beginning once more where
    those are too few.
    """

    most: int = MOST_AT_ONCE
    after: Position = FIRST
    stretch: Collection[Position] = ()
    _since: dict[int, float] = field(default_factory=dict)

    def go_on(self, at: float, needed_s: float) -> None:
        """Those at the head of the stretch that had their turn make room, if there may be others. Nobody does before looks over
        `needed_s` can have agreed; what was found out until then is begun anew with the next turn.
        """
        self._since = {job_id: self._since.get(job_id, at) for _, job_id in self.stretch}
        if len(self.stretch) < self.most:
            return
        for position in sorted(self.stretch, key=lambda each: (each <= self.after, each)):
            if at - self._since[position[1]] < 2 * needed_s + LEAST_TURN_S:
                return
            self.after = position
