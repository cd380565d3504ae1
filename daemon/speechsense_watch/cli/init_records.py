"""`init`, the call records: where they are on this machine, who may read them, and whether that works."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from speechsense_watch.cli.init_questions import PATH, WORD, Given, ask, ask_secret, somebody_is_there
from speechsense_watch.cli.words import printable
from speechsense_watch.config.recipes import Recipe
from speechsense_watch.core.rules import CallRecordRules
from speechsense_watch.edge.call_records_mysql import refusal

# Of Debian's packages, and of Red Hat's, which FreePBX's own distribution has too.
SOCKETS = (Path("/run/mysqld/mysqld.sock"), Path("/var/lib/mysql/mysql.sock"))
MASTER_CSV = Path("/var/log/asterisk/cdr-csv/Master.csv")
_USER = "speechsense"
_LEFT_OUT, _MYSQL = "-", "mysql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The keys of [folders.cdr], none where they are left out. `password` is the database's; empty: nobody has said it."""

    keys: Mapping[str, str] = field(default_factory=dict)
    password: str = ""


def call_records(recipe: Recipe, given: Given) -> Records:
    """By the options, else asked for where the recorder needs them."""
    if given.cdr_csv is not None:
        return _csv(given.cdr_csv)
    if given.cdr_mysql_user is not None:
        return _mysql(given.cdr_mysql_user, given)
    if not recipe.call_records or not somebody_is_there():
        return Records()
    answer = ask(
        "Where are the call records: mysql, the path of a Master.csv, or - to leave them out?",
        proposed(SOCKETS, MASTER_CSV),
        _place,
    )
    if answer == _MYSQL:
        return _mysql(ask("Which user of the database may read them?", _USER, WORD), given)
    return _csv(answer)


def proposed(sockets: Sequence[Path], master_csv: Path) -> str:
    """MySQL where it runs, as FreePBX writes its own records there; else the CSV, if Asterisk writes one at all."""
    if _first(sockets) is not None:
        return _MYSQL
    try:
        return str(master_csv) if master_csv.stat().st_size else _LEFT_OUT
    except OSError:
        return _LEFT_OUT


def _first(sockets: Sequence[Path]) -> Path | None:
    return next((socket for socket in sockets if _is_socket(socket)), None)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _place(text: str) -> str:
    if text in (_MYSQL, _LEFT_OUT) or os.path.isfile(text):  # noqa: PTH113 - False, too, where it may not be looked at
        return PATH(text) if text.startswith("/") else ""
    return "mysql, the absolute path of a file that is there, or -"


def _csv(said: str) -> Records:
    return Records() if said == _LEFT_OUT else Records(keys={"csv": said})


def _mysql(user: str, given: Given) -> Records:
    file = given.etc / "cdr-password"
    found = given.cdr_mysql_socket or _first(SOCKETS)
    socket = str(found or SOCKETS[0])
    if found is None and somebody_is_there():
        socket = ask("Which socket does the database listen at?", socket, PATH)
    password = _password(user, file)
    kept = str(file) if not password and file.exists() else ""
    _try(CallRecordRules(mysql_socket=socket, mysql_user=user, mysql_password_file=kept), password)
    keys = {"mysql_socket": socket, "mysql_user": user, "mysql_password_file": str(file)}
    return Records(keys=keys, password=password)


def _password(user: str, file: Path) -> str:
    if said := os.environ.get("SPEECHSENSE_CDR_PASSWORD"):
        return said
    if not somebody_is_there():
        return ""
    kept = f"; Enter to keep that in {printable(str(file))}" if file.exists() else ""
    return ask_secret(f"The password of {user} in the database? (not shown{kept})")


def _try(rules: CallRecordRules, password: str) -> None:
    """Says whether the records can be read, and if not how a user is made who may. The password is never shown."""
    trouble = refusal(rules, password)
    if not trouble:
        click.echo("  ok     The call records can be read.")
        return
    user = f"{_quoted(rules.mysql_user)}@'localhost'"
    click.echo(f"  note   {printable(trouble)}")
    click.echo("         If this user is not there yet, type into `sudo mysql`, with the password in its place:")
    click.echo(f"           CREATE USER {user} IDENTIFIED BY 'THE PASSWORD';")
    click.echo(f"           GRANT SELECT ON {rules.mysql_database}.{rules.mysql_table} TO {user};")


def _quoted(name: str) -> str:
    """A name as SQL has it."""
    return "'" + name.replace("\\", "\\\\").replace("'", "''") + "'"
