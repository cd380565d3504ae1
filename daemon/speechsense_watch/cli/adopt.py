"""`adopt`: what was sent by other means is put on record, so that it is not sent again."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

import click

from speechsense_watch.adoption import Adoption, Outcome
from speechsense_watch.cli import sent_list
from speechsense_watch.cli.common import config_option, fail
from speechsense_watch.cli.placing import Inside, placed
from speechsense_watch.cli.reading import complete_folder
from speechsense_watch.cli.sent_list import Line, NotAList, SentList
from speechsense_watch.cli.tally import Tally
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import EXIT_FAILED, config_with_queue, examine_history, make_queue, opened
from speechsense_watch.config import Config
from speechsense_watch.config.zones import moment
from speechsense_watch.core import pairing
from speechsense_watch.core.rules import Folder
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.queue import SqliteQueue

_Item = TypeVar("_Item")
# One write each, which waits for the disk.
_TOGETHER = 100
_NOWHERE = "lies in none of the watched folders"
_NOT_UTF_8 = "is not in UTF-8, and no file has these bytes for its name: save the list as UTF-8"


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

    LIST.csv is in UTF-8 and has two columns: the path of an audio file (absolute, or below a watched folder) and the talk id it
    got. The first line may be a heading: it then has neither a `/` nor the ending of an audio file in its first column. Those
    recordings are `done` afterwards. What cannot be adopted is told by its line, and so is what contradicts the record: another
    talk id for a recording, or one talk id for two.

    --before DATE needs no list: what is older than that is left out as sent, without a talk id; `retry` takes that back. A date
    without a zone is taken in the folder's `time_zone`, as that of `start_from` is.

    Works beside a running daemon and may be repeated. To keep old recordings out of a new folder, `start_from` is enough.

    \b
    Exit codes: 0 all of them, 1 not all, 73 the queue cannot be written, 78 the configuration is wrong.
    """
    if (listing is None) == (before is None):
        raise click.UsageError("Give either LIST.csv or --before DATE.")
    if folder_name is not None and before is None:
        raise click.UsageError("--folder goes with --before.")
    config = config_with_queue(config_path)
    date = _date(before) if before is not None else None
    queue_path = Path(config.queue.path)
    make_queue(queue_path)
    tally = Tally()
    with opened(queue_path) as queue:
        examine_history(queue)
        if listing is not None:
            _adopt_list(listing, config, queue, tally, ask=not yes)
        elif date is not None:
            _adopt_before(date, folder_name, config, queue, tally, ask=not yes)
    if not tally.conclude(missing_ok=missing_ok):
        sys.exit(EXIT_FAILED)


# --- a list ----------------------------------------------------------------------------------


def _adopt_list(listing: Path, config: Config, queue: SqliteQueue, tally: Tally, *, ask: bool) -> None:
    with _list(listing, config) as sent:
        if sent.heading:
            click.echo(f"Line {sent.heading.number} is taken for a heading: {printable(sent.heading.path)}")
        if not sent.count:
            fail(f"{printable(str(listing))} names no recording.", EXIT_FAILED)
        _agree(f"{sent.count:,} recordings of {printable(listing.name)} will be put on record as sent.", ask=ask)
        adoptions = {folder.name: _of(folder, queue) for folder in config.folders}
        for group in _groups(sent.lines(), sent.count):
            outcomes = _adopt_lines(group, config, adoptions)
            for line in group:
                tally.count(outcomes[line.number], line.path, line.number)


@contextmanager
def _list(listing: Path, config: Config) -> Iterator[SentList]:
    """Ends the program with a sentence when it is no such list."""
    try:
        with sent_list.opened(listing, lambda path: _is_heading(path, config)) as sent:
            yield sent
    except NotAList as error:
        fail(f"{printable(str(listing))} {error}", EXIT_FAILED)
    except OSError as error:
        fail(f"{printable(str(listing))} cannot be read: {error.strerror}.", EXIT_FAILED)


def _is_heading(path: str, config: Config) -> bool:
    """What could be a recording is none: that it is not there, or lies elsewhere, has to be told."""
    patterns = [pattern.lower() for folder in config.folders for pattern in folder.audio]
    endings = tuple({Path(pattern).suffix for pattern in patterns} - {""})
    likely = pairing.looks_like_audio(path) or any(pairing.is_audio(folder, path) for folder in config.folders)
    return not ("/" in path or likely or path.lower().endswith(endings))


def _adopt_lines(lines: Sequence[Line], config: Config, adoptions: Mapping[str, Adoption]) -> Mapping[int, Outcome | str]:
    """The outcome of each by its number."""
    outcomes: dict[int, Outcome | str] = {}
    sent: dict[str, list[tuple[int, str, str]]] = {}
    for line in lines:
        inside = _inside(line, config)
        if isinstance(inside, Inside):
            sent.setdefault(inside.folder.name, []).append((line.number, inside.path, line.talk_id))
        else:
            outcomes[line.number] = inside
    for name, ones in sent.items():
        found = adoptions[name].uploaded([(path, talk_id) for _, path, talk_id in ones])
        outcomes |= {number: outcome for (number, _, _), outcome in zip(ones, found, strict=True)}
    unclear = {line.number for line in lines if any("\udc80" <= letter <= "\udcff" for letter in line.path)}
    nowhere = {number for number, outcome in outcomes.items() if outcome in (_NOWHERE, Outcome.NOT_THERE)}
    return outcomes | dict.fromkeys(unclear & nowhere, _NOT_UTF_8)


def _inside(line: Line, config: Config) -> Inside | str:
    """Where the recording lies that the line names; in words why it cannot be one."""
    if "\0" in line.path:
        return "cannot be the path of a file"
    if line.path.startswith("/"):
        found = [placed(line.path, config.folders)]
    else:
        found = [placed(path, config.folders) for path in _below(line.path, config)]
    inside = next((each for each in found if each is not None), None)
    if inside is None:
        return _NOWHERE
    if any(each != inside for each in found):
        return "is there in several of the watched folders: write its whole path"
    if not pairing.is_audio(inside.folder, inside.path):
        return "is no audio by the folder's rules"
    return inside if line.talk_id else "has no talk id"


def _below(path: str, config: Config) -> Iterator[str]:
    """The whole path in each folder in which there is such a file."""
    for folder in config.folders:
        whole = Path(folder.path, path)
        if whole.is_file():
            yield str(whole)


# --- by date ---------------------------------------------------------------------------------


def _adopt_before(date: datetime, name: str | None, config: Config, queue: SqliteQueue, tally: Tally, *, ask: bool) -> None:
    folders = {folder.name: folder for folder in config.folders if name in (None, folder.name)}
    if not folders:
        names = ", ".join(printable(folder.name) for folder in config.folders)
        fail(f"No folder is called {printable(str(name))}; there are: {names}.", EXIT_FAILED)
    adoptions = {each: _of(folder, queue) for each, folder in folders.items()}
    # As `start_from` is read, so that the same words mean the same moment.
    moments = {each: moment(date, folder.time_zone) for each, folder in folders.items()}
    found = [(each, path) for each, adoption in adoptions.items() for path in adoption.older_than(moments[each])]
    said = f"{date:%Y-%m-%d %H:%M %Z}".strip()
    if not found:
        click.echo(f"There is no recording from before {said}.")
        return
    _agree(f"{len(found):,} recordings from before {said} will be left out as sent by other means.", ask=ask)
    for group in _groups(found, len(found)):
        for each in dict.fromkeys(each for each, _ in group):
            paths = [path for of, path in group if of == each]
            for path, outcome in zip(paths, adoptions[each].left_out(paths, said), strict=True):
                tally.count(outcome, f"{each}: {path}")


def _date(text: str) -> datetime:
    """As it was written: its zone may be the folder's."""
    with suppress(ValueError):
        date = datetime.fromisoformat(text)
        if 1970 <= date.year <= 9000:
            return date
    raise click.BadParameter("expected a date such as 2026-01-31 or 2026-01-31T09:00.", param_hint="--before")


# --- both ------------------------------------------------------------------------------------


def _of(folder: Folder, queue: SqliteQueue) -> Adoption:
    clock = SystemClock()
    return Adoption(folder, FolderFiles(folder.path, clock), queue, clock)


def _groups(items: Iterable[_Item], count: int) -> Iterator[Sequence[_Item]]:
    """As many as are written together, under a bar that shows how far it is."""
    with click.progressbar(items, count, "Putting on record", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        rest = iter(shown)
        while group := list(islice(rest, _TOGETHER)):
            yield group


def _agree(what: str, *, ask: bool) -> None:
    click.echo(what)
    if ask:
        if not sys.stdin.isatty():
            fail("nobody is there to agree: add --yes.", EXIT_FAILED)
        click.confirm("Go on?", abort=True)
