"""`python -m measure.bench`: see --help. Prints a table of figures and ends with 1 when a target was missed."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from measure.bench import figures, latency, memory, page, plot, quiet, scale, start, throughput
from measure.bench.figures import Found
from measure.bench.machine import about
from measure.bench.processes import forget_malloc
from measure.bench.stage import Stage

PARTS: Mapping[str, Callable[[Stage], Found]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "quiet": quiet.measure,
    "start": start.measure,
    "scale": scale.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    forget_malloc()
    began, found = time.monotonic(), Found()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir) as directory:
        stage = Stage(Path(directory), options.rounds or (1 if options.quick else 3), options.quick, options.cases)
        described = about(Path(directory))
        for part in options.parts:
            found.add(PARTS[part](stage))
            described["seconds"] = round(time.monotonic() - began)
            if options.json:
                # With each part: whoever has to break off a run of an hour has what it brought home.
                figures.write(options.json, found, described)
    # Not the 80 columns of an output that is no terminal.
    figures.show(found, Console(width=150))
    if options.docs:
        plot.write(options.docs, found)
        page.write(options.docs / "performance.md", [figures.whole(found, described)])
    missed = figures.missed(found.figures)
    for name in missed:
        sys.stdout.write(f"target missed: {name}\n")
    return 1 if missed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="measure.bench", description="Measures the real program beside what it could be.")
    parser.add_argument("--parts", type=_parts, default=tuple(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=0, help="of each kind in turn; 3, or 1 with --quick")
    parser.add_argument("--cases", default="", help="of the throughput only those with this word in their names, like `large`")
    parser.add_argument(
        "--quick", action="store_true", help="fewer cases and recordings: shows that it works, is nothing to go by"
    )
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--docs", type=Path, help="the directory whose performance.md and two pictures are made anew")
    parser.add_argument("--dir", type=Path, help="where there is room for 6 GB, for the scale 20; the temporary directory")
    return parser.parse_args(arguments)


def _parts(text: str) -> tuple[str, ...]:
    named = tuple(text.split(","))
    if unknown := set(named) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}")
    return named


if __name__ == "__main__":
    sys.exit(main())
