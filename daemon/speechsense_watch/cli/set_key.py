"""`set-key`: another key in place of the one that is there, tried before it is stored."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from speechsense_watch.cli.common import EXIT_CONFIG, config_option, fail, load_or_exit
from speechsense_watch.cli.key_file import EXIT_FAILED, KeyFile
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import daemon_runs, journal_of
from speechsense_watch.config import Config, SpeechSense
from speechsense_watch.core.verdict import Code
from speechsense_watch.edge import service_user
from speechsense_watch.edge.auth import Given
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.ownership import give_to_owner_of
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.reach import explain
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.edge.secret import LARGEST_SECRET_BYTES, SCHEMES, AuthError, Scheme, file_of, header_of
from speechsense_watch.edge.service_account import NoAnswerError, ServiceAccount, parsed
from speechsense_watch.ports import Credentials, QueueTrouble

EXIT_ENDPOINT = 69
_SAID = "the input"
_NEEDS = "A key needs the scope yc.speech-sense.use, its service account the role Data editor in the space."


@dataclass(frozen=True, slots=True)
class _Result:
    """What trying the key came to: `exit_code` of the command if it is not to be stored, 0 if it is."""

    exit_code: int
    message: str


@click.command("set-key")
@config_option
@click.option("--no-test", is_flag=True, help="Store it without asking SpeechSense.")
@click.option("--force", is_flag=True, help="Store it even if it is refused, or SpeechSense cannot be asked.")
def set_key_command(config_path: Path | None, no_test: bool, force: bool) -> None:  # noqa: FBT001 - click hands flags over by name
    """Put another key in place: it is asked for without being shown, tried, and stored whole where the configuration says. A
    daemon whose uploads stand still for the old key goes on within seconds.

    What is asked for goes by `auth`: the API key, the IAM token, or the file of a service account's key. Where nobody is
    there to type it is read from the standard input:

    \b
      sudo speechsense-watch set-key
      sudo speechsense-watch set-key < authorized_key.json

    \b
    Exit codes: 0 stored, 1 not stored, 69 not stored since SpeechSense cannot be reached, 78 not with this configuration.
    """
    config = load_or_exit(config_path)
    settings = config.speechsense
    scheme = SCHEMES.get(settings.auth)
    if scheme is None:
        fail(f'auth = "{settings.auth}" needs no key.', EXIT_CONFIG)
    user = service_user.find() if os.geteuid() == 0 else None
    handed_over = user.credentials.get(scheme.name, "") if user else ""
    file = KeyFile(_place(settings, scheme, handed_over))
    file.must_be_writable()
    if not no_test:
        importlib.import_module("speechsense_watch.edge.channel")
    content = _asked_for(scheme)
    credentials = _must_be_one(settings, scheme, content, tried=not no_test)
    if not no_test:
        _must_be_taken(_tried(config, credentials), force=force)
    file.store(content.strip() + b"\n", user)
    _say_what_follows(config, restart=bool(handed_over))


def _place(settings: SpeechSense, scheme: Scheme, handed_over: str) -> Path:
    """Where the service takes it from. Ends the program when that is no file of ours."""
    place = handed_over or file_of(settings)
    if not place:
        fail(f"the configuration names no file for the key: set `{scheme.option}` under [speechsense].", EXIT_CONFIG)
    if not Path(place).is_absolute():
        fail(f"systemd hands the service its key from {printable(place)} (LoadCredential=): put the key there.", EXIT_CONFIG)
    return Path(place)


# --- the key ---------------------------------------------------------------------------------


def _asked_for(scheme: Scheme) -> bytes:
    """As it was typed or piped. It is never taken from the command line, which everybody on the machine can read."""
    if sys.stdin is None:
        fail("the standard input is closed, so no key comes from it; nothing was stored.", EXIT_FAILED)
    if not sys.stdin.isatty():
        return sys.stdin.buffer.read(LARGEST_SECRET_BYTES + 1)
    if not scheme.prefix:
        fail(f"hand over the file of the {scheme.what}: `speechsense-watch set-key < authorized_key.json`.", EXIT_FAILED)
    try:
        question = f"The {scheme.what} (it is not shown):"
        said = click.prompt(question, default="", prompt_suffix=" ", hide_input=True, show_default=False)
    except UnicodeDecodeError:
        fail(f"that is no {scheme.what}; nothing was stored.", EXIT_FAILED)
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        fail("broken off: nothing was stored.", EXIT_FAILED)
    return str(said).encode(errors="surrogateescape")


def _must_be_one(settings: SpeechSense, scheme: Scheme, content: bytes, *, tried: bool) -> Credentials | AuthError:
    """What the key has to show, or why IAM gives nothing for it. Ends the program when it is none by its form."""
    try:
        if scheme.prefix:
            return Given(header_of(scheme, content, _SAID))
        key = parsed(content, _SAID)
    except AuthError as error:
        fail(f"{error} Nothing was stored.", EXIT_FAILED)
    if not tried:
        return Given("")
    try:
        return Given(f"Bearer {ServiceAccount(settings, {}, SystemClock()).token_for(key).value}")
    except AuthError as error:
        return error


# --- trying it -------------------------------------------------------------------------------


def _tried(config: Config, credentials: Credentials | AuthError) -> _Result:
    """What SpeechSense says to it, by a question that stores nothing."""
    # Bring grpc along.
    from speechsense_watch.edge.channel import Endpoint, ask  # noqa: PLC0415

    if isinstance(credentials, AuthError):
        return _Result(EXIT_ENDPOINT if isinstance(credentials, NoAnswerError) else EXIT_FAILED, str(credentials))
    settings = config.speechsense
    if trouble := explain(settings.endpoint, plaintext=settings.plaintext, ca_file=settings.ca_file):
        return _Result(EXIT_ENDPOINT, trouble.message)
    endpoint = Endpoint(settings.endpoint, settings.plaintext, settings.ca_file)
    answer = ask(endpoint, credentials, config.folders[0].connection_id)
    match answer.code:
        case None | Code.UNAVAILABLE | Code.DEADLINE_EXCEEDED | Code.UNIMPLEMENTED:
            why = f" ({answer.code}: {answer.message})" if answer.code else ""
            return _Result(EXIT_ENDPOINT, f"SpeechSense at {settings.endpoint} cannot be asked{why}.")
        case Code.UNAUTHENTICATED:
            return _Result(EXIT_FAILED, f"SpeechSense refuses it: {answer.message}. {_NEEDS}")
        case Code.OK:
            return _Result(0, "SpeechSense takes it.")
        case code:
            return _Result(0, f"SpeechSense knows it; asked for reading it says {code}, which a key for uploads alone may get.")


def _must_be_taken(result: _Result, *, force: bool) -> None:
    """Ends the program for a key that is not to be stored; whoever sits at the terminal may store an untried one all the same."""
    click.echo(printable(result.message), err=result.exit_code != 0)
    if result.exit_code == 0 or force:
        return
    if result.exit_code == EXIT_ENDPOINT and sys.stdin.isatty():
        with suppress(click.Abort):
            if click.confirm("Store it untried?"):
                return
    fail("nothing was stored; --force stores it all the same.", result.exit_code)


# --- afterwards ------------------------------------------------------------------------------


def _say_what_follows(config: Config, *, restart: bool) -> None:
    path = Path(config.queue.path)
    if restart:
        click.echo("systemd hands it to the service at its start only: `sudo systemctl restart speechsense-watch`.")
    elif not path.exists() or not daemon_runs(path):
        click.echo("No daemon runs; it will take this key when it starts.")
    elif _woken(path):
        click.echo("The daemon takes it within seconds; uploads that stood still for the old one go on.")
    else:
        click.echo("The daemon takes it by itself within a minute.")


def _woken(path: Path) -> bool:
    """The daemon notices that something was written into the queue, and looks at the key's file then."""
    try:
        give_to_owner_of(path, journal_of(path))
        with closing(SqliteQueue(path)) as queue:
            queue.set_runtime("key_set_at", SystemClock().now().isoformat())
    except (QueueTrouble, NewerSchema, OSError):
        return False
    return True
