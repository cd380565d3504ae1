"""log: one safe line per event, from a closed list."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.config import LogFormat, LogLevel
from speechsense_watch.log import Event, configure, logger

PACKAGE = Path(__file__).parents[2] / "daemon" / "speechsense_watch"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class Stream(io.StringIO):
    """A text stream that says its encoding."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self.__dict__["encoding"] = encoding

    encoding = "utf-8"


def to_json(level: LogLevel = LogLevel.INFO) -> io.StringIO:
    stream = Stream()
    configure(LogFormat.JSON, level, stream, isatty=False)
    return stream


def test_an_event_is_one_line_of_json_with_time_and_level_first() -> None:
    """Times are UTC; the rest stands as the caller gave it."""
    stream = to_json()
    logger().info(Event.FILED, job=7, folder="продажи", to=None, took_s=0.5, kept=True)
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert list(told) == ["at", "level", "event", "job", "folder", "to", "took_s", "kept"]
    assert datetime.fromisoformat(told["at"]).utcoffset() == timedelta(0)
    assert (told["level"], told["event"]) == ("info", "filed")
    assert (told["job"], told["folder"], told["to"], told["took_s"], told["kept"]) == (7, "продажи", None, 0.5, True)
    assert "продажи" in line


@pytest.mark.parametrize(
    ("form", "isatty", "is_json"),
    [
        (LogFormat.AUTO, False, True),
        (LogFormat.AUTO, True, False),
        (LogFormat.JSON, True, True),
        (LogFormat.CONSOLE, False, False),
    ],
)
def test_auto_writes_for_people_on_a_terminal_only(form: LogFormat, *, isatty: bool, is_json: bool) -> None:
    """Colours appear on a terminal only, whatever the format."""
    stream = Stream()
    configure(form, LogLevel.INFO, stream, isatty)
    logger().warning(Event.FOLDER_DOWN, folder="a")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.startswith("{") == is_json
    assert "folder_down" in text
    assert ("\x1b[" in text) == (isatty and not is_json)


@pytest.mark.parametrize(
    ("level", "written"),
    [
        (LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (LogLevel.INFO, ["info", "warning", "error"]),
        (LogLevel.WARNING, ["warning", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
def test_the_level_decides_what_is_written(level: LogLevel, written: list[str]) -> None:
    """A log that was made before a change of the level obeys it."""
    early = logger().bind(loop="intake").bind(folder="a")
    stream = to_json(level)
    early.debug(Event.SCAN_FINISHED)
    early.info(Event.SCAN_FINISHED)
    early.warning(Event.SCAN_FINISHED)
    early.error(Event.SCAN_FINISHED)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["level"] for line in told] == written
    assert {(line["loop"], line["folder"]) for line in told} == {("intake", "a")}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a\nb", "a\\nb"),
        ("a\x1b[31m\x07", "a\\x1b[31m\\x07"),
        ("caf\udce9.wav", "caf\\udce9.wav"),
        ("left\u202eright\u2028", "left\\u202eright\\u2028"),
        ("Иванов.wav", "Иванов.wav"),
        (b"\xff\n", "\\udcff\\n"),
        (Path("/a\nb"), "/a\\nb"),
        (Event.FILED, "filed"),
        (("a\n", 1, {"b\n": None}), ["a\\n", 1, {"b\\n": None}]),
        (datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=3))), "2026-01-01T00:00:00+00:00"),
    ],
)
def test_values_are_written_plain_and_printable(value: object, written: object) -> None:
    """Whatever a file is called, it cannot forge a line or paint a terminal."""
    stream = to_json()
    logger().info(Event.FILED, value=value)
    assert json.loads(stream.getvalue())["value"] == written


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
@given(value=st.text())
def test_no_value_makes_a_second_line(form: LogFormat, value: str) -> None:
    """One event, one line, for any text at all."""
    stream = Stream()
    configure(form, LogLevel.INFO, stream, isatty=False)
    logger().info(Event.FILED, value=value)
    assert len(stream.getvalue().splitlines()) == 1
    stream.getvalue().encode()


def test_a_stream_that_cannot_write_every_letter_gets_ascii() -> None:
    """A service without a locale must not fail at a Cyrillic name."""
    for form in (LogFormat.JSON, LogFormat.CONSOLE):
        stream = Stream("ascii")
        configure(form, LogLevel.INFO, stream, isatty=False)
        logger().info(Event.FILED, folder="зал")
        stream.getvalue().encode("ascii")
        assert "\\u0437" in stream.getvalue()


@pytest.mark.parametrize("key", ["authorization", "api_key", "token", "iam_token", "Api-Key", "password"])
def test_values_of_secret_keys_are_hidden(key: str) -> None:
    """At any depth."""
    stream = to_json()
    logger().info(Event.AUTH_REFRESHED, **{key: "AQVNtop"}, more={key: ["AQVNtop"]})
    assert "AQVNtop" not in stream.getvalue()
    told = json.loads(stream.getvalue())
    assert told[key] == told["more"][key] == "[hidden]"


def test_a_header_inside_a_text_is_hidden() -> None:
    """An error of a library may repeat what it was given."""
    stream = to_json()
    logger().info(Event.ATTEMPT_FINISHED, message="metadata was illegal: ('authorization', 'Bearer t1.9eu') or Api-Key AQVN")
    told = json.loads(stream.getvalue())["message"]
    assert told == "metadata was illegal: ('authorization', 'Bearer [hidden]') or Api-Key [hidden]"


def fail(message: str) -> None:
    raise ValueError(message)


def test_an_exception_is_told_with_its_traceback_on_one_line() -> None:
    """Nothing of it is swallowed."""
    stream = to_json()
    try:
        fail("bad\nnews")
    except ValueError:
        logger().exception(Event.LOOP_FAILED, loop="filer")
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["level"], told["event"], told["loop"]) == ("error", "loop_failed", "filer")
    assert told["exception"].startswith("Traceback (most recent call last):\\n")
    assert told["exception"].endswith("ValueError: bad\\nnews")


def test_on_a_terminal_a_traceback_follows_its_line_indented() -> None:
    """People can read it, and no line of it can pass for one of the log."""
    stream = Stream()
    configure(LogFormat.CONSOLE, LogLevel.INFO, stream, isatty=False)
    try:
        fail("bad\n2026-01-01 [info] forged\x1b[2J")
    except ValueError:
        logger().exception(Event.LOOP_FAILED)
    first, *rest = stream.getvalue().splitlines()
    assert "loop_failed" in first
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in stream.getvalue()


# --- the closed list -------------------------------------------------------------------------

_METHODS = {"debug", "info", "warning", "error", "critical", "exception", "msg"}


def bare_logging(source: str) -> list[str]:
    """What in a module's source goes past the closed list of events."""
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"line {node.lineno}: imports structlog" for name in modules if name.split(".")[0] == "structlog"]  # type: ignore[attr-defined]
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        receiver = ast.unparse(node.func.value).lower().removesuffix("()").rpartition(".")[2].strip("_")
        if node.func.attr in _METHODS and receiver.endswith(("log", "logger", "logging")):
            event = node.args[0] if node.args else None
            if not isinstance(event, ast.Attribute | ast.Name | ast.IfExp):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("self._log.info('it went well')", True),
        ("log.warning(f'job {job}')", True),
        ("logging.error('a' + b)", True),
        ("logger().info('x')", True),
        ("self.log.info()", True),
        ("import structlog", True),
        ("from structlog.stdlib import get_logger", True),
        ("self._log.info(Event.FILED, job=1)", False),
        ("parser.error('no such file')", False),
        ("import logging", False),
    ],
)
def test_a_bare_text_in_the_log_is_noticed(source: str, *, caught: bool) -> None:
    """The scan below would see it."""
    assert bool(bare_logging(source)) == caught


@pytest.mark.parametrize(
    "module", sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "log.py"), ids=lambda path: path.stem
)
def test_every_module_logs_events_of_the_closed_list_only(module: Path) -> None:
    """What an administrator searches for exists in one place."""
    assert bare_logging(module.read_text(encoding="utf-8")) == []
