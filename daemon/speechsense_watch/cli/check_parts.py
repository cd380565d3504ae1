"""`check`, the rest: the queue, the key, the endpoint, one recording."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

from speechsense_watch.cli.check_folders import may_make
from speechsense_watch.cli.check_key import look_at_key, settled, token_came
from speechsense_watch.cli.placing import Inside, by_its_folder
from speechsense_watch.cli.preview import preview
from speechsense_watch.cli.report import Report
from speechsense_watch.cli.words import MEANINGS
from speechsense_watch.cli.writing import daemon_runs, user_name
from speechsense_watch.config import Auth, Config
from speechsense_watch.config.settings import QueueSettings
from speechsense_watch.core import pairing
from speechsense_watch.core.fitness import in_words
from speechsense_watch.core.model import Job, Place, Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.core.verdict import PAUSE_HINTS, Code, PauseReason
from speechsense_watch.edge import records
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.damage import damaged
from speechsense_watch.edge.disk import disk_of
from speechsense_watch.edge.opening import passing, unfit_place
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.reach import explain
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.edge.secret import SCHEMES
from speechsense_watch.named import Source
from speechsense_watch.ports import CredentialError, FileTrouble, QueueTrouble
from speechsense_watch.recording import Fit, Reader, Unfit

# What systemd/speechsense-watch.service makes by StateDirectory=.
_STATE_DIRECTORY = Path("/var/lib/speechsense-watch")
_NEARLY_NOTHING_BYTES = 4 * 2**20
_NOT_YOURS = "Give it and its directory to the service's user; if you are not that user, try again with `sudo`."


# --- the queue -------------------------------------------------------------------------------


def check_queue(queue: QueueSettings, report: Report) -> None:
    path = Path(queue.path)
    _check_lasting(queue, report)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        _check_new_queue(path, report)
        return
    except OSError as error:
        report.wrong(f"queue: {path} cannot be looked at by user {user_name()}: {error.strerror}.", _NOT_YOURS)
        return
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        report.wrong(
            f"queue: user {user_name()} may not write {path} or the directory it lies in.",
            _NOT_YOURS,
        )
        return
    try:
        with closing(SqliteQueue(path, read_only=True)) as opened_queue:
            _check_whole(opened_queue, report)
    except QueueTrouble as error:
        report.wrong(f"queue: {error}")
    except NewerSchema as error:
        report.wrong(f"queue: {path}: {error}")
    _check_room(path.parent, report)


def _check_room(path: Path, report: Report) -> None:
    disk = disk_of(path)
    if disk is not None and disk.free_bytes < _NEARLY_NOTHING_BYTES:
        report.wrong(
            f"queue: the disk that holds {path} is full.", "Make room: without a record of it nothing is sent, and all waits."
        )


def _check_whole(queue: SqliteQueue, report: Report) -> None:
    """Every page of it can be read and fits the others (PRAGMA quick_check). Raises QueueTrouble."""
    found = str(queue.rows("PRAGMA quick_check(1)")[0]["quick_check"])
    if found != "ok":
        report.wrong(f"queue: {damaged(queue.path, ' '.join(found.split()))}")
        return
    use = "in use by the daemon" if daemon_runs(queue.path) else "no daemon runs"
    report.good(f"queue: {queue.path} is in order ({use}).")


def _check_new_queue(path: Path, report: Report) -> None:
    directory = path.parent
    if directory == _STATE_DIRECTORY and not directory.exists():
        report.note(
            f"queue: {directory} does not exist yet: systemd makes it at the first start (StateDirectory=).",
            f"Without systemd: `sudo install -d -m 0700 -o {user_name()} {directory}`.",
        )
    elif may_make(directory):
        report.good(f"queue: {path} will be made at the first start.")
    else:
        report.wrong(
            f"queue: user {user_name()} cannot make {path}.",
            "Make the directory and give it to the service's user, or correct `path` under [queue].",
        )


def _check_lasting(queue: QueueSettings, report: Report) -> None:
    directory = Path(queue.path).parent
    if reason := unfit_place(directory):
        if queue.allow_network_file_system:
            report.note(f"queue: {reason}")
        else:
            report.wrong(f"queue: {reason}")
    elif reason := passing(directory):
        report.note(f"queue: {reason}")


# --- the key ---------------------------------------------------------------------------------


def check_credentials(config: Config, environ: Mapping[str, str], handed_over: Mapping[str, str], report: Report) -> bool:
    """Whether there is a key that can be shown to the service from here. It is never printed. `handed_over` are the files
    that systemd gives to the service alone, by the credential's name.
    """
    settings = config.speechsense
    if settings.auth is Auth.NONE:
        report.note('key: auth = "none", so none is shown.')
        return True
    scheme = SCHEMES.get(settings.auth)
    if scheme is not None and scheme.name in handed_over:
        file = handed_over[scheme.name]
        report.good(f"key: systemd hands the service {file} (LoadCredential=); it was not read for this check.")
        return False
    if settings.auth is Auth.VM_METADATA:
        report.note("key: tokens come from the metadata service of this machine; `check --online` asks it for one.")
        return True
    try:
        source, warnings = look_at_key(settings, environ)
    except CredentialError as error:
        report.wrong(f"key: {error}")
        return False
    report.good(f"key: found in {source}.")
    if source.startswith("$"):
        report.note("key: that is this shell's environment; the service has one of its own.")
    for warning in warnings:
        report.note(f"key: {warning}")
    return True


# --- the endpoint ----------------------------------------------------------------------------

_ONLY_AN_UPLOAD = "Only an upload proves that it may send to the connection: `speechsense-watch upload F`."


def check_endpoint(config: Config, report: Report) -> bool:
    """Whether a connection can be had: name, port, TLS."""
    settings = config.speechsense
    trouble = explain(settings.endpoint, plaintext=settings.plaintext, ca_file=settings.ca_file)
    if trouble:
        report.wrong(f"endpoint: {trouble.message}")
        return False
    how = "without encryption" if settings.plaintext else "its certificate is trusted"
    report.good(f"endpoint: {settings.endpoint} can be reached ({how}).")
    return True


def check_service(config: Config, environ: Mapping[str, str], report: Report) -> bool:
    """What the service says of the key, by a question that stores nothing. False when it is no SpeechSense that answers."""
    # Bring grpc along.
    from speechsense_watch.edge.channel import Endpoint, ask  # noqa: PLC0415

    settings = config.speechsense
    endpoint = Endpoint(settings.endpoint, settings.plaintext, settings.ca_file)
    credentials = settled(settings, environ)
    if not token_came(credentials, report):
        return True
    for connection_id, names in _connections(config).items():
        answer = ask(endpoint, credentials, connection_id)
        what = f"service, connection {connection_id} ({names})"
        match answer.code:
            case None:
                report.wrong("service: no gRPC connection came about.", "Is it SpeechSense that listens there? Check `endpoint`.")
                return False
            case Code.UNIMPLEMENTED | Code.UNAVAILABLE | Code.DEADLINE_EXCEEDED:
                unknown = answer.code is Code.UNIMPLEMENTED
                reason = PauseReason.UNIMPLEMENTED if unknown else PauseReason.UNAVAILABLE
                report.wrong(f"service: it answered {answer.code}: {answer.message}", PAUSE_HINTS[reason])
                return False
            case Code.UNAUTHENTICATED:
                report.wrong(f"service: the key was refused: {answer.message}", PAUSE_HINTS[PauseReason.KEY_REFUSED])
                return True
            case Code.NOT_FOUND:
                report.wrong(f"{what}: {answer.message}", PAUSE_HINTS[PauseReason.CONNECTION_NOT_FOUND])
            case Code.OK:
                report.good(f"{what}: it answers and takes the key for reading.")
            case code:
                report.note(f"{what}: it answers; asked for reading it says {code}, which a key for uploads alone may get.")
    report.detail(_ONLY_AN_UPLOAD)
    return True


def _connections(config: Config) -> dict[str, str]:
    """The folders' names by connection."""
    found: dict[str, list[str]] = {}
    for folder in config.folders:
        found.setdefault(folder.connection_id, []).append(folder.name)
    return {connection_id: ", ".join(names) for connection_id, names in found.items()}


# --- one recording ---------------------------------------------------------------------------


def check_recording(inside: Inside, queue_path: Path, report: Report) -> None:
    """What would be sent of it, or why it would not be."""
    clock = SystemClock()
    source = by_its_folder(inside, clock)
    folder = inside.folder
    report.good(f"It lies in folder {folder.name}: {folder.path}")
    report.detail(f"audio: {source.audio_file}")
    report.detail(f"metadata: {source.metadata_file or _no_metadata(folder, source.audio_file)}")
    job, since = _on_record(queue_path, source.place, folder)
    if job is not None:
        report.note(f"On record as job {job.id}: {job.state}, {MEANINGS[job.state]}.", f"`speechsense-watch show {job.id}`")
    for rule in _left_alone(source, folder, since):
        report.note(rule, "`speechsense-watch upload` sends it all the same.")
    finding = Reader(source.files, folder, source.sources).examine(source.audio_file, source.metadata_file)
    match finding:
        case Fit(recording, actions):
            report.good("It can be sent; this is what would be:")
            for line in preview(recording, folder.connection_id, actions):
                report.detail(line)
        case Unfit(fate, problem, otherwise=Fit(recording, actions)):
            report.note(f"It would wait ({fate.value}): {problem.message}", problem.hint)
            report.good(f"Without it, after {_patience(folder, problem)}, this would be sent:")
            for line in preview(recording, folder.connection_id, actions):
                report.detail(line)
        case Unfit(fate, problem, otherwise=Unfit(then, later)):
            report.note(f"It would wait ({fate.value}): {problem.message}", problem.hint)
            after = f"Without it, after {_patience(folder, problem)}, it would not be sent ({then.value.replace('_', ' ')})"
            report.wrong(f"{after}: {later.message}", later.hint)
        case Unfit(fate, problem):
            report.wrong(f"It would not be sent as it is ({fate.value.replace('_', ' ')}): {problem.message}", problem.hint)


def _patience(folder: Folder, problem: Problem) -> str:
    return in_words(folder.cdr.wait_s if problem.reason is Reason.CALL_RECORD_MISSING else folder.abandon_after_s)


def _no_metadata(folder: Folder, audio: str) -> str:
    expected = pairing.metadata_path(folder, audio)
    return "in no file of its own (`metadata` is empty)" if expected is None else f"none at {expected}"


def _left_alone(source: Source, folder: Folder, since: datetime | None) -> list[str]:
    """The rules by which the daemon would not look at it at all."""
    path, rules = source.audio_file, []
    if pairing.ignored(path):
        rules.append("Its name is one that programs give to files they have not finished, so the daemon waits for another.")
    elif not pairing.is_audio(folder, path):
        rules.append(f"Its name matches no pattern of `audio` ({', '.join(folder.audio)}).")
    if not pairing.chosen(folder, path):
        rules.append("`include` and `exclude` leave it out.")
    if not folder.recursive and "/" in path:
        rules.append("It lies in a subfolder, and `recursive` is false.")
    try:
        mtime_ns = source.files.look(path).mtime_ns
    except FileTrouble:
        return rules
    if since is not None and mtime_ns < since.timestamp() * 1e9:
        rules.append(f"It is older than `start_from` ({since.astimezone():%Y-%m-%d %H:%M}).")
    return rules


def _on_record(path: Path, place: Place, folder: Folder) -> tuple[Job | None, datetime | None]:
    """The job of the place, and since when recordings of the folder are taken; None for what the queue does not tell."""
    since = folder.start_from if isinstance(folder.start_from, datetime) else None
    try:
        with records.opened(path) as queue:
            if folder.start_from == "now":
                since = queue.first_watched(folder.name, folder.path)
            return next(iter(queue.at_path(place.folder, place.path)), None), since
    except (QueueTrouble, NewerSchema, records.NotReadable):
        return None, since
