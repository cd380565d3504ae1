"""What the daemon tells systemd: the datagrams of sd_notify(3), spoken without libsystemd.

Where nobody listens (no NOTIFY_SOCKET) every call does nothing, and a failed one never disturbs the daemon:
if systemd misses too many it restarts us, which is its to decide.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

# A full socket of a hanging systemd must not hold a loop up.
_SEND_TIMEOUT_S = 1.0


class Notifier:
    """Sends to `address` (a path, or a NUL and a name for an abstract socket); None for nowhere."""

    def __init__(self, address: str | None, watchdog_interval_s: float | None = None) -> None:
        self._address = address
        self._watchdog_interval_s = watchdog_interval_s

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Notifier:
        """Speaks to whom NOTIFY_SOCKET names; the watchdog's interval is taken only if it is meant for this process."""
        name = environ.get("NOTIFY_SOCKET", "")
        if name.startswith("@"):
            return cls("\0" + name[1:], _watchdog_interval_s(environ))
        if name.startswith("/"):
            return cls(name, _watchdog_interval_s(environ))
        return cls(None)  # vsock addresses are for virtual machines as a whole

    @property
    def watchdog_interval_s(self) -> float | None:
        """How often `watchdog` should be called, half of what systemd waits; None when it does not wait for us."""
        return self._watchdog_interval_s

    def ready(self, status: str) -> None:
        """Started, or done reloading."""
        self._send("READY=1", f"STATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        self._send(f"STATUS={_one_line(text)}")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def reloading(self, monotonic_us: int) -> None:
        """Reading the configuration anew since `monotonic_us` (CLOCK_MONOTONIC); `ready` must follow."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_us}")

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.settimeout(_SEND_TIMEOUT_S)
            # Only of a socket that is connected does poll(2) say whether the other one has room: without that, waiting for room
            # was a loop that took all of a core (unix(7) has the queue's length).
            link.connect(self._address)
            link.send("\n".join(assignments).encode(errors="replace"))


def _one_line(text: str) -> str:
    # A newline would begin another assignment, and parts of a status come from file names.
    return " ".join(text.split())


def _watchdog_interval_s(environ: Mapping[str, str]) -> float | None:
    """sd_watchdog_enabled(3): WATCHDOG_USEC counts unless WATCHDOG_PID names another process."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        process = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    if microseconds <= 0 or process != os.getpid():
        return None
    return microseconds / 2_000_000
