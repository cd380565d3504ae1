"""Waiting for facts: the only way in which a test lets time pass."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

# A machine that is busy with other things gets so many times as long: patience costs nothing while all is well.
BUSY = 5.0


def came_true(predicate: Callable[[], object], within_s: float) -> bool:
    """Whether the predicate held at least once, where it need not."""
    changed = threading.Condition()
    with changed:
        # Nobody notifies: what is waited for happens in threads and processes that know nothing of tests.
        waited_s, looked_at = 0.0, monotonic()
        while not predicate():
            if waited_s >= within_s:
                return False
            changed.wait(0.01)
            # A look may take long by itself; what is longer than a second is a machine that stood still.
            waited_s, looked_at = waited_s + min(1.0, monotonic() - looked_at), monotonic()
    return True


def wait_for(predicate: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """The predicate held at least once. Raises AssertionError, naming `what`, when it did not in time, which is that of a quiet
    machine.
    """
    if not came_true(predicate, timeout_s * BUSY):
        raise AssertionError(f"in {timeout_s * BUSY:g} s it did not come true: {what or predicate}")
