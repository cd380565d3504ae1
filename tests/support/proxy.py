"""A TCP proxy on loopback that does what networks do: it stops, slows down, delays, cuts off at a certain byte, refuses.

    with Proxy(standin.port) as proxy:
        ...  # a client of proxy.target
        proxy.hold()  # from now on nothing comes through, and nobody is told
        proxy.up.bytes_per_s = 20_000
        proxy.down.reset_at = 500  # for connections made from now on

`up` is from the client to the server, `down` the other way. A proxy acknowledges what it does not forward, as TCP proxies and
stateful firewalls do: a black hole that swallows the packets themselves needs a network namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any, Self

_PIECE = 16 * 1024
# What may be on its way within the proxy, per connection and way: 1 MiB.
_PIECES = 64
_TICK_S = 0.02
# RST instead of FIN: SO_LINGER with a time of 0 (socket(7)).
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Way:
    """How one way is treated, and what went along it. Values may be changed at any time, from any thread."""

    held: bool = False  # nothing is forwarded; what came meanwhile is, later
    swallowing: bool = False  # taken, acknowledged and lost
    bytes_per_s: float = 0.0  # each connection; 0 for no limit
    delay_s: float = 0.0
    reset_at: int | None = None  # a connection is reset when so many bytes of it have been forwarded
    forwarded: int = 0
    swallowed: int = 0
    log: list[tuple[float, int]] = field(default_factory=list)  # when (monotonic seconds) how much was forwarded

    def bytes_between(self, since: float, until: float) -> int:
        return sum(count for at, count in list(self.log) if since <= at < until)


@dataclass(slots=True, eq=False)
class _Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def reset(self) -> None:
        for writer in (self.client, self.server):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Proxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target_port` until it is left. `connections` counts those ever made.

    `shallow`: its kernel takes as little as it can before it has been forwarded, so that what waits waits at the client, as it
    does at the end of a slow line. Otherwise megabytes may lie here, acknowledged, as in a proxy before one. Delays are by its
    `clock`, rates by the machine's.
    """

    def __init__(self, target_port: int, port: int = 0, *, shallow: bool = False, clock: Callable[[], float] = monotonic) -> None:
        self.target_port = target_port
        self._shallow = shallow
        self._clock = clock
        self.port = port
        self.up, self.down = Way(), Way()
        self.connections = 0
        # When (monotonic seconds) it was held up by the machine, and for how long: nothing was forwarded then.
        self.held_up: list[tuple[float, float]] = []
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        asyncio.run_coroutine_threadsafe(self._watch_the_time(), self._loop)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.refuse()
        self.cut()
        self._do(self._cancel_all)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def held_up_s(self, since: float, until: float) -> float:
        return sum(for_s for at, for_s in list(self.held_up) if since <= at < until)

    async def _watch_the_time(self) -> None:
        while True:
            before = monotonic()
            await asyncio.sleep(_TICK_S)
            if (late_s := monotonic() - before - _TICK_S) > _TICK_S:
                self.held_up.append((before, late_s))

    # --- what a test orders --------------------------------------------------------------------

    def hold(self) -> None:
        """Nothing is forwarded either way any more, on old connections and new ones; all sockets stay open."""
        self.up.held = self.down.held = True

    def release(self) -> None:
        """What was held goes on; the way is as it was before."""
        self.up.held = self.down.held = False

    def cut(self) -> None:
        """Every connection is reset, both ends."""

        async def work() -> None:
            for link in list(self._links):
                link.reset()

        self._do(work)

    def refuse(self) -> None:
        """Nobody listens any more; connections that are there stay."""

        async def work() -> None:
            if self._server is not None:
                self._server.close()
                self._server = None

        self._do(work)

    def listen(self) -> None:
        """Somebody listens again, on the same port."""

        async def work() -> None:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._shallow:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
            listener.bind(("127.0.0.1", self.port))
            self.port = listener.getsockname()[1]
            self._server = await asyncio.start_server(self._accept, sock=listener, limit=_PIECE)

        self._do(work)

    # --- forwarding ----------------------------------------------------------------------------

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    async def _cancel_all(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target_port, limit=_PIECE)
        except OSError:
            writer.transport.abort()
            return
        for each in (writer, server_writer):
            each.transport.set_write_buffer_limits(high=0)  # `drain` returns when all is with the kernel
        link = _Link(writer, server_writer)
        self._links.add(link)
        try:
            ways = ((reader, server_writer, self.up), (server_reader, writer, self.down))
            await asyncio.gather(*(self._forward(link, source, sink, way) for source, sink, way in ways))
        except (OSError, asyncio.CancelledError):
            link.reset()
        finally:
            self._links.discard(link)
            for each in (writer, server_writer):
                each.close()

    async def _forward(self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(2 if self._shallow else _PIECES)
        reading = asyncio.create_task(self._read(source, pieces, way))
        left = way.reset_at
        free_at = 0.0
        try:
            while True:
                due, data = await pieces.get()
                await self._sleep_until(due)
                if way.bytes_per_s:
                    free_at = max(free_at, monotonic()) + len(data) / way.bytes_per_s
                    await asyncio.sleep(max(0.0, free_at - monotonic()))
                while way.held:  # noqa: ASYNC110 - tests set plain attributes, from their own thread
                    await asyncio.sleep(0.01)
                if not data:
                    sink.write_eof()
                    return
                if way.swallowing:
                    way.swallowed += len(data)
                    continue
                if left is not None and len(data) >= left:
                    await self._send(sink, data[:left], way)
                    link.reset()
                    return
                await self._send(sink, data, way)
                left = None if left is None else left - len(data)
        finally:
            reading.cancel()

    async def _send(self, sink: asyncio.StreamWriter, data: bytes, way: Way) -> None:
        sink.write(data)
        await sink.drain()
        way.forwarded += len(data)
        way.log.append((monotonic(), len(data)))

    async def _read(self, source: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]], way: Way) -> None:
        data = b"-"
        while data:
            try:
                # Small pieces when it is slow, so that the rate is smooth.
                most = min(_PIECE, max(200, int(way.bytes_per_s / 20))) if way.bytes_per_s else _PIECE
                data = await source.read(most)
            except OSError:
                data = b""
            await pieces.put((self._clock() + way.delay_s, data))

    async def _sleep_until(self, at: float) -> None:
        while (left_s := at - self._clock()) > 0:  # noqa: ASYNC110 - a clock tells nobody
            await asyncio.sleep(left_s if self._clock is monotonic else 0.005)
