"""The real program as a child process, a real stand-in beside it, and real files: what the end-to-end tests play with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from speechsense_watch.core.model import Job, State
from speechsense_watch.edge.queue import SqliteQueue
from support.waiting import wait_for
from support.wavs import pcm

FIELDS: Mapping[str, object] = {
    "operator_name": "Оператор Анна",
    "operator_id": "201",
    "client_name": "client",
    "client_id": "000123",
    "date": "2025-04-24T14:34:19+03:00",
    "direction_outgoing": True,
    "language": "ru-RU",
}


# So long a program may take that ends by itself, or as it is told.
ENDS_WITHIN_S = 120.0
_KEPT_FREE: deque[socket.socket] = deque(maxlen=64)


def free_port() -> int:
    """Nobody listens there, and nobody else is given it: a server beside us, or the near end of a connection of ours.

    The socket that keeps it does not listen, and lets a server of ours have the port as well (socket(7), SO_REUSEADDR).
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    if len(_KEPT_FREE) == _KEPT_FREE.maxlen:
        _KEPT_FREE[0].close()
    _KEPT_FREE.append(keeper)
    return int(keeper.getsockname()[1])


def toml(table: Mapping[str, object]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


class Rig:
    """One folder, one queue, one daemon at a time. Ends the daemon it started when it is left."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.folder = directory / "in"
        self.folder.mkdir()
        self.config_path = directory / "config.toml"
        self.queue_path = directory / "state" / "queue.db"
        self.log_path = directory / "daemon.log"
        self.speechsense: dict[str, object] = {"endpoint": f"127.0.0.1:{port}", "auth": "none", "plaintext": True}
        self.upload: dict[str, object] = {"retry_initial": "100ms", "retry_max": "500ms", "shutdown_grace": "5s"}
        self.rules: dict[str, object] = {"start_from": "all", "quiet_period": "200ms", "rescan_interval": "1s"}
        # What follows the folder's own keys: its tables, or further folders.
        self.tables = ""
        self.environ: dict[str, str] = {}
        # What the daemon is started through, if anything, and what the interpreter is given as the program.
        self.launcher: tuple[str, ...] = ()
        self.program: tuple[str, ...] = ("-m", "speechsense_watch")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    # --- the program -------------------------------------------------------------------------

    def configure(self) -> None:
        parts = [
            "[speechsense]\n" + toml(self.speechsense),
            "[queue]\n" + toml({"path": str(self.queue_path)}),
            "[upload]\n" + toml(self.upload),
            "[[folders]]\n" + toml({"path": str(self.folder), "connection_id": "conn-1", **self.rules}) + self.tables,
        ]
        self.config_path.write_text("\n".join(parts))

    def start(self, *, configure: bool = True) -> None:
        if configure:
            self.configure()
        self.log_path.unlink(missing_ok=True)
        with self.log_path.open("ab") as log:
            self.process = self.command("run", launcher=self.launcher, stderr=log)
        wait_for(lambda: self._running() and "daemon_started" in self.log(), 20, "the daemon starts")

    @property
    def pid(self) -> int:
        """Of the daemon that was started last."""
        assert self.process is not None
        return self.process.pid

    def _running(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}:\n{self.log()}"
        return True

    def command(self, *arguments: str, launcher: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[bytes]:
        environ = {**os.environ, **self.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        line = [
            *launcher,
            sys.executable,
            *self.program,
            arguments[0],
            "--config",
            str(self.config_path),
            *arguments[1:],
        ]
        return subprocess.Popen(line, env=environ, **options)

    def call(self, *arguments: str) -> tuple[int, str]:
        """A command's exit code, and what it printed on both outputs."""
        process = self.command(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate(timeout=ENDS_WITHIN_S)
        return process.returncode, output.decode()

    def init(self, *options: str) -> tuple[int, str]:
        """`init`, which takes no --config; with nobody there to answer."""
        line = [sys.executable, "-m", "speechsense_watch", "init", *options]
        environ = {**os.environ, **self.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environ)
        return done.returncode, done.stdout + done.stderr

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=ENDS_WITHIN_S)
        self.process = None
        return code

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    # --- files -------------------------------------------------------------------------------

    def drop(self, stem: str, audio: bytes | None = None, fields: Mapping[str, object] | None = None) -> bytes:
        """A whole recording, audio first; returns the audio."""
        data = pcm(seconds=1) if audio is None else audio
        (self.folder / f"{stem}.wav").write_bytes(data)
        self.drop_metadata(stem, fields)
        return data

    def drop_metadata(self, stem: str, fields: Mapping[str, object] | None = None) -> None:
        text = json.dumps(FIELDS if fields is None else fields, ensure_ascii=False)
        (self.folder / f"{stem}.json").write_text(text)

    # --- the queue ---------------------------------------------------------------------------

    def read(self, ask: Callable[[SqliteQueue], Any]) -> Any:
        with closing(SqliteQueue(self.queue_path, read_only=True)) as queue:
            return ask(queue)

    def jobs(self) -> dict[str, Job]:
        """Every job by the path of its place."""
        found: list[Job] = self.read(lambda queue: queue.in_states(tuple(State)))
        return {job.place.path: job for job in found}

    def next_probe_at(self) -> datetime:
        """Of the pause that is told."""
        (pause,) = self.read(lambda queue: queue.runtime())["paused"]
        return datetime.fromisoformat(pause["next_probe_at"])

    def states(self) -> dict[str, State]:
        return {path: job.state for path, job in self.jobs().items()}

    def wait_for_states(self, timeout_s: float = 20, /, **states: State) -> None:
        """Every stem named ends up in that state (`a=State.DONE`)."""

        def reached() -> bool:
            self._running()
            found = self.states()
            return all(found.get(f"{stem}.wav") is state for stem, state in states.items())

        try:
            wait_for(reached, timeout_s, f"{states}")
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {self.jobs()}\n{self.log()[-3000:]}") from error
