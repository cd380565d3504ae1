"""core.known: which of a million files left in place need a closer look."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from speechsense_watch.core.known import (
    Known,
    Row,
    asks_for_a_look,
    files_of,
    in_other_hands,
    still_the_same,
    told_by_files,
)
from speechsense_watch.core.model import NO_FILE, Glance, Stamp, State
from speechsense_watch.core.reasons import Reason

AUDIO, METADATA = Stamp(1, 100, 5), Stamp(2, 50, 5)
DONE = Known("a.wav", State.DONE, None, gone=False, audio_path="a.wav", audio=AUDIO, metadata_path="a.json", metadata=METADATA)
SAME = (Glance(AUDIO), Glance(METADATA))
STOPPED = [State.REFUSED, State.UNUSABLE, State.SKIPPED]
OTHER_HANDS = [State.READY, State.UPLOADING, State.COMMITTING, State.UNCONFIRMED, State.UPLOADED]


def stopped(state: State, reason: Reason = Reason.TOO_SHORT) -> Known:
    return replace(DONE, state=state, reason=reason)


@pytest.mark.parametrize("state", [State.DONE, *STOPPED])
def test_what_is_the_same_needs_none(state: State) -> None:
    """Nearly all there is."""
    assert not asks_for_a_look(stopped(state), *SAME)


@pytest.mark.parametrize("state", [State.DONE, *STOPPED])
@pytest.mark.parametrize("half", ["audio", "metadata"])
@pytest.mark.parametrize("changed", [{"size": 9}, {"mtime_ns": 9}])
def test_what_changed_needs_one(state: State, half: str, changed: dict[str, int]) -> None:
    """In either half, by size or time."""
    audio, metadata = SAME
    if half == "audio":
        audio = Glance(replace(AUDIO, **changed))
    else:
        metadata = Glance(replace(METADATA, **changed))
    assert asks_for_a_look(stopped(state), audio, metadata)


@pytest.mark.parametrize("state", [State.DONE, *STOPPED])
def test_what_was_copied_to_another_disk_needs_none(state: State) -> None:
    """It has another inode, and by some ways of copying no fractions of a second any more."""
    moved = replace(stopped(state), audio=Stamp(1, 100, 7_123_456_789), metadata=Stamp(2, 50, 8_999_999_999))
    assert not asks_for_a_look(moved, Glance(Stamp(9, 100, 7_123_456_789)), Glance(Stamp(8, 50, 8_999_999_999)))
    assert not asks_for_a_look(moved, Glance(Stamp(9, 100, 7_000_000_000)), Glance(Stamp(8, 50, 8_000_000_000)))


@pytest.mark.parametrize(
    ("seen", "same"),
    [
        (Stamp(1, 100, 7_000_000_000), False),  # rewritten where it lies
        (Stamp(9, 100, 7_000_000_001), False),
        (Stamp(9, 100, 8_000_000_000), False),
        (Stamp(9, 99, 7_123_456_789), False),
        (Stamp(9, 100, 7_000_000_000), True),
        (Stamp(9, 100, 7_123_456_789), True),
    ],
)
def test_only_a_copy_may_have_lost_its_fractions(seen: Stamp, *, same: bool) -> None:
    """And only the fractions: whole seconds and size agree."""
    assert still_the_same(Stamp(1, 100, 7_123_456_789), seen) == same


@pytest.mark.parametrize("state", OTHER_HANDS)
def test_what_is_under_way_needs_none(state: State) -> None:
    """Who sends or files it looks himself."""
    assert not asks_for_a_look(stopped(state), None, None)
    assert not asks_for_a_look(stopped(state), Glance(METADATA), None)


@pytest.mark.parametrize(
    ("known", "asks"),
    [
        (DONE, True),
        (replace(DONE, gone=True), False),
        (stopped(State.UNUSABLE), True),
        (stopped(State.REFUSED), False),
        (stopped(State.SKIPPED), False),
        (stopped(State.LOST, Reason.VANISHED_BEFORE_UPLOAD), False),
    ],
)
def test_audio_that_is_not_there(known: Known, *, asks: bool) -> None:
    """News of what was thought to be there, and of what somebody has dealt with by removing it."""
    assert asks_for_a_look(known, None, None) == asks


@pytest.mark.parametrize(
    "known",
    [
        replace(DONE, gone=True),
        stopped(State.LOST, Reason.VANISHED_BEFORE_UPLOAD),
        stopped(State.SKIPPED, Reason.VANISHED),
        stopped(State.SKIPPED, Reason.BY_RULE),
        replace(stopped(State.SKIPPED, Reason.BY_OPERATOR), audio=None),
    ],
)
def test_a_place_that_is_taken_when_something_lies_there(known: Known) -> None:
    """Whatever it is."""
    assert asks_for_a_look(known, *SAME)


def test_metadata_that_was_tidied_away() -> None:
    """After the upload that is nothing; of what stopped it may be the mending. And what is in no file cannot change."""
    assert not asks_for_a_look(DONE, Glance(AUDIO), None)
    assert asks_for_a_look(stopped(State.REFUSED), Glance(AUDIO), None)
    assert not asks_for_a_look(replace(DONE, metadata_path=None, metadata=NO_FILE), Glance(AUDIO), None)


@pytest.mark.parametrize(
    ("audio", "metadata", "asks"),
    [(False, True, False), (True, False, False), (False, False, False), (True, True, True)],
)
def test_a_hard_link_whose_other_name_was_removed(*, audio: bool, metadata: bool, asks: bool) -> None:
    """Nothing else of it changes."""
    known = stopped(State.UNUSABLE, Reason.NOT_A_REGULAR_FILE)
    assert asks_for_a_look(known, Glance(AUDIO, audio), Glance(METADATA, metadata)) == asks
    assert not asks_for_a_look(replace(known, audio=None), Glance(AUDIO, regular=False), None)


# --- a million at once -------------------------------------------------------------------------


def seen_at_once(known: Known, audio: Glance | None, metadata: Glance | None) -> bool:
    """Whether comparing alone tells that nothing is to be asked."""
    name, beside = known.path, known.metadata_path
    times = [(half.size, half.mtime_ns) if half else (None, None) for half in (known.audio, known.metadata)]
    row: Row = (name, known.state.value, known.reason.value if known.reason else None, *times[0], beside, *times[1])
    if in_other_hands([row]):
        return True
    there = {path: glance for path, glance in ((name, audio), (beside, metadata)) if path is not None and glance is not None}
    compared = {
        path: path in there and there[path].regular and (there[path].stamp.size, there[path].stamp.mtime_ns) == (size, mtime_ns)
        for path, size, mtime_ns in files_of([row], there.keys())
    }
    return bool(told_by_files([row])) and all(compared.values())


def test_what_comparing_tells_of_many_holds_for_each() -> None:
    """Whatever state a row is in and whatever became of its files: none is passed over that asks for a look."""
    glances = [(Glance(half), Glance(replace(half, mtime_ns=9)), Glance(half, regular=False), None) for half in (AUDIO, METADATA)]
    halves = ((AUDIO, METADATA), (AUDIO, NO_FILE), (AUDIO, None), (None, None))
    passed_over = 0
    for state, reason, kept in product(State, (None, *Reason), halves):
        beside = "a.json" if kept[1] not in (NO_FILE, None) else None
        known = replace(DONE, state=state, reason=reason, audio=kept[0], metadata=kept[1], metadata_path=beside)
        for audio, metadata in product(*glances):
            quick = seen_at_once(known, audio, metadata if beside else None)
            passed_over += quick
            assert not (quick and asks_for_a_look(known, audio, metadata if beside else None)), (known, audio, metadata)
    assert passed_over > 1_000


@pytest.mark.parametrize("state", [State.DONE, *STOPPED, *OTHER_HANDS])
def test_what_is_the_same_is_told_by_comparing(state: State) -> None:
    """So that a million of them cost no more than that."""
    assert seen_at_once(stopped(state), *SAME)


@pytest.mark.parametrize("state", [State.DONE, *STOPPED])
def test_of_metadata_in_another_directory_comparing_tells_nothing(state: State) -> None:
    """They bear no name there."""
    row: Row = ("a.wav", state.value, None, AUDIO.size, AUDIO.mtime_ns, None, METADATA.size, METADATA.mtime_ns)
    assert told_by_files([row]) == []
