"""The stand-in as a child process: `python -m torture.service PORT DIRECTORY RULES`, RULES as JSON.

It passes points as well. Where it is to die is told by a file in its directory, at any time: it holds the name of the point.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from speechsense_watch.standin import Connection, Rules, StandIn
from speechsense_watch.standin.storage import Incoming, Json, Ledger, Storage, StoredTalk
from torture.points import replace

BEFORE, BETWEEN, AFTER = (
    "before the audio is kept",
    "after the audio is kept, before the ledger",
    "after the ledger, before the answer",
)
POINTS = (BEFORE, BETWEEN, AFTER)


def die_file(directory: Path) -> Path:
    return directory / "die_at"


def _reach(directory: Path, name: str) -> None:
    order = die_file(directory)
    try:
        told = order.read_text()
    except FileNotFoundError:
        return
    if told == name:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _install(directory: Path) -> None:
    store, append = Storage.store, Ledger.append

    def passing_store(self: Storage, talk: StoredTalk, incoming: Incoming | None) -> None:
        _reach(directory, BEFORE)
        store(self, talk, incoming)
        _reach(directory, AFTER)

    def passing_append(self: Ledger, line: Json) -> None:
        if "sha256" in line:
            _reach(directory, BETWEEN)
        append(self, line)

    replace(Storage, "store", passing_store)
    replace(Ledger, "append", passing_append)


def main(port: int, directory: Path, rules: Rules) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    _install(directory)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with StandIn(directory, port, rules=rules):
        ended.wait()


def _rules(text: str) -> Rules:
    given = json.loads(text)
    connections = {each: Connection(declared=frozenset(given["declared"])) for each in given["connections"]}
    return Rules(connections=connections, index_lag_s=given["index_lag_s"], connection_age_s=given["connection_age_s"])


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), _rules(sys.argv[3]))
