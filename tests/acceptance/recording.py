"""Writes one recording as an exchange would: the audio under its final name, then the metadata renamed into place.

    recording.py FOLDER NAME SECONDS

Uses the standard library alone, so that any Python of the machine under test can run it.
"""

import json
import sys
import wave
from pathlib import Path

SAMPLE_RATE_HZ = 8000
# What a two-channel connection requires.
METADATA = {
    "operator_name": "Operator",
    "operator_id": "1111",
    "client_name": "Client",
    "client_id": "2222",
    "date": "2025-04-24T14:34:19+03:00",
    "direction_outgoing": "true",
    "language": "ru-RU",
}


def write(folder: Path, name: str, seconds: int) -> None:
    """A stereo recording of so many seconds lies in the folder; its sound depends on its name, so no two are duplicates."""
    period = f"{name:<16.16}".encode()[:16]
    with wave.open(str(folder / f"{name}.wav"), "wb") as audio:
        audio.setnchannels(2)
        audio.setsampwidth(2)
        audio.setframerate(SAMPLE_RATE_HZ)
        audio.writeframes(period * (SAMPLE_RATE_HZ * 4 // len(period)) * seconds)
    unfinished = folder / f".{name}.json.new"
    unfinished.write_text(json.dumps({**METADATA, "ticket_id": name}), encoding="utf-8")
    unfinished.rename(folder / f"{name}.json")


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
