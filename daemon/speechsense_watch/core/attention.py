"""What needs the operator: one line for each thing that will not mend itself, with the command to type.

Waiting never counts. Recordings that stand still for one and the same reason are one line, however many they are, so that
a wrong set-up does not hide everything else.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import HINTS, Reason
from speechsense_watch.core.rules import OnUnknown
from speechsense_watch.core.traffic import SERVICE
from speechsense_watch.core.verdict import PAUSE_HINTS, PauseReason

# Beyond these the daemon is not left to itself any more.
UNCONFIRMED_PATIENCE = timedelta(days=1)
FILING_PATIENCE = timedelta(hours=1)
SOURCE_PATIENCE = timedelta(minutes=2)
# From so many recordings on, of which so large a part fails for one reason, it is the folder that is set up wrongly.
_SET_UP_JOBS, _SET_UP_PART = 5, 0.8
# Below the first the queue may fail at any moment; a small part of a disk is alarming only where it is little as well.
_DISK_FREE_BYTES, _DISK_FREE_PART, _DISK_AMPLE_BYTES = 100 * 10**6, 0.05, 10 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One thing that needs the operator: `what` is for reading, `do` for typing, `code` for scripts."""

    code: str
    count: int
    since: datetime | None
    what: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Jobs of one folder in one state for one reason. `first` is the one that has stood so longest, since `since`, and
    `message` its sentence. `overdue`: they have stood so for longer than the patience above.
    """

    state: State
    folder: str
    reason: Reason | None
    count: int
    since: datetime
    first: int
    message: str = ""
    overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """A pause as the daemon told it. `scope` is "service" or a connection id."""

    scope: str
    reason: str
    message: str
    since: datetime | None
    next_probe_at: datetime | None
    needs_operator: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTrouble:
    """What keeps the daemon from seeing a folder, or parts of it. `away` is a sentence, empty when the root is there."""

    name: str
    path: str
    away: str = ""
    away_since: datetime | None = None
    # It is away because another daemon works it.
    claimed_twice: bool = False
    unreadable_directories: int = 0
    # Links to directories that no folder watches.
    linked_directories: int = 0
    # Names that look like recordings and match no rule, while nothing else arrives; and hours of working time without any.
    unmatched: int = 0
    silent_h: float = 0.0
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDone:
    """A folder's trial that waits for the operator's word."""

    folder: str
    since: datetime | None
    sent: int
    talks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that holds `path`."""

    path: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The queue ran on `host` before, and nobody has said yet that the daemon there is stopped."""

    host: str
    seen_at: datetime | None
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything the judgement needs. `counts` are by folder and state, `policies` by folder."""

    groups: tuple[Group, ...] = ()
    counts: Mapping[str, Mapping[State, int]] = field(default_factory=dict)
    policies: Mapping[str, OnUnknown] = field(default_factory=dict)
    pauses: tuple[Standstill, ...] = ()
    folders: tuple[FolderTrouble, ...] = ()
    disk: Disk | None = None
    trials: tuple[TrialDone, ...] = ()
    moved: Moved | None = None
    # By connection, why looking up does not work.
    look_ups: Mapping[str, str] = field(default_factory=dict)
    # Talks in SpeechSense beside those that count, and since when the oldest is known.
    orphans: int = 0
    orphans_since: datetime | None = None


def attention(snapshot: Snapshot) -> tuple[Attention, ...]:
    """All that needs the operator; what stops most comes first."""
    return (
        *_pauses(snapshot),
        *_folders(snapshot),
        *_disk(snapshot.disk),
        *_moved(snapshot.moved),
        *(_trial(trial) for trial in snapshot.trials),
        *(_look_up(connection, trouble) for connection, trouble in snapshot.look_ups.items() if trouble),
        *_orphans(snapshot),
        *(line for group in sorted(snapshot.groups, key=_weight) if (line := _of_group(group, snapshot))),
    )


# --- what stops everything -------------------------------------------------------------------


def _pauses(snapshot: Snapshot) -> Iterator[Attention]:
    for pause in snapshot.pauses:
        if not pause.needs_operator:
            continue
        what = "All uploads stand" if pause.scope == SERVICE else f"Uploads to connection {pause.scope} stand"
        match pause.reason:
            case PauseReason.MANY_REFUSED:
                do = "speechsense-watch list --state ready"
            case PauseReason.QUEUE_NOT_WRITABLE if snapshot.disk is not None:
                do = f"df -h {shlex.quote(snapshot.disk.path)}"
            case _:
                do = "speechsense-watch check --online"
        text = _sentences(f"{what} still.", pause.message, pause_hint(pause.reason))
        yield Attention(code="paused", count=1, since=pause.since, what=text, do=do)


def pause_hint(reason: str) -> str:
    """What to do about a pause; empty for a reason that only another version knows."""
    return PAUSE_HINTS[PauseReason(reason)] if reason in set(PauseReason) else ""


def _folders(snapshot: Snapshot) -> Iterator[Attention]:
    for folder in snapshot.folders:
        do = "speechsense-watch check"
        if folder.away and folder.claimed_twice:
            what = _sentences(
                folder.away,
                f"Two daemons on {folder.path} would send each call twice, so this one leaves it alone until the other ends.",
            )
            yield Attention(
                code="folder_claimed_twice",
                count=1,
                since=folder.away_since,
                what=what,
                do="ps -ef | grep [s]peechsense-watch",
            )
        elif folder.away:
            what = _sentences(f"The folder {folder.name} ({folder.path}) is away:", folder.away)
            yield Attention(code="folder_away", count=1, since=folder.away_since, what=what, do=do)
        if n := folder.unreadable_directories:
            what = _sentences(
                f"{_number(n, 'directory', 'directories')} below {folder.path} cannot be read, so recordings in "
                f"{'it' if n == 1 else 'them'} are not seen.",
                "Give the service's user the right to read and enter (r-x).",
            )
            yield Attention(code="directories_unreadable", count=n, since=None, what=what, do=do)
        if n := folder.linked_directories:
            links = "1 link to a directory" if n == 1 else f"{n:,} links to directories"
            what = (
                f"The folder {folder.name} holds {links} that no folder watches. Links are never "
                "followed, so recordings there are not seen: watch the target by a [[folders]] of its own, or `exclude` the link."
            )
            yield Attention(code="linked_directories", count=n, since=None, what=what, do=do)
        if n := folder.unmatched:
            what = (
                f"In the folder {folder.name} {_number(n, 'file looks like a recording', 'files look like recordings')} and "
                f"{'matches' if n == 1 else 'match'} no rule, and nothing else arrives: correct `audio` or `include`."
            )
            yield Attention(code="unmatched", count=n, since=folder.last_seen_at, what=what, do=do)
        if folder.silent_h:
            what = (
                f"No recording has come to the folder {folder.name} for {folder.silent_h:.0f} hours of working time: does the "
                "recorder still record, and does it still write there?"
            )
            yield Attention(code="no_recordings", count=1, since=folder.last_seen_at, what=what, do=do)


def _disk(disk: Disk | None) -> Iterator[Attention]:
    if disk is None or disk.free_bytes >= _DISK_AMPLE_BYTES:
        return
    if disk.free_bytes < _DISK_FREE_BYTES or disk.free_bytes < disk.total_bytes * _DISK_FREE_PART:
        what = (
            f"The disk that holds the queue is nearly full: {disk.free_bytes // 10**6:,} MB are left. "
            "Nothing is uploaded once the queue cannot be written."
        )
        yield Attention(code="disk_nearly_full", count=1, since=None, what=what, do=f"df -h {shlex.quote(disk.path)}")


def _moved(moved: Moved | None) -> Iterator[Attention]:
    if moved is not None:
        seen = f", where a daemon was last seen at {moved.seen_at:%Y-%m-%d %H:%M} UTC" if moved.seen_at else ""
        what = (
            f"This queue came from the machine {moved.host or 'without a name'}{seen}. Make sure that the daemon there is "
            "stopped: both would send the same calls."
        )
        yield Attention(code="queue_moved", count=1, since=moved.since, what=what, do="speechsense-watch moved")


def _trial(trial: TrialDone) -> Attention:
    said = ", ".join(trial.talks) or "none has a talk id yet: `show` tells what became of them"
    what = (
        f"The trial of folder {trial.folder} is over: {_number(trial.sent, 'recording was', 'recordings were')} sent, the rest "
        f"waits. Look at these talks in SpeechSense, at operator, client, direction and channels: {said}."
    )
    do = f"speechsense-watch approve {shlex.quote(trial.folder)}"
    return Attention(code="trial", count=trial.sent, since=trial.since, what=what, do=do)


def _look_up(connection_id: str, trouble: str) -> Attention:
    what = _sentences(
        f"Looking up on connection {connection_id} does not work:",
        trouble,
        "Recordings whose answer is lost wait until it does.",
    )
    return Attention(code="look_up", count=1, since=None, what=what, do="speechsense-watch check --online")


def _orphans(snapshot: Snapshot) -> Iterator[Attention]:
    if n := snapshot.orphans:
        what = (
            f"SpeechSense holds {_number(n, 'talk', 'talks')} beside those that count, left by uploads that broke off or were "
            "repeated. It has no call that deletes them: delete them in its pages."
        )
        yield Attention(code="orphans", count=n, since=snapshot.orphans_since, what=what, do="speechsense-watch orphans")


# --- recordings ------------------------------------------------------------------------------

_ORDER = (State.WAITING, State.LOST, State.UNCONFIRMED, State.REFUSED, State.UNUSABLE, State.DONE, State.UPLOADED)


def _weight(group: Group) -> tuple[int, datetime]:
    return (_ORDER.index(group.state) if group.state in _ORDER else len(_ORDER), group.since)


def _of_group(group: Group, snapshot: Snapshot) -> Attention | None:
    maker = _MAKERS.get(group.state)
    return maker(group, snapshot) if maker and group.count > 0 else None


def _line(group: Group, code: str, what: str, do: str = "") -> Attention:
    options = f"--state {group.state}" + (f" --folder {shlex.quote(group.folder)}" if group.folder else "")
    command = do or (f"show {group.first}" if group.count == 1 else f"list {options}")
    return Attention(code=code, count=group.count, since=group.since, what=what, do=f"speechsense-watch {command}")


def _of(group: Group, verb_one: str, verb_many: str) -> str:
    recordings = _number(group.count, "recording", "recordings")
    where = f" of {group.folder}" if group.folder else ""
    return f"{recordings}{where} {verb_one if group.count == 1 else verb_many}"


def _reasons(group: Group) -> tuple[str, str]:
    said = group.message if group.count == 1 else f"Number {group.first}, for example: {group.message}"
    return said if group.message else "", HINTS[group.reason] if group.reason else ""


def _unusable(group: Group, snapshot: Snapshot) -> Attention:
    counts = snapshot.counts.get(group.folder, {})
    # Those left out say nothing about the set-up: calls that nobody answered are half of some folders.
    judged = sum(n for state, n in counts.items() if state not in (State.WAITING, State.SKIPPED))
    if group.count >= _SET_UP_JOBS and group.count >= judged * _SET_UP_PART:
        what = _sentences(
            f"Nearly all recordings of {group.folder} so far ({group.count:,} of {judged:,}) cannot be sent, for one and the "
            "same reason: look at the folder's set-up, not at the files.",
            *_reasons(group),
        )
        return _line(group, "folder_set_up", what)
    return _line(group, "unusable", _sentences(_of(group, "cannot be sent.", "cannot be sent."), *_reasons(group)))


def _refused(group: Group, _snapshot: Snapshot) -> Attention:
    if group.reason is Reason.GAVE_UP:
        opening = _of(group, "failed for too long.", "failed for too long.")
    else:
        opening = _of(group, "was refused by SpeechSense.", "were refused by SpeechSense.")
    return _line(group, "refused", _sentences(opening, *_reasons(group)))


def _lost(group: Group, _snapshot: Snapshot) -> Attention:
    opening = _of(group, "vanished before it was sent.", "vanished before they were sent.")
    return _line(group, "lost", _sentences(opening, _reasons(group)[1]))


def _changed(group: Group, _snapshot: Snapshot) -> Attention:
    opening = _of(group, "changed after it was uploaded.", "changed after they were uploaded.")
    do = "" if group.count == 1 else f"list --changed --folder {shlex.quote(group.folder)}"
    return _line(group, "changed_after_upload", _sentences(opening, HINTS[Reason.CHANGED_AFTER_UPLOAD]), do)


def _unconfirmed(group: Group, snapshot: Snapshot) -> Attention | None:
    policy = snapshot.policies.get(group.folder)
    if policy in (OnUnknown.RESEND, OnUnknown.SEARCH) and not group.overdue:
        return None
    because = {
        OnUnknown.RESEND: "This has been so for over a day.",
        OnUnknown.SEARCH: "For over a day looking up could not settle it.",
        OnUnknown.HOLD: 'on_unknown = "hold" leaves the decision to you.',
        None: "No folder of the configuration decides about them.",
    }[policy]
    opening = _of(group, "may or may not have arrived at SpeechSense.", "may or may not have arrived at SpeechSense.")
    return _line(group, "unconfirmed", _sentences(opening, because, HINTS[group.reason or Reason.OUTCOME_UNKNOWN]))


def _filing(group: Group, _snapshot: Snapshot) -> Attention | None:
    if not group.overdue or group.reason is not Reason.FILING_FAILED:
        return None
    opening = _of(group, "was uploaded, but its files cannot be put away.", "were uploaded, but their files cannot be put away.")
    return _line(group, "filing_failed", _sentences(opening, *_reasons(group)))


def _without_source(group: Group, _snapshot: Snapshot) -> Attention | None:
    """Waiting never counts; but these do not wait for the recorder: nothing of the folder is sent until somebody mends it."""
    if not group.overdue or group.reason is not Reason.SOURCE_UNREADABLE:
        return None
    opening = _of(group, "waits for what cannot be read.", "wait for what cannot be read.")
    return _line(group, "source_unreadable", _sentences(opening, *_reasons(group)), "check")


_MAKERS: Mapping[State, Callable[[Group, Snapshot], Attention | None]] = {
    State.WAITING: _without_source,
    State.UNUSABLE: _unusable,
    State.REFUSED: _refused,
    State.LOST: _lost,
    State.DONE: _changed,
    State.UNCONFIRMED: _unconfirmed,
    State.UPLOADED: _filing,
}


def _number(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _sentences(*texts: str) -> str:
    """One after the other; each that ends without a full stop gets one."""
    return " ".join(text if text[-1] in ".:!?" else f"{text}." for text in map(str.strip, texts) if text)
