"""The lines of a CSV with call records: bytes -> cells, what a line may be found by, what it says.

Cells are compared as bytes, one letter for each (latin-1): Asterisk writes a recording's name as the file system has it,
whatever encoding that is. Only what is told of a line is decoded.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

# Of cdr/cdr_csv.c: the first sixteen always, then what [csv] in cdr.conf asks for, each of the three with its own key:
# loguniqueid, loguserfield, newcdrcolumns.
_ALWAYS = (
    *("accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata"),
    *("start", "answer", "end", "duration", "billsec", "disposition", "amaflags"),
)
# seconds.count, after the system's name where asterisk.conf gives one.
_LIKE_A_UNIQUE_ID = re.compile(r"(?:[^/]*-)?[0-9]+\.[0-9]+")
# What a line may be found by.
_KEYS = ("uniqueid", "linkedid", "recordingfile", "userfield")
_OF_A_HEADER = frozenset({"uniqueid", "src", "dst", "recordingfile", "calldate"})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A line is a few hundred bytes (Asterisk has 1,024 for one); what is longer than this is no call record.
LONGEST_LINE_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class _Columns:
    """The names of a line's cells, and where those stand that it may be found by."""

    names: tuple[str, ...]
    keys: tuple[int, ...]


def _columns(*names: str) -> _Columns:
    return _Columns(names, tuple(place for place, name in enumerate(names) if name in _KEYS))


_NEW = ("peeraccount", "linkedid", "sequence")
_ASTERISK = (
    *(_columns(*_ALWAYS), _columns(*_ALWAYS, "uniqueid"), _columns(*_ALWAYS, "uniqueid", "userfield")),
    *(_columns(*_ALWAYS, *_NEW), _columns(*_ALWAYS, "uniqueid", *_NEW), _columns(*_ALWAYS, "uniqueid", "userfield", *_NEW)),
)
# The same number of cells as with the unique id alone.
_ASTERISK_WITHOUT_ID = {1: _columns(*_ALWAYS, "userfield"), 4: _columns(*_ALWAYS, "userfield", *_NEW)}


class Record(dict[str, str]):
    """What a line says by column. `unread`: columns with bytes that are no text in the file's encoding, left out."""

    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the lines of one file are written. `columns` None: Asterisk's own, which go by the number of cells."""

    columns: _Columns | None
    delimiter: str
    encoding: str

    def wanted(self, *texts: str) -> frozenset[str]:
        """What cells are compared with: each text as the file system spells it, and as the file's encoding does."""
        spelt = {os.fsencode(text) for text in texts if text}
        with suppress(UnicodeError):
            spelt |= {text.encode(self.encoding) for text in texts if text}
        return frozenset(text.decode("latin-1") for text in spelt)

    def keys(self, text: bytes) -> set[str]:
        """What the lines of the text may be found by."""
        found: set[str] = set()
        for cells in self._rows(text):
            found.update(_keys(self._columns_of(cells), cells))
        found.discard("")
        return found

    def records(self, text: bytes, wanted: frozenset[str]) -> Iterator[Record]:
        """Of the lines in the text those that are found by one of what is wanted, in their order. The text is searched for it
        first: that is some hundred times faster than looking at each line.
        """
        for begin in sorted({begin for key in wanted for begin in _lines_with(text, key)}):
            cells = self._cells(text[begin : text.find(b"\n", begin)])
            if not wanted.isdisjoint(_keys(self._columns_of(cells), cells)):
                yield self._record(cells)

    def all_records(self, text: bytes) -> Iterator[tuple[Record, bool]]:
        """Every line that has cells, and whether it may be found by anything."""
        for cells in self._rows(text):
            if cells:
                yield self._record(cells), any(_keys(self._columns_of(cells), cells))

    def _columns_of(self, cells: Sequence[str]) -> _Columns:
        return self.columns or _asterisk_columns(cells)

    def _record(self, cells: Sequence[str]) -> Record:
        record, unread = Record(), []
        for column, cell in zip(self._columns_of(cells).names, cells, strict=False):
            try:
                text = cell.encode("latin-1").decode(self.encoding)
            except UnicodeError:
                text = "\ufffd"
            # Others, that sign included, would be told to SpeechSense as somebody's name.
            if "\ufffd" in text:
                unread.append(column)
            else:
                record[column] = text
        record.unread = tuple(unread)
        return record

    def _rows(self, text: bytes) -> list[list[str]]:
        """The cells of each line. All lines at once are three times as fast as one by one, where quotes do not run over their
        ends.
        """
        lines = [line for line in _plain(text).split("\n") if len(line) <= LONGEST_LINE_BYTES]
        with suppress(csv.Error):
            rows = list(csv.reader(lines, delimiter=self.delimiter))
            if len(rows) == len(lines):
                return rows
        return [_split(line, self.delimiter) for line in lines]

    def _cells(self, line: bytes) -> list[str]:
        return _split(_plain(line), self.delimiter) if len(line) <= LONGEST_LINE_BYTES else []


def dialect_of(first_line: bytes, columns: Sequence[str], encoding: str) -> Dialect:
    """As the configuration says; what it leaves open as the file's first line shows it, if that is a header."""
    line = _plain(first_line.removeprefix(_BYTE_ORDER_MARK)).rstrip("\r\n")
    for delimiter in ",;":
        names = [cell.encode("latin-1").decode(encoding, "replace") for cell in _split(line, delimiter)]
        if _OF_A_HEADER.intersection(names):
            return Dialect(_columns(*columns or names), delimiter, encoding)
    return Dialect(_columns(*columns) if columns else None, ",", encoding)


def _asterisk_columns(cells: Sequence[str]) -> _Columns:
    """With loguserfield but without loguniqueid the seventeenth cell is the user field."""
    further = min(max(0, len(cells) - len(_ALWAYS)), len(_ASTERISK) - 1)
    if further in _ASTERISK_WITHOUT_ID and not _LIKE_A_UNIQUE_ID.fullmatch(cells[len(_ALWAYS)]):
        return _ASTERISK_WITHOUT_ID[further]
    return _ASTERISK[further]


def _keys(columns: _Columns, cells: Sequence[str]) -> list[str]:
    """Of a name with directories the last part, as the recording is asked for; of a cell that is not there, nothing."""
    try:
        return [cells[place].rpartition("/")[2] for place in columns.keys]
    except IndexError:
        return [cells[place].rpartition("/")[2] for place in columns.keys if place < len(cells)]


def _lines_with(text: bytes, key: str) -> Iterator[int]:
    """Where the lines begin that hold the key, which a cell writes with its quotes doubled."""
    needle = key.replace('"', '""').encode("latin-1")
    at = text.find(needle)
    while at >= 0:
        yield text.rfind(b"\n", 0, at) + 1
        end = text.find(b"\n", at)
        at = text.find(needle, end) if end >= 0 else -1


def _split(line: str, delimiter: str) -> list[str]:
    """The cells of one line; of what is no CSV, none."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _plain(text: bytes) -> str:
    """A letter for each byte. A NUL is what a crash leaves in a file."""
    return text.decode("latin-1").replace("\0", "")
