"""A service that is down, with the waiting times of real life: how often it is asked, and how long until all is sent then."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace

from torture import faults
from torture.figures import Figures
from torture.life import Lives
from torture.world import Setting, World, wait_until

# How many requests a minute are too many.
TOO_MANY = 3.0
# Those that were under way at once when it went down are no probes.
_AT_ONCE = 4
# A probe comes within a minute of the one before.
DRAIN_WITHIN_S = 90.0


def setting(name: str = "outage") -> Setting:
    real = {"retry_initial": "5s", "retry_max": "15m"}
    return replace(Setting(name), upload=real, hurried=False)


def run(world: World, down_s: float, recordings: int = 40) -> Figures:
    """The service answers UNAVAILABLE to everything for so long; then it does not any more."""
    world.start_service()
    lives = Lives(world)
    faults.give(world.service_directory, [{"what": "UNAVAILABLE", "count": 0}])
    for _ in range(recordings):
        world.recorder.drop()
    world.start_daemon()
    wait_until(lambda: bool(lives.ledger.calls()), 20.0)
    time.sleep(down_s)
    asked = len(lives.ledger.calls())
    faults.give(world.service_directory, [])
    began = time.monotonic()
    wait_until(lambda: all(lives.state_of(each) == "done" for each in world.recorder.dropped), DRAIN_WITHIN_S)
    lives.figures.note("time to drain after an outage, s", time.monotonic() - began)
    world.kill_daemon()
    rate = max(0, asked - _AT_ONCE) / down_s * 60
    lives.figures.note("requests a minute during an outage", rate)
    if rate >= TOO_MANY:
        lives.figures.broken.append(f"{rate:.1f} requests a minute during an outage")
    if burnt := _charged(world):
        lives.figures.broken.append(f"{burnt} recordings were charged for an outage")
    if (doubted := _ask(world, "SELECT count(*) FROM events WHERE event = 'outcome_unknown'")) > _AT_ONCE:
        lives.figures.broken.append(f"{doubted} outcomes became unknown by an outage, more than were under way when it began")
    lives.judge()
    return lives.figures


def _charged(world: World) -> int:
    """Recordings that were charged with a try, but for those whose one message was under way when it went down: of them nobody
    knew.
    """
    in_doubt = "SELECT 1 FROM events WHERE job_id = jobs.id AND event = 'outcome_unknown'"
    return _ask(world, f"SELECT count(*) FROM jobs WHERE attempts > 0 AND NOT EXISTS ({in_doubt})")  # noqa: S608 - ours


def _ask(world: World, count: str) -> int:
    with closing(sqlite3.connect(f"file:{world.queue_path}?mode=ro", uri=True)) as conn:
        return int(conn.execute(count).fetchone()[0])
