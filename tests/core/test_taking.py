"""core.taking: big recordings leave a place to small ones, and what may have killed the daemon goes last and alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.model import Half, Job, Stamp, State
from speechsense_watch.core.taking import BIG_ABOVE_BYTES, PATIENCE, SUSPECT_AFTER, Hands, Turn, is_suspect
from support.edges import AT, job_in

SMALL, BIG = 32_000, 461_000_000


def sized(size: int, deaths: int = 0, due_at: datetime = AT) -> Job:
    return replace(job_in(State.READY), audio=Half(Stamp(1, size, 1)), deaths=deaths, next_attempt_at=due_at)


def hands(*sizes: int, places: int) -> Hands:
    return Hands([sized(size) for size in sizes], places)


# --- big and small ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "in_work", "big", "small"),
    [
        (4, [], True, True),
        (4, [BIG, BIG], True, True),
        (4, [BIG, BIG, BIG], False, True),
        (4, [BIG, BIG, SMALL], True, True),
        (4, [BIG, BIG, BIG, SMALL], False, False),
        (4, [SMALL, SMALL, SMALL], True, True),
        (2, [BIG], False, True),
        (1, [], True, True),
        (1, [BIG], False, False),
        # After a reload with fewer places than are taken.
        (2, [BIG, BIG, BIG], False, False),
    ],
)
def test_the_last_place_is_not_for_a_big_one(places: int, in_work: list[int], big: bool, small: bool) -> None:  # noqa: FBT001
    """Where there are two at least."""
    now = hands(*in_work, places=places)
    assert (now.admits(sized(BIG)), now.admits(sized(SMALL))) == (big, small)
    assert now.most_bytes == (None if big else BIG_ABOVE_BYTES)


@given(st.integers(2, 64), st.lists(st.booleans(), max_size=200))
def test_big_ones_never_hold_every_place(places: int, arrivals: list[bool]) -> None:
    """In whatever order they come: a place is free for small ones, or small ones have it."""
    in_work: list[Job] = []
    for big in arrivals:
        job = sized(BIG if big else SMALL)
        if Hands(in_work, places).admits(job):
            in_work.append(job)
    assert sum(job.audio is not None and job.audio.stamp.size == BIG for job in in_work) < places
    assert len(in_work) <= places


def test_what_is_big() -> None:
    """Up to the limit a recording is small."""
    now = hands(BIG, BIG, BIG, places=4)
    assert now.admits(sized(BIG_ABOVE_BYTES))
    assert not now.admits(sized(BIG_ABOVE_BYTES + 1))


# --- suspects --------------------------------------------------------------------------------

SUSPECT = sized(SMALL, SUSPECT_AFTER)
SOON, LATE = AT + timedelta(seconds=1), AT + PATIENCE


@pytest.mark.parametrize(
    ("in_work", "suspect", "ordinary_due", "now", "turn"),
    [
        ([], None, True, SOON, Turn.ORDINARY),
        ([sized(SMALL)], None, True, SOON, Turn.ORDINARY),
        ([], SUSPECT, True, SOON, Turn.ORDINARY),
        ([sized(SMALL)], SUSPECT, False, SOON, Turn.ORDINARY),
        ([], SUSPECT, False, SOON, Turn.SUSPECT),
        # It has waited long enough: those in work end first, then it goes, whatever else is due.
        ([sized(SMALL)], SUSPECT, True, LATE, Turn.NOBODY),
        ([], SUSPECT, True, LATE, Turn.SUSPECT),
        # Alone: nothing beside it, not even another of its kind.
        ([SUSPECT], None, True, SOON, Turn.NOBODY),
        ([SUSPECT], SUSPECT, True, LATE, Turn.NOBODY),
    ],
)
def test_whose_turn_it_is(in_work: list[Job], suspect: Job | None, ordinary_due: bool, now: datetime, turn: Turn) -> None:  # noqa: FBT001
    """Ordinary ones first, a suspect last and alone, but within the hour."""
    assert Hands(in_work, 4).turn(suspect, ordinary_due=ordinary_due, now=now) is turn


def test_three_deaths_make_a_suspect() -> None:
    """Not two: with four in hand three deaths in a row are seldom chance."""
    assert [is_suspect(sized(SMALL, deaths)) for deaths in range(5)] == [False, False, False, True, True]
