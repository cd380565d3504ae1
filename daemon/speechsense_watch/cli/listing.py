"""`list`: recordings, newest first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from speechsense_watch.cli.as_json import absolute, job_as_json
from speechsense_watch.cli.common import config_option, load_or_exit
from speechsense_watch.cli.reading import complete_folder, folder_paths, records_of
from speechsense_watch.cli.screen import command, console
from speechsense_watch.cli.words import COLORS, clock_time, printable, state_in_words, typed, when
from speechsense_watch.config import Config, seconds_of
from speechsense_watch.core.model import Job, State
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.records import Choice, Records

# Rows are shown so many at a time, so that a long list begins at once and takes no memory.
_BATCH = 200
# The sentence says all that the words for the state would, and more.
_TELLING = frozenset({State.REFUSED, State.UNUSABLE, State.UNCONFIRMED})


class Since(click.ParamType[datetime]):
    """A moment in the past: "2h" or "7d" before now, or a date or time in ISO 8601, local where it names no zone."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            if (seconds := seconds_of(text)) is not None:
                return SystemClock().now() - timedelta(seconds=seconds)
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            self.fail(f'{text!r} is neither a duration such as "2h" or "7d" nor a date such as 2025-04-24.', param, ctx)


@click.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([state.value for state in State]), help="Only these; may be repeated."
)
@click.option("--folder", metavar="NAME", shell_complete=complete_folder, help="Only recordings of this folder.")
@click.option("--since", type=Since(), help='Only what changed since then: "2h", "7d", 2025-04-24 or "2025-04-24 14:30".')
@click.option("--match", metavar="TEXT", default="", help="Only where this is part of a path, talk id or uid.")
@click.option("--changed", is_flag=True, help="Only those whose files changed after the upload.")
@click.option("--limit", type=click.IntRange(0, 2**31), default=50, show_default=True, help="At most so many; 0 shows all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@config_option
def list_command(
    *,
    states: tuple[str, ...],
    folder: str | None,
    since: datetime | None,
    match: str,
    changed: bool,
    limit: int,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """List recordings, newest first, each with its state and what it waits for or what became of it."""
    config = load_or_exit(config_path)
    with records_of(config) as records:
        roots = folder_paths(config, records)
        if folder is not None:
            _check_folder(folder, roots)
        choice = Choice(
            states=frozenset(State(state) for state in states),
            folder=folder,
            since=since,
            match=_below_root(match, config),
            changed=changed,
        )
        if as_json:
            for job in records.jobs(choice, limit):
                click.echo(json.dumps(job_as_json(job, roots)))
        else:
            _show(records, choice, limit, roots, config_path)


def _check_folder(folder: str, roots: Mapping[str, str]) -> None:
    if folder not in roots:
        known = ", ".join(printable(name) for name in sorted(roots))
        raise click.BadParameter(f"there is no folder {folder!r}; there are: {known}.", param_hint="--folder")


def _below_root(match: str, config: Config) -> str:
    """Paths lie in the queue as they are below the folder's root."""
    for folder in config.folders:
        if match.startswith(f"{folder.path}/"):
            return match.removeprefix(f"{folder.path}/")
    return match


def _show(records: Records, choice: Choice, limit: int, roots: Mapping[str, str], config_path: Path | None) -> None:
    screen = console()
    now = SystemClock().now()
    # One more than is shown tells whether there are more.
    found = records.jobs(choice, limit + 1 if limit else 0)
    shown = islice(found, limit or None)
    count = _as_tables(screen, shown, roots, now) if screen.is_terminal else _as_lines(shown, roots, now)
    if not count:
        click.echo("There is no such recording." if choice != Choice() else "There are no recordings yet.", err=True)
    elif screen.is_terminal:
        _tell_on(screen, limit, config_path, more=next(found, None) is not None)


def _tell_on(screen: Console, limit: int, config_path: Path | None, *, more: bool) -> None:
    hint = Text.assemble("\nEverything about one of them: ", command(typed("speechsense-watch show ID", config_path)))
    if more:
        hint.append(f"\nThese are the newest {limit:,}; --limit 0 shows all.")
    screen.print(hint)


# --- outside a terminal ----------------------------------------------------------------------


def _as_lines(jobs: Iterable[Job], roots: Mapping[str, str], now: datetime) -> int:
    """One line a recording: id, state, last change, path, and what became of it."""
    count = 0
    for count, job in enumerate(jobs, start=1):  # noqa: B007 - the count is what is returned
        path = printable(absolute(job.place.folder, job.place.path, roots) or "")
        click.echo(f"{job.id:>6}  {job.state:<11}  {clock_time(job.updated_at)}  {path}  {_fate(job, now)}")
    return count


# --- on a terminal ---------------------------------------------------------------------------


def _as_tables(screen: Console, jobs: Iterable[Job], roots: Mapping[str, str], now: datetime) -> int:
    count = 0
    for batch in _batches(jobs):
        table = _table(header=count == 0)
        for job in batch:
            _add(table, job, now, folder=len(roots) > 1)
        screen.print(table)
        count += len(batch)
    return count


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    rest = iter(jobs)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _table(*, header: bool) -> Table:
    table = Table(box=None, show_header=header, header_style="bold", pad_edge=False, expand=True, padding=(0, 2, 0, 0))
    table.add_column("ID", justify="right", min_width=6, width=6)
    table.add_column("STATE", width=11)
    table.add_column("CHANGED", width=11)
    table.add_column("RECORDING", ratio=1, overflow="fold")
    return table


def _add(table: Table, job: Job, now: datetime, *, folder: bool) -> None:
    recording = Text()
    if folder and job.place.folder:
        recording.append(f"{printable(job.place.folder)}: ", style="dim")
    recording.append(printable(job.place.path))
    recording.append(f"\n{_fate(job, now)}", style="dim")
    table.add_row(str(job.id), Text(job.state.value, style=COLORS[job.state]), when(now, job.updated_at), recording)


def _fate(job: Job, now: datetime) -> str:
    """What became of it, or what it waits for."""
    if job.talk_id and job.state is State.DONE and not job.changed_after_upload:
        return f"talk {printable(job.talk_id)}"
    if job.state in _TELLING and job.message:
        return printable(job.message)
    words = state_in_words(job, now)
    if job.state is State.READY and job.message:
        return printable(f"{words}: {job.message}")
    return words
