"""One folder, one queue, one daemon and one service, as child processes that may be killed at any time."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from support.proxy import Proxy, Way
from support.rig import free_port, toml
from support.waiting import wait_for
from torture.points import Plan
from torture.recordings import CHUNK_SIZE, STREAM_ABOVE, Recorder
from torture.service import die_file

CONNECTION = "conn-1"
RECORDING_ID = "recording_id"
_START_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What distinguishes one world from the next."""

    name: str
    policy: str = "resend"
    after_upload: str = "keep"
    # Where the archive is; a directory beside the folder unless told.
    archive_to: Path | None = None
    seed: int = 1
    index_lag_s: float = 0.0
    # After so long the service tells a connection to go away.
    connection_age_s: float = 0.0
    patience: str = "2s"
    hurried: bool = True
    upload: Mapping[str, object] = field(default_factory=dict)
    rules: Mapping[str, object] = field(default_factory=dict)


class World:
    """Ends every process it started when it is left."""

    def __init__(self, directory: Path, setting: Setting) -> None:
        self.directory = directory
        self.setting = setting
        self.chance = random.Random(setting.seed)
        directory.mkdir(parents=True, exist_ok=True)
        self.folder, self.service_directory = directory / "in", directory / "service"
        self.archive = setting.archive_to or directory / "archive"
        self.queue_path, self.config_path = directory / "state" / "queue.db", directory / "config.toml"
        self.log_path, self.visits_path = directory / "daemon.log", directory / "visits"
        self.folder.mkdir(exist_ok=True)
        self.recorder = Recorder(self.folder, directory / "aside", CONNECTION, setting.seed)
        self.port = free_port()
        # What is taken from the daemon at each of its starts, and what it is started through.
        self._log_from = 0
        self.without: tuple[str, ...] = ()
        self.tracer: tuple[str, ...] = ()
        # What the daemon connects to.
        self.proxy = Proxy(self.port)
        self.daemon: subprocess.Popen[bytes] | None = None
        self.service: subprocess.Popen[bytes] | None = None
        self._killed: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        self.configure()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.kill_daemon()
        self.kill_service()
        self.proxy.__exit__(kind, value, trace)

    # --- configuration -----------------------------------------------------------------------

    def configure(self) -> None:
        speechsense = {"endpoint": self.proxy.target, "auth": "none", "plaintext": True}
        upload = {
            "retry_initial": "20ms",
            "retry_max": "300ms",
            "shutdown_grace": "2s",
            "stream_above": f"{STREAM_ABOVE}B",
            "chunk_size": f"{CHUNK_SIZE}B",
            **self.setting.upload,
        }
        self.config_path.write_text(
            "[speechsense]\n"
            + toml(speechsense)
            + "[queue]\n"
            + toml({"path": str(self.queue_path)})
            + "[upload]\n"
            + toml(upload)
            + "[[folders]]\n"
            + toml(self._folder())
            + self._search()
        )

    def _folder(self) -> dict[str, object]:
        archive: dict[str, object] = {"archive_to": str(self.archive)} if self.setting.after_upload == "archive" else {}
        return {
            "path": str(self.folder),
            "connection_id": CONNECTION,
            "start_from": "all",
            "metadata_last": True,
            "quiet_period": "100ms",
            "rescan_interval": "1s",
            "recording_id_field": RECORDING_ID,
            "on_unknown": self.setting.policy,
            "after_upload": self.setting.after_upload,
            **archive,
            **self.setting.rules,
        }

    def _search(self) -> str:
        if self.setting.policy != "search":
            return ""
        return f'search_patience = "{self.setting.patience}"\n' + 'search = { organization_id = "org", space_id = "space" }\n'

    # --- the daemon --------------------------------------------------------------------------

    def start_daemon(self, plan: Plan | None = None) -> None:
        plan = replace(plan or Plan(), visits=str(self.visits_path), without=self.without, hurried=self.setting.hurried)
        with self.log_path.open("ab") as log:
            self._log_from = log.tell()
            line = [*self.tracer, sys.executable, "-m", "torture.launcher", "run", "--config", str(self.config_path)]
            self.daemon = subprocess.Popen(line, env=_environ(plan), stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait_for_start(self) -> None:
        """The daemon says that it has begun, so it heeds signals."""
        wait_until(lambda: b"daemon_started" in self.log_path.read_bytes()[self._log_from :], _START_WITHIN_S)

    def daemon_lives(self) -> bool:
        return self.daemon is not None and self.daemon.poll() is None

    def kill_daemon(self) -> None:
        _kill(self.daemon)

    def stop_daemon(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(timeout=30)

    def wait_for_death(self, within_s: float) -> bool:
        """Whether the daemon died by itself in time."""
        assert self.daemon is not None
        try:
            self.daemon.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def command(self, *arguments: str) -> str:
        """What one of the program's commands says, run beside the daemon."""
        line = [sys.executable, "-m", "speechsense_watch", arguments[0], "--config", str(self.config_path), *arguments[1:]]
        done = subprocess.run(line, env=_environ(Plan()), capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    # --- the network -------------------------------------------------------------------------

    def mend_network(self) -> None:
        self.proxy.up, self.proxy.down = Way(), Way()

    def spoil_network(self) -> str:
        """Something is wrong with it now, for connections that are made from now on at least; returns what."""
        proxy, chance = self.proxy, self.chance
        match chance.randrange(5):
            case 0:
                proxy.up.reset_at = int(chance.expovariate(1 / 20_000)) + 1
                return "reset on the way up"
            case 1:
                proxy.down.reset_at = int(chance.expovariate(1 / 300)) + 1
                return "reset on the way down"
            case 2:
                proxy.down.swallowing = True
                return "answers swallowed"
            case 3:
                proxy.up.bytes_per_s = 60_000
                return "slow line"
            case _:
                proxy.up.delay_s = proxy.down.delay_s = 0.1
                return "long line"

    # --- the service -------------------------------------------------------------------------

    def start_service(self) -> None:
        """It listens. Harmless while it runs."""
        if self.service is not None and self.service.poll() is None:
            return
        rules: dict[str, object] = {
            "connections": [CONNECTION],
            "declared": [RECORDING_ID],
            "index_lag_s": self.setting.index_lag_s,
        }
        rules["connection_age_s"] = self.setting.connection_age_s
        line = [sys.executable, "-m", "torture.service", str(self.port), str(self.service_directory), json.dumps(rules)]
        with (self.directory / "service.log").open("ab") as log:
            self.service = subprocess.Popen(line, env=_environ(Plan()), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(self._listens, _START_WITHIN_S, "the service listens")

    def _listens(self) -> bool:
        assert self.service is not None
        assert self.service.poll() is None, (self.directory / "service.log").read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def service_died(self) -> bool:
        """Whether it ended by a kill that nobody here has sent; told once."""
        process = self.service
        if process is None or process.poll() != -signal.SIGKILL or process is self._killed:
            return False
        self._killed = process
        return True

    def service_lives(self) -> bool:
        return self.service is not None and self.service.poll() is None

    def kill_service(self) -> None:
        _kill(self.service)
        self._killed = self.service
        die_file(self.service_directory).unlink(missing_ok=True)


def _environ(plan: Plan) -> dict[str, str]:
    # Measuring the branches of a process that is killed yields nothing and costs as much as the process.
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "COV_CORE"))}
    return {**ours, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **plan.environ()}


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()


def wait_until(predicate: Callable[[], bool], within_s: float) -> bool:
    """Whether it held in time; looked at ten times a second, which is cheap enough beside what is waited for."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if predicate():
            return True
        time.sleep(0.1)
    return False
