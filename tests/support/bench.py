"""The three loops on real files and a real queue, with time, chance and the service in the test's hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from speechsense_watch.attempt import Attempts, Ended, Tree
from speechsense_watch.config import LogFormat, LogLevel
from speechsense_watch.core.model import Job, Place, State
from speechsense_watch.core.rules import Folder, UploadRules
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.edge.filing import FileFiling
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.on_record import SqliteOnRecord
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.sources import sources_of
from speechsense_watch.filer import Filer
from speechsense_watch.folder_intake import FolderIntake
from speechsense_watch.intake import Intake
from speechsense_watch.log import configure, logger
from speechsense_watch.places import Places
from speechsense_watch.ports import Channel, ChannelState, Halted, Key, OnEnd, Talk, WatchHealth, WatchState
from speechsense_watch.roots import Roots
from speechsense_watch.scan import Scan
from speechsense_watch.throttle import Throttle
from speechsense_watch.uploader import Surroundings, Uploader
from support.manual_clock import ManualClock
from support.rig import FIELDS
from support.wavs import pcm

ACCEPT = Outcome(code=Code.OK, talk_id="given below", committed=True)


@dataclass
class ScriptedService:
    """Keeps `ports.Service`: answers by script, then accepts. `sent` holds what was sent whole."""

    state: Channel = field(default_factory=lambda: Channel(ChannelState.READY))
    script: list[Outcome] = field(default_factory=list)
    sent: list[tuple[Talk, bytes]] = field(default_factory=list)
    calls: list[tuple[str, Talk]] = field(default_factory=list)
    # What a look at the key finds; a call shows what there is when it begins.
    key: Key = field(default_factory=Key)
    # How often it was told that there is nothing to send.
    idled: int = 0
    # Called before an answer, to see or do things in the middle of an attempt.
    meanwhile: Callable[[Talk], None] = lambda _talk: None

    def channel(self) -> Channel:
        return self.state

    def idle(self) -> None:
        self.idled += 1

    def _answer(self, talk: Talk, audio: bytes, shown: Key, *, committed: bool) -> Outcome:
        answer = self.script.pop(0) if self.script else ACCEPT
        if answer is ACCEPT:
            self.sent.append((talk, audio))
            return Outcome(code=Code.OK, talk_id=f"talk-{len(self.sent)}", committed=True, bytes_sent=len(audio))
        return Outcome(
            code=answer.code,
            message=answer.message,
            committed=committed,
            halt=answer.halt,
            retry_after_s=answer.retry_after_s,
            credentials=shown.number,
        )

    def send_whole(self, talk: Talk, audio: bytes) -> Outcome:
        self.calls.append(("whole", talk))
        shown = self.key
        self.meanwhile(talk)
        return self._answer(talk, audio, shown, committed=True)

    def begin_whole(self, talk: Talk, audio: bytes, on_end: OnEnd) -> None:
        on_end(self.send_whole(talk, audio))

    def send_stream(self, talk: Talk, pieces: Iterator[bytes], at_commit: Callable[[], None], hold_s: float) -> Outcome:
        """Refuses before the commit point when the script says anything but an answer that was `committed`."""
        self.calls.append(("probe" if hold_s else "stream", talk))
        shown = self.key
        self.meanwhile(talk)
        try:
            audio = b"".join(pieces)
            if self.script and not self.script[0].committed:
                return self._answer(talk, audio, shown, committed=False)
            at_commit()
        except Halted as halted:
            return Outcome(code=Code.CANCELLED, halt=halted.halt, message=halted.message)
        return self._answer(talk, audio, shown, committed=True)

    def stop_uncommitted(self) -> None:
        pass

    def stop_all(self) -> None:
        pass


class NoteInMemory:
    """Keeps `ports.InHand`."""

    def __init__(self) -> None:
        self.noted: frozenset[int] | None = None

    def holds(self, jobs: Collection[int]) -> None:
        self.noted = frozenset(jobs)

    def left(self) -> frozenset[int] | None:
        return self.noted


class StillWatch:
    """Keeps `ports.Watch` without ever hinting at anything."""

    def __init__(self) -> None:
        self.state = WatchState.POLLING
        self.polling_because = ""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def supervise(self) -> None: ...

    def prefer_polling(self, reason: str) -> None:
        self.state, self.polling_because = WatchState.POLLING, reason

    def health(self) -> WatchHealth:
        return WatchHealth(self.state, "a test")


class Bench:
    """`start_from` is "all" unless told; nothing runs but what a test calls."""

    def __init__(self, directory: Path, queue: SqliteQueue, rules: Mapping[str, object], upload: UploadRules) -> None:
        self.directory = directory
        self.folder_path = directory / "in"
        self.folder_path.mkdir(exist_ok=True)
        self.queue = queue
        self.clock = ManualClock()
        self.log = StringIO()
        configure(LogFormat.JSON, LogLevel.DEBUG, self.log, isatty=False)
        self.service = ScriptedService()
        self.started: list[tuple[Job, bool]] = []
        self.jitter = 0.5
        self.upload_rules = upload
        self.attempts = Attempts(queue, self.service, self.clock, Throttle(self.clock))
        self.intake = Intake(lambda: None, logger())
        # The owners of `upload` commands that still run.
        self.living: set[str] = set()
        self.note = NoteInMemory()
        self._changed_ns: dict[str, int] = {}
        self.uploader = Uploader(
            queue,
            self.service,
            self._start,
            self.clock,
            lambda: self.jitter,
            logger(),
            Surroundings(lambda: None, self.intake.look, lambda owner: owner in self.living, self.note, lambda: self.service.key),
        )
        self.filer = Filer(queue, FileFiling(), self.clock, logger())
        self.configure(**rules)

    def configure(self, **rules: object) -> None:
        defaults: dict[str, object] = {"name": "in", "connection_id": "conn", "start_from": "all", "quiet_period_s": 10.0}
        self.folder = Folder(path=str(self.folder_path), **{**defaults, **rules})  # type: ignore[arg-type]
        self.files = FolderFiles(self.folder.path, self.clock)
        roots = Roots(self.files, self.queue, self.folder.name)
        start_from = None if isinstance(self.folder.start_from, str) else self.folder.start_from
        self.places = Places(
            self.folder,
            self.files,
            self.queue,
            self.clock,
            logger(),
            roots,
            start_from,
            local=True,
            ready=lambda: None,
            sources=sources_of(self.folder, self.clock),
        )
        self.folder_intake = FolderIntake(
            self.folder,
            self.files,
            StillWatch(),
            self.places,
            Scan(self.files, self.folder, self.clock),
            self.clock,
            self.queue,
            SqliteOnRecord(self.queue, self.folder.name),
            logger(),
        )
        self.intake.configure({self.folder.name: self.folder_intake})
        self.attempts.rules = self.upload_rules
        self.attempts.trees = {self.folder.name: Tree(self.folder, self.files, roots.gone_counts, self.places.sources)}
        self.queue.reconnect(self.folder.name, self.folder.connection_id)
        self.uploader.configure(self.upload_rules, {self.folder.name: self.folder})
        self.filer.configure({self.folder.name: self.folder}, 90 * 86400.0, {self.folder.name: roots.gone_counts})

    def _start(self, job: Job, probe: bool, hand_back: Callable[[Ended], None]) -> None:  # noqa: FBT001
        self.started.append((job, probe))
        hand_back(self.attempts.run(job, probe=probe))

    # --- files -------------------------------------------------------------------------------

    def write(self, path: str, data: bytes, *, age_s: float | None = None) -> None:
        """The file, `age_s` seconds old by the manual clock (0 unless told)."""
        target = self.folder_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        at = self.clock.now().timestamp() - (age_s or 0.0)
        os.utime(target, (at, at))

    def drop(self, stem: str = "call", seed: int = 0, fields: Mapping[str, object] | None = None, seconds: float = 0.5) -> bytes:
        audio = pcm(seconds=seconds, seed=seed)
        self.write(f"{stem}.wav", audio)
        self.write(f"{stem}.json", json.dumps(FIELDS if fields is None else fields).encode())
        return audio

    def _date_directories(self) -> None:
        """Directories that changed since did so now, by the manual clock. By the machine's own they would lie months ahead of it
        and never settle, and every scan would list everything anew: what a scan does not list then stayed untested.
        """
        now_ns = int(self.clock.now().timestamp() * 1e9)
        for directory, _, _ in os.walk(self.folder_path):
            if Path(directory).stat().st_mtime_ns != self._changed_ns.get(directory):
                os.utime(directory, ns=(now_ns, now_ns))
                self._changed_ns[directory] = now_ns

    # --- time --------------------------------------------------------------------------------

    def look(self, seconds: float = 0.0) -> None:
        """Time passes, then the intake does all that is due."""
        self._date_directories()
        self.clock.advance(seconds)
        for _ in range(10_000):
            if self.intake.step() > 0:
                return
        raise AssertionError("the intake never rests")

    def settle(self) -> None:
        """The files have been left alone for the quiet period, and the intake knows."""
        self.look()
        self.look(self.folder.quiet_period_s + 0.1)

    def send(self, seconds: float = 0.0) -> None:
        """Time passes, then the uploader does all that is due, and takes the ends of what it began."""
        self.clock.advance(seconds)
        self.uploader.step()
        self.uploader.step()

    def file(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        self.filer.step()

    # --- rows --------------------------------------------------------------------------------

    def job(self, path: str = "call.wav") -> Job:
        job = self.queue.at_place(Place("in", path))
        assert job is not None, f"no job at {path}; there are {[j.place.path for j in self.jobs()]}"
        return job

    def jobs(self) -> list[Job]:
        return sorted(self.queue.in_states(tuple(State)), key=lambda job: job.id)

    def events(self, job_id: int) -> list[str]:
        return [row["event"] for row in self.queue.rows("SELECT event FROM events WHERE job_id = ? ORDER BY id", (job_id,))]

    def paused(self) -> dict[str, str]:
        return {scope: pause.reason.value for scope, pause in self.uploader.traffic.pauses.items()}


@contextmanager
def bench_on(directory: Path, upload: UploadRules | None = None, **rules: object) -> Iterator[Bench]:
    with closing(SqliteQueue(directory / "queue.db")) as queue:
        yield Bench(directory, queue, rules, upload or UploadRules())
