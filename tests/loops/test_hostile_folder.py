"""A folder full of hostile and broken files, through the intake's own eyes: each has its state and its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from speechsense_watch.core.model import Job, State
from support.bad_inputs import BadInput, Expected, write_bad_inputs, write_healthy, write_never_taken, xml
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


def unlike(found: dict[str, Job], expected: Mapping[str, Expected]) -> dict[str, object]:
    """Every one that is not as it should be to the letter, so that one run shows all of them."""
    told = {stem: (job.state, job.reason) for stem, job in found.items() if stem in expected}
    return {stem: (told.get(stem), should) for stem, should in expected.items() if told.get(stem) != should}


def test_every_hostile_input_has_its_state_and_reason(bench: Bench, outside: Path) -> None:
    """At once, until the last second of `abandon_after`, and from then on; none is sent, none stops another."""
    bad = write_bad_inputs(bench.folder_path, outside)
    healthy = write_healthy(bench.folder_path)
    assert len(bad) >= 250
    follow(bench, bad, healthy)


def test_every_hostile_xml_has_its_state_and_reason(tmp_path: Path) -> None:
    """In a folder of its own, whose healthy ones are read in whatever encoding they have."""
    with bench_on(tmp_path, **xml.RULES) as bench:
        bad = xml.write_bad(bench.folder_path)
        assert len(bad) >= 100
        follow(bench, bad, xml.write_healthy(bench.folder_path))


def follow(bench: Bench, bad: list[BadInput], healthy: set[str]) -> None:
    at_once = {one.stem: one.at_once for one in bad}
    in_the_end = {one.stem: one.in_the_end for one in bad}
    bench.settle()
    assert unlike(by_stem(bench), at_once) == {}
    assert {job.place.path for job in bench.jobs() if job.state is State.READY} == healthy
    assert all(job.message.endswith(".") for job in bench.jobs() if job.state is not State.READY)
    # It was first seen a quiet period and a tenth of a second ago.
    bench.look(bench.folder.abandon_after_s - bench.folder.quiet_period_s - 1)
    assert unlike(by_stem(bench), at_once) == {}
    bench.look(1)
    bench.look(bench.folder.quiet_period_s)
    assert unlike(by_stem(bench), in_the_end) == {}
    bench.look(7 * 86400.0)
    assert unlike(by_stem(bench), in_the_end) == {}
    assert {job.place.path for job in bench.jobs() if job.state is State.READY} == healthy
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
    assert_plain(bench)


def test_messages_about_xml_can_be_shown_on_any_terminal(tmp_path: Path) -> None:
    """Nor anything that stands in XML."""
    with bench_on(tmp_path, **xml.RULES) as bench:
        xml.write_bad(bench.folder_path)
        bench.settle()
        assert_plain(bench)


def assert_plain(bench: Bench) -> None:
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
