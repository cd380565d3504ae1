"""What changed rules no longer take: left out before anything of it is sent."""

from __future__ import annotations

import hashlib

from speechsense_watch import __version__
from speechsense_watch.core import lifecycle, pairing
from speechsense_watch.core.model import Problem, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.log import Event, Log
from speechsense_watch.ports import Clock, Queue, Stale


def rule_out(queue: Queue, folder: Folder, clock: Clock, log: Log, *, all_entered: bool = False) -> int:
    """Recordings that wait or are ready and that the folder's rules do not take (any more) are skipped; the operator's own
    choice, `retry`, stands above the rules. Returns how many there were. Raises QueueTrouble.

    `all_entered`: nothing is entered by older rules from now on. Then it is remembered, and the next start with these rules need
    not look at what may be a million recordings.
    """
    mark = _mark(folder)
    if queue.runtime().get(f"ruled:{folder.name}") == mark:
        return 0
    count = 0
    for job_id, path in queue.unsent_places(folder.name):
        job = None if pairing.belongs(folder, path) else queue.job(job_id)
        if job is None or job.forced or job.state not in (State.WAITING, State.READY):
            continue
        anew = Problem(Reason.READ_AGAIN, "The folder's rules changed.")
        message = pairing.left_out(folder, path) or "By `audio` and `metadata` in the folder's rules it is no recording any more."
        problem = Problem(Reason.BY_RULE, message)
        try:
            if job.state is State.READY:
                job = queue.apply(lifecycle.read_anew(job, anew, clock.now()))
            queue.apply(lifecycle.left_out(job, problem, clock.now(), None, None))
        except Stale:
            continue  # begun just now by the old rules, or changed by a command
        count += 1
    if count:
        log.info(Event.RULED_OUT, folder=folder.name, count=count)
    if all_entered:
        queue.set_runtime(f"ruled:{folder.name}", mark)
    return count


def _mark(folder: Folder) -> str:
    """Of the rules, and of who reads them."""
    return hashlib.sha256(f"{__version__} {folder!r}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
