"""support.proxy: the network that other tests break does what they order."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from support.proxy import Proxy
from support.waiting import wait_for


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._main = threading.Thread(target=self._accept)
        self._main.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._echo, args=(connection,)))
                self._threads[-1].start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._main, *self._threads):
            thread.join(60)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with contextlib.closing(Echo()) as echo, Proxy(echo.port) as proxy:
        yield proxy


@contextlib.contextmanager
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as connection:
        yield connection


def receive(connection: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (data := connection.recv(count - len(got))):
        got += data
    return got


def exchange(connection: socket.socket, count: int) -> None:
    connection.sendall(b"x" * count)
    receive(connection, count)
    receive(connection, 1)


def test_it_forwards_both_ways_and_counts(proxy: Proxy) -> None:
    """And tells the end of a connection on."""
    with client(proxy) as connection:
        connection.sendall(b"x" * 100_000)
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 200_000) == b"x" * 100_000
    assert (proxy.connections, proxy.up.forwarded, proxy.down.forwarded) == (1, 100_000, 100_000)


def test_a_hold_stops_both_ways_and_a_release_goes_on(proxy: Proxy) -> None:
    """Nothing is lost, and nobody sees a connection end."""
    with client(proxy) as connection:
        proxy.hold()
        connection.sendall(b"hello")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.release()
        connection.settimeout(60)
        assert receive(connection, 5) == b"hello"


def test_what_is_swallowed_never_comes(proxy: Proxy) -> None:
    """What comes after it does."""
    with client(proxy) as connection:
        proxy.down.swallowing = True
        connection.sendall(b"hello")
        wait_for(lambda: proxy.down.swallowed == 5)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.down.swallowing = False
        connection.settimeout(60)
        connection.sendall(b"you")
        assert receive(connection, 3) == b"you"


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_connection_is_reset_at_its_byte(proxy: Proxy, way: str) -> None:
    """With RST, after exactly so many bytes; another connection gets as far again."""
    getattr(proxy, way).reset_at = 30_000
    for _ in range(2):
        proxy.up.forwarded = proxy.down.forwarded = 0
        with client(proxy) as connection, pytest.raises(ConnectionResetError):
            exchange(connection, 100_000)
        assert getattr(proxy, way).forwarded == 30_000


def test_a_cut_resets_what_is_there_and_a_refusal_what_would_come(proxy: Proxy) -> None:
    """Until it listens again on the same port."""
    with client(proxy) as connection:
        connection.sendall(b"x")
        assert receive(connection, 1)
        proxy.refuse()
        connection.sendall(b"x")
        assert receive(connection, 1)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError), client(proxy):
        pass
    proxy.listen()
    with client(proxy) as connection:
        connection.sendall(b"x")
        assert receive(connection, 1)


def test_a_rate_and_a_delay_are_kept(proxy: Proxy) -> None:
    """100 kB at 200 kB/s take half a second, and each byte is late."""
    proxy.up.bytes_per_s, proxy.down.delay_s = 200_000, 0.2
    began = monotonic()
    with client(proxy) as connection:
        connection.sendall(b"x" * 100_000)
        assert len(receive(connection, 100_000)) == 100_000
    assert 0.6 <= monotonic() - began < 30
