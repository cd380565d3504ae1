"""`status`: how it is going, and whether anything needs the operator."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from speechsense_watch.cli.common import config_option, load_or_exit
from speechsense_watch.cli.folder_view import FolderView, watched_in_words
from speechsense_watch.cli.overview import (
    ALL_FOLDERS,
    EXIT_OK,
    EXIT_STOPPED,
    DaemonView,
    Overview,
    daemon_view,
    overview,
    overview_as_json,
)
from speechsense_watch.cli.reading import records_of
from speechsense_watch.cli.screen import command, console, emit
from speechsense_watch.cli.words import COLORS, MEANINGS, due, printable, suspicion, typed, when
from speechsense_watch.config import Config
from speechsense_watch.core.attention import Attention, Standstill, pause_hint
from speechsense_watch.core.model import State
from speechsense_watch.core.traffic import SERVICE
from speechsense_watch.edge.clock import SystemClock

REDRAW_EVERY_S = 2.0
_MOST_SUSPECTS = 10
_START = "sudo systemctl start speechsense-watch"


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--watch", is_flag=True, help="Draw it anew every two seconds, until Ctrl-C. Takes a terminal.")
@click.option("--alive", is_flag=True, help="For health checks: only whether the daemon runs and makes progress.")
@config_option
def status_command(*, as_json: bool, watch: bool, alive: bool, config_path: Path | None) -> None:
    """Show how it is going: what needs you first, then counts, pauses and folders.

    \b
    Exit codes: 0 all is well, 1 something needs you, 2 nothing is uploaded (no daemon, or a pause).
    With --alive: 0 the daemon runs and makes progress, 2 it does not.
    Both: 73 the queue cannot be read, 78 the configuration is wrong.
    """
    if as_json + watch + alive > 1:
        raise click.UsageError("--json, --watch and --alive do not go together.")
    config = load_or_exit(config_path)
    if alive:
        sys.exit(_alive(config))
    screen = console()
    if watch and screen.is_terminal:
        sys.exit(_watch(config, config_path, screen, threading.Event().wait))
    view = _look(config, config_path)
    if as_json:
        click.echo(json.dumps(overview_as_json(view), indent=2))
    else:
        emit(screen, picture(view))
    sys.exit(view.exit_code)


def _look(config: Config, config_path: Path | None) -> Overview:
    with records_of(config) as records:
        view = overview(config, records, SystemClock().now())
    # The commands to type name the configuration where this one was given by hand.
    return replace(view, attention=tuple(replace(line, do=typed(line.do, config_path)) for line in view.attention))


def _alive(config: Config) -> int:
    now = SystemClock().now()
    with records_of(config) as records:
        daemon = daemon_view(config, records.runtime(), now)
    if daemon.fresh and daemon.heartbeat_at:
        click.echo(f"alive: the daemon runs, last heartbeat {when(now, daemon.heartbeat_at)}")
        return EXIT_OK
    if not daemon.running:
        click.echo("not alive: no daemon is running")
    elif daemon.heartbeat_at:
        click.echo(f"not alive: a daemon is running, but its last heartbeat was {when(now, daemon.heartbeat_at)}")
    else:
        click.echo("not alive: a daemon is running, but has never given a heartbeat")
    return EXIT_STOPPED


def _watch(config: Config, config_path: Path | None, screen: Console, wait: Callable[[float], object]) -> int:
    """Draws until Ctrl-C; the exit code is that of the last picture."""
    view = _look(config, config_path)
    with Live(picture(view), console=screen, auto_refresh=False, vertical_overflow="crop") as live:
        try:
            while True:
                wait(REDRAW_EVERY_S)
                view = _look(config, config_path)
                live.update(picture(view), refresh=True)
        except KeyboardInterrupt:
            return view.exit_code


# --- the picture -----------------------------------------------------------------------------


def picture(view: Overview) -> RenderableType:
    """What needs the operator on top, then everything else."""
    parts = [_needs(view), _headline(view), _counts(view)]
    if view.paused:
        parts.append(_pauses(view))
    if view.suspects:
        parts.append(_suspects(view))
    parts.append(_folders(view))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1])


def _needs(view: Overview) -> RenderableType:
    if not view.attention and view.daemon.fresh:
        if view.stopped:
            return Text("Uploads stand still. Nothing needs you as yet: the pause below says why.", style="bold yellow")
        return Text("Nothing needs you.", style="bold green")
    lines: list[RenderableType] = [Text("Needs you", style="bold red")]
    if not view.daemon.fresh:
        lines += list(
            _item("No daemon is running: nothing is uploaded." if not view.daemon.running else _HANGS, "", _start(view))
        )
    for line in view.attention:
        lines += list(_item(line.what, _since(view, line), line.do))
    return Group(*lines)


_HANGS = "The daemon does not make progress: its last heartbeat is too old."


def _start(view: Overview) -> str:
    return "sudo systemctl restart speechsense-watch" if view.daemon.running else _START


def _since(view: Overview, line: Attention) -> str:
    return f" ({'' if line.count == 1 else 'the oldest '}{when(view.now, line.since)})" if line.since else ""


def _item(what: str, since: str, do: str) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=3, justify="right")
    grid.add_column()
    headline, stop, rest = printable(what).partition(". ")
    grid.add_row(Text("*", style="bold red"), Text.assemble((headline + stop, "bold"), rest, (since, "dim")))
    grid.add_row(Text("->", style="dim"), command(printable(do)))
    yield grid


def _headline(view: Overview) -> RenderableType:
    grid = _pairs()
    grid.add_row("Daemon", _daemon(view.daemon, view))
    rate = f"{view.rate_per_minute:g} recordings a minute over the last ten"
    grid.add_row("Uploads", Text("stopped", style="bold red") if view.stopped else Text(rate))
    grid.add_row("Last upload", when(view.now, view.last_upload_at) if view.last_upload_at else "none yet")
    if view.oldest_ready_at:
        grid.add_row("In the queue", f"the oldest was found {when(view.now, view.oldest_ready_at)}")
    if view.oldest_waiting_at:
        grid.add_row("Waiting", f"the oldest was found {when(view.now, view.oldest_waiting_at)}")
    return grid


def _daemon(daemon: DaemonView, view: Overview) -> Text:
    if not daemon.running:
        return Text("not running", style="bold red")
    heartbeat = f", last heartbeat {when(view.now, daemon.heartbeat_at)}" if daemon.heartbeat_at else ""
    version = f", version {daemon.version}" if daemon.version else ""
    return Text(f"running{version}{heartbeat}", style="" if daemon.fresh else "bold red")


def _counts(view: Overview) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(width=11)
    table.add_column(justify="right", min_width=7)
    table.add_column()
    for state in State:
        count = view.counts[state]
        table.add_row(
            Text(state.value, style=COLORS[state] if count else "dim"),
            Text(f"{count:,}", style="bold" if count else "dim"),
            Text(MEANINGS[state], style="" if count else "dim"),
        )
    return table


def _pauses(view: Overview) -> RenderableType:
    lines: list[RenderableType] = [Text("Pauses", style="bold yellow")]
    for pause in view.paused:
        lines += _pause(view, pause)
    return Group(*lines)


def _pause(view: Overview, pause: Standstill) -> list[RenderableType]:
    by_operator = pause.reason == "operator"
    scope = "All uploads" if pause.scope in (SERVICE, ALL_FOLDERS) else f"Connection {printable(pause.scope)}"
    if by_operator and pause.scope != ALL_FOLDERS:
        scope = printable(pause.scope).replace("folder", "Folder", 1)
    since = f", begun {when(view.now, pause.since)}" if pause.since else ""
    then = "ends" if by_operator else "next try"
    probe = f", {then} {due(view.now, pause.next_probe_at)}" if pause.next_probe_at else ""
    lines: list[RenderableType] = [Text.assemble((scope, "bold"), f" paused{since}{probe}")]
    if not pause.needs_operator:  # else it stands on top already
        lines += [Text(printable(pause.message)), Text(pause_hint(pause.reason), style="dim")]
    return [Padding(line, (0, 0, 0, 2)) for line in lines]


def _suspects(view: Overview) -> RenderableType:
    """Waiting never counts as needing the operator; but whoever wonders why the daemon dies finds here with which recordings."""
    lines: list[RenderableType] = [Text("Sent last and alone", style="bold yellow")]
    for job in view.suspects[:_MOST_SUSPECTS]:
        waits = job.next_attempt_at is not None and job.next_attempt_at > view.now
        then = f" Next try {when(view.now, job.next_attempt_at)}." if waits and job.next_attempt_at else ""
        text = Text.assemble((f"Recording {job.id}", "bold"), f" of {printable(job.place.folder)}: {suspicion(job)}{then}")
        lines.append(Padding(text, (0, 0, 0, 2)))
    if (more := len(view.suspects) - _MOST_SUSPECTS) > 0:
        lines.append(Padding(Text(f"and {more} more: `status --json` has them all", style="dim"), (0, 0, 0, 2)))
    return Group(*lines)


def _folders(view: Overview) -> RenderableType:
    lines: list[RenderableType] = [Text("Folders", style="bold")]
    for folder in view.folders:
        opening = Text.assemble((printable(folder.name), "bold"), f"  {printable(folder.path)}")
        lines += [Padding(opening, (0, 0, 0, 2)), Padding(Text(_watched(folder, view), style="dim"), (0, 0, 0, 4))]
    return Group(*lines)


def _watched(folder: FolderView, view: Overview) -> str:
    parts = [printable(watched_in_words(folder))]
    if folder.last_seen_at:
        parts.append(f"last new recording {when(view.now, folder.last_seen_at)}")
    parts += [
        f"{what}: {count:,}"
        for what, count in (
            ("older than start_from, left alone", folder.left_alone),
            ("recordings by the look of them, but matched by no rule", folder.unmatched),
            ("links to directories, below which nothing is seen", folder.linked_directories),
            ("found by scans alone", folder.found_by_scan),
            ("event overflows", folder.overflows),
            ("watch started anew", folder.watch_restarts),
        )
        if count
    ]
    return "; ".join(parts)


def _pairs() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column()
    return grid
