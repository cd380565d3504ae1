"""What the daemon says of a call, in a few words and on a scale from "not seen" to "finished"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from speechsense_watch.core.model import Job, State
from speechsense_watch.core.reasons import Reason

FINISHED = 4

_WAITS_FOR: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.METADATA_MISSING: "its metadata",
        Reason.AUDIO_MISSING: "its audio",
        Reason.STILL_CHANGING: "the call to end",
        Reason.HEADER_UNFINISHED: "the call to end",
        Reason.SHORTER_THAN_HEADER: "the rest of it",
    }
)
_BECAUSE: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.TRUNCATED: "audio cut short",
        Reason.METADATA_NOT_JSON: "bad metadata",
        Reason.NO_AUDIO: "no audio in it",
    }
)


class Mood(StrEnum):
    """How people should take it."""

    QUIET = "quiet"
    WAITING = "waiting"
    MOVING = "moving"
    TROUBLE = "trouble"
    GOOD = "good"
    BAD = "bad"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Words:
    text: str
    mood: Mood
    # 0 not seen, 1 seen, 2 complete, 3 being sent, FINISHED.
    step: int


def words_of(job: Job | None, *, written: bool) -> Words:
    """`written`: the exchange has begun to write the call."""
    if job is None:
        return Words("lets it settle for 1 s", Mood.QUIET, 1) if written else Words("", Mood.QUIET, 0)
    match job.state:
        case State.WAITING:
            return _waiting(job.reason)
        case State.READY if job.attempts:
            return Words(f"failed {times(job.attempts)}, tries again", Mood.TROUBLE, 2)
        case State.READY:
            return Words("complete, sends it next", Mood.WAITING, 2)
        case State.UPLOADING | State.COMMITTING:
            return Words(f"sends it{_try(job)}", Mood.MOVING, 3)
        case State.UNCONFIRMED:
            return Words("got no clear answer", Mood.TROUBLE, 3)
        case State.UPLOADED:
            return Words(f"got its talk id{_try(job)}", Mood.GOOD, 3)
        case State.DONE:
            return Words(f"in SpeechSense{_try(job)}", Mood.GOOD, FINISHED)
        case State.SKIPPED:
            return Words(f"left out: {_why(job.reason)}", Mood.LEFT_OUT, FINISHED)
        case State.UNUSABLE | State.REFUSED | State.LOST:
            return Words(f"{job.state}: {_why(job.reason)}", Mood.BAD, FINISHED)


def _waiting(reason: Reason | None) -> Words:
    what = _WAITS_FOR.get(reason) if reason else None
    return Words(f"waits for {what}" if what else "looks at it", Mood.WAITING, 1)


def _why(reason: Reason | None) -> str:
    return _BECAUSE.get(reason, reason.replace("_", " ")) if reason else ""


def times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _try(job: Job) -> str:
    return f", try {job.claims}" if job.claims > 1 else ""
