"""How the sweep goes from point to point, with lives that are only told: the real ones are `make torture`."""

from __future__ import annotations

from pathlib import Path

import pytest

from torture.life import Incident
from torture.points import Plan
from torture.sweep import REACHED_WITHIN_S, Sweep
from torture.world import Setting, World

YOUNG = ("before migrations", 1)


@pytest.mark.parametrize("needs_s", [REACHED_WITHIN_S, 4 * REACHED_WITHIN_S])
def test_a_daemon_that_is_slow_to_start_is_given_more_time(tmp_path: Path, needs_s: float) -> None:
    """Be it killed before it had made the directory of its queue, which every such life begins without."""
    with World(tmp_path, Setting("slow")) as world:
        sweep, state = Sweep(world), world.queue_path.parent
        lives = iter([{YOUNG}, set()])
        sweep._passed_by_a_start = lambda: next(lives)  # type: ignore[method-assign]

        def live(plan: Plan, longest_s: float, incident: Incident | None = None) -> bool:
            if plan.die_at:
                assert not state.exists()
            if died := longest_s >= needs_s:
                state.mkdir(exist_ok=True)
            return died and plan.die_at == YOUNG[0]

        sweep.lives.live = live  # type: ignore[method-assign]
        sweep._die_young()
        assert sweep._done == {YOUNG}
        assert YOUNG not in sweep._known() - sweep._rare, "nobody comes by there again"


@pytest.mark.parametrize("policy", ["resend", "hold", "search"])
def test_what_comes_by_chance_is_tried_all_the_same(tmp_path: Path, policy: str) -> None:
    """Each has its commit twice, before and after, in every setting in which it can come."""
    with World(tmp_path, Setting("calm", policy=policy)) as world:
        names = {name for name, _ in Sweep(world)._known()}
    tried = ("interrupted (ready)", "read_anew (ready)", *(("shown_absent (unconfirmed)",) if policy == "search" else ()))
    assert names == {f"{when} COMMIT of {name}" for name in tried for when in ("before", "after")}
