"""`forget`: a customer's call is removed from everything that is ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from speechsense_watch.cli.common import config_option, fail
from speechsense_watch.cli.forgetting import Call, CannotForget, Forgetting, calls_of, copies_beside
from speechsense_watch.cli.reading import folder_paths
from speechsense_watch.cli.show import found_by
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import EXIT_FAILED, config_with_queue, existing_queue
from speechsense_watch.config import Config
from speechsense_watch.core.model import Job, State
from speechsense_watch.edge.records import Records
from speechsense_watch.ports import Stale

_TRIES = 5


@click.command("forget")
@config_option
@click.argument("recordings", metavar="[ID|PATH|TALK-ID]...", nargs=-1, type=click.Path())
@click.option("--match", metavar="TEXT", help="All whose paths, talk ids or fields contain it: a telephone number, for example.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed, and what would remain.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget_command(
    config_path: Path | None,
    recordings: tuple[str, ...],
    match: str | None,
    dry_run: bool,  # noqa: FBT001 - click hands flags over by name
    yes: bool,  # noqa: FBT001
) -> None:
    """Remove a customer's call: from the queue with its history, from the journal, from the archive.

    A hash of its audio stays, so that it is not sent again should its files come again or still lie there. Files in watched
    folders are yours to delete. So are the talks in SpeechSense, whose ids are printed: a program cannot delete them.
    There is no way back.

    \b
    Exit codes: 0 forgotten, 1 nothing was (unknown, being sent or put away, not complete yet, or a file could not be read
    or deleted), 73 the queue cannot be written, 78 the configuration is wrong.
    """
    if bool(recordings) == bool(match):
        raise click.UsageError("Name recordings, or give --match.")
    config = config_with_queue(config_path)
    with existing_queue(Path(config.queue.path)) as queue:
        records = Records(queue)
        calls = _calls(_chosen(recordings, match, config, records), config, records)
        for line in _plan(calls, config, records):
            click.echo(printable(line))
        if dry_run:
            return
        if not yes:
            if not sys.stdin.isatty():
                fail("nobody is there to agree: add --yes.", EXIT_FAILED)
            click.confirm("Forget? There is no way back.", abort=True)
        forgetting = Forgetting(queue, folder_paths(config, records))
        for _ in range(_TRIES):
            try:
                left = forgetting.forget(calls)
            except Stale:
                # The daemon changed a row between our look and our word. What was agreed to is these, whatever else has come.
                jobs = [job for call in calls if (job := records.job(call.job.id)) is not None]
                calls = _calls(jobs, config, records)
            except CannotForget as error:
                fail(printable(str(error)), EXIT_FAILED)
            else:
                break
        else:
            fail("the daemon changes these recordings at this moment: try again.", EXIT_FAILED)
    _tell(calls, left, config)


def _chosen(recordings: Sequence[str], match: str | None, config: Config, records: Records) -> Sequence[Job]:
    """Ends the program when one is not to be found."""
    jobs = records.containing(match) if match else [_one(text, config, records) for text in recordings]
    if not jobs:
        fail(f'there is no recording with "{printable(match or "")}" in its paths or fields.', EXIT_FAILED)
    return jobs


def _calls(jobs: Sequence[Job], config: Config, records: Records) -> list[Call]:
    """The calls that go with them. Ends the program when one cannot go now: all or none."""
    calls = calls_of(jobs, records, folder_paths(config, records))
    early = [call for call in calls if call.too_early]
    for call in early:
        click.echo(f"Recording {call.job.id} cannot be forgotten now: {call.too_early}.", err=True)
    if early:
        fail("nothing was forgotten.", EXIT_FAILED)
    return calls


def _one(text: str, config: Config, records: Records) -> Job:
    jobs = found_by(text, config, records)
    if not jobs:
        fail(f"{printable(text)} is not on record; nothing was forgotten.", EXIT_FAILED)
    if len(jobs) > 1 and jobs[0].talk_id != text:
        others = ", ".join(str(job.id) for job in jobs[1:])
        click.echo(f"{printable(text)} is recording {jobs[0].id} now. Others were there earlier, and stay: {others}.")
    return jobs[0]


# --- what is said ------------------------------------------------------------------------------


def _plan(calls: Sequence[Call], config: Config, records: Records) -> Iterator[str]:
    for call in calls:
        job = call.job
        where = f"{job.place.folder}: {job.place.path}" if job.place.folder else job.place.path
        yield f"Recording {job.id} ({where}), {job.state}"
        gone = [f"its row with {len(records.events(job.id))} events and {len(records.attempts(job.id))} tries"]
        gone += ["its line in the journal"] if job.talk_id else []
        yield f"  goes:     {', '.join([*gone, *(path for path, _ in call.archived)])}"
        for path in call.files:
            yield f"  stays:    {path}"
        for sentence in _with_the_service(call, config):
            yield f"  there:    {sentence}"


def _with_the_service(call: Call, config: Config) -> Iterator[str]:
    """What SpeechSense has of it, or may have."""
    job = call.job
    for talk_id in dict.fromkeys((*([job.talk_id] if job.talk_id else []), *call.orphans)):
        yield f"SpeechSense has it as talk {talk_id}."
    if job.state is State.UNCONFIRMED or job.leftovers or (job.possible_duplicate and job.uid):
        keys = {folder.name: folder.recording_id_field for folder in config.folders}
        key = keys.get(job.place.folder)
        by = f"look for {key} = {' or '.join(call.tries)}" if key and call.tries else "look for it by its time and its parties"
        yield f"SpeechSense may have it{' once more' if job.talk_id else ''}: {by}."


def _tell(calls: Sequence[Call], left: Sequence[str], config: Config) -> None:
    click.echo("Forgotten: 1 recording." if len(calls) == 1 else f"Forgotten: {len(calls):,} recordings.")
    for path in left:
        click.echo(printable(f"Left alone, since it is not the file that was archived: {path}"))
    if files := [path for call in calls for path in call.files]:
        click.echo("\nThese files lie where the recorder put them. They are not sent any more; delete them:")
        for path in files:
            click.echo(f"  {printable(path)}")
        click.echo("If the daemon sees them before that, their names are on record once more: `forget` those then, too.")
    if talks := [line for call in calls for line in _with_the_service(call, config)]:
        click.echo("\nDelete in SpeechSense by hand, since a program cannot:")
        for line in dict.fromkeys(talks):
            click.echo(f"  {printable(line)}")
    click.echo("\nBackups of the queue may still hold it.")
    for copy in copies_beside(Path(config.queue.path)):
        click.echo(f"So may {printable(copy)}, from before an upgrade or a `restore`: delete it when it is not needed any more.")
