"""The bandwidth is shared piece by piece: a small recording waits for one piece of each big one, not for the big ones."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from speechsense_watch.throttle import Throttle

GIANTS, PIECE, RATE = 3, 2**20, 131_072  # 1 Mbit/s


class SharedClock:
    """Keeps `ports.Clock` for several threads: time passes when all of them sleep, to where the first one wakes."""

    def __init__(self, sleepers: int) -> None:
        self._changed = threading.Condition()
        self._sleepers = sleepers
        self._wakes: list[float] = []
        self._now = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._now, UTC)

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._changed:
            until = self._now + seconds
            self._wakes.append(until)
            self._pass()
            assert self._changed.wait_for(lambda: self._now >= until, 60)

    def gone(self) -> None:
        with self._changed:
            self._sleepers -= 1
            self._pass()

    def _pass(self) -> None:
        if self._wakes and len(self._wakes) == self._sleepers:
            self._now = min(self._wakes)
            self._wakes = [wake for wake in self._wakes if wake > self._now]
            self._changed.notify_all()


def test_a_small_recording_waits_for_one_piece_of_each_giant() -> None:
    """At 1 Mbit/s with three four-hour calls on their way: it waits for half a minute, not for hours."""
    clock = SharedClock(GIANTS + 1)
    throttle = Throttle(clock)
    throttle.bytes_per_s = RATE
    waited: list[float] = []

    def giant() -> None:
        for _ in range(40):
            throttle.take(PIECE)
        clock.gone()

    def small() -> None:
        clock.sleep(60.0)
        for _ in range(5):
            begun = clock.monotonic()
            throttle.take(32_000)
            waited.append(clock.monotonic() - begun)
        clock.gone()

    threads = [threading.Thread(target=giant) for _ in range(GIANTS)] + [threading.Thread(target=small)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(waited) == 5
    # A piece of each that waits as well, and what is left of the one on its way.
    assert max(waited) <= (GIANTS + 1) * PIECE / RATE
