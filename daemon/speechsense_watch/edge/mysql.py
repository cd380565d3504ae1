"""The one importer of pymysql: a connection whose errors are DatabaseTrouble, in words without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pymysql
import pymysql.connections
import pymysql.cursors

from speechsense_watch.core.rules import CallRecordRules
from speechsense_watch.edge.call_records_mysql import Connection, Cursor, DatabaseTrouble


def connect(rules: CallRecordRules, password: str, *, timeout_s: int) -> Connection:
    """A connection that reads. Raises DatabaseTrouble."""
    where = rules.mysql_socket or f"{rules.mysql_host}:{rules.mysql_port}"
    with _in_words(where):
        return _Connection(
            pymysql.connect(
                host=rules.mysql_host or None,
                port=rules.mysql_port,
                unix_socket=rules.mysql_socket or None,
                user=rules.mysql_user,
                password=password,
                database=rules.mysql_database,
                charset="utf8mb4",
                connect_timeout=timeout_s,
                read_timeout=timeout_s,
                write_timeout=timeout_s,
                # Each question sees what was written before it, not what was there when the connection began.
                autocommit=True,
            ),
            where,
        )


class _Connection:
    def __init__(self, inner: pymysql.connections.Connection[pymysql.cursors.Cursor], where: str) -> None:
        self._inner = inner
        self._where = where

    def cursor(self) -> Cursor:
        return _Cursor(self._inner.cursor(), self._where)

    def close(self) -> None:
        with _in_words(self._where):
            self._inner.close()


class _Cursor:
    def __init__(self, inner: pymysql.cursors.Cursor, where: str) -> None:
        self._inner = inner
        self._where = where
        self.description: Sequence[Sequence[object]] | None = None

    def execute(self, query: str, args: Sequence[str] = ()) -> object:
        with _in_words(self._where):
            done = self._inner.execute(query, list(args))
            self.description = self._inner.description
            return done

    def fetchall(self) -> Sequence[Sequence[object]]:
        with _in_words(self._where):
            return self._inner.fetchall()

    def close(self) -> None:
        with _in_words(self._where):
            self._inner.close()


@contextmanager
def _in_words(where: str) -> Iterator[None]:
    try:
        yield
    except (pymysql.MySQLError, OSError) as error:
        # The server's own sentence may repeat what was asked for; its number says enough.
        number = error.args[0] if error.args and isinstance(error.args[0], int) else type(error).__name__
        raise DatabaseTrouble(
            f"The database with the call records cannot be asked: {where} ({_MEANINGS.get(number, number)})."
        ) from error


# dev.mysql.com, "Server Error Message Reference" and "Client Error Message Reference".
_MEANINGS: dict[object, str] = {
    1044: "the user may not enter the database",
    1045: "user or password are refused",
    1049: "there is no such database",
    1142: "the user may not read the table",
    1146: "there is no such table",
    1698: "user or password are refused",
    2003: "nobody answers there",
    2002: "nobody answers there",
    2006: "it has gone away",
    2013: "it broke off",
}
