"""The table of operators: a CSV with the columns extension, id and name, in any order."""

from __future__ import annotations

import csv
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from speechsense_watch.core.metadata import Person
from speechsense_watch.ports import SourceTrouble

_MOST_BYTES = 5 * 2**20
_HOW = "its first line must name the columns: extension,id,name"


class CsvPeople:
    """Read anew whenever the file is another one. Any number of threads may ask at once."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._people: Mapping[str, Person] = {}
        # Lines whose extension an earlier one names already.
        self.repeated: list[int] = []

    def find(self, extension: str) -> Person | None:
        with self._lock:
            try:
                with self._path.open("rb") as file:
                    # Of the file that is open: another one may have been put in its place meanwhile.
                    found = os.fstat(file.fileno())
                    stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
                    if stamp != self._stamp:
                        self._people = self._read(file.read(_MOST_BYTES + 1))
                        self._stamp = stamp
            except OSError as error:
                raise SourceTrouble(f"The table of operators cannot be read: {self._path} ({error.strerror}).") from error
            return self._people.get(extension)

    def _read(self, raw: bytes) -> Mapping[str, Person]:
        """Raises SourceTrouble for what is no such table."""
        if len(raw) > _MOST_BYTES:
            raise SourceTrouble(f"The table of operators is too big: {self._path} has over {_MOST_BYTES:,} bytes.")
        try:
            lines = raw.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise SourceTrouble(f"The table of operators is not in UTF-8: {self._path}.") from error
        header = lines[0] if lines else ""
        reader = csv.DictReader(lines, delimiter=";" if header.count(";") > header.count(",") else ",")
        try:
            columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            if "extension" not in columns or not {"id", "name"} & columns.keys():
                raise SourceTrouble(f"The table of operators cannot be understood: {self._path}; {_HOW}.")
            return self._rows(reader, columns)
        except csv.Error as error:
            raise SourceTrouble(f"The table of operators is no CSV: {self._path}, line {reader.line_num}.") from error

    def _rows(self, reader: csv.DictReader[str], columns: Mapping[str, str]) -> Mapping[str, Person]:
        people: dict[str, Person] = {}
        self.repeated = []
        for row in reader:
            cells = {name: (row.get(column) or "").strip() for name, column in columns.items()}
            extension = cells["extension"]
            if extension in people:
                # The first line stands: one slip in the table must not hold up every recording.
                self.repeated.append(reader.line_num)
            elif extension:
                people[extension] = Person(cells.get("id", ""), cells.get("name", ""))
        return people
