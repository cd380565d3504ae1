"""How long a call may take: by what has moved, never by the clock alone.

A recording may be 461 MB and the line 64 kbit/s, so no fixed time fits a call. Before the commit point the other end has to
take a piece now and then, and all of it at the least rate that is to be lived with. After it nothing is left to be seen of
the way of the last bytes, and to give up then makes an outcome unknown: the wait is long enough for the slowest line.
"""

from __future__ import annotations

from dataclasses import dataclass

# Uploads that share the line: each gets so much less of the least rate. Four by default, and as many again: a message on a slow
# line looks like one whose answer is waited for, and gives up its place.
SHARERS = 8
# What was taken from us and may still be on its way: grpc was seen to run 7.0 MB ahead of a slow service.
ON_ITS_WAY_BYTES = 8 * 2**20
# A piece is so small that at the least rate one is taken so often within the time after which a call counts as stalled.
_PIECES_PER_STALL = 2
# On a quick line a piece is what is taken in this time. The line has to become 480 times slower then for that to be a stall.
AT_ONCE_S = 0.25
# What is taken so slowly tells of another line than before.
_SLOW_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """`stall_after_s`: without a piece being taken; `stream_at_least_s`: what even the smallest stream is given altogether;
    `reply_within_s`: for the answer, when all is there; `sharers`: how many uploads the line of the least rate is shared by.
    """

    stall_after_s: float = 120.0
    stream_at_least_s: float = 1800.0
    reply_within_s: float = 600.0
    least_bytes_per_s: int = 8 * 1024
    sharers: int = SHARERS

    def stream_within_s(self, size_bytes: int) -> float:
        """For all the waiting of a stream up to its commit point. A service that takes a piece every two minutes never stalls;
        this keeps it from holding a place for ever.
        """
        return max(self.stream_at_least_s, self._at_the_least_rate_s(size_bytes))

    def answer_within_s(self, handed_over_bytes: int) -> float:
        """From the commit point to the answer, with so much that may only now be on its way."""
        return self.reply_within_s + self._at_the_least_rate_s(handed_over_bytes)

    def piece_bytes(self) -> int:
        """The largest piece that any line may be given: one of the least rate, shared, takes it well before the call counts as
        stalled.
        """
        return max(1024, int(self.stall_after_s * self.least_bytes_per_s / self.sharers / _PIECES_PER_STALL))

    def _at_the_least_rate_s(self, count: int) -> float:
        return self.sharers * count / self.least_bytes_per_s


@dataclass(slots=True)
class Pace:
    """How quickly the pieces of one call are taken. A piece costs much the same whatever its size, so that a quick line deserves
    larger ones: of 461 MB in pieces of 60 KB the sending took 2.5 times as long as in those of 1 MiB, and twice the processor.

    `at_once_bytes` may go in one piece, 0 as long as nothing is known. It grows by twice at the most, and only after more was
    taken at such a rate than is taken of anybody before the line is felt.
    """

    at_once_bytes: int = 0
    _taken_bytes: int = 0
    _taken_s: float = 0.0
    _largest_bytes: int = 0

    def took(self, count: int, seconds: float) -> None:
        """A piece of so many bytes was taken within that time."""
        if seconds > _SLOW_S:
            self.at_once_bytes = 0
            self._begin_anew()
            return
        self._taken_bytes += count
        self._taken_s += seconds
        self._largest_bytes = max(self._largest_bytes, count)
        if self._taken_bytes >= ON_ITS_WAY_BYTES:
            larger = 2 * self._largest_bytes
            # Not divided by the seconds: there may be none.
            fits = self._taken_bytes * AT_ONCE_S >= larger * self._taken_s
            self.at_once_bytes = larger if fits else int(self._taken_bytes * AT_ONCE_S / self._taken_s)
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._taken_bytes, self._taken_s, self._largest_bytes = 0, 0.0, 0


@dataclass(slots=True)
class Wait:
    """One call's waiting for the other end. Times are seconds of a monotonic clock; our own work, reading a file or keeping to
    the bandwidth, does not count.
    """

    size_bytes: int = 0
    committed: bool = False
    since: float | None = None
    before_s: float = 0.0
    # What may still be on its way since the commit point.
    on_its_way_bytes: int = 0

    def begins(self, now: float) -> None:
        self.since = now

    def ends(self, now: float) -> None:
        if self.since is not None:
            self.before_s += now - self.since
            self.since = None

    def commits(self, now: float, on_its_way_bytes: int) -> None:
        self.committed = True
        self.on_its_way_bytes = on_its_way_bytes
        self.since = now

    def too_long(self, now: float, patience: Patience) -> bool:
        since = self.since
        if since is None:
            return False
        if self.committed:
            return now - since > patience.answer_within_s(self.on_its_way_bytes)
        waited_s = now - since
        return waited_s > patience.stall_after_s or self.before_s + waited_s > patience.stream_within_s(self.size_bytes)
