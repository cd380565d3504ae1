"""What is on record of a place, held against a glance at its files: whether they need a closer look.

A glance costs some microseconds and a closer look half a thousand, so of a million recordings left in place only those are
looked at closely that are no longer what their row is about.
"""

from __future__ import annotations

from dataclasses import dataclass

from speechsense_watch.core.model import NO_FILE, Glance, Stamp, State
from speechsense_watch.core.reasons import Reason

# Who sends a recording or files it looks at its files himself.
_IN_OTHER_HANDS = frozenset({State.READY, State.UPLOADING, State.COMMITTING, State.UNCONFIRMED, State.UPLOADED})
# The place is taken again as soon as something lies there.
_TAKEN_WHEN_THERE = frozenset({Reason.VANISHED, Reason.VANISHED_BEFORE_UPLOAD, Reason.BY_RULE})


@dataclass(frozen=True, slots=True)
class Known:
    """A row, as far as it is about files. `path` is its place; `gone`: the place of a finished recording was seen empty."""

    path: str
    state: State
    reason: Reason | None
    gone: bool
    audio_path: str | None
    audio: Stamp | None
    metadata_path: str | None
    metadata: Stamp | None


def asks_for_a_look(known: Known, audio: Glance | None, metadata: Glance | None) -> bool:
    """Whether a closer look may come to something. None for a half that is not there."""
    if known.state in _IN_OTHER_HANDS:
        return False
    if known.state is State.WAITING:
        return True
    finished = known.state is State.DONE
    if audio is None:
        return (finished and not known.gone) or known.state is State.UNUSABLE
    if known.gone or known.reason in _TAKEN_WHEN_THERE:
        return True
    if known.reason is Reason.NOT_A_REGULAR_FILE and audio.regular and (metadata is None or metadata.regular):
        # Neither inode nor size nor mtime of a hard link change when the other name is removed.
        return True
    if known.audio is None:
        return known.reason is Reason.BY_OPERATOR
    if audio.stamp != known.audio:
        return True
    if known.metadata is None or known.metadata == NO_FILE:
        return False
    # A finished recording whose metadata was tidied away is still that recording.
    return not finished if metadata is None else metadata.stamp != known.metadata
