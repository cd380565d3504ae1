"""The exchange's call records in a CSV file that grows: Asterisk's Master.csv.

Asterisk appends a line for each leg when it ends (cdr/cdr_csv.c: fopen "a", fflush, fclose), without a header; logrotate moves
the file away, under names like Master.csv.1 or Master.csv-20260309. Of the end of each file an index of offsets is kept, what
lies before it is searched through when somebody asks for it.
"""

from __future__ import annotations

import csv
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
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
# About a hundred thousand calls: some days of a busy exchange, half a second to read, some 30 MB of memory.
INDEXED_BYTES = 2**25
# A line is a few hundred bytes; what is longer than this is no call record.
_LONGEST_LINE_BYTES = 2**16
_BLOCK_BYTES = 2**22
_MOST_LINES = 100
# Files that logrotate has moved away: so many of them, the newest, are asked as well. A compressed one is no CSV any more.
_ROTATED_FILES = 1
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
_MOST_IN_VAIN = 10_000


@dataclass(slots=True)
class _Index:
    """Offsets of lines by what they may be found by. What lies before `begins_at` is not indexed; `read_to` is where the next
    line begins. `in_vain`: what was looked for before `begins_at` and is not there, which cannot change any more.
    """

    columns: tuple[str, ...] = ()
    begins_at: int = 0
    read_to: int = 0
    by_key: dict[str, list[int]] = field(default_factory=dict)
    in_vain: set[str] = field(default_factory=set)

    def add(self, offset: int, keys: tuple[str, ...]) -> None:
        for key in keys:
            self.by_key.setdefault(key, []).append(offset)

    def begin_anew(self, columns: tuple[str, ...]) -> None:
        self.columns, self.begins_at, self.read_to = columns, 0, 0
        self.by_key.clear()
        self.in_vain.clear()

    def forget_before(self, begin: int) -> None:
        kept = ((key, [offset for offset in offsets if offset >= begin]) for key, offsets in self.by_key.items())
        self.by_key = {key: offsets for key, offsets in kept if offsets}
        self.begins_at = begin
        self.in_vain.clear()


class CsvCallRecords:
    """The records in one file, and in the one that was moved away last. `columns` in their order; none: those of the first line
    where it is a header, else Asterisk's.

    Any number of threads may ask at once.
    """

    def __init__(self, path: str, columns: Sequence[str] = ()) -> None:
        self._path = Path(path)
        self._given = tuple(columns)
        self._lock = threading.Lock()
        self._indexes: dict[tuple[int, int], _Index] = {}

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        with self._lock:
            rotated, indexes = self._rotated(), {}
            found: list[Mapping[str, str]] = []
            for path in (*rotated, self._path):
                try:
                    with path.open("rb") as file:
                        stat = os.fstat(file.fileno())
                        index = self._indexes.get((stat.st_dev, stat.st_ino)) or _Index(self._given)
                        self._follow(file, index, stat.st_size)
                        found += self._found(file, index, file_name, unique_id)
                        indexes[stat.st_dev, stat.st_ino] = index
                except OSError as error:
                    # Just moved away, and nobody has called since; or not for us, and of yesterday anyway.
                    if path == self._path and not (rotated and isinstance(error, FileNotFoundError)):
                        message = f"The call records cannot be read: {self._path} ({error.strerror})."
                        raise SourceTrouble(message) from error
            self._indexes = indexes
            return found

    def _rotated(self) -> Sequence[Path]:
        """The files that were moved away last, the oldest first."""
        names = (f"{self._path.name}.", f"{self._path.name}-", f"{self._path.stem}-")
        found: list[tuple[int, str]] = []
        with suppress(OSError), os.scandir(self._path.parent) as entries:
            moved = (each for each in entries if each.name.startswith(names) and not each.name.endswith(_COMPRESSED))
            found = sorted((each.stat().st_mtime_ns, each.path) for each in moved if each.is_file())
        return [Path(path) for _, path in found[-_ROTATED_FILES:]]

    # --- following the file --------------------------------------------------------------------

    def _follow(self, file: BufferedReader, index: _Index, size: int) -> None:
        """The index holds every whole line of the file's end as it is now."""
        if size < index.read_to:
            # Somebody has cut it.
            index.begin_anew(self._given)
        if index.read_to == 0:
            self._begin(file, index, size)
        for offset, line in _lines(file, index.read_to, size):
            index.read_to = offset + len(line)
            if keys := _keys_of(_record(index, line)):
                index.add(offset, keys)
        if size - index.begins_at > 2 * INDEXED_BYTES:
            index.forget_before(_next_line(file, size - INDEXED_BYTES))

    def _begin(self, file: BufferedReader, index: _Index, size: int) -> None:
        if not index.columns and _is_header(first := _line_at(file, 0)):
            if not first.endswith(b"\n"):
                return  # half a line: the rest comes
            index.columns, index.read_to = tuple(_cells(first)), len(first)
        if size > INDEXED_BYTES:
            index.begins_at = index.read_to = _next_line(file, size - INDEXED_BYTES)

    # --- finding -------------------------------------------------------------------------------

    def _found(self, file: BufferedReader, index: _Index, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        wanted = {key for key in (f"id {unique_id}" if unique_id else "", f"name {file_name}") if key}
        offsets = sorted({offset for key in wanted for offset in index.by_key.get(key, ())})
        if not offsets and index.begins_at:
            offsets = list(self._older(file, index, unique_id or file_name))
        records = [_record(index, _line_at(file, offset)) for offset in offsets[-_MOST_LINES:]]
        return [record for record in records if wanted & set(_keys_of(record))]

    def _older(self, file: BufferedReader, index: _Index, text: str) -> Iterator[int]:
        """Offsets of lines before the index that hold the text, in their order."""
        if text in index.in_vain:
            return
        hits = 0
        for offset in _lines_with(file, text.encode("utf-8", "surrogateescape"), index.begins_at):
            hits += 1
            yield offset
        if not hits:
            if len(index.in_vain) >= _MOST_IN_VAIN:
                index.in_vain.clear()
            index.in_vain.add(text)


def _record(index: _Index, line: bytes) -> Mapping[str, str]:
    return dict(zip(index.columns or ASTERISK_COLUMNS, _cells(line), strict=False))


def _lines_with(file: BufferedReader, needle: bytes, end: int) -> Iterator[int]:
    """Offsets of the lines before `end` that hold the needle. Whole blocks are searched: that is some hundred times faster than
    looking at each line, and a backlog of years may ask for every one of its records here.
    """
    offset, rest = 0, b""
    file.seek(0)
    while offset + len(rest) < end and (block := file.read(min(_BLOCK_BYTES, end - offset - len(rest)))):
        text = rest + block
        # Beyond the last whole line may be the first half of a needle.
        whole = text.rfind(b"\n") + 1
        at = text.find(needle, 0, whole)
        while at >= 0:
            yield offset + text.rfind(b"\n", 0, at) + 1
            at = text.find(needle, text.find(b"\n", at), whole)
        offset, rest = offset + whole, text[whole:]
        if len(rest) > _LONGEST_LINE_BYTES:
            offset, rest = offset + len(rest), b""


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


def _next_line(file: BufferedReader, offset: int) -> int:
    """Where the first line begins that begins behind the offset."""
    file.seek(offset)
    while piece := file.readline(_LONGEST_LINE_BYTES):
        offset += len(piece)
        if piece.endswith(b"\n"):
            break
    return offset


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
