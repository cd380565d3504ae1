"""The queue's rows as the intake asks for them: by the hundred, and only what tells whether a file is still the same."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from speechsense_watch.core.known import Known, Row
from speechsense_watch.core.model import Stamp, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.rows import path_bytes, placeholders, to_us, unsigned

_TOGETHER = 500
_A_PAGE = 2_000
# What is looked at with every scan is this much of each kind at most: two glances each at 50,000 take half a second.
_MOST_YOUNG = 10_000
# Of several rows at one place the open one counts, else the newest. By a max() SQLite takes the other columns from the row
# that holds it (sqlite.org/lang_select.html, "Bare columns").
_COLUMNS = (
    "place, state, reason, gone_at, audio_path, audio_inode, audio_size, audio_mtime_ns,"
    " metadata_path, metadata_inode, metadata_size, metadata_mtime_ns"
)
_THE_ONE = "max((state <> 'done') * 4611686018427387904 + id)"
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_WAITING = "unfinished WHERE state <> 'done' AND state = 'waiting'"
_FINISHED = "finished WHERE state = 'done'"
_THERE = "(state NOT IN ('done', 'skipped', 'lost') OR (state = 'done' AND gone_at IS NULL))"
# What ends such a wait shows in no directory, or is a command's word.
_BY_THEMSELVES = ", ".join(
    f"'{reason}'"
    for reason in (
        Reason.STILL_CHANGING,
        Reason.HEADER_UNFINISHED,
        Reason.SHORTER_THAN_HEADER,
        Reason.UNREADABLE,
        Reason.READ_AGAIN,
        Reason.CALL_RECORD_MISSING,
        Reason.SOURCE_UNREADABLE,
    )
)


class SqliteOnRecord:
    """Keeps `ports.OnRecord` for one folder."""

    def __init__(self, queue: SqliteQueue, folder: str) -> None:
        self._queue = queue
        self._folder = folder

    def at(self, paths: Sequence[str]) -> Mapping[str, Known]:
        found: dict[str, Known] = {}
        for start in range(0, len(paths), _TOGETHER):
            part = paths[start : start + _TOGETHER]
            # By directory as well, since the index over all rows begins with it.
            directories = {posixpath.dirname(path) for path in part}
            where = f"directory IN ({placeholders(tuple(directories))}) AND place IN ({placeholders(part)})"
            keys = (*map(path_bytes, directories), *map(path_bytes, part))
            found |= {known.path: known for known in self._grouped(where, keys)}
        return found

    def after(self, path: str, most: int) -> Sequence[Known]:
        keys = (path_bytes(posixpath.dirname(path)), path_bytes(path))
        return self._grouped("(directory, place) > (?, ?)", keys, f" LIMIT {most}")

    def right_in(self, directory: str) -> Iterator[Sequence[Row]]:
        prefix = path_bytes(f"{directory}/" if directory else "")
        sql = (
            f"SELECT substr(place, {len(prefix) + 1}), state, reason, audio_size, audio_mtime_ns,"
            f" CASE WHEN substr(metadata_path, 1, {len(prefix)}) = ? THEN substr(metadata_path, {len(prefix) + 1}) END,"
            " metadata_size, metadata_mtime_ns FROM jobs INDEXED BY by_place WHERE folder = ? AND directory = ? AND place > ?"
            f" AND (state <> 'done' OR gone_at IS NULL) ORDER BY place LIMIT {_A_PAGE}"
        )
        last = b""
        while page := self._queue.tuples(sql, (prefix, self._folder, path_bytes(directory), prefix + last)):
            if len(page) == _A_PAGE:
                # There may be more of the last place.
                page = [row for row in page if row[0] != page[-1][0]] or page
            last = page[-1][0]
            yield _named(page)

    def thought_there(self, directory: str) -> Iterator[Sequence[str]]:
        sql = (
            f"SELECT DISTINCT place FROM jobs INDEXED BY by_place WHERE folder = ? AND directory = ? AND place > ? AND {_THERE}"
            f" ORDER BY place LIMIT {_A_PAGE}"
        )
        last = b""
        while page := self._queue.tuples(sql, (self._folder, path_bytes(directory), last)):
            yield [os.fsdecode(place) for (place,) in page]
            last = page[-1][0]

    def _grouped(self, where: str, keys: Sequence[object], limit: str = "") -> list[Known]:
        sql = (
            f"SELECT {_COLUMNS}, {_THE_ONE} FROM jobs INDEXED BY by_place WHERE folder = ? AND {where}"
            f" GROUP BY directory, place ORDER BY directory, place{limit}"
        )
        return [_known(row) for row in self._queue.tuples(sql, (self._folder, *keys))]

    def young(self, uploaded_since: datetime, stopped_since: datetime) -> Sequence[Known]:
        found = self._newest(_FINISHED, uploaded_since)
        for state in (State.UNUSABLE, State.REFUSED, State.SKIPPED):
            found += self._newest(f"unfinished WHERE state <> 'done' AND state = '{state}'", stopped_since)
        return [*found, *self._newest(_WAITING, _EVER, f"AND reason IN ({_BY_THEMSELVES})")]

    def read_anew(self, since: datetime) -> Sequence[Known]:
        waiting = self._newest(_WAITING, since, "AND reason = 'read_again'")
        # `retry` of a finished job marks its place as empty, at the moment it is given; what is found gone keeps its age.
        return [*waiting, *self._newest(_FINISHED, since, "AND gone_at = updated_at")]

    def _newest(self, which: str, since: datetime, where: str = "") -> list[Known]:
        # The limit is on what is read, be it that it is not meant: whatever the queue holds, a scan's part of it is small. The
        # index over what is not finished has other folders' rows among it.
        of_folder = "folder = :folder"
        inside, outside = (of_folder, "1") if which is _FINISHED else ("1", of_folder)
        sql = (
            f"SELECT {_COLUMNS} FROM (SELECT * FROM jobs INDEXED BY {which} AND {inside} AND updated_at >= :since"
            f" ORDER BY updated_at DESC LIMIT {_MOST_YOUNG}) WHERE {outside} {where}"
        )
        return [_known(row) for row in self._queue.tuples(sql, {"folder": self._folder, "since": to_us(since)})]

    def count(self) -> int:
        return sum(self._queue.counts(self._folder).values())

    def directories(self) -> Sequence[str]:
        # One after the other: all at once is a look at every row, millions maybe, and an upload waits for the connection.
        of_folder = "FROM jobs INDEXED BY by_place WHERE folder = ? AND"
        step = f"SELECT directory {of_folder} directory > ? ORDER BY directory LIMIT 1"
        there = f"SELECT 1 {of_folder} directory = ? AND (state <> 'done' OR gone_at IS NULL) LIMIT 1"
        found = [b"", *self._chain(step)]
        return [os.fsdecode(each) for each in found if self._queue.tuples(there, (self._folder, each))]

    def _chain(self, step: str) -> Iterator[bytes]:
        last = b""
        while rows := self._queue.tuples(step, (self._folder, last)):
            last = rows[0][0]
            yield last


def _named(page: Sequence[tuple[Any, ...]]) -> list[Row]:
    """The rows with their names decoded, all at once: no name holds a NUL."""
    columns = list(zip(*page, strict=True))
    names = os.fsdecode(b"\0".join(columns[0])).split("\0")
    metadata = os.fsdecode(b"\0".join(name or b"" for name in columns[5])).split("\0")
    return list(zip(names, *columns[1:5], (name or None for name in metadata), *columns[6:], strict=True))


def _known(row: tuple[Any, ...]) -> Known:
    place, state, reason, gone_at, audio_path, inode, size, mtime_ns, metadata_path, m_inode, m_size, m_mtime_ns, *_ = row
    return Known(
        os.fsdecode(place),
        State(state),
        Reason(reason) if reason else None,
        gone_at is not None,
        os.fsdecode(audio_path) if audio_path is not None else None,
        Stamp(unsigned(inode), size, mtime_ns) if inode is not None else None,
        os.fsdecode(metadata_path) if metadata_path is not None else None,
        Stamp(unsigned(m_inode), m_size, m_mtime_ns) if m_inode is not None else None,
    )
