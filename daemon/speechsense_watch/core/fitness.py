"""Does a whole recording suit its folder's connection and rules?"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

from speechsense_watch.core.model import AudioFormat, Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import ConnectionType, Folder

# SpeechSense's own limit, whatever the folder's rules say.
LONGEST_S = 4 * 3600.0

CHANNELS = {ConnectionType.TWO_CHANNEL: 2, ConnectionType.SINGLE_CHANNEL: 1}


@dataclass(frozen=True, slots=True)
class Fit:
    """Nothing stands against sending it."""


@dataclass(frozen=True, slots=True)
class Skip:
    """It could be sent, but the folder's rules leave it out."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Unusable:
    """It cannot be sent as it is."""

    problem: Problem


Fitness: TypeAlias = Fit | Skip | Unusable


def judge(audio: AudioFormat, folder: Folder, *, forced: bool) -> Fitness:
    """What speaks against sending this audio, facts before choices. `forced` lifts only the choice, `min_duration`."""
    needed = CHANNELS[folder.connection_type]
    if audio.channels != needed:
        message = f"The audio has {_channels(audio.channels)}; a {folder.connection_type} connection needs {needed}."
        return Unusable(Problem(Reason.WRONG_CHANNELS, message))
    longest_s = min(folder.max_duration_s, LONGEST_S)
    if audio.duration_s > longest_s:
        limit = "SpeechSense takes at most" if longest_s == LONGEST_S else "`max_duration` is"
        # Rounded up: half a second over the limit must not read as the limit itself.
        message = f"The audio is {in_words(ceil(audio.duration_s))} long; {limit} {in_words(longest_s)}."
        return Unusable(Problem(Reason.TOO_LONG, message))
    if audio.duration_s < folder.min_duration_s and not forced:
        message = f"The audio is {in_words(audio.duration_s)} long; `min_duration` is {in_words(folder.min_duration_s)}."
        return Skip(Problem(Reason.TOO_SHORT, message))
    return Fit()


def in_words(duration_s: float) -> str:
    """For people: "0.4 s", "12 s", "4 h 0 min 1 s". Rounded down, so that just under a minute never reads as one."""
    if duration_s < 10 and duration_s % 1:
        return f"{duration_s:.3f}".rstrip("0").rstrip(".") + " s"
    minutes, seconds = divmod(int(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    while len(parts) > 1 and parts[-1][0] == 0:
        parts.pop()
    return " ".join(f"{number} {unit}" for number, unit in parts)


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
