"""The exchange's call records in a table of MySQL or MariaDB: FreePBX's asteriskcdrdb.cdr.

The only importer of pymysql, which is loaded when the first record is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from speechsense_watch.core.call_record import began_at
from speechsense_watch.core.rules import CallRecordRules
from speechsense_watch.ports import SourceTrouble

_TIMEOUT_S = 5
_MOST_LINES = 2000
# What a line may be found by: a unique id or the recording's name, with or without directories before it.
_BY_ID = ("uniqueid", "linkedid")
_BY_NAME = ("recordingfile", "userfield")


class Cursor(Protocol):
    """Of PEP 249 what is used here."""

    description: Sequence[Sequence[object]] | None

    def execute(self, query: str, args: Sequence[str] = ()) -> object: ...
    def fetchall(self) -> Sequence[Sequence[object]]: ...
    def close(self) -> None: ...


class Connection(Protocol):
    def cursor(self) -> Cursor: ...
    def close(self) -> None: ...


class DatabaseTrouble(Exception):  # noqa: N818 - it is read as a sentence
    """The database cannot be reached or does not answer. `args[0]` is a sentence without secrets."""


@dataclass(frozen=True, slots=True)
class _Question:
    condition: str
    values: tuple[str, ...]


def _days_of(unique_id: str) -> tuple[str, ...]:
    """First and last moment at which a leg of the call can have begun, wide enough for every time zone and a long call."""
    began = began_at(unique_id)
    return tuple((began + timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S") for days in (-1, 2)) if began else ()


class MysqlCallRecords:
    """The records in one table. One connection is kept; any number of threads may ask, one after the other."""

    def __init__(self, rules: CallRecordRules, connect: Callable[[CallRecordRules, str], Connection] | None = None) -> None:
        self._rules = rules
        self._connect = connect or _connect
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._columns: frozenset[str] = frozenset()

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        # A name that is not UTF-8 stands in no record; the database would not even be asked for it.
        file_name = file_name.encode("utf-8", "replace").decode("utf-8")
        with self._lock:
            try:
                return self._find(file_name, unique_id)
            except DatabaseTrouble as first:
                # A connection that lay idle is closed by the server after a while (wait_timeout): once more with a new one.
                fresh = self._connection is None
                self._forget()
                if fresh:
                    raise SourceTrouble(str(first)) from first
            try:
                return self._find(file_name, unique_id)
            except DatabaseTrouble as trouble:
                self._forget()
                raise SourceTrouble(str(trouble)) from trouble

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DatabaseTrouble):
                connection.close()

    def _find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        cursor = self._ready().cursor()
        try:
            for question in self._questions(file_name, unique_id):
                if found := self._ask(cursor, question):
                    return found
            return []
        finally:
            cursor.close()

    def _ask(self, cursor: Cursor, question: _Question) -> Sequence[Mapping[str, str]]:
        # Of a queue that rang for long hundreds of lines tell who did not answer: the limit must not cut off who did.
        order = " ORDER BY `disposition` = 'ANSWERED' DESC" if "disposition" in self._columns else ""
        # Names are identifiers by the configuration's own check; what comes from outside goes as a parameter.
        query = f"SELECT * FROM `{self._rules.mysql_table}` WHERE {question.condition}{order} LIMIT {_MOST_LINES}"  # noqa: S608
        cursor.execute(query, question.values)
        names = [str(column[0]).lower() for column in cursor.description or ()]
        rows = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
        found = [{name: str(cell) for name, cell in row.items() if cell is not None} for row in rows]
        # Asterisk counts the lines of all calls in one sequence; a number that is longer is a later one.
        return sorted(found, key=lambda record: (record.get(self._began, ""), record.get("sequence", "").rjust(20)))

    @property
    def _began(self) -> str:
        """The column that says when a leg began; empty for a table without one."""
        return next((column for column in ("calldate", "start") if column in self._columns), "")

    def _questions(self, file_name: str, unique_id: str) -> Sequence[_Question]:
        """One after the other until one is answered. FreePBX's table has an index on calldate, uniqueid and recordingfile, none
        on linkedid and userfield: asked for in one condition without days, two million records took 3 s each time (measured).
        """
        wanted = [(column, unique_id) for column in _BY_ID if unique_id] + [(column, file_name) for column in _BY_NAME]
        there = [(column, value) for column, value in wanted if column in self._columns]
        if not there:
            table = f"{self._rules.mysql_database}.{self._rules.mysql_table}"
            message = f"The call records cannot be searched: {table} has none of the columns {', '.join((*_BY_ID, *_BY_NAME))}."
            raise SourceTrouble(message)
        days = _days_of(unique_id) if self._began else ()
        if days:
            any_of_them = " OR ".join(f"`{column}` = %s" for column, _ in there)
            return (_Question(f"`{self._began}` BETWEEN %s AND %s AND ({any_of_them})", (*days, *(value for _, value in there))),)
        # Whoever has a column for the name has it there; to look for it in the other one too is to read the whole table.
        asked = [(column, value) for column, value in there if column != "userfield" or "recordingfile" not in self._columns]
        return tuple(_Question(f"`{column}` = %s", (value,)) for column, value in asked)

    def _ready(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect(self._rules, self._password())
            cursor = self._connection.cursor()
            cursor.execute(f"SELECT * FROM `{self._rules.mysql_table}` LIMIT 0")  # noqa: S608 - an identifier
            self._columns = frozenset(str(column[0]).lower() for column in cursor.description or ())
            cursor.close()
        return self._connection

    def _password(self) -> str:
        if not self._rules.mysql_password_file:
            return ""
        try:
            return Path(self._rules.mysql_password_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"The database's password cannot be read: {self._rules.mysql_password_file}."
            raise SourceTrouble(message) from error


def refusal(rules: CallRecordRules, password: str) -> str:
    """Why these records cannot be read, in a sentence without secrets; empty when they can. `password` is one that lies in no
    file yet; empty: that which the rules name.
    """
    try:
        MysqlCallRecords(rules, lambda rules, kept: _connect(rules, password or kept)).find("-", "0")
    except SourceTrouble as trouble:
        return trouble.message
    return ""


def _connect(rules: CallRecordRules, password: str) -> Connection:
    from speechsense_watch.edge.mysql import connect  # noqa: PLC0415 - only those who have such a table need the client

    return connect(rules, password, timeout_s=_TIMEOUT_S)
