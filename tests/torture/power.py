"""What a power cut would leave on disk, replayed from the system calls of the daemon: everything that was written, but of each
file only what it had written before its last fsync.

strace(1) writes down every write and every fsync of the queue's files with their bytes, and every message that leaves. At the
moment at which the last bytes of a recording leave, and at the moment at which its file is moved to the archive, the queue is
put together anew from what was safe by then, opened, and asked.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "pwrite64,write,fdatasync,fsync,ftruncate,sendmsg,renameat2"
_LINE = re.compile(r"^(\d+) +(.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_ON_FILE = re.compile(r"^(\w+)\((\d+)<([^>]*)>(?:, )?(.*)$")
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def available() -> bool:
    return shutil.which("strace") is not None


def tracer(log: Path) -> tuple[str, ...]:
    """What the daemon is started through. -D: the process that is started is the daemon, not its tracer."""
    return ("strace", "-D", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log))


@dataclass(slots=True)
class _File:
    """Its bytes as written, and as they were at its last fsync."""

    written: bytearray = field(default_factory=bytearray)
    safe: bytes = b""

    def put(self, at: int, data: bytes) -> None:
        if len(self.written) < at + len(data):
            self.written.extend(bytes(at + len(data) - len(self.written)))
        self.written[at : at + len(data)] = data


class Disk:
    """The queue's files, fed with the calls of the log one after the other."""

    def __init__(self, queue_path: Path) -> None:
        self._queue_path = queue_path
        self._files: dict[str, _File] = {}

    def call(self, name: str, path: str, arguments: str) -> None:
        if not path.startswith(str(self._queue_path)) or path.endswith((".lock", "-shm")):
            return
        file = self._files.setdefault(path, _File())
        match name:
            case "pwrite64":
                file.put(int(arguments.rpartition(")")[0].rpartition(",")[2]), _bytes(arguments))
            case "write":
                file.put(len(file.written), _bytes(arguments))
            case "ftruncate":
                size = int(arguments.partition(")")[0])
                del file.written[size:]
            case _:
                file.safe = bytes(file.written)

    def rows_after_a_cut(self) -> list[tuple[str, str | None]]:
        """State and talk id of every job, from what was safe."""
        with tempfile.TemporaryDirectory() as directory:
            for ending in ("", "-wal"):
                if file := self._files.get(f"{self._queue_path}{ending}"):
                    (Path(directory) / f"queue.db{ending}").write_bytes(file.safe)
            with closing(sqlite3.connect(Path(directory) / "queue.db")) as conn:
                try:
                    return [(state, talk_id) for state, talk_id in conn.execute("SELECT state, talk_id FROM jobs")]
                except sqlite3.DatabaseError:
                    return []


def _bytes(text: str) -> bytes:
    """The strings of a call's arguments, one after the other."""
    return bytes.fromhex("".join(_HEX.findall(text)).replace("\\x", ""))


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    path: str
    arguments: str


def calls(log: Path) -> Iterator[Call]:
    """In the order in which they took effect at the latest: a write when it began, an fsync when it had returned."""
    begun: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        if not (parts := _LINE.match(line)):
            continue
        thread, text = parts.groups()
        if resumed := _RESUMED.match(text):
            text = begun.pop(thread, "") + resumed.group(2)
            if not text.startswith(("fsync", "fdatasync")):
                continue
        elif text.endswith("<unfinished ...>"):
            begun[thread] = text = text.removesuffix("<unfinished ...>").rstrip()
            if text.startswith(("fsync", "fdatasync")):
                continue
            text += ")" if not text.endswith(")") else ""
        if call := _ON_FILE.match(text):
            yield Call(call.group(1), _path(call.group(3)), call.group(4))


def complete(log: Path) -> bool:
    """Whether the daemon's end is in the log already."""
    return log.exists() and "+++ exited with" in log.read_text(errors="replace").rstrip().rpartition("\n")[2]


def _path(text: str) -> str:
    return _bytes(f'"{text}"').decode(errors="replace") if text.startswith("\\x") else text


def broken(log: Path, queue_path: Path, last_bytes: bytes) -> list[str]:
    """What a power cut at the worst moment would have broken, for the one recording that ends in `last_bytes`."""
    disk, found, left, moved = Disk(queue_path), [], False, False
    for call in calls(log):
        if call.name == "sendmsg" and not left and last_bytes in _bytes(call.arguments):
            left = True
            if not any(state == "committing" for state, _ in disk.rows_after_a_cut()):
                found.append(f"power cut when the last byte left: the queue would say {disk.rows_after_a_cut()}")
        elif call.name == "renameat2" and not moved:
            moved = True
            if not any(talk_id for _, talk_id in disk.rows_after_a_cut()):
                found.append(f"power cut when the file was archived: the queue would say {disk.rows_after_a_cut()}")
        else:
            disk.call(call.name, call.path, call.arguments)
    if not left or not moved:
        found.append(f"the trace shows no send ({left}) or no move ({moved})")
    return found
