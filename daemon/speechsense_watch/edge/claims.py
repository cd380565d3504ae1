"""One daemon for one directory of recordings: two on the same one, each with a queue of its own, would send every call twice.

The kernel keeps the claim: a socket in the abstract namespace (unix(7)) whose name is the directory's device and inode. It goes
with its process, lies in no file system, and keeps no directory open: a lock on the directory itself would keep its file system
from being unmounted. Containers that have a network of their own have such names of their own, and do not see each other's;
and whoever may run programs on this machine can take a name, so the one who holds it is told.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection
from contextlib import suppress
from threading import Lock

Identity = tuple[int, int]
_CREDENTIALS = struct.Struct("3i")
# So many may have asked since the holder looked last; whoever comes later learns no more than that somebody holds it.
_ASKING = 64


class RootClaims:
    """Of one process. What it holds is released with `keep_only`, or when it ends."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[str, tuple[Identity, socket.socket]] = {}

    def hold(self, name: str, root: Identity) -> str:
        """Empty when the folder `name` may be worked with this root; otherwise who works it. Where no such sockets can be had
        nothing is refused. May be called from any thread.
        """
        with self._lock:
            return self._hold(name, root)

    def _hold(self, name: str, root: Identity) -> str:
        held = self._held.get(name)
        if held is not None and held[0] == root:
            _let_go(held[1])
            return ""
        if any(identity == root for identity, _ in self._held.values()):
            return ""  # ours, under the name it had before a reload
        try:
            claim = _claim(root)
        except OSError as error:
            return _holder(root) if error.errno == errno.EADDRINUSE else ""
        self._release(name)
        self._held[name] = (root, claim)
        return ""

    def keep_only(self, names: Collection[str]) -> None:
        """Other daemons may have every other folder."""
        with self._lock:
            for name in self._held.keys() - set(names):
                self._release(name)

    def _release(self, name: str) -> None:
        if held := self._held.pop(name, None):
            held[1].close()


def _name(root: Identity) -> bytes:
    return b"\0speechsense-watch/%d:%d" % root


def _claim(root: Identity) -> socket.socket:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        claim.bind(_name(root))
        claim.listen(_ASKING)
    except OSError:
        claim.close()
        raise
    return claim


def _let_go(claim: socket.socket) -> None:
    """Those who asked were told by the kernel. Until they are taken out of its queue they keep their place in it."""
    with suppress(OSError):
        for _ in range(_ASKING):
            claim.accept()[0].close()


def _holder(root: Identity) -> str:
    """In words, as far as the kernel tells: who listens is known to whoever connects (SO_PEERCRED)."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as asking,
        suppress(OSError),
    ):
        asking.connect(_name(root))
        pid, uid, _ = _CREDENTIALS.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if pid:
            return f"process {pid} of user {uid}"
    return "another process"
