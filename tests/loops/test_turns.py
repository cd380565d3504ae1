"""One thread serves all folders: each has its turn, however long one of them takes to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from speechsense_watch import folder_intake
from speechsense_watch.core.model import Place, State
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.on_record import SqliteOnRecord
from speechsense_watch.folder_intake import SUPERVISE_EVERY_S, SUPERVISE_THE_SICK_EVERY_S, FolderIntake
from speechsense_watch.log import logger
from speechsense_watch.places import Places
from speechsense_watch.ports import Hint, OpenFile, WatchState
from speechsense_watch.roots import Roots
from speechsense_watch.scan import Scan
from support.bench import Bench, StillWatch, bench_on
from support.wavs import pcm

READING_S = 3.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


def quick_neighbour(bench: Bench) -> FolderIntake:
    """Another folder beside the bench's."""
    path = bench.directory / "quick"
    path.mkdir()
    rules = replace(bench.folder, name="quick", path=str(path))
    files = FolderFiles(rules.path, bench.clock)
    roots = Roots(files, bench.queue, rules.name)
    places = Places(rules, files, bench.queue, bench.clock, logger(), roots, None, local=True, ready=lambda: None)
    on_record = SqliteOnRecord(bench.queue, rules.name)
    scan = Scan(files, rules, bench.clock)
    return FolderIntake(rules, files, StillWatch(), places, scan, bench.clock, bench.queue, on_record, logger())


@pytest.fixture
def reading_takes_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FolderFiles.open

    def open_(files: FolderFiles, path: str) -> AbstractContextManager[OpenFile]:
        if files is bench.files:
            bench.clock.advance(READING_S / 2)  # both halves are opened
        return real(files, path)

    monkeypatch.setattr(FolderFiles, "open", open_)


@pytest.mark.usefixtures("reading_takes_long")
def test_a_folder_that_is_slow_to_read_keeps_no_other_waiting(bench: Bench) -> None:
    """Every turn of it ends after a look or two, and nothing of it is forgotten."""
    bench.configure(metadata_last=True)
    quick = quick_neighbour(bench)
    bench.intake.configure({"in": bench.folder_intake, "quick": quick})
    for number in range(60):
        bench.drop(f"call{number}", seed=number)
    bench.look()
    assert bench.queue.counts("in")[State.READY] == 60
    for number in range(60, 120):
        bench.drop(f"call{number}", seed=number)
    for ending, data in ((".wav", pcm()), (".json", (bench.folder_path / "call1.json").read_bytes())):
        (bench.directory / "quick" / f"call{ending}").write_bytes(data)
    bench.clock.advance(60)
    began = bench.clock.monotonic()
    longest_s = 0.0
    taken_s = None
    for _ in range(500):
        step_began = bench.clock.monotonic()
        rest_s = bench.intake.step()
        longest_s = max(longest_s, bench.clock.monotonic() - step_began)
        if taken_s is None and bench.queue.at_place(Place("quick", "call.wav")) is not None:
            taken_s = bench.clock.monotonic() - began
        if rest_s > 0:
            break
        bench.clock.advance(0.01)
    assert bench.queue.counts("in")[State.READY] == 120
    assert longest_s <= 3 * READING_S
    assert taken_s is not None
    assert taken_s <= 10 * READING_S


@pytest.mark.usefixtures("reading_takes_long")
def test_what_vanished_is_noticed_in_turns_too(bench: Bench) -> None:
    """A tree of many recordings may go at once."""
    for number in range(30):
        bench.drop(f"day/call{number}", seed=number)
    bench.settle()
    for path in (bench.folder_path / "day").iterdir():
        path.unlink()
    bench.look(60)
    assert bench.queue.counts("in")[State.LOST] == 30


def test_a_turn_is_long_enough_for_a_quick_folder(bench: Bench) -> None:
    """One that reads in no time is done in one turn."""
    assert folder_intake.TURN_S > 0
    for number in range(40):
        bench.drop(f"call{number}", seed=number)
    bench.intake.step()
    bench.clock.advance(10.1)
    assert bench.intake.step() > 0
    assert bench.queue.counts("in")[State.READY] == 40


def test_all_folders_are_supervised_at_the_same_moments(bench: Bench) -> None:
    """However far apart their first turns were, so that many wake the machine no more often than one."""
    first, second = bench.folder_intake, quick_neighbour(bench)
    for folder in (first, second):
        folder.step()
        bench.clock.advance(3.7)
    while (rest_s := first.step()) == 0:
        pass
    assert rest_s == second.step()
    assert 0 < rest_s <= SUPERVISE_EVERY_S


def test_a_watch_that_is_down_is_seen_to_soon(bench: Bench) -> None:
    folder = bench.folder_intake
    assert isinstance(folder.watch, StillWatch)
    folder.step()
    folder.watch.state = WatchState.DOWN
    bench.clock.advance(SUPERVISE_EVERY_S)
    folder.step()
    assert folder.step() <= SUPERVISE_THE_SICK_EVERY_S


def test_who_asks_for_a_scan_has_the_watch_supervised(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that breaks says no more than that."""
    folder, supervised = bench.folder_intake, list[float]()
    folder.step()
    monkeypatch.setattr(StillWatch, "supervise", lambda _: supervised.append(bench.clock.monotonic()))
    folder.step()
    assert supervised == []
    folder.hinted(Hint("in", None))
    folder.step()
    assert supervised == [bench.clock.monotonic()]
