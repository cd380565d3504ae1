"""What holds for every test: no thread outlives it. And what many ask for: a stand-in for SpeechSense, a daemon before it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from speechsense_watch.standin import StandIn
from support.measurements import drop_torn
from support.rig import Rig
from support.waiting import wait_for

# Ignored for whatever a script starts in the background, or with nohup(1). The programs under test would inherit that, and
# the tests press Ctrl-C and close terminals.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


# How long an example takes says more of the machine than of the code: by itself Hypothesis allows 200 ms.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Many tests kill their children. `trylast`: before pytest-cov puts together what was measured."""
    ran = yield
    if not hasattr(session.config, "workerinput"):
        drop_torn(session.config.rootpath)
    return ran


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Without a trace function where the marker says so. pytest-cov's own `no_cover` stops one of the two measurements that it
    has in a worker of xdist.
    """
    if item.get_closest_marker("unmeasured") is None:
        return (yield)
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> Iterator[None]:
    """Threads of grpc's own pollers are daemons and end with their channel; every other must be gone by now."""
    before = set(threading.enumerate())
    yield
    wait_for(lambda: not [t for t in set(threading.enumerate()) - before if not t.daemon], 10, "every thread has ended")


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "service") as standin:
        yield standin


@pytest.fixture
def rig(tmp_path: Path, standin: StandIn) -> Iterator[Rig]:
    with Rig(tmp_path, standin.port) as rig:
        yield rig
