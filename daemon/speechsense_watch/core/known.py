"""What is on record of a place, held against a glance at its files: whether they need a closer look.

A glance costs some microseconds and a closer look half a thousand, so of a million recordings left in place only those are
looked at closely that are no longer what their row is about.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from speechsense_watch.core.model import NO_FILE, Glance, Stamp, State
from speechsense_watch.core.reasons import Reason

_A_SECOND_NS = 10**9
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


# The same of a recording in a directory that is looked through, as bare as a million of them can be held against as many files:
# name of the audio, state, reason, size and mtime of the audio; name of the metadata, if they lie in the same directory, and
# theirs. Not of places seen empty after they were done.
Row: TypeAlias = tuple[str, str, str | None, int | None, int | None, str | None, int | None, int | None]
# A file by its name, size and mtime (ns).
Expected: TypeAlias = tuple[str, int | None, int | None]
_HANDS = frozenset(state.value for state in _IN_OTHER_HANDS)
_STOPPED = frozenset(state.value for state in (State.UNUSABLE, State.REFUSED, State.SKIPPED))
_DONE = State.DONE.value
# With these a look may come to something though the files are the same.
_NEVER_SETTLED = frozenset(
    reason.value for reason in (*_TAKEN_WHEN_THERE, Reason.NOT_A_REGULAR_FILE, Reason.BY_OPERATOR, Reason.METADATA_KEY_LACKING)
)
_NO_TIMES = frozenset({(None, None), (NO_FILE.size, NO_FILE.mtime_ns)})


def in_other_hands(rows: Iterable[Row]) -> list[Row]:
    """Those whose files somebody else looks at."""
    return [row for row in rows if row[1] in _HANDS]


def told_by_files(rows: Iterable[Row]) -> list[Row]:
    """Those for which `asks_for_a_look` would say no if their files are as `files_of` has them."""
    return [
        row
        for row in rows
        if (row[1] == _DONE or row[1] in _STOPPED)
        and row[2] not in _NEVER_SETTLED
        and (row[5] is not None or row[6:] in _NO_TIMES)
    ]


def files_of(rows: Sequence[Row], present: Container[str]) -> list[Expected]:
    """What is to be there. A finished recording whose metadata was tidied away is still that recording."""
    audio: list[Expected] = [(row[0], row[3], row[4]) for row in rows]
    beside = [row for row in rows if row[5] is not None and (row[1] != _DONE or row[5] in present)]
    return audio + [(row[5] or "", row[6], row[7]) for row in beside]


def names_of(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield row[0]
        if row[5] is not None:
            yield row[5]


def still_the_same(known: Stamp, seen: Stamp) -> bool:
    """Whether a place holds the file it held, without reading it: size and mtime agree. Copied to another disk or machine a file
    has another inode, and by some ways (scp -p, tar) no fractions of a second any more.

    Whoever rewrites it in place changes its mtime; only who takes pains to put that back is not noticed.
    """
    if seen.size != known.size:
        return False
    copied_in_seconds = seen.inode != known.inode and seen.mtime_ns % _A_SECOND_NS == 0
    return seen.mtime_ns == known.mtime_ns or (
        copied_in_seconds and seen.mtime_ns // _A_SECOND_NS == known.mtime_ns // _A_SECOND_NS
    )


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
    if not still_the_same(known.audio, audio.stamp):
        return True
    if known.metadata is None or known.metadata == NO_FILE:
        return False
    # A finished recording whose metadata was tidied away is still that recording.
    return not finished if metadata is None else not still_the_same(known.metadata, metadata.stamp)
