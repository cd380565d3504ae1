"""edge.wire: what the kernel tells of our connections."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing, suppress

from speechsense_watch.edge.wire import UNSENT_BYTES, Counters, look_after
from support.waiting import wait_for


def at_rest(port: int, meanwhile: Callable[[], object] = lambda: None) -> Counters:
    """What is counted when nothing has changed any more for half a second: longer than an acknowledgement is put off."""
    seen: list[Counters] = []

    def still() -> bool:
        meanwhile()
        seen.append(look_after(port))
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    wait_for(still, what="the other end has taken what it can")
    return seen[-1]


def test_what_goes_and_comes_is_counted() -> None:
    """Of all connections to that port, on our side; of none when there is none."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        assert look_after(port) == Counters()
        with socket.create_connection(("127.0.0.1", port)) as ours, listener.accept()[0] as theirs:
            ours.sendall(b"x" * 1000)
            wait_for(lambda: look_after(port).acknowledged >= 1000)
            assert look_after(port).received == 0
            theirs.sendall(b"y" * 70)
            wait_for(lambda: look_after(port).received == 70)
            with socket.create_connection(("127.0.0.1", port)) as second, listener.accept()[0] as other:
                other.sendall(b"z" * 30)
                wait_for(lambda: look_after(port).received == 100)
                assert second.fileno() >= 0  # asking closes nothing
            assert ours.recv(70) == b"y" * 70


def test_what_nobody_takes_waits() -> None:
    """And is no sign of life, until it is being worked off."""
    with closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours, listener.accept()[0] as theirs:
            ours.setblocking(False)
            ours.send(b"x" * 1_000_000)
            full = at_rest(port)
            assert full.waiting > 0
            assert not look_after(port).moved_since(full)
            while look_after(port).acknowledged == full.acknowledged:
                assert theirs.recv(65536)
            assert look_after(port).moved_since(full)


def test_bytes_of_ours_that_are_acknowledged_at_once_are_no_sign_of_life() -> None:
    """A proxy before a dead service acknowledges them as well."""
    before = Counters(received=10, acknowledged=100, waiting=0)
    assert not Counters(received=10, acknowledged=200, waiting=0).moved_since(before)
    assert Counters(received=11, acknowledged=100, waiting=0).moved_since(before)
    queued = Counters(received=10, acknowledged=100, waiting=5000)
    assert Counters(received=10, acknowledged=200, waiting=4900).moved_since(queued)
    assert not Counters(received=10, acknowledged=100, waiting=9000).moved_since(queued)


def test_what_waits_to_be_sent_is_kept_short() -> None:
    """So that a question or an answer to a ping does not stand behind megabytes; it still fills the way."""
    with closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours, listener.accept()[0]:
            look_after(port)
            ours.setblocking(False)

            def fill() -> None:
                with suppress(BlockingIOError):
                    while True:
                        ours.send(b"x" * 10_000)

            assert UNSENT_BYTES <= at_rest(port, fill).waiting <= 2 * UNSENT_BYTES
