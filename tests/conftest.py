"""What holds for every test: no thread outlives it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from support.waiting import wait_for


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> Iterator[None]:
    """Threads of grpc's own pollers are daemons and end with their channel; every other must be gone by now."""
    before = set(threading.enumerate())
    yield
    wait_for(lambda: not [t for t in set(threading.enumerate()) - before if not t.daemon], 10, "every thread has ended")
