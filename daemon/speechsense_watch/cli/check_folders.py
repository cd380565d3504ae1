"""`check`, the folders: can they be read, what lies in them, how will they be watched."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechsense_watch.cli.linked import unwatched
from speechsense_watch.cli.report import Report
from speechsense_watch.cli.writing import user_name
from speechsense_watch.core import pairing
from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import HINTS, Reason
from speechsense_watch.core.rules import AfterUpload, CallRecordRules, Folder
from speechsense_watch.edge.call_records_csv import CsvCallRecords
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.people import CsvPeople
from speechsense_watch.edge.sources import sources_of
from speechsense_watch.edge.supervisor import choose
from speechsense_watch.ports import Clock, FileTrouble, Root, SourceTrouble, WatchState
from speechsense_watch.recording import Fit, Reader, Unfit

_MOST_NAMES = 20_000
_MOST_EXAMINED = 20
_KEYS_HINT = (
    "Set loguniqueid=yes and loguserfield=yes under [csv] in the exchange's cdr.conf, then run "
    '`asterisk -rx "module reload cdr_csv.so"`; where the file has columns of its own, name them in `columns`.'
)
_MOST_LINKS = 100


@dataclass(slots=True)
class _Seen:
    """What a look through a folder found; `cut` when it has more names than were looked at."""

    names: set[str] = field(default_factory=set)
    audio: list[str] = field(default_factory=list)
    unmatched: int = 0
    closed: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    cut: bool = False


def check_folder(folder: Folder, roots: Mapping[tuple[int, int], str], clock: Clock, report: Report) -> None:
    """Everything that can be said of a folder without sending anything. `roots` are those of all folders."""
    files = FolderFiles(folder.path, clock)
    root = files.root()
    where = f"folder {folder.name}"
    if root.identity is None:
        report.wrong(f"{where}: {folder.path}: {root.trouble}.", f"Checked as user {user_name()}.")
        return
    report.good(f"{where}: {folder.path} can be read ({_watched(folder, root)}).")
    if root.remote and not os.access(folder.path, os.W_OK | os.X_OK):
        report.note(
            f"{where}: {folder.path} lies on {root.file_system} and user {user_name()} may not write there, so daemons on other "
            "machines that share it cannot be told that this one works it.",
            "Let that user write there, or make sure that no other machine watches it.",
        )
    if folder.inner:
        owned = ", ".join(folder.inner)
        report.note(f"{where}: recordings below {owned} belong to the folders that are watched there.")
    _check_sources(where, folder, clock, report)
    seen = _look_through(files, folder)
    for path in seen.closed[:3]:
        report.wrong(f"{where}: {Path(folder.path, path)} may not be listed by user {user_name()}.", HINTS[Reason.UNREADABLE])
    for link in [link for path in seen.linked[:_MOST_LINKS] if (link := unwatched(files, path, roots))][:3]:
        report.note(f"{where}: {link.said}", f"{link.advice} Or leave it out by `exclude`.")
    _tell_names(where, folder, seen, report)
    _tell_recordings(where, folder, files, seen, clock, report)
    _check_filing(where, folder, report)


def _check_sources(where: str, folder: Folder, clock: Clock, report: Report) -> None:
    """Whether call records and the table of operators can be asked."""
    sources = sources_of(folder, clock)
    if (records := sources.call_records) is not None:
        _ask(
            lambda: records.find("-", f"{clock.now().timestamp():.0f}.0"),
            f"{where}: the call records can be read.",
            where,
            report,
        )
        if folder.cdr.csv:
            _tell_last_records(where, folder.cdr, report)
    if folder.operators:
        people = CsvPeople(folder.operators)
        _ask(lambda: people.find("-"), f"{where}: the table of operators can be read.", where, report)
        for line in people.repeated:
            report.note(f"{where}: {folder.operators}, line {line}: an earlier line names the same extension, and counts.")


def _tell_last_records(where: str, rules: CallRecordRules, report: Report) -> None:
    """Whether what the exchange writes now can be found by anything, and read."""
    try:
        survey = CsvCallRecords(rules.csv, rules.columns, rules.encoding).survey()
    except SourceTrouble:
        return  # which is told already
    if survey.lines and not survey.findable:
        report.wrong(
            f"{where}: none of the last {survey.lines} lines of {rules.csv} bears a unique id or a file's name.", _KEYS_HINT
        )
    for column, count in survey.unread.items():
        report.note(
            f"{where}: `{column}` is not in {rules.encoding} in {count} of the last {survey.lines} lines, and is left out.",
            'Set `encoding` in [folders.cdr], for instance "windows-1251".',
        )


def _ask(ask: Callable[[], object], good: str, where: str, report: Report) -> None:
    try:
        ask()
    except SourceTrouble as trouble:
        report.wrong(f"{where}: {trouble.message}", HINTS[Reason.SOURCE_UNREADABLE])
    else:
        report.good(good)


def _watched(folder: Folder, root: Root) -> str:
    state, why = choose(folder.detection, root)
    if state is WatchState.POLLING:
        return f"scanned every {folder.rescan_interval_s:g} s: {why}"
    return f"watched by events: {why}"


def _look_through(files: FolderFiles, folder: Folder) -> _Seen:
    seen = _Seen()
    for path in _walk(files, folder, seen):
        seen.names.add(path)
        if pairing.is_audio(folder, path) and pairing.chosen(folder, path):
            seen.audio.append(path)
        elif pairing.unmatched(folder, path):
            seen.unmatched += 1
    return seen


def _walk(files: FolderFiles, folder: Folder, seen: _Seen) -> Iterator[str]:
    """Files below the root, the shallow ones first."""
    directories = [""]
    for directory in directories:
        try:
            for batch in files.entries(directory):
                yield from (posixpath.join(directory, name) for name in batch.files)
                directories += _entered(folder, directory, batch.directories)
                seen.linked += _entered(folder, directory, batch.linked)
                if len(seen.names) >= _MOST_NAMES:
                    seen.cut = True
                    return
        except FileTrouble:
            seen.closed.append(directory)


def _entered(folder: Folder, directory: str, names: Sequence[str]) -> Iterator[str]:
    paths = (posixpath.join(directory, name) for name in names)
    return (path for path in paths if pairing.enters(folder, path))


def _paired(folder: Folder, seen: _Seen) -> list[str]:
    if not folder.metadata:
        return seen.audio
    return [path for path in seen.audio if pairing.metadata_path(folder, path, seen.names.__contains__) in seen.names]


def _tell_names(where: str, folder: Folder, seen: _Seen, report: Report) -> None:
    least = "at least " if seen.cut else ""
    paired = len(_paired(folder, seen))
    patterns = ", ".join(folder.audio)
    if not seen.names:
        report.note(f"{where}: it is empty, so nothing more can be said of the rules.")
    elif not seen.audio:
        what = f" Names that look like recordings: {seen.unmatched:,}." if seen.unmatched else ""
        rules = f"`audio` ({patterns})" + (f" and `include` ({', '.join(folder.include)})" if folder.include else "")
        report.note(
            f"{where}: {least}{len(seen.names):,} files, none of them matches {rules}.{what}",
            "Correct `audio`, `include` or `exclude`.",
        )
    else:
        files = "1 audio file" if len(seen.audio) == 1 else f"{len(seen.audio):,} audio files"
        text = f"{where}: {least}{files} ({patterns}), {paired:,} of them with metadata ({folder.metadata})."
        if not folder.metadata:
            report.good(f"{where}: {least}{files} ({patterns}), which have no metadata files (`metadata` is empty).")
        elif paired:
            report.good(text)
        else:
            report.note(text, HINTS[Reason.METADATA_MISSING])


def _tell_recordings(where: str, folder: Folder, files: FolderFiles, seen: _Seen, clock: Clock, report: Report) -> None:
    """What would become of some of them."""
    some = _paired(folder, seen)[:_MOST_EXAMINED]
    reader = Reader(files, folder, sources_of(folder, clock))
    problems: Counter[Reason] = Counter()
    samples: dict[Reason, tuple[str, Problem]] = {}
    for path in some:
        finding = reader.examine(path, pairing.metadata_path(folder, path, seen.names.__contains__))
        if isinstance(finding, Unfit) and not isinstance(finding.otherwise, Fit):
            problems[finding.problem.reason] += 1
            samples.setdefault(finding.problem.reason, (path, finding.problem))
    fit = len(some) - problems.total()
    if fit:
        report.good(f"{where}: {fit} of {len(some)} recordings that were looked into can be sent as they are.")
    for reason, count in problems.most_common():
        path, problem = samples[reason]
        tell = report.wrong if reason is Reason.UNREADABLE else report.doubt
        tell(f"{where}: {count} of {len(some)} cannot be sent as they are, {path} for one: {problem.message}", problem.hint)


def _check_filing(where: str, folder: Folder, report: Report) -> None:
    if folder.after_upload is AfterUpload.KEEP:
        return
    if not os.access(folder.path, os.W_OK | os.X_OK):
        report.wrong(
            f'{where}: user {user_name()} may not take files out of it, which after_upload = "{folder.after_upload}" needs.',
            "Give the user's group the right to write there; under systemd ReadWritePaths= is needed as well.",
        )
    if folder.after_upload is AfterUpload.ARCHIVE:
        _check_archive(where, Path(folder.archive_to), report)


def _check_archive(where: str, archive: Path, report: Report) -> None:
    if may_make(archive):
        report.good(f"{where}: `archive_to` {archive} can be written.")
        return
    report.wrong(
        f"{where}: `archive_to` {archive} cannot be written by user {user_name()}.",
        "Make the directory, and give the user the right to write there; under systemd ReadWritePaths= is needed as well.",
    )


def may_make(directory: Path) -> bool:
    """Whether this user can write there, or make it where it is not yet."""
    existing = next((each for each in (directory, *directory.parents) if os.path.lexists(each)), Path("/"))
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
