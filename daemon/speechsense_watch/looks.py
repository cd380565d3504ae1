"""When the main thread looks about: at once when there are news, soon after somebody wrote to the queue, else seldom."""

from __future__ import annotations

from speechsense_watch.ports import Clock, Touches, Waiting

# Nobody is woken more often than that, however much is written to the queue, mostly by ourselves,
AT_MOST_EVERY_S = 2.0
# nor sleeps for longer. Where nobody tells of writes, a look comes every two seconds.
AT_LEAST_EVERY_S = 30.0


class Looks:
    """One per process, on its main thread. `fed_every_s`: how often systemd's watchdog wants to be fed; None when there is none.
    `touched` is None where nobody tells of writes.
    """

    def __init__(self, clock: Clock, fed_every_s: float | None, news: Waiting, touched: Touches | None) -> None:
        self._clock = clock
        self._news = news
        self._touched = touched
        longest_s = fed_every_s or AT_LEAST_EVERY_S
        self._rests_for_s = min(longest_s, AT_MOST_EVERY_S)
        self._every_s = min(longest_s, AT_LEAST_EVERY_S) if touched else self._rests_for_s
        # Something was written to the queue just before the last look.
        self._stirred = False

    def rest(self) -> None:
        """Until there are news, or somebody has written to the queue, but that at intervals. What is written is there to be read
        only when it is on disk, a moment later (sqlite.org/walformat.html): so another look follows soon.
        """
        began = self._clock.monotonic()
        if not self._news.wait(self.next_in_s, self._touched):
            self._stirred = self._touched is not None and self._touched.heard()
            self._news.wait(max(0.0, began + self._rests_for_s - self._clock.monotonic()))

    @property
    def next_in_s(self) -> float:
        """At the latest."""
        return self._rests_for_s if self._stirred else self._every_s
