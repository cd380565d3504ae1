"""log: one safe line per event, from a closed list."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.config import LogFormat, LogLevel
from speechsense_watch.log import Event, configure, logger, take_over

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


def test_the_path_of_the_key_hides_no_word_after_it() -> None:
    """It is called as the header is."""
    stream = to_json()
    said = "There is no API key: neither /etc/x/api-key nor $Y exists."
    logger().info(Event.ATTEMPT_FINISHED, message=said)
    assert json.loads(stream.getvalue())["message"] == said


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (
            "illegal: ('authorization', 'Bearer t1.9eu') or Api-Key AQVN",
            "illegal: ('authorization', 'Bearer [hidden]') or Api-Key [hidden]",
        ),
        ("illegal: ('authorization', 'Bearer t1.9eu')", "illegal: ('authorization', 'Bearer [hidden]')"),
        ("illegal: BEARER t1.9eu", "illegal: BEARER [hidden]"),
        ("illegal: api-key AQVN", "illegal: api-key [hidden]"),
    ],
)
def test_a_header_inside_a_text_is_hidden(said: str, written: str) -> None:
    """An error of a library may repeat what it was given."""
    stream = to_json()
    logger().info(Event.ATTEMPT_FINISHED, message=said)
    told = json.loads(stream.getvalue())["message"]
    assert told == written


NUMBER = "79161234567"


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
@pytest.mark.parametrize(
    "value",
    [
        f"out-{NUMBER}-201-20250424-143419-1745493259.123.wav",
        Path(f"/in/{NUMBER}.wav"),
        NUMBER.encode(),
        [NUMBER, {"a": (NUMBER,)}],
        {f"in {NUMBER}": 1},
        ValueError(f"bad number {NUMBER}"),
    ],
    ids=["text", "path", "bytes", "deep", "key", "exception"],
)
def test_a_telephone_number_never_stands_in_the_log(form: LogFormat, value: object) -> None:
    """Wherever in a value it is; its last two digits do."""
    stream = Stream()
    configure(form, LogLevel.INFO, stream, isatty=False)
    logger().info(Event.FILED, value=value)
    assert NUMBER not in stream.getvalue()
    assert "*********67" in stream.getvalue()


def test_what_the_program_names_things_by_is_shown_whole() -> None:
    """Of a request the service's support asks for every digit."""
    stream = to_json()
    names = {"scope": "eag1234567890", "talk_id": "20000000000001", "server_request_id": "0123456789"}
    logger().info(Event.ATTEMPT_FINISHED, job=12345678901, bytes=461_000_000, **names)
    told = json.loads(stream.getvalue())
    assert {key: told[key] for key in names} == names
    assert (told["job"], told["bytes"]) == (12345678901, 461_000_000)


@pytest.mark.parametrize("key", ["fields", "metadata", "operator_name", "client_name"])
def test_the_fields_of_a_call_are_hidden(key: str) -> None:
    """Should they ever be handed to the log; at any depth."""
    stream = to_json()
    logger().info(Event.FILED, **{key: {"a": "Анна"}}, more=[{key: "Анна"}])
    assert "Анна" not in stream.getvalue()
    assert json.loads(stream.getvalue())[key] == "[hidden]"


# Not in the lines that a traceback shows of this file.
PEOPLE = ("Иванов Иван", "cannot read 'Анна\n  File \"x\", line 1' at all")


def test_an_exception_does_not_tell_what_it_was_given() -> None:
    """Neither it nor those that led to it; where it happened stands there all the same."""
    stream = to_json()
    known: dict[str, int] = {}
    name, message = PEOPLE
    try:
        try:
            known[name]
        except KeyError:
            fail(message)
    except ValueError:
        logger().exception(Event.LOOP_FAILED)
    told = json.loads(stream.getvalue())["exception"]
    assert "Иванов" not in told
    assert "Анна" not in told
    assert "KeyError: [hidden]" in told
    assert "During handling of the above exception" in told
    assert told.endswith("ValueError: cannot read [hidden] at all")


@pytest.fixture
def _taken_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    take_over()
    yield
    logging.captureWarnings(capture=False)


@pytest.mark.usefixtures("_taken_over")
@pytest.mark.filterwarnings("default")
def test_what_libraries_say_is_told_by_the_same_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """Their warnings and errors, with numbers and what they quote hidden; nothing else reaches the terminal."""
    stream = to_json()
    logging.getLogger("grpc.somewhere").warning("cannot send %r to %s", "Анна", NUMBER)
    logging.getLogger("grpc.somewhere").info("nothing to say")
    try:
        fail(f"of {NUMBER}")
    except ValueError:
        logging.getLogger("concurrent.futures").exception("exception calling callback")
    logging.getLogger("watchdog.observers").warning("below /in/%s", NUMBER)
    warnings.warn(f"number {NUMBER} is old", UserWarning, stacklevel=1)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {line["event"] for line in told} == {"library"}
    assert [line["library"] for line in told] == ["grpc.somewhere", "concurrent.futures", "py.warnings"]
    assert told[0]["message"] == "cannot send [hidden] to *********67"
    assert told[1]["exception"].endswith("ValueError: of *********67")
    assert NUMBER not in stream.getvalue()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("_taken_over")
def test_a_thread_that_ends_by_an_exception_is_told_by_the_same_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """And so is the program."""
    stream = to_json()
    thread = threading.Thread(target=fail, args=(NUMBER,), name="explain")
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError(NUMBER), None)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["loop"]) for line in told] == [("loop_failed", "explain"), ("loop_failed", "main")]
    assert NUMBER not in stream.getvalue()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("_taken_over")
def test_an_exception_that_nobody_can_catch_is_told_by_the_same_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """Python writes such a one to the terminal and goes on."""

    class Leaving:
        def __del__(self) -> None:
            fail(NUMBER)

    stream = to_json()
    Leaving()
    assert json.loads(stream.getvalue())["event"] == "loop_failed"
    assert NUMBER not in stream.getvalue()
    assert capsys.readouterr() == ("", "")


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
