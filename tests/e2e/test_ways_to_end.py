"""Told to stop, killed, starved of memory or without power: the ways to end differ in how long the next start takes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from measure.bench import processes
from speechsense_watch.core.model import IN_FLIGHT, State
from speechsense_watch.standin import StandIn
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm

RECORDINGS = 12
Story = dict[str, tuple[State, str | None]]


def told_to_stop(rig: Rig) -> None:
    rig.stop(signal.SIGTERM)


def killed(rig: Rig) -> None:
    rig.stop(signal.SIGKILL)


def starved(rig: Rig) -> None:
    """Not a byte more of address space, while it sends; what the kernel's OOM killer does to what lives on is a kill."""
    assert rig.process
    # What it has is above the limit already: every request for more fails.
    resource.prlimit(rig.process.pid, resource.RLIMIT_AS, (2**20, 2**20))
    try:
        rig.process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        rig.process.kill()
        rig.process.wait()
    rig.process = None


def without_power(rig: Rig) -> None:
    """What was waited for is on disk; the end of the journal's last line and the note of what is in hand may be lost."""
    assert rig.process
    rig.process.send_signal(signal.SIGSTOP)
    state, copy = rig.queue_path.parent, rig.directory / "disk"
    copy.mkdir()
    for name in ("queue.db", "queue.db-wal", "queue.db.journal"):
        if (state / name).exists():
            shutil.copy(state / name, copy / name)
    rig.stop(signal.SIGKILL)
    shutil.rmtree(state)
    copy.rename(state)
    journal = state / "queue.db.journal"
    os.truncate(journal, max(0, journal.stat().st_size - 20))


WAYS: dict[str, Callable[[Rig], None]] = {
    "SIGTERM": told_to_stop,
    "SIGKILL": killed,
    "out of memory": starved,
    "power": without_power,
}


def ended(directory: Path, end: Callable[[Rig], None]) -> tuple[Story, float]:
    """Every recording's end, after a daemon was ended so amid several uploads; and how much work the
    start after that was.
    """
    directory.mkdir()
    with StandIn(directory / "service") as standin, Rig(directory, standin.port) as rig:
        rig.upload |= {"stream_above": "64KiB", "chunk_size": "32KiB", "bandwidth": "256KiB/s", "shutdown_grace": "1s"}
        for number in range(RECORDINGS):
            rig.drop(f"call{number:02}", pcm(seconds=10 if number % 2 else 1, seed=number))
        rig.start()
        wait_for(lambda: sum(state in IN_FLIGHT for state in rig.states().values()) >= 3, 20)
        end(rig)
        del rig.upload["bandwidth"]
        rig.start()
        took_s = processes.cpu_s(rig.pid)
        wait_for(lambda: set(rig.states().values()) == {State.DONE} and len(rig.states()) == RECORDINGS, 30)
        told = {path: (job.state, job.uid) for path, job in rig.jobs().items()}
        doubtful = sum(job.possible_duplicate for job in rig.jobs().values())
        talks = standin.talks()
        assert len({talk.sha256 for talk in talks}) == RECORDINGS
        # A talk more only for a recording that is marked.
        assert RECORDINGS <= len(talks) <= RECORDINGS + doubtful
        assert rig.stop() == 0
        return told, took_s


def test_all_ways_to_end_lead_to_the_same(tmp_path: Path) -> None:
    """Every recording arrives, whole and under the same identity."""
    found = {name: ended(tmp_path / str(number), end) for number, (name, end) in enumerate(WAYS.items())}
    print({name: f"started with {took_s:.2f} s of CPU" for name, (_, took_s) in found.items()})  # noqa: T201 - the figure
    stories = [story for story, _ in found.values()]
    assert all(story == stories[0] for story in stories)
    # Recovering is no work to speak of: the longest is within seconds of the shortest.
    assert max(took_s for _, took_s in found.values()) < 15


def test_three_kills_suspect_all_in_hand_and_all_arrive(tmp_path: Path) -> None:
    """With the real daemon: named after the third, sent one by one, cleared by that; nothing is sent twice."""
    with StandIn(tmp_path / "service") as standin, Rig(tmp_path, standin.port) as rig:
        rig.upload |= {"stream_above": "0B", "chunk_size": "32KiB", "bandwidth": "32KiB/s"}
        for number in range(4):
            rig.drop(f"call{number}", pcm(seconds=10, seed=number))
        for _ in range(3):
            rig.start()
            wait_for(lambda: set(rig.states().values()) == {State.UPLOADING} and len(rig.states()) == 4, 20)
            rig.stop(signal.SIGKILL)
        # With so long a rest nothing is begun before it was looked at.
        rig.upload |= {"retry_initial": "1h", "retry_max": "1h"}
        rig.start()
        assert {job.deaths for job in rig.jobs().values()} == {3}
        assert "sent last and alone" in " ".join(rig.call("status")[1].split())
        rig.stop()
        rig.upload |= {"retry_initial": "100ms", "retry_max": "500ms", "bandwidth": ""}
        rig.start()
        for job in rig.jobs().values():
            rig.call("retry", str(job.id))
        wait_for(lambda: set(rig.states().values()) == {State.DONE}, 20)
        assert {job.deaths for job in rig.jobs().values()} == {0}
        assert len(standin.talks()) == 4
        assert rig.stop() == 0
