"""A folder's rules -> the sources of metadata that they name."""

from __future__ import annotations

from speechsense_watch.core.rules import CallRecordRules, Folder
from speechsense_watch.edge.call_records_csv import CsvCallRecords
from speechsense_watch.edge.call_records_mysql import MysqlCallRecords
from speechsense_watch.edge.people import CsvPeople
from speechsense_watch.ports import CallRecords, Sources


def sources_of(folder: Folder) -> Sources:
    """Nothing is opened yet: each source is when it is first asked."""
    people = CsvPeople(folder.operators) if folder.operators else None
    return Sources(_call_records(folder.cdr), people)


def _call_records(rules: CallRecordRules) -> CallRecords | None:
    if not rules.wanted:
        return None
    return CsvCallRecords(rules.csv, rules.columns) if rules.csv else MysqlCallRecords(rules)
