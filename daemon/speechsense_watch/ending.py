"""What became of a recording that `upload` was asked to send, as a result for scripts and a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from speechsense_watch.core.model import Job
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import PAUSE_HINTS, Kind, Outcome, Verdict
from speechsense_watch.named import Source
from speechsense_watch.ports import Channel, QueueTrouble
from speechsense_watch.recording import Fate, Unfit

# What waiting ends by itself.
_LATER = frozenset({Reason.METADATA_MISSING, Reason.STILL_CHANGING, Reason.HEADER_UNFINISHED, Reason.SHORTER_THAN_HEADER})


class Result(StrEnum):
    ACCEPTED = "accepted"
    ON_RECORD = "on_record"  # it was sent before: nothing was sent now
    REFUSED = "refused"  # by the service, or unusable
    LATER = "later"
    NO_KEY = "no_key"
    UNKNOWN = "unknown"  # the service may or may not have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of it; `message` is for people, `talk_id` is empty where there is none to be sure of."""

    result: Result
    message: str = ""
    talk_id: str = ""


def unfit(finding: Unfit) -> Ending:
    later = finding.fate is Fate.WAIT and finding.problem.reason in _LATER
    message = _joined(finding.problem.message, finding.problem.hint)
    return Ending(result=Result.LATER if later else Result.REFUSED, message=message)


def undecided(job: Job) -> str:
    return (
        f"Job {job.id} is unconfirmed: SpeechSense may have it from an earlier try. Look there, then "
        f"`speechsense-watch resolve {job.id} --uploaded TALK` or `speechsense-watch resolve {job.id} --resend`."
    )


def unreachable(channel: Channel) -> str:
    reason = channel.message or "No connection to SpeechSense came about."
    return _joined(reason, "Nothing was sent.")


def stopped() -> Ending:
    return Ending(result=Result.LATER, message="Stopped before anything was sent.")


def forgotten() -> Ending:
    return Ending(result=Result.REFUSED, message="This call was forgotten by the operator's word (`forget`): nothing was sent.")


def busy() -> Ending:
    return Ending(result=Result.LATER, message="Somebody else is at work on this recording.")


def not_recorded(job: Job, outcome: Outcome, verdict: Verdict, trouble: QueueTrouble) -> Ending:
    said = f"SpeechSense took the recording as {outcome.talk_id}." if verdict.kind is Kind.ACCEPTED else ""
    do = f"resolve {job.id} --uploaded {outcome.talk_id}" if said else f"show {job.id}"
    message = _joined(
        str(trouble), said, f"That could not be written down: mend the queue's disk, then `speechsense-watch {do}`."
    )
    return Ending(result=Result.UNKNOWN, message=message)


def ending_of(job: Job, source: Source, outcome: Outcome, verdict: Verdict) -> Ending:
    said = verdict.problem.message if verdict.problem else ""
    match verdict.kind:
        case Kind.ACCEPTED:
            kept = job.talk_id == outcome.talk_id
            note = "" if kept else f"Job {job.id} was changed by somebody else during the upload; see `show {job.id}`."
            return Ending(result=Result.ACCEPTED, talk_id=outcome.talk_id, message=note)
        case Kind.REFUSED:
            hint = verdict.problem.hint if verdict.problem else ""
            return Ending(result=Result.REFUSED, message=_joined(said, hint))
        case Kind.UNKNOWN:
            return Ending(result=Result.UNKNOWN, message=_joined(said, undecided(job)))
        case _:
            do = PAUSE_HINTS[verdict.pause] if verdict.pause else ""
            again = "run this command again" if source.place.folder == "" else "the daemon sends it, or run this command again"
            return Ending(result=Result.LATER, message=_joined(said, do, f"Job {job.id} is {job.state}: {again}."))


def _joined(*parts: str) -> str:
    """Sentences one after the other; what the service says often lacks its full stop."""
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)
