"""However a part of the daemon stands still or fails, the process ends when it is told to."""

from __future__ import annotations

import json

from speechsense_watch.core.model import State
from speechsense_watch.edge import lock
from speechsense_watch.edge.clock import SystemClock
from support.rig import Rig
from support.wavs import pcm

# A folder whose directory is never read to the end, as on a share that is gone.
HANGING = """
import threading
from speechsense_watch.cli import main
from speechsense_watch.edge.folder import FolderFiles

FolderFiles.entries = lambda *_a, **_k: threading.Event().wait()
main()
"""

FAILING = """
from speechsense_watch.app import Daemon
from speechsense_watch.cli import main

def fail(*_, **__):
    raise ArithmeticError("nobody foresaw it")

Daemon._wait_for_ends = fail
main()
"""


def events(rig: Rig) -> list[str]:
    return [json.loads(line)["event"] for line in rig.log().splitlines()]


def test_a_thread_that_hangs_does_not_keep_the_process(rig: Rig) -> None:
    """Told to stop, it waits a few seconds for its parts, says who has not come, and ends in good order."""
    rig.program = ("-c", HANGING)
    rig.start()
    assert rig.stop() == 0
    (last,) = [json.loads(line) for line in rig.log().splitlines() if "daemon_stopped" in line]
    assert last["still_running"] == ["intake"]
    with lock.acquire(f"{rig.queue_path}.lock", SystemClock()) as held:
        assert held.left_behind, "the next start looks closer, as after a kill"


def test_a_fault_of_ours_at_the_end_does_not_keep_the_process_either(rig: Rig) -> None:
    """It is told, whole; what was under way is found by the next start, as after a kill."""
    rig.program = ("-c", FAILING)
    rig.start()
    assert rig.stop() == 1
    assert events(rig)[-1] == "loop_failed"
    assert "ArithmeticError" in rig.log()
    rig.program = ("-m", "speechsense_watch")
    rig.drop("call", pcm(seed=1))
    rig.start()
    rig.wait_for_states(call=State.DONE)
    assert rig.stop() == 0
