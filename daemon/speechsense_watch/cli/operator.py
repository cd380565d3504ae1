"""`retry`, `skip`, `resolve`: the operator's word on a job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from speechsense_watch.cli.common import config_option, fail
from speechsense_watch.cli.held import why_held
from speechsense_watch.cli.reading import complete_folder
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import EXIT_FAILED, config_with_queue, daemon_runs, existing_queue
from speechsense_watch.config import Config
from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import EDGES, Change, Event, IllegalEdge
from speechsense_watch.core.model import IN_FLIGHT, Job, State
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.rows import placeholders
from speechsense_watch.ports import Stale

_TRIES = 5
JOB_ID = click.IntRange(1, 2**63 - 1)  # what SQLite has for a row
_RETRIABLE = sorted(state.value for state in EDGES[Event.RETRIED])


@dataclass(frozen=True, slots=True)
class _Word:
    """One thing an operator can say: the edge, what is said when it was taken, what when it cannot be."""

    edge: Callable[[Job, datetime], Change]
    done: Callable[[Job], str]
    cannot: Callable[[Job], str]


@click.command("retry")
@config_option
@click.argument("ids", metavar="[ID]...", nargs=-1, type=JOB_ID)
@click.option("--state", "states", type=click.Choice(_RETRIABLE), multiple=True, help="All jobs in this state instead.")
@click.option("--folder", metavar="NAME", shell_complete=complete_folder, help="With --state: of this folder only.")
@click.option("--yes", is_flag=True, help="With --state: do not ask.")
def retry_command(
    config_path: Path | None,
    ids: tuple[int, ...],
    states: tuple[str, ...],
    folder: str | None,
    yes: bool,  # noqa: FBT001 - click hands flags over by name
) -> None:
    """Have recordings read anew and sent, by their numbers or by state.

    Rules of choice (min_duration, a duplicate, an earlier skip) do not hold them back this time. With --state it is said
    first how many there are.

    \b
    Exit codes: 0 all of them, 1 not all, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    if bool(ids) == bool(states):
        raise click.UsageError("Give either the numbers of jobs or --state.")
    if (folder is not None or yes) and not states:
        raise click.UsageError("--folder and --yes go with --state.")
    config = config_with_queue(config_path)
    with existing_queue(Path(config.queue.path)) as queue:
        chosen = ids or _chosen(queue, states, folder, config, ask=not yes)
        _say(queue, chosen, _Word(lifecycle.retried, _retried, _not_retried), config)


@click.command("skip")
@config_option
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=JOB_ID)
def skip_command(config_path: Path | None, ids: tuple[int, ...]) -> None:
    """Leave recordings out, or clear an alarm that was seen.

    The files stay where they are. `retry` takes a skip back.

    \b
    Exit codes: 0 all of them, 1 not all, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    config = config_with_queue(config_path)
    with existing_queue(Path(config.queue.path)) as queue:
        _say(queue, ids, _Word(lifecycle.skipped, _skipped, _not_skipped), config)


@click.command("resolve")
@config_option
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--uploaded", "talk_id", metavar="TALK", help="SpeechSense has it, under this talk id.")
@click.option("--resend", is_flag=True, help="SpeechSense has it not: send it again.")
def resolve_command(config_path: Path | None, job_id: int, talk_id: str | None, resend: bool) -> None:  # noqa: FBT001
    """Decide about an upload whose outcome is not known.

    Look in SpeechSense first. After --resend it has the call twice if the first try arrived after all.

    \b
    Exit codes: 0 done, 1 not possible, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    if (talk_id is not None) == resend:
        raise click.UsageError("Give either --uploaded with the talk's id, or --resend.")
    word = _Word(lambda job, at: lifecycle.resent(job, at, by_operator=True), _to_be_resent, _not_resolved)
    if talk_id is not None:
        talk = _talk_id(talk_id)
        word = _Word(lambda job, at: lifecycle.confirmed(job, talk, at), _confirmed, _not_resolved)
    config = config_with_queue(config_path)
    with existing_queue(Path(config.queue.path)) as queue:
        if talk_id is not None:
            _must_be_free(queue, _talk_id(talk_id), job_id)
        _say(queue, (job_id,), word, config)


# --- carrying out ----------------------------------------------------------------------------


def _say(queue: SqliteQueue, ids: Sequence[int], word: _Word, config: Config) -> None:
    """Says the word on each job and tells what happened; exit code 1 when one of them could not be."""
    done = [_say_one(queue, job_id, word) for job_id in dict.fromkeys(ids)]
    going_on = [after for after in done if after is not None and after.state is not State.DONE]
    if going_on and not daemon_runs(queue.path):
        click.echo("The daemon does not run at the moment: it goes on from here when it does.")
    elif going_on:
        runtime, now = queue.runtime(), SystemClock().now()
        for sentence in dict.fromkeys(why_held(after, config, runtime, now) for after in going_on):
            if sentence:
                click.echo(f"But not now. {sentence}")
    _tell_of_others([after for after in done if after], config)
    if not all(done):
        sys.exit(EXIT_FAILED)


def _say_one(queue: SqliteQueue, job_id: int, word: _Word) -> Job | None:
    """The job afterwards; None when it cannot be."""
    for _ in range(_TRIES):
        job = queue.job(job_id)
        if job is None:
            click.echo(f"There is no job {job_id}: `speechsense-watch list` shows which there are.", err=True)
            return None
        try:
            after = queue.apply(word.edge(job, SystemClock().now()))
        except Stale:
            continue  # the daemon changed it between our look and our word
        except IllegalEdge:
            if job.state is State.SKIPPED and word.edge is lifecycle.skipped:
                click.echo(f"Job {job_id} is left out already.")
                return job
            click.echo(word.cannot(job), err=True)
            return None
        click.echo(f"{word.done(after)}  ({_where(after)})")
        return after
    click.echo(f"Job {job_id} is changing at this moment: try again.", err=True)
    return None


def _where(job: Job) -> str:
    return printable(f"{job.place.folder}: {job.place.path}" if job.place.folder else job.place.path)


def _tell_of_others(jobs: Sequence[Job], config: Config) -> None:
    """Recordings that lie in no watched folder are nobody's business but `upload`'s."""
    watched = {folder.name for folder in config.folders}
    for job in jobs:
        if job.state in (State.READY, State.WAITING) and job.place.folder not in watched:
            click.echo(f"Job {job.id} lies in no watched folder: `speechsense-watch upload` sends it.")


def _chosen(queue: SqliteQueue, states: Sequence[str], folder: str | None, config: Config, *, ask: bool) -> Sequence[int]:
    """The numbers of the jobs in these states, once the operator has agreed. Ends the program when there are none."""
    # A call that was forgotten is not what they are after.
    where = f"state IN ({placeholders(states)}) AND reason IS NOT 'forgotten'"
    keys = [*states]
    if folder is not None:
        where, keys = f"{where} AND folder = ?", [*keys, folder]
    # By two indexes that leave out the millions that are done and as they were.
    either = ("INDEXED BY unfinished WHERE state <> 'done'", "INDEXED BY changed WHERE changed_after_upload = 1")
    sql = " UNION ".join(f"SELECT id FROM jobs {which} AND {where}" for which in either)  # noqa: S608 - words of ours
    ids = [int(row["id"]) for row in queue.rows(f"{sql} ORDER BY id", keys * 2)]
    which = " or ".join("done and changed since" if state == State.DONE else state for state in dict.fromkeys(states))
    place = f" in folder {folder}" if folder is not None else ""
    if not ids:
        click.echo(f"There is no recording that is {which}{printable(place)}.")
        if folder is not None and folder not in {each.name for each in config.folders}:
            names = ", ".join(each.name for each in config.folders)
            fail(f"the configuration knows no folder {printable(folder)}, only: {printable(names)}", EXIT_FAILED)
        sys.exit(0)
    count = "1 recording that is" if len(ids) == 1 else f"{len(ids):,} recordings that are"
    click.echo(f"{count} {which}{printable(place)} will be read anew and sent.")
    if ask:
        if not sys.stdin.isatty():
            fail("nobody is there to agree: add --yes.", EXIT_FAILED)
        click.confirm("Go on?", abort=True)
    return ids


def _must_be_free(queue: SqliteQueue, talk_id: str, job_id: int) -> None:
    """A talk is one recording: the id of another one's was pasted by mistake, and this one would never be sent."""
    for row in queue.rows("SELECT id FROM jobs WHERE talk_id = ? AND id <> ? LIMIT 1", (talk_id, job_id)):
        fail(f"Talk {printable(talk_id)} is recording {row['id']} already: `speechsense-watch show {row['id']}`.", EXIT_FAILED)


def _talk_id(text: str) -> str:
    talk_id = text.strip()
    if not talk_id or not talk_id.isprintable() or " " in talk_id:
        raise click.BadParameter("expected the id of a talk, as SpeechSense shows it.", param_hint="--uploaded")
    return talk_id


# --- sentences -------------------------------------------------------------------------------


def _retried(job: Job) -> str:
    if job.state is State.READY:
        return f"Job {job.id} is due at once."
    if job.state is State.DONE:
        return f"Job {job.id}: what lies there now is taken for a recording of its own and sent."
    said = f"Job {job.id} is read anew, and sent if it is fit to be."
    if job.possible_duplicate:
        said += " SpeechSense may have it already: this sending is marked as a possible duplicate."
    return said


def _not_retried(job: Job) -> str:
    match job.state:
        case State.WAITING:
            return f"Job {job.id} waits and needs no retry: {printable(job.message)} {job.hint}"
        case State.UNCONFIRMED:
            return (
                f"Job {job.id} is unconfirmed: SpeechSense may have it. Look there, then "
                f"`resolve {job.id} --uploaded TALK` or `resolve {job.id} --resend`."
            )
        case State.UPLOADING | State.COMMITTING:
            return f"Job {job.id} is being sent at this moment: nothing to retry."
        case State.SKIPPED:
            return f"Job {job.id} is a call that `forget` removed: nothing sends it again. Delete its files."
        case State.LOST:
            return (
                f"Job {job.id} is lost: its files are gone, so there is nothing to send. Put them back and it goes on by itself; "
                f"`skip {job.id}` clears the alarm."
            )
        case _:
            return f"Job {job.id} is {job.state}, its talk id is {job.talk_id}: nothing to retry."


def _skipped(job: Job) -> str:
    if job.state is State.SKIPPED:
        return f"Job {job.id} is left out; `retry {job.id}` takes that back."
    if job.reason is None:
        return f"Job {job.id}: the change after its upload is taken note of."
    return f"Job {job.id} is done, its files stay where they are."


def _not_skipped(job: Job) -> str:
    if job.state in IN_FLIGHT:
        return f"Job {job.id} is being sent at this moment: too late to leave it out, see what becomes of it."
    return f"Job {job.id} is {job.state}, its talk id is {job.talk_id}: nothing to skip."


def _to_be_resent(job: Job) -> str:
    return f"Job {job.id} is sent again; should both tries have arrived, SpeechSense has the call twice."


def _confirmed(job: Job) -> str:
    return f"Job {job.id} is uploaded, its talk id is {job.talk_id}."


def _not_resolved(job: Job) -> str:
    known = f", its talk id is {job.talk_id}" if job.talk_id else ""
    retry = f" `retry {job.id}` sends it." if job.state in (State.REFUSED, State.UNUSABLE, State.SKIPPED) else ""
    return f"Job {job.id} is {job.state}{known}, not unconfirmed: nothing to resolve.{retry}"
