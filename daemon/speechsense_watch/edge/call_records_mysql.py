"""The exchange's call records in a table of MySQL or MariaDB: FreePBX's asteriskcdrdb.cdr.

The only importer of pymysql, which is loaded when the first record is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from speechsense_watch.core.rules import CallRecordRules
from speechsense_watch.ports import SourceTrouble

_TIMEOUT_S = 5
_MOST_LINES = 100
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


class MysqlCallRecords:
    """The records in one table. One connection is kept; any number of threads may ask, one after the other."""

    def __init__(self, rules: CallRecordRules, connect: Callable[[CallRecordRules, str], Connection] | None = None) -> None:
        self._rules = rules
        self._connect = connect or _connect
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._columns: frozenset[str] = frozenset()

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
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
            conditions, values = self._conditions(file_name, unique_id)
            order = next((f" ORDER BY {column}" for column in ("sequence", "calldate", "start") if column in self._columns), "")
            # Names are identifiers by the configuration's own check; what comes from outside goes as a parameter.
            query = f"SELECT * FROM `{self._rules.mysql_table}` WHERE {' OR '.join(conditions)}{order} LIMIT {_MOST_LINES}"  # noqa: S608
            cursor.execute(query, values)
            names = [str(column[0]).lower() for column in cursor.description or ()]
            return [
                {name: str(cell) for name, cell in zip(names, row, strict=True) if cell is not None} for row in cursor.fetchall()
            ]
        finally:
            cursor.close()

    def _conditions(self, file_name: str, unique_id: str) -> tuple[list[str], list[str]]:
        wanted = [(column, unique_id) for column in _BY_ID if unique_id] + [(column, file_name) for column in _BY_NAME]
        there = [(column, value) for column, value in wanted if column in self._columns]
        if not there:
            table = f"{self._rules.mysql_database}.{self._rules.mysql_table}"
            message = f"The call records cannot be searched: {table} has none of the columns {', '.join((*_BY_ID, *_BY_NAME))}."
            raise SourceTrouble(message)
        return [f"`{column}` = %s" for column, _ in there], [value for _, value in there]

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


def _connect(rules: CallRecordRules, password: str) -> Connection:
    from speechsense_watch.edge.mysql import connect  # noqa: PLC0415 - only those who have such a table need the client

    return connect(rules, password, timeout_s=_TIMEOUT_S)
