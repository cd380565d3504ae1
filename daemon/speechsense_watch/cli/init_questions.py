"""`init`, the questions: every answer comes from an option, or from whoever sits at the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click

from speechsense_watch.cli.common import fail
from speechsense_watch.cli.words import printable
from speechsense_watch.config import kinds
from speechsense_watch.config.kinds import Kind, Mismatch
from speechsense_watch.config.recipes import Recipe
from speechsense_watch.config.zones import zone_problem

EXIT_FAILED = 1
# What would have been right instead; empty for a value that will do.
Problem: TypeAlias = Callable[[str], str]

CONNECTION_TYPES = ("two-channel", "single-channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options, by their names. None: not given."""

    recorder: str | None
    path: str | None
    connection_id: str | None
    connection_type: str | None
    start_from: str | None
    time_zone: str | None
    limit: str | None
    cdr_csv: str | None
    cdr_mysql_user: str | None
    cdr_mysql_socket: str | None
    key_file: Path | None
    endpoint: str
    plaintext: bool
    group: str | None
    etc: Path
    units: Path
    hooks: Path | None
    queue_path: str
    force: bool


# --- what will do ----------------------------------------------------------------------------


def as_the_configuration(kind: Kind) -> Problem:
    """Whatever the configuration would refuse is refused here, while it can still be asked again."""

    def problem_of(text: str) -> str:
        try:
            text.encode()
            kind.read(text)
        except UnicodeEncodeError:
            return "text in UTF-8"
        except Mismatch as mismatch:
            return mismatch.expected or kind.expected
        return ""

    return problem_of


def one_of(words: Sequence[str]) -> Problem:
    return lambda text: "" if text in words else f"one of {', '.join(words)}"


PATH = as_the_configuration(kinds.absolute_path())
WORD = as_the_configuration(kinds.word("a name without spaces", may_be_empty=False))
_ENDPOINT = as_the_configuration(kinds.endpoint())
_START = as_the_configuration(kinds.start())
_KEY = as_the_configuration(kinds.word("the key alone, on one line and without spaces"))
_CONNECTION = as_the_configuration(kinds.word("the id of a SpeechSense connection, without spaces", may_be_empty=False))


def _directory(text: str) -> str:
    """A directory that is not there yet may be mounted later; a file will never be one."""
    return PATH(text) or ("a directory" if os.path.exists(text) and not os.path.isdir(text) else "")  # noqa: PTH110, PTH112


def _bandwidth(text: str) -> str:
    wrong = text != "-" and as_the_configuration(kinds.bandwidth())(text)
    return "a bandwidth such as 1MiB/s or 500KiB/s, at least 1KiB/s, or - for no limit" if wrong else ""


# --- asking ----------------------------------------------------------------------------------


def somebody_is_there() -> bool:
    return sys.stdin.isatty()


def ask(question: str, default: str = "", problem_of: Problem = lambda _: "") -> str:
    """An answer that will do; after one that will not, it says why and asks again. Ends the program where nobody is there."""
    if not somebody_is_there():
        fail(f"nobody is there to answer: {question} Give it as an option; `init --help` lists them.", EXIT_FAILED)
    return _asked(question, default or None, problem_of, secret=False)


def ask_secret(question: str, problem_of: Problem = lambda _: "") -> str:
    """The same for what is not shown, not even when it will not do, and may be nothing."""
    return _asked(question, "", problem_of, secret=True)


def _asked(question: str, default: str | None, problem_of: Problem, *, secret: bool) -> str:
    while True:
        try:
            said = click.prompt(question, default=default, prompt_suffix=" ", hide_input=secret, show_default=not secret)
        except UnicodeDecodeError:
            click.echo("  That is no text in UTF-8.")
            continue
        answer = str(said).strip()
        if not (problem := problem_of(answer)):
            return answer
        click.echo(f"  {_will_not_do('That' if secret else answer, problem)}")


def must_do(value: str, problem_of: Problem) -> str:
    """The value of an option. Ends the program if it will not do."""
    if problem := problem_of(value):
        fail(_will_not_do(value, problem), EXIT_FAILED)
    return value


def _will_not_do(value: str, problem: str) -> str:
    return f"{printable(value) or 'nothing'} will not do: expected {problem}."


# --- the questions ---------------------------------------------------------------------------


def check_options(given: Given) -> None:
    """Before the first question, so that nobody answers ten of them in vain. Ends the program for a value that will not do."""
    checks: Sequence[tuple[str | None, Problem]] = (
        (given.path, _directory),
        (given.connection_id, _CONNECTION),
        (given.start_from, _START),
        (given.time_zone, zone_problem),
        (given.limit or None, _bandwidth),
        (given.cdr_csv if given.cdr_csv != "-" else None, PATH),
        (given.cdr_mysql_user, WORD),
        (given.cdr_mysql_socket, PATH),
        (given.endpoint or None, _ENDPOINT),
        (given.queue_path or None, PATH),
    )
    for value, problem_of in checks:
        if value is not None:
            must_do(value, problem_of)
    if given.cdr_csv is not None and given.cdr_mysql_user is not None:
        fail("the call records are in one place: give --cdr-csv or --cdr-mysql-user, not both.", EXIT_FAILED)
    if given.plaintext and not given.endpoint:
        fail("--plaintext is for a stand-in: name it with --endpoint, such as 127.0.0.1:5051.", EXIT_FAILED)


def recorder(given: Given, recorders: Sequence[str]) -> str:
    return given.recorder or ask(f"Which recorder? ({', '.join(recorders)})", "freepbx", one_of(recorders))


def path(given: Given, recipe: Recipe) -> str:
    """As the configuration has it, without doubled and trailing slashes."""
    said = given.path or ask("Where do its recordings appear?", recipe.path, _directory)
    return str(kinds.absolute_path().read(said))


def connection_id(given: Given) -> str:
    return given.connection_id or ask("The id of the SpeechSense connection (its page in the console shows it)?", "", _CONNECTION)


def connection_type(given: Given, recipe: Recipe) -> str:
    question = f"Which type has the connection? ({', '.join(CONNECTION_TYPES)})"
    return given.connection_type or ask(question, recipe.connection_type, one_of(CONNECTION_TYPES))


def start_from(given: Given) -> str:
    return given.start_from or ask("From when on are calls sent (now, all, or a date such as 2025-04-01)?", "now", _START)


def time_zone(given: Given) -> str:
    return given.time_zone or ask("The time zone of the exchange?", _own_zone(), zone_problem)


def _own_zone() -> str:
    """The machine's own, where it has a name."""
    name = os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    return name if name and not zone_problem(name) else "UTC"


def bandwidth(given: Given) -> str:
    """Empty for no limit."""
    question = "A limit for all uploads together, so that calls do not stutter (1MiB/s is about 8 Mbit/s; - for none)?"
    said = ask(question, "1MiB/s", _bandwidth) if given.limit is None else given.limit
    return "" if said == "-" else said


def api_key(given: Given) -> str:
    """Empty where nobody has said one. Ends the program for a file that holds none."""
    if given.plaintext:
        return ""
    if given.key_file is not None:
        return _key_in(given.key_file)
    if not somebody_is_there():
        return ""
    file = given.etc / "api-key"
    instead = "keep that in" if file.exists() else "put it later into"
    return ask_secret(f"The API key? (not shown; Enter to {instead} {printable(str(file))})", _KEY)


def _key_in(file: Path) -> str:
    try:
        key = file.read_bytes().decode("utf-8-sig").strip()
    except OSError as error:
        fail(f"the key cannot be read: {printable(str(file))} ({error.strerror}).", EXIT_FAILED)
    except UnicodeDecodeError:
        fail(f"{printable(str(file))} is no text in UTF-8: expected the key alone, on one line.", EXIT_FAILED)
    if not key:
        fail(
            f"{printable(str(file))} is empty: expected the key in it, or no --key-file.",
            EXIT_FAILED,
        )
    if problem := _KEY(key):
        fail(f"what is in {printable(str(file))} will not do: expected {problem}.", EXIT_FAILED)
    return key
