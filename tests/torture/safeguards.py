"""What is taken away from the daemon, or done to it, to see that somebody notices. Each is replaced in the child process before
the program begins; `teeth` says which check has to fail.

Every one raises AttributeError at the start when what it replaces has got another name, so that none is spared in silence.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from speechsense_watch import intents
from speechsense_watch.core import lifecycle, lookup
from speechsense_watch.core.edges import Change, Event, change
from speechsense_watch.core.lookup import Inquiry, Try
from speechsense_watch.core.model import Job, State
from speechsense_watch.edge import channel, doubts, folder, queue_file, speechsense, syscalls
from speechsense_watch.edge.history import History
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.folder_intake import FolderIntake
from speechsense_watch.intake import Intake
from speechsense_watch.intents import Intent, Intents
from speechsense_watch.ports import Hint, Talk
from speechsense_watch.uploader import Uploader
from torture.points import replace

TRAP = "trap"
_RETRIES = (
    '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "0.2s",'
    ' "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}'
)


def take_away(names: Iterable[str]) -> None:
    for name in names:
        TABLE[name]()


# --- before the last byte ----------------------------------------------------------------------


def _mark_after_the_last_chunk() -> None:
    def requests(
        self: GrpcService,
        call: speechsense._Call,
        talk: Talk,
        pieces: Iterator[bytes],
        at_commit: Callable[[], None],
        hold_s: float,
    ) -> Iterator[bytes]:
        yield from original(self, call, talk, pieces, lambda: None, hold_s)
        at_commit()

    original = GrpcService._requests
    replace(GrpcService, "_requests", requests)


def _no_intent() -> None:
    def record(_self: Intents, intent: Intent) -> Job:
        return changed(intent.claimed.after, id=intent.job.id)

    replace(Intents, "record", record)
    replace(Intents, "record_together", lambda _self, wanted: [None] * len(wanted))


def _normal_instead_of_full() -> None:
    set_up = queue_file._set_up

    def relaxed(db: Any, path: Path) -> None:
        set_up(db, path)
        db.conn.execute("PRAGMA synchronous = NORMAL")

    replace(queue_file, "_set_up", relaxed)


# --- after it ----------------------------------------------------------------------------------


def _retries_of_grpc() -> None:
    others = tuple(option for option in channel._OPTIONS if option[0] != "grpc.enable_retries")
    replace(channel, "_OPTIONS", (*others, ("grpc.enable_retries", 1), ("grpc.service_config", _RETRIES)))


def _committing_as_uploading() -> None:
    recovered = lifecycle.recovered

    def forgetful(job: Job, at: Any, **more: Any) -> Change:
        if job.state is State.COMMITTING:
            return change(job, Event.GIVEN_BACK, at, next_attempt_at=at)
        return recovered(job, at, **more)

    replace(lifecycle, "recovered", forgetful)


def _unconfirmed_as_ready() -> None:
    replace(Uploader, "_resending", lambda self: frozenset(self._folders))


def _one_number_for_all_tries() -> None:
    with_recording_id = intents.with_recording_id
    replace(intents, "with_recording_id", lambda fields, rules, uid, _n: with_recording_id(fields, rules, uid, 1))


def _journal_not_read() -> None:
    replace(History, "examine", lambda _self, _machine, _now: None)


# --- look-ups ----------------------------------------------------------------------------------


def _no_fence() -> None:
    original = Inquiry._look_at_doubt

    def look(self: Inquiry, looked: lookup._OpenDoubt, *others: Any, **more: Any) -> Any:
        since, looked.doubt = looked.doubt.since, changed(looked.doubt, since=-1)
        try:
            return original(self, looked, *others, **more)
        finally:
            looked.doubt = changed(looked.doubt, since=since)

    replace(Inquiry, "_look_at_doubt", look)


def _no_patience() -> None:
    replace(Inquiry, "needed_s", 0.0)
    replace(lookup, "NEEDED_LOOKS", 1)


def _any_try_will_do() -> None:
    doubt_of = lookup.doubt_of

    def credulous(job: Job, since: int, tries: Iterable[Try], now: Any) -> Any:
        return doubt_of(job, since, [changed(each, committed=True) for each in tries], now)

    replace(doubts, "doubt_of", credulous)


# --- the folder --------------------------------------------------------------------------------


def _events_lost() -> None:
    """No safeguard but a misfortune: nothing of what the kernel tells arrives."""

    def lost(_self: Intake, _hint: Hint) -> None:
        return

    replace(Intake, "hint", lost)


def _no_rescan() -> None:
    begin = FolderIntake._begin_scan

    def once(self: FolderIntake) -> bool:
        if self._first:
            return begin(self)
        self._next_scan_at = float("inf")
        return True

    replace(FolderIntake, "_begin_scan", once)


def _a_file_becomes_a_pipe() -> None:
    """No safeguard but an attack: between the look at a file and its opening somebody puts a pipe in its place."""
    original = folder._refuse_odd

    def trapped(found: os.stat_result, directory: int) -> None:
        original(found, directory)
        with suppress(FileNotFoundError):
            there = os.stat(f"{TRAP}.wav", dir_fd=directory, follow_symlinks=False)
            if stat.S_ISREG(there.st_mode) and os.path.samestat(there, found):
                os.unlink(f"{TRAP}.wav", dir_fd=directory)
                os.mkfifo(f"{TRAP}.wav", dir_fd=directory)

    replace(folder, "_refuse_odd", trapped)


def _blocking_open() -> None:
    replace(syscalls, "READ_FILE", syscalls.READ_FILE & ~os.O_NONBLOCK)


TABLE: Mapping[str, Callable[[], None]] = {
    "the commit mark before the last chunk": _mark_after_the_last_chunk,
    "the intent before the first byte": _no_intent,
    "synchronous FULL": _normal_instead_of_full,
    "gRPC's own retries off": _retries_of_grpc,
    "committing is in doubt after a crash": _committing_as_uploading,
    "what is in doubt is held": _unconfirmed_as_ready,
    "every try has its number": _one_number_for_all_tries,
    "the journal of a lost queue": _journal_not_read,
    "the fence of the look-up": _no_fence,
    "the patience of the look-up": _no_patience,
    "only tries past the mark are adopted": _any_try_will_do,
    "the rescan": _no_rescan,
    "O_NONBLOCK": _blocking_open,
    # Misfortunes, which the daemon has to bear.
    "events": _events_lost,
    "honest files": _a_file_becomes_a_pipe,
}
