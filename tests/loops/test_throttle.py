"""The bandwidth limit: held within 10 % over any minute, without bursts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.verdict import Halt
from speechsense_watch.ports import Halted
from speechsense_watch.throttle import BURST_S, Throttle
from support.bench import bench_on
from support.manual_clock import ManualClock

KIB = 1024


def throttle_at(clock: ManualClock, rate: int | None, chunk: int = 2**20) -> Throttle:
    throttle = Throttle(clock)
    throttle.configure(UploadRules(bandwidth_bytes_per_s=rate, chunk_size_bytes=chunk))
    return throttle


def minutes(sent: list[tuple[float, int]], begin: float, end: float, step_s: float = 0.5) -> Iterator[int]:
    """What left in every minute between the two, sliding."""
    at = begin
    while at + 60 <= end:
        yield sum(count for when, count in sent if at <= when < at + 60)
        at += step_s


@pytest.mark.unmeasured
@pytest.mark.parametrize("rate", [16 * KIB, 64 * KIB, 256 * KIB, 2**20])
@pytest.mark.parametrize("workers", [1, 4])
def test_the_limit_holds_over_every_minute(rate: int, workers: int) -> None:
    """Recordings of chance sizes, many at once, ten simulated minutes: never more than 10 % off, up or down, and never more in
    a quarter of a second than that carries and one piece of it.
    """
    chance = random.Random(rate + workers)
    clock = ManualClock()
    throttle = throttle_at(clock, rate)
    sent: list[tuple[float, int]] = []
    begin = clock.monotonic()

    def pieces_of(size: int) -> Iterator[int]:
        if throttle.lets_whole(size):
            throttle.take(size)
            yield size
        else:
            yield from (len(piece) for piece in throttle.paced([bytes(size)]))

    def one() -> Iterator[None]:
        while True:
            for count in pieces_of(int(chance.choice([2e3, 2e4, 5e5, 3e6]) * chance.uniform(0.5, 1.5))):
                sent.append((clock.monotonic(), count))
                yield

    lines = [one() for _ in range(workers)]
    while clock.monotonic() - begin < 600:
        next(chance.choice(lines))
    in_minutes = list(minutes(sent, begin, begin + 600))
    assert max(in_minutes) <= 60 * rate * 1.1
    assert min(in_minutes) >= 60 * rate * 0.9
    for start in range(0, 2400, 1):
        at = begin + start * BURST_S
        burst = sum(count for when, count in sent if at <= when < at + BURST_S)
        assert burst <= 2.01 * max(rate * BURST_S, 1024)


def test_a_pause_does_not_save_up_for_a_burst() -> None:
    """What was not used is gone."""
    clock = ManualClock()
    throttle = throttle_at(clock, 64 * KIB)
    throttle.take(1)
    clock.advance(3600)
    began = clock.monotonic()
    sum(len(piece) for piece in throttle.paced([bytes(640 * KIB)]))
    assert clock.monotonic() - began == pytest.approx(10, abs=BURST_S)


def test_a_new_limit_holds_from_the_next_piece_on() -> None:
    """For a stream that is under way as well: taken up, changed and taken back."""
    clock = ManualClock()
    throttle = throttle_at(clock, None)
    pieces = throttle.paced([bytes(2**20)] * 3)
    assert (len(next(pieces)), clock.slept) == (throttle.piece_bytes, [])
    throttle.configure(UploadRules(bandwidth_bytes_per_s=64 * KIB))
    began = clock.monotonic()
    assert [len(next(pieces)) for _ in range(41)] == [16 * KIB] * 41
    assert clock.monotonic() - began == pytest.approx(10)
    throttle.configure(UploadRules(bandwidth_bytes_per_s=None))
    assert len(next(pieces)) == throttle.piece_bytes


def test_pieces_grow_where_they_are_taken_quickly() -> None:
    """Up to the configured size; a limit keeps them small, since the next turn is another call's."""
    clock = ManualClock()
    throttle = throttle_at(clock, None, chunk=512 * KIB)
    pieces = throttle.paced([bytes(2**20)] * 100)
    sizes = [len(next(pieces)) for _ in range(300)]
    assert (sizes[0], max(sizes), sizes[-1]) == (throttle.piece_bytes, 512 * KIB, 512 * KIB)
    throttle.configure(UploadRules(bandwidth_bytes_per_s=100 * 2**20, chunk_size_bytes=512 * KIB))
    assert len(next(pieces)) == throttle.piece_bytes


def test_time_that_the_line_takes_makes_them_no_larger() -> None:
    """Two seconds for a piece: that is a slow one."""
    clock = ManualClock()
    throttle = throttle_at(clock, None)
    sizes = list[int]()
    for piece in throttle.paced([bytes(2**20)] * 30):
        sizes.append(len(piece))
        clock.advance(2.0)
    assert max(sizes) == throttle.piece_bytes


@pytest.mark.parametrize(("rate", "size", "whole"), [(None, 10**9, True), (2**20, 2**18, True), (2**20, 2**18 + 1, False)])
def test_only_what_is_gone_in_a_quarter_of_a_second_leaves_in_one_message(rate: int | None, size: int, *, whole: bool) -> None:
    """3 MiB at once at 64 KiB/s would block the line for 48 s."""
    assert throttle_at(ManualClock(), rate).lets_whole(size) == whole


def test_no_piece_is_lost_or_changed() -> None:
    """Whatever the sizes."""
    data = bytes(range(256)) * 1000
    cut = [data[at : at + 7777] for at in range(0, len(data), 7777)]
    for rate in (None, 4 * KIB, 64 * KIB):
        assert b"".join(throttle_at(ManualClock(), rate).paced(cut)) == data
    assert all(throttle_at(ManualClock(), 4 * KIB).paced(cut))


def test_a_limit_that_is_lifted_while_a_piece_is_counted_hurts_nobody() -> None:
    """A reload comes from another thread, between any two looks at the limit."""

    class Lifted(Throttle):
        looks = 0

        @property
        def bytes_per_s(self) -> int | None:
            self.looks += 1
            return KIB if self.looks == 1 else None

        @bytes_per_s.setter
        def bytes_per_s(self, value: int | None) -> None:
            self.looks = 0

    throttle = Lifted(ManualClock())
    for use in (lambda: throttle.take(10), lambda: throttle.lets_whole(10), lambda: list(throttle.paced([bytes(10)]))):
        throttle.configure(UploadRules())
        use()


def test_a_stop_ends_every_wait() -> None:
    """As a shutdown, not as a failure."""
    throttle = throttle_at(ManualClock(), KIB)
    throttle.take(10 * KIB)
    throttle.stopped = True
    with pytest.raises(Halted) as halted:
        throttle.take(1)
    assert halted.value.halt is Halt.SHUTDOWN


def test_all_uploads_share_the_limit(tmp_path: Path) -> None:
    """Streams and single messages, with what they carry beside the audio; small ones are streamed if the limit is smaller."""
    rules = UploadRules(concurrency=1, bandwidth_bytes_per_s=KIB)
    with bench_on(tmp_path, rules) as bench:
        bench.attempts._throttle.configure(rules)
        sizes = [len(bench.drop(f"call{number}", seed=number)) for number in range(4)]
        bench.settle()
        begun = bench.clock.monotonic()
        for _ in range(4):
            bench.send()
        assert [how for how, _ in bench.service.calls] == ["stream"] * 4
        took_s = bench.clock.monotonic() - begun
        assert sum(sizes) / KIB <= took_s <= sum(sizes) / KIB * 1.1
