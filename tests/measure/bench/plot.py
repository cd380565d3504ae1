"""Two pictures of the bench's own figures, as SVG: how a backlog is worked off, and memory over the size of a file.

Without a background, in colours that can be read on a light one and on a dark one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, log10
from pathlib import Path

from measure.bench.figures import Found, readable

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 780, 64, 190, 34, 44
_LINE_HEIGHT = 16.0
_TEXT, _GRID, _OURS, _OTHER = "#7d8590", "#7d859055", "#2f81f7", "#d9822b"
# A rate is that of so many points of a curve.
_SMOOTH = 4

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """`label` stands at its end."""

    points: Points
    label: str
    colour: str = _OURS
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    across: str
    lines: Sequence[Line]
    height: int = 190


def write(directory: Path, found: Found) -> list[Path]:
    """A file for each curve that was measured."""
    panels = {"backlog": _backlog, "memory": _memory}
    written = []
    for name, points in found.curves.items():
        path = directory / f"performance-{name}.svg"
        path.write_text(svg(panels[name](points)), encoding="utf-8")
        written.append(path)
    return written


def _backlog(points: Sequence[tuple[float, ...]]) -> list[Panel]:
    """Of seconds, recordings that wait, recordings sent until then, and what the bare loop sends in a second."""
    waiting = [(at, depth) for at, depth, *_ in points]
    windows = zip(points, points[_SMOOTH:], strict=False)
    rate = [((begin[0] + end[0]) / 2, (end[2] - begin[2]) / (end[0] - begin[0])) for begin, end in windows]
    beside = [(points[0][0], points[0][3]), (points[-1][0], points[-1][3])]
    return [
        Panel("recordings in the queue that wait", "", [Line(waiting, "waiting")]),
        Panel(
            "talks a second",
            "seconds since READY",
            [Line(rate, "speechsense-watch"), Line(beside, "a bare gRPC loop", _OTHER, dashed=True)],
        ),
    ]


def _memory(points: Sequence[tuple[float, ...]]) -> list[Panel]:
    """Of megabytes of the file, ours, and that of a process that sends it in one message."""
    ours, whole = ([(size, peaks[which]) for size, *peaks in points] for which in (0, 1))
    lines = [
        Line(whole, f"in one message: {readable(round(whole[-1][1]))} MB", _OTHER),
        Line(ours, f"speechsense-watch: {readable(round(ours[-1][1]))} MB"),
    ]
    return [Panel("peak memory, MB", "size of the audio file, MB", lines, height=300)]


# --- drawing -------------------------------------------------------------------------------------


def svg(panels: Sequence[Panel]) -> str:
    """One below the other."""
    height = sum(panel.height for panel in panels)
    body, top = list[str](), 0
    for panel in panels:
        body += _drawn(panel, top)
        top += panel.height
    style = f'font-family="system-ui, sans-serif" font-size="13" fill="{_TEXT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" {style}>'
    return "\n".join([head, *body, "</svg>"]) + "\n"


def _drawn(panel: Panel, top: int) -> Iterator[str]:
    far = max(x for line in panel.lines for x, _ in line.points)
    ups, rights = ticks(max(y for line in panel.lines for _, y in line.points)), [t for t in ticks(far) if t <= far]
    left, right, upper, lower = _LEFT, _WIDTH - _RIGHT, top + _TOP, top + panel.height - _BOTTOM

    def across(x: float) -> float:
        return left + (right - left) * x / far

    def down(y: float) -> float:
        return lower - (lower - upper) * y / ups[-1]

    yield _text(left, upper - 14, panel.title, "start", "600")
    for tick in ups:
        y = down(tick)
        yield f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _text(left - 8, y + 4, readable(tick), "end")
    for tick in rights:
        yield _text(across(tick), lower + 18, readable(tick), "middle")
    if panel.across:
        yield _text((left + right) / 2, lower + 36, panel.across, "middle")
    for line in panel.lines:
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line.points)
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        yield f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2" stroke-linejoin="round"{dashes}/>'
    heights = apart([down(line.points[-1][1]) + 4 for line in panel.lines])
    for line, height in zip(panel.lines, heights, strict=True):
        yield _text(across(line.points[-1][0]) + 6, height, line.label, "start", colour=line.colour)


def _text(x: float, y: float, text: str, anchor: str, weight: str = "400", colour: str = _TEXT) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">{text}</text>'


def apart(heights: Sequence[float]) -> list[float]:
    """The same, moved down where one would be written over another."""
    moved = list(heights)
    for above, below in pairwise(sorted(range(len(moved)), key=moved.__getitem__)):
        moved[below] = max(moved[below], moved[above] + _LINE_HEIGHT)
    return moved


def ticks(most: float) -> list[float]:
    """From 0 on in steps of 1, 2 or 5 and a power of ten, three to six of them; the last is `most` or the first above it."""
    if most <= 0:
        return [0.0, 1.0]
    power = 10.0 ** floor(log10(most))
    step = next(power * part for part in (0.2, 0.5, 1.0, 2.0) if most / (power * part) <= 5)
    count = -int(-most // step)
    return [step * number for number in range(count + 1)]
