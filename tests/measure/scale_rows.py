"""Millions of finished rows, and a million that wait: what does each question to the queue cost beside an empty one?

`python tests/measure/scale_rows.py [--rows N] [--ready M] [--dir DIR] [--rounds R] [--json FILE] [--only PART ...]`. A queue with
N finished and M ready rows is built (in DIR, where it stays for the next run; else in a temporary directory), with its journal.
Then it is measured beside one that is all but empty, in turns; what counts is the median of R rounds. Prints a table and ends
with 1 when something takes more than 1.3 times, and more than what a run varies by, of what it takes there.

The rows are those of some years of 5,500 calls a day, in a directory for each day, with the digests, ids and paths of real ones.
Fields, events and tries are kept for 90 days: the newest tenth has them, the rest is as trimming leaves it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measure.bench import processes
from measure.bench.figures import Found, at_most_times, of_rounds
from measure.bench.stage import Stage
from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.rules import Order
from speechsense_watch.core.taking import BIG_ABOVE_BYTES
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.edge.doubts import SqliteDoubts
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.edge.rows import to_us
from speechsense_watch.filer import BETWEEN_TRIMS_S
from speechsense_watch.ports import Selection
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rig import Rig

MOST = 1.3
# Below this a difference is that of two runs of the same, in seconds: of a question, and of a whole process.
NOISE_S, NOISE_OF_PROCESS_S = 100e-6, 0.04
A_DAY = 5_500
WITH_HISTORY = 0.1
TO_TRIM = 50_000
FOLDER = "in"
ACCEPTED = Outcome(code=Code.OK, committed=True, bytes_sent=32044, server_request_id="server")

_DIGEST = "lower(hex(randomblob(32)))"
# `i` counts from 0, `at` is when it was finished, `young` whether its history is still kept.
_STEM = (
    "strftime('%Y/%m/%d/', at / 1000000, 'unixepoch') || printf('%d.%d-7916%07d-%03d', at / 1000000, i, i * 7919 % 10000000,"
    " i % 250)"
)
_FIELDS = (
    "json_object('operator_name', 'Анна Петрова', 'operator_id', printf('%03d', i % 250), 'client_id',"
    " printf('+7916%07d', i * 7919 % 10000000), 'date', strftime('%Y-%m-%dT%H:%M:%SZ', at / 1000000, 'unixepoch'),"
    " 'direction_outgoing', 'false', 'language', 'ru-RU', 'queue', 'support', 'client_name', printf('Клиент %d', i))"
)
_OF_A_ROW = {
    "directory": "CAST(strftime('%Y/%m/%d', at / 1000000, 'unixepoch') AS BLOB)",
    "place": f"CAST({_STEM} || '.wav' AS BLOB)",
    "audio_path": f"CAST({_STEM} || '.wav' AS BLOB)",
    "metadata_path": f"CAST({_STEM} || '.json' AS BLOB)",
    "created_at": "at - 60000000",
    "updated_at": "at",
    "recorded_at": "at - 300000000",
    "audio_inode": "i + 1000000",
    "audio_size": "960044",
    "audio_mtime_ns": "(at - 120000000) * 1000",
    "audio_sha256": _DIGEST,
    "metadata_inode": "i + 2000000",
    "metadata_sha256": _DIGEST,
    "fields": f"CASE WHEN young THEN {_FIELDS} END",
}
_OF_A_FINISHED_ONE = {
    **_OF_A_ROW,
    "uid": _DIGEST,
    "talk_id": "'talk-' || lower(hex(randomblob(10)))",
    # Removed from the folder since: those that are there are `kept.py`'s to measure.
    "gone_at": "at + 600000000",
    "trimmed": "NOT young",
}
_OF_A_READY_ONE = {**_OF_A_ROW, "fields": _FIELDS, "next_attempt_at": "at - 60000000", "updated_at": "at - 60000000"}


# --- a queue with millions of rows -----------------------------------------------------------


def build(path: Path, finished: int, ready: int) -> None:
    """The queue with its journal. Not durable while it is made: what comes of it is, or is thrown away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    played = PlayedQueue(path, ManualClock(), folder=FOLDER)
    with closing(played.queue):
        patterns = played.done("pattern"), played.ready("ready")
    end_us = to_us(datetime.now(tz=UTC) - timedelta(minutes=20))
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("PRAGMA cache_size = -400000")
        with _without_indexes(conn):
            conn.execute("BEGIN")
            _insert(conn, patterns[0], finished, end_us, _OF_A_FINISHED_ONE)
            _insert_history(conn, patterns[0], finished)
            _insert(conn, patterns[1], ready, end_us + 600_000_000, _OF_A_READY_ONE)
            conn.execute("DELETE FROM events WHERE job_id <= ?", (patterns[1].id,))
            conn.execute("DELETE FROM attempts WHERE job_id <= ?", (patterns[1].id,))
            conn.execute("DELETE FROM jobs WHERE id <= ?", (patterns[1].id,))
            conn.execute("DELETE FROM counts")
            conn.execute("INSERT INTO counts SELECT folder, state, count(*) FROM jobs GROUP BY folder, state")
            conn.execute("COMMIT")
        _write_journal(conn, path.with_name(f"{path.name}.journal"))
        conn.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _without_indexes(conn: sqlite3.Connection) -> Iterator[None]:
    """Nor triggers: they are made anew in the end, each by one sort."""
    made = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    kept = conn.execute(made).fetchall()
    for kind, name, _ in kept:
        conn.execute(f"DROP {kind} {name}")
    yield
    for _, _, sql in kept:
        conn.execute(sql)


def _insert(conn: sqlite3.Connection, like: Job, count: int, end_us: int, values: Mapping[str, str]) -> None:
    """`count` rows, the last of them at `end_us`."""
    columns = [name for (name,) in conn.execute("SELECT name FROM pragma_table_info('jobs') WHERE name <> 'id'")]
    chosen = ", ".join(values.get(name, name) for name in columns)
    step_us = 86_400_000_000 // A_DAY
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1),"  # noqa: S608 - a test's own words
        " k AS (SELECT i, ?2 - (?1 - 1 - i) * ?3 AS at, i >= ?4 AS young FROM n)"
        f" INSERT INTO jobs ({', '.join(columns)}) SELECT {chosen} FROM k CROSS JOIN jobs WHERE id = ?5 AND ?1 > 0",
        (count, end_us, step_us, int(count * (1 - WITH_HISTORY)), like.id),
    )


def _insert_history(conn: sqlite3.Connection, like: Job, count: int) -> None:
    """Of the newest: four events each and one try, as a recording has that was sent at the first."""
    first = like.id + 1 + int(count * (1 - WITH_HISTORY))
    conn.execute(
        "INSERT INTO events (job_id, at, event, from_state, to_state, detail)"
        " SELECT jobs.id, jobs.updated_at, event, from_state, to_state, detail"
        " FROM jobs CROSS JOIN events WHERE jobs.id > ? AND state = 'done' AND job_id = ? ORDER BY jobs.id, events.id",
        (first, like.id),
    )
    conn.execute(
        "INSERT INTO attempts (job_id, n, uid, request_id, started_at, committed_at, ended_at, code, message, verdict,"
        " server_request_id, bytes_sent)"
        " SELECT jobs.id, n, jobs.uid, lower(hex(randomblob(16))), started_at, committed_at, ended_at, code, attempts.message,"
        " verdict, lower(hex(randomblob(16))), bytes_sent"
        " FROM jobs CROSS JOIN attempts WHERE jobs.id > ? AND state = 'done' AND job_id = ?",
        (first, like.id),
    )


def _write_journal(conn: sqlite3.Connection, path: Path) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    with path.open("w") as file:
        for uid, talk_id, us in conn.execute("SELECT uid, talk_id, updated_at FROM jobs WHERE state = 'done' ORDER BY id"):
            at = datetime.fromtimestamp(us / 1e6, UTC).isoformat()
            file.write(f'{{"uid": "{uid}", "talk_id": "{talk_id}", "at": "{at}"}}\n')
        os.fsync(file.fileno())


# --- measuring -------------------------------------------------------------------------------


@dataclass
class Side:
    """One of the two queues, and the seconds that each thing took there."""

    directory: Path
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.directory / "state" / "queue.db"

    def took(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)

    def median(self, what: str) -> float:
        return statistics.median(self.seconds[what])


def timed(side: Side, what: str, ask: Callable[[], object], times: int = 1) -> None:
    began = time.perf_counter()
    for _ in range(times):
        ask()
    side.took(what, (time.perf_counter() - began) / times)


def cycle(side: Side, played: PlayedQueue, stem: str) -> None:
    """From the first look to its end, as the daemon writes it down, each on disk before the next."""
    now = datetime.now(tz=UTC)
    played.clock.set_wall(now - played.clock.now())
    began = time.perf_counter()
    ready = played.ready(stem)
    entered = time.perf_counter()
    claimed = played.claim(ready, whole=True)
    at_claim = time.perf_counter()
    ended = played.end(claimed, replace(ACCEPTED, talk_id=f"talk-{stem}"))
    finished = time.perf_counter()
    played.apply(lifecycle.filed(ended, now))
    filed = time.perf_counter()
    for what, seconds in (
        ("enter", entered - began),
        ("claim", at_claim - entered),
        ("finish", finished - at_claim),
        ("filed", filed - finished),
        ("cycle", filed - began),
    ):
        side.took(what, seconds)


def questions(queue: SqliteQueue) -> dict[str, Callable[[], object]]:
    now = datetime.now(tz=UTC)
    any_of = Selection(frozenset({FOLDER, "other"}), frozenset(range(10, 14)))
    paused = replace(any_of, without_connections=frozenset({"conn-1"}))
    full = Selection(frozenset({"other"}), again=frozenset({FOLDER}))
    doubts = SqliteDoubts(queue)
    return {
        "due (8)": lambda: queue.due(now, 8, Order.NEWEST, any_of),
        "due, oldest first": lambda: queue.due(now, 8, Order.OLDEST, any_of),
        "due, small ones": lambda: queue.due(now, 8, Order.NEWEST, replace(any_of, most_bytes=BIG_ABOVE_BYTES)),
        "due, its connection pauses": lambda: queue.due(now, 8, Order.NEWEST, paused),
        "due, its trial is full": lambda: queue.due(now, 8, Order.NEWEST, full),
        "due, suspects": lambda: queue.due(now, 1, Order.NEWEST, replace(any_of, suspects=True)),
        "next_due": lambda: queue.next_due(any_of, {FOLDER}),
        "next_due, its connection pauses": lambda: queue.next_due(paused, {FOLDER}),
        "uploaded_due": lambda: queue.uploaded_due(now, 200),
        "next_filing": queue.next_filing,
        "to_resend": lambda: queue.to_resend(now, {FOLDER}),
        "in_states": lambda: queue.in_states((State.COMMITTING,)),
        "bring_near": lambda: queue.bring_near(now + timedelta(hours=1), now),
        "reconnect": lambda: queue.reconnect(FOLDER, "conn-1"),
        "sent_since": lambda: queue.sent_since(FOLDER, now - timedelta(hours=1), 50),
        "doubts": lambda: doubts.doubts([FOLDER], now, "recording_id"),
        "checks": lambda: doubts.checks([FOLDER]),
        "known": lambda: doubts.known("conn-1", "recording_id"),
        "tried_before": lambda: queue.tried_before("ab" * 32),
        "counts": queue.counts,
        "heartbeat": lambda: queue.set_runtime("daemon", {"at": time.perf_counter()}),
    }


COMMANDS = {
    "status": ("status",),
    "status --json": ("status", "--json"),
    "list": ("list",),
    "list --json": ("list", "--json"),
    "list --state done": ("list", "--state", "done"),
    "list --state refused": ("list", "--state", "refused"),
    "list --since 1h": ("list", "--since", "1h"),
    "list --match, the newest": ("list", "--match", "call-", "--limit", "5"),
    "show ID": ("show", "3"),
    "orphans": ("orphans",),
    "retry of none": ("retry", "--state", "refused", "--yes"),
}
# What reads every row, whatever it is asked for.
THOROUGH = {
    "list --match, in no row": ("list", "--match", "no such thing"),
    "show PATH, unknown": ("show", "{folder}/2025/01/01/none.wav"),
}


def run_command(side: Side, rig: Rig, what: str, words: tuple[str, ...]) -> None:
    began = time.perf_counter()
    code, said = rig.call(*(word.format(folder=rig.folder) for word in words))
    side.took(what, time.perf_counter() - began)
    if code not in (0, 1, 2):
        raise AssertionError(said)


def start(side: Side, rig: Rig) -> None:
    """From the start of the process to READY, as systemd is told, and its memory then."""
    with notified(side.directory / "notify") as ready:
        rig.environ["NOTIFY_SOCKET"] = str(side.directory / "notify")
        rig.configure()
        began = time.perf_counter()
        with rig.log_path.open("ab") as log:
            rig.process = rig.command("run", stderr=log)
        if not ready.wait(600):
            raise AssertionError(rig.log())
        side.took("start to READY", time.perf_counter() - began)
        time.sleep(1.0)  # what the first steps take
        side.took("peak memory after start (MB)", processes.peak_mb(rig.pid))
        rig.stop()


@contextmanager
def notified(path: Path) -> Iterator[threading.Event]:
    path.unlink(missing_ok=True)
    ready = threading.Event()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as server:
        server.bind(str(path))

        def listen() -> None:
            while True:
                try:
                    if b"READY=1" in server.recv(4096):
                        ready.set()
                except OSError:
                    return
                if ready.is_set():
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield ready
    path.unlink(missing_ok=True)


def trim(path: Path) -> str:
    """All that is to be trimmed at one housekeeping, and the longest that a write of somebody else waited for it."""
    queue = SqliteQueue(path)
    young = "SELECT updated_at FROM jobs WHERE state = 'done' AND trimmed = 0 ORDER BY updated_at LIMIT 1 OFFSET ?"
    before = datetime.fromtimestamp(queue.tuples(young, (TO_TRIM,))[0][0] / 1e6, UTC)
    waits: list[float] = []
    over = threading.Event()

    def others() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as conn:
            conn.execute("PRAGMA busy_timeout = 60000")
            while not over.is_set():
                began = time.perf_counter()
                conn.execute("BEGIN IMMEDIATE")
                conn.execute("ROLLBACK")
                waits.append(time.perf_counter() - began)
                time.sleep(0.0005)

    held: list[float] = []

    def same_process() -> None:
        while not over.is_set():
            began = time.perf_counter()
            queue.job(3)
            held.append(time.perf_counter() - began)
            time.sleep(0.0005)

    threads = [threading.Thread(target=each) for each in (others, same_process)]
    for thread in threads:
        thread.start()
    began, total, calls, longest = time.perf_counter(), 0, 0, 0.0
    while True:
        at_call = time.perf_counter()
        touched = queue.trim(before, datetime(1970, 1, 1, tzinfo=UTC), [FOLDER])
        longest = max(longest, time.perf_counter() - at_call)
        total, calls = total + touched, calls + 1
        if not touched:
            break
        time.sleep(BETWEEN_TRIMS_S)
    took = time.perf_counter() - began
    over.set()
    for thread in threads:
        thread.join()
    queue.close()
    return (
        f"trim: {total:,} rows in {took:.2f} s, {calls} calls, the longest {longest * 1e3:.0f} ms; another process's write "
        f"waited {max(waits) * 1e3:.0f} ms at most, another thread's read {max(held) * 1e3:.0f} ms"
    )


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(options.dir or temporary)
        full, empty = Side(directory / f"full-{options.rows}-{options.ready}"), Side(Path(temporary) / "empty")
        if not full.path.exists():
            began = time.perf_counter()
            shutil.rmtree(full.directory, ignore_errors=True)
            build(full.path, options.rows, options.ready)
            sys.stdout.write(f"built in {time.perf_counter() - began:.0f} s\n")
        for name, size in sizes(full.path):
            sys.stdout.write(f"  {name}: {size / 1e6:,.0f} MB\n")
        if options.only == ["build"]:
            return 0
        build(empty.path, 50, 50 if options.ready else 0)
        measure(full, empty, options)
        return report(full, empty, options)


# What an exchange notices: in seconds by `Side`, and in what unit the bench shows it.
_SHOWN = {"claim": ("us", 1e6), "finish": ("us", 1e6), "cycle": ("us", 1e6), "status": ("ms", 1e3), "list": ("ms", 1e3)}


def for_bench(stage: Stage) -> Found:
    """The same beside an empty queue, as far as it is promised."""
    rows = 100_000 if stage.quick else 5_000_000
    full, empty = Side(stage.directory / "rows-full"), Side(stage.directory / "rows-empty")
    stage.say(f"builds a queue of {rows:,} finished rows")
    build(full.path, rows, 0)
    build(empty.path, 50, 0)
    rounds = max(3, stage.rounds)
    measure(full, empty, argparse.Namespace(rows=rows, ready=0, rounds=rounds, only=["cycle", "commands"]))
    return Found(
        [
            of_rounds(
                "rows",
                f"{what} with {rows:,} finished rows",
                unit,
                [seconds * scale for seconds in full.seconds[what]],
                [seconds * scale for seconds in empty.seconds[what]],
                baseline_name="in an empty queue",
                target=at_most_times(MOST),
            )
            for what, (unit, scale) in _SHOWN.items()
        ]
    )


def sizes(path: Path) -> Iterator[tuple[str, int]]:
    yield "queue", path.stat().st_size
    yield "journal", path.with_name(f"{path.name}.journal").stat().st_size


def measure(full: Side, empty: Side, options: argparse.Namespace) -> None:
    sides = (empty, full)
    parts = options.only or ["cycle", "questions", "start", "commands", "thorough", "trim"]
    if "cycle" in parts or "questions" in parts:
        _measure_queue(sides, options.rounds, parts)
    rigs = {}
    for side in sides:
        shutil.rmtree(side.directory / "in", ignore_errors=True)
        rigs[side.directory] = Rig(side.directory, 9)
        rigs[side.directory].configure()
        if options.ready:
            # Their files are not there: with the root away nobody takes them for lost.
            rigs[side.directory].folder.rmdir()
    for number in range(options.rounds):
        for side in sides:
            rig = rigs[side.directory]
            if "start" in parts:
                start(side, rig)
            commands = COMMANDS if "commands" in parts else {}
            if "thorough" in parts and number < 2:
                commands = {**commands, **THOROUGH}
            for what, words in commands.items():
                run_command(side, rig, what, words)
    if "trim" in parts and options.rows * WITH_HISTORY >= TO_TRIM:
        sys.stdout.write(trim(full.path) + "\n")


def _measure_queue(sides: tuple[Side, ...], rounds: int, parts: list[str]) -> None:
    played = {side.directory: PlayedQueue(side.path, ManualClock(), folder=FOLDER) for side in sides}
    for _ in range(rounds):
        for side in sides:
            each = played[side.directory]
            for number in range(40 if "cycle" in parts else 0):
                cycle(side, each, f"call-{time.time_ns()}-{number}")
            if "questions" in parts:
                for what, ask in questions(each.queue).items():
                    timed(side, what, ask, 20)
    for each in played.values():
        each.queue.close()


def report(full: Side, empty: Side, options: argparse.Namespace) -> int:
    bad = 0
    found = {}
    for what in full.seconds:
        beside, here = empty.median(what), full.median(what)
        process = what in COMMANDS or what in THOROUGH or what.startswith("start")
        unit, scale = ("ms", 1e3) if process else ("MB", 1.0) if "MB" in what else ("us", 1e6)
        over = here > MOST * beside and here - beside > (NOISE_OF_PROCESS_S if process else NOISE_S) and what not in THOROUGH
        bad += over
        found[what] = {"empty": beside, "full": here, "ratio": here / beside}
        mark = "  <-- over" if over else ""
        sys.stdout.write(f"{what:34} {beside * scale:10,.0f} {here * scale:12,.0f} {unit}  {here / beside:8.2f}{mark}\n")
    if options.json:
        Path(options.json).write_text(json.dumps({"rows": options.rows, "ready": options.ready, "found": found}, indent=1))
    return 1 if bad else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--ready", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", default="")
    parser.add_argument("--json", default="")
    parser.add_argument("--only", nargs="*", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
