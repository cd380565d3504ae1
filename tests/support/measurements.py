"""What children leave of a measurement (`make coverage`) when they are killed while they write it down."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def drop_torn(directory: Path) -> list[Path]:
    """No file is left there that coverage could not take: of some it would warn, at others it would break off, and with it the
    whole run. What is dropped is told. Each is an SQLite database without a journal, so a kill may leave any part of it.
    """
    torn = [path for path in directory.glob(".coverage.*") if not _whole(path)]
    for path in torn:
        path.unlink()
    return torn


def _whole(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            sound: list[tuple[str]] = database.execute("PRAGMA quick_check").fetchall()
            return sound == [("ok",)] and database.execute("SELECT version FROM coverage_schema").fetchone() is not None
    except sqlite3.DatabaseError:
        return False
