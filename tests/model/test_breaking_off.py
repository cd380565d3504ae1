"""A part of the torture that ends in a way nobody foresaw is told, and the other parts go on. Nothing real is played here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from torture import __main__ as torture
from torture import io_faults, outage, teeth
from torture.figures import Figures
from torture.io_faults import Kind
from torture.world import World


def _breaks_off(*_arguments: object) -> bool:
    raise OSError(24, "Too many open files")


def test_a_world_that_breaks_off_is_a_failure_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its traceback in the report, its world left for whoever wants to see it, and exit code 1."""
    monkeypatch.setattr(outage, "run", _breaks_off)
    monkeypatch.setattr(io_faults, "figures", lambda _count: Figures("disk"))
    report = tmp_path / "torture.json"
    parts = ("--parts", "outage", "disk")
    assert torture.main([*parts, "--together", "1", "--dir", str(tmp_path), "--json", str(report)]) == 1
    told = capsys.readouterr().out
    assert "== outage\n  BROKEN: 1\n    it broke off:\n      Traceback" in told
    assert "in _breaks_off\n" in told
    assert "\n== disk\n" in told
    broken = {each["name"]: len(each["broken"]) for each in json.loads(report.read_text())}
    assert broken == {"outage": 1, "disk": 0, "all together": 1}
    assert (tmp_path / "outage" / "config.toml").exists()


def test_a_run_on_a_broken_disk_that_breaks_off_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run is a world of its own."""
    played: list[tuple[str, int]] = []

    def run(kind: Kind, nth: int, _figures: io_faults.Figures) -> bool:
        played.append((str(kind), nth))
        return _breaks_off() if nth == 1 else nth < 3

    monkeypatch.setattr(io_faults, "run", run)
    kinds = (Kind("fsync", "EIO"), Kind("sendmsg", "SIGKILL"))
    found = io_faults.sweep(5, kinds)
    assert played == [(str(kind), nth) for kind in kinds for nth in (1, 2, 3)]
    assert [line.splitlines()[0] for line in found.told] == [f"{kind}, call 1: it broke off:" for kind in kinds]
    assert "Too many open files" in found.told[0]


@pytest.mark.parametrize("broken", [0, 1])
def test_a_tooth_whose_scenario_breaks_off_did_not_bite(broken: int) -> None:
    """With the safeguard or without it; whatever stands in the traceback, it is not what the check had to say."""
    plays = iter(range(2))

    def scenario(_world: World) -> list[str]:
        if next(plays) == broken:
            raise AssertionError("doubled: not the check's word")
        return []

    setting = teeth.TEETH[0].setting
    bites = teeth.all_of([teeth.Tooth("the rescan", setting, scenario, "doubled:")])
    (bite,) = bites
    assert not bite.bit
    assert "BROKE OFF" in teeth.table(bites)
    (told,) = teeth.figures(bites).broken
    assert told.startswith("the rescan: it broke off:\n      Traceback")
