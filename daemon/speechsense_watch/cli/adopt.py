"""`adopt`: what was sent by other means is put on record, so that it is not sent again."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from speechsense_watch.adoption import Adoption, Outcome
from speechsense_watch.cli.common import config_option, fail
from speechsense_watch.cli.placing import Inside, placed
from speechsense_watch.cli.reading import complete_folder
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import EXIT_FAILED, config_with_queue, make_queue, opened
from speechsense_watch.config import Config
from speechsense_watch.core import pairing
from speechsense_watch.core.rules import Folder
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.queue import SqliteQueue

_MOST_BYTES = 512 * 2**20
_MOST_TOLD = 20
_SAID = {
    Outcome.BUSY: "is being worked on, or its state does not allow it: see `show`",
    Outcome.NOT_THERE: "is not there any more",
    Outcome.UNREADABLE: "cannot be read",
}


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    path: str
    talk_id: str


@click.command("adopt")
@config_option
@click.argument("listing", metavar="[LIST.csv]", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--before", metavar="DATE", help="Instead of a list: all recordings from before this date count as sent.")
@click.option(
    "--folder", "folder_name", metavar="NAME", shell_complete=complete_folder, help="With --before: of this folder only."
)
@click.option("--missing-ok", is_flag=True, help="Files of the list that are gone are no error.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def adopt_command(
    config_path: Path | None,
    listing: Path | None,
    before: str | None,
    folder_name: str | None,
    missing_ok: bool,  # noqa: FBT001 - click hands flags over by name
    yes: bool,  # noqa: FBT001
) -> None:
    """Put on record what was sent by other means, so that it is never sent again.

    LIST.csv has two columns: the path of an audio file (absolute, or below a watched folder) and the talk id it got. A first
    line without a path that lies in a watched folder is taken for a heading. Those recordings are `done` afterwards.

    --before DATE needs no list: what is older than that is left out as sent, without a talk id; `retry` takes that back.

    Works beside a running daemon and may be repeated. To keep old recordings out of a new folder, `start_from` is enough.

    \b
    Exit codes: 0 all of them, 1 not all, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    if (listing is None) == (before is None):
        raise click.UsageError("Give either LIST.csv or --before DATE.")
    if folder_name is not None and before is None:
        raise click.UsageError("--folder goes with --before.")
    config = config_with_queue(config_path)
    moment = _moment(before) if before is not None else None
    queue_path = Path(config.queue.path)
    make_queue(queue_path)
    with opened(queue_path) as queue:
        outcomes: Counter[str] = Counter()
        if listing is not None:
            outcomes = _adopt_list(listing, config, queue, ask=not yes)
        elif moment is not None:
            outcomes = _adopt_before(moment, folder_name, config, queue, ask=not yes)
    _conclude(outcomes, missing_ok=missing_ok)


# --- a list ----------------------------------------------------------------------------------


def _adopt_list(listing: Path, config: Config, queue: SqliteQueue, *, ask: bool) -> Counter[str]:
    lines = _read(listing, config)
    if not lines:
        fail(f"{printable(str(listing))} names no recording.", EXIT_FAILED)
    _agree(f"{len(lines):,} recordings of {printable(listing.name)} will be put on record as sent.", ask=ask)
    outcomes: Counter[str] = Counter()
    with click.progressbar(lines, label="Putting on record", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        for line in shown:
            _count(outcomes, _adopt_line(line, config, queue), f"line {line.number}: {line.path}")
    return outcomes


def _adopt_line(line: _Line, config: Config, queue: SqliteQueue) -> Outcome | str:
    inside = _inside(line.path, config)
    if inside is None:
        return "lies in none of the watched folders"
    if not pairing.is_audio(inside.folder, inside.path):
        return "is no audio by the folder's rules"
    if not line.talk_id or not line.talk_id.isprintable() or " " in line.talk_id:
        return "has no talk id"
    return _of(inside.folder, queue).uploaded(inside.path, line.talk_id)


def _inside(path: str, config: Config) -> Inside | None:
    if path.startswith("/"):
        return placed(path, config.folders)
    there = [Inside(folder, path) for folder in config.folders if Path(folder.path, path).is_file()]
    return there[0] if len(there) == 1 else None


def _read(listing: Path, config: Config) -> Sequence[_Line]:
    if listing.stat().st_size > _MOST_BYTES:
        fail(f"{printable(str(listing))} is larger than {_MOST_BYTES // 2**20} MiB: is it the right file?", EXIT_FAILED)
    try:
        text = listing.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
        delimiter = ";" if text and text[0].count(";") > text[0].count(",") else ","
        rows = [(number, row) for number, row in enumerate(csv.reader(text, delimiter=delimiter), 1) if any(row)]
    except (OSError, csv.Error) as error:
        fail(f"{printable(str(listing))} cannot be read: {error}.", EXIT_FAILED)
    if rows and _inside(rows[0][1][0].strip(), config) is None:
        rows = rows[1:]
    return [_Line(number, row[0].strip(), row[1].strip() if len(row) > 1 else "") for number, row in rows]


# --- by date ---------------------------------------------------------------------------------


def _adopt_before(moment: datetime, name: str | None, config: Config, queue: SqliteQueue, *, ask: bool) -> Counter[str]:
    folders = [folder for folder in config.folders if name in (None, folder.name)]
    if not folders:
        names = ", ".join(printable(folder.name) for folder in config.folders)
        fail(f"No folder is called {printable(str(name))}; there are: {names}.", EXIT_FAILED)
    found = [(folder, path) for folder in folders for path in _of(folder, queue).older_than(moment)]
    if not found:
        click.echo(f"There is no recording from before {moment:%Y-%m-%d %H:%M}.")
        return Counter()
    _agree(f"{len(found):,} recordings from before {moment:%Y-%m-%d %H:%M} will be left out as sent by other means.", ask=ask)
    outcomes: Counter[str] = Counter()
    with click.progressbar(found, label="Putting on record", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        for folder, path in shown:
            _count(outcomes, _of(folder, queue).sent_before(path, moment), f"{folder.name}: {path}")
    return outcomes


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise click.BadParameter("expected a date such as 2026-01-31 or 2026-01-31T09:00.", param_hint="--before") from None


# --- both ------------------------------------------------------------------------------------


def _of(folder: Folder, queue: SqliteQueue) -> Adoption:
    clock = SystemClock()
    return Adoption(folder, FolderFiles(folder.path, clock), queue, clock)


def _agree(what: str, *, ask: bool) -> None:
    click.echo(what)
    if ask:
        if not sys.stdin.isatty():
            fail("nobody is there to agree: add --yes.", EXIT_FAILED)
        click.confirm("Go on?", abort=True)


def _count(outcomes: Counter[str], outcome: Outcome | str, which: str) -> None:
    """Counted, and told where it is neither adopted nor known; the first few of each kind."""
    key = outcome.value if isinstance(outcome, Outcome) else outcome
    outcomes[key] += 1
    if outcome in (Outcome.ADOPTED, Outcome.KNOWN) or outcomes[key] > _MOST_TOLD:
        return
    said = _SAID[outcome] if isinstance(outcome, Outcome) else outcome
    more = " (further ones are only counted)" if outcomes[key] == _MOST_TOLD else ""
    click.echo(f"{printable(which)} {said}{more}", err=True)


def _conclude(outcomes: Counter[str], *, missing_ok: bool) -> None:
    if outcomes:
        click.echo(", ".join(f"{count:,} {what}" for what, count in _in_order(outcomes)) + ".")
    good = {Outcome.ADOPTED.value, Outcome.KNOWN.value} | ({Outcome.NOT_THERE.value} if missing_ok else set())
    sys.exit(EXIT_FAILED if outcomes.keys() - good else 0)


def _in_order(outcomes: Counter[str]) -> Iterable[tuple[str, int]]:
    return sorted(outcomes.items(), key=lambda item: (item[0] != Outcome.ADOPTED.value, item[0]))
