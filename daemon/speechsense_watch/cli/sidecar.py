"""`sidecar`: a correct metadata file beside a recording, for the hooks of recorders."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from speechsense_watch.cli.common import fail
from speechsense_watch.cli.words import printable
from speechsense_watch.core import pairing
from speechsense_watch.core.metadata import plain_fields, shortcomings
from speechsense_watch.core.model import Problem
from speechsense_watch.core.rules import ConnectionType, Folder
from speechsense_watch.core.sidecar import read_values, shown
from speechsense_watch.edge.atomic import rights_of, write_whole

EXIT_FAILED = 1
NO_CHECK = "none"


@click.command("sidecar")
@click.argument("pairs", metavar="KEY=VALUE...", nargs=-1)
@click.option("--audio", metavar="F", required=True, type=click.Path(path_type=Path), help="The recording.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read KEY=VALUE lines from standard input as well.")
@click.option(
    "--name", "pattern", metavar="PATTERN", default="{stem}.json", show_default=True, help="As `metadata` in the folder's rules."
)
@click.option(
    "--check",
    "checked_for",
    type=click.Choice([*map(str, ConnectionType), NO_CHECK]),
    default=str(ConnectionType.TWO_CHANNEL),
    show_default=True,
    help="What the connection is, or none: then the folder's rules are to see to all of it.",
)
@click.option("--force", is_flag=True, help="Replace a metadata file that says something else.")
def sidecar_command(
    *, pairs: tuple[str, ...], audio: Path, from_stdin: bool, pattern: str, checked_for: str, force: bool
) -> None:
    """Write the metadata file of a recording, whole and in one step.

    Made to be the last thing that a recorder's hook does: the file appears under its name only when it is complete and on
    disk, so that a folder with `metadata_last = true` takes the call at once. Values are written exactly as given, as texts.

    Values of over 1,024 bytes and such as cannot be sent at all are refused. Required keys that are lacking, a date without a
    zone or in another form, and a direction that is neither true nor false are warned of on stderr, since the folder's rules
    may put them right.

    What stands among the arguments is seen by everybody who may list processes; --stdin keeps numbers and names out of it:

    \b
      printf '%s\\n' "client_id=$caller" "operator_id=$agent" |
        speechsense-watch sidecar --audio /spool/call.wav --stdin direction_outgoing=false

    \b
    Exit codes: 0 written, warnings or none, or there with this content already; 1 not written.
    """
    lines = [*pairs, *(_lines() if from_stdin else ())]
    values = _values(lines)
    if not audio.is_file():
        fail(f"there is no recording {printable(str(audio))}: write its metadata when it is final.", EXIT_FAILED)
    target = _target(audio, pattern)
    data = (json.dumps(values, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogateescape")
    _check(data, checked_for)
    try:
        if target.exists() and not force:
            if target.read_bytes() == data:
                return
            fail(f"{printable(str(target))} is there already and says something else; --force replaces it.", EXIT_FAILED)
        mode, owner = rights_of(audio)
        write_whole(target, data, mode=mode, owner=owner)
    except OSError as error:
        fail(f"{printable(str(target))} cannot be written: {error.strerror}.", EXIT_FAILED)


def _check(data: bytes, checked_for: str) -> None:
    """Ends the program when no connection takes what would be written; warns of what only a folder's rules can put right."""
    read = read_values(data) if checked_for == NO_CHECK else plain_fields(data)
    if isinstance(read, Problem):
        fail(f"nothing was written: {read.message}", EXIT_FAILED)
    if checked_for != NO_CHECK:
        for message in shortcomings(read.values, ConnectionType(checked_for)):
            click.echo(f"speechsense-watch: warning: a folder without rules of its own would not take this: {message}", err=True)


def _lines() -> Iterable[str]:
    text = sys.stdin.buffer.read(2**20).decode("utf-8", "surrogateescape")
    return [line for line in text.split("\n") if line]


def _values(lines: Iterable[str]) -> dict[str, str]:
    """Ends the program when a line is no KEY=VALUE or a key comes twice."""
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        key, separator, value = line.partition("=")
        if not separator or not key.strip():
            # The line itself may be personal data.
            fail(f"argument or line {number} is not of the form KEY=VALUE.", EXIT_FAILED)
        if key in values:
            fail(f"the key {shown(key)} is given twice.", EXIT_FAILED)
        values[key] = value
    if not values:
        fail("no KEY=VALUE is given, neither as an argument nor by --stdin.", EXIT_FAILED)
    return values


def _target(audio: Path, pattern: str) -> Path:
    rules = Folder(path="/", connection_id="", start_from="all", name="", metadata=pattern)
    name = pairing.metadata_path(rules, audio.name)
    if name is None or ("{stem}" not in pattern and "{name}" not in pattern):
        fail(f"--name must hold {{stem}} or {{name}}, not {printable(pattern)}.", EXIT_FAILED)
    target = Path(os.path.normpath(audio.parent / name))
    if target == audio:
        fail("--name gives the recording's own name.", EXIT_FAILED)
    return target
