"""`backup` and `restore`: copies of the queue."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from speechsense_watch.cli.common import config_option, fail
from speechsense_watch.cli.words import clock_time, printable, size_in_words
from speechsense_watch.cli.writing import EXIT_CANNOT_OPEN, EXIT_FAILED, config_with_queue, journal_of, make_directory
from speechsense_watch.config import Config
from speechsense_watch.core.model import State
from speechsense_watch.core.rules import OnUnknown
from speechsense_watch.edge import lock
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.copies import Contents, NotACopy, back_up, inspect, put_back
from speechsense_watch.edge.journal import Journal, TalkLine
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.ports import QueueTrouble

_WHAT_FOLLOWS = {
    OnUnknown.RESEND: "are sent, marked as possible duplicates: those sent after the copy and not in the journal arrive twice",
    OnUnknown.HOLD: "are held for your `resolve`",
    OnUnknown.SEARCH: "are looked for in SpeechSense before anything is sent",
}


@click.command("backup")
@config_option
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def backup_command(config_path: Path | None, file: Path, force: bool) -> None:  # noqa: FBT001 - click hands flags over by name
    """Copy the queue, as it is at this moment, into FILE.

    The daemon may run meanwhile. The copy is whole, checked, and readable for you alone. Keep the journal beside the queue as
    well: it knows what was sent after the copy.

    \b
    Exit codes: 0 done, 1 not possible, 73 the queue cannot be read, 78 the configuration is wrong.
    """
    path = Path(config_with_queue(config_path).queue.path)
    if file.exists() and _is_one_of(file, path):
        fail(f"{printable(str(file))} belongs to the queue itself: name another file.", EXIT_FAILED)
    if file.exists() and not force:
        fail(f"{printable(str(file))} is there already: name another file, or add --force.", EXIT_FAILED)
    try:
        with closing(SqliteQueue(path, read_only=True, as_it_is=True)) as queue, _bar("Copying") as progress:
            contents = back_up(queue, file, progress)
    except (QueueTrouble, NewerSchema) as error:
        fail(printable(f"{path}: {error}"), EXIT_CANNOT_OPEN)
    except NotACopy as error:
        fail(printable(f"The copy is no good, so the queue is damaged or the disk is: {error}"), EXIT_FAILED)
    except OSError as error:
        if not path.exists():
            fail(f"There is no queue at {path}: the daemon has not run with this configuration yet.", EXIT_FAILED)
        fail(printable(f"{file} cannot be written: {error.strerror}."), EXIT_FAILED)
    click.echo(f"{printable(str(file))}: {_described(contents)}")


@click.command("restore")
@config_option
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore_command(config_path: Path | None, file: Path, yes: bool) -> None:  # noqa: FBT001 - click hands flags over by name
    """Put a copy of the queue in its place. The daemon has to be stopped.

    What is replaced is kept beside it, and the journal stays as it is: what it knows to be sent is not sent again. The copy
    cannot know what else happened after it was made, so at the next start everything recorded before that start is taken to
    have been sent, maybe: `on_unknown` of its folder decides.

    \b
    Exit codes: 0 done, 1 not possible, 73 the daemon runs or the queue cannot be written, 78 the configuration is wrong.
    """
    config = config_with_queue(config_path)
    path = Path(config.queue.path)
    if _is_one_of(file, path):
        fail(f"{printable(str(file))} belongs to the queue itself: name a copy.", EXIT_FAILED)
    try:
        make_directory(path.parent)
        with lock.acquire(f"{path}.lock", SystemClock(), 0.0):
            kept = _restore(file, path, config, ask=not yes)
    except lock.LockBusy as busy:
        fail(f"The daemon runs ({busy}): `sudo systemctl stop speechsense-watch` first.", EXIT_CANNOT_OPEN)
    except (lock.LockTrouble, QueueTrouble) as error:
        fail(printable(f"{path}: {error}"), EXIT_CANNOT_OPEN)
    except NotACopy as error:
        fail(printable(f"{error} The queue was left alone."), EXIT_FAILED)
    except OSError as error:
        fail(printable(f"{path} cannot be written: {error.strerror}."), EXIT_CANNOT_OPEN)
    click.echo(f"The queue is put back.{f' What was there is kept as {printable(str(kept))}.' if kept else ''}")
    click.echo("Next: `sudo systemctl start speechsense-watch`, then `speechsense-watch status`.")


def _restore(file: Path, path: Path, config: Config, *, ask: bool) -> Path | None:
    """The file it was before; None where there was none. Raises NotACopy, QueueTrouble, OSError."""
    contents = inspect(file)
    click.echo(f"{printable(str(file))}: {_described(contents)}")
    for sentence in _what_follows(contents, path, config):
        click.echo(sentence)
    if ask:
        if not sys.stdin.isatty():
            fail("nobody is there to agree: add --yes.", EXIT_FAILED)
        click.confirm("Put it in the place of the queue?", abort=True)
    with _bar("Putting back") as progress:
        return put_back(file, path, SystemClock().now(), progress)


def _is_one_of(file: Path, path: Path) -> bool:
    """Whether it is the queue, its log or its journal, by whatever name."""
    parts = (path.with_name(path.name + end) for end in ("", "-wal", "-shm", ".journal", ".lock"))
    return any(part.exists() and part.samefile(file) for part in parts)


def _described(contents: Contents) -> str:
    counts = [f"{contents.counts[state]:,} {state}" for state in State if contents.counts[state]]
    last = f", last changed {clock_time(contents.last_change_at)}" if contents.last_change_at else ""
    return f"{size_in_words(contents.size)}, {', '.join(counts) or 'no recordings'}{last}. It is sound."


def _what_follows(contents: Contents, path: Path, config: Config) -> Iterator[str]:
    journal = journal_of(path)
    if journal.exists():
        known = sum(isinstance(line, TalkLine) for line in Journal(journal).lines())
        yield f"The copy knows {contents.talks:,} talk ids, the journal {known:,}: none of these is sent again."
    else:
        yield (
            f"There is no journal at {journal}: nothing tells what was sent after the copy was made. If you have the newest "
            "journal, put it there first."
        )
    yield "Other recordings from before the next start may have been sent after the copy was made. When their turn comes they"
    for folder in config.folders:
        yield f"  of folder {printable(folder.name)}: {_WHAT_FOLLOWS[folder.on_unknown]}."


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far it is on a terminal, and nothing elsewhere."""
    with click.progressbar(length=1000, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def progress(done: int, pages: int) -> None:
            bar.update(done * 1000 // max(pages, 1) - bar.pos)

        yield progress
