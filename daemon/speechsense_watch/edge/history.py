"""What outlives the queue: the journal beside it, and what a start makes of the two when they disagree.

Whatever is in the journal was in the queue first. So a journal line that the queue lacks means one thing: the queue was lost,
or is an older copy. Such a start is *suspicious* (`core.suspicion`): the talks that only the journal knows are written into the
queue, to be adopted when their recordings come, and the start gets a number and a time before which everything is in doubt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from speechsense_watch.core.edges import Change
from speechsense_watch.core.suspicion import Suspicion
from speechsense_watch.edge.agreement import WITH_TALK, Held, Mark, gained, held, mark_of, remember
from speechsense_watch.edge.ballast import Ballast, is_no_room
from speechsense_watch.edge.damage import journal_trouble
from speechsense_watch.edge.journal import FolderLine, ForgottenLine, Journal, StartLine, SuspicionLine, TalkLine
from speechsense_watch.edge.machine import Machine
from speechsense_watch.edge.rows import HOLDING_UID, from_us, path_bytes, placeholders, to_us
from speechsense_watch.ports import QueueTrouble

# Keys of `runtime`: where the queue last ran, that it was moved from there, that it was put back from a copy.
MACHINE, MOVED, RESTORED = "machine", "moved", "restored"

# So many lines of the journal are held against the queue at a time.
_TOGETHER = 500


class _Cursor(Protocol):
    @property
    def rowcount(self) -> int: ...


class _Writing(Protocol):
    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> _Cursor: ...
    def executemany(self, sql: str, parameters: Iterable[Sequence[object]], /) -> _Cursor: ...


class Connection(Protocol):
    """The queue's one connection. Everything raises QueueTrouble."""

    def tuples(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...
    def transaction(self) -> AbstractContextManager[_Writing]: ...
    def runtime_changed(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Suspected:
    """A start that is suspicious, and why; `talks` are those that only the journal knew until now."""

    suspicion: Suspicion
    why: str
    talks: int


@dataclass(slots=True)
class _Survey:
    """What the journal tells up to the byte `size`, and what of it the queue lacks."""

    size: int = 0
    last_start: str = ""
    k: int = 0
    newest: str = ""
    talks_lacking: bool = False
    folders_lacking: list[FolderLine] = field(default_factory=list)
    forgotten_lacking: list[ForgottenLine] = field(default_factory=list)


class History:
    """Of one queue. Every method raises QueueTrouble."""

    def __init__(self, connection: Connection, journal: Journal, path: Path, ballast: Ballast) -> None:
        self._connection = connection
        self._journal = journal
        self._path = path
        self._ballast = ballast
        # Talk ids that are in the queue and have yet to be entered in the journal. Under a lock of its own, which is asked for by
        # those who hold the queue's and never the other way round.
        self._owed: list[tuple[str, str, datetime]] = []
        self._lock = Lock()
        self._suspicion: Suspicion | None = None
        self._asked = False
        self._any_known: bool | None = None
        # Nothing in it is unknown to the queue any more.
        self._surveyed: _Survey | None = None

    # --- talks -------------------------------------------------------------------------------

    def enter(self, changes: Iterable[Change]) -> None:
        """Every talk id that has come with them is entered in the journal, but for one that is from there. They are on record
        whether that succeeds or not: what fails is owed, and nothing is begun before it is made good.
        """
        talks = [
            (change.after.uid, change.after.talk_id, change.at)
            for change in changes
            if change.event in WITH_TALK and change.after.uid and change.after.talk_id
        ]
        fresh = [talk for talk in talks if not self._is_from_there(*talk[:2])]
        try:
            self._pay(fresh)
        except OSError as error:
            if is_no_room(error) and self._ballast.give_up():
                with suppress(OSError):
                    self._pay()

    def pay(self) -> None:
        """What is owed to the journal is entered. Raises OSError; then it stays owed."""
        self._pay()

    def _pay(self, more: Sequence[tuple[str, str, datetime]] = ()) -> None:
        with self._lock:
            self._owed += more
            if self._owed:
                self._journal.talks(self._owed)
                self._owed = []

    def _is_from_there(self, uid: str, talk_id: str) -> bool:
        try:
            return self.known_talk(uid) == talk_id
        except QueueTrouble:
            return False  # a second line does no harm, one that is lacking would

    def known_talk(self, uid: str) -> str | None:
        """The talk id that only the journal knew when the queue had been lost. Each recording is asked about, hardly any queue
        was ever lost. That there are none is found out once: nothing but a start, or a command without a daemon, adds any.
        """
        if self._any_known is None:
            self._any_known = bool(self._connection.tuples("SELECT 1 FROM known_talks LIMIT 1"))
        if not self._any_known:
            return None
        found = self._connection.tuples("SELECT talk_id FROM known_talks WHERE uid = ?", (uid,))
        return str(found[0][0]) if found else None

    def forget(self, uids: Iterable[str], *, overwrite: bool = False, size: int = 0) -> int:
        """Nothing outside the rows tells of these any more; the journal's lines go first, and what is returned is as `without` of
        `Journal` has it.
        """
        gone = frozenset(uids)
        with self._translated():
            left = self._journal.without(gone, overwrite=overwrite, size=size)
        with self._connection.transaction() as conn:
            conn.executemany("DELETE FROM known_talks WHERE uid = ?", [(uid,) for uid in gone])
        return left

    def stays_forgotten(self, digests: Iterable[str], at: datetime) -> None:
        """When the queue is lost too. What cannot be written now the next start fills in."""
        with suppress(OSError):
            self._journal.forgotten(digests, at)

    def fill(self) -> int:
        """The journal holds every talk id, folder and forgotten call the queue does; returns how many lines it lacked. Looked at
        is what came since both were last seen to agree; what `examine` saw is remembered for the next time.
        """
        with self._translated():
            since, now = mark_of(self._connection, self._journal), held(self._connection)
            if since is None:
                forgotten = [(digest, from_us(at)) for digest, at in self._connection.tuples("SELECT digest, at FROM forgotten")]
                lacked = self._journal.fill(self._talks(), self._folders_after(0), forgotten)
            else:
                talks = ((uid, talk_id, from_us(at)) for uid, talk_id, at in gained(self._connection, since))
                fresh = (talk for talk in talks if not self._is_from_there(*talk[:2]))
                lacked = self._journal.fill(fresh, self._folders_after(since.folders), start=since.size)
            if self._surveyed is not None:
                self._agree(self._surveyed, now)
        return lacked

    def _agree(self, survey: _Survey, now: Held) -> None:
        end = self._journal.end_at(survey.size)
        told = (survey.last_start, survey.k, survey.newest)
        if end is not None:
            with self._connection.transaction() as conn:
                remember(conn, Mark(survey.size, end, now.talks, now.event, now.folders, now.forgotten, *told))
        self._surveyed = None

    def mark(self) -> Mark | None:
        """How far both were last seen to agree, if that still holds."""
        with self._translated():
            return mark_of(self._connection, self._journal)

    def end_at(self, size: int) -> str:
        """As `Journal` has it."""
        with self._translated():
            return self._journal.end_at(size) or ""

    def keep_up(self) -> None:
        """Queue and journal are seen to agree on what has come since they were last, so that the next start begins there."""
        known = self.mark()
        if known is None or known.size == self._journal.size():
            return
        last = self._connection.tuples("SELECT max(k) FROM suspicions")[0][0] or 0
        survey = self._survey()
        if not self._knows_more(survey, last):
            self._surveyed = survey
            self.fill()

    def _folders_after(self, row: int) -> list[tuple[str, str, datetime]]:
        rows = self._connection.tuples("SELECT name, path, first_watched_at FROM folders WHERE rowid > ?", (row,))
        return [(name, path.decode(errors="surrogateescape"), from_us(at)) for name, path, at in rows]

    def _talks(self) -> Iterator[tuple[str, str, datetime]]:
        """A page at a time: there may be millions."""
        last = 0
        sql = "SELECT id, uid, talk_id, updated_at FROM jobs WHERE talk_id IS NOT NULL AND id > ? ORDER BY id LIMIT 5000"
        while page := self._connection.tuples(sql, (last,)):
            yield from ((uid, talk_id, from_us(at)) for _, uid, talk_id, at in page)
            last = page[-1][0]

    # --- folders -----------------------------------------------------------------------------

    def first_watched(self, name: str, path: str, now: datetime) -> datetime:
        """`now` when it was not watched before, unless it came from another machine: what was recorded on the way is not old."""
        sql = "SELECT first_watched_at FROM folders WHERE name = ? AND path = ?"
        if known := self._connection.tuples(sql, (name, path_bytes(path))):
            return from_us(known[0][0])
        mark = self.mark()
        # What the journal had until then the queue knows.
        start = mark.size if mark else 0
        at = self._first_watched_in_journal(name, path, start) or self._before_the_move(name) or now
        with self._connection.transaction() as conn:
            conn.execute("INSERT OR IGNORE INTO folders VALUES (?, ?, ?)", (name, path_bytes(path), to_us(at)))
        with self._translated():
            self._journal.fill((), [(name, path, at)], start=start)
        return at

    def _first_watched_in_journal(self, name: str, path: str, start: int) -> datetime | None:
        with self._translated():
            for line in self._journal.lines(start):
                if isinstance(line, FolderLine) and (line.name, line.path) == (name, path):
                    return _time(line.at)
        return None

    def _before_the_move(self, name: str) -> datetime | None:
        """When the folder of that name was first watched where this queue came from; its path may have been another one there."""
        if MOVED not in self._told():
            return None
        latest = self._connection.tuples("SELECT max(first_watched_at) FROM folders WHERE name = ?", (name,))[0][0]
        return from_us(latest) if latest is not None else None

    # --- starts ------------------------------------------------------------------------------

    def suspicion(self) -> Suspicion | None:
        """The latest suspicious start; found out once, since nothing but a start or a command without a daemon makes another."""
        if not self._asked:
            found = self._connection.tuples("SELECT k, at FROM suspicions ORDER BY k DESC LIMIT 1")
            self._suspicion = Suspicion(found[0][0], from_us(found[0][1])) if found else None
            self._asked = True
        return self._suspicion

    def begin(self, start_id: str, now: datetime) -> None:
        """The start is on record in both, in the queue first: a queue that does not know the journal's last start is not the one
        that made it. Earlier ones tell nothing more. The end is put on record in the same way, so that no copy from in between
        knows it.
        """
        with self._connection.transaction() as conn:
            conn.execute("INSERT INTO starts (id, at) VALUES (?, ?)", (start_id, to_us(now)))
        with self._translated():
            self._journal.start(start_id, now)
        with self._connection.transaction() as conn:
            conn.execute("DELETE FROM starts WHERE id <> ?", (start_id,))

    def examine(self, machine: Machine, now: datetime) -> Suspected | None:
        """Whether this start is suspicious. Then what that means is on disk, and the next one is not for the same cause. To be
        called while no daemon runs on this queue but our own, and before anything is written to it.
        """
        survey = self._surveyed = self._survey()
        told = self._told()
        last = self._connection.tuples("SELECT k, at, why, settled FROM suspicions ORDER BY k DESC LIMIT 1")
        mine = last[0][0] if last else 0
        self._asked, self._any_known = False, None
        self._connection.runtime_changed()
        if last and not last[0][3]:
            # Begun by a start that did not come to the end of it.
            at, why, k = from_us(last[0][1]), last[0][2], mine
        elif causes := self._causes(survey, told, machine, mine):
            newest = _time(survey.newest)
            # By a clock that was behind at this start, as after a dead battery, nothing would be older.
            at, why, k = max(now, newest or now), " ".join(causes), max(survey.k, mine) + 1
            with self._connection.transaction() as conn:
                conn.execute("INSERT INTO suspicions (k, at, why, settled) VALUES (?, ?, ?, 0)", (k, to_us(at), why))
        else:
            if survey.k < mine:
                self._count_in_journal(mine, from_us(last[0][1]))
            self._remember(machine, told, now)
            return None
        if survey.k < k:
            self._count_in_journal(k, at)
        talks = self._know_talks() if survey.talks_lacking else 0
        self._remember(machine, told, now)
        with self._connection.transaction() as conn:
            rows = [(line.name, path_bytes(line.path), to_us(_time(line.at) or now)) for line in survey.folders_lacking]
            conn.executemany("INSERT OR IGNORE INTO folders VALUES (?, ?, ?)", rows)
            forgotten = [(line.digest, to_us(_time(line.at) or now)) for line in survey.forgotten_lacking]
            conn.executemany("INSERT OR IGNORE INTO forgotten VALUES (?, ?)", forgotten)
            if survey.last_start:
                # A command that examines makes no start of its own.
                conn.execute("INSERT OR IGNORE INTO starts (id, at) VALUES (?, ?)", (survey.last_start, to_us(at)))
            conn.execute("DELETE FROM runtime WHERE key = ?", (RESTORED,))
            conn.execute("UPDATE suspicions SET settled = 1 WHERE k = ?", (k,))
        return Suspected(Suspicion(k, at), why, talks)

    def _causes(self, survey: _Survey, told: Mapping[str, Mapping[str, str]], machine: Machine, k: int) -> list[str]:
        """In sentences."""
        causes = []
        if self._knows_more(survey, k):
            causes.append("The journal knows what the queue does not: it was lost, or is an older copy.")
        if RESTORED in told:
            causes.append("The queue was put back by `restore`.")
        if machine.other_than(told.get(MACHINE, {})):
            causes.append(f"The queue last ran on another machine ({told[MACHINE].get('host', '')}).")
        return causes

    def _knows_more(self, survey: _Survey, k: int) -> bool:
        """Whether the journal tells of something that the queue lacks; `k` is the queue's latest suspicious start."""
        starts = {start for (start,) in self._connection.tuples("SELECT id FROM starts")}
        lacks = survey.talks_lacking or bool(survey.folders_lacking or survey.forgotten_lacking) or survey.k > k
        return lacks or bool(survey.last_start and survey.last_start not in starts)

    def _told(self) -> Mapping[str, Mapping[str, str]]:
        """What of `runtime` is about where the queue comes from."""
        sql = "SELECT key, value FROM runtime WHERE key IN (?, ?, ?, 'daemon')"
        rows = ((key, json.loads(value)) for key, value in self._connection.tuples(sql, (MACHINE, MOVED, RESTORED)))
        return {key: value for key, value in rows if isinstance(value, dict)}

    def _remember(self, machine: Machine, told: Mapping[str, Mapping[str, str]], now: datetime) -> None:
        """Where the queue runs now; and that it was moved, until the operator has said that the daemon there is stopped."""
        before = told.get(MACHINE, {})
        written = {MACHINE: {"id": machine.id or before.get("id", ""), "host": machine.host}}
        if machine.other_than(before):
            seen_at = told.get("daemon", {}).get("heartbeat_at", "")
            written[MOVED] = {"host": before.get("host", ""), "seen_at": seen_at, "at": now.isoformat()}
        rows = [(key, json.dumps(value, sort_keys=True)) for key, value in written.items() if told.get(key) != value]
        if rows:
            with self._connection.transaction() as conn:
                conn.executemany("INSERT INTO runtime VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", rows)

    def _count_in_journal(self, k: int, at: datetime) -> None:
        """For a queue that is lost once more."""
        with self._translated():
            self._journal.suspicion(k, at)

    def _survey(self) -> _Survey:
        mark = self.mark()
        survey = _Survey(mark.size, mark.start, mark.k, mark.newest) if mark else _Survey()
        folders = {(name, path) for name, path in self._connection.tuples("SELECT name, path FROM folders")}
        forgotten = {digest for (digest,) in self._connection.tuples("SELECT digest FROM forgotten")}
        with self._translated():
            lines = self._journal.lines_at(survey.size)
            while together := list(islice(lines, _TOGETHER)):
                survey.size = together[-1][0]
                some = [line for _, line in together if line is not None]
                survey.newest = max(survey.newest, *(line.at for line in some), "")
                for line in some:
                    match line:
                        case StartLine(start=start):
                            survey.last_start = start
                        case SuspicionLine(k=k):
                            survey.k = max(survey.k, k)
                        case FolderLine(name=name, path=path) if (name, path_bytes(path)) not in folders:
                            survey.folders_lacking.append(line)
                        case ForgottenLine(digest=digest) if digest not in forgotten:
                            survey.forgotten_lacking.append(line)
                if not survey.talks_lacking:
                    survey.talks_lacking = bool(self._lacking(some))
        return survey

    def _know_talks(self) -> int:
        """Every talk that only the journal knows is in the queue; returns how many came."""
        count = 0
        with self._translated():
            lines = self._journal.lines()
            while some := list(islice(lines, _TOGETHER)):
                if lacking := self._lacking(some):
                    with self._connection.transaction() as conn:
                        conn.executemany("INSERT OR IGNORE INTO known_talks VALUES (?, ?)", list(lacking.items()))
                    count += len(lacking)
        return count

    def _lacking(self, lines: Iterable[object]) -> dict[str, str]:
        """The talks among these lines that the queue does not know, by uid."""
        talks = {line.uid: line.talk_id for line in lines if isinstance(line, TalkLine) and line.talk_id}
        keys, marks = tuple(talks), placeholders(tuple(talks))
        sql = (
            f"SELECT uid FROM jobs WHERE state IN ({HOLDING_UID}) AND talk_id IS NOT NULL AND uid IN ({marks})"
            f" UNION ALL SELECT uid FROM known_talks WHERE uid IN ({marks})"
        )
        known = {uid for (uid,) in self._connection.tuples(sql, (*keys, *keys))} if keys else set()
        return {uid: talk_id for uid, talk_id in talks.items() if uid not in known}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The journal's errors as QueueTrouble."""
        try:
            yield
        except OSError as error:
            raise journal_trouble(self._path, error) from error


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
