"""core.fitness: a whole recording against its folder's connection and rules."""

from __future__ import annotations

import dataclasses

import pytest

from speechsense_watch.core.fitness import Fit, Skip, Unusable, in_words, judge
from speechsense_watch.core.model import AudioFormat, Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import ConnectionType, Folder

TWO = Folder(path="/spool", connection_id="c", start_from="all", name="spool")
ONE = dataclasses.replace(TWO, connection_type=ConnectionType.SINGLE_CHANNEL)


def audio(channels: int = 2, duration_s: float = 60.0) -> AudioFormat:
    data_bytes = int(duration_s * 16000 * channels)
    return AudioFormat(channels, 8000, 44, data_bytes, duration_s)


@pytest.mark.parametrize(
    ("folder", "channels", "message"),
    [
        (TWO, 1, "The audio has 1 channel; a two-channel connection needs 2."),
        (TWO, 2, None),
        (TWO, 3, "The audio has 3 channels; a two-channel connection needs 2."),
        (ONE, 1, None),
        (ONE, 2, "The audio has 2 channels; a single-channel connection needs 1."),
    ],
)
def test_the_connection_type_decides_the_number_of_channels(folder: Folder, channels: int, message: str | None) -> None:
    """A mono mix is unusable for a two-channel connection, and the other way round."""
    expected = Fit() if message is None else Unusable(Problem(Reason.WRONG_CHANNELS, message))
    assert judge(audio(channels), folder, forced=False) == expected


@pytest.mark.parametrize(
    ("duration_s", "forced", "fits"),
    [(4.999, False, False), (5.0, False, True), (4.999, True, True), (0.1, True, True)],
)
def test_a_call_below_min_duration_is_skipped_unless_forced(duration_s: float, *, forced: bool, fits: bool) -> None:
    """`min_duration` is a choice of the user, which the operator can lift for one recording."""
    fitness = judge(audio(duration_s=duration_s), dataclasses.replace(TWO, min_duration_s=5.0), forced=forced)
    if fits:
        assert fitness == Fit()
    else:
        message = "The audio is 4.999 s long; `min_duration` is 5 s."
        assert fitness == Skip(Problem(Reason.TOO_SHORT, message))


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize(
    ("limit_s", "duration_s", "message"),
    [
        (4 * 3600.0, 4 * 3600.0, None),
        (4 * 3600.0, 4 * 3600.5, "The audio is 4 h 0 min 2 s long; SpeechSense takes at most 4 h."),
        (9 * 3600.0, 4 * 3600.0 + 0.1, "The audio is 4 h 0 min 1 s long; SpeechSense takes at most 4 h."),
        (90.0, 90.0, None),
        (90.0, 91.0, "The audio is 1 min 31 s long; `max_duration` is 1 min 30 s."),
    ],
)
def test_a_call_beyond_max_duration_or_four_hours_is_unusable(
    limit_s: float, duration_s: float, message: str | None, *, forced: bool
) -> None:
    """SpeechSense's four hours hold whatever the rules say, and force does not help."""
    fitness = judge(audio(duration_s=duration_s), dataclasses.replace(TWO, max_duration_s=limit_s), forced=forced)
    assert fitness == (Fit() if message is None else Unusable(Problem(Reason.TOO_LONG, message)))


def test_facts_come_before_choices() -> None:
    """A short call that could not be sent anyway is told as unusable, so that the cause is seen."""
    fitness = judge(audio(channels=1, duration_s=1.0), dataclasses.replace(TWO, min_duration_s=5.0), forced=False)
    assert isinstance(fitness, Unusable)


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        (0.0, "0 s"),
        (0.4, "0.4 s"),
        (9.5, "9.5 s"),
        (12.7, "12 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (61.0, "1 min 1 s"),
        (3600.0, "1 h"),
        (3661.0, "1 h 1 min 1 s"),
        (14400.0, "4 h"),
    ],
)
def test_lengths_are_told_in_the_words_of_people(duration_s: float, words: str) -> None:
    """Seconds alone for short calls, hours and minutes for long ones."""
    assert in_words(duration_s) == words
