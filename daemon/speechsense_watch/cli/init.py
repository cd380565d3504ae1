"""`init`: from nothing to a checked configuration, by a few questions."""

from __future__ import annotations

import grp
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import click

from speechsense_watch import config as configuration
from speechsense_watch.cli.common import EXIT_CONFIG, fail
from speechsense_watch.cli.words import printable
from speechsense_watch.config import ConfigError
from speechsense_watch.config.kinds import Mismatch, bandwidth, start
from speechsense_watch.config.recipes import RECIPES, Answers, Recipe, drop_in, written
from speechsense_watch.config.zones import zone_problem
from speechsense_watch.edge.atomic import write_whole
from speechsense_watch.edge.ownership import SERVICE_USER

_ETC = Path("/etc/speechsense-watch")
_UNITS = Path("/etc/systemd/system")
EXIT_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """The options, by their names."""

    recorder: str | None
    path: str | None
    connection_id: str | None
    connection_type: str | None
    start_from: str | None
    time_zone: str | None
    limit: str | None
    cdr_csv: str | None
    cdr_mysql_user: str | None
    cdr_mysql_socket: str
    key_file: Path | None
    endpoint: str
    plaintext: bool
    group: str | None
    etc: Path
    units: Path
    hooks: Path | None
    queue_path: str
    force: bool


@click.command("init")
@click.option("--recorder", type=click.Choice(list(RECIPES)), help="What writes the recordings. Asked for unless given.")
@click.option("--path", metavar="DIR", help="Where the recordings appear.")
@click.option("--connection-id", metavar="ID", help="The SpeechSense connection.")
@click.option("--connection-type", type=click.Choice(["two-channel", "single-channel"]), help="As in the connection.")
@click.option("--start-from", metavar="WHEN", help="now, all, or a date: older calls are left alone.")
@click.option("--time-zone", metavar="ZONE", help="Of dates without one, such as Europe/Moscow.")
@click.option("--bandwidth", "limit", metavar="RATE", help="For all uploads together, such as 1MiB/s; '' for no limit.")
@click.option("--cdr-csv", metavar="FILE", help="The exchange's call records: Asterisk's Master.csv.")
@click.option(
    "--cdr-mysql-user",
    metavar="NAME",
    help="Or in MySQL/MariaDB: a user who may read asteriskcdrdb.cdr. Asks for the password, unless it is in "
    "SPEECHSENSE_CDR_PASSWORD.",
)
@click.option(
    "--cdr-mysql-socket", metavar="FILE", default="/run/mysqld/mysqld.sock", show_default=True, help="That server's socket."
)
@click.option("--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with the API key.")
@click.option("--endpoint", default="", metavar="HOST:PORT", help="Another endpoint than SpeechSense's own.")
@click.option("--plaintext", is_flag=True, help="For a stand-in on this machine: no TLS and no key.")
@click.option("--group", metavar="NAME", help="The group that may read the recordings.")
@click.option(
    "--etc", "etc", type=click.Path(path_type=Path), default=_ETC, show_default=True, help="Where the configuration goes."
)
@click.option(
    "--units", type=click.Path(path_type=Path), default=_UNITS, show_default=True, help="Where the unit's drop-in goes."
)
@click.option("--hooks", type=click.Path(path_type=Path), help="Where a recorder's hook goes, instead of the usual place.")
@click.option("--queue", "queue_path", default="", metavar="FILE", help="Where the queue goes.  [default: /var/lib/...]")
@click.option("--force", is_flag=True, help="Replace a configuration; the old one is kept beside it.")
def init_command(**options: object) -> None:
    """Set it up for a recorder: asks what it has to know, writes configuration, key and the unit's drop-in, and checks them.

    Every question has an option, for those who set up many machines. Nothing is sent: a first start sends three recordings
    as a trial and waits for you.

    \b
    Exit codes: 0 set up and checked, 1 not written, 78 written, but the check found something wrong.
    """
    given = _Given(**options)  # type: ignore[arg-type]  # click has made them what they are declared to be
    etc = given.etc
    config_path = etc / "config.toml"
    if config_path.exists() and not given.force:
        fail(f"{config_path} is there already: edit it, or add --force to begin anew (the old one is kept).", EXIT_FAILED)
    name = given.recorder or _ask("Which recorder?", "freepbx", click.Choice(list(RECIPES)))
    recipe = RECIPES[name]
    hooks = given.hooks or Path(recipe.hooks_path)
    if recipe.hook and not hooks.is_dir():
        fail(f"there is no {hooks}, where the hook {recipe.hook} belongs: name its directory with --hooks.", EXIT_FAILED)
    answers = _answers(name, recipe, given)
    text = written(recipe, answers)
    _must_load(text, config_path)
    key = "" if given.plaintext else _key(given.key_file)
    password = _password(given.cdr_mysql_user)
    _write_all(text, key, password, answers, recipe, etc)
    _write_unit(given.units, answers.path, _group(given.group, answers.path, recipe))
    _write_hook(recipe, hooks)
    for note in recipe.notes:
        click.echo(f"  note   {note}")
    _check(config_path)


# --- questions -------------------------------------------------------------------------------


def _answers(name: str, recipe: Recipe, given: _Given) -> Answers:
    etc = given.etc
    types = click.Choice(["two-channel", "single-channel"])
    return Answers(
        path=_path(given.path or _ask("Where do its recordings appear?", recipe.path)),
        name=name,
        connection_id=given.connection_id or _ask("The id of the SpeechSense connection (its page in the console shows it)?"),
        connection_type=given.connection_type or _ask("Which type has the connection?", recipe.connection_type, types),
        start_from=_known(given.start_from or _ask("From when on are calls sent (now, all, or a date)?", "now"), _start),
        time_zone=_known(given.time_zone or _ask("The time zone of the exchange?", _own_zone()), zone_problem),
        api_key_file=str(etc / "api-key"),
        bandwidth=_limit(given),
        endpoint=given.endpoint,
        plaintext=given.plaintext,
        operators=str(etc / "operators.csv") if recipe.operators else "",
        cdr=_call_records(recipe, given),
        queue_path=given.queue_path,
    )


def _ask(question: str, default: str = "", kind: click.ParamType[str] | None = None) -> str:
    if not sys.stdin.isatty():
        fail(f"nobody is there to answer: {question} Give it as an option; `init --help` lists them.", EXIT_FAILED)
    return str(click.prompt(question, default=default or None, type=kind))


def _limit(given: _Given) -> str:
    question = "A limit for all uploads together, so that calls do not stutter (such as 1MiB/s; - for none)?"
    return _known(_ask(question, "1MiB/s") if given.limit is None else given.limit, _bandwidth).replace("-", "")


def _path(path: str) -> str:
    if not path.startswith("/"):
        fail(f"{printable(path)} is no absolute path.", EXIT_FAILED)
    return os.path.normpath(path)


def _known(value: str, problem_of: Callable[[str], str]) -> str:
    if problem := problem_of(value):
        fail(f"{printable(value)} will not do: expected {problem}.", EXIT_FAILED)
    return value


def _start(text: str) -> str:
    try:
        start().read(text)
    except Mismatch as mismatch:
        return mismatch.expected or start().expected
    return ""


def _bandwidth(text: str) -> str:
    try:
        bandwidth().read("" if text == "-" else text)
    except Mismatch as mismatch:
        return mismatch.expected or bandwidth().expected
    return ""


def _own_zone() -> str:
    """The machine's own, where it has a name."""
    target = os.path.realpath("/etc/localtime")
    return target.partition("/zoneinfo/")[2] or "UTC"


def _call_records(recipe: Recipe, given: _Given) -> dict[str, object]:
    if given.cdr_csv:
        return {"csv": _path(given.cdr_csv)}
    if given.cdr_mysql_user:
        return {
            "mysql_socket": _path(given.cdr_mysql_socket),
            "mysql_user": given.cdr_mysql_user,
            "mysql_password_file": str(given.etc / "cdr-password"),
        }
    if not recipe.call_records or not sys.stdin.isatty():
        return {}
    answer = _ask("Where are the call records: the path of a Master.csv, or - to leave them out for now?", "-")
    return {"csv": _path(answer)} if answer != "-" else {}


def _key(key_file: Path | None) -> str:
    if key_file is not None:
        return key_file.read_text(encoding="utf-8").strip()
    if not sys.stdin.isatty():
        return ""
    return str(
        click.prompt("The API key (not shown; empty to put it there later)", default="", hide_input=True, show_default=False)
    )


def _password(user: str | None) -> str:
    if user is None:
        return ""
    if not sys.stdin.isatty():
        return os.environ.get("SPEECHSENSE_CDR_PASSWORD", "")
    return str(
        click.prompt(f"The password of {user} in the database (not shown)", default="", hide_input=True, show_default=False)
    )


# --- writing ---------------------------------------------------------------------------------


def _must_load(text: str, path: Path) -> None:
    try:
        configuration.loads(text, path, {})
    except ConfigError as error:
        fail("the answers make no configuration, so nothing was written:\n" + printable(str(error)), EXIT_FAILED)


def _write_all(text: str, key: str, password: str, answers: Answers, recipe: Recipe, etc: Path) -> None:
    owner = _owner()
    try:
        etc.mkdir(mode=0o750, parents=True, exist_ok=True)
        if owner is not None:
            os.chown(etc, *owner)
        config_path = etc / "config.toml"
        if config_path.exists():
            config_path.replace(config_path.with_suffix(".toml.before-init"))
        _write(config_path, text, owner)
        if key or not (etc / "api-key").exists():
            _write(etc / "api-key", f"{key}\n" if key else "", owner)
        if "mysql_user" in answers.cdr:
            _write(etc / "cdr-password", f"{password}\n", owner)
        if recipe.operators and not (etc / "operators.csv").exists():
            _write(etc / "operators.csv", "extension,id,name\n", owner)
            click.echo(f"  note   Put your people into {etc / 'operators.csv'}; without a name there the extension is the name.")
    except OSError as error:
        fail(f"{printable(str(error.filename or etc))} cannot be written ({error.strerror}): try again with `sudo`.", EXIT_FAILED)


def _write(path: Path, text: str, owner: tuple[int, int] | None) -> None:
    write_whole(path, text.encode(), mode=0o640, owner=owner)
    click.echo(f"  wrote  {path}")


def _owner() -> tuple[int, int] | None:
    """Root's, readable for the service's group, where this machine has it."""
    if os.geteuid() != 0:
        return None
    try:
        return 0, grp.getgrnam(SERVICE_USER).gr_gid
    except KeyError:
        click.echo(f"  note   There is no group {SERVICE_USER} yet: see docs/operations.md, step 2.")
        return 0, 0


def _group(given: str | None, path: str, recipe: Recipe) -> str:
    """Of the recordings as they are, else what the recorder's packages use."""
    if given is not None:
        return given
    try:
        found = grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        return recipe.group
    return "" if found == "root" else found


def _write_unit(units: Path, path: str, group: str) -> None:
    directory = units / "speechsense-watch.service.d"
    if not units.is_dir():
        click.echo(f"  note   There is no {units}: without systemd, see to the group {group or 'of the recordings'} yourself.")
        return
    try:
        directory.mkdir(mode=0o755, exist_ok=True)
        target = directory / "recorder.conf"
        write_whole(target, drop_in(path, group).encode(), mode=0o644)
        click.echo(f"  wrote  {target}; then `systemctl daemon-reload`")
    except OSError as error:
        fail(f"{directory} cannot be written ({error.strerror}): try again with `sudo`.", EXIT_FAILED)


def _write_hook(recipe: Recipe, hooks: Path) -> None:
    if not recipe.hook:
        return
    try:
        text = files("speechsense_watch.hooks").joinpath(recipe.hook).read_bytes()
        write_whole(hooks / recipe.hook, text, mode=0o755)
        click.echo(f"  wrote  {hooks / recipe.hook}")
    except OSError as error:
        fail(f"{hooks / recipe.hook} cannot be written ({error.strerror}): try again with `sudo`.", EXIT_FAILED)


def _check(config_path: Path) -> None:
    """As `check` does it; it says the last word and gives the exit code."""
    from speechsense_watch.cli.check import check_command  # noqa: PLC0415 - it loads the half of the program

    click.echo("")
    try:
        check_command.main(["--config", str(config_path)], standalone_mode=False)
    except SystemExit as end:
        if end.code not in (0, None):
            sys.exit(EXIT_CONFIG)
    click.echo("Next: `sudo systemctl enable --now speechsense-watch`, then `sudo speechsense-watch status`.")
