"""Rules that change: what they no longer take is left out, what they take again comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.log import logger
from speechsense_watch.ruled_out import rule_out
from support.bench import Bench, bench_on
from support.wavs import pcm


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        (bench.folder_path / "sub").mkdir()
        bench.drop("sub/ready", seed=1)
        bench.write("sub/half.wav", pcm(seed=2))
        bench.write("sub/other.json", b"{}")
        bench.drop("outside", seed=3)
        bench.settle()
        yield bench


def states(bench: Bench) -> dict[str, tuple[State, Reason | None]]:
    return {job.place.path: (job.state, job.reason) for job in bench.jobs()}


LEFT_OUT = (State.SKIPPED, Reason.BY_RULE)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exclude": ("sub",)}, "`exclude`"),
        ({"include": ("*side*",)}, "`include`"),
        ({"recursive": False}, "`recursive = false`"),
        ({"inner": ("sub",)}, "belongs to the folder that watches"),
    ],
)
def test_what_the_rules_take_no_longer_is_left_out(bench: Bench, changed: dict[str, object], said: str) -> None:
    """Complete or not, before anything of it is sent; what they still take is left as it is."""
    before = states(bench)["outside.wav"]
    folder = replace(bench.folder, **changed)  # type: ignore[arg-type]
    assert rule_out(bench.queue, folder, bench.clock, logger()) == 3
    left = {path: told for path, told in states(bench).items() if told == LEFT_OUT}
    assert left.keys() >= {"sub/ready.wav", "sub/half.wav"}
    assert states(bench)["outside.wav"] == before
    assert all(said in job.message for job in bench.jobs() if job.place.path in left and job.audio_path)
    assert rule_out(bench.queue, folder, bench.clock, logger()) == 0


def test_other_names_for_audio_leave_the_old_ones_out(bench: Bench) -> None:
    """Metadata that waits for such audio too."""
    rule_out(bench.queue, replace(bench.folder, audio=("*.flac",)), bench.clock, logger())
    assert [told for told in states(bench).values() if told != LEFT_OUT and told[1] is not Reason.AUDIO_MISSING] == []


def test_rules_that_take_it_again_bring_it_back(bench: Bench) -> None:
    """Read anew by the next scan of everything."""
    rule_out(bench.queue, replace(bench.folder, exclude=("sub",)), bench.clock, logger())
    bench.configure()
    bench.settle()
    assert states(bench)["sub/ready.wav"][0] is State.READY
    assert states(bench)["sub/half.wav"] == (State.WAITING, Reason.METADATA_MISSING)


def test_the_operators_word_stands_above_the_rules(bench: Bench) -> None:
    """`retry` of what was left out sends it all the same, whatever is read again."""
    folder = replace(bench.folder, exclude=("sub",))
    rule_out(bench.queue, folder, bench.clock, logger())
    bench.queue.apply(lifecycle.retried(bench.job("sub/ready.wav"), bench.clock.now()))
    assert rule_out(bench.queue, folder, bench.clock, logger()) == 0


def test_a_backlog_is_held_against_its_rules_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once nothing is entered by older rules any more: a million recordings are not read again at each start. Other rules, and
    these after others, are held against it anew.
    """
    read: list[str] = []
    unsent = bench.queue.unsent_places

    def noted(folder: str) -> Iterable[tuple[int, str]]:
        read.append(folder)
        return unsent(folder)

    monkeypatch.setattr(bench.queue, "unsent_places", noted)
    other = replace(bench.folder, exclude=("sub",))
    for folder, all_entered in ((bench.folder, True), (other, False), (other, True), (other, True), (bench.folder, False)):
        rule_out(bench.queue, folder, bench.clock, logger(), all_entered=all_entered)
    assert len(read) == 3
    assert states(bench)["sub/ready.wav"] == LEFT_OUT
