"""What runs in the demo: the stand-in inside this process, the daemon as a process of its own, and the eyes on its queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from speechsense_watch.core.model import Job
from speechsense_watch.demo.scene import Call
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.log import Event
from speechsense_watch.ports import QueueTrouble
from speechsense_watch.standin import Fault, StandIn

FOLDER = "exchange"
STOP_WITHIN_S = 15.0
_LOG_LINES_SHOWN = 5

_CONFIG = """\
# Made by `speechsense-watch demo`. A configuration for real: speechsense-watch check --sample
[speechsense]
endpoint = {endpoint}        # the stand-in on this machine
auth = "none"
plaintext = true

[queue]
path = {queue}

[upload]
bandwidth = "2MiB/s"         # slow enough to be watched
retry_initial = "500ms"      # impatient: nobody watches a demo for hours
retry_max = "2s"
shutdown_grace = "5s"

[log]
format = "json"

[[folders]]
name = {name}
path = {recordings}
connection_id = "demo-connection"
start_from = "all"
quiet_period = "1s"
abandon_after = "3s"
rescan_interval = "1s"
"""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


class Places:
    """Where everything lies in the demo's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.recordings = self.directory / "monitor"
        self.config = self.directory / "config.toml"
        self.queue = self.directory / "queue" / "queue.db"
        self.standin = self.directory / "standin"
        self.log = self.directory / "daemon.log"

    def write_config(self, endpoint: str) -> None:
        """Raises DemoError when the directory's name is not one that a configuration can hold, and OSError."""
        values = {"endpoint": endpoint, "queue": str(self.queue), "name": FOLDER, "recordings": str(self.recordings)}
        # What JSON writes in quotes means the same in TOML.
        text = _CONFIG.format(**{key: json.dumps(value, ensure_ascii=False) for key, value in values.items()})
        try:
            self.config.write_text(text, encoding="utf-8")
        except UnicodeEncodeError as error:
            raise DemoError("The directory's name is not UTF-8: choose another one.") from error


class DaemonProcess:
    """`speechsense-watch run` as a child process. Stopped, whatever happens, when the block is left."""

    def __init__(self, places: Places, environ: Mapping[str, str]) -> None:
        self._places = places
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises OSError."""
        command = [sys.executable, "-m", "speechsense_watch", "run", "--config", str(self._places.config)]
        with self._places.log.open("wb") as log:
            # A session of its own: Ctrl-C on the terminal is for the demo, which then stops the daemon.
            self._process = subprocess.Popen(
                command,
                env=_child_environment(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def started(self) -> bool:
        """It works by now. Raises DemoError when it has ended instead."""
        if self._process is not None and self._process.poll() is not None:
            raise DemoError(f"The daemon ended with exit code {self._process.returncode}.\n{self.last_words()}")
        return Event.DAEMON_STARTED.value in self._log()

    def stop(self) -> int:
        """Asked to end, made to if it does not; returns its exit code. Harmless when it has ended."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._log().splitlines()[-_LOG_LINES_SHOWN:])

    def _log(self) -> str:
        return self._places.log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the user's own set-up reaches the demo's daemon, least of all a real key."""
    foreign = ("SPEECHSENSE_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_")
    kept = {key: value for key, value in environ.items() if not key.startswith(foreign)}
    # The child finds the program where this process found it, and no proxy stands before loopback.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**kept, "PYTHONPATH": path, "no_grpc_proxy": "127.0.0.1"}


class Eyes:
    """Looks at the calls' rows in the daemon's queue, without ever writing to it."""

    def __init__(self, places: Places, calls: Sequence[Call], day: Path) -> None:
        self._path = places.queue
        below = day.relative_to(places.recordings)
        self._paths = {call.name: [f"{below}/{call.name}.wav", f"{below}/{call.name}.json"] for call in calls}
        self._queue: SqliteQueue | None = None
        self._seen: dict[str, Job] = {}

    def look(self) -> Mapping[str, Job]:
        """The jobs there are by the calls' names; what was seen last while the queue cannot be read."""
        try:
            self._queue = self._queue or SqliteQueue(self._path, read_only=True)
            found = self._queue.at_places(FOLDER, [path for paths in self._paths.values() for path in paths])
        except QueueTrouble:
            return self._seen
        # A call of which only the metadata is there stands at the metadata's path.
        rows = {name: [found[path] for path in paths if path in found] for name, paths in self._paths.items()}
        self._seen = {name: jobs[0] for name, jobs in rows.items() if jobs}
        return self._seen

    def close(self) -> None:
        if self._queue is not None:
            self._queue.close()


def orders(standin: StandIn, calls: Sequence[Call]) -> None:
    """The stand-in will turn calls away as often as the scene says, at the very beginning of each try: by then nothing
    complete was sent, so that another try can never make a double.
    """
    for call in calls:
        if call.refusals:
            fields = {"client_id": call.number}
            standin.order(Fault("INTERNAL", count=call.refusals, fields=fields, message="a moment of trouble, made for the demo"))
