"""`check --online`, the part about looking up: may the key search, and is the recording's id a key that can be searched?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from speechsense_watch.cli.check_key import settled
from speechsense_watch.cli.report import Report
from speechsense_watch.config import Config
from speechsense_watch.core.beacons import Known
from speechsense_watch.core.lookup import PREFIXES
from speechsense_watch.core.rules import Folder, OnUnknown
from speechsense_watch.core.verdict import Code
from speechsense_watch.edge.doubts import SqliteDoubts
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.ports import QueueTrouble, Searching, SearchTrouble

# What no recording's id can be: it is looked for where nothing is known to exist.
_NO_RECORDING = "speechsense-watch-check"
_REFUSED = frozenset({Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.UNIMPLEMENTED, Code.NOT_FOUND})


def check_look_up(config: Config, environ: Mapping[str, str], report: Report) -> None:
    """Of every folder with on_unknown = "search"; the service is known to answer."""
    folders = [folder for folder in config.folders if folder.on_unknown is OnUnknown.SEARCH]
    if not folders:
        return
    # Brings grpc along.
    from speechsense_watch.edge.channel import Endpoint, asking  # noqa: PLC0415

    settings = config.speechsense
    endpoint = Endpoint(settings.endpoint, settings.plaintext, settings.ca_file)
    with asking(endpoint, settled(settings, environ)) as service:
        for folder in folders:
            _check_folder(folder, _known(Path(config.queue.path), folder), service, report)


def _known(path: Path, folder: Folder) -> Known | None:
    """A talk that was uploaded with its recording's id, if the queue can be read and knows one."""
    if not os.access(path, os.R_OK):
        return None
    try:
        with closing(SqliteQueue(path, read_only=True)) as queue:
            return next(iter(SqliteDoubts(queue).known(folder.connection_id, folder.recording_id_field)), None)
    except (QueueTrouble, NewerSchema):
        return None


def _check_folder(folder: Folder, known: Known | None, service: Searching, report: Report) -> None:
    what, name = f"look-up, folder {folder.name}", folder.recording_id_field
    found: list[str] = []
    troubles: list[SearchTrouble] = []
    for key, answer in _answers(folder, known, service):
        if isinstance(answer, SearchTrouble):
            troubles.append(answer)
        elif known is not None and answer:
            found.append(key)
    if len(troubles) == len(PREFIXES):
        _tell_trouble(what, name, troubles[0], report)
    elif found:
        report.good(f"{what}: the key may search, and `{name}` can be searched (as {found[0]}).")
    elif known is None:
        report.good(f"{what}: the key may search.")
        report.note(
            f"{what}: whether `{name}` is declared in the connection shows with the first upload.",
            "Declare it there as a key of type String.",
        )
    else:
        _tell_not_found(what, folder, known, service, report)


def _answers(folder: Folder, known: Known | None, service: Searching) -> Iterator[tuple[str, bool | SearchTrouble]]:
    """By key whether the talk that is known was found, or what came instead of an answer."""
    value = known.recording_id if known else _NO_RECORDING
    for prefix in PREFIXES:
        key = prefix + folder.recording_id_field
        try:
            talks = service.search(folder.search, folder.connection_id, key, [value])
        except SearchTrouble as trouble:
            yield key, trouble
        else:
            yield key, known is not None and known.talk_id in talks


def _tell_trouble(what: str, name: str, trouble: SearchTrouble, report: Report) -> None:
    if trouble.code in _REFUSED:
        report.wrong(
            f"{what}: the key may not search: {trouble}.",
            "Give the service account a role that may view talks in the space, and check the ids under `search`; until then what "
            "is unconfirmed stays so.",
        )
    else:
        report.wrong(
            f"{what}: it could not be searched by `{name}`: {trouble}.", "Is it declared as a String key of the connection?"
        )


def _tell_not_found(what: str, folder: Folder, known: Known, service: Searching, report: Report) -> None:
    name = folder.recording_id_field
    try:
        shown = service.values_of(folder.search, folder.connection_id, [known.talk_id], name)
    except SearchTrouble as trouble:
        report.wrong(f"{what}: the key may search but not read talks: {trouble}.")
        return
    if known.talk_id in shown:
        report.note(
            f"{what}: talk {known.talk_id} has its `{name}`, but cannot be found by it yet.",
            "It may take a while until a talk can be found; try again.",
        )
    else:
        report.wrong(
            f"{what}: talk {known.talk_id} was uploaded with `{name}`, but SpeechSense does not show it.",
            f"Declare `{name}` in the connection as a key of type String; talks uploaded before that are not found by it.",
        )
