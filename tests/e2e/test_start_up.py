"""What a start loads: what the command needs, and nothing that only another one does. By the interpreter's own list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.cli import COMMANDS
from support.rig import Rig, free_port

LISTED = "import time:"
# Of those that a daemon has no use for, the ones that somebody else would bring along unasked.
PICTURES = {"rich.console", "rich.traceback", "pygments"}
KEYS_OF_OTHERS = {
    "jwt",
    "cryptography",
    "http.client",
    "speechsense_watch.edge.service_account",
    "speechsense_watch.edge.vm_metadata",
}
DATABASES_OF_OTHERS = {"pymysql"}
NETWORK = {"grpc", "google.protobuf", "yandex", "asyncio"}
WATCHING = {"watchdog"}
OTHER_PROGRAMS = {
    "speechsense_watch.standin",
    "speechsense_watch.demo",
    "speechsense_watch.cli.init",
    "speechsense_watch.cli.demo",
}


def loaded(told: str) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith(LISTED)}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, free_port()) as rig:
        rig.program = ("-X", "importtime", "-m", "speechsense_watch")
        yield rig


def test_a_daemon_loads_what_a_daemon_needs(rig: Rig) -> None:
    """Until it is up, and no more after that."""
    rig.start()
    rig.stop()
    modules = loaded(rig.log())
    assert {"grpc", "watchdog", "speechsense_watch.app"} <= modules
    assert modules & (PICTURES | KEYS_OF_OTHERS | DATABASES_OF_OTHERS | OTHER_PROGRAMS) == set()
    # The list leaves out what was asked for by name: the command's own module.
    assert {name for name in modules if name.startswith("speechsense_watch.cli.")} == {"speechsense_watch.cli.common"}


@pytest.mark.parametrize("command", ["status", "list", "show", "retry", "skip", "resolve", "pause", "resume", "forget"])
def test_a_command_about_the_queue_needs_no_network_and_watches_nothing(rig: Rig, command: str) -> None:
    assert command in COMMANDS
    rig.configure()
    _, told = rig.call(command, "--help")
    assert loaded(told) & (NETWORK | WATCHING | KEYS_OF_OTHERS | DATABASES_OF_OTHERS | OTHER_PROGRAMS) == set()
