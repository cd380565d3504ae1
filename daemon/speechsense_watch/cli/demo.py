"""`demo`: see it work on this machine."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console

from speechsense_watch.cli.common import fail
from speechsense_watch.demo import DemoError, play
from speechsense_watch.edge.clock import SystemClock

EXIT_CANNOT = 1


@click.command("demo")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Work in DIR, new or empty, and leave everything there to look at: configuration, queue, recordings, talks, log.",
)
def demo_command(keep: Path | None) -> None:
    """See it work, without account or configuration: takes a quarter of a minute.

    A telephone exchange is played that records nine calls, some of them with a fault; the real daemon brings them to a
    stand-in for SpeechSense. Everything happens on this machine, and nothing of it is left unless you say --keep.

    \b
    Exit codes: 0 everything ended as it should, 1 it did not, 130 interrupted.
    """
    # Without a terminal there are plain lines, whatever FORCE_COLOR says.
    console = Console(highlight=False, force_terminal=None if sys.stdout.isatty() else False)
    with ExitStack() as stack:
        try:
            directory = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speechsense-watch-demo-")))
            _make_empty(directory)
            code = play(directory, console, SystemClock(), os.environ, keep=keep is not None)
        except DemoError as error:
            fail(str(error), EXIT_CANNOT)
        except OSError as error:
            fail(
                f"The demo cannot write its files: {error}. Is there room on the disk? $TMPDIR names another place.", EXIT_CANNOT
            )
    sys.exit(code)


def _make_empty(directory: Path) -> None:
    """Raises OSError, and DemoError when there is something in it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise DemoError(f"{directory} is not empty: name a new directory with --keep.")
