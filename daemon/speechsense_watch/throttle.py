"""The bandwidth limit: all uploads of a process together stay under a rate, without bursts that calls would notice."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping

from speechsense_watch.core.patience import Pace
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.verdict import Halt
from speechsense_watch.ports import Clock, Halted

# What goes at once is never more than the limit carries in this time.
BURST_S = 0.25
_LEAST_PIECE_BYTES = 1024
_SLEEP_AT_MOST_S = 0.5
# Of a call beside its fields and its audio: headers, the audio's description, framing.
_CALL_BYTES = 400
_FIELD_BYTES = 8


class Throttle:
    """Each taker waits until the bytes before its own would have gone. For use by many threads at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0
        self.bytes_per_s: int | None = None
        # What any line takes in time, and what one gets at the most that has shown to be quick.
        self.piece_bytes = self.most_bytes = 2**20
        self.stopped = False

    def configure(self, rules: UploadRules) -> None:
        """From the next piece on, for the uploads that are under way as well."""
        self.bytes_per_s = rules.bandwidth_bytes_per_s
        self.most_bytes = rules.chunk_size_bytes
        self.piece_bytes = min(self.most_bytes, rules.patience.piece_bytes())

    def lets_whole(self, size: int) -> bool:
        """Whether a body of that size may leave in one go."""
        rate = self.bytes_per_s
        return not rate or size <= rate * BURST_S

    def take(self, count: int) -> None:
        """Returns when `count` bytes may go. Raises Halted when we are stopping."""
        rate = self.bytes_per_s  # once: a reload may lift the limit at any moment
        if not rate:
            return
        with self._lock:
            now = self._clock.monotonic()
            start = max(now, self._free_at)
            self._free_at = start + count / rate
        while (left_s := start - self._clock.monotonic()) > 0:
            if self.stopped:
                raise Halted(Halt.SHUTDOWN)
            self._clock.sleep(min(left_s, _SLEEP_AT_MOST_S))

    def take_call(self, fields: Mapping[str, str]) -> None:
        """The same for what a call carries beside its audio: of many short recordings it is a good part."""
        self.take(_CALL_BYTES + sum(len(key.encode()) + len(value.encode()) + _FIELD_BYTES for key, value in fields.items()))

    def paced(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same bytes in pieces that are small enough, each when its turn has come. Raises Halted when we are stopping."""
        pace = Pace()
        for piece in pieces:
            at = 0
            while at < len(piece):
                part = piece[at : at + self._most(pace)]
                self.take(len(part))
                given_at = self._clock.monotonic()
                yield part
                pace.took(len(part), self._clock.monotonic() - given_at)
                at += len(part)

    def _most(self, pace: Pace) -> int:
        rate = self.bytes_per_s
        if rate:
            # Small ones at any limit: the next turn is another call's.
            return min(self.piece_bytes, max(_LEAST_PIECE_BYTES, int(rate * BURST_S)))
        return max(self.piece_bytes, min(self.most_bytes, pace.at_once_bytes))
