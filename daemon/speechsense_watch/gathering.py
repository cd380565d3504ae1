"""Metadata from where it is: the file's name, the file beside it, the exchange's call records, the table of operators.

What a later source says wins over what an earlier one said, since it knows more of the call: a name is given when the recording
begins, a call record is written when the call has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from speechsense_watch.core.call_record import fields_of, key_of, spoken
from speechsense_watch.core.file_name import read_name
from speechsense_watch.core.metadata import Fields, apply_rules, left_out
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
    values, actions = _by_name(folder, audio_path)
    if raw is not None:
        beside = _beside(folder, raw)
        if isinstance(beside, Problem):
            return beside
        values |= beside.values
        actions += left_out(beside)
    try:
        record = _call_record(folder, audio_path, sources.call_records)
        values |= record.values
        fields = apply_rules(values, folder, sources.people.find if sources.people else None)
    except SourceTrouble as trouble:
        return NotYet(Problem(Reason.SOURCE_UNREADABLE, trouble.message))
    if isinstance(fields, Fields):
        fields = Fields(fields.values, (*actions, *record.actions, *fields.actions))
    if record.lacking:
        problem = Problem(Reason.CALL_RECORD_MISSING, "The exchange's call record has not come yet.")
        return NotYet(problem, fields)
    return fields


def _by_name(folder: Folder, audio_path: str) -> tuple[dict[str, str], tuple[str, ...]]:
    if not folder.file_name:
        return {}, ()
    named = read_name(folder.file_name, audio_path)
    if named is None:
        return {}, ("The file's name does not fit `file_name`, so nothing was taken from it.",)
    # Bytes of a name that are not UTF-8 come as lone surrogates, which nothing can carry further.
    plain = {key: value for key, value in named.items() if sendable(value)}
    taken = f"From the file's name (`file_name`): {_keys(plain)}."
    if unclear := named.keys() - plain.keys():
        return plain, (taken, f"Left out, since that part of the file's name is not UTF-8: {_keys(sorted(unclear))}.")
    return plain, (taken,)


def _beside(folder: Folder, raw: bytes) -> Values | Problem:
    if folder.metadata_format is MetadataFormat.XML:
        return read_xml(raw, folder.metadata_paths)
    return read_values(raw)


@dataclass(frozen=True, slots=True)
class _Record:
    """What the call record says in the end. `lacking`: there is none, though the folder has call records."""

    values: Mapping[str, str]
    actions: tuple[str, ...] = ()
    lacking: bool = False


def _call_record(folder: Folder, audio_path: str, records: CallRecords | None) -> _Record:
    """Of the record's own columns only those go on that a rename asks for: the rest is nobody's business but the exchange's.

    Raises SourceTrouble.
    """
    if records is None:
        return _Record({})
    key = key_of(audio_path)
    lines = records.find(key.file_name, key.unique_id)
    if not lines:
        return _Record({}, ("There is no call record for it ([folders.cdr]).",), lacking=True)
    record = spoken(lines)
    derived, actions = fields_of(record)
    asked_for = {column: record[column] for column in folder.metadata_rename if record.get(column)}
    found = f"From the call record ([folders.cdr], {len(lines)} lines): {_keys({**derived, **asked_for})}."
    return _Record({**asked_for, **derived}, (found, *actions))


def _keys(values: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in values) or "nothing"
