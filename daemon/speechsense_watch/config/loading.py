"""From the file to `Config`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from speechsense_watch.config.checks import check_folders, check_speechsense, check_upload
from speechsense_watch.config.findings import Findings
from speechsense_watch.config.lines import KeyPath, Lines
from speechsense_watch.config.literals import shown
from speechsense_watch.config.reading import anchor, override, read_section, read_table, read_top
from speechsense_watch.config.settings import (
    Config,
    ConfigError,
    ConfigProblem,
    LogSettings,
    QueueSettings,
    SpeechSense,
)
from speechsense_watch.config.zones import moment
from speechsense_watch.core.rules import CallRecordRules, Folder, SearchScope, UploadRules

DEFAULT_PATH = Path("/etc/speechsense-watch/config.toml")
_LARGEST_FILE_BYTES = 2**20


def find(path_option: str | Path | None, environ: Mapping[str, str]) -> Path:
    """The file to load: the one named on the command line, else by $SPEECHSENSE_WATCH_CONFIG, else in /etc."""
    return Path(path_option or environ.get("SPEECHSENSE_WATCH_CONFIG") or DEFAULT_PATH)


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration, valid as a whole. Raises ConfigError with everything that is wrong with it."""
    return loads(_read(path), path, environ)


def loads(text: str, path: Path, environ: Mapping[str, str]) -> Config:
    """The same for a text that was read already. Raises ConfigError."""
    document = _parse(text, path)
    findings = Findings(Lines(text))
    override(document, environ, findings)
    anchor(document, path.absolute().parent)
    read_top(document, findings)
    speechsense = SpeechSense(**read_section(document, "speechsense", findings))
    queue = QueueSettings(**read_section(document, "queue", findings))
    upload = UploadRules(**read_section(document, "upload", findings))
    log = LogSettings(**read_section(document, "log", findings))
    folders = _folders(document, findings)
    check_speechsense(speechsense, findings)
    check_upload(upload, findings)
    check_folders(folders, queue, findings)
    findings.raise_if_any()
    return Config(
        path=path,
        speechsense=speechsense,
        queue=queue,
        upload=upload,
        log=log,
        folders=folders,
        warnings=tuple(findings.warnings),
    )


def without_file(environ: Mapping[str, str], queue_path: Path) -> Config:
    """What holds on a machine without the file: defaults, the environment's overrides, a queue there unless these name
    another, no folders. Raises ConfigError.
    """
    document: dict[str, Any] = {}
    findings = Findings(Lines(""))
    override(document, environ, findings)
    document["queue"] = {"path": str(queue_path)} | document.get("queue", {})
    speechsense = SpeechSense(**read_section(document, "speechsense", findings))
    queue = QueueSettings(**read_section(document, "queue", findings))
    upload = UploadRules(**read_section(document, "upload", findings))
    log = LogSettings(**read_section(document, "log", findings))
    check_speechsense(speechsense, findings)
    check_upload(upload, findings)
    findings.raise_if_any()
    nowhere = Path("the environment")
    return Config(path=nowhere, speechsense=speechsense, queue=queue, upload=upload, log=log, folders=())


def _folders(document: Mapping[str, Any], findings: Findings) -> tuple[Folder, ...]:
    tables = document.get("folders", [])
    if isinstance(tables, dict):
        findings.problem(("folders",), "expected [[folders]] with two brackets, for there may be many; got [folders]")
        return ()
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        findings.problem(("folders",), f"expected blocks [[folders]], got {shown(tables)}")
        return ()
    if not tables:
        findings.problem(("folders",), "there is no [[folders]] block, so nothing would be watched; add one")
    folders = [_folder(table, ("folders", number), findings) for number, table in enumerate(tables)]
    return tuple(replace(folder, inner=_inside(folder, folders)) for folder in folders)


def _inside(outer: Folder, folders: Sequence[Folder]) -> tuple[str, ...]:
    """The other folders' roots below this one's, relative to it."""
    prefix = f"{outer.path}/"
    return tuple(sorted({folder.path.removeprefix(prefix) for folder in folders if folder.path.startswith(prefix)}))


def _folder(table: Mapping[str, Any], at: KeyPath, findings: Findings) -> Folder:
    """The folder as far as it could be read: a required value that is wrong is empty here, and a problem."""
    values = {"path": "", "connection_id": "", "start_from": "now"} | read_table(table, "folders", at, findings)
    if isinstance(values["start_from"], date):
        values["start_from"] = moment(values["start_from"], values["time_zone"])
    values["name"] = values["name"] or values["path"].rpartition("/")[2]
    if values["path"] == "/":
        findings.problem((*at, "path"), "expected a folder for recordings, got the root of the whole system")
    values["search"] = SearchScope(**_subtable(table, "search", 'organization_id = "...", space_id = "..."', at, findings))
    values["cdr"] = CallRecordRules(**_subtable(table, "cdr", 'csv = "/var/log/asterisk/cdr-csv/Master.csv"', at, findings))
    return Folder(**values)


def _subtable(table: Mapping[str, Any], name: str, example: str, at: KeyPath, findings: Findings) -> dict[str, Any]:
    inner = table.get(name, {})
    if not isinstance(inner, dict):
        findings.problem((*at, name), f"expected a table such as {{ {example} }}, got {shown(inner)}")
        inner = {}
    return read_table(inner, f"folders.{name}", (*at, name), findings)


def _read(path: Path) -> str:
    """The text of the file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise _failure(path, _advice(error)) from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise _failure(path, "is larger than 1 MiB: is it the right file?")
    try:
        # A byte order mark is what some editors leave in front of it.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _failure(path, f"line {line} is not UTF-8: save the file in that encoding") from error


def _advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            "there is no such file; `speechsense-watch check --sample` prints one to begin with, "
            "--config or $SPEECHSENSE_WATCH_CONFIG name another"
        )
    if isinstance(error, PermissionError):
        return "this user may not read it: try again with `sudo`, or give the user's group the right to read it"
    if isinstance(error, IsADirectoryError):
        return "is a directory: name the file in it"
    return f"cannot be read: {error.strerror or type(error).__name__}"


def _parse(text: str, path: Path) -> dict[str, Any]:
    """The document as tomllib sees it. Raises ConfigError with the one place at which it stopped."""
    try:
        # tomllib takes "\n" and "\r\n" alike.
        return tomllib.loads(text)
    except RecursionError as error:
        raise _failure(path, "nests tables or lists too deeply") from error
    except ValueError as error:
        # TOMLDecodeError is one; so is what int() says of a number with thousands of digits.
        message = str(error)
        position = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        at_line = f"line {position[1]}, column {position[2]}" if position and position[1] else "end of the file"
        cause = message[: position.start()] if position else "a value that cannot be read"
        raise _failure(
            path,
            f"{at_line}: this is not TOML ({cause}); texts, paths, durations and sizes stand in quotes, one key to a line",
        ) from error


def _failure(path: Path, message: str) -> ConfigError:
    return ConfigError((ConfigProblem(str(path), message),))
