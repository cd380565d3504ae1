"""What systemd hears from the daemon."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.notify import Notifier
from support.manual_clock import ManualClock


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[socket.socket, str]]:
    """A listening end and its NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.settimeout(60)
        if request.param == "path":
            name = str(tmp_path_factory.mktemp("n") / "s")
            server.bind(name)
        else:
            name = "@speechsense-test-" + secrets.token_hex(8)
            server.bind("\0" + name[1:])
        yield server, name


def test_each_word_is_one_datagram(systemd: tuple[socket.socket, str]) -> None:
    """Path and abstract sockets hear READY, STATUS, WATCHDOG, RELOADING and STOPPING as sd_notify(3) writes them."""
    server, name = systemd
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": name})
    notifier.ready("watching 2 folders")
    notifier.status("3 ready, 1 uploading")
    notifier.watchdog()
    notifier.reloading(123)
    notifier.stopping()
    assert [server.recv(4096).decode() for _ in range(5)] == [
        "READY=1\nSTATUS=watching 2 folders",
        "STATUS=3 ready, 1 uploading",
        "WATCHDOG=1",
        "RELOADING=1\nMONOTONIC_USEC=123",
        "STOPPING=1",
    ]


def test_a_status_cannot_smuggle_a_second_assignment(systemd: tuple[socket.socket, str]) -> None:
    """Newlines in a text become spaces, and what is not UTF-8 becomes a question mark."""
    server, name = systemd
    Notifier.from_environment({"NOTIFY_SOCKET": name}).status("call\nMAINPID=1\r" + os.fsdecode(b"\xff"))
    assert server.recv(4096) == b"STATUS=call MAINPID=1 ?"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_listener_nothing_happens(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside systemd no socket is even made, and no watchdog waits."""
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was made"))
    notifier = Notifier.from_environment({**environ, "WATCHDOG_USEC": "1000000"})
    notifier.ready("up")
    notifier.watchdog()
    assert notifier.watchdog_interval_s is None


def test_a_listener_that_went_away_disturbs_nobody(tmp_path: Path) -> None:
    """A datagram that cannot be delivered is dropped."""
    Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "gone")}).status("anybody there?")


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        ("30000000", None, 15.0),
        ("30000000", "ours", 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
        ("30000000", "x", None),
        (None, None, None),
    ],
)
def test_the_watchdogs_interval_is_half_of_its_patience(usec: str | None, pid: str | None, interval_s: float | None) -> None:
    """WATCHDOG_USEC is honoured when WATCHDOG_PID is ours or unset, and not when it makes no sense."""
    environ = {"NOTIFY_SOCKET": "/run/systemd/notify"}
    if usec is not None:
        environ["WATCHDOG_USEC"] = usec
    if pid is not None:
        environ["WATCHDOG_PID"] = str(os.getpid()) if pid == "ours" else pid
    assert Notifier.from_environment(environ).watchdog_interval_s == interval_s


def test_the_systems_clock_is_aware_and_never_sleeps_backwards() -> None:
    """Wall time is UTC, monotonic time does not jump, and a pause that is already over is none."""
    clock = SystemClock()
    assert clock.now().utcoffset() == ManualClock().now().utcoffset()
    before = clock.monotonic()
    clock.sleep(-3600)
    assert 0 <= clock.monotonic() - before < 600


def test_waiting_for_a_listener_that_does_not_read_costs_nothing(systemd: tuple[socket.socket, str]) -> None:
    """A full socket is waited for asleep, and not for long; then the word is dropped."""
    _, name = systemd
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": name})
    queue_length = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    for _ in range(queue_length + 1):
        notifier.watchdog()
    before_s = time.thread_time()
    notifier.watchdog()
    assert time.thread_time() - before_s < 0.1
