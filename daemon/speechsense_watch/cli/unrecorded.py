"""A path at or below a watched root: what lies there, what each rule says of it, what is missing, what comes next."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from speechsense_watch.cli.linked import link_at
from speechsense_watch.cli.ruling import ruling
from speechsense_watch.cli.words import clock_time, when
from speechsense_watch.core import pairing
from speechsense_watch.core.fitness import in_words
from speechsense_watch.core.model import A_DIRECTORY, Sighting, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.ports import NO_SOURCES, Files, FileTrouble, FileTroubleKind, Sources
from speechsense_watch.recording import Fate, Fit, Reader, Unfit, is_there


@dataclass(frozen=True, slots=True)
class Spot:
    """A path below the root of a watched folder."""

    folder: Folder
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What else the judgement needs. `start_from` is None where recordings of any age are taken; `scanned_at` is when the
    daemon ended its last scan of the folder, `watched` how it is watched, in words; `counts` are of the recordings at or below
    the path.
    """

    files: Files
    now: datetime
    start_from: datetime | None
    daemon_runs: bool
    sources: Sources = NO_SOURCES
    on_record: bool = False
    scanned_at: datetime | None = None
    watched: str = ""
    counts: Mapping[State, int] = field(default_factory=dict)
    # Of all folders, as `edge.watched` has them.
    roots: Mapping[tuple[int, int], str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Report:
    """`kind` says what it is: audio, metadata, unfinished, left_out or other by its name, a directory, or linked: at or below a
    link to one. The rest are sentences.
    """

    kind: str
    exists: bool = False
    rules: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)


def spots_of(path: str, folders: Sequence[Folder]) -> Iterator[Spot]:
    """Where the path lies in the watched folders, in the innermost first; by its name, then by where links lead."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - pathlib's leaves ".." in
    real = posixpath.join(os.path.realpath(posixpath.dirname(absolute)), posixpath.basename(absolute))
    for folder in sorted(folders, key=lambda folder: -len(folder.path)):
        pairs = ((absolute, folder.path), (real, folder.path), (real, os.path.realpath(folder.path)))
        for candidate, root in pairs:
            if candidate == root or candidate.startswith(f"{root}/"):
                yield Spot(folder, candidate.removeprefix(root).removeprefix("/"))
                break


def related(spot: Spot) -> tuple[str, ...]:
    """The path itself, and those of the other half that may stand for the same recording."""
    if pairing.is_audio(spot.folder, spot.path):
        beside = pairing.metadata_path(spot.folder, spot.path)
        return (spot.path,) if beside is None else (spot.path, beside)
    return (spot.path, *pairing.audio_paths(spot.folder, spot.path))


def explain(spot: Spot, around: Surroundings) -> Report:
    """Why there is no row, as far as a look from outside the daemon tells."""
    if trouble := around.files.root().trouble:
        return Report(
            kind=_kind(spot), seen=[f"The folder's root is away: {trouble}."], next=["It is looked at once that is mended."]
        )
    if _is_directory(spot, around):
        return _of_directory(spot, around)
    if _kind(spot) != "left_out" and (link := link_at(around.files, spot.path, around.roots)):
        there = os.path.lexists(posixpath.join(spot.folder.path, spot.path))
        report = Report(kind="linked", exists=there, seen=[link.said], next=[link.advice])
    elif by_name := _by_name(spot):
        report = by_name
        report.exists = _look(spot.path, around) is not None
    else:
        report = _by_look(spot, around)
    report.rules = ruling(spot.folder, spot.path)
    return report


# --- a directory -------------------------------------------------------------------------------


def _is_directory(spot: Spot, around: Surroundings) -> bool:
    if not spot.path:
        return True
    look = _look(spot.path, around)
    return isinstance(look, Sighting) and look.oddity == A_DIRECTORY


def _of_directory(spot: Spot, around: Surroundings) -> Report:
    report = Report(kind="directory", exists=True)
    kept = sum(around.counts.values())
    by_state = ", ".join(f"{count:,} {state}" for state, count in sorted(around.counts.items()) if count)
    report.seen.append(f"Recordings on record below it: {f'{kept:,} ({by_state})' if kept else 'none'}.")
    if not spot.path:
        report.seen.append(f"It is the folder's root: {around.watched}.")
    if words := pairing.left_out(spot.folder, f"{spot.path}/*" if spot.path else "*"):
        report.rules.append(words)
        report.next.append("Nothing in it is taken, unless the folder's rules are changed.")
        return report
    try:
        around.files.directory_mtime_ns(spot.path)
        report.next.append("What comes into it is taken by itself, if the rules take its name.")
    except FileTrouble as trouble:
        report.missing.append(f"It cannot be listed: {trouble.message}.")
        report.next.append("It is tried again with every scan.")
    report.next.append(_next_scan(spot.folder, around))
    return report


# --- by the name alone -----------------------------------------------------------------------


def _kind(spot: Spot) -> str:
    if pairing.ignored(spot.path):
        return "unfinished"
    if pairing.left_out(spot.folder, spot.path):
        return "left_out"
    if pairing.is_audio(spot.folder, spot.path):
        return "audio"
    return "metadata" if pairing.audio_paths(spot.folder, spot.path) else "other"


def _by_name(spot: Spot) -> Report | None:
    """The report on a name that is never taken; None for audio and metadata."""
    kind = _kind(spot)
    match kind:
        case "unfinished":
            seen = "Names like this one belong to files that a program has not finished."
            then = "It is looked at when it gets its real name."
        case "left_out":
            seen = pairing.left_out(spot.folder, spot.path)
            then = "Nothing comes next, unless the folder's rules are changed."
        case "other":
            seen = "Its name is neither that of audio nor of metadata, by `audio` and `metadata` in the folder's rules."
            then = "Nothing comes next."
            if pairing.looks_like_audio(spot.path):
                then = f"If it is a recording, add its ending to `audio`, which is now {', '.join(spot.folder.audio)}."
        case _:
            return None
    return Report(kind=kind, seen=[seen], next=[then])


# --- by looking ------------------------------------------------------------------------------


def _look(path: str, around: Surroundings) -> Sighting | FileTrouble | None:
    """What is there; None when nothing is."""
    try:
        return around.files.look(path)
    except FileTrouble as trouble:
        return None if trouble.kind is FileTroubleKind.GONE else trouble


def _by_look(spot: Spot, around: Surroundings) -> Report:
    kind = _kind(spot)
    audio = spot.path
    metadata = pairing.metadata_path(spot.folder, spot.path, partial(is_there, around.files))
    if kind == "metadata":
        candidates = pairing.audio_paths(spot.folder, spot.path)
        audio, metadata = next((path for path in candidates if _look(path, around)), candidates[0]), spot.path
    halves = {"audio": audio} if metadata is None else {"audio": audio, "metadata": metadata}
    found = {half: _look(path, around) for half, path in halves.items()}
    report = Report(kind=kind, exists=found[kind] is not None)
    for half, path in halves.items():
        _tell_half(report, half, path, found[half], around)
    if not report.missing:
        _tell_whole(report, spot.folder, audio, metadata, around)
    elif report.exists:
        report.next.append("It waits, however long, and is taken by itself when the rest has come.")
    else:
        report.next.append("When it comes, it is taken by itself.")
    _tell_when(report, spot.folder, [look for look in found.values() if isinstance(look, Sighting)], around)
    return report


def _tell_half(report: Report, half: str, path: str, look: Sighting | FileTrouble | None, around: Surroundings) -> None:
    match look:
        case None:
            report.missing.append(f"The {half}, {path}, is not there.")
        case FileTrouble():
            report.missing.append(f"The {half}, {path}, cannot be looked at: {look.message}.")
        case Sighting(regular=False):
            report.missing.append(f"The {half}, {path}, is {look.oddity}, and only regular files are read.")
        case Sighting():
            changed = when(around.now, _time(look.mtime_ns))
            report.seen.append(f"The {half}, {path}: {look.size:,} bytes, changed {changed}.")


def _tell_whole(report: Report, folder: Folder, audio: str, metadata: str | None, around: Surroundings) -> None:
    finding = Reader(around.files, folder, around.sources).examine(audio, metadata)
    if isinstance(finding, Fit):
        both = "It" if metadata is None else "Both"
        report.seen.append(f"{both} can be read and sent: {in_words(finding.recording.format.duration_s)} of audio.")
        return
    telling = report.missing if finding.fate in (Fate.WAIT, Fate.GONE) else report.seen
    telling.append(finding.problem.message)
    report.next.append(finding.problem.hint)
    if finding.fate is Fate.WAIT and isinstance(look := _look(audio, around), Sighting):
        report.next.extend(_patience(folder, finding, look))


def _patience(folder: Folder, finding: Unfit, look: Sighting) -> Iterator[str]:
    """For how long it is waited, and what comes then."""
    newest = _newest([look])
    if finding.problem.reason is Reason.CALL_RECORD_MISSING:
        until = newest + timedelta(seconds=folder.cdr.wait_s)
        yield f"The call record is waited for until {clock_time(until)} (`wait` in [folders.cdr])."
    elif finding.problem.reason in (Reason.HEADER_UNFINISHED, Reason.SHORTER_THAN_HEADER):
        until = newest + timedelta(seconds=folder.abandon_after_s)
        repaired = finding.otherwise is not None
        then = "sent with a corrected header (`unfinished`)" if repaired else "reported as unusable"
        yield f"If nobody writes to it until {clock_time(until)} (`abandon_after`), it is {then}."


def _tell_when(report: Report, folder: Folder, looks: list[Sighting], around: Surroundings) -> None:
    """Why there is no row although something is there, or when the row is looked at again."""
    if not looks:
        return
    start_from = None if around.on_record else around.start_from
    if start_from is not None and min(looks[0].mtime_ns / 1e9, _LATEST) < start_from.timestamp():
        start = f"{start_from.astimezone():%Y-%m-%d %H:%M}"
        report.next[:] = [f"It is older than `start_from` ({start}), so it is left alone. `speechsense-watch upload` sends it."]
        return
    if not around.daemon_runs:
        report.next.append("No daemon is running, so nobody looks: `sudo systemctl start speechsense-watch`.")
        return
    # A file may be dated in the future; the daemon goes by its own looks.
    quiet_at = min(_newest(looks), around.now) + timedelta(seconds=folder.quiet_period_s)
    if quiet_at > around.now and not folder.metadata_last:
        quiet = in_words(folder.quiet_period_s)
        report.next.append(
            f"It has to be left alone for {quiet} first (`quiet_period`): it is looked at {when(around.now, quiet_at)}."
        )
    elif not around.on_record:
        report.next.append(f"The daemon has not come to it yet. {_next_scan(folder, around)}")
    elif not report.missing:
        report.next.append(_next_scan(folder, around))


def _next_scan(folder: Folder, around: Surroundings) -> str:
    within = in_words(folder.rescan_interval_s)
    if not around.daemon_runs:
        return "No daemon is running, so nobody looks: `sudo systemctl start speechsense-watch`."
    if around.scanned_at is None:
        return f"The next scan comes within {within}."
    last = when(around.now, around.scanned_at)
    return f"The next scan comes within {within} of the last one, which ended {last}."


def _newest(looks: list[Sighting]) -> datetime:
    return _time(max(max(look.mtime_ns, look.ctime_ns) for look in looks))


# The last second that a datetime can hold, for file systems that tell nonsense.
_LATEST = datetime.max.replace(tzinfo=UTC).timestamp()


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(max(0.0, min(nanoseconds / 1e9, _LATEST - 86400 * 366)), UTC)


def report_as_json(path: str, folder: str, report: Report, escaped: Callable[[str], str]) -> dict[str, Any]:
    return {
        "path": path,
        "folder": folder,
        "kind": report.kind,
        "exists": report.exists,
        "rules": [escaped(text) for text in report.rules],
        "seen": [escaped(text) for text in report.seen],
        "missing": [escaped(text) for text in report.missing],
        "next": [escaped(text) for text in report.next],
    }
