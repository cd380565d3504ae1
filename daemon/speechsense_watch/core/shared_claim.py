"""Who works a folder that several machines can see, by a note that the one who does leaves in it and keeps renewing.

No clock of another machine is believed: a daemon goes on as long as its note changes. Whoever wrote last has the folder, so that
of two who began in the same moment only one goes on. Until one has looked, both may work: this is a guard that tells, no lock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

# A note is renewed about so often; what is shown of it elsewhere may be a minute old (nfs(5), acdirmax).
RENEWED_EVERY_S = 60.0
# Whatever a note says, nobody waits for longer than three times this for it to change.
MOST_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Note:
    """`owner` stays the same over restarts, `session` is new with each, `beat` grows; it is renewed every `every_s`."""

    owner: str
    session: str
    host: str
    beat: int
    every_s: float


class Standing(Enum):
    """Whose the folder is; DOUBTED when somebody had it who did not say that he ended."""

    OURS = "ours"
    DOUBTED = "doubted"
    THEIRS = "theirs"


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier looks told: whether we had the folder, and the other's note, the same since `since` (monotonic seconds). It
    stays known when the folder is ours: we may be able to read it and not to write over it.
    """

    ours: bool = False
    other: Note | None = None
    since: float = 0.0
    alive: bool = False


def judge(found: Note | None, mine: Note, known: Known, now: float) -> tuple[Standing, Known]:
    """`found` is what lies there now, None for nothing that can be read."""
    if found is None or found.session == mine.session:
        return Standing.OURS, Known(ours=True)
    if known == Known() and found.owner == mine.owner:
        return Standing.OURS, Known(ours=True, other=found, since=-math.inf)  # our own of an earlier start
    if found != known.other:
        # It came after ours, or goes on. The first sight of one that was there before shows neither.
        known = Known(other=found, since=now, alive=known != Known())
    elif now - known.since >= patience_s(found):
        return Standing.OURS, replace(known, ours=True)
    return (Standing.THEIRS if known.alive else Standing.DOUBTED), known


def patience_s(note: Note) -> float:
    """For how long a note may stay as it is before its daemon counts as gone."""
    return 3 * min(max(note.every_s, RENEWED_EVERY_S), MOST_EVERY_S)
