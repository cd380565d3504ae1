"""The figures of one run, or of several that each measured some parts, as a table in a page.

`python -m measure.bench.page docs/performance.md bench.json [...]` puts it between the two marks of the page, in place of the one
that is there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from measure.bench.figures import Target, readable

BEGIN, END = "<!-- figures of the bench: begin -->", "<!-- end -->"


def write(page: Path, runs: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError when the page has no place for it."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks {BEGIN} or {END}")
    lines = [line for run in runs for line in _lines(run)]
    page.write_text(before + "\n".join([BEGIN, "", *lines, END]) + after, encoding="utf-8")


def _lines(run: Mapping[str, Any]) -> Iterator[str]:
    yield _about(run)
    yield ""
    for part, members in groupby(run["figures"], key=lambda figure: str(figure["part"])):
        yield f"| {part} | measured | beside it | ratio | target | |"
        yield "|---|--:|--:|--:|--:|---|"
        yield from map(_row, members)
        yield ""
    for note in run["not_measured"]:
        yield f"Not measured: {note}."
        yield ""


def _about(run: Mapping[str, Any]) -> str:
    versions, machine = run["versions"], run["machine"]
    what = ", ".join(f"{name} {number}" for name, number in versions.items())
    on = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mb']:,} MB, {machine['file_system']}"
    return f"{what}; {on}; {str(run['at'])[:10]}, {run['seconds'] / 60:.0f} minutes."


def _row(figure: Mapping[str, Any]) -> str:
    target = Target(**figure["target"]) if figure["target"] else None
    beside = "" if figure["baseline"] is None else f"{readable(figure['baseline'])} {figure['baseline_name']}".strip()
    note = f" ({figure['note']})" if figure["note"] else ""
    cells = [
        f"{figure['name']}{note}",
        f"{readable(figure['value'])} {figure['unit']}",
        beside,
        "" if figure["ratio"] is None else f"{figure['ratio']:.2f}",
        str(target or ""),
        {None: "", True: "met", False: "**missed**"}[figure["met"]],
    ]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    write(Path(sys.argv[1]), [json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[2:]])
