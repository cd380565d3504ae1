"""Waiting for facts: the only way in which a test lets time pass."""

from __future__ import annotations

import threading
from collections.abc import Callable

# A machine that is busy with other things gets so many times as long: patience costs nothing while all is well.
BUSY = 5.0


def wait_for(predicate: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """The predicate held at least once. Raises AssertionError, naming `what`, when it did not in time, which is that of a quiet
    machine.
    """
    changed = threading.Condition()
    with changed:
        # Nobody notifies: what is waited for happens in threads and processes that know nothing of tests.
        waited_s, most_s = 0.0, timeout_s * BUSY
        while not predicate():
            if waited_s >= most_s:
                raise AssertionError(f"in {most_s:g} s it did not come true: {what or predicate}")
            changed.wait(0.01)
            waited_s += 0.01
