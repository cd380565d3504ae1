"""The exchange's call records in a CSV file that grows: Asterisk's Master.csv.

Asterisk appends a line for each leg when it ends (cdr/cdr_csv.c: fopen "a", fflush, fclose), without a header; logrotate moves
the file away. Of the last lines an index of offsets is kept, older ones are searched for in the file when they are asked for.
"""

from __future__ import annotations

import csv
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from speechsense_watch.ports import SourceTrouble

# Of cdr_csv.conf.sample: the first sixteen always, the unique id and the user field where loguniqueid and loguserfield say so.
ASTERISK_COLUMNS = (
    *("accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata"),
    *("start", "answer", "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield"),
)
# What a line may be found by.
_IDS = ("uniqueid", "linkedid")
_NAMES = ("recordingfile", "userfield")
INDEXED_LINES = 100_000
# A line is a few hundred bytes; what is longer than this is no call record.
_LONGEST_LINE_BYTES = 2**16
_BLOCK_BYTES = 2**22
_MOST_LINES = 100


@dataclass(slots=True)
class _Index:
    """Offsets of lines by what they may be found by. `begins_at`: what lies before is not indexed."""

    by_key: dict[str, list[int]] = field(default_factory=dict)
    lines: deque[tuple[int, tuple[str, ...]]] = field(default_factory=deque)
    begins_at: int = 0

    def add(self, offset: int, keys: tuple[str, ...]) -> None:
        for key in keys:
            self.by_key.setdefault(key, []).append(offset)
        self.lines.append((offset, keys))
        if len(self.lines) > INDEXED_LINES:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        offset, keys = self.lines.popleft()
        for key in keys:
            self.by_key[key].remove(offset)
            if not self.by_key[key]:
                del self.by_key[key]
        self.begins_at = self.lines[0][0]


class CsvCallRecords:
    """The records in one file. `columns` in their order; none: those of the first line where it is a header, else Asterisk's.

    Any number of threads may ask at once.
    """

    def __init__(self, path: str, columns: Sequence[str] = ()) -> None:
        self._path = Path(path)
        self._given = tuple(columns)
        self._columns: tuple[str, ...] = tuple(columns)
        self._lock = threading.Lock()
        self._index = _Index()
        self._read_to = 0
        self._inode: tuple[int, int] | None = None

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        with self._lock:
            try:
                with self._path.open("rb") as file:
                    self._follow(file)
                    return self._found(file, file_name, unique_id)
            except OSError as error:
                raise SourceTrouble(f"The call records cannot be read: {self._path} ({error.strerror}).") from error

    # --- following the file --------------------------------------------------------------------

    def _follow(self, file: BufferedReader) -> None:
        """The index holds every whole line of the file as it is now."""
        found = os.fstat(file.fileno())
        if self._inode != (found.st_dev, found.st_ino) or found.st_size < self._read_to:
            self._inode, self._read_to, self._index = (found.st_dev, found.st_ino), 0, _Index()
            self._columns = self._given
        for offset, line in _lines(file, self._read_to, found.st_size):
            self._read_to = offset + len(line)
            if not self._columns and offset == 0 and _is_header(line):
                self._columns = tuple(_cells(line))
                continue
            if keys := _keys_of(self._record(line)):
                self._index.add(offset, keys)

    def _record(self, line: bytes) -> Mapping[str, str]:
        columns = self._columns or ASTERISK_COLUMNS
        return dict(zip(columns, _cells(line), strict=False))

    # --- finding -------------------------------------------------------------------------------

    def _found(self, file: BufferedReader, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        wanted = {key for key in (f"id {unique_id}" if unique_id else "", f"name {file_name}") if key}
        offsets = sorted({offset for key in wanted for offset in self._index.by_key.get(key, ())})
        if not offsets and self._index.begins_at:
            offsets = list(self._older(file, unique_id or file_name))
        records = [self._record(_line_at(file, offset)) for offset in offsets[-_MOST_LINES:]]
        return [record for record in records if wanted & set(_keys_of(record))]

    def _older(self, file: BufferedReader, text: str) -> Iterator[int]:
        """Offsets of lines before the index that hold the text, in their order."""
        needle = text.encode("utf-8", "surrogateescape")
        for offset, line in _lines(file, 0, self._index.begins_at):
            if needle in line:
                yield offset


def _lines(file: BufferedReader, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines between the offsets; what is too long to be a record is passed over."""
    file.seek(begin)
    offset, rest = begin, b""
    while offset + len(rest) < end and (block := file.read(min(_BLOCK_BYTES, end - offset - len(rest)))):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            if len(line) <= _LONGEST_LINE_BYTES:
                yield offset, line + b"\n"
            offset += len(line) + 1
        if len(rest) > _LONGEST_LINE_BYTES:
            # Its end is passed over as well: it begins in the middle of a field.
            offset, rest = offset + len(rest), b""


def _line_at(file: BufferedReader, offset: int) -> bytes:
    file.seek(offset)
    return file.readline(_LONGEST_LINE_BYTES + 1)


def _cells(line: bytes) -> list[str]:
    """The cells of a line; of one that is no CSV, none. A NUL is what a crash leaves in a file."""
    text = line.decode("utf-8", "replace").replace("\0", "")
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        return []


def _is_header(line: bytes) -> bool:
    return {"uniqueid", "src", "dst", "recordingfile", "calldate"} & set(_cells(line)) != set()


def _keys_of(record: Mapping[str, str]) -> tuple[str, ...]:
    ids = [f"id {record[column]}" for column in _IDS if record.get(column)]
    names = [f"name {record[column].rpartition('/')[2]}" for column in _NAMES if record.get(column)]
    return tuple(dict.fromkeys(ids + names))
