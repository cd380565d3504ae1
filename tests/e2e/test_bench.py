"""A small cut of `make bench`."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from measure.bench import bare, ours, script, untouched
from measure.bench.recordings import LARGE, TINY, Recordings, make
from measure.bench.service import Service, Setting
from support.waiting import wait_for


def test_all_that_are_compared_send_the_same_to_the_same_service(tmp_path: Path) -> None:
    recordings = make(tmp_path / "recordings", TINY, 3)
    with Service(tmp_path, Setting(verify=True)) as service:
        arrived = []
        assert bare.run(service, recordings, 2).count == 3
        arrived.append(service.seen().sha256s)
        assert bare.run(service, Recordings(recordings.directory, LARGE, 3), 2).count == 3  # in pieces
        arrived.append(service.seen().sha256s)
        assert script.one_by_one(service, recordings) > 0
        arrived.append(service.seen().sha256s)
        with ours.started(tmp_path, service, folder=recordings.directory) as daemon:
            run = daemon.wait_for_done(3, 60)
        seen = service.seen()
        arrived.append(seen.sha256s)
    assert len(set(recordings.sha256s())) == 3
    assert arrived == [recordings.sha256s()] * 4
    assert sorted(seen.first_at) == ["bench-000000", "bench-000001", "bench-000002"]
    assert len(run.talk_ids) == 3
    assert 0 < run.first_claim <= run.seconds


# Holds 48 MB of its own, says so, and waits for its end.
HOLDER = "import sys; held = bytes([1]) * (48 * 2**20); print(len(held), flush=True); sys.stdin.read()"


def test_the_memory_of_a_child_is_kept_at_hand_for_as_long_as_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is read again and again, and that it has ended meanwhile is no matter."""
    threads, read, reads = threading.active_count(), untouched.read_once, list[int]()
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"50331648\n"

        def counted(pid: int) -> int:
            reads.append(0)
            reads[-1] = read(pid)
            return reads[-1]

        monkeypatch.setattr(untouched, "read_once", counted)
        with untouched.kept_at_hand(child.pid):
            wait_for(lambda: len(reads) >= 3, 10, "it is read again")
            assert min(reads[:2]) > 48 * 2**20
            child.kill()
            child.wait()
            ended_at = len(reads)
            wait_for(lambda: len(reads) >= ended_at + 2, 10, "it is tried further")
    assert threading.active_count() == threads


def test_what_a_page_costs_is_told_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A microsecond each, by the clock, and one more for those that lay untouched."""
    times = iter([0.0, 0.0, 1.0, 1.002048, 2.0, 2.001024])
    monkeypatch.setattr(time, "thread_time", lambda: next(times))
    first_us, again_us = untouched.touched_after(0.0)
    assert (round(first_us, 6), round(again_us, 6)) == (2.0, 1.0)
