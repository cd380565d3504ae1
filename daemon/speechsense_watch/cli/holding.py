"""`pause`, `resume`, `approve`: the operator's word on whole folders."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from speechsense_watch.cli.common import config_option, fail
from speechsense_watch.cli.reading import complete_folder
from speechsense_watch.cli.words import clock_time, printable
from speechsense_watch.cli.writing import EXIT_FAILED, config_with_queue, existing_queue
from speechsense_watch.config import Config
from speechsense_watch.config.kinds import seconds_of
from speechsense_watch.core.holding import OperatorPause, fingerprint
from speechsense_watch.core.rules import Folder
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.holding import EVERYTHING, pause_as_json, pause_key, pause_of

_folder_argument = click.argument("name", metavar="[FOLDER]", required=False, shell_complete=complete_folder)


class _Until(click.ParamType[datetime]):
    """A moment to come: a duration from now, a time of today or tomorrow, or a date."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        now = SystemClock().now()
        moment = _moment(str(value), now.astimezone())
        if moment is None:
            self.fail("expected a time such as 18:00, a duration such as 2h, or a date such as 2026-01-31T09:00", param, ctx)
        if moment <= now:
            self.fail(f"{value} is over already", param, ctx)
        return moment.astimezone(UTC)


def _moment(text: str, now: datetime) -> datetime | None:
    if (seconds := seconds_of(text)) is not None:
        return now + timedelta(seconds=seconds)
    if clock := re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text):
        # The next such time by the clock on the wall, which may be set forward or back until then.
        today = now.replace(tzinfo=None, hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return (today if today.astimezone() > now else today + timedelta(days=1)).astimezone()
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


@click.command("pause")
@config_option
@_folder_argument
@click.option("--until", type=_Until(), metavar="TIME", help="It ends by itself: 18:00, 2h, 2026-01-31T09:00.")
def pause_command(config_path: Path | None, name: str | None, until: datetime | None) -> None:
    """Send nothing for now, of one folder or of all.

    Recordings are still found and queued; uploads under way are finished. It outlives restarts, until `resume` or TIME.

    \b
    Exit codes: 0 done, 1 not possible, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    config = config_with_queue(config_path)
    scope = _scope(name, config)
    with existing_queue(Path(config.queue.path)) as queue:
        now = SystemClock().now()
        queue.set_runtime(pause_key(scope), pause_as_json(OperatorPause(now, until)))
    ends = f"until {clock_time(until)}" if until else f"until `speechsense-watch resume{_argument(scope)}`"
    click.echo(f"{_what(scope)} sent {ends}; recordings are queued meanwhile.")


@click.command("resume")
@config_option
@_folder_argument
def resume_command(config_path: Path | None, name: str | None) -> None:
    """Take a `pause` back.

    \b
    Exit codes: 0 done, 1 not possible, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    config = config_with_queue(config_path)
    scope = _scope(name, config)
    with existing_queue(Path(config.queue.path)) as queue:
        told = queue.runtime()
        if pause_of(told.get(pause_key(scope))) is None:
            click.echo(f"There was no pause of {_named(scope)}.")
        else:
            queue.set_runtime(pause_key(scope), None)
            click.echo(f"The pause of {_named(scope)} is over.")
        for other in sorted(_still_paused(queue, scope, config)):
            click.echo(f"Still paused: {_named(other)}; `speechsense-watch resume{_argument(other)}` ends that.")


@click.command("approve")
@config_option
@click.argument("name", metavar="FOLDER", shell_complete=complete_folder)
@click.option("--yes", is_flag=True, help="Even though no talk of the trial is there to be looked at.")
def approve_command(config_path: Path | None, name: str, yes: bool) -> None:  # noqa: FBT001 - click hands flags over by name
    """Say that a folder's trial was good: you looked at its talks in SpeechSense, and the rest may follow.

    Look at who is operator and client, at the direction, and at whose voice is on which channel. Where something is wrong,
    mend the configuration instead: the changed rules then have a trial of their own.

    \b
    Exit codes: 0 done, 1 not possible, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    config = config_with_queue(config_path)
    folder = _folder(name, config)
    if not folder.trial:
        fail(f"Folder {printable(name)} has no trial (`trial` is 0 in the configuration): nothing waits for you.", EXIT_FAILED)
    with existing_queue(Path(config.queue.path)) as queue:
        mark = fingerprint(folder)
        told = queue.runtime()
        trial = told.get(f"trial:{name}")
        if told.get(f"approved:{name}") == mark:
            click.echo(f"Folder {printable(name)} is approved already.")
            return
        if isinstance(trial, dict) and trial.get("fingerprint") != mark:
            fail(
                f"The configuration was changed since the trial of {printable(name)}, and the daemon has not read it yet: "
                "reload it (`systemctl reload speechsense-watch`) and look at the talks of the new trial.",
                EXIT_FAILED,
            )
        if not yes and not (isinstance(trial, dict) and trial.get("talks")):
            fail(
                f"No recording of folder {printable(name)} has been sent yet, so there is no talk to look at: "
                "`speechsense-watch status` tells when there is. To send all without a look, add --yes.",
                EXIT_FAILED,
            )
        queue.set_runtime(f"approved:{name}", mark)
    click.echo(f"Folder {printable(name)} is approved: its recordings are sent from now on.")


def _still_paused(queue: SqliteQueue, scope: str, config: Config) -> set[str]:
    told, now = queue.runtime(), SystemClock().now()
    scopes = {EVERYTHING, *(folder.name for folder in config.folders)} - {scope}
    return {each for each in scopes if (pause := pause_of(told.get(pause_key(each)))) and pause.holds(now)}


def _scope(name: str | None, config: Config) -> str:
    return EVERYTHING if name is None else _folder(name, config).name


def _folder(name: str, config: Config) -> Folder:
    found = next((folder for folder in config.folders if folder.name == name), None)
    if found is None:
        names = ", ".join(printable(folder.name) for folder in config.folders)
        fail(f"No folder is called {printable(name)}; there are: {names}.", EXIT_FAILED)
    return found


def _what(scope: str) -> str:
    return "Nothing is" if scope == EVERYTHING else f"Nothing of folder {printable(scope)} is"


def _named(scope: str) -> str:
    return "everything" if scope == EVERYTHING else f"folder {printable(scope)}"


def _argument(scope: str) -> str:
    return "" if scope == EVERYTHING else f" {printable(scope)}"
