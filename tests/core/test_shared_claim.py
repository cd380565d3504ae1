"""core.shared_claim: of several machines that see one folder, one works it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speechsense_watch.core.shared_claim import Known, Note, Standing, judge, patience_s

OURS, DOUBTED, THEIRS = Standing.OURS, Standing.DOUBTED, Standing.THEIRS
MINE = Note("us", "now", "pbx2", 1, 60)
OTHER = Note("them", "theirs", "pbx1", 5, 60)


def course(*seen: tuple[float, Note | None], known: Known | None = None) -> list[Standing]:
    """What is judged at these times of these notes."""
    known, standings = known or Known(), []
    for now, found in seen:
        standing, known = judge(found, MINE, known, now)
        standings.append(standing)
    return standings


def test_a_folder_without_a_note_is_ours_and_stays_so() -> None:
    """Our own note is no other's."""
    assert course((0, None), (60, MINE), (120, replace(MINE, beat=2)), (180, None)) == [OURS] * 4


def test_a_note_that_goes_on_is_another_machine_s() -> None:
    """At the first sight it might be one that a dead daemon has left: nobody works the folder until that is shown."""
    renewed = replace(OTHER, beat=6)
    assert course((0, OTHER), (60, renewed), (120, renewed)) == [DOUBTED, THEIRS, THEIRS]


def test_a_note_that_stays_as_it_is_has_lost_its_daemon() -> None:
    """After three times of what it promised."""
    assert course((0, OTHER), (179, OTHER), (180, OTHER)) == [DOUBTED, DOUBTED, OURS]
    # And from then on, where it cannot be written over.
    assert course((0, OTHER), (180, OTHER), (240, OTHER), (300, OTHER)) == [DOUBTED, OURS, OURS, OURS]
    assert course((0, OTHER), (180, OTHER), (240, replace(OTHER, beat=6))) == [DOUBTED, OURS, THEIRS]


def test_our_own_note_of_before_a_crash_keeps_nobody_waiting() -> None:
    """Only at the start: one that comes later by our name is a copy of us on another machine."""
    earlier = replace(OTHER, owner=MINE.owner)
    assert course((0, earlier), (60, earlier)) == [OURS, OURS]
    assert course((0, None), (60, earlier)) == [OURS, THEIRS]


def test_of_two_that_begin_at_once_the_one_that_wrote_last_goes_on() -> None:
    """Each judges what lies there, and writes when the folder is its own."""
    first, second = Note("a", "a1", "a", 1, 60), Note("b", "b1", "b", 1, 60)
    lies: Note | None = None
    known = {first: Known(), second: Known()}
    # Both look before either has written.
    assert [judge(lies, mine, known[mine], 0)[0] for mine in (first, second)] == [OURS, OURS]
    known = dict.fromkeys((first, second), Known(ours=True))
    lies = second
    standings = []
    for now in range(60, 600, 60):
        for mine in (first, second):
            standing, known[mine] = judge(lies, mine, known[mine], now)
            if standing is OURS:
                lies = replace(mine, beat=now)
            standings.append((mine.host, standing))
    assert set(standings) == {("a", THEIRS), ("b", OURS)}


@pytest.mark.parametrize(("every_s", "patience"), [(-5, 180), (60, 180), (600, 1800), (1e12, 10800)])
def test_nobody_is_believed_who_says_that_he_comes_back_next_year(every_s: float, patience: float) -> None:
    """Three hours at the most, three minutes at the least."""
    assert patience_s(replace(OTHER, every_s=every_s)) == patience
