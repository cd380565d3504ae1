"""edge.line: a line that was closed while something was still under way on it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.edge import by_hand
from speechsense_watch.edge.channel import Endpoint
from speechsense_watch.edge.line import IDLE_AFTER_S, Line
from speechsense_watch.edge.reach import Trouble
from speechsense_watch.ports import ChannelState
from speechsense_watch.standin import StandIn
from support.rig import free_port
from support.waiting import wait_for


@pytest.mark.parametrize("found", [None, Trouble("no such name")])
def test_a_try_that_ends_after_the_line_was_closed_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, found: Trouble | None
) -> None:
    """A reload replaces the line while a try by hand is under way: no fault is raised on its thread, no channel is opened that
    nobody will close, and nobody is woken.
    """
    go_on, faults, news = threading.Event(), list[object](), list[bool]()
    monkeypatch.setattr(threading, "excepthook", faults.append)

    def slowly(*_args: object, **_more: object) -> Trouble | None:
        assert go_on.wait(60)
        return found

    monkeypatch.setattr(by_hand, "explain", slowly)
    line = Line(Endpoint(f"127.0.0.1:{free_port()}", plaintext=True), lambda: news.append(True), time.monotonic, lambda: 0.5)
    wait_for(lambda: line.look().state is ChannelState.FAILED, 10)
    conduit = line.conduit
    line.close()
    wait_for(lambda: not any(thread.name == "close-channel" for thread in threading.enumerate()))
    before = list(news)
    go_on.set()
    wait_for(lambda: not any(thread.name == "try-by-hand" for thread in threading.enumerate()), 10)
    assert (faults, line.conduit is conduit, news) == ([], True, before)


def test_a_look_at_a_closed_line_sees_no_connection() -> None:
    """Who still had it in hand when another took over."""
    line = Line(Endpoint(f"127.0.0.1:{free_port()}", plaintext=True), lambda: None, time.monotonic, lambda: 0.5)
    conduit = line.conduit
    line.close()
    assert line.look().state is ChannelState.CONNECTING
    assert (line.renew(), line.conduit is conduit) == (False, True)


def test_what_an_earlier_connection_answered_is_no_word_of_this_one() -> None:
    """A call under way keeps its connection when another takes over."""
    line = Line(Endpoint(f"127.0.0.1:{free_port()}", plaintext=True), lambda: None, time.monotonic, lambda: 0.5)
    before = line.conduit
    assert line.renew()
    heard_at = line._pulse.heard_at
    line.heard(before, time.monotonic())
    assert line._pulse.heard_at == heard_at
    line.heard(line.conduit, time.monotonic())
    assert line._pulse.heard_at > heard_at
    line.close()


class _Watch:
    """Monotonic time that passes at a word."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.passed_s


def test_a_channel_is_open_only_as_long_as_somebody_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC keeps threads awake for each. A look opens it, minutes without one close it, and the next look is a beginning: nothing
    is tried by hand as if it had failed for all that time.
    """
    tried = list[object]()
    monkeypatch.setattr(by_hand, "explain", lambda *args, **_more: tried.append(args))
    with StandIn(tmp_path) as standin:
        clock = _Watch()
        line = Line(Endpoint(standin.target, plaintext=True), lambda: None, clock, lambda: 0.5)
        clock.passed_s += 2 * IDLE_AFTER_S
        assert not line.conduit.opened
        wait_for(lambda: line.look().state is ChannelState.READY, 10)
        first = line.conduit
        with line.used():
            clock.passed_s += IDLE_AFTER_S + 1
            line.idle()
            assert line.conduit is first, "it is in use"
        clock.passed_s += IDLE_AFTER_S - 10
        line.look()
        clock.passed_s += IDLE_AFTER_S - 10
        line.idle()
        assert line.conduit is first, "it was used lately"
        clock.passed_s += 20
        line.idle()
        assert not line.conduit.opened
        wait_for(lambda: not any(thread.name == "close-channel" for thread in threading.enumerate()))
        with pytest.raises(ValueError, match="closed channel"):
            first.upload(b"")
        line.idle()
        wait_for(lambda: line.look().state is ChannelState.READY, 10)
        line.close()
    assert tried == []


def test_a_line_that_was_closed_before_anybody_needed_it_opens_nothing() -> None:
    """Whoever asks it for a call is told by gRPC that it is closed."""
    line = Line(Endpoint(f"127.0.0.1:{free_port()}", plaintext=True), lambda: None, time.monotonic, lambda: 0.5)
    line.close()
    with line.used() as conduit, pytest.raises(ValueError, match="closed channel"):
        conduit.upload(b"")


@pytest.mark.parametrize("plaintext", [True, False])
def test_who_takes_connections_and_speaks_no_grpc_is_told_from_nobody(*, plaintext: bool) -> None:
    """A wrong port, `plaintext` for a TLS port, a service that is broken: the network need not be looked into."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        hang_up = threading.Thread(target=lambda: _hang_up(server), daemon=True)
        hang_up.start()
        line = Line(
            Endpoint(f"127.0.0.1:{server.getsockname()[1]}", plaintext=plaintext), lambda: None, time.monotonic, lambda: 0.5
        )
        said = "takes connections, but none that gRPC can use" if plaintext else "ends the connection when TLS begins"
        wait_for(lambda: said in line.look().message, 30)
        line.close()
        server.shutdown(socket.SHUT_RDWR)  # else `accept` would wait on
    hang_up.join(10)


def _hang_up(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            with server.accept()[0] as connection:
                connection.settimeout(10)
                connection.recv(10_000)
