"""Metadata from where it is: the file's name, the file beside it, the exchange's call records, the table of operators.

What a later source says wins over what an earlier one said, since it knows more of the call: a name is given when the recording
begins, a call record is written when the call has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from speechsense_watch.core.call_record import key_of, told
from speechsense_watch.core.extensions import Extensions
from speechsense_watch.core.file_name import read_name
from speechsense_watch.core.metadata import Fields, apply_rules, left_out, renamed
from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder, MetadataFormat
from speechsense_watch.core.sidecar import Values, read_values, sendable
from speechsense_watch.core.sidecar_xml import read_xml
from speechsense_watch.ports import CallRecords, Sources, SourceTrouble


@dataclass(frozen=True, slots=True)
class NotYet:
    """Something is still to come. `otherwise` is what there is without it, None where it cannot be gone without."""

    problem: Problem
    otherwise: Fields | Problem | None = None


def gather(folder: Folder, audio_path: str, raw: bytes | None, sources: Sources) -> Fields | Problem | NotYet:
    """The fields of the recording at `audio_path`; `raw` is its metadata file, None where the folder has none."""
    said = [_by_name(folder, audio_path)]
    if raw is not None:
        beside = _beside(folder, raw)
        if isinstance(beside, Problem):
            return beside
        said.append(_Said(*renamed(beside.values, folder.metadata_rename)).after(left_out(beside)))
    try:
        record = _call_record(folder, audio_path, sources.call_records)
        said.append(record)
        values = {key: value for source in said for key, value in source.values.items()}
        lacking = record.lacking or _operator_lacks(folder, values)
        fields = apply_rules(values, folder, sources.people.find if sources.people else None)
    except SourceTrouble as trouble:
        return NotYet(Problem(Reason.SOURCE_UNREADABLE, trouble.message))
    if isinstance(fields, Fields):
        fields = Fields(fields.values, (*(action for source in said for action in source.actions), *fields.actions))
    if lacking:
        if isinstance(fields, Problem):
            # What it comes to in the end should tell why it came to that.
            fields = Problem(fields.reason, f"{fields.message} {lacking}")
        problem = Problem(Reason.CALL_RECORD_MISSING, lacking)
        return NotYet(problem, fields)
    return fields


@dataclass(frozen=True, slots=True)
class _Said:
    """What one source says, in our keys, and what was done to get there. `lacking`: why more is to come, empty for nothing."""

    values: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    lacking: str = ""

    def after(self, actions: tuple[str, ...]) -> _Said:
        return _Said(self.values, (*actions, *self.actions), self.lacking)


def _by_name(folder: Folder, audio_path: str) -> _Said:
    if not folder.file_name:
        return _Said()
    named = read_name(folder.file_name, audio_path, Extensions(folder.extensions))
    if named is None:
        return _Said(actions=("The file's name does not fit `file_name`, so nothing was taken from it.",))
    # Bytes of a name that are not UTF-8 come as lone surrogates, which nothing can carry further.
    plain = {key: value for key, value in named.items() if sendable(value)}
    actions = [f"From the file's name (`file_name`): {_keys(plain)}."]
    if unclear := named.keys() - plain.keys():
        actions.append(f"Left out, since that part of the file's name is not UTF-8: {_keys(sorted(unclear))}.")
    return _Said(*renamed(plain, folder.metadata_rename)).after(tuple(actions))


def _beside(folder: Folder, raw: bytes) -> Values | Problem:
    if folder.metadata_format is MetadataFormat.XML:
        return read_xml(raw, folder.metadata_paths)
    return read_values(raw)


def _call_record(folder: Folder, audio_path: str, records: CallRecords | None) -> _Said:
    """Of the record's own columns only those go on that a rename asks for: the rest is nobody's business but the exchange's. What
    was asked for stands above what was concluded.

    Raises SourceTrouble.
    """
    if records is None:
        return _Said()
    key = key_of(audio_path)
    lines = records.find(key.file_name, key.unique_id)
    if not lines:
        none = "There is no call record for it ([folders.cdr])."
        return _Said(actions=(none,), lacking="The exchange's call record has not come.")
    about = told(lines, key, Extensions(folder.extensions))
    # A default fills in what is lacking, a column without a value says nothing.
    asked_for = {column: about.record[column] for column in folder.metadata_rename if about.record.get(column, "").strip()}
    asked, actions = renamed(asked_for, folder.metadata_rename)
    found = f"From the call record ([folders.cdr], {len(lines)} lines): {_keys({**about.fields, **asked})}."
    lacking = "" if about.answered else "The exchange's call records do not tell that somebody answered."
    return _Said({**about.fields, **asked}, (found, *about.actions, *actions), lacking)


def _operator_lacks(folder: Folder, values: Mapping[str, str]) -> str:
    """Of a queue's call the line of whoever answered may come after that of the caller."""
    if not folder.cdr.wanted or "operator_id" in folder.metadata_constants or values.get("operator_id", "").strip():
        return ""
    return "The exchange's call records do not tell who answered."


def _keys(values: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in values) or "nothing"
