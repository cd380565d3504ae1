"""What people see while the demo goes on: on a terminal a table that lives, elsewhere a line for everything that happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from speechsense_watch.demo.pbx import Said
from speechsense_watch.demo.words import FINISHED, Mood, Words

STYLES = MappingProxyType(
    {
        Mood.QUIET: "dim",
        Mood.WAITING: "yellow",
        Mood.MOVING: "cyan",
        Mood.TROUBLE: "magenta",
        Mood.GOOD: "green",
        Mood.BAD: "red",
        Mood.LEFT_OUT: "blue",
    }
)
_STEP_WIDTH = 6
# Talk ids fit beside the rest from here on.
_WIDE = 110


@dataclass(frozen=True, slots=True)
class Row:
    """One call at one moment."""

    name: str
    said: Said
    words: Words
    talk_id: str = ""

    @property
    def finished(self) -> bool:
        return self.words.step == FINISHED


class Picture(Protocol):
    """Shows rows as they change; to be used as a context."""

    def show(self, rows: Sequence[Row], elapsed_s: float) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None: ...


def picture_for(console: Console) -> Picture:
    return LivePicture(console) if console.is_terminal and not console.is_dumb_terminal else Lines(console)


class LivePicture:
    """The table, drawn anew at every `show`; it is gone at the end, the closing table takes its place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def show(self, rows: Sequence[Row], elapsed_s: float) -> None:
        self._live.update(drawing(rows, elapsed_s, wide=self._live.console.width >= _WIDE), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()


def drawing(rows: Sequence[Row], elapsed_s: float, *, wide: bool) -> RenderableType:
    """The table of calls, and below it how many of them are finished."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Recording", no_wrap=True)
    table.add_column("What the PBX did", no_wrap=True, min_width=20)
    table.add_column("", no_wrap=True, min_width=_STEP_WIDTH)
    table.add_column("What the daemon does", no_wrap=True, min_width=25)
    if wide:
        table.add_column("Talk id", no_wrap=True, min_width=21)
    for row in rows:
        table.add_row(*_cells(row, wide=wide))
    return Group(table, Text(), _foot(rows, elapsed_s))


def _cells(row: Row, *, wide: bool) -> list[RenderableType]:
    style = STYLES[row.words.mood]
    said = Text(", ".join(filter(None, (row.said.what, row.said.detail))))
    bar = ProgressBar(total=FINISHED, completed=row.words.step, width=_STEP_WIDTH, complete_style=style, finished_style=style)
    cells: list[RenderableType] = [Text(f"{row.name}.wav"), said, bar, Text(row.words.text, style)]
    return [*cells, Text(row.talk_id, style)] if wide else cells


def _foot(rows: Sequence[Row], elapsed_s: float) -> RenderableType:
    finished = sum(row.finished for row in rows)
    foot = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=len(rows), completed=finished, width=40, complete_style="green", finished_style="green")
    foot.add_row(bar, Text(f"{finished} of {len(rows)} finished", "bold"), Text(f"{elapsed_s:.0f} s", "dim"))
    return foot


class Lines:
    """A line whenever the exchange or the daemon does something new with a call; nothing is ever drawn over."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before: dict[str, tuple[str, str]] = {}

    def show(self, rows: Sequence[Row], elapsed_s: float) -> None:
        for row in rows:
            said, text = self._before.get(row.name, ("", ""))
            now = (row.said.what, row.words.text)
            if now[0] != said:
                self._say(elapsed_s, row, f"PBX: {now[0]}")
            if now[1] != text:
                self._say(elapsed_s, row, f"daemon: {now[1]}{f', talk id {row.talk_id}' if row.talk_id else ''}")
            self._before[row.name] = now

    def _say(self, elapsed_s: float, row: Row, what: str) -> None:
        self._console.print(Text(f"{elapsed_s:5.1f} s  {row.name}.wav  {what}"), soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._console.print()
