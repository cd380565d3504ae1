"""The filer: what is to be done with the files of an uploaded recording, once its talk id is on disk.

By default nothing: they stay where they are, and the uploader has written down with the talk id that all is done. Whatever it
does, it does only to the very files that were uploaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from speechsense_watch.core import lifecycle
from speechsense_watch.core.archive import choose_target
from speechsense_watch.core.lived import lived_of
from speechsense_watch.core.model import Half, Job, Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import AfterUpload, Folder
from speechsense_watch.log import Event, Log
from speechsense_watch.loop import isolated
from speechsense_watch.ports import Clock, Filed, FilesChanged, Filing, FilingResult, FilingTrouble, Queue, Stale

AGAIN_AFTER = timedelta(minutes=1)
LONGEST_REST_S = 60.0
HOUSEKEEPING_S = 3600.0
BETWEEN_TRIMS_S = 0.05
BATCH = 200
# A row whose file was gone for this long is forgotten wholly.
FORGET_AFTER = timedelta(days=3 * 365)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_AWAY = FilingTrouble("the folder is not there at the moment: is its file system mounted, or does another daemon work it?")

_Do = Callable[[str, str, Half], FilingResult]


class Filer:
    """One per process; runs on its loop's thread."""

    def __init__(self, queue: Queue, filing: Filing, clock: Clock, log: Log) -> None:
        self._queue = queue
        self._filing = filing
        self._clock = clock
        self._log = log
        # With the question whether a file that is not there is really gone.
        self._folders: Mapping[str, tuple[Folder, Callable[[], bool]]] = {}
        self._history = timedelta(days=90)
        self._next_housekeeping_at = 0.0
        self._housekept_at: float | None = None
        # What is older than these is still to be trimmed, and how much was.
        self._old: tuple[datetime, datetime] | None = None
        self._trimmed = 0
        self.stopping = False
        # Folders whose roots are there: only their forgotten rows may go.
        self.present: Iterable[str] = ()

    def configure(self, folders: Mapping[str, Folder], history_s: float, gone_counts: Mapping[str, Callable[[], bool]]) -> None:
        """`gone_counts` tells of each folder whether a file that is not there is really gone."""
        self._folders = {name: (folder, gone_counts[name]) for name, folder in folders.items()}
        self._history = timedelta(seconds=history_s)

    def step(self) -> float:
        """Every uploaded recording that is due is filed, or has a reason and a time to try again."""
        if self.stopping:
            return LONGEST_REST_S
        now = self._clock.now()
        jobs = self._queue.uploaded_due(now, BATCH)
        for job in jobs:
            isolated(lambda job=job: self._file(job), self._log, loop="filer", job=job.id)  # type: ignore[misc]
        self._keep_house()
        if len(jobs) == BATCH:
            return 0.0
        if self._old:
            return BETWEEN_TRIMS_S
        due = self._queue.next_filing()
        return min(LONGEST_REST_S, max(0.2, (due - now) / timedelta(seconds=1))) if due else LONGEST_REST_S

    def _file(self, job: Job) -> None:
        with suppress(Stale):  # a command was first
            self._file_now(job)

    def _file_now(self, job: Job) -> None:
        now = self._clock.now()
        folder, gone_counts = self._folders.get(job.place.folder, (None, None))
        action = folder.after_upload if folder else AfterUpload.KEEP
        if folder is None or gone_counts is None or action is AfterUpload.KEEP or job.audio is None or job.metadata is None:
            self._queue.apply(lifecycle.filed(job, now))
            return
        result = self._archive(job, folder) if action is AfterUpload.ARCHIVE else self._delete(job, folder)
        # Asked afterwards: what was not found may be gone, or its file system was away already.
        if not isinstance(result, FilingTrouble) and not gone_counts():
            result = _AWAY
        self._settle(job, result, now)

    def _settle(self, job: Job, result: FilingResult, now: datetime) -> None:
        # The plan of an archive may have been written since `job` was read.
        job = self._queue.job(job.id) or job
        match result:
            case Filed():
                self._queue.apply(lifecycle.filed(job, now))
                self._log.info(Event.FILED, job=job.id, folder=job.place.folder)
            case FilesChanged(message):
                note = Problem(Reason.FILES_CHANGED, f"The files were left alone: {message}.")
                self._queue.apply(lifecycle.filed(job, now, note=note))
            case FilingTrouble(message):
                self._queue.apply(lifecycle.filing_failed(job, f"Filing: {message}.", now, now + AGAIN_AFTER))
                if job.reason is not Reason.FILING_FAILED:
                    self._log.warning(Event.FILING_FAILED, job=job.id, folder=job.place.folder, message=message)

    def _archive(self, job: Job, folder: Folder) -> FilingResult:
        if job.filed_to is None:
            targets = choose_target(folder.archive_to, job.audio_path or "", job.metadata_path, self._filing.taken)
            job = self._queue.apply(lifecycle.filing(job, *targets, self._clock.now()))
        moves = ((job.audio_path, job.filed_to, job.audio), (job.metadata_path, job.metadata_filed_to, job.metadata))
        return self._each(
            lambda path, target, half: self._filing.archive(folder.path, path, target, half.stamp, half.sha256),
            [(path, target, half) for path, target, half in moves if path and target and half],
        )

    def _delete(self, job: Job, folder: Folder) -> FilingResult:
        halves = ((job.audio_path, job.audio), (job.metadata_path, job.metadata))
        return self._each(
            lambda path, _, half: self._filing.delete(folder.path, path, half.stamp, half.sha256),
            [(path, "", half) for path, half in halves if path and half],
        )

    @staticmethod
    def _each(do: _Do, files: Iterable[tuple[str, str, Half]]) -> FilingResult:
        """The audio first; what stops it stops the metadata too."""
        for path, target, half in files:
            result = do(path, target, half)
            if not isinstance(result, Filed):
                return result
        return Filed()

    def _keep_house(self) -> None:
        """Once an hour: finished rows lose what is past `history`."""
        moment = self._clock.monotonic()
        if self._old:
            self._trim(self._old)
        if moment < self._next_housekeeping_at:
            return
        self._next_housekeeping_at = moment + HOUSEKEEPING_S
        passed_s, self._housekept_at = moment - (self._housekept_at or moment), moment
        now = self._clock.now()
        known = self._queue.runtime()
        before, forget_before = (
            self._lived(name, known.get(name), passed_s, now, span)
            for name, span in (("lived:history", self._history), ("lived:forget", FORGET_AFTER))
        )
        self._queue.keep_up()
        if before is not None:
            self._trim((before, forget_before or _NEVER))

    def _trim(self, old: tuple[datetime, datetime]) -> None:
        """A part of it, since uploads wait for each write; the next step goes on."""
        touched = self._queue.trim(*old, self.present)
        self._trimmed += touched
        self._old = old if touched else None
        if not touched and self._trimmed:
            self._log.info(Event.HISTORY_TRIMMED, rows=self._trimmed)
            self._trimmed = 0

    def _lived(self, name: str, known: object, seconds: float, now: datetime, span: timedelta) -> datetime | None:
        """What is older than the span, if the daemon has lived so long; that it has lived on is on record."""
        lived = lived_of(known).on(seconds, now, span)
        self._queue.set_runtime(name, lived.as_json())
        return lived.old_before(now, span)
