"""A list of what was sent: path and talk id in each line. Never held whole, so that a million lines take no memory."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 512 * 2**20
_DELIMITERS = ",;\t"
_PEEK_BYTES = 2**16
# What scripts write where they got no talk id.
_NONE = frozenset({"none", "null", "nil", "nan", "undefined", "-", "0"})


class NotAList(Exception):  # noqa: N818 - the name says it
    """The file is no such list; the message says why, after its name."""


@dataclass(frozen=True, slots=True)
class Line:
    """`number` is that of the line in the file, counted from 1; `talk_id` is empty where none is given that can be one."""

    number: int
    path: str
    talk_id: str


@dataclass(frozen=True, slots=True)
class SentList:
    """Looked through once. `heading` is the first line where it is no recording; it is not among the `count`."""

    count: int
    heading: Line | None
    _file: BinaryIO
    _delimiter: str

    def lines(self) -> Iterator[Line]:
        """Raises NotAList where the file has changed to something else."""
        for line in _lines(self._file, self._delimiter):
            if line != self.heading:
                yield line


@contextmanager
def opened(path: Path, is_heading: Callable[[str], bool]) -> Iterator[SentList]:
    """The list as it is; `is_heading` judges the path in its first line. Raises NotAList, OSError."""
    with path.open("rb") as file, tempfile.TemporaryFile() as copy:
        whole: BinaryIO = file
        if not file.seekable():  # a pipe can be read only once
            whole = copy
            while copy.tell() <= MOST_BYTES and (piece := file.read(2**20)):
                copy.write(piece)
        if whole.seek(0, io.SEEK_END) > MOST_BYTES:
            raise NotAList(f"is larger than {MOST_BYTES // 2**20} MiB: is it the right file?")
        delimiter = _delimiter(whole)
        first, count = None, 0
        for line in _lines(whole, delimiter):
            first = first or line
            count += 1
        heading = first if first is not None and is_heading(first.path) else None
        yield SentList(count - (heading is not None), heading, whole, delimiter)


def _delimiter(file: BinaryIO) -> str:
    """The one that stands last in the first line: behind it is the talk id, which has none in it, as a path may."""
    file.seek(0)
    beginning = file.read(_PEEK_BYTES)
    if beginning[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in beginning:
        raise NotAList("is not in UTF-8 (it looks like UTF-16): save it as `CSV UTF-8`.")
    first = next((line for line in beginning.splitlines() if line.strip()), b"").decode("utf-8", "replace")
    last = max(_DELIMITERS, key=first.rfind)
    return last if last in first else ","


def _lines(file: BinaryIO, delimiter: str) -> Iterator[Line]:
    """All but empty ones. A name may hold anything, so the file is left as it is but for what the quotes say: no white space is
    taken off, a line ends only where CSV says so, and bytes that are not UTF-8 are kept as `os.fsdecode` keeps those of a name.
    """
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        before = 0
        for row in rows:
            number, before = before + 1, rows.line_num
            if any(cell.strip() for cell in row):
                yield Line(number, row[0], _talk_id(row[1] if len(row) > 1 else ""))
    except csv.Error as error:
        raise NotAList(f"is no CSV from line {before + 1:,} on: {error}.") from error
    finally:
        text.detach()


def _talk_id(cell: str) -> str:
    talk_id = cell.strip()
    return talk_id if talk_id.isprintable() and " " not in talk_id and talk_id.lower() not in _NONE else ""
