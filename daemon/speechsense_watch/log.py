"""The log: one line per event, from a closed list of events, in UTC.

Values are made safe on the way out: control characters (a file's name may hold any) are escaped, so that nobody can
forge a line; what looks like a key or token is hidden, and so are telephone numbers and the fields of a call
(`core.masking`). `show` and `list` tell the operator everything; a log goes further than that, and names recordings by number.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, TextIO

import structlog

from speechsense_watch.config import LogFormat, LogLevel
from speechsense_watch.core.masking import HIDDEN, IDENTIFIERS, PERSONAL_KEYS, masked, without_quotes


class Event(StrEnum):
    """Everything that the daemon ever logs; the sentence to an event stands in its values."""

    DAEMON_STARTED = "daemon_started"
    DAEMON_STOPPING = "daemon_stopping"
    DAEMON_STOPPED = "daemon_stopped"
    CONFIG_RELOADED = "config_reloaded"
    CONFIG_REJECTED = "config_rejected"
    CONFIG_WARNING = "config_warning"
    FOLDER_WATCHING = "folder_watching"
    FOLDER_DOWN = "folder_down"
    FOLDER_BACK = "folder_back"
    DIRECTORIES_LINKED = "directories_linked"
    SCAN_FINISHED = "scan_finished"
    RECORDING_READY = "recording_ready"
    RECORDING_UNUSABLE = "recording_unusable"
    RECORDING_WAITING = "recording_waiting"
    RECORDING_SKIPPED = "recording_skipped"
    RECORDING_LOST = "recording_lost"
    RULED_OUT = "ruled_out"
    ATTEMPT_FINISHED = "attempt_finished"
    ATTEMPT_STALE = "attempt_stale"
    CHANGED_AFTER_UPLOAD = "changed_after_upload"
    ON_UNKNOWN = "on_unknown"
    LOOKED_UP = "looked_up"
    LOOK_UP_FAILED = "look_up_failed"
    ORPHAN_FOUND = "orphan_found"
    QUEUE_SUSPICIOUS = "queue_suspicious"
    QUEUE_GONE = "queue_gone"
    SERVICE_PAUSED = "service_paused"
    SERVICE_RESUMED = "service_resumed"
    FILED = "filed"
    FILING_FAILED = "filing_failed"
    LOOP_FAILED = "loop_failed"
    LOOP_RECOVERED = "loop_recovered"
    LOOP_STALLED = "loop_stalled"
    CLOCK_JUMPED = "clock_jumped"
    HISTORY_TRIMMED = "history_trimmed"
    JOURNAL_FILLED = "journal_filled"
    AUTH_REFRESHED = "auth_refreshed"
    LIBRARY = "library"
    AUTH_FAILED = "auth_failed"


class Log:
    """Writes events. `bind` gives a log whose lines all carry the values bound."""

    def __init__(self, bound: Mapping[str, object] | None = None) -> None:
        self._bound = dict(bound or {})

    def bind(self, **values: object) -> Log:
        return Log(self._bound | values)

    def debug(self, event: Event, **values: object) -> None:
        self._write("debug", event, values)

    def info(self, event: Event, **values: object) -> None:
        self._write("info", event, values)

    def warning(self, event: Event, **values: object) -> None:
        self._write("warning", event, values)

    def error(self, event: Event, **values: object) -> None:
        self._write("error", event, values)

    def exception(self, event: Event, **values: object) -> None:
        """An error line with the exception that is being handled and its whole traceback."""
        self._write("error", event, values | {"exception": sys.exception()})

    def _write(self, level: str, event: Event, values: dict[str, object]) -> None:
        # Asked for anew on each line, so that a log made before `configure` obeys it too.
        getattr(structlog.get_logger(), level)(event.value, **(self._bound | values))


def logger() -> Log:
    return Log()


def configure(format: LogFormat, level: LogLevel, stream: TextIO, isatty: bool) -> None:  # noqa: A002, FBT001
    """From here on all logs write to `stream`, from `level` up; `auto` means for people on a terminal, else JSON.

    May be called again at any time, as a reload does.
    """
    for_people = format is LogFormat.CONSOLE or (format is LogFormat.AUTO and isatty)
    unicode_stream = (stream.encoding or "").lower().replace("-", "") == "utf8"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _Cleaner(ascii_only=not unicode_stream, unfold_tracebacks=for_people),
            _in_order,
            _console_renderer(colors=isatty)
            if for_people
            else structlog.processors.JSONRenderer(ensure_ascii=not unicode_stream),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        context_class=dict,
        # It flushes line by line, under a lock per stream.
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )


# watchdog writes whole paths; what there is to say of its work stands in FOLDER_WATCHING.
_TOLD_OTHERWISE = frozenset({"watchdog"})


class _FromLibraries(logging.Handler):
    """What a library warns of becomes an event like any other."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] in _TOLD_OTHERWISE:
            return
        values: dict[str, object] = {"library": record.name, "message": without_quotes(record.getMessage())}
        if record.exc_info and record.exc_info[1] is not None:
            values["exception"] = record.exc_info[1]
        level = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(structlog.get_logger(), level)(Event.LIBRARY.value, **values)


def take_over() -> None:
    """From here on nothing of this process reaches the log past `configure`: neither what libraries log and warn of, nor an
    exception that ends a thread or the program, or that nobody can catch.
    """
    logging.root.handlers = [_FromLibraries(logging.WARNING)]
    logging.captureWarnings(capture=True)
    threading.excepthook = lambda ended: _died(ended.exc_value, ended.thread.name if ended.thread else "")
    sys.excepthook = lambda _kind, error, _trace: _died(error, "main")
    # What nobody can catch, as when a generator is thrown away.
    sys.unraisablehook = lambda ignored: _died(ignored.exc_value, threading.current_thread().name)


def _died(error: BaseException | None, thread: str) -> None:
    if error is not None and not isinstance(error, SystemExit):
        Log().error(Event.LOOP_FAILED, loop=thread, exception=error)


def _console_renderer(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    """Tracebacks follow their line, indented, so that nothing in them can pass for a line of the log."""
    return structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="at", sort_keys=False, pad_event_to=22)


_FIRST = ("at", "level", "event")


def _in_order(_logger: Any, _method: str, values: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """When, how bad and what come first, the rest as the caller gave it."""
    return {key: values[key] for key in _FIRST if key in values} | {k: v for k, v in values.items() if k not in _FIRST}


# --- what may not go out as it is ------------------------------------------------------------

_SECRET_KEY = re.compile(r"(?:^|_)(?:authorization|api_?key|token|secret|password|private_key)$")
# Of a header of a request. The file that a key lies in is called so as well: what follows its path is a word of ours.
_SECRET_TEXT = re.compile(r"(?<![\w/])(Api-Key|Bearer)\s+[^\s'\",;)\]}]+", re.IGNORECASE)


class _Cleaner:
    """Turns every value into one that can be written: plain, printable, without secrets."""

    def __init__(self, *, ascii_only: bool, unfold_tracebacks: bool) -> None:
        self._ascii_only = ascii_only
        self._unfold_tracebacks = unfold_tracebacks

    def __call__(self, _logger: Any, _method: str, values: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return self._mapping(values)

    def _mapping(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        return {self._key(str(key)): self._under(str(key), value) for key, value in values.items()}

    def _key(self, key: str) -> str:
        return self._printable(_key_masked(key))

    def _under(self, key: str, value: object) -> object:
        if _is_secret(key) or (key in PERSONAL_KEYS and value is not None):
            return HIDDEN
        if key in IDENTIFIERS and isinstance(value, str):
            return self._printable(_without_secrets(value))
        return self._value(value)

    def _value(self, value: object) -> object:
        match value:
            case None | bool() | int() | float():
                return value
            case StrEnum():
                return value.value  # a word of ours
            case datetime():
                return value.astimezone(UTC).isoformat()
            case Mapping():
                return self._mapping(value)
            case list() | tuple() | set() | frozenset():
                return [self._value(item) for item in value]
            case BaseException():
                lines = _traceback_of(value).rstrip().split("\n")
                if self._unfold_tracebacks:
                    return "\n".join("    " + self._text(line) for line in lines)
                return self._text("\n".join(lines))
            case bytes():
                return self._text(value.decode(errors="surrogateescape"))
            case _:
                return self._text(str(value))

    def _text(self, text: str) -> str:
        return self._printable(masked(_without_secrets(text)))

    def _printable(self, text: str) -> str:
        if text.isascii() and text.isprintable():
            return text
        return "".join(character if self._fits(character) else _escaped(character) for character in text)

    def _fits(self, character: str) -> bool:
        return character.isprintable() and (character.isascii() or not self._ascii_only)


def _traceback_of(error: BaseException) -> str:
    """As Python tells it, those that led to it first; but without what they quote, which may be anything of a call."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{_traceback_of(earlier)}\n{_CAUSED if error.__cause__ else _DURING}\n\n" if earlier else ""
    frames = traceback.format_tb(error.__traceback__)
    opening = ["Traceback (most recent call last):\n"] if frames else []
    said = [without_quotes(line) for line in traceback.format_exception_only(error)]
    return before + "".join([*opening, *frames, *said])


_CAUSED = "The above exception was the direct cause of the following exception:"
_DURING = "During handling of the above exception, another exception occurred:"


def _without_secrets(text: str) -> str:
    # Two looks for a word instead of an expression at every letter: of all texts that are logged next to none holds one.
    lowered = text.lower()
    return _SECRET_TEXT.sub(rf"\1 {HIDDEN}", text) if "api-key" in lowered or "bearer" in lowered else text


# A few dozen words of ours, a million times.
@lru_cache(maxsize=256)
def _key_masked(key: str) -> str:
    return masked(_without_secrets(key))


@lru_cache(maxsize=256)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key.lower().replace("-", "_")) is not None


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
