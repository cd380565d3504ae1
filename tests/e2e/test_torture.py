"""A cut of `make torture`: a minute of kills and lies, and a few of its teeth."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from torture import teeth
from torture.figures import Figures
from torture.safeguards import TABLE
from torture.storm import Measure, Storm
from torture.world import Setting, World

A_MINUTE_S = 40.0
SETTINGS = (
    Setting("resend", seed=21, after_upload="archive"),
    Setting("hold", policy="hold", seed=22),
    Setting("search", policy="search", seed=23, index_lag_s=0.3, patience="1s"),
)
# Those that are quick to show.
QUICK = ("committing is in doubt after a crash", "what is in doubt is held")


@pytest.mark.timeout(1200)
def test_killed_and_lied_to_for_a_minute(tmp_path: Path) -> None:
    """Nothing is lost, nothing is doubled but where that is allowed and marked, no talk id is wrong, every queue is whole."""
    with ThreadPoolExecutor(len(SETTINGS)) as pool:
        found = list(pool.map(lambda setting: _storm(tmp_path, setting), SETTINGS))
    for figures in found:
        assert not figures.broken, figures.table()
        assert figures.counts["kills of the daemon"] >= 5, figures.table()
        assert figures.counts["integrity_check ok"] == figures.counts["kills of the daemon"]
    by_policy = dict(zip((setting.policy for setting in SETTINGS), found, strict=True))
    assert by_policy["hold"].counts["doubled"] == by_policy["search"].counts["doubled"] == 0
    assert by_policy["resend"].counts["doubled"] == by_policy["resend"].counts["doubled and marked"]


def _storm(directory: Path, setting: Setting) -> Figures:
    with World(directory / setting.name, setting) as world:
        return Storm(world, Measure(kills=10_000, recordings=15_000, seconds=A_MINUTE_S, at_least=5)).run()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("safeguard", QUICK)
def test_a_safeguard_that_is_missing_is_noticed(safeguard: str) -> None:
    """The same scenario passes with it and fails without it."""
    (tooth,) = [each for each in teeth.TEETH if each.safeguard == safeguard]
    bite = teeth.bite(tooth)
    assert bite.bit, (bite.with_it, bite.without)


def test_every_safeguard_has_a_tooth() -> None:
    """What can be taken away is taken away by some scenario of `make torture`."""
    played = {each.safeguard for each in teeth.TEETH} | {given for each in teeth.TEETH for given in each.given}
    assert played == set(TABLE)
