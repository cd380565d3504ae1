"""What the kernel knows of our TCP connections to a port: whether bytes come in, and whether those that wait go out.

gRPC tells neither, and its sockets cannot be handed in. They are found among the process's descriptors; each is duplicated
before it is asked, so that it is the same one from the check to the answer. Where the kernel does not tell (other systems,
some sandboxes) nothing is known, which is no evidence of anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass

# struct tcp_info, linux/tcp.h: tcpi_bytes_acked at 120, tcpi_bytes_received at 128, since Linux 4.1. Its layout never changes.
_TCP_INFO = struct.Struct("=120xQQ")


# The kernel would take megabytes for a slow line, and whatever else is to go waits behind them: at 8 kB/s the answer to a
# server's own ping was late by more than a minute, and grpc servers end a connection for that. Throughput needs no more than
# this beside what is under way (tcp(7), TCP_NOTSENT_LOWAT).
UNSENT_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Counters:
    """Summed over all connections to the port. `waiting`: bytes that left gRPC and are not acknowledged yet."""

    received: int = 0
    acknowledged: int = 0
    waiting: int = 0

    def moved_since(self, before: Counters) -> bool:
        """Something came from the other end; or a queue is being worked off, behind which a question of ours still waits."""
        came = self.received != before.received
        return came or (before.waiting > 0 and self.acknowledged != before.acknowledged)


def look_after(port: int) -> Counters:
    """The counters of this process's connections to that remote port at this moment. Their queues are kept short from now on."""
    received = acknowledged = waiting = 0
    for connection in _connections():
        with connection, contextlib.suppress(OSError, struct.error):
            if connection.getpeername()[1] != port:
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            acked, came = _TCP_INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
            (queued,) = struct.unpack("=i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
            received, acknowledged, waiting = received + came, acknowledged + acked, waiting + queued
    return Counters(received, acknowledged, waiting)


def _connections() -> Iterator[socket.socket]:
    """Duplicates of the process's TCP sockets."""
    try:
        names = os.listdir("/proc/self/fd")  # noqa: PTH208 - numbers, not paths
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            connection = socket.socket(fileno=os.dup(int(name)))
            if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
                yield connection
            else:
                connection.close()
