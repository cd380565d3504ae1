"""The real program as a child, timed by its own record: from READY, as it tells systemd, to the last talk id committed."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from measure.bench import processes
from measure.bench.service import Service
from support.rig import Rig

_READY_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.1
_KEY = "k" * 40


@dataclass(frozen=True, slots=True)
class Run:
    """What the queue says of a run that is over; times in seconds since it began to count. `created` and `ended` are sorted."""

    created: list[float]
    ended: list[float]
    first_claim: float
    cpu_s: float
    peak_mb: float
    talk_ids: frozenset[str]

    @property
    def count(self) -> int:
        return len(self.ended)

    @property
    def seconds(self) -> float:
        return self.ended[-1]

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def steady_rate(self) -> float:
        return self.count / (self.ended[-1] - self.first_claim)

    @property
    def cpu_ms_each(self) -> float:
        return 1000 * self.cpu_s / self.count


class Ours:
    """A daemon that has told that it is READY, over a queue of its own."""

    def __init__(self, rig: Rig, ready_at: float, ready_after_s: float) -> None:
        self.rig = rig
        # By the clock that the queue's times are of.
        self.ready_at = ready_at
        self.ready_after_s = ready_after_s
        assert rig.process is not None
        self.pid = rig.process.pid
        self._begun_cpu_s = processes.cpu_s(self.pid)

    def count_from_now(self) -> None:
        """Instead of from READY on."""
        self.ready_at, self._begun_cpu_s = time.time(), processes.cpu_s(self.pid)

    def wait_for_done(self, count: int, within_s: float) -> Run:
        """Every recording has its talk id, and nothing is left to do with it."""
        self._wait(count, within_s)
        cpu_s, peak_mb = processes.cpu_s(self.pid) - self._begun_cpu_s, processes.peak_mb(self.pid)
        with closing(self._connect()) as queue:
            created = [at / 1e6 - self.ready_at for (at,) in queue.execute("SELECT created_at FROM jobs ORDER BY 1")]
            ended = [at / 1e6 - self.ready_at for (at,) in queue.execute("SELECT ended_at FROM attempts ORDER BY 1")]
            (first_claim,) = queue.execute("SELECT min(started_at) FROM attempts").fetchone()
            talk_ids = frozenset(talk_id for (talk_id,) in queue.execute("SELECT talk_id FROM jobs"))
        assert len(ended) == count, f"{len(ended)} attempts for {count} recordings"
        return Run(created, ended, first_claim / 1e6 - self.ready_at, cpu_s, peak_mb, talk_ids)

    def _wait(self, count: int, within_s: float) -> None:
        until = time.monotonic() + within_s
        with closing(self._connect()) as queue:
            while True:
                counts = dict(queue.execute("SELECT state, sum(n) FROM counts GROUP BY state"))
                if counts.get("done", 0) >= count:
                    return
                assert self.rig.process is not None
                assert self.rig.process.poll() is None, f"the daemon ended:\n{self.rig.log()[-3000:]}"
                assert time.monotonic() < until, f"in {within_s:.0f} s only {counts}:\n{self.rig.log()[-3000:]}"
                time.sleep(_LOOK_EVERY_S)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.rig.queue_path.as_uri()}?mode=ro", uri=True)


@contextmanager
def started(
    base: Path,
    service: Service,
    *,
    folder: Path | None = None,
    in_flight: int = 8,
    rules: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    program: tuple[str, ...] = (),
) -> Iterator[Ours]:
    """`folder` is watched, else an empty one. Files that are there at the start count as complete, as those of yesterday would:
    `metadata_last` instead of a second look after the quiet period.
    """
    directory = Path(tempfile.mkdtemp(prefix="ours-", dir=base))
    try:
        with Rig(directory, service.port) as rig:
            rig.folder = folder or rig.folder
            _configure(rig, service, in_flight)
            rig.rules = {"start_from": "all", "metadata_last": True} | dict(rules or {})
            rig.environ = dict(environ or {})
            rig.program = program or rig.program
            yield launch(rig)
            rig.stop()
    finally:
        shutil.rmtree(directory)


def _configure(rig: Rig, service: Service, in_flight: int) -> None:
    key_file = rig.directory / "api-key"
    key_file.write_text(_KEY)
    key_file.chmod(0o600)
    host = "localhost" if service.ca_file else "127.0.0.1"
    rig.speechsense = {"endpoint": f"{host}:{service.port}", "api_key_file": str(key_file)}
    rig.speechsense |= {"ca_file": service.ca_file} if service.ca_file else {"plaintext": True}
    rig.upload = {"concurrency": in_flight}


def launch(rig: Rig) -> Ours:
    """As systemd would: its word is waited for."""
    rig.configure()
    name = rig.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, rig.log_path.open("ab") as log:
        name.unlink(missing_ok=True)
        told.bind(str(name))
        told.settimeout(_READY_WITHIN_S)
        rig.environ |= {"NOTIFY_SOCKET": str(name)}
        began = time.monotonic()
        rig.process = rig.command("run", stderr=log)
        try:
            while b"READY=1" not in told.recv(4096):
                pass
        except TimeoutError:
            raise AssertionError(f"it was not READY in {_READY_WITHIN_S:.0f} s:\n{rig.log()[-3000:]}") from None
        ready_after_s, ready_at = time.monotonic() - began, time.time()
    return Ours(rig, ready_at, ready_after_s)
