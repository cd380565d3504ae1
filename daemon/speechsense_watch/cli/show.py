"""`show`: everything about one recording."""

from __future__ import annotations

import json
import os
import posixpath
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.text import Text

from speechsense_watch.cli.as_json import attempt_as_json, event_as_json, job_as_json
from speechsense_watch.cli.common import config_option, load_or_exit
from speechsense_watch.cli.folder_view import folder_view, watched_in_words
from speechsense_watch.cli.held import why_held
from speechsense_watch.cli.on_record import Story, picture_of, sentences
from speechsense_watch.cli.overview import daemon_view, look_up_troubles
from speechsense_watch.cli.reading import folder_paths, records_of
from speechsense_watch.cli.screen import console, emit
from speechsense_watch.cli.unrecorded import Report, Spot, Surroundings, explain, related, report_as_json, spots_of
from speechsense_watch.cli.words import printable
from speechsense_watch.config import Config
from speechsense_watch.core.attention import UNCONFIRMED_PATIENCE
from speechsense_watch.core.model import Job, State, half_by_name
from speechsense_watch.core.rules import OnUnknown
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.records import Records
from speechsense_watch.edge.sources import sources_of
from speechsense_watch.edge.watched import roots_of

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
    Exit codes: 0 it is on record, 1 it is not, 73 the queue cannot be read, 78 the configuration is wrong.
    """
    config = load_or_exit(config_path)
    with records_of(config) as records:
        jobs = found_by(recording, config, records)
        if jobs:
            _show(jobs, config, records, config_path, as_json=as_json)
        else:
            _unknown(recording, config, records, as_json=as_json)
            sys.exit(EXIT_UNKNOWN)


def found_by(text: str, config: Config, records: Records) -> Sequence[Job]:
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
        waits_for = _waits_for(job, config, records)
        whole["orphans"] = [each.talk_id for each in records.orphans_of(job.id)]
        whole["missing"] = [printable(sentence) for sentence in waits_for.missing] if waits_for else []
        whole["next"] = [printable(sentence) for sentence in waits_for.next] if waits_for else []
        if held := _held(job, config, records):
            whole["next"].append(held)
        click.echo(json.dumps(whole, indent=2))
        return
    story = Story(
        job=job,
        others=jobs[1:],
        roots=roots,
        held=_held(job, config, records),
        alone=_alone(job, config),
        looked_up=_looked_up(job, config, records),
        waits_for=_waits_for(job, config, records),
        attempts=attempts,
        events=events,
        orphans=[each.talk_id for each in records.orphans_of(job.id)],
    )
    emit(console(), picture_of(story, SystemClock().now(), config_path))


def _alone(job: Job, config: Config) -> bool:
    without = {folder.name for folder in config.folders if not folder.metadata}
    return job.metadata == half_by_name(job.audio_path or "") or (job.metadata_path is None and job.place.folder in without)


def _looked_up(job: Job, config: Config, records: Records) -> bool:
    """Whether the operator may leave it to the daemon: it is looked for in SpeechSense, and not for long yet."""
    if job.state is not State.UNCONFIRMED or _policy(job, config) is not OnUnknown.SEARCH:
        return False
    new = SystemClock().now() - job.updated_at < UNCONFIRMED_PATIENCE
    return new and not look_up_troubles(records.runtime()).get(job.connection_id)


def _policy(job: Job, config: Config) -> OnUnknown | None:
    return next((folder.on_unknown for folder in config.folders if folder.name == job.place.folder), None)


def _held(job: Job, config: Config, records: Records) -> str:
    """Why it is not tried now; empty where it is when its time comes."""
    policy = _policy(job, config)
    if job.state is State.UNCONFIRMED and policy is OnUnknown.SEARCH:
        trouble = look_up_troubles(records.runtime()).get(job.connection_id)
        more = f" That does not work at the moment: {printable(trouble)}" if trouble else ""
        return f"It is looked up in SpeechSense; `resolve {job.id}` decides it at once.{more}"
    if job.state is State.UNCONFIRMED and (job.owner is not None or policy is not OnUnknown.RESEND):
        return f"It waits for your `resolve {job.id}`."
    runtime, now = records.runtime(), SystemClock().now()
    if job.state is State.READY and not daemon_view(config, runtime, now).running:
        return "No daemon is running, so nothing is sent: `sudo systemctl start speechsense-watch`."
    return why_held(job, config, runtime, now)


def _waits_for(job: Job, config: Config, records: Records) -> Report | None:
    """What is missing of one that waits, what comes next, and when."""
    folder = next((folder for folder in config.folders if folder.name == job.place.folder), None)
    if job.state is not State.WAITING or folder is None:
        return None
    spot = Spot(folder, job.place.path)
    return explain(spot, _surroundings(spot, config, records, on_record=True))


# --- not on record ---------------------------------------------------------------------------


def _unknown(text: str, config: Config, records: Records, *, as_json: bool) -> None:
    spot = next(spots_of(text, config.folders), None)
    if spot is None:
        click.echo(_nowhere(text, config), err=True)
        return
    around = _surroundings(spot, config, records)
    report = explain(spot, around)
    path = posixpath.join(spot.folder.path, spot.path).rstrip("/")
    if as_json:
        click.echo(json.dumps(report_as_json(path, spot.folder.name, report, printable), indent=2))
    else:
        emit(console(), _picture(path, spot, report))


def _surroundings(spot: Spot, config: Config, records: Records, *, on_record: bool = False) -> Surroundings:
    clock = SystemClock()
    daemon = daemon_view(config, records.runtime(), clock.now())
    folder = folder_view(spot.folder, records.runtime(), running=daemon.running)
    return Surroundings(
        files=FolderFiles(spot.folder.path, clock),
        now=clock.now(),
        start_from=_start_from(spot, records),
        daemon_runs=daemon.running,
        sources=sources_of(spot.folder, clock),
        on_record=on_record,
        scanned_at=folder.scanned_at,
        watched=watched_in_words(folder),
        counts=records.counts_below(spot.folder.name, spot.path),
        roots=roots_of(config.folders),
    )


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
    kinds = {
        "audio": "audio by its name",
        "metadata": "metadata by its name",
        "unfinished": "an unfinished file by its name",
        "directory": "a directory",
        "linked": "below a link, or one",
    }
    what = kinds.get(report.kind, "not a recording for this folder")
    facts = sentences(
        Folder=[f"{spot.folder.name}, {spot.folder.path}"],
        **{"It is": [what if report.exists else f"{what}, but there is no such file"]},
        Rules=report.rules,
        Seen=report.seen,
        Missing=report.missing,
        Next=report.next,
    )
    opening = "A watched directory: " if report.kind == "directory" else "Not on record: "
    return Group(Text.assemble((opening, "bold yellow"), printable(path)), facts)
