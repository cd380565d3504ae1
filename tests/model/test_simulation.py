"""Thousands of simulated recordings under every fault: each policy keeps what it promises, and the naive ones do not."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from speechsense_watch.core.model import State
from support.edges import job_in
from support.simulation.checker import Checker, End
from support.simulation.fate import Crash, Way
from support.simulation.figures import HEAVY, bites, play
from support.simulation.policies import HOLD, NAIVE, RESEND, SEARCH, TEETH, Policy, Unmeasured
from support.simulation.service import StoredTalk

# None of these numbers stands in the others' way: each part of the seed is a life of its own.
SEED = 5_000_000


@pytest.mark.unmeasured
def test_look_ups_lose_nothing_and_double_nothing() -> None:
    """Each talk id is the recording's own, nothing stays in doubt, and what broken tries left is told to the last talk."""
    tally = play(SEARCH, 8_000, SEED)
    assert tally.broken_promises == []
    assert (tally.recordings, tally.lost, tally.doubled, tally.wrong_ids, tally.held) == (8_000, 0, 0, 0, 0)
    assert tally.orphans_reported == tally.orphans_stored - tally.orphans_explained > 0
    assert tally.unknown > 1_000
    # The faults are there: every way of failing, every step to die at.
    assert {*Way} - {Way.FINE} | {f"crash {crash}" for crash in Crash if crash is not Crash.BEFORE_RULING} == set(tally.faults)


def test_holding_doubles_nothing() -> None:
    """What may have arrived waits for a person: some of it did arrive."""
    tally = play(HOLD, 2_000, SEED)
    assert tally.broken_promises == []
    assert (tally.lost, tally.doubled) == (0, 0)
    assert tally.held > tally.held_though_stored > 0


def test_sending_again_loses_nothing_and_marks_every_double() -> None:
    tally = play(RESEND, 2_000, SEED)
    assert tally.broken_promises == []
    assert (tally.lost, tally.held) == (0, 0)
    assert tally.doubled == tally.marked > 0


@pytest.mark.parametrize("policy", NAIVE, ids=lambda policy: policy.name)
def test_naive_ways_of_delivering_lose_or_double(policy: Policy) -> None:
    """In the very same lives: so the faults are not too mild."""
    tally = play(policy, 2_000, SEED)
    assert tally.lost + tally.doubled > 0
    assert bool(tally.lost) == (policy.name == "naive: mark sent first")


def test_an_index_slower_than_the_patience_loses_nothing() -> None:
    """It may double, since how slow it is is measured only as it goes, and rarely does: without measuring
    it does often. What is doubled is marked.
    """
    tally = play(SEARCH, 3_000, SEED, HEAVY)
    unmeasured = play(replace(SEARCH, inquiry=Unmeasured), 3_000, SEED, HEAVY)
    assert (tally.lost, tally.wrong_ids, unmeasured.lost, unmeasured.wrong_ids) == (0, 0, 0, 0)
    assert tally.doubled == tally.marked <= tally.recordings / 1_000
    assert unmeasured.doubled > unmeasured.recordings / 200


def test_every_safeguard_is_missed_when_it_is_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    """One at a time, in the conditions that it is for: n of n."""
    found = bites(SEED)
    with capsys.disabled():
        sys.stdout.write(f"\nsafeguards taken away and missed: {sum(bool(bite.seen) for bite in found)} of {len(found)}\n")
    assert [bite.policy.name for bite in found if not bite.seen] == []
    assert len(found) == len(TEETH) == 8


def test_the_same_seed_gives_the_same_life() -> None:
    """Whatever ran before it: a failure can be played again from its number."""
    first = play(SEARCH, 500, SEED + 77)
    play(RESEND, 250, SEED)
    assert play(SEARCH, 500, SEED + 77) == first
    assert play(SEARCH, 500, SEED + 78) != first


# --- the checker itself ------------------------------------------------------------------------


def talk(talk_id: str, *, whole: bool = True) -> StoredTalk:
    return StoredTalk(talk_id, 7, "uid-1", whole, 0.0)


def test_an_unknown_answer_forks_the_state_into_both() -> None:
    """A find and a shown absence rule states out."""
    checker = Checker()
    checker.unknown(7)
    assert checker.possible[7] == {0, 1}
    checker.unknown(7)
    assert checker.possible[7] == {0, 1, 2}
    checker.found(7)
    assert checker.possible[7] == {1, 2}
    checker.shown_absent(8)
    checker.accepted(8)
    assert checker.possible[8] == {1}


def test_the_checker_tells_every_bad_end() -> None:
    """By what the service has, which no policy sees."""
    done = job_in(State.DONE)
    told = Checker()
    told.accepted(done.id)
    assert told.end(done, [talk("talk-1")], refuses=False) == End(7)
    assert told.end(done, [talk("talk-1", whole=False)], refuses=False).lost
    assert told.end(done, [talk("talk-2")], refuses=False).wrong_id
    doubled = told.end(done, [talk("talk-1"), talk("talk-2")], refuses=False)
    assert (doubled.doubled, doubled.marked, doubled.deceived) == (True, False, True)
    doubtful = Checker()
    doubtful.unknown(7)
    held = doubtful.end(job_in(State.UNCONFIRMED), [talk("talk-1")], refuses=False)
    assert (held.held, held.held_though_stored, held.lost, held.deceived) == (True, True, False, False)
    assert Checker().end(job_in(State.REFUSED), [], refuses=True) == End(7, refused=True)
    assert Checker().end(job_in(State.REFUSED), [], refuses=False).lost
