"""The daemon: runs the parts that `assembly` puts together until a signal says otherwise.

Three loops on threads of their own (intake, uploader, filer); the main thread waits for signals, feeds the watchdog while
the loops make progress, and notices what other processes wrote into the queue.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from speechsense_watch import __version__
from speechsense_watch.ages import Jumps
from speechsense_watch.assembly import Assembly
from speechsense_watch.config import Config, ConfigError, load
from speechsense_watch.core.model import State
from speechsense_watch.core.rules import OnUnknown
from speechsense_watch.doubts import reconsider
from speechsense_watch.edge import lock
from speechsense_watch.edge.ballast import Ballast
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.machine import this_machine
from speechsense_watch.edge.notify import Notifier
from speechsense_watch.edge.opening import opened_whole, passing, unfit_place
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.edge.signals import Signals
from speechsense_watch.edge.touched import told_of
from speechsense_watch.heartbeat import Feeding, Heartbeat
from speechsense_watch.log import Event, Log, configure
from speechsense_watch.looks import Looks
from speechsense_watch.ports import Clock, QueueTrouble

EXIT_OK, EXIT_FATAL, EXIT_CANNOT_CREATE = 0, 1, 73

_ON_UNKNOWN = {
    OnUnknown.RESEND: "A recording whose answer is lost is sent again and marked as a possible duplicate; "
    'on_unknown = "hold" asks you instead. Exactly once needs on_unknown = "search" with recording_id_field and the ids under '
    "`search`.",
    OnUnknown.HOLD: "A recording whose answer is lost waits for your `resolve`.",
    OnUnknown.SEARCH: "A recording whose answer is lost is looked up in SpeechSense: adopted when it is found, sent again when "
    "it is shown to be absent.",
}
_SUSPICIOUS = (
    "The talks that only the journal knew are adopted and not sent again. Any other recording older than this start may have "
    "been sent before: when its turn comes, its folder's on_unknown decides."
)

_GONE = "The queue's file was removed or replaced under the running daemon, which ends now so that nothing is sent unrecorded."


class CannotOpenQueue(Exception):  # noqa: N818
    """The queue cannot be opened or is in use; the message says what to do."""


class Daemon:
    """Everything `run` runs. One per process, used once."""

    def __init__(self, config: Config, environ: Mapping[str, str], log: Log, clock: Clock | None = None) -> None:
        self._config = config
        self._environ = environ
        self._log = log
        self._clock = clock or SystemClock()
        self._notifier = Notifier.from_environment(environ)
        self._jumps = Jumps(self._clock)
        self._unwritable = False
        self._signals = Signals()
        self._fatal: str | None = None
        self._in_order = False
        self._heart = Heartbeat(self._clock)
        self._feeding = Feeding(self._clock, self._notifier.watchdog_interval_s)
        self._status = ""

    def run(self) -> int:
        """Until a signal; returns the exit code. Raises CannotOpenQueue, and ConfigError for an unreadable CA file."""
        path = Path(self._config.queue.path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_network(path.parent)
            held = lock.acquire(f"{path}.lock", self._clock)
        except lock.LockBusy as busy:
            raise CannotOpenQueue(f"The queue {path} is in use by another speechsense-watch ({busy}).") from busy
        except (OSError, lock.LockTrouble) as error:
            raise CannotOpenQueue(f"The queue {path} cannot be locked: {error}") from error
        with held as self._held:
            return self._run_with(path)

    def _refuse_network(self, directory: Path) -> None:
        """Raises CannotOpenQueue."""
        reason = unfit_place(directory)
        if reason and not self._config.queue.allow_network_file_system:
            raise CannotOpenQueue(reason)
        for warning in (reason, passing(directory)):
            if warning:
                self._log.warning(Event.CONFIG_WARNING, message=warning)

    def _run_with(self, path: Path) -> int:
        self._ballast = Ballast(path, self._config.upload.concurrency, renews=True)
        try:
            self._queue = opened_whole(path, self._ballast, doubtful=self._held.left_behind)
        except (OSError, QueueTrouble, NewerSchema) as error:
            raise CannotOpenQueue(f"The queue {path} cannot be opened: {error}") from error
        try:
            self._examine_queue()
            self._parts = Assembly(
                self._queue, self._config, self._environ, self._clock, self._log, self._failed, self._signals.news.set
            )
            self._begin()
            try:
                with told_of(path.parent) as touched:
                    self._watch_over(Looks(self._clock, self._notifier.watchdog_interval_s, self._signals.news, touched))
            finally:
                self._shut_down()
        except QueueTrouble as trouble:
            raise CannotOpenQueue(f"The queue {path} cannot be used: {trouble}") from trouble
        finally:
            self._close()
        return EXIT_OK if self._fatal is None else EXIT_FATAL

    def _examine_queue(self) -> None:
        """Before anything is written to it, which might hide that it was lost. Raises QueueTrouble."""
        found = self._queue.history.examine(this_machine(), self._clock.now())
        if found is not None:
            message = f"{found.why} {_SUSPICIOUS}"
            self._log.warning(Event.QUEUE_SUSPICIOUS, talks=found.talks, number=found.suspicion.k, message=message)

    def _close(self) -> None:
        try:
            self._queue.close()
            self._queue.take_log_away(self._clock.now())
        except (OSError, QueueTrouble) as trouble:
            self._log.error(Event.LOOP_FAILED, loop="main", message=str(trouble))
        if self._fatal is None and self._in_order:
            self._held.ended_well()

    def _begin(self) -> None:
        """Raises QueueTrouble."""
        self._signals.install()
        recovered = self._parts.uploader.recover_at_start()
        lacking = self._queue.history.fill()
        reconsider(self._queue, self._clock.now())
        self._queue.history.begin(uuid4().hex, self._clock.now())
        folders = len(self._config.folders)
        self._log.info(Event.DAEMON_STARTED, version=__version__, folders=folders, recovered=recovered, journal_filled=lacking)
        for warning in self._config.warnings:
            self._log.warning(Event.CONFIG_WARNING, message=warning)
        for folder in self._config.folders:
            self._log.info(Event.ON_UNKNOWN, folder=folder.name, policy=folder.on_unknown, message=_ON_UNKNOWN[folder.on_unknown])
        self._heartbeat()

    # --- running -----------------------------------------------------------------------------

    def _watch_over(self, looks: Looks) -> None:
        for loop in self._parts.loops.values():
            loop.start()
        self._notifier.ready(self._describe())
        while not self._signals.stop and self._fatal is None:
            looks.rest()
            try:
                self._tend(looks.next_in_s)
            except QueueTrouble as trouble:
                # The loops meet the same trouble, and tell it.
                if trouble.fatal:
                    self._failed(str(trouble))

    def _tend(self, next_look_in_s: float) -> None:
        """Raises QueueTrouble."""
        if self._signals.reload:
            self._signals.reload = False
            self._reload()
        stalled = [loop.name for loop in self._parts.loops.values() if loop.stalled]
        if stalled:
            self._log.error(Event.LOOP_STALLED, loops=stalled)
            return  # the watchdog is not fed: systemd ends and restarts us
        if not self._queue.is_there():
            # What is written now is lost; a fresh start makes a new queue and adopts what the journal knows.
            self._log.error(Event.QUEUE_GONE, path=str(self._queue.path), message=_GONE)
            self._failed(_GONE)
            return
        if self._feeding.is_due(next_look_in_s):
            self._notifier.watchdog()
        self._tell_unwritable()
        self._notice_jumps()
        if self._queue.changed_elsewhere():
            self._parts.intake.revisit()
            self._parts.wake()
        if self._heart.is_due(self._parts.rescanned_at):
            self._heartbeat()

    def _heartbeat(self) -> None:
        every_s = Heartbeat.every_s(min((folder.rescan_interval_s for folder in self._config.folders), default=0.0))
        self._heart.beaten(every_s)
        told = {"heartbeat_at": self._clock.now().isoformat(), "every_s": every_s, "version": __version__, "pid": os.getpid()}
        try:
            self._queue.set_runtime("daemon", told)
        except QueueTrouble as trouble:
            if trouble.fatal:
                raise
            self._held.touch()  # alive all the same
        if (status := self._describe()) != self._status:
            self._status = status
            self._notifier.status(status)

    def _tell_unwritable(self) -> None:
        """Beside the queue, since it cannot be told there."""
        unwritable = self._parts.uploader.unwritable
        if unwritable != self._unwritable:
            self._unwritable = unwritable
            self._held.tell(unwritable=unwritable)

    def _notice_jumps(self) -> None:
        """Raises QueueTrouble."""
        if moved_s := self._jumps.look():
            self._log.warning(Event.CLOCK_JUMPED, seconds=round(moved_s))
            self._parts.uploader.clock_was_set()
            self._parts.wake()
            self._heartbeat()

    def _describe(self) -> str:
        """Raises QueueTrouble."""
        counts = self._queue.counts()
        told = (State.READY, State.WAITING, State.UNCONFIRMED, State.REFUSED, State.UNUSABLE, State.LOST)
        words = [f"{counts[state]} {state}" for state in told]
        paused = [f"paused: {pause.reason}" for pause in list(self._parts.uploader.traffic.pauses.values())]
        return ", ".join([f"{counts[State.DONE]} done", *words, *paused])

    def _failed(self, message: str) -> None:
        self._fatal = message
        self._signals.news.set()

    # --- reloading and ending ----------------------------------------------------------------

    def _reload(self) -> None:
        """All of the new configuration, or none of it; what was wrong is told."""
        self._notifier.reloading(int(self._clock.monotonic() * 1_000_000))
        try:
            config = load(self._config.path, self._environ)
            self._parts.adopt(config)
            self._adopted(config)
        except ConfigError as error:
            for problem in error.problems:
                self._log.error(Event.CONFIG_REJECTED, place=problem.place, message=problem.message)
        except QueueTrouble as trouble:
            self._log.error(Event.CONFIG_REJECTED, place=self._config.queue.path, message=f"{trouble} Reload again later.")
        finally:
            self._notifier.ready(self._status)

    def _adopted(self, config: Config) -> None:
        if Path(config.queue.path) != self._queue.path:
            self._log.warning(Event.CONFIG_WARNING, message="queue.path has changed: that takes a restart.")
        if config.log != self._config.log:
            configure(config.log.format, config.log.level, sys.stderr, sys.stderr.isatty())
        self._ballast.provide_for(config.upload.concurrency)
        self._config = config
        # The folders may be looked through at other times than before, and the heart beats with that.
        self._heart.at_once()
        self._log.info(Event.CONFIG_RELOADED, folders=len(config.folders), warnings=list(config.warnings))
        self._parts.wake()

    def _shut_down(self) -> None:
        """No new claims; attempts before their commit point are given back, committing ones get the grace period."""
        parts = self._parts
        self._log.info(Event.DAEMON_STOPPING, in_flight=parts.uploader.busy)
        self._notifier.stopping()
        parts.uploader.stopping = parts.filer.stopping = parts.attempts.stopping = parts.throttle.stopped = True
        parts.confirmer.stopping = True
        parts.loops["intake"].stop()
        for service in parts.services:
            service.stop_uncommitted()
        self._wait_for_ends(self._config.upload.shutdown_grace_s, until_signal=2)
        for service in parts.services:
            service.stop_all()
        self._wait_for_ends(3.0, until_signal=3)
        for loop in parts.loops.values():
            loop.stop()
        still_running = [loop.name for loop in parts.loops.values() if not loop.join(5.0)]
        parts.intake.stop()
        parts.workers.shutdown(wait=not still_running)
        self._record_the_rest()
        for service in parts.services:
            service.close()
        parts.claims.keep_only(())
        parts.shared_claims.keep_only(())
        self._in_order = not still_running
        self._log.info(Event.DAEMON_STOPPED, still_running=still_running)

    def _record_the_rest(self) -> None:
        """Answers that came after the loop had ended, and what never got one. What cannot be recorded, the next start finds."""
        try:
            self._parts.uploader.take_last_ends()
            self._parts.uploader.recover()
            # What was made a copy of while we ran lacks this, and whoever puts it back is told.
            self._queue.history.begin(uuid4().hex, self._clock.now())
        except QueueTrouble as trouble:
            self._log.error(Event.LOOP_FAILED, loop="main", message=str(trouble))
        finally:
            self._parts.uploader.ended_well()

    def _wait_for_ends(self, for_s: float, until_signal: int) -> None:
        until = self._clock.monotonic() + for_s
        while self._parts.uploader.busy and self._signals.stop < until_signal and self._clock.monotonic() < until:
            self._parts.loops["uploader"].wake()
            self._signals.news.wait(0.05)
