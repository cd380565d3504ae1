"""The parts of the daemon put together: what `app.Daemon` runs, and how a new configuration is taken over."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

from speechsense_watch.attempt import Attempts, Tree
from speechsense_watch.config import Config, ConfigError, ConfigProblem
from speechsense_watch.confirmer import Confirmer
from speechsense_watch.core.rules import MOST_AT_A_TIME, Folder
from speechsense_watch.edge.auth import AnyCredentials, credentials_of
from speechsense_watch.edge.channel import Endpoint
from speechsense_watch.edge.claims import RootClaims
from speechsense_watch.edge.disk import written_at
from speechsense_watch.edge.doubts import SqliteDoubts
from speechsense_watch.edge.filing import FileFiling
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.iam import Renewing
from speechsense_watch.edge.in_hand import InHandFile
from speechsense_watch.edge.machine import this_machine
from speechsense_watch.edge.on_record import SqliteOnRecord
from speechsense_watch.edge.process import owner_alive
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.shared_claims import SharedClaims
from speechsense_watch.edge.sources import sources_of
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.edge.supervisor import FolderWatch
from speechsense_watch.edge.watched import conflicts, roots_of, watched_around, with_inner
from speechsense_watch.filer import Filer
from speechsense_watch.folder_intake import FolderIntake
from speechsense_watch.intake import Intake
from speechsense_watch.log import Log
from speechsense_watch.loop import Loop
from speechsense_watch.places import Places
from speechsense_watch.ports import Clock, Credentials, Key, Root
from speechsense_watch.roots import Roots
from speechsense_watch.ruled_out import rule_out
from speechsense_watch.scan import Scan
from speechsense_watch.throttle import Throttle
from speechsense_watch.uploader import Surroundings, Uploader
from speechsense_watch.workers import Workers

# How long one step may take before the loop counts as stuck: the intake may have to hash a long file on a slow share, the
# filer to copy one to another file system; a question of the confirmer's may be asked page by page.
_STALLED_AFTER_S = {"intake": 300.0, "uploader": 60.0, "filer": 1800.0, "confirmer": 300.0}
# As many again may be under way as `concurrency` says, and probes.
_MOST_WORKERS = 2 * MOST_AT_A_TIME + 16
_QUEUE_ID = "queue_id"


def service_of(
    config: Config,
    environ: Mapping[str, str],
    clock: Clock,
    on_ready: Callable[[], None],
    credentials: Credentials | None = None,
) -> GrpcService:
    """Raises ConfigError when the CA file cannot be read. Without `credentials` they are those of the configuration."""
    settings = config.speechsense
    if credentials is None:
        credentials = _credentials_of(config, environ, clock, on_ready)
    try:
        endpoint = Endpoint(settings.endpoint, settings.plaintext, settings.ca_file)
        return GrpcService(endpoint, credentials, on_ready, clock.monotonic, random.random, config.upload.patience)
    except OSError as error:
        message = f"{settings.ca_file} cannot be read ({error.strerror})."
        raise ConfigError((ConfigProblem("speechsense.ca_file", message),)) from error


def _claimant(queue: SqliteQueue) -> tuple[str, str, str]:
    """Who we are to other machines: always the same, new with each start, and as people call this machine."""
    machine = this_machine()
    # A container has no id, but its queue has one from then on. machine-id(5): not to be shown to others as it is.
    known = f"{machine.id} {queue.path}" if machine.id else queue.runtime().get(_QUEUE_ID) or uuid4().hex
    if not machine.id:
        queue.set_runtime(_QUEUE_ID, known)
    return hashlib.sha256(f"speechsense-watch {known}".encode()).hexdigest()[:32], uuid4().hex, machine.host


def _is_taken(roots: Roots) -> bool:
    return bool(roots.claimed_by)


def _credentials_of(config: Config, environ: Mapping[str, str], clock: Clock, on_news: Callable[[], None]) -> AnyCredentials:
    return credentials_of(config.speechsense, environ, clock, on_news=on_news, chance=random.random)


def _by_the_disk(config: Config) -> Config:
    """With what the disk tells of its folders. Raises ConfigError when one would be watched twice, or take what is archived."""
    if problems := conflicts(config.folders):
        raise ConfigError(problems)
    return replace(config, folders=with_inner(config.folders))


class Assembly:
    """One per process. Raises ConfigError and QueueTrouble when it cannot be put together."""

    def __init__(
        self,
        queue: SqliteQueue,
        config: Config,
        environ: Mapping[str, str],
        clock: Clock,
        log: Log,
        on_fatal: Callable[[str], None],
        on_unwritable: Callable[[], None],
    ) -> None:
        self._queue = queue
        # Told when the queue cannot be written any more, and when it can again.
        self._on_unwritable = on_unwritable
        self._environ = environ
        self._clock = clock
        self._log = log
        self.throttle = Throttle(clock)
        config = _by_the_disk(config)
        # A clock that says an earlier time than the configuration's own file is behind: by it everything would be new.
        self._set_up_at = written_at(config.path)
        # The one in use comes last; those before it have attempts under way that began before a reload.
        self._speechsense = config.speechsense
        self._credentials = _credentials_of(config, environ, clock, self._wake_uploader)
        self.services = [service_of(config, environ, clock, self._wake_uploader, self._credentials)]
        self.intake = Intake(self._wake_intake, log)
        self.attempts = Attempts(queue, self.services[-1], clock, self.throttle)
        self.workers = Workers(self.attempts, _MOST_WORKERS, log)
        in_hand = InHandFile(queue.path.with_name(f"{queue.path.name}.in-hand"))
        surroundings = Surroundings(
            self._wake_uploader,
            self.intake.look,
            owner_alive,
            in_hand,
            self._look_at_key,
            partial(self.attempts.is_quick, probe=False),
            self.workers.send,
            self.workers.foresee,
        )
        self.uploader = Uploader(queue, self.services[-1], self.workers.start, clock, random.random, log, surroundings)
        self.filer = Filer(queue, FileFiling(), clock, log)
        self.confirmer = Confirmer(queue, SqliteDoubts(queue), self.services[-1], clock, log)
        steps = {
            "intake": self.intake.step,
            "uploader": self._upload_step,
            "filer": self._filing_step,
            "confirmer": self._confirm_step,
        }
        self.loops = {name: Loop(name, step, clock, log, on_fatal, _STALLED_AFTER_S[name]) for name, step in steps.items()}
        self.folders: dict[str, FolderIntake] = {}
        self.claims = RootClaims()
        self.shared_claims = SharedClaims(*_claimant(queue), clock.monotonic)
        self._roots: Mapping[tuple[int, int], str] = {}
        self._take_over(config, self._prepare(config))

    def adopt(self, config: Config) -> None:
        """All parts go by this configuration from now on; or by the old one, when it raises ConfigError or QueueTrouble."""
        config = _by_the_disk(config)
        self._set_up_at = written_at(config.path)
        credentials = self._kept_credentials(config) or _credentials_of(config, self._environ, self._clock, self._wake_uploader)
        service = service_of(config, self._environ, self._clock, self._wake_uploader, credentials)
        try:
            folders = self._prepare(config)
        except BaseException:
            service.close()
            raise
        self._speechsense, self._credentials = config.speechsense, credentials
        self.attempts.service = self.uploader.service = self.confirmer.service = service
        self.services[-1].retire()
        self.services = [*(old for old in self.services if not old.closed), service]
        self._take_over(config, folders)

    def _prepare(self, config: Config) -> dict[str, FolderIntake]:
        """All that can fail: what the queue has to know of the folders. Nothing in memory has changed yet."""
        folders = {folder.name: self._kept(folder) or self._folder_intake(folder) for folder in config.folders}
        for folder in config.folders:
            self._queue.reconnect(folder.name, folder.connection_id)
            # Before the uploader goes by these rules; the intake does it again when the old one has stopped.
            rule_out(self._queue, folder, self._clock, self._log)
        return folders

    def _take_over(self, config: Config, folders: dict[str, FolderIntake]) -> None:
        rules = {folder.name: folder for folder in config.folders}
        self.folders = folders
        self._roots = roots_of(config.folders)
        self.claims.keep_only(rules.keys())
        self.shared_claims.keep_only({Path(folder.path) for folder in config.folders})
        for intake in folders.values():
            intake.links_anew()
        self.attempts.rules = config.upload
        self.attempts.trees = {
            name: Tree(
                intake.rules,
                intake.files,
                intake.places.roots.gone_counts,
                intake.places.sources,
                intake.places.local,
                partial(_is_taken, intake.places.roots),
            )
            for name, intake in folders.items()
        }
        self.throttle.configure(config.upload)
        self.uploader.configure(config.upload, rules)
        gone_counts = {name: tree.gone_counts for name, tree in self.attempts.trees.items()}
        self.filer.configure(rules, config.queue.history_s, gone_counts)
        self.confirmer.configure(rules)
        self.intake.configure(folders)

    @property
    def rescanned_at(self) -> datetime | None:
        """When a scan of some folder ended last."""
        ended = (intake.telling.scanned_at for intake in list(self.folders.values()))
        return max((at for at in ended if at is not None), default=None)

    def _look_at_key(self) -> Key:
        return self._credentials.look()

    def _kept_credentials(self, config: Config) -> Renewing | None:
        """A token that is valid goes on being used, unless the way in which it was got has changed."""
        same = config.speechsense == self._speechsense
        return self._credentials if same and isinstance(self._credentials, Renewing) else None

    def _kept(self, folder: Folder) -> FolderIntake | None:
        old = self.folders.get(folder.name)
        return old if old is not None and old.rules == folder else None

    def _folder_intake(self, folder: Folder) -> FolderIntake:
        files = FolderFiles(folder.path, self._clock)
        roots = Roots(files, self._queue, folder.name, partial(self._claim, folder))
        # At once: the uploader does not wait for the first scan.
        roots.look(files.root())
        places = Places(
            folder,
            files,
            self._queue,
            self._clock,
            self._log,
            roots,
            self._start_from(folder),
            local=not files.root().remote,
            ready=self._wake_uploader,
            sources=sources_of(folder, self._clock),
        )
        watch = FolderWatch(folder, self.intake.hint, clock=self._clock, look_at_root=files.root)
        scan = Scan(files, folder, self._clock)
        on_record = SqliteOnRecord(self._queue, folder.name)
        return FolderIntake(
            folder, files, watch, places, scan, self._clock, self._queue, on_record, self._log, watched=self._is_watched
        )

    def _claim(self, folder: Folder, root: Root) -> str:
        """Who else works the folder, on this machine or on another that can see it."""
        held = self.claims.hold(folder.name, root.identity) if root.identity is not None else ""
        return held or (self.shared_claims.hold(Path(folder.path), folder.rescan_interval_s) if root.remote else "")

    def _is_watched(self, path: str) -> bool:
        return watched_around(path, self._roots) is not None

    def _start_from(self, folder: Folder) -> datetime | None:
        first = self._queue.first_watched(folder.name, folder.path, max(self._clock.now(), self._set_up_at))
        if folder.start_from == "all":
            return None
        return first if isinstance(folder.start_from, str) else folder.start_from

    # --- loops and workers ---------------------------------------------------------------------

    def wake(self) -> None:
        for loop in self.loops.values():
            loop.wake()

    def _wake_intake(self) -> None:
        self.loops["intake"].wake()

    def _wake_uploader(self) -> None:
        self.loops["uploader"].wake()

    def _upload_step(self) -> float:
        uploader = self.uploader
        accepted, unfiled, doubtful, storage_back = uploader.accepted, uploader.unfiled, uploader.doubtful, uploader.storage_back
        unwritable = uploader.unwritable
        rest_s = uploader.step()
        if uploader.unfiled != unfiled:
            self.loops["filer"].wake()
        if self.confirmer.needed and (uploader.accepted, uploader.doubtful) != (accepted, doubtful):
            self.loops["confirmer"].wake()
        if uploader.storage_back != storage_back:
            # What the others could not write down they need not wait for any longer.
            self.wake()
        if uploader.unwritable != unwritable:
            self._on_unwritable()
        return rest_s

    def _filing_step(self) -> float:
        self.filer.present = [name for name, intake in self.folders.items() if not intake.away]
        return self.filer.step()

    def _confirm_step(self) -> float:
        settled = self.confirmer.settled
        rest_s = self.confirmer.step()
        if self.confirmer.settled != settled:
            self.loops["filer"].wake()
            self.loops["uploader"].wake()
        return rest_s
