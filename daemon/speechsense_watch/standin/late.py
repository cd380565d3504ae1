"""Talks that are stored after their client was told that there is no telling: what a proxy on the way can do to a call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from speechsense_watch.standin.storage import Incoming, Storage, StoredTalk


class LateCommits:
    """For use by many threads at once; after `finish` nothing is late any more."""

    def __init__(self, storage: Storage, now: Callable[[], datetime], echo: Callable[[str], None]) -> None:
        self._storage = storage
        self._now = now
        self._echo = echo
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._threads: list[threading.Thread] = []

    def store(self, talk: StoredTalk, incoming: Incoming | None, after_s: float) -> None:
        """`talk` is stored in `after_s` seconds, or when the stand-in stops, if that is sooner."""
        aside = self._storage.set_aside(incoming) if incoming is not None else None
        thread = threading.Thread(target=self._store_late, args=(talk, aside, after_s), name="late-commit")
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()]
            self._threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """All that was still to be stored is."""
        self._hurry.set()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _store_late(self, talk: StoredTalk, incoming: Incoming | None, after_s: float) -> None:
        self._hurry.wait(after_s)
        self._storage.store(replace(talk, stored_at=self._now()), incoming)
        if incoming is not None:
            incoming.file.close()
        self._echo(f"{talk.talk_id} stored after its client was told otherwise")
