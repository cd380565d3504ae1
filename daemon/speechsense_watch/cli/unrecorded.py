"""A path below a watched root of which the queue knows nothing: what lies there, what is missing, what comes next."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from speechsense_watch.cli.words import when
from speechsense_watch.core import pairing
from speechsense_watch.core.fitness import in_words
from speechsense_watch.core.model import Sighting
from speechsense_watch.core.rules import Folder
from speechsense_watch.ports import NO_SOURCES, Files, FileTrouble, FileTroubleKind, Sources
from speechsense_watch.recording import Fate, Fit, Reader


@dataclass(frozen=True, slots=True)
class Spot:
    """A path below the root of a watched folder."""

    folder: Folder
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What else the judgement needs. `start_from` is None where recordings of any age are taken."""

    files: Files
    now: datetime
    start_from: datetime | None
    daemon_runs: bool
    sources: Sources = NO_SOURCES


@dataclass(slots=True, kw_only=True)
class Report:
    """`kind` says what the name makes of it: audio, metadata, unfinished, left_out or other. The rest are sentences."""

    kind: str
    exists: bool = False
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
            if candidate.startswith(f"{root}/"):
                yield Spot(folder, candidate.removeprefix(f"{root}/"))
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
    if report := _by_name(spot):
        report.exists = _look(spot.path, around) is not None
        return report
    return _by_look(spot, around)


# --- by the name alone -----------------------------------------------------------------------


def _kind(spot: Spot) -> str:
    if pairing.ignored(spot.path):
        return "unfinished"
    if _left_out(spot):
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
            seen = _left_out(spot)
            then = "Nothing comes next, unless the folder's rules are changed."
        case "other":
            seen = "Its name is neither that of audio nor of metadata, by `audio` and `metadata` in the folder's rules."
            then = "Nothing comes next."
            if pairing.looks_like_audio(spot.path):
                then = f"If it is a recording, add its ending to `audio`, which is now {', '.join(spot.folder.audio)}."
        case _:
            return None
    return Report(kind=kind, seen=[seen], next=[then])


def _left_out(spot: Spot) -> str:
    """Which rule leaves it out, as a sentence; empty when none does."""
    folder, path = spot.folder, spot.path
    directories = path.split("/")[:-1]
    above = ["/".join(directories[: depth + 1]) for depth in range(len(directories))]
    if directories and not folder.recursive:
        return "It lies in a subdirectory, and `recursive = false` leaves those out."
    if inner := next((part for part in above if part in folder.inner), ""):
        return f"It belongs to the folder that watches {posixpath.join(folder.path, inner)}."
    if any(name.startswith(".") for name in directories):
        return "It lies in a hidden directory, and those are left out."
    if any(pairing.excluded(folder, part) for part in (*above, path)):
        return "`exclude` in the folder's rules leaves it out."
    if pairing.is_audio(folder, path) and not pairing.chosen(folder, path):
        return "`include` in the folder's rules leaves it out."
    return ""


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
    metadata = pairing.metadata_path(spot.folder, spot.path)
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
        report.seen.append(f"Both can be read and sent: {in_words(finding.recording.format.duration_s)} of audio.")
        return
    telling = report.missing if finding.fate in (Fate.WAIT, Fate.GONE) else report.seen
    telling.append(finding.problem.message)
    report.next.append(finding.problem.hint)


def _tell_when(report: Report, folder: Folder, looks: list[Sighting], around: Surroundings) -> None:
    """Why there is no row although something is there."""
    if not looks:
        return
    if around.start_from is not None and min(looks[0].mtime_ns / 1e9, _LATEST) < around.start_from.timestamp():
        start = f"{around.start_from.astimezone():%Y-%m-%d %H:%M}"
        report.next[:] = [f"It is older than `start_from` ({start}), so it is left alone. `speechsense-watch upload` sends it."]
        return
    if not around.daemon_runs:
        report.next.append("No daemon is running, so nobody looks: `sudo systemctl start speechsense-watch`.")
        return
    newest = _time(max(max(look.mtime_ns, look.ctime_ns) for look in looks))
    quiet_at = newest + timedelta(seconds=folder.quiet_period_s)
    if quiet_at > around.now:
        quiet = in_words(folder.quiet_period_s)
        report.next.append(
            f"It has to be left alone for {quiet} first (`quiet_period`): it is looked at {when(around.now, quiet_at)}."
        )
    else:
        report.next.append(f"The daemon has not come to it yet: the next scan comes within {in_words(folder.rescan_interval_s)}.")


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
        "seen": [escaped(text) for text in report.seen],
        "missing": [escaped(text) for text in report.missing],
        "next": [escaped(text) for text in report.next],
    }
