"""core.known: which of a million files left in place need a closer look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speechsense_watch.core.known import Known, asks_for_a_look, still_the_same
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
