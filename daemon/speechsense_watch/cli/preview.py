"""A recording as it would be sent, for the operator's own eyes: values are personal data and go nowhere but to the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from speechsense_watch.cli.words import printable, size_in_words
from speechsense_watch.core.fitness import in_words
from speechsense_watch.core.model import Recording


def preview(recording: Recording, connection_id: str, actions: tuple[str, ...]) -> Iterator[str]:
    """Line by line: the audio, the connection, every field, every rule that had a hand in it."""
    audio = recording.format
    channels = "1 channel" if audio.channels == 1 else f"{audio.channels} channels"
    size = size_in_words(recording.audio.stamp.size)
    yield f"audio: {in_words(audio.duration_s)}, {channels}, {audio.sample_rate_hz:,} Hz, {size}"
    yield f"connection: {printable(connection_id)}"
    yield "fields:"
    width = max((len(printable(key)) for key in recording.fields), default=0)
    for key, value in recording.fields.items():
        yield f"  {printable(key):<{width}}  {printable(value)}"
    if actions:
        yield "rules that acted:"
        for action in actions:
            yield f"  {printable(action)}"
