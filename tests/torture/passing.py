"""The daemon's ports, the real ones, passing a point before and after each thing that lasts and each piece that leaves."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from types import FrameType
from typing import cast

from speechsense_watch import assembly
from speechsense_watch.core.edges import Change
from speechsense_watch.core.rules import SearchScope
from speechsense_watch.core.verdict import Outcome
from speechsense_watch.edge import filing, journal, opening, schema, speechsense, syscalls, writing
from speechsense_watch.edge.ballast import Ballast
from speechsense_watch.edge.filing import FileFiling, FilingCalls
from speechsense_watch.edge.in_hand import InHandFile
from speechsense_watch.edge.journal import Journal
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.ports import OnEnd, Talk
from torture.points import Points, replace


def install(points: Points) -> None:
    """From now on everything the daemon is put together from passes these points."""
    replace(opening, "SqliteQueue", _queue_class(points))
    replace(writing, "Journal", _journal_class(points))
    replace(assembly, "GrpcService", _service_class(points))
    replace(assembly, "FileFiling", lambda: FileFiling(_filing_calls(points)))
    replace(schema, "migrate", _around(points, "migrations", schema.migrate))
    replace(journal, "_write", _torn(points, journal._write))
    replace(InHandFile, "holds", _around(points, "the note of what is in hand", InHandFile.holds))
    replace(Ballast, "_make", _around(points, "the ballast is made", Ballast._make))
    replace(Ballast, "give_up", _around(points, "the ballast is given up", Ballast.give_up))


def _around(points: Points, what: str, call: Callable[..., object]) -> Callable[..., object]:
    def passed(*arguments: object) -> object:
        points.reach(f"before {what}")
        result = call(*arguments)
        points.reach(f"after {what}")
        return result

    return passed


# --- what lasts ------------------------------------------------------------------------------


def _queue_class(points: Points) -> type[SqliteQueue]:
    class PassingQueue(SqliteQueue):
        # What the transaction under way holds; guarded by the queue's own lock.
        _edges: tuple[str, ...] = ()

        def _write_changes(self, conn: sqlite3.Connection, changes: Sequence[Change], *, free: bool) -> Sequence[Change]:
            for change in changes:
                name = f"{change.event} ({change.before.state})" if change.before else str(change.event)
                self._edges = (*self._edges, name) if name not in self._edges else self._edges
            return super()._write_changes(conn, changes, free=free)

        @contextmanager
        def transaction(self, *, spare: bool = False) -> Iterator[sqlite3.Connection]:
            writer = _writer(sys._getframe(2))  # 0 is this one, 1 contextlib's
            with self._lock:
                self._edges = ()
                with super().transaction(spare=spare) as conn:
                    yield conn
                    written = self._edges or (writer,)
                    for what in written:
                        points.reach(f"before COMMIT of {what}")
                for what in written:
                    points.reach(f"after COMMIT of {what}")

    return PassingQueue


def _writer(frame: FrameType | None) -> str:
    """Who writes what is no edge of a job, so that each of them is a point of its own."""
    if frame is not None and frame.f_code is SqliteQueue.write.__code__:
        frame = frame.f_back
    if frame is None:
        return "nobody"
    if frame.f_code is SqliteQueue.set_runtime.__code__:
        return f"runtime {frame.f_locals['key']}"
    return f"{frame.f_code.co_qualname}, line {frame.f_lineno}"


def _journal_class(points: Points) -> type[Journal]:
    class PassingJournal(Journal):
        def _append(self, entries: Iterable[Mapping[str, str | int]]) -> None:
            lines = list(entries)
            if not lines:
                return
            points.reach("before a line in the journal")
            super()._append(lines)
            points.reach("after a line in the journal")

        def without(self, uids: frozenset[str], *, overwrite: bool = False, size: int = 0) -> int:
            points.reach("before lines leave the journal")
            left = super().without(uids, overwrite=overwrite, size=size)
            points.reach("after lines left the journal")
            return left

    return PassingJournal


def _torn(points: Points, write: Callable[[int, bytes], None]) -> Callable[[int, bytes], None]:
    def write_in_two(descriptor: int, data: bytes) -> None:
        half = len(data) // 2
        write(descriptor, data[:half])
        points.reach("in the midst of a line in the journal")
        write(descriptor, data[half:])
        points.reach("before the journal's fsync")

    return write_in_two


def _filing_calls(points: Points) -> FilingCalls:
    return FilingCalls(
        rename=cast("Callable[[int, str, int, str], None]", _around(points, "a rename", syscalls.rename_without_replacing)),
        link=cast("Callable[[int, str, int, str], None]", _around(points, "a link", filing._link)),
        unlink=cast("Callable[[str, int], None]", _around(points, "an unlink", filing._unlink)),
        sync=cast("Callable[[int], None]", _around(points, "a directory's fsync", os.fsync)),
    )


# --- what leaves -----------------------------------------------------------------------------


def _service_class(points: Points) -> type[GrpcService]:
    class PassingService(GrpcService):
        def begin_whole(self, talk: Talk, audio: bytes, on_end: OnEnd) -> None:
            points.reach("one message about to leave")
            super().begin_whole(talk, audio, lambda outcome: on_end(self._passed("one message", outcome)))

        def send_stream(self, talk: Talk, pieces: Iterator[bytes], at_commit: Callable[[], None], hold_s: float) -> Outcome:
            return self._passed("a stream", super().send_stream(talk, pieces, at_commit, hold_s))

        def _passed(self, what: str, outcome: Outcome) -> Outcome:
            how = "accepted" if outcome.talk_id else "in doubt" if outcome.committed else "failed"
            points.reach(f"{what} {how}, nothing recorded yet")
            return outcome

        def search(self, scope: SearchScope, connection_id: str, key: str, values: Sequence[str]) -> Sequence[str]:
            points.reach("before a search")
            found = super().search(scope, connection_id, key, values)
            points.reach("after a search")
            return found

        def values_of(self, scope: SearchScope, connection_id: str, talk_ids: Sequence[str], name: str) -> Mapping[str, str]:
            points.reach("before talks are got")
            found = super().values_of(scope, connection_id, talk_ids, name)
            points.reach("after talks were got")
            return found

        def _requests(
            self,
            call: speechsense._Call,
            talk: Talk,
            pieces: Iterator[bytes],
            at_commit: Callable[[], None],
            hold_s: float,
        ) -> Iterator[bytes]:
            made = super()._requests(call, talk, pieces, at_commit, hold_s)
            with closing(cast("Generator[bytes, None, None]", made)) as requests:
                for number, request in enumerate(requests):
                    what = _name(number, committed=call.committed)
                    points.reach(f"{what} about to be handed over")
                    yield request
                    points.reach(f"{what} taken by grpc")

    return PassingService


def _name(number: int, *, committed: bool) -> str:
    if committed:
        return "the last chunk"
    return ("the fields", "the audio's header", "the first chunk")[number] if number < 3 else "a chunk"
