"""One folder's inotify watch, and the care it needs: the only module that knows watchdog.

watchdog loses events without a word: its threads die of one exception (in a handler, or of its own KeyError when
directories are renamed quickly) and everything else goes on as if alive; refused watches of sub-directories are
swallowed; a root that was removed, renamed or mounted over is never looked for again. So this module owns the reader
of the inotify queue, asks after every thread and after the root each time `supervise` is called, and starts over
with a scan whenever something was, or may have been, missed.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from speechsense_watch.core.rules import Detection, Folder
from speechsense_watch.edge.watch_limits import why_not
from speechsense_watch.ports import Clock, Hint, Root, WatchHealth, WatchState

# Deletions are left out: a nightly clean-up of 40,000 old calls cost 1 s of processor time and as many hints for
# nothing (measured), and what is gone is found by the scan and by whoever opens it. Leaving out reads and writes
# halves what one recording costs in the kernel's queue.
_EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
# A watch that dies at once, again and again, must not keep us busy with starting it.
_RESTART_PAUSE_S = 5.0
# Walking a large tree again to see whether the kernel's limit was raised.
_LIMIT_RETRY_S = 300.0
_STOP_PATIENCE_S = 2.0

# Nothing of watchdog's own goes to stderr by logging's last resort; health() says what there is to say.
logging.getLogger("watchdog").addHandler(logging.NullHandler())
# Of directories that are renamed quickly it warns with every path it watches, whole, and more than once.
warnings.filterwarnings("ignore", r"Callback with id ", RuntimeWarning)


def choose(detection: Detection, root: Root) -> tuple[WatchState, str]:
    """How a folder should be watched, and why, as far as its root and the user's word decide it."""
    if root.identity is None:
        return WatchState.DOWN, root.trouble
    if detection is Detection.EVENTS:
        return WatchState.WATCHING, '`detection` is "events"'
    if detection is Detection.POLLING:
        return WatchState.POLLING, '`detection` is "polling"'
    if root.remote:
        return WatchState.POLLING, f"no events come from {root.file_system} for what is written on the other side"
    return WatchState.WATCHING, f"{root.file_system} is a local file system"


class _Reader(InotifyFD):
    """watchdog's reader of one inotify queue, which keeps what watchdog would swallow."""

    def __init__(self, on_loss: Callable[[], None], on_overflow: Callable[[], None]) -> None:
        self.refused: OSError | None = None
        self.broken = False
        self._left: InotifyEvent | None = None
        self._on_loss = on_loss
        self._on_overflow = on_overflow
        super().__init__()

    def run(self) -> None:
        # An exception ends this thread, as it would have anyway, but without a traceback on stderr: `supervise`
        # finds it dead, and need not be waited for.
        try:
            super().run()
        except Exception:  # noqa: BLE001 - whatever it is, no more events come
            self.broken = True
            self._on_loss()

    def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        # watchdog files unreadable directories under descriptor -1, all of them together.
        if not os.access(path, os.R_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        try:
            return super().add_callback(path, mask, callback, id_)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.refused = error
            raise

    def handle_event(self, event: InotifyEvent) -> None:
        if event.is_moved_from and not event.is_directory:
            # watchdog would hold back everything that comes after it for half a second, to learn where the file went.
            self._left = event
            return
        try:
            if event.is_moved_to and self._left is not None and self._left.cookie == event.cookie:
                # Within the folder: the kernel tells both one after the other. The old name is news as much as a closed file is.
                super().handle_event(InotifyEvent(self._left.wd, InotifyConstants.IN_CLOSE_WRITE, 0, self._left.name))
            super().handle_event(event)
        finally:
            if event.is_queue_overflow:
                self._on_overflow()


class _Handler(FileSystemEventHandler):
    """Turns events into hints. An exception here would end the observer's thread, so none leaves."""

    def __init__(self, root: str, recursive: bool, on_path: Callable[[str], None], wanted: Callable[[str], bool]) -> None:  # noqa: FBT001
        self._prefix = root.rstrip("/") + "/"
        self._recursive = recursive
        self._on_path = on_path
        self._wanted = wanted
        self.failed = threading.Event()

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            for path in (event.src_path, event.dest_path):
                self._hint(os.fsdecode(path), is_directory=event.is_directory)
        except Exception:  # noqa: BLE001 - whatever it is, the thread must live; supervise asks for a scan instead
            self.failed.set()

    def _hint(self, path: str, *, is_directory: bool) -> None:
        if not path.startswith(self._prefix):
            return
        if self._recursive if is_directory else self._wanted(path.rpartition("/")[2]):
            self._on_path(path[len(self._prefix) :])


class _Observation:
    """The threads of one watch, from start to end. Raises OSError or RuntimeError when it cannot begin."""

    def __init__(self, path: str, recursive: bool, handler: _Handler, reader: _Reader) -> None:  # noqa: FBT001
        self.handler = handler
        self._reader = reader
        self._reader.start()
        self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._reader)
        try:
            self._observer.schedule(handler, path, recursive=recursive, event_filter=_EVENTS)
            self._emitters = list(self._observer.emitters)
            self._observer.start()
        except (OSError, RuntimeError):
            self.end()
            raise

    @property
    def refused(self) -> OSError | None:
        """The kernel's last refusal to watch one more directory."""
        return self._reader.refused

    @property
    def alive(self) -> bool:
        return not self._reader.broken and all(thread.is_alive() for thread in (self._reader, self._observer, *self._emitters))

    def end(self) -> None:
        """All threads are told to stop and given a little time; stopping may raise (after a KeyError) or hang."""
        ending = threading.Thread(target=self._end, name="watch-end", daemon=True)
        ending.start()
        ending.join(_STOP_PATIENCE_S)

    def _end(self) -> None:
        parts = (self._observer, *self._observer.emitters.copy(), self._reader)
        for part in parts:
            with suppress(Exception):  # the next one must be stopped whatever is broken in this one
                part.stop()
        for part in parts:
            with suppress(RuntimeError):  # never started
                part.join(_STOP_PATIENCE_S)


class FolderWatch:
    """Keeps `ports.Watch` for one folder.

    `on_hint` is called on watchdog's threads and on that of `supervise`; it must not block. `wanted` sorts file
    names (not paths) out before that; directories always pass. `look_at_root` is `Files.root`.
    """

    def __init__(
        self,
        folder: Folder,
        on_hint: Callable[[Hint], None],
        *,
        clock: Clock,
        look_at_root: Callable[[], Root],
        wanted: Callable[[str], bool] = lambda _name: True,
    ) -> None:
        self._folder = folder
        self._on_hint = on_hint
        self._clock = clock
        self._look_at_root = look_at_root
        self._wanted = wanted
        self._observation: _Observation | None = None
        self._identity: tuple[int, int] | None = None
        self._begun_at = 0.0
        self._distrusted = ""
        self._state, self._reason = WatchState.DOWN, "not started"
        self._limited = False
        self._overflows = 0
        self._restarts = 0

    def start(self) -> None:
        """Watches, or says in `health` why not. The caller scans the folder once afterwards."""
        self._begin(self._look_at_root())

    def stop(self) -> None:
        """No more hints, and no thread left unless watchdog hangs."""
        self._drop()
        self._state, self._reason = WatchState.DOWN, "stopped"

    def health(self) -> WatchHealth:
        return WatchHealth(self._state, self._reason, self._overflows, self._restarts)

    def prefer_polling(self, reason: str) -> None:
        self._drop()
        self._distrusted = reason
        self._state, self._reason = WatchState.POLLING, reason

    def supervise(self) -> None:
        root = self._look_at_root()
        if root.identity is None:
            self._drop()
            self._identity = None
            self._state, self._reason = WatchState.DOWN, root.trouble
        elif root.identity != self._identity:
            # Removed and made anew, renamed away, unmounted or mounted over: inotify told us nothing.
            self._distrusted = ""
            self._restart(root)
        elif self._observation is not None:
            self._care_for(self._observation, root)
        elif self._limited and self._waited(_LIMIT_RETRY_S):
            self._restart(root)

    def _care_for(self, observation: _Observation, root: Root) -> None:
        if not observation.alive:
            if self._waited(_RESTART_PAUSE_S):
                self._restart(root)
            else:
                self._state, self._reason = WatchState.DOWN, "the watch ended unexpectedly; it is started again in some seconds"
            return
        if observation.handler.failed.is_set():
            observation.handler.failed.clear()
            self._ask_for_scan()
        if self._limited and self._waited(_LIMIT_RETRY_S):
            self._restart(root)
        elif not self._limited:
            self._note_refusal(observation)

    def _restart(self, root: Root) -> None:
        self._drop()
        self._restarts += 1
        self._begin(root)
        self._ask_for_scan()

    def _begin(self, root: Root) -> None:
        self._begun_at = self._clock.monotonic()
        self._identity = root.identity
        self._limited = False
        self._state, self._reason = choose(self._folder.detection, root)
        if self._state is not WatchState.WATCHING:
            return
        # watchdog watches nothing below a path that is a link.
        path = os.path.realpath(self._folder.path)
        handler = _Handler(path, self._folder.recursive, self._hint, self._wanted)
        try:
            reader = _Reader(self._ask_for_scan, self._overflowed)
            self._observation = _Observation(path, self._folder.recursive, handler, reader)
        except (OSError, RuntimeError) as error:
            self._state, self._reason = WatchState.POLLING, why_not(error)
            self._limited = True
        else:
            self._note_refusal(self._observation)

    def _note_refusal(self, observation: _Observation) -> None:
        """Watches that were granted are kept: they still bring early news of a part of the tree."""
        if observation.refused is not None:
            self._limited = True
            self._state, self._reason = WatchState.POLLING, why_not(observation.refused)

    def _waited(self, pause_s: float) -> bool:
        return self._clock.monotonic() - self._begun_at >= pause_s

    def _drop(self) -> None:
        observation, self._observation = self._observation, None
        if observation is not None:
            observation.end()

    def _hint(self, path: str) -> None:
        self._on_hint(Hint(self._folder.name, path))

    def _ask_for_scan(self) -> None:
        self._on_hint(Hint(self._folder.name, None))

    def _overflowed(self) -> None:
        self._overflows += 1
        self._ask_for_scan()
