"""What `forget` finds and does: which rows are the same call, what is left of them where, and how it goes."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechsense_watch.cli.as_json import absolute
from speechsense_watch.core.known import still_the_same
from speechsense_watch.core.model import IN_FLIGHT, NO_FILE, Half, Job, State, digest_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.edge.archived import Removal, remove_archived
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.records import Records
from speechsense_watch.ports import FileTrouble, FileTroubleKind, Halted
from speechsense_watch.recording import hash_of

_TOO_EARLY = {
    State.UPLOADED: "its files are still to be put away: try again in a minute, or `skip {id}` leaves them where they are",
    **dict.fromkeys(IN_FLIGHT, "it is being sent at this moment: try again when it is through (`pause` holds back what follows)"),
}
_UNFINISHED = frozenset(
    {Reason.AUDIO_MISSING, Reason.STILL_CHANGING, Reason.HEADER_UNFINISHED, Reason.SHORTER_THAN_HEADER, Reason.UNREADABLE}
)
_NOT_COMPLETE = (
    "it is not complete yet, and would not be known again when it is: try again when the call is over, or delete its files first"
)
# The daemon saw that its files are gone, or knows it already by its sound.
_NEED_NOT_BE_READ = frozenset({Reason.VANISHED, Reason.VANISHED_BEFORE_UPLOAD, Reason.FORGOTTEN})


class CannotForget(Exception):  # noqa: N818
    """Nothing was changed in the queue; the message says what stands in the way."""


@dataclass(frozen=True, slots=True)
class Call:
    """A row that is to go. `files` lie where the recorder put them and are not ours to delete, `archived` are."""

    job: Job
    files: tuple[str, ...]
    archived: tuple[tuple[str, str], ...]
    # Further talks of it, and the recording ids of the tries that may have arrived.
    orphans: Sequence[str] = ()
    tries: Sequence[str] = ()

    @property
    def too_early(self) -> str:
        """Why it cannot go now; empty when it can."""
        if self.job.state is State.WAITING and self.job.reason in _UNFINISHED:
            return _NOT_COMPLETE
        return _TOO_EARLY.get(self.job.state, "").format(id=self.job.id)


def calls_of(jobs: Sequence[Job], records: Records, roots: Mapping[str, str]) -> list[Call]:
    """These, and every other row of the same calls: copies that were left out as duplicates, the one they are duplicates of,
    and whatever else has the same audio.
    """
    found = {job.id: job for job in jobs}
    while more := {job.id: job for job in records.same_calls(list(found.values())) if job.id not in found}:
        found |= more
    return [
        Call(job, tuple(_lying(job, roots)), tuple(_archived(job)), *records.arrivals(job)) for _, job in sorted(found.items())
    ]


def _lying(job: Job, roots: Mapping[str, str]) -> Iterator[str]:
    if not _is_there_still(job, roots):
        return
    for path in (job.audio_path, job.metadata_path):
        whole = absolute(job.place.folder, path, roots)
        if whole is not None and posixpath.isabs(whole) and os.path.lexists(whole):
            yield whole


def _archived(job: Job) -> Iterator[tuple[str, str]]:
    for path, half in ((job.filed_to, job.audio), (job.metadata_filed_to, job.metadata)):
        if path and half and half.sha256 and os.path.lexists(path):
            yield path, half.sha256


def _is_there_still(job: Job, roots: Mapping[str, str]) -> bool:
    """Whether what lies at the place, if anything does, is this call. Where a finished one lay there may be another, be it that
    the daemon has not seen it yet: then audio and metadata both differ.
    """
    if job.gone_at is not None:
        return False
    if job.state is not State.DONE or job.changed_after_upload or job.audio is None:
        return True
    files = FolderFiles(roots.get(job.place.folder, "/"), SystemClock())
    if not _differs(files, job.audio_path, job.audio) or not _differs(files, job.metadata_path, job.metadata):
        return True
    try:
        with files.open((job.audio_path or "").lstrip("/")) as audio:
            return hash_of(audio, audio.stamp) == job.audio.sha256
    except (FileTrouble, Halted):
        return False


def _differs(files: FolderFiles, path: str | None, half: Half | None) -> bool:
    """There is a file, and it is not the one on record."""
    if path is None or half is None or half.stamp == NO_FILE:
        return False
    try:
        return not still_the_same(half.stamp, files.look(path.lstrip("/")).stamp)
    except FileTrouble:
        return False


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Carries it out, beside a running daemon or without one."""

    queue: SqliteQueue
    roots: Mapping[str, str]

    def forget(self, calls: Sequence[Call]) -> list[str]:
        """They are gone, files in the archive first, so that whatever fails can be done again. Returns the files that were
        left alone because they are not the ones that were archived. Raises CannotForget, and Stale when the daemon was first.
        """
        digests = {digest_of(sha256) for call in calls for sha256 in self._sounds(call.job)}
        left = [path for call in calls for path, sha256 in call.archived if _remove(path, sha256) is Removal.ANOTHER]
        self.queue.forget([call.job for call in calls], digests, SystemClock().now())
        return left

    def _sounds(self, job: Job) -> Iterator[str]:
        """The sha256 of its audio as it was sent, and as it lies there now."""
        known = job.audio.sha256 if job.audio else ""
        if known:
            yield known
        if job.audio_path is None or not _is_there_still(job, self.roots):
            return
        files = FolderFiles(self.roots.get(job.place.folder, "/"), SystemClock())
        try:
            with files.open(job.audio_path.lstrip("/")) as audio:
                if not known or job.audio is None or audio.stamp != job.audio.stamp:
                    yield hash_of(audio, audio.stamp)
        except FileTrouble as trouble:
            if not known and job.reason not in _NEED_NOT_BE_READ and _may_come_to_light(trouble, files):
                said = (
                    f"The audio of recording {job.id} cannot be read ({trouble.message}), and unread it would not be known again."
                )
                raise CannotForget(said) from trouble
        except Halted as halted:
            raise CannotForget(f"The audio of recording {job.id} changes at this moment: try again later.") from halted


def _may_come_to_light(trouble: FileTrouble, files: FolderFiles) -> bool:
    """Whether a file that could not be read is there all the same, or may be when its folder is: a root that is empty may be the
    mount point of one that is away.
    """
    if trouble.kind is not FileTroubleKind.GONE:
        return trouble.kind in (FileTroubleKind.UNREADABLE, FileTroubleKind.IO)
    try:
        return not any(files.entries("", 1))
    except FileTrouble:
        return True


def _remove(path: str, sha256: str) -> Removal:
    try:
        return remove_archived(Path(path), sha256)
    except OSError as error:
        raise CannotForget(f"{path} cannot be deleted ({error.strerror}); nothing else was removed.") from error


def copies_beside(queue: Path) -> list[str]:
    """Copies of the queue from before an upgrade or a `restore`, which hold what it held then."""
    return sorted(str(path) for why in ("before", "replaced") for path in queue.parent.glob(f"{queue.name}.{why}-*"))
