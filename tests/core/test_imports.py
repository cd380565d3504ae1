"""Who may import whom, and who may ask the machine for the time: the rules that keep each decision testable by itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sources import PACKAGE, modules

# What each layer may import of ours, in the order cli -> app -> loops and edge -> ports, config, log -> core. Whatever lies
# in the package's top folder and is not named here is a loop or a part of one: it sees ports and never an edge.
LAYERS = {
    "core": {"core"},
    "config": {"core", "config"},
    "log": {"core", "config", "log"},
    "ports": {"core", "ports"},
    "loops": {"core", "config", "log", "ports", "loops"},
    "edge": {"core", "config", "log", "ports", "edge"},
    "app": {"core", "config", "log", "ports", "loops", "edge", "app"},
    # The stand-in is a program of its own, so that it proves something of ours.
    "standin": {"standin"},
    "demo": {"core", "config", "log", "ports", "edge", "standin", "demo"},
    "cli": {"core", "config", "log", "ports", "loops", "edge", "app", "standin", "demo", "cli"},
    "__main__": {"cli"},
    "__init__": set(),
}
COMPOSITION = {"app", "assembly"}
# Modules that compute and hold; zoneinfo reads nothing but the time zone database, expat nothing but the text it is handed.
VALUES = {
    "__future__",
    *("collections", "collections.abc", "dataclasses", "datetime", "enum", "fnmatch", "functools", "hashlib", "itertools"),
    *("array", "json", "math", "posixpath", "re", "shlex", "struct", "types", "typing", "zoneinfo"),
    *("xml.parsers", "xml.parsers.expat"),
}
# Everything foreign is wrapped in one place; the stand-in and the demo are worlds of their own.
FOREIGN = {
    "grpc": {"edge/speechsense.py", "edge/channel.py"},
    "yandex": {"edge/speechsense.py", "edge/channel.py", "edge/messages.py"},
    "google": {"edge/retry_info.py"},
    "sqlite3": {"edge/writing.py", "edge/queue_file.py", "edge/schema.py"},
    "sqlite_utils": {"edge/queue_file.py", "edge/schema.py"},
    "watchdog": {"edge/supervisor.py"},
    "structlog": {"log.py"},
    "ctypes": {"edge/syscalls.py", "edge/allocator.py"},
    "random": {"assembly.py"},
    "xml": {"core/sidecar_xml.py"},
    "jwt": {"edge/service_account.py"},
    "http": {"edge/vm_metadata.py"},
    "time": {"edge/clock.py", "edge/speechsense.py", "edge/channel.py"},
}
ASKS_THE_CLOCK = {"edge/clock.py"}
CATCHES_ANYTHING = {
    "loop.py",  # the runner of the loops
    "workers.py",  # a worker must always hand back what it was given
    "edge/supervisor.py",  # nothing may leave a handler on watchdog's thread, it would end it
    "cli/run.py",  # the process: it ends whatever its threads are at
}
OWN_WORLDS = ("standin/", "demo/")


def layer_of(name: str) -> str:
    """Of a dotted module below the package, or of a path in it: "edge.queue" and "edge/queue.py" are "edge"."""
    first = name.replace("/", ".").removesuffix(".py").partition(".")[0]
    return "app" if first in COMPOSITION else first if first in LAYERS else "loops"


def imports_of(source: str) -> Iterator[str]:
    """Every module the source imports, wherever in it: `from a import b` is both "a" and "a.b"."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def broken_import_rules(path: str, source: str) -> list[str]:
    """What the module at `path`, below the package, imports and must not."""
    broken = []
    layer, own_world = layer_of(path), path.startswith(OWN_WORLDS)
    names = list(imports_of(source))
    for name in names:
        root, _, rest = name.partition(".")
        if name.startswith("."):
            broken.append("a relative import")
        elif root == "speechsense_watch":
            known = rest not in ("", "__version__")
            if known and layer_of(rest) not in LAYERS[layer]:
                broken.append(f"{layer} imports {name}")
        elif not own_world and path not in FOREIGN.get(root, {path}):
            broken.append(f"{name} belongs to {' and '.join(sorted(FOREIGN[root]))}")
        elif layer == "core" and name not in VALUES and name.rpartition(".")[0] not in VALUES:
            broken.append(f"core imports {name}")
    return broken


def clock_calls(source: str) -> Iterator[str]:
    """Calls that ask the machine for the time or wait for it to pass."""
    asked = {"time.sleep", "time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            holder = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if f"{holder}.{node.attr}" in asked:
                yield f"{holder}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names if f"time.{alias.name}" in asked)


def broad_excepts(source: str) -> Iterator[int]:
    """The lines that catch whatever comes and do not raise it again."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            whatever = any(each is None or ast.unparse(each) in ("Exception", "BaseException") for each in caught)
            again = any(isinstance(each, ast.Raise) and each.exc is None for each in ast.walk(node))
            if whatever and not again:
                yield node.lineno


def each_module() -> list[tuple[str, Path]]:
    return [(path.relative_to(PACKAGE).as_posix(), path) for path in modules()]


EACH = pytest.mark.parametrize(("name", "path"), each_module(), ids=[name for name, _ in each_module()])


@EACH
def test_each_module_imports_only_what_its_layer_may(name: str, path: Path) -> None:
    """And what is foreign only where it is wrapped."""
    assert broken_import_rules(name, path.read_text(encoding="utf-8")) == []


@EACH
def test_the_clock_is_handed_in(name: str, path: Path) -> None:
    """Whoever asks the machine for the time cannot be tested without waiting."""
    if name not in ASKS_THE_CLOCK and not name.startswith(OWN_WORLDS):
        assert list(clock_calls(path.read_text(encoding="utf-8"))) == []


@EACH
def test_errors_are_caught_by_name(name: str, path: Path) -> None:
    """Except where a thread must go on whatever happens."""
    if name not in CATCHES_ANYTHING:
        assert list(broad_excepts(path.read_text(encoding="utf-8"))) == []


def test_the_rules_speak_of_modules_that_are_there() -> None:
    """A rule for a file that was renamed protects nothing; and grpc is in two files at most."""
    there = {name for name, _ in each_module()}
    assert there >= ASKS_THE_CLOCK | CATCHES_ANYTHING
    for owners in FOREIGN.values():
        assert owners & there
        assert len(owners & there) <= 3
    assert len(FOREIGN["grpc"] & there) <= 2
    assert {layer_of(name) for name in there} == set(LAYERS)


# --- the rules themselves ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/wav.py", "import os"),
        ("core/wav.py", "from os import path"),
        ("core/wav.py", "import time"),
        ("core/wav.py", "from pathlib import Path"),
        ("core/wav.py", "from speechsense_watch.ports import Clock"),
        ("core/wav.py", "from speechsense_watch import log"),
        ("core/wav.py", "def f():\n    import sqlite3"),
        ("ports.py", "from speechsense_watch.edge.queue import SqliteQueue"),
        ("ports/files.py", "from speechsense_watch.config import Config"),
        ("config/checks.py", "import speechsense_watch.log"),
        ("uploader.py", "from speechsense_watch.edge import queue"),
        ("uploader.py", "from speechsense_watch.app import App"),
        ("uploader.py", "from speechsense_watch.assembly import Assembly"),
        ("a_new_loop.py", "from speechsense_watch.edge.clock import SystemClock"),
        ("a_new_loop.py", "import random"),
        ("edge/queue.py", "from speechsense_watch.uploader import Uploader"),
        ("edge/records.py", "import sqlite3"),
        ("edge/folder.py", "from watchdog.events import FileSystemEvent"),
        ("edge/auth.py", "import grpc"),
        ("cli/check.py", "from yandex.cloud.speechsense.v1 import talk_pb2"),
        ("app.py", "from speechsense_watch.cli import main"),
        ("standin/server.py", "from speechsense_watch.core.wav import inspect"),
        ("intake.py", "from . import places"),
        ("filer.py", "if TYPE_CHECKING:\n    from speechsense_watch.edge.filing import FileFiling"),
    ],
)
def test_a_forbidden_import_is_noticed(path: str, source: str) -> None:
    """Wherever it stands in the file."""
    assert broken_import_rules(path, source) != []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/wav.py", "import struct\nfrom collections.abc import Mapping\nfrom speechsense_watch.core.model import Job"),
        ("uploader.py", "from speechsense_watch.attempt import Ended\nfrom queue import Empty"),
        ("edge/writing.py", "import sqlite3\nfrom speechsense_watch.ports import Queue"),
        ("standin/server.py", "import grpc, time"),
        ("assembly.py", "import random\nfrom speechsense_watch import __version__\nfrom speechsense_watch.edge import lock"),
    ],
)
def test_an_allowed_import_is_not(path: str, source: str) -> None:
    """The rules forbid nothing that is needed."""
    assert broken_import_rules(path, source) == []


@pytest.mark.parametrize(
    "source",
    ["time.sleep(1)", "time.time()", "datetime.now(UTC)", "dt.datetime.now()", "f = datetime.now", "from time import sleep as s"],
)
def test_asking_the_clock_is_noticed(source: str) -> None:
    """However it is written."""
    assert list(clock_calls(source)) != []
    assert list(clock_calls("clock.now(); clock.sleep(1); datetime.fromtimestamp(0, UTC)")) == []


@pytest.mark.parametrize(
    ("caught", "noticed"),
    [
        ("except:", True),
        ("except Exception:", True),
        ("except (OSError, Exception):", True),
        ("except BaseException as e:", True),
        ("except OSError:", False),
        ("except subprocess.SubprocessError:", False),
    ],
)
def test_catching_whatever_comes_is_noticed(caught: str, *, noticed: bool) -> None:
    """Unless it goes on its way."""
    assert bool(list(broad_excepts(f"try:\n    f()\n{caught}\n    pass"))) == noticed
    assert list(broad_excepts(f"try:\n    f()\n{caught}\n    undo()\n    raise")) == []
