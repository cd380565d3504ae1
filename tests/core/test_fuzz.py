"""Thousands of broken files, the same ones each time: no exception, no hang, no read past the bounds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import fuzz

SEED = 20_250_424
CASES_EACH = 5_000
TAKEN = {"wav": "finished", "json": "values", "xml": "values", "rules": "fields"}


@pytest.mark.parametrize("kind", fuzz.CASES)
def test_broken_input_is_read_or_refused_and_never_raises(kind: str) -> None:
    """Each case is mended, refused or taken; and both ways out are really reached."""
    outcomes = fuzz.run(kind, CASES_EACH, SEED)
    assert outcomes.total() == CASES_EACH
    assert len(outcomes) >= 4
    assert outcomes[TAKEN[kind]] > CASES_EACH * 0.02
    assert outcomes.most_common(1)[0][1] < CASES_EACH * 0.8


@settings(max_examples=150)
@given(st.sampled_from(list(fuzz.CASES)), st.randoms(use_true_random=False))
def test_broken_input_that_is_searched_for_is_read_or_refused(kind: str, chance: random.Random) -> None:
    """Where chance is steered towards what has not been met yet."""
    fuzz.CASES[kind](chance)


def test_a_fault_is_found_again_by_its_number() -> None:
    """The same seed makes the same cases, so a failure can be looked at."""
    first, second = (fuzz.mutated(random.Random("1-2"), b"x" * 100, (b"piece",)) for _ in range(2))
    assert first == second
