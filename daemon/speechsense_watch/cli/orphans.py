"""`orphans`: talks that SpeechSense holds beside the ones that count."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.table import Table

from speechsense_watch.cli.as_json import time_as_json
from speechsense_watch.cli.common import config_option, load_or_exit
from speechsense_watch.cli.reading import records_of
from speechsense_watch.cli.screen import console, emit
from speechsense_watch.cli.words import printable, when
from speechsense_watch.cli.writing import EXIT_FAILED, existing_queue
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.doubts import OrphanTalk, SqliteDoubts
from speechsense_watch.ports import Clock


@click.command("orphans")
@config_option
@click.option("--deleted", "deleted", metavar="TALK", multiple=True, help="You have deleted this talk in SpeechSense.")
@click.option("--all-deleted", is_flag=True, help="You have deleted all that are listed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, those dealt with too.")
def orphans_command(*, config_path: Path | None, deleted: tuple[str, ...], all_deleted: bool, as_json: bool) -> None:
    """List the talks that SpeechSense holds beside the ones that count, to be deleted there by hand.

    An upload that broke off may have left a shorter talk, and a recording that was sent twice a second one. They are found
    by looking up (on_unknown = "search"). SpeechSense has no call that deletes a talk, so it is for you to do in its pages;
    --deleted says that it is done.

    \b
    Exit codes: 0 done, 1 no such talk, 73 the queue cannot be read or written, 78 the configuration is wrong.
    """
    config = load_or_exit(config_path)
    if deleted or all_deleted:
        with existing_queue(Path(config.queue.path)) as queue:
            _take_note(SqliteDoubts(queue), deleted, SystemClock())
        return
    with records_of(config) as records:
        found = records.orphans(seen=as_json)
    clock = SystemClock()
    if as_json:
        for orphan in found:
            click.echo(json.dumps(_as_json(orphan)))
    elif not found:
        click.echo("SpeechSense holds no talk beside those that count, as far as it was looked up.")
    else:
        emit(console(), _picture(found, clock))


def _take_note(doubts: SqliteDoubts, deleted: tuple[str, ...], clock: Clock) -> None:
    chosen = deleted or tuple(orphan.talk_id for orphan in doubts.orphans())
    unknown = [talk_id for talk_id in chosen if not doubts.orphan_seen(talk_id.strip(), clock.now())]
    for talk_id in unknown:
        click.echo(f"{printable(talk_id)} is not among the talks that are to be deleted.", err=True)
    done = len(chosen) - len(unknown)
    click.echo(f"{done} {'talk is' if done == 1 else 'talks are'} off the list.")
    if unknown:
        sys.exit(EXIT_FAILED)


def _picture(found: tuple[OrphanTalk, ...], clock: Clock) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("talk id", "connection", "what it is", "recording", "found"):
        table.add_column(heading)
    for orphan in found:
        what = "the whole call once more" if orphan.whole else "what a broken upload left"
        job = str(orphan.job_id) if orphan.job_id is not None else "forgotten"
        table.add_row(printable(orphan.talk_id), printable(orphan.connection_id), what, job, when(clock.now(), orphan.found_at))
    return table


def _as_json(orphan: OrphanTalk) -> dict[str, object]:
    return {
        "talk_id": orphan.talk_id,
        "job_id": orphan.job_id,
        "connection_id": orphan.connection_id,
        "recording_id": orphan.recording_id,
        "whole": orphan.whole,
        "found_at": time_as_json(orphan.found_at),
        "deleted_at": time_as_json(orphan.seen_at),
    }
