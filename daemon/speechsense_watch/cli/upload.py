"""`upload`: one recording now."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import NoReturn

import click

from speechsense_watch.cli.common import EXIT_CONFIG, config_option, fail, load_or_exit
from speechsense_watch.cli.placing import by_its_folder, by_itself, placed
from speechsense_watch.cli.preview import preview
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import EXIT_CANNOT_OPEN, config_or_own_queue, examine_history, make_queue, opened
from speechsense_watch.config import Auth, Config, ConfigError, LogFormat, LogLevel
from speechsense_watch.core.model import uid_of
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.opening import unfit_place
from speechsense_watch.edge.process import owner_alive, this_process
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.ending import Ending, Result, unfit
from speechsense_watch.log import configure
from speechsense_watch.named import Source, examine, on_record
from speechsense_watch.oneshot import OneShot
from speechsense_watch.ports import FileTrouble, Halted, QueueTrouble, Service
from speechsense_watch.recording import Unfit, hash_of, unfit_by_trouble

_EXITS = {
    Result.ACCEPTED: 0,
    Result.ON_RECORD: 0,
    Result.REFUSED: 1,
    Result.LATER: 75,
    Result.UNKNOWN: 76,
    Result.NO_KEY: EXIT_CONFIG,
}
_KEY_VARIABLE = "SPEECHSENSE_API_KEY"
_A_FILE = click.Path(exists=True, dir_okay=False)


@click.command("upload")
@config_option
@click.argument("file", metavar="[F]", required=False, type=_A_FILE)
@click.option("--audio-path", metavar="F", type=_A_FILE, help="The audio, with --connection-id.")
@click.option("--meta-path", metavar="F", type=_A_FILE, help="Its metadata, JSON; without it built-in fields are sent.")
@click.option("--connection-id", metavar="C", help="Send to this connection, the fields as they are, by no folder's rules.")
@click.option("--key", metavar="K", help="An API key. Others can read a command line: $SPEECHSENSE_API_KEY is better.")
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
def upload_command(
    config_path: Path | None,
    file: str | None,
    audio_path: str | None,
    meta_path: str | None,
    connection_id: str | None,
    key: str | None,
    dry_run: bool,  # noqa: FBT001 - click hands flags over by name
) -> None:
    """Upload one recording now and print its talk id.

    F lies in a watched folder and goes by that folder's rules; those of choice (min_duration, start_from) do not hold it
    back. With --connection-id any file goes, and no configuration file is needed. What is on record already is not sent
    again. It works beside a running daemon.

    \b
    Exit codes: 0 uploaded or on record, 1 refused or unusable, 73 the queue cannot be opened,
    75 not now: try again later, 76 outcome unknown, 78 the configuration or the key is wrong.
    """
    if (file is None) == (audio_path is None):
        raise click.UsageError("Give one audio file: F, or --audio-path F.")
    audio = file or audio_path or ""
    if connection_id is None and meta_path is not None:
        raise click.UsageError("--meta-path goes with --connection-id.")
    if connection_id is not None and not connection_id.strip():
        raise click.BadParameter("expected the id of a connection.", param_hint="--connection-id")
    config = load_or_exit(config_path) if connection_id is None else config_or_own_queue(config_path)
    source = _source(audio, meta_path, connection_id, config)
    if key is not None:
        click.echo(f"Others on this machine can read the key on a command line: a file or ${_KEY_VARIABLE} keeps it.", err=True)
    if dry_run:
        _show(source, config)
        return
    ending = _send(source, config, os.environ if key is None else {_KEY_VARIABLE: key}, from_file=key is None)
    _end(ending)


def _source(audio: str, metadata: str | None, connection_id: str | None, config: Config) -> Source:
    clock = SystemClock()
    inside = placed(audio, config.folders)
    if connection_id is not None:
        return by_itself(audio, metadata, connection_id.strip(), inside, clock)
    if inside is None:
        folders = ", ".join(folder.path for folder in config.folders)
        fail(
            f"{printable(audio)} lies in none of the watched folders ({printable(folders)}): "
            "name the connection with --connection-id, and the metadata with --meta-path.",
            1,
        )
    return by_its_folder(inside, clock)


# --- showing ---------------------------------------------------------------------------------


def _show(source: Source, config: Config) -> None:
    """What would be sent, and whether it is on record; exits as the upload would where nothing can be sent."""
    try:
        with source.files.open(source.audio_file) as audio:
            finding = examine(source, audio, SystemClock().now())
            if isinstance(finding, Unfit):
                _end(unfit(finding))
            sha256 = hash_of(audio, finding.recording.audio.stamp)
    except FileTrouble as trouble:
        _end(unfit(unfit_by_trouble(trouble, "audio")))
    except Halted as halted:
        _end(Ending(result=Result.LATER, message=halted.message))
    click.echo(f"Would be sent: {printable(source.place.path)}")
    for line in preview(finding.recording, source.rules.connection_id, finding.actions):
        click.echo(f"  {line}")
    uid = uid_of(source.rules.connection_id, sha256, finding.recording.metadata.sha256)
    if (known := _known(Path(config.queue.path), uid)) is not None:
        click.echo(f"No: it is on record as job {known[0]}, talk {known[1]}, and would not be sent again.")


def _known(path: Path, uid: str) -> tuple[int, str] | None:
    """Job and talk id; None also where the queue cannot be read."""
    try:
        with closing(SqliteQueue(path, read_only=True)) as queue:
            job = on_record(queue, uid)
    except (QueueTrouble, NewerSchema):
        return None
    return (job.id, job.talk_id or "") if job else None


# --- sending ---------------------------------------------------------------------------------


def _send(source: Source, config: Config, environ: Mapping[str, str], *, from_file: bool) -> Ending:
    # Brings grpc along, which nobody should wait for who only asks what would be sent.
    from speechsense_watch.assembly import service_of  # noqa: PLC0415

    configure(LogFormat.CONSOLE, LogLevel.WARNING, sys.stderr, isatty=False)
    settings = config.speechsense
    if not from_file:
        settings = replace(settings, auth=Auth.API_KEY, api_key_file="")
    clock = SystemClock()
    try:
        service = service_of(replace(config, speechsense=settings), environ, clock, lambda: None)
    except ConfigError as error:
        fail("; ".join(str(problem) for problem in error.problems), EXIT_CONFIG)
    path = Path(config.queue.path)
    if (reason := unfit_place(path.parent)) and not config.queue.allow_network_file_system:
        fail(printable(reason), EXIT_CANNOT_OPEN)
    with closing(service):
        make_queue(path)
        with opened(path) as queue:
            examine_history(queue)
            upload = OneShot(queue, service, clock, config.upload, this_process(), owner_alive)
            with _signals(upload, service):
                return upload.run(source)


@dataclass(slots=True)
class Stopper:
    """The first signal ends what can be taken back; the second does not wait for an answer either.

    A thread of its own does that: the handler may have interrupted the holder of a lock that stopping needs, and does nothing but
    leave word.
    """

    upload: OneShot
    service: Service
    _asked: SimpleQueue[None] = field(default_factory=SimpleQueue)

    def start(self) -> None:
        threading.Thread(target=self._stop, name="stop", daemon=True).start()

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.upload.stopping = True
        self._asked.put(None)

    def _stop(self) -> None:
        self._asked.get()
        self.service.stop_uncommitted()
        self._asked.get()
        self.service.stop_all()


@contextmanager
def _signals(upload: OneShot, service: Service) -> Iterator[None]:
    stopper = Stopper(upload, service)
    stopper.start()
    before = {number: signal.signal(number, stopper) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(ending: Ending) -> NoReturn:
    if ending.message:
        click.echo(printable(ending.message), err=True)
    if ending.talk_id:
        click.echo(f"Dialog ID: {printable(ending.talk_id)}")
    sys.exit(_EXITS[ending.result])
