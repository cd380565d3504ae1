"""How the reading commands speak: states and events in words, times as people say them, names made safe to print."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from pathlib import Path

from speechsense_watch.core.edges import Event
from speechsense_watch.core.fitness import in_words
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import Kind

MEANINGS = {
    State.WAITING: "something is missing still",
    State.READY: "complete, in the queue",
    State.UPLOADING: "being uploaded",
    State.COMMITTING: "uploaded to the last byte, the answer is awaited",
    State.UNCONFIRMED: "no clear answer: SpeechSense may or may not have it",
    State.UPLOADED: "SpeechSense has it, its files are to be put away",
    State.DONE: "SpeechSense has it, nothing is left to do",
    State.REFUSED: "not taken by SpeechSense, or failed for too long",
    State.UNUSABLE: "cannot be sent as it is",
    State.SKIPPED: "left out on purpose",
    State.LOST: "vanished before it was sent",
}
COLORS = {
    State.WAITING: "yellow",
    State.READY: "cyan",
    State.UPLOADING: "cyan",
    State.COMMITTING: "cyan",
    State.UNCONFIRMED: "magenta",
    State.UPLOADED: "green",
    State.DONE: "green",
    State.REFUSED: "red",
    State.UNUSABLE: "red",
    State.SKIPPED: "",
    State.LOST: "bold red",
}
_FOR_A_REASON = {
    (State.WAITING, Reason.METADATA_MISSING): "waiting for its metadata",
    (State.WAITING, Reason.AUDIO_MISSING): "waiting for its audio",
    (State.WAITING, Reason.STILL_CHANGING): "waiting: it is still being written",
    (State.WAITING, Reason.HEADER_UNFINISHED): "waiting for the end of the call",
    (State.WAITING, Reason.SHORTER_THAN_HEADER): "waiting for the rest of the file",
    (State.WAITING, Reason.UNREADABLE): "waiting for the right to read it",
    (State.WAITING, Reason.READ_AGAIN): "waiting to be read anew",
    (State.WAITING, Reason.CALL_RECORD_MISSING): "waiting for its call record",
    (State.WAITING, Reason.SOURCE_UNREADABLE): "waiting for what cannot be read now",
    (State.UPLOADED, Reason.FILING_FAILED): "uploaded, but its files cannot be put away",
    (State.REFUSED, Reason.GAVE_UP): "given up after failing for too long",
    (State.SKIPPED, Reason.NO_AUDIO): "left out: no audio in it",
    (State.SKIPPED, Reason.TOO_SHORT): "left out: too short",
    (State.SKIPPED, Reason.DUPLICATE): "left out: a duplicate",
    (State.SKIPPED, Reason.VANISHED): "left out: vanished before it was complete",
    (State.SKIPPED, Reason.BY_OPERATOR): "left out by the operator",
    (State.SKIPPED, Reason.BY_RULE): "left out by the folder's rules",
    (State.SKIPPED, Reason.FORGOTTEN): "left out: a forgotten call",
}
_OTHERWISE = {
    State.WAITING: "waiting",
    State.READY: "in the queue",
    State.UPLOADING: "being uploaded",
    State.COMMITTING: "being uploaded, the answer is awaited",
    State.UNCONFIRMED: "uploaded, but no clear answer came",
    State.UPLOADED: "uploaded, its files are to be put away",
    State.DONE: "done",
    State.REFUSED: "refused by SpeechSense",
    State.UNUSABLE: "cannot be sent",
    State.SKIPPED: "left out",
    State.LOST: "lost: vanished before it was sent",
}
EVENTS = {
    Event.FOUND: "found",
    Event.STILL_WAITING: "still waiting",
    Event.COMPLETED: "complete",
    Event.FOUND_UNUSABLE: "cannot be sent",
    Event.LEFT_OUT: "left out",
    Event.VANISHED: "vanished",
    Event.READ_ANEW: "to be read anew",
    Event.CLAIMED: "upload begun",
    Event.COMMITTING: "last byte leaves",
    Event.ACCEPTED: "accepted",
    Event.REFUSED: "refused",
    Event.FAILED: "failed this time",
    Event.GIVEN_BACK: "given back to queue",
    Event.INTERRUPTED: "broken off by a crash",
    Event.OUTCOME_UNKNOWN: "no clear answer",
    Event.DOUBTED: "maybe sent before",
    Event.DUPLICATE: "a duplicate",
    Event.FORGOTTEN: "was forgotten",
    Event.GAVE_UP: "given up",
    Event.RESENT: "to be sent again",
    Event.REINSTATED: "refusal taken back",
    Event.CONFIRMED: "found in SpeechSense",
    Event.SHOWN_ABSENT: "shown not to be there",
    Event.LOOKED_AFTER: "other tries looked for",
    Event.ADOPTED: "put on record as sent",
    Event.FILING: "files to be moved",
    Event.FILING_FAILED: "files not put away",
    Event.FILED: "finished",
    Event.CHANGED_AFTER_UPLOAD: "changed since upload",
    Event.SEEN_SAME: "touched, same content",
    Event.SEEN_GONE: "files removed",
    Event.RETRIED: "operator retried it",
    Event.SKIPPED: "operator skipped it",
}


def state_in_words(job: Job, now: datetime) -> str:
    """Where the job is, and what it waits for."""
    if job.state is State.READY and job.next_attempt_at and job.next_attempt_at > now:
        return f"in the queue, next try {when(now, job.next_attempt_at)}"
    if job.changed_after_upload:
        return "done, but changed after the upload"
    words = _FOR_A_REASON.get((job.state, job.reason)) if job.reason else None
    return words or _OTHERWISE[job.state]


def suspicion(job: Job) -> str:
    """Why it is sent last and alone."""
    return f"each of the last {job.deaths} times it was being sent the daemon died, so it is sent last and alone."


_VERDICTS = {
    Kind.ACCEPTED: "accepted",
    Kind.REFUSED: "refused",
    Kind.TRANSIENT: "failed",
    Kind.UNKNOWN: "no clear answer",
    Kind.CONNECTION: "the connection is at fault",
    Kind.SERVICE: "the service is at fault",
    Kind.CHANGED: "the files changed",
    Kind.GIVEN_BACK: "broken off",
}


def verdict_in_words(verdict: str) -> str:
    """How an attempt ended; a word that only another version knows stays as it is."""
    return _VERDICTS[Kind(verdict)] if verdict in set(Kind) else verdict


def event_in_words(event: str) -> str:
    """An event as people say it; one that only another version knows stays as it is."""
    return EVENTS[Event(event)] if event in set(Event) else event


# --- times -----------------------------------------------------------------------------------


def when(now: datetime, at: datetime) -> str:
    """Like "3 min ago", "in 20 s" or "just now"; beyond two months the date."""
    distance = abs(now - at)
    if distance >= timedelta(days=60):
        return f"{at.astimezone():%Y-%m-%d}"
    words = _distance(distance)
    if not words:
        return "just now" if at <= now else "in a moment"
    return f"{words} ago" if at < now else f"in {words}"


def due(now: datetime, at: datetime) -> str:
    """When something comes that may be late."""
    return when(now, at) if at > now else "now"


def _distance(distance: timedelta) -> str:
    seconds = int(distance / timedelta(seconds=1))
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {'day' if (unit, count) == ('days', 1) else unit}"
    return ""


def clock_time(at: datetime) -> str:
    """The local time, to the second."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


# --- quantities ------------------------------------------------------------------------------


def size_in_words(count: int) -> str:
    """Like "1.4 MiB"; exact below a KiB."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{count} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def audio_in_words(job: Job) -> str:
    """Like "12 s, 2 channels, 8 kHz, 375.0 KiB", as far as it is known."""
    parts: list[str] = []
    if job.format:
        channels = job.format.channels
        parts += [in_words(job.format.duration_s), f"{channels} channel{'s' if channels != 1 else ''}"]
        parts += [f"{job.format.sample_rate_hz / 1000:g} kHz"]
    if job.audio:
        parts += [size_in_words(job.audio.stamp.size)]
    return ", ".join(parts)


# --- names -----------------------------------------------------------------------------------


def printable(text: str) -> str:
    """The text on one line, harmless for a terminal: control characters, bidirectional marks and bytes that are no UTF-8
    are escaped, everything else is as it was.
    """
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    # os.fsdecode keeps a byte that is no UTF-8 as one of these (PEP 383).
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def typed(command: str, config_path: Path | None) -> str:
    """The command as this operator has to type it: with the configuration that was named on this command line."""
    if config_path is None or not command.startswith("speechsense-watch "):
        return command
    return f"{command} --config {shlex.quote(printable(str(config_path)))}"
