"""Where the reading commands print: a picture on a terminal, plain lines of any width elsewhere."""

from __future__ import annotations

import io
import sys

import click
from rich.console import Console, RenderableType
from rich.text import Text

# Wide enough that nothing is ever wrapped or cut when the output goes into a file or a pipe.
_PLAIN_WIDTH = 10_000


def console() -> Console:
    """Standard output; colours only on a terminal, and none with NO_COLOR. What the terminal's encoding lacks is escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    screen = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not screen.is_terminal:
        screen.width = _PLAIN_WIDTH
    return screen


def emit(screen: Console, picture: RenderableType) -> None:
    """Prints it; outside a terminal without the blanks that fill a table's columns up."""
    if screen.is_terminal:
        screen.print(picture)
        return
    with screen.capture() as captured:
        screen.print(picture)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def command(text: str) -> Text:
    """Something to type."""
    return Text(text, style="bold cyan")
