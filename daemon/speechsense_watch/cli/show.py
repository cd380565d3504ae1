"""`show`: everything about one recording."""

from __future__ import annotations

import json
import os
import posixpath
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from speechsense_watch.cli.as_json import absolute, attempt_as_json, event_as_json, job_as_json
from speechsense_watch.cli.common import config_option, load_or_exit
from speechsense_watch.cli.overview import daemon_view
from speechsense_watch.cli.reading import folder_paths, records_of
from speechsense_watch.cli.screen import command, console, emit
from speechsense_watch.cli.unrecorded import Report, Spot, Surroundings, explain, related, report_as_json, spots_of
from speechsense_watch.cli.words import (
    COLORS,
    audio_in_words,
    clock_time,
    due,
    event_in_words,
    printable,
    size_in_words,
    state_in_words,
    typed,
    verdict_in_words,
    when,
)
from speechsense_watch.config import Config
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.rules import OnUnknown
from speechsense_watch.core.verdict import Kind
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.records import AttemptRow, EventRow, Records
from speechsense_watch.edge.sources import sources_of

EXIT_UNKNOWN = 1


@click.command("show")
@click.argument("recording", metavar="ID|PATH|TALK-ID", type=click.Path())  # the type completes paths in the shell
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@config_option
def show_command(*, recording: str, as_json: bool, config_path: Path | None) -> None:
    """Show everything about one recording, with every event and every try.

    It is named by its number, by its talk id, or by the path of either of its files. For a path in a watched folder that is
    not on record yet: what lies there, what is missing and what comes next.

    \b
    Exit codes: 0 it is on record, 1 it is not.
    """
    config = load_or_exit(config_path)
    with records_of(config) as records:
        jobs = _find(recording, config, records)
        if jobs:
            _show(jobs, config, records, config_path, as_json=as_json)
        else:
            _unknown(recording, config, records, as_json=as_json)
            sys.exit(EXIT_UNKNOWN)


def _find(text: str, config: Config, records: Records) -> Sequence[Job]:
    """The jobs it names, the one that counts first."""
    if text.isascii() and text.isdigit() and len(text) < 20 and (job := records.job(int(text))):
        return [job]
    # A talk id is plain text; a file's name need not even be UTF-8.
    if text.isascii() and (found := records.with_talk(text)):
        return found
    for spot in spots_of(text, config.folders):
        for path in related(spot):
            if found := records.at_path(spot.folder.name, path):
                return found
    path = os.path.abspath(text)  # noqa: PTH100 - pathlib's leaves ".." in
    return records.at_path("", path) or records.filed_at(path) or _in_a_former_folder(path, records)


def _in_a_former_folder(path: str, records: Records) -> Sequence[Job]:
    """A recording of a folder that the configuration no longer names, by what the queue remembers of it."""
    for name, root in records.folder_paths().items():
        if path.startswith(root.rstrip("/") + "/") and (found := records.at_path(name, os.path.relpath(path, root))):
            return found
    return ()


# --- on record -------------------------------------------------------------------------------


def _show(jobs: Sequence[Job], config: Config, records: Records, config_path: Path | None, *, as_json: bool) -> None:
    job = jobs[0]
    roots = folder_paths(config, records)
    events, attempts = records.events(job.id), records.attempts(job.id)
    if as_json:
        whole = job_as_json(job, roots)
        whole["events"] = [event_as_json(event) for event in events]
        whole["attempt_log"] = [attempt_as_json(attempt) for attempt in attempts]
        click.echo(json.dumps(whole, indent=2))
        return
    now = SystemClock().now()
    parts: list[RenderableType] = [_heading(job, now), _facts(job, jobs[1:], roots, now, held=_held(job, config))]
    if advice := list(_advice(job, config_path)):
        parts.append(Group(*advice))
    if job.fields:
        parts.append(_fields(job.fields))
    if attempts:
        parts.append(_attempts(attempts))
    if events:
        parts.append(_events(events))
    emit(console(), Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1]))


def _heading(job: Job, now: datetime) -> RenderableType:
    words = Text.assemble((f"Recording {job.id}: ", "bold"), (state_in_words(job, now), COLORS[job.state] or "bold"))
    lines: list[RenderableType] = [words]
    if job.message:
        lines.append(Text(printable(job.message)))
    if job.hint:
        lines.append(Text(printable(job.hint), style="dim"))
    return Group(*lines)


def _held(job: Job, config: Config) -> bool:
    """Only the operator's word moves it on."""
    resending = {folder.name for folder in config.folders if folder.on_unknown is OnUnknown.RESEND}
    return job.state is State.UNCONFIRMED and (job.owner is not None or job.place.folder not in resending)


def _next_try(job: Job, now: datetime, *, held: bool) -> str | None:
    if held:
        return f"none: it waits for your `resolve {job.id}`"
    return f"{clock_time(job.next_attempt_at)} ({due(now, job.next_attempt_at)})" if job.next_attempt_at else None


def _facts(job: Job, others: Sequence[Job], roots: Mapping[str, str], now: datetime, *, held: bool) -> RenderableType:
    folder = job.place.folder
    facts = {
        "State": f"{job.state.value}, since {_moment(job.updated_at, now)}",
        "Talk id": job.talk_id,
        "Audio": absolute(folder, job.audio_path, roots) or "not there yet",
        "": audio_in_words(job),
        "Metadata": absolute(folder, job.metadata_path, roots) or "not there yet",
        "Moved to": job.filed_to,
        "and": job.metadata_filed_to,
        "Folder": folder,
        "Connection": job.connection_id,
        "Recorded": _moment(job.recorded_at, now),
        "Found": _moment(job.created_at, now),
        "Next try": _next_try(job, now, held=held),
        "Tries": f"{job.attempts} charged to it" if job.attempts else None,
        "Duplicate of": str(job.duplicate_of) if job.duplicate_of else None,
        "Beware": "SpeechSense may have it twice" if job.possible_duplicate else None,
        "Files gone": _moment(job.gone_at, now) if job.gone_at else None,
        "Identity": job.uid,
        "Here earlier": ", ".join(str(other.id) for other in others),
    }
    grid = _grid()
    for name, fact in facts.items():
        if fact:
            grid.add_row(name, printable(fact))
    return grid


def _moment(at: datetime, now: datetime) -> str:
    return f"{clock_time(at)} ({when(now, at)})"


_ADVICE = {
    State.WAITING: [("skip {id}", "leaves it out for good")],
    State.READY: [("retry {id}", "tries it at once"), ("skip {id}", "leaves it out")],
    State.UNCONFIRMED: [
        ("resolve {id} --uploaded TALK-ID", "SpeechSense has it"),
        ("resolve {id} --resend", "SpeechSense does not have it"),
        ("skip {id}", "leaves it as it is"),
    ],
    State.REFUSED: [("retry {id}", "tries again, when it is mended"), ("skip {id}", "leaves it out")],
    State.UNUSABLE: [("retry {id}", "reads it again; a changed file is read by itself"), ("skip {id}", "leaves it out")],
    State.SKIPPED: [("retry {id}", "sends it all the same")],
    State.LOST: [("skip {id}", "clears the alarm")],
}
_CHANGED = [("retry {id}", "sends what lies there now as well"), ("skip {id}", "leaves SpeechSense as it is")]


def _advice(job: Job, config_path: Path | None) -> Iterator[RenderableType]:
    """What the operator may type now."""
    commands = _CHANGED if job.changed_after_upload else _ADVICE.get(job.state, [])
    if commands:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for line, effect in commands:
            text = typed("speechsense-watch " + line.format(id=job.id), config_path)
            grid.add_row(Text("->", style="dim"), command(printable(text)), Text(effect, style="dim"))
        yield grid


def _fields(fields: Mapping[str, str]) -> RenderableType:
    grid = _grid()
    for name, value in sorted(fields.items()):
        grid.add_row(Text(printable(name), style="default not bold"), printable(value))
    return Group(Text("What is sent with it", style="bold"), Padding(grid, (0, 0, 0, 2)))


def _attempts(attempts: Sequence[AttemptRow]) -> RenderableType:
    table = _history("NO", "BEGUN", "TOOK", "END")
    for attempt in attempts:
        took, end = "", Text("under way", style="cyan")
        if attempt.ended_at:
            took = f"{max(0.0, (attempt.ended_at - attempt.started_at).total_seconds()):.1f} s"
            end = _end(attempt)
        table.add_row(str(attempt.n), clock_time(attempt.started_at), took, end)
    return Group(Text("Tries", style="bold"), Padding(table, (0, 0, 0, 2)))


def _end(attempt: AttemptRow) -> Text:
    """How it ended, and what Yandex's support asks for."""
    said = ": ".join(part for part in (attempt.code, attempt.message) if part)
    words = verdict_in_words(attempt.verdict or "")
    end = Text(printable(f"{words}: {said}" if said and attempt.verdict != Kind.ACCEPTED else words))
    sent = f"{size_in_words(attempt.bytes_sent or 0)} sent, " if attempt.bytes_sent else ""
    end.append(f"\n{sent}request {printable(attempt.request_id)}", style="dim")
    if attempt.server_request_id:
        end.append(f", at the service {printable(attempt.server_request_id)}", style="dim")
    return end


def _events(events: Sequence[EventRow]) -> RenderableType:
    table = _history("AT", "EVENT", "STATE", "DETAIL")
    for event in events:
        state = Text(event.to_state, style=COLORS.get(State(event.to_state), "") if event.to_state in set(State) else "")
        table.add_row(clock_time(event.at), event_in_words(event.event), state, Text(printable(event.detail), style="dim"))
    return Group(Text("History", style="bold"), Padding(table, (0, 0, 0, 2)))


def _history(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns[:-1]:
        table.add_column(name)
    table.add_column(columns[-1], overflow="fold")
    return table


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


# --- not on record ---------------------------------------------------------------------------


def _unknown(text: str, config: Config, records: Records, *, as_json: bool) -> None:
    spot = next(spots_of(text, config.folders), None)
    if spot is None:
        click.echo(_nowhere(text, config), err=True)
        return
    clock = SystemClock()
    around = Surroundings(
        files=FolderFiles(spot.folder.path, clock),
        now=clock.now(),
        start_from=_start_from(spot, records),
        daemon_runs=daemon_view(config, records.runtime(), clock.now()).running,
        sources=sources_of(spot.folder),
    )
    report = explain(spot, around)
    path = posixpath.join(spot.folder.path, spot.path)
    if as_json:
        click.echo(json.dumps(report_as_json(path, spot.folder.name, report, printable), indent=2))
    else:
        emit(console(), _picture(path, spot, report))


def _start_from(spot: Spot, records: Records) -> datetime | None:
    start_from = spot.folder.start_from
    if isinstance(start_from, datetime):
        return start_from
    return records.first_watched(spot.folder.name, spot.folder.path) if start_from == "now" else None


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a name, or no name at all
        return False


def _nowhere(text: str, config: Config) -> str:
    if "/" not in text and not _exists(text):
        return f'There is no recording "{printable(text)}": neither a number, nor a talk id, nor a file in a watched folder.'
    watched = ", ".join(printable(folder.path) for folder in config.folders)
    return f"{printable(text)} is not on record and lies in no watched folder. Watched are: {watched}."


def _picture(path: str, spot: Spot, report: Report) -> RenderableType:
    kinds = {"audio": "audio by its name", "metadata": "metadata by its name", "unfinished": "an unfinished file by its name"}
    grid = _grid()
    grid.add_row("Folder", f"{printable(spot.folder.name)}, {printable(spot.folder.path)}")
    grid.add_row(
        "It is",
        kinds.get(report.kind, "not a recording for this folder") + ("" if report.exists else ", but there is no such file"),
    )
    for name, sentences in (("Seen", report.seen), ("Missing", report.missing), ("Next", report.next)):
        for number, sentence in enumerate(sentences):
            grid.add_row(name if number == 0 else "", printable(sentence))
    return Group(Text.assemble(("Not on record: ", "bold yellow"), printable(path)), grid)
