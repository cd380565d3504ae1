"""After a suspicious start: what was unconfirmed in a queue that was put back.

Everything else of it is asked about when its turn comes to be sent (`attempt.py`).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import State
from speechsense_watch.ports import Queue, Stale


def reconsider(queue: Queue, now: datetime) -> None:
    """Each of them that the journal knows has its talk id; every other may have had more tries than are on record. Once for each
    suspicious start, and with the next start for what this one had no time for. Raises QueueTrouble.
    """
    suspicion = queue.suspicion()
    if suspicion is None:
        return
    for job in queue.in_states((State.UNCONFIRMED,), 1_000_000):
        if not suspicion.doubts(job, job.audio):
            continue
        talk_id = queue.journal_talk(job.uid or "")
        change = lifecycle.confirmed(job, talk_id, now) if talk_id else lifecycle.doubted_again(job, suspicion, now)
        with suppress(Stale):  # a command was quicker
            queue.apply(change)
