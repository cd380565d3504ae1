"""`moved`: the operator's word that the machine the queue came from does not send any more."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from speechsense_watch.cli.common import config_option, fail
from speechsense_watch.cli.told import moment, table
from speechsense_watch.cli.words import clock_time, printable
from speechsense_watch.cli.writing import EXIT_FAILED, config_with_queue, existing_queue
from speechsense_watch.edge.history import MOVED


@click.command("moved")
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def moved_command(config_path: Path | None, yes: bool) -> None:  # noqa: FBT001 - click hands flags over by name
    """Say that the daemon on the machine this queue came from is stopped.

    Two daemons on the same recordings would send each call twice. `status` reminds of that until you have said so.

    \b
    Exit codes: 0 done, 1 not possible, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    with existing_queue(Path(config_with_queue(config_path).queue.path)) as queue:
        told = table(queue.runtime().get(MOVED))
        if not told:
            click.echo("This queue came from no other machine: nothing to say.")
            return
        seen_at = moment(told.get("seen_at"))
        last = f", where its daemon was last seen {clock_time(seen_at)}" if seen_at else ""
        click.echo(f"This queue ran on {printable(str(told.get('host', '')))}{last}.")
        if not yes:
            if not sys.stdin.isatty():
                fail("nobody is there to agree: add --yes.", EXIT_FAILED)
            click.confirm("Is the daemon there stopped, and not started at boot?", abort=True)
        queue.set_runtime(MOVED, None)
    click.echo("It is on record.")
