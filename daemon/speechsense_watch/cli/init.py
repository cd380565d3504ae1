"""`init`: from nothing to a checked configuration, by a few questions."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from speechsense_watch import config as configuration
from speechsense_watch.cli import init_questions as questions
from speechsense_watch.cli import init_writing as writing
from speechsense_watch.cli.check_folders import may_make
from speechsense_watch.cli.common import EXIT_CONFIG, fail
from speechsense_watch.cli.init_questions import CONNECTION_TYPES, EXIT_FAILED, Given
from speechsense_watch.cli.init_records import Records, call_records
from speechsense_watch.cli.init_writing import Readers, Secrets
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import user_name
from speechsense_watch.config import ConfigError
from speechsense_watch.config.recipes import RECIPES, Answers, Recipe, written

_ETC = Path("/etc/speechsense-watch")
_UNITS = Path("/etc/systemd/system")
# What this user may do there is told in our own words.
_PLACE = click.Path(path_type=Path, readable=False)
_KEY_FILE = click.Path(path_type=Path, readable=False, exists=True, dir_okay=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Everything that will be written, before a byte of it is."""

    recipe: Recipe
    path: str
    text: str
    secrets: Secrets
    readers: Readers
    hooks: Path
    notes: tuple[str, ...]


@click.command("init")
@click.option("--recorder", type=click.Choice(list(RECIPES)), help="What writes the recordings. Asked for unless given.")
@click.option("--path", metavar="DIR", help="Where the recordings appear.")
@click.option("--connection-id", metavar="ID", help="The SpeechSense connection.")
@click.option("--connection-type", type=click.Choice(CONNECTION_TYPES), help="As in the connection.")
@click.option("--start-from", metavar="WHEN", help="now, all, or a date: older calls are left alone.")
@click.option("--time-zone", metavar="ZONE", help="Of dates without one, such as Europe/Moscow.")
@click.option("--bandwidth", "limit", metavar="RATE", help="For all uploads together, such as 1MiB/s; - for no limit.")
@click.option("--cdr-csv", metavar="FILE", help="The exchange's call records: Asterisk's Master.csv; - to leave them out.")
@click.option(
    "--cdr-mysql-user",
    metavar="NAME",
    help="Or in MySQL/MariaDB: a user who may read asteriskcdrdb.cdr. Asks for the password, unless it is in "
    "SPEECHSENSE_CDR_PASSWORD.",
)
@click.option("--cdr-mysql-socket", metavar="FILE", help="That server's socket, where it is not found by itself.")
@click.option("--key-file", type=_KEY_FILE, help="A file with the API key.")
@click.option("--endpoint", default="", metavar="HOST:PORT", help="Another endpoint than SpeechSense's own.")
@click.option("--plaintext", is_flag=True, help="For a stand-in on this machine: no TLS and no key.")
@click.option("--group", metavar="NAME", help="The group that may read the recordings.  [default: the folder's own]")
@click.option("--etc", "etc", type=_PLACE, default=_ETC, show_default=True, help="Where the configuration goes.")
@click.option("--units", type=_PLACE, default=_UNITS, show_default=True, help="Where the unit's drop-in goes.")
@click.option("--hooks", type=_PLACE, help="Where a recorder's hook goes, instead of the usual place.")
@click.option("--queue", "queue_path", default="", metavar="FILE", help="Where the queue goes.  [default: /var/lib/...]")
@click.option("--force", is_flag=True, help="Replace a configuration; the old one is kept beside it.")
def init_command(**options: object) -> None:
    """Set it up for a recorder: asks what it has to know, writes configuration, key and the unit's drop-in, and checks them.

    Every question has an option, for those who set up many machines. Nothing is sent: a first start sends three recordings
    as a trial and waits for you.

    \b
    Exit codes: 0 set up and checked, 1 not written, or not all of it, 78 written, but the check found something wrong.
    """
    given = Given(**options)  # type: ignore[arg-type]  # click has made them what they are declared to be
    config_path = given.etc / "config.toml"
    if not may_make(given.etc):
        fail(
            f"{given.etc} cannot be written by user {user_name()}: try again with `sudo`, or name another place with --etc.",
            EXIT_FAILED,
        )
    if config_path.exists() and not given.force:
        fail(f"{config_path} is there already: edit it, or add --force to begin anew (the old one is kept).", EXIT_FAILED)
    try:
        wanted = _gathered(given, config_path)
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        fail("broken off: nothing was written.", EXIT_FAILED)
    writing.write_configuration(given.etc, wanted.text, wanted.secrets, operators=wanted.recipe.operators)
    writing.write_unit(given.units, wanted.path, wanted.readers)
    writing.write_hook(wanted.recipe, wanted.hooks)
    for note in filter(None, wanted.notes):
        writing.note(note)
    _check(config_path, again=given.force)


def _gathered(given: Given, config_path: Path) -> _Wanted:
    """All answers, none of which writes anything."""
    questions.check_options(given)
    writing.group_must_exist(given.group)
    key = questions.api_key(given) if given.key_file is not None else ""
    if questions.somebody_is_there():
        click.echo("Enter takes what stands in brackets. Nothing is written before the last answer.")
    name = questions.recorder(given, list(RECIPES))
    recipe = RECIPES[name]
    hooks = given.hooks or Path(recipe.hooks_path)
    if recipe.hook and not os.path.isdir(hooks):  # noqa: PTH112 - False, too, where it may not be looked at
        fail(f"there is no {hooks}, where the hook {recipe.hook} belongs: name its directory with --hooks.", EXIT_FAILED)
    path = questions.path(given, recipe)
    answers, records = _answers(name, path, recipe, given)
    text = written(recipe, answers)
    _must_load(text, config_path)
    key = key or questions.api_key(given)
    return _Wanted(
        recipe=recipe,
        path=path,
        text=text,
        secrets=Secrets(
            api_key=key, wants_api_key=not given.plaintext, password=records.password, wants_password="mysql_user" in records.keys
        ),
        readers=writing.readers(given.group, path, recipe),
        hooks=hooks,
        notes=(*recipe.notes, "" if records.keys else recipe.note_without_records),
    )


def _answers(name: str, path: str, recipe: Recipe, given: Given) -> tuple[Answers, Records]:
    etc = given.etc
    connection_id = questions.connection_id(given)
    connection_type = questions.connection_type(given, recipe)
    start_from = questions.start_from(given)
    time_zone = questions.time_zone(given)
    bandwidth = questions.bandwidth(given)
    records = call_records(recipe, given)
    answers = Answers(
        path=path,
        name=name,
        connection_id=connection_id,
        connection_type=connection_type,
        start_from=start_from,
        time_zone=time_zone,
        api_key_file=str(etc / "api-key"),
        bandwidth=bandwidth,
        endpoint=given.endpoint,
        plaintext=given.plaintext,
        operators=str(etc / "operators.csv") if recipe.operators else "",
        cdr=records.keys,
        queue_path=given.queue_path,
    )
    return answers, records


def _must_load(text: str, path: Path) -> None:
    try:
        configuration.loads(text, path, {})
    except ConfigError as error:
        fail("the answers make no configuration, so nothing was written:\n" + printable(str(error)), EXIT_FAILED)


def _check(config_path: Path, *, again: bool) -> None:
    """As `check` does it; it says the last word and gives the exit code."""
    from speechsense_watch.cli.check import check_command  # noqa: PLC0415 - it loads the half of the program

    click.echo("")
    try:
        check_command.main(["--config", str(config_path)], standalone_mode=False)
    except SystemExit as end:
        if end.code not in (0, None):
            click.echo("It is written, but not right yet: mend what is marked, then `sudo speechsense-watch check`.")
            sys.exit(EXIT_CONFIG)
    # One that runs already goes on with what it has read, whatever `enable --now` says.
    start = "enable speechsense-watch && sudo systemctl restart" if again else "enable --now"
    click.echo(f"Next: `sudo systemctl {start} speechsense-watch`.")
    click.echo("It sends three recordings and waits for you: `sudo speechsense-watch status` says what to do.")
