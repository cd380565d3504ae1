"""A folder full of hostile and broken files, through the intake's own eyes: each has its state and its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.model import Job, State
from speechsense_watch.core.reasons import Reason
from support.bad_inputs import BadInput, write_bad_inputs, write_healthy, write_never_taken
from support.bench import Bench, bench_on


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


def by_stem(bench: Bench) -> dict[str, Job]:
    # A recording without audio lies where its metadata does.
    return {job.place.path.rpartition(".")[0]: job for job in bench.jobs()}


def wrong(found: dict[str, Job], bad: list[BadInput]) -> list[object]:
    """Every one that is not as it should be, so that one run shows all of them."""
    wrongs: list[object] = []
    for one in bad:
        job = found.get(one.stem)
        if job is None or job.state not in one.states or job.reason not in one.reasons or not job.message.endswith("."):
            wrongs.append((one, job and (job.state, job.reason, job.message)))
    return wrongs


def test_every_hostile_input_has_its_state_and_reason(bench: Bench, outside: Path) -> None:
    """At once, and again when nobody has finished them for `abandon_after`; none is sent, none stops another."""
    bad = write_bad_inputs(bench.folder_path, outside)
    healthy = write_healthy(bench.folder_path)
    assert len(bad) >= 150
    bench.settle()
    assert wrong(by_stem(bench), bad) == []
    assert {job.place.path for job in bench.jobs() if job.state is State.READY} == healthy
    bench.look(bench.folder.abandon_after_s + 60)
    bench.look(60)
    found = by_stem(bench)
    assert wrong(found, bad) == []
    ends = {one.stem for one in bad if State.UNUSABLE in one.states and Reason.AUDIO_MISSING not in one.reasons}
    assert {stem for stem in ends if found[stem].state is not State.UNUSABLE} == set()
    assert "loop_failed" not in bench.log.getvalue()


def test_what_nobody_asked_for_becomes_no_row(bench: Bench, outside: Path) -> None:
    """Names of unfinished files, hidden places, and whatever lies behind a link."""
    never = write_never_taken(bench.folder_path, outside)
    bench.drop("call")
    bench.settle()
    bench.look(3600)
    assert len(never) >= 8
    assert [job.place.path for job in bench.jobs()] == ["call.wav"]


def test_messages_can_be_shown_on_any_terminal(bench: Bench, outside: Path) -> None:
    """Nothing that a file says or is called reaches a message as it is."""
    write_bad_inputs(bench.folder_path, outside)
    bench.settle()
    for job in bench.jobs():
        assert job.message.isprintable(), job
        assert "+79990000000" not in job.message
        assert os.fsencode(job.message)
        assert len(job.message) < 1200, job


def test_descriptors_are_closed_whatever_was_met(bench: Bench, outside: Path) -> None:
    """A folder of refusals leaks nothing."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
    write_bad_inputs(bench.folder_path, outside)
    bench.settle()
    bench.look(60)
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208 - SQLite may open its own
