"""A queue whose disk fails at the writes a test names: real SQLite above, what the system would say below."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from speechsense_watch.edge.queue import SqliteQueue

FULL = (sqlite3.SQLITE_FULL, "SQLITE_FULL", "database or disk is full")
IO_ERROR = (sqlite3.SQLITE_IOERR | (4 << 8), "SQLITE_IOERR_FSYNC", "disk I/O error")


def failure(kind: tuple[int, str, str]) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(kind[2])
    error.sqlite_errorcode, error.sqlite_errorname = kind[:2]
    return error


class BrokenDisk:
    """Stands between a queue and its connection. `fails` is asked before every commit, with its number from 0 on; `durable`: what
    failed is on disk all the same, as after an fsync that failed.
    """

    def __init__(self, queue: SqliteQueue, *, durable: bool = False) -> None:
        self.commits = 0
        self.fails: Callable[[int], tuple[int, str, str] | None] = lambda _commit: None
        self._durable = durable
        self._conn = queue._db.conn
        queue._db.conn = self  # type: ignore[assignment]

    def execute(self, sql: str, *parameters: Any) -> Any:
        if sql == "COMMIT":
            kind = self.fails(self.commits)
            self.commits += 1
            if kind is not None:
                self._conn.execute("COMMIT" if self._durable else "ROLLBACK")
                raise failure(kind)
        return self._conn.execute(sql, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)
