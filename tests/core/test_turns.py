"""core.turns: who is looked for when there are more in doubt than can be at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from speechsense_watch.core.turns import FIRST, LEAST_TURN_S, Position, Turns

NEEDED_S = 900.0
TURN_S = 2 * NEEDED_S + LEAST_TURN_S


def ring(count: int) -> list[Position]:
    """Some came into doubt in the same moment."""
    return [(n // 3, n) for n in range(1, count + 1)]


def stretch(turns: Turns, everybody: Sequence[Position]) -> list[Position]:
    ahead = [each for each in everybody if each > turns.after]
    return [*ahead, *(each for each in everybody if each <= turns.after)][: turns.most]


def looked_at(
    turns: Turns, everybody: Sequence[Position], seconds: float, every_s: float
) -> Iterator[tuple[float, set[Position]]]:
    at = 0.0
    while at <= seconds:
        turns.stretch = stretch(turns, everybody)
        yield at, set(turns.stretch)
        turns.go_on(at, NEEDED_S)
        at += every_s


@settings(deadline=None)
@given(most=st.integers(1, 12), count=st.integers(0, 60), every_s=st.sampled_from((TURN_S / 7, TURN_S / 3, TURN_S)))
def test_each_has_a_whole_turn_in_its_time(most: int, count: int, every_s: float) -> None:
    """Without an end: nobody is looked for too briefly to be settled, and nobody waits for longer than for all others."""
    everybody, turns = ring(count), Turns(most)
    begun: dict[Position, float] = {}
    longest = dict.fromkeys(everybody, 0.0)
    rounds = -(-count // most) + 1
    before: set[Position] = set()
    for at, now in looked_at(turns, everybody, rounds * (TURN_S + 2 * every_s), every_s):
        begun |= dict.fromkeys(now - before, at)
        for each in now:
            longest[each] = max(longest[each], at - begun[each])
        before = now
    assert min(longest.values(), default=TURN_S) >= TURN_S


@settings(deadline=None)
@given(count=st.integers(0, 9))
def test_where_all_can_be_looked_for_nobody_makes_room(count: int) -> None:
    """For days."""
    turns = Turns(10)
    assert all(now == set(ring(count)) for _, now in looked_at(turns, ring(count), 20 * TURN_S, 600.0))
    assert turns.after == FIRST


def test_who_is_settled_makes_room_at_once() -> None:
    """For the next in line, whose turn begins then; it does not end with that of the others."""
    turns, everybody = Turns(4), ring(9)
    for at in range(int(TURN_S)):
        if at == 3000:
            everybody.remove((1, 3))
        turns.stretch = stretch(turns, everybody)
        turns.go_on(float(at), NEEDED_S)
    assert turns.after == FIRST
    turns.stretch = stretch(turns, everybody)
    turns.go_on(TURN_S, NEEDED_S)
    assert stretch(turns, everybody) == [(1, 5), (2, 6), (2, 7), (2, 8)]
