"""The exchange's call records in a CSV file that grows: Asterisk's Master.csv.

Asterisk appends a line for each leg when it ends (cdr/cdr_csv.c: fopen "a", fflush, fclose), without a header; logrotate moves
the file away, under names like Master.csv.1 or Master.csv-20260309. The file is thought of as blocks of a MiB. Of each a hash
of everything that its lines may be found by is kept, so that a question reads only blocks that may hold the answer. A line is
what ends with a newline: a value with a newline in it, which CSV allows and Asterisk does not write, is not understood.
"""

from __future__ import annotations

import os
import re
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from speechsense_watch.core.call_record import began_at
from speechsense_watch.edge.call_record_lines import LONGEST_LINE_BYTES, Dialect, Record, dialect_of
from speechsense_watch.ports import SourceTrouble

# So much of the file's end is hashed at the first question: 0.4 s, 9 MB of memory at most, 4 MB afterwards (measured).
INDEXED_BYTES = 2**25
_BLOCK_BYTES = 2**20
# What is older is hashed when it is asked for, with each question a further piece, since a GB of it takes some 10 s and nobody
# looks at other folders meanwhile; what is not hashed yet is read through. For a GB the hashes take 16 MB; beyond 4 GB a file is
# read through each time, which is slow and takes no memory.
_HASHED_AT_ONCE_BYTES = 2**27
_MOST_HASHED_BYTES = 2**32
_MOST_LINES = 2000
# Files that logrotate has moved away: so many of them, the newest, are asked as well. A compressed one is no CSV any more.
_ROTATED_FILES = 1
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
# As much before the place up to which a file was read must still be what it was: more than the line that Asterisk has room for.
_MARK_BYTES = 2048
_SURVEYED_BYTES = 2**16
_EPOCH = re.compile(rb"(?<![0-9])([0-9]{9,10})\.[0-9]")
_LONGEST_CALL_S = 86400.0


@dataclass(frozen=True, slots=True)
class _Block:
    """Whole lines of the file. `hashes` of 32 bits, sorted: 17 KiB for a MiB of Master.csv; None: it may hold anything."""

    begin: int
    end: int
    hashes: array[int] | None

    def may_hold(self, hashes: Iterable[int]) -> bool:
        mine = self.hashes
        if mine is None:
            return True
        return any((at := bisect_left(mine, each)) < len(mine) and mine[at] == each for each in hashes)


@dataclass(slots=True)
class _Index:
    """`blocks` from `begins_at` to `read_to`; what follows is less than a block. `older` are those from `older_from` to
    `begins_at`. `mark` is what stands before `read_to`. `newest_before`: when the last call began that is told of before
    `begins_at`.
    """

    begins_at: int = 0
    read_to: int = 0
    blocks: list[_Block] = field(default_factory=list)
    mark: bytes = b""
    older_from: int = 0
    older: list[_Block] = field(default_factory=list)
    newest_before: float | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """Of the last lines of a file: how many there are, how many can be found by anything, and how many have values that are
    no text, by column.
    """

    lines: int
    findable: int
    unread: Mapping[str, int]


class CsvCallRecords:
    """The records in one file, and in the one that was moved away last. `columns` in their order; none: those of the first line
    where it is a header, else Asterisk's.

    Any number of threads may ask at once.
    """

    def __init__(self, path: str, columns: Sequence[str] = (), encoding: str = "utf-8") -> None:
        self._path = Path(path)
        self._columns = tuple(columns)
        self._encoding = encoding
        self._lock = threading.Lock()
        self._indexes: dict[tuple[int, int], _Index] = {}

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        with self._lock:
            rotated, indexes = self._rotated(), {}
            found: list[Mapping[str, str]] = []
            for path in (*rotated, self._path):
                try:
                    with path.open("rb") as file:
                        stat, dialect = os.fstat(file.fileno()), self._dialect(file)
                        index = _followed(self._indexes.get((stat.st_dev, stat.st_ino)), file, dialect, stat.st_size)
                        found += _found(file, index, dialect, stat.st_size, (file_name, unique_id))
                        indexes[stat.st_dev, stat.st_ino] = index
                except OSError as error:
                    # Just moved away, and nobody has called since; or not for us, and of yesterday anyway.
                    if path == self._path and not (rotated and isinstance(error, FileNotFoundError)):
                        raise self._trouble(error) from error
            self._indexes = indexes
            return found

    def survey(self) -> Survey:
        """Raises SourceTrouble."""
        try:
            with self._path.open("rb") as file:
                dialect, size = self._dialect(file), os.fstat(file.fileno()).st_size
                text = _read(file, _next_line(file, size - _SURVEYED_BYTES), size)
        except OSError as error:
            raise self._trouble(error) from error
        records = list(dialect.all_records(text[: text.rfind(b"\n") + 1]))
        unread = [column for record, _ in records for column in record.unread]
        counts = {column: unread.count(column) for column in dict.fromkeys(unread)}
        return Survey(len(records), sum(findable for _, findable in records), counts)

    def _trouble(self, error: OSError) -> SourceTrouble:
        return SourceTrouble(f"The call records cannot be read: {self._path} ({error.strerror}).")

    def _dialect(self, file: BufferedReader) -> Dialect:
        file.seek(0)
        return dialect_of(file.readline(LONGEST_LINE_BYTES), self._columns, self._encoding)

    def _rotated(self) -> Sequence[Path]:
        """The files that were moved away last, the oldest first."""
        names = (f"{self._path.name}.", f"{self._path.name}-", f"{self._path.stem}-")
        found: list[tuple[int, str]] = []
        with suppress(OSError), os.scandir(self._path.parent) as entries:
            moved = (each for each in entries if each.name.startswith(names) and not each.name.endswith(_COMPRESSED))
            found = sorted((each.stat().st_mtime_ns, each.path) for each in moved if each.is_file())
        return [Path(path) for _, path in found[-_ROTATED_FILES:]]


# --- following the file ------------------------------------------------------------------------


def _followed(index: _Index | None, file: BufferedReader, dialect: Dialect, size: int) -> _Index:
    """The index holds every whole block of the file's end as it is now."""
    if index is None or size < index.read_to or _mark(file, index.read_to) != index.mark:
        # Not seen yet; or cut, as logrotate's copytruncate does it, and perhaps grown since beyond where it was.
        index = _Index()
        if size > INDEXED_BYTES:
            index.begins_at = index.read_to = index.older_from = _next_line(file, size - INDEXED_BYTES)
    while size - index.read_to >= _BLOCK_BYTES:
        index.blocks.append(_hashed(file, dialect, index.read_to, index.read_to + _BLOCK_BYTES))
        index.read_to = index.blocks[-1].end
    index.mark = _mark(file, index.read_to)
    return index


def _mark(file: BufferedReader, read_to: int) -> bytes:
    return _read(file, read_to - _MARK_BYTES, read_to)


def _hash_older(file: BufferedReader, index: _Index, dialect: Dialect) -> None:
    """One further piece of what lies before the index has its hashes."""
    least = max(0, index.begins_at - _MOST_HASHED_BYTES, index.older_from - _HASHED_AT_ONCE_BYTES)
    while index.older_from > least:
        end, begin = index.older_from, _next_line(file, index.older_from - _BLOCK_BYTES)
        # A line longer than a block has no beginning in it.
        begin = begin if begin < end else max(0, end - _BLOCK_BYTES)
        index.older.insert(0, _hashed(file, dialect, begin, end))
        index.older_from = begin


def _hashed(file: BufferedReader, dialect: Dialect, begin: int, end: int) -> _Block:
    """The whole lines between the offsets. Without an end of line in a MiB there are none, and the block is passed over."""
    text = _read(file, begin, end)
    whole = text.rfind(b"\n") + 1
    hashes = array("I", sorted({_hash(key) for key in dialect.keys(text[:whole])}))
    return _Block(begin, begin + whole if whole else end, hashes)


def _hash(key: str) -> int:
    """Which block may hold the key; that a line has it is seen when it is read."""
    return hash(key) & 0xFFFFFFFF


def _may_be_older(file: BufferedReader, index: _Index, unique_id: str) -> bool:
    """A line is written when its call has ended, so one about a call that began a day after the last of the older ones is not
    among them: what has no record yet is asked for again and again, and years need not be read through for it.
    """
    if (began := began_at(unique_id)) is None:
        return True
    if index.newest_before is None:
        epochs = _EPOCH.findall(_read(file, index.begins_at - _BLOCK_BYTES, index.begins_at))
        index.newest_before = max(map(float, epochs), default=float("inf"))
    return began.timestamp() <= index.newest_before + _LONGEST_CALL_S


# --- reading it --------------------------------------------------------------------------------


def _found(file: BufferedReader, index: _Index, dialect: Dialect, size: int, asked: tuple[str, str]) -> Sequence[Record]:
    wanted = dialect.wanted(*asked)
    found = list(_in_blocks(file, dialect, (*index.blocks, _Block(index.read_to, size, None)), wanted))
    if not found and index.begins_at and _may_be_older(file, index, asked[1]):
        _hash_older(file, index, dialect)
        found = list(_in_blocks(file, dialect, index.older, wanted))
        found = found or list(_in_blocks(file, dialect, [_Block(0, index.older_from, None)], wanted))
    return found[-_MOST_LINES:]


def _in_blocks(file: BufferedReader, dialect: Dialect, blocks: Iterable[_Block], wanted: frozenset[str]) -> Iterator[Record]:
    hashes = [_hash(key) for key in wanted]
    for block in blocks:
        if block.may_hold(hashes):
            for text in _whole_lines(file, block):
                yield from dialect.records(text, wanted)


def _whole_lines(file: BufferedReader, block: _Block) -> Iterator[bytes]:
    """The block's lines, by the MiB; half a line at its end is none yet."""
    begin = block.begin
    while begin < block.end and (text := _read(file, begin, min(begin + _BLOCK_BYTES, block.end))):
        whole = text.rfind(b"\n") + 1
        yield text[:whole]
        begin += whole or len(text)


def _read(file: BufferedReader, begin: int, end: int) -> bytes:
    begin = max(0, begin)
    file.seek(begin)
    return file.read(end - begin)


def _next_line(file: BufferedReader, offset: int) -> int:
    """Where the first line begins that begins behind the offset; the beginning, if that is before it."""
    if offset <= 0:
        return 0
    file.seek(offset)
    while piece := file.readline(LONGEST_LINE_BYTES):
        offset += len(piece)
        if piece.endswith(b"\n"):
            break
    return offset
