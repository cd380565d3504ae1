"""The composition root: builds the daemon out of its parts and runs it until a signal says otherwise.

Three loops on threads of their own (intake, uploader, filer); the main thread waits for signals, feeds the watchdog while
the loops make progress, and notices what other processes wrote into the queue.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType

from speechsense_watch import __version__
from speechsense_watch.attempt import Attempts, Ended, Throttle, Tree
from speechsense_watch.config import Config, ConfigError, load
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.rules import Folder, OnUnknown
from speechsense_watch.edge import lock
from speechsense_watch.edge.auth import Credentials
from speechsense_watch.edge.channel import Endpoint
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.filing import FileFiling
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.notify import Notifier
from speechsense_watch.edge.process import owner_alive
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.edge.supervisor import FolderWatch
from speechsense_watch.filer import Filer
from speechsense_watch.folder_intake import FolderIntake
from speechsense_watch.intake import Intake
from speechsense_watch.log import Event, Log
from speechsense_watch.loop import Loop
from speechsense_watch.places import Places
from speechsense_watch.ports import Clock, QueueTrouble
from speechsense_watch.roots import Roots
from speechsense_watch.scan import Scan
from speechsense_watch.uploader import Surroundings, Uploader

EXIT_OK, EXIT_FATAL, EXIT_CANNOT_CREATE, EXIT_CONFIG = 0, 1, 73, 78
_LOOK_EVERY_S = 2.0
_HEARTBEAT_EVERY_S = 60.0
# How long one step may take before the loop counts as stuck: the intake may have to hash a long file on a slow share, the
# filer to copy one to another file system.
_STALLED_AFTER_S = {"intake": 300.0, "uploader": 60.0, "filer": 1800.0}
_MOST_WORKERS = 64


_ON_UNKNOWN = {
    OnUnknown.RESEND: "A recording whose answer is lost is sent again and marked as a possible duplicate. "
    'on_unknown = "hold" asks you instead.',
    OnUnknown.HOLD: "A recording whose answer is lost waits for your `resolve`.",
    OnUnknown.SEARCH: "Looking up is not built yet: a recording whose answer is lost waits for your `resolve`.",
}


class CannotOpenQueue(Exception):  # noqa: N818
    """The queue cannot be opened or is in use; the message says what to do."""


def open_queue(path: Path) -> SqliteQueue:
    """Raises CannotOpenQueue."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteQueue(path)
    except (OSError, QueueTrouble, NewerSchema) as error:
        raise CannotOpenQueue(f"The queue {path} cannot be opened: {error}") from error


def service_of(config: Config, environ: Mapping[str, str], clock: Clock, on_ready: Callable[[], None]) -> GrpcService:
    """Raises OSError when the CA file cannot be read."""
    settings = config.speechsense
    credentials = Credentials(settings, environ, clock.monotonic)
    return GrpcService(Endpoint(settings.endpoint, settings.plaintext, settings.ca_file), credentials, on_ready)


@dataclass(slots=True)
class Signals:
    """What signals have asked for; handlers only set flags."""

    news: threading.Event
    stop: int = 0
    reload: bool = False

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop += 1
        self.news.set()

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True
        self.news.set()


class Daemon:
    """Everything `run` runs. One per process, used once."""

    def __init__(self, config: Config, environ: Mapping[str, str], log: Log, clock: Clock | None = None) -> None:
        self._config = config
        self._environ = environ
        self._log = log
        self._clock = clock or SystemClock()
        self._notifier = Notifier.from_environment(environ)
        self._signals = Signals(threading.Event())
        self._fatal: str | None = None
        self._next_heartbeat_at = 0.0
        self._status = ""

    # --- building ----------------------------------------------------------------------------

    def _build(self, queue: SqliteQueue) -> None:
        """Raises OSError when the CA file cannot be read."""
        self._queue = queue
        self._pool = ThreadPoolExecutor(_MOST_WORKERS, thread_name_prefix="attempt")
        self._throttle = Throttle(self._clock)
        self._intake = Intake(wake=self._wake_intake)
        service = service_of(self._config, self._environ, self._clock, self._wake_uploader)
        self._attempts = Attempts(queue, service, self._clock, self._throttle)
        surroundings = Surroundings(self._wake_uploader, self._intake.look, owner_alive)
        self._uploader = Uploader(queue, service, self._start_attempt, self._clock, random.random, self._log, surroundings)
        self._filer = Filer(queue, FileFiling(), self._clock, self._log)
        steps = {"intake": self._intake.step, "uploader": self._upload_step, "filer": self._filer.step}
        self._loops = {
            name: Loop(name, step, self._clock, self._log, self._failed, _STALLED_AFTER_S[name]) for name, step in steps.items()
        }
        self._folders: dict[str, FolderIntake] = {}
        self._configure(self._config)

    def _wake_intake(self) -> None:
        self._loops["intake"].wake()

    def _wake_uploader(self) -> None:
        self._loops["uploader"].wake()

    def _upload_step(self) -> float:
        accepted = self._uploader.accepted
        rest_s = self._uploader.step()
        if self._uploader.accepted != accepted:
            self._loops["filer"].wake()
        return rest_s

    def _configure(self, config: Config) -> None:
        """The parts go by this configuration from now on."""
        rules = {folder.name: folder for folder in config.folders}
        self._folders = {name: self._kept(folder) or self._folder_intake(folder) for name, folder in rules.items()}
        self._attempts.rules = config.upload
        self._attempts.trees = {
            name: Tree(intake.rules, intake.files, intake.places.roots.gone_counts) for name, intake in self._folders.items()
        }
        self._throttle.bytes_per_s = config.upload.bandwidth_bytes_per_s
        self._uploader.configure(config.upload, rules)
        self._filer.configure(rules, config.queue.history_s)
        self._intake.configure(self._folders)

    def _kept(self, folder: Folder) -> FolderIntake | None:
        old = self._folders.get(folder.name)
        return old if old is not None and old.rules == folder else None

    def _folder_intake(self, folder: Folder) -> FolderIntake:
        files = FolderFiles(folder.path, self._clock)
        roots = Roots(files, self._queue, folder.name)
        root = files.root()
        places = Places(
            folder,
            files,
            self._queue,
            self._clock,
            self._log,
            roots,
            self._start_from(folder),
            local=not root.remote,
            ready=self._wake_uploader,
        )
        watch = FolderWatch(folder, self._intake.hint, clock=self._clock, look_at_root=files.root)
        scan = Scan(files, folder, self._clock)
        return FolderIntake(folder, files, watch, places, scan, self._clock, self._queue, self._log)

    def _start_from(self, folder: Folder) -> datetime | None:
        first = self._queue.first_watched(folder.name, folder.path, self._clock.now())
        if folder.start_from == "all":
            return None
        return first if isinstance(folder.start_from, str) else folder.start_from

    def _start_attempt(self, job: Job, probe: bool, hand_back: Callable[[Ended], None]) -> None:  # noqa: FBT001
        self._pool.submit(self._attempt, job, probe, hand_back)

    def _attempt(self, job: Job, probe: bool, hand_back: Callable[[Ended], None]) -> None:  # noqa: FBT001
        ended = Ended(job, broke_off=True)
        try:
            ended = self._attempts.run(job, probe=probe)
        except Exception:  # noqa: BLE001 - a worker must always hand back; what went wrong is told whole
            self._log.exception(Event.LOOP_FAILED, loop="attempt", job=job.id)
        finally:
            hand_back(ended)

    # --- running -----------------------------------------------------------------------------

    def run(self) -> int:
        """Until a signal; returns the exit code. Raises CannotOpenQueue, and OSError for an unreadable CA file."""
        path = Path(self._config.queue.path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = lock.acquire(f"{path}.lock", self._clock)
        except lock.LockBusy as busy:
            raise CannotOpenQueue(f"The queue {path} is in use by another speechsense-watch ({busy}).") from busy
        except (OSError, lock.LockTrouble) as error:
            raise CannotOpenQueue(f"The queue {path} cannot be locked: {error}") from error
        with held:
            queue = open_queue(path)
            try:
                self._build(queue)
                return self._run()
            finally:
                queue.close()

    def _run(self) -> int:
        self._signals.install()
        recovered = self._uploader.recover()
        lacking = self._queue.fill_journal()
        self._log.info(
            Event.DAEMON_STARTED, version=__version__, folders=len(self._folders), recovered=recovered, journal_filled=lacking
        )
        if only := self._queue.read_journal():
            message = (
                "The journal knows talks that the queue does not: was it lost, or restored from an older copy? They are adopted."
            )
            self._log.warning(Event.QUEUE_SUSPICIOUS, talks=only, message=message)
        for warning in self._config.warnings:
            self._log.warning(Event.CONFIG_WARNING, message=warning)
        for folder in self._config.folders:
            self._log.info(Event.ON_UNKNOWN, folder=folder.name, policy=folder.on_unknown, message=_ON_UNKNOWN[folder.on_unknown])
        for loop in self._loops.values():
            loop.start()
        self._heartbeat()
        self._notifier.ready(self._describe())
        while not self._signals.stop and self._fatal is None:
            interval_s = min(self._notifier.watchdog_interval_s or _LOOK_EVERY_S, _LOOK_EVERY_S)
            self._signals.news.wait(interval_s)
            self._signals.news.clear()
            self._tend()
        return self._shut_down()

    def _tend(self) -> None:
        if self._signals.reload:
            self._signals.reload = False
            self._reload()
        if self._changed_elsewhere():
            self._intake.revisit()
            for loop in self._loops.values():
                loop.wake()
        stalled = [loop.name for loop in self._loops.values() if loop.stalled]
        if stalled:
            self._log.error(Event.LOOP_STALLED, loops=stalled)
            return  # the watchdog is not fed: systemd ends and restarts us
        self._notifier.watchdog()
        self._filer.present = [name for name, intake in self._folders.items() if not intake.away]
        if self._clock.monotonic() >= self._next_heartbeat_at:
            try:
                self._heartbeat()
            except QueueTrouble as trouble:
                # The loops meet the same trouble and say what follows from it.
                self._log.warning(Event.LOOP_FAILED, loop="main", message=str(trouble))

    def _changed_elsewhere(self) -> bool:
        try:
            return self._queue.changed_elsewhere()
        except QueueTrouble:
            return False

    def _heartbeat(self) -> None:
        self._next_heartbeat_at = self._clock.monotonic() + _HEARTBEAT_EVERY_S
        self._queue.set_runtime(
            "daemon", {"heartbeat_at": self._clock.now().isoformat(), "version": __version__, "pid": os.getpid()}
        )
        if (status := self._describe()) != self._status:
            self._status = status
            self._notifier.status(status)

    def _describe(self) -> str:
        counts = self._queue.counts()
        told = (State.READY, State.WAITING, State.UNCONFIRMED, State.REFUSED, State.UNUSABLE, State.LOST)
        words = [f"{counts[state]} {state}" for state in told]
        paused = [f"paused: {pause.reason}" for pause in list(self._uploader.traffic.pauses.values())]
        return ", ".join([f"{counts[State.DONE]} done", *words, *paused])

    def _failed(self, message: str) -> None:
        self._fatal = message
        self._signals.news.set()

    # --- reloading and ending ----------------------------------------------------------------

    def _reload(self) -> None:
        """All of the new configuration, or none of it."""
        self._notifier.reloading(int(self._clock.monotonic() * 1_000_000))
        try:
            config = load(self._config.path, self._environ)
            self._adopt(config)
        except ConfigError as error:
            for problem in error.problems:
                self._log.error(Event.CONFIG_REJECTED, place=problem.place, message=problem.message)
        except OSError as error:
            self._log.error(Event.CONFIG_REJECTED, place="speechsense.ca_file", message=str(error))
        self._notifier.ready(self._describe())

    def _adopt(self, config: Config) -> None:
        if config.queue.path != self._config.queue.path:
            self._log.warning(Event.CONFIG_WARNING, message="queue.path has changed: that takes a restart.")
        service = service_of(config, self._environ, self._clock, self._wake_uploader)
        old, self._attempts.service, self._uploader.service = self._attempts.service, service, service
        if isinstance(old, GrpcService):
            old.retire()
        self._config = config
        self._configure(config)
        self._log.info(Event.CONFIG_RELOADED, folders=len(config.folders), warnings=list(config.warnings))
        for loop in self._loops.values():
            loop.wake()

    def _shut_down(self) -> int:
        """No new claims; attempts before their commit point are given back, committing ones get the grace period."""
        self._log.info(Event.DAEMON_STOPPING, in_flight=self._uploader.busy)
        self._notifier.stopping()
        self._uploader.stopping = self._filer.stopping = self._attempts.stopping = self._throttle.stopped = True
        self._loops["intake"].stop()
        service = self._attempts.service
        service.stop_uncommitted()
        self._wait_for_ends(self._config.upload.shutdown_grace_s, until_signal=2)
        service.stop_all()
        self._wait_for_ends(3.0, until_signal=3)
        for loop in self._loops.values():
            loop.stop()
        still_running = [loop for loop in self._loops.values() if not loop.join(5.0)]
        self._intake.stop()
        self._pool.shutdown(wait=not still_running, cancel_futures=True)
        left = self._uploader.recover() if self._fatal is None else 0
        if isinstance(service, GrpcService):
            service.close()
        self._log.info(Event.DAEMON_STOPPED, left_unconfirmed_or_given_back=left)
        return EXIT_OK if self._fatal is None else EXIT_FATAL

    def _wait_for_ends(self, for_s: float, until_signal: int) -> None:
        until = self._clock.monotonic() + for_s
        while self._uploader.busy and self._signals.stop < until_signal and self._clock.monotonic() < until:
            self._loops["uploader"].wake()
            self._clock.sleep(0.05)
