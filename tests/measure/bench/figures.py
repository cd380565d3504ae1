"""What was measured: each figure with its baseline of the same run and the target it has to meet, for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

Curves = dict[str, list[tuple[float, ...]]]


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for the figure itself or, with `ratio`, for the figure by its baseline."""

    limit: float
    most: bool = False
    ratio: bool = False

    def __str__(self) -> str:
        sign = "\N{LESS-THAN OR EQUAL TO}" if self.most else "\N{GREATER-THAN OR EQUAL TO}"
        return f"{sign} {readable(self.limit)}{'x' if self.ratio else ''}"

    def met_by(self, number: float) -> bool:
        return number <= self.limit if self.most else number >= self.limit


def at_most(limit: float) -> Target:
    return Target(limit, most=True)


def at_least(limit: float) -> Target:
    return Target(limit)


def at_most_times(limit: float) -> Target:
    """Of the baseline."""
    return Target(limit, most=True, ratio=True)


def at_least_times(limit: float) -> Target:
    """Of the baseline."""
    return Target(limit, ratio=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` is the median of `raw` where there were several rounds, and `baseline` that of `baseline_raw`."""

    part: str
    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""
    target: Target | None = None
    raw: Sequence[float] = ()
    baseline_raw: Sequence[float] = ()
    # What else there is to know of it, in a few words.
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None

    @property
    def met(self) -> bool | None:
        """None where there is no target. A ratio to a baseline that is not there meets none."""
        if self.target is None:
            return None
        number = self.ratio if self.target.ratio else self.value
        return number is not None and self.target.met_by(number)


def of_rounds(
    part: str,
    name: str,
    unit: str,
    raw: Sequence[float],
    baseline_raw: Sequence[float] = (),
    *,
    baseline_name: str = "",
    target: Target | None = None,
    note: str = "",
) -> Figure:
    """The figure of several rounds, each with one of the baseline beside it."""
    baseline = median(baseline_raw) if baseline_raw else None
    return Figure(part, name, median(raw), unit, baseline, baseline_name, target, tuple(raw), tuple(baseline_raw), note)


@dataclass(slots=True)
class Found:
    """What a part brings home. `curves` are the points of the plots, `notes` what could not be measured and why."""

    figures: list[Figure] = field(default_factory=list)
    curves: Curves = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.figures += other.figures
        self.curves |= other.curves
        self.notes += other.notes


def readable(number: float) -> str:
    """Three digits that count, and no more than a person reads."""
    if abs(number) >= 100 or number == round(number):
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def table(figures: Iterable[Figure]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, right in (("", False), ("measured", True), ("baseline", True), ("ratio", True), ("target", True), ("", False)):
        shown.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for part, members in groupby(figures, key=lambda figure: figure.part):
        shown.add_row(f"[bold]{part}[/bold]")
        for figure in members:
            shown.add_row(*_cells(figure))
    return shown


def _cells(figure: Figure) -> list[str]:
    baseline = "" if figure.baseline is None else f"{readable(figure.baseline)} {figure.baseline_name}".rstrip()
    met = {None: "", True: "[green]met[/green]", False: "[red]MISSED[/red]"}[figure.met]
    return [
        f"  {figure.name}" + (f"\n  [dim]{figure.note}[/dim]" if figure.note else ""),
        f"{readable(figure.value)} {figure.unit}",
        baseline,
        "" if figure.ratio is None else f"{figure.ratio:.2f}x",
        "" if figure.target is None else str(figure.target),
        met,
    ]


def missed(figures: Iterable[Figure]) -> list[str]:
    return [f"{figure.part}: {figure.name}" for figure in figures if figure.met is False]


def show(found: Found, console: Console) -> None:
    console.print(table(found.figures))
    for note in found.notes:
        console.print(f"not measured: {note}", markup=False, highlight=False)


def write(path: Path, found: Found, about: dict[str, object]) -> None:
    """As JSON, with what `about` says of the machine and the versions."""
    figures = [asdict(figure) | {"ratio": figure.ratio, "met": figure.met} for figure in found.figures]
    whole = about | {
        "figures": figures,
        "missed": missed(found.figures),
        "not_measured": found.notes,
        "curves": found.curves,
    }
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
