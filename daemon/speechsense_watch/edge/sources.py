"""A folder's rules -> the sources of metadata that they name."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from weakref import WeakValueDictionary

from speechsense_watch.core.rules import CallRecordRules, Folder
from speechsense_watch.edge.call_records_csv import CsvCallRecords
from speechsense_watch.edge.call_records_mysql import MysqlCallRecords
from speechsense_watch.edge.people import CsvPeople
from speechsense_watch.ports import CallRecords, Clock, Sources, SourceTrouble

# One thread looks at all folders: a database that lets us wait five seconds for each of its recordings would hold up the others.
_REST_FACTOR = 20.0
_LONGEST_REST_S = 120.0


class Rested:
    """Call records that are left alone for a while when they let us wait for nothing: what failed is told again meanwhile,
    without asking, for twenty times as long as it took. A source that fails at once is asked anew at once.
    """

    def __init__(self, inner: CallRecords, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._trouble: SourceTrouble | None = None
        self._rests_until = 0.0

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        began = self._clock.monotonic()
        if self._trouble is not None and began < self._rests_until:
            raise SourceTrouble(self._trouble.message)
        try:
            found = self._inner.find(file_name, unique_id)
        except SourceTrouble as trouble:
            ended = self._clock.monotonic()
            self._trouble = trouble
            self._rests_until = ended + min(_LONGEST_REST_S, _REST_FACTOR * (ended - began))
            raise
        self._trouble = None
        return found


def sources_of(folder: Folder, clock: Clock) -> Sources:
    """Nothing is opened yet: each source is when it is first asked."""
    people = CsvPeople(folder.operators) if folder.operators else None
    return Sources(_call_records(folder.cdr, clock), people)


def _call_records(rules: CallRecordRules, clock: Clock) -> CallRecords | None:
    if not rules.wanted:
        return None
    return Rested(_shared(rules) if rules.csv else MysqlCallRecords(rules), clock)


# Two folders beside one exchange, with one and with two channels, name one Master.csv: its index is held once, and for as long as
# one of them names it.
_in_use: WeakValueDictionary[tuple[str, tuple[str, ...], str], CsvCallRecords] = WeakValueDictionary()
_sharing = threading.Lock()


def _shared(rules: CallRecordRules) -> CsvCallRecords:
    with _sharing:
        return _in_use.setdefault(
            (rules.csv, rules.columns, rules.encoding), CsvCallRecords(rules.csv, rules.columns, rules.encoding)
        )
