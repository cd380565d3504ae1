"""The bench's own reckoning: what meets a target, what people and scripts are shown, and what is drawn."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from measure.bench import figures, plot
from measure.bench.figures import Figure, Found, Target, at_least, at_least_times, at_most, at_most_times, of_rounds


@pytest.mark.parametrize(
    ("target", "value", "baseline", "met"),
    [
        (at_most(30), 30, None, True),
        (at_most(30), 30.1, None, False),
        (at_least(30), 30, None, True),
        (at_least(30), 29.9, None, False),
        (at_least_times(0.8), 80, 100, True),
        (at_least_times(0.8), 79, 100, False),
        (at_most_times(1.3), 130, 100, True),
        (at_most_times(1.3), 131, 100, False),
        # Nothing to compare it with: nothing is shown.
        (at_least_times(0.8), 80, None, False),
        (at_least_times(0.8), 80, 0, False),
    ],
)
def test_a_target_limits_the_figure_or_its_share_of_the_baseline(
    target: Target,
    value: float,
    baseline: float | None,
    met: bool,  # noqa: FBT001 - a column of the table
) -> None:
    figure = Figure("part", "name", value, "ms", baseline, target=target)
    assert figure.met is met
    assert figures.missed([figure]) == ([] if met else ["part: name"])


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    figure = Figure("part", "name", 1, "ms")
    assert figure.met is None
    assert figures.missed([figure]) == []


def test_the_median_of_the_rounds_counts_on_both_sides() -> None:
    figure = of_rounds("part", "name", "files/s", [80, 10, 90], [100, 500, 90], target=at_least_times(0.8))
    assert (figure.value, figure.baseline, figure.ratio, figure.met) == (80, 100, 0.8, True)


def test_people_see_every_figure_with_its_baseline_ratio_and_target() -> None:
    console = Console(width=130, record=True, file=StringIO())
    good = Figure("throughput", "small", 400, "files/s", 500, "bare loop", at_least_times(0.8), note="so many")
    bad = Figure("latency", "median", 31.25, "ms", target=at_most(30))
    figures.show(Found([good, bad], notes=["a slow disk: no compiler"]), console)
    shown = " ".join(console.export_text().split())
    assert "small 400 files/s 500 bare loop 0.80x ≥ 0.80x met so many" in shown
    assert "median 31.2 ms ≤ 30 MISSED" in shown
    assert "not measured: a slow disk: no compiler" in shown


def test_scripts_read_the_same_with_every_round(tmp_path: Path) -> None:
    found = Found([of_rounds("part", "name", "ms", [1, 3, 2], [4, 4, 4], target=at_most_times(0.4))], {"memory": [(1, 2, 3)]})
    figures.write(tmp_path / "bench.json", found, {"machine": {"cores": 2}})
    told = json.loads((tmp_path / "bench.json").read_text())
    (figure,) = told["figures"]
    assert told["machine"] == {"cores": 2}
    assert told["missed"] == ["part: name"]
    assert told["curves"] == {"memory": [[1, 2, 3]]}
    assert (figure["value"], figure["ratio"], figure["met"], figure["raw"]) == (2, 0.5, False, [1, 3, 2])


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1500, [0, 500, 1000, 1500]),
        (1501, [0, 500, 1000, 1500, 2000]),
        (99, [0, 20, 40, 60, 80, 100]),
        (0.3, [0, 0.1, 0.2, 0.3]),
        (0, [0, 1]),
    ],
)
def test_ticks_are_round_numbers_up_to_the_first_that_holds_all(most: float, ticks: list[float]) -> None:
    assert plot.ticks(most) == pytest.approx(ticks)


def test_labels_are_not_written_over_one_another() -> None:
    assert plot.apart([100, 20, 102]) == [100, 20, 116]


def test_each_curve_that_was_measured_is_drawn(tmp_path: Path) -> None:
    backlog: list[tuple[float, ...]] = [(number / 10, 100 - number, number, 20.0) for number in range(50)]
    memory: list[tuple[float, ...]] = [(1, 60, 55), (461, 67, 1800)]
    written = plot.write(tmp_path, Found(curves={"backlog": backlog, "memory": memory}))
    assert [path.name for path in written] == ["performance-backlog.svg", "performance-memory.svg"]
    for path in written:
        drawn = ET.parse(path).getroot()  # noqa: S314 - our own
        assert len(drawn.findall("{*}polyline")) >= 2
