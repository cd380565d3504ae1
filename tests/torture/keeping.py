"""What became of the user's files: the daemon may move or delete them only as it was told, and only after the upload."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from torture.oracle import Stored
from torture.recordings import Recording


def missing(folder: Path, archive: Path, recordings: Sequence[Recording], stored: Stored, after_upload: str) -> list[str]:
    """Each recording whose audio is nowhere, though it should be: byte for byte in the folder, or in the archive where there is
    one. Where files are deleted after the upload only those that are stored may be gone.
    """
    places = (folder, archive) if after_upload == "archive" else (folder,)
    there = {hashlib.sha256(path.read_bytes()).hexdigest() for place in places for path in place.rglob("*.wav") if path.is_file()}
    return [
        f"gone: the audio of {recording.place} is nowhere"
        for recording in recordings
        if recording.sha256 not in there and not (after_upload == "delete" and stored.whole.get(recording.key))
    ]
