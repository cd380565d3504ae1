"""core.patience: how long a call may take, by what has moved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.patience import ON_ITS_WAY_BYTES, SHARERS, Pace, Patience, Wait
from speechsense_watch.core.rules import UploadRules

MIB = 2**20
PATIENCE = Patience()


def test_a_piece_that_is_not_taken_for_two_minutes_is_a_stall() -> None:
    """Before the commit point."""
    wait = Wait(MIB)
    assert not wait.too_long(1e9, PATIENCE)  # nothing was offered
    wait.begins(1000.0)
    assert not wait.too_long(1120.0, PATIENCE)
    assert wait.too_long(1120.1, PATIENCE)


def test_each_piece_that_is_taken_begins_the_wait_anew() -> None:
    """Our own work between two pieces does not count."""
    wait = Wait(1000 * MIB)
    for at in range(0, 10_000, 100):
        wait.begins(at)
        assert not wait.too_long(at + 99, PATIENCE)
        wait.ends(at + 1)
        assert not wait.too_long(at + 99, PATIENCE)
    assert wait.before_s == 100


@pytest.mark.parametrize(
    ("size", "least", "within_s"),
    [
        (0, 8192, 1800),
        (MIB, 8192, 1800),  # 8 x 128 s would be less
        (461_000_000, 8192, 8 * 461_000_000 / 8192),
        (461_000_000, 2**21, 1800),
    ],
)
def test_a_trickle_is_ended_by_size_and_least_rate(size: int, least: int, within_s: float) -> None:
    """Half an hour, or eight times what the least rate needs, if that is more: of waiting, however often something was taken."""
    patience = Patience(least_bytes_per_s=least)
    wait = Wait(size)
    waited_s = 0.0
    while True:
        wait.begins(0.0)
        if wait.too_long(100.0, patience):
            break
        wait.ends(100.0)
        waited_s += 100.0
    assert waited_s == pytest.approx(within_s, abs=100)


def test_a_trickle_is_not_what_our_own_bandwidth_limit_makes() -> None:
    """A stream that waits for its turn waits for nobody else: after a day of that nothing is over."""
    wait = Wait(MIB)
    for minute in range(1440):
        wait.begins(minute * 60.0)
        wait.ends(minute * 60.0 + 0.1)
    wait.begins(86_400.0)
    assert not wait.too_long(86_400.0, PATIENCE)


@pytest.mark.parametrize("line_bytes_per_s", [8_000, 8192, 16_384, 125_000])
@pytest.mark.parametrize("others", range(SHARERS))
def test_a_slow_line_never_makes_an_unknown_outcome_of_one_message(line_bytes_per_s: float, others: int) -> None:
    """3 MiB leave as one message that is committed at once: at 64 kbit/s they take 6.5 minutes, and 52 with seven
    others: three in the other places, and four that began when these were let off (tests/loops/test_awaiting.py).
    """
    wait = Wait(3 * MIB)
    wait.commits(0.0, 3 * MIB)
    on_the_line_s = (1 + others) * 3 * MIB / line_bytes_per_s
    assert not wait.too_long(on_the_line_s + 500.0, PATIENCE)
    assert wait.too_long(on_the_line_s + 600.0 + SHARERS * 3 * MIB / 8192, PATIENCE)


def test_nor_of_the_end_of_a_stream() -> None:
    """What was taken and may still be in buffers when the last piece goes: 7.0 MB were seen."""
    assert ON_ITS_WAY_BYTES > 7_000_000
    wait = Wait(461_000_000)
    wait.commits(0.0, ON_ITS_WAY_BYTES)
    assert not wait.too_long(SHARERS * 7_000_000 / 8192 + 600.0, PATIENCE)
    assert wait.too_long(SHARERS * ON_ITS_WAY_BYTES / 8192 + 601.0, PATIENCE)


def test_after_the_commit_point_only_the_answer_is_waited_for() -> None:
    """However long the stream took before."""
    wait = Wait(MIB, before_s=1799.0)
    wait.commits(0.0, 0)
    assert not wait.too_long(600.0, PATIENCE)
    assert wait.too_long(600.1, PATIENCE)


@pytest.mark.parametrize("least", [8192, 65_536, 2**20])
@pytest.mark.parametrize("concurrency", [1, 4, 16, 64])
def test_a_piece_passes_the_slowest_line_in_time(least: int, concurrency: int) -> None:
    """Shared by all that may be under way, in half of the time after which it would count as stalled; so the least rate can be
    lived with.
    """
    patience = UploadRules(least_rate_bytes_per_s=least, concurrency=concurrency).patience
    assert 2 * concurrency * patience.piece_bytes() / least <= patience.stall_after_s / 2


@pytest.mark.parametrize("concurrency", [5, 16, 64])
def test_more_uploads_at_a_time_are_waited_for_longer(concurrency: int) -> None:
    """The least rate is that of the line: 16 messages of 3 MiB take 13 minutes at 64 KiB/s, and no outcome gets unknown by it."""
    rules = UploadRules(concurrency=concurrency)
    assert rules.patience.answer_within_s(3 * MIB) > 2 * concurrency * 3 * MIB / rules.least_rate_bytes_per_s


def test_the_configured_least_rate_is_gone_by() -> None:
    """A slower one has everything waited for longer."""
    rules = UploadRules(least_rate_bytes_per_s=1024)
    assert rules.patience.answer_within_s(MIB) == 600 + 8 * 1024
    assert UploadRules().patience == PATIENCE


class Line:
    """A line that swallows so much at once and takes the rest at its rate; a call's pieces are cut as they are in use."""

    def __init__(self, bytes_per_s: float, swallows: int = 7_000_000) -> None:
        self.bytes_per_s = bytes_per_s
        self.swallows = swallows
        self.pace = Pace()

    def takes(self, count: int) -> list[tuple[int, float]]:
        """Pieces and how long each took, for so many bytes."""
        taken: list[tuple[int, float]] = []
        while count > 0:
            piece = max(PATIENCE.piece_bytes(), min(MIB, self.pace.at_once_bytes))
            swallowed = min(piece, self.swallows)
            self.swallows -= swallowed
            taken.append((piece, (piece - swallowed) / self.bytes_per_s))
            self.pace.took(*taken[-1])
            count -= piece
        return taken


def test_a_quick_line_gets_large_pieces() -> None:
    """At 10 MB/s 1 MiB is a tenth of a second; a tenth of a large recording has left by then."""
    taken = Line(10_000_000).takes(461_000_000)
    small = sum(piece for piece, _ in taken if piece < MIB)
    assert taken[-1][0] == MIB
    assert small < 46_100_000


def test_a_piece_is_a_quarter_of_a_second_of_the_line() -> None:
    """What a line swallowed at once says nothing of it."""
    taken = Line(1_000_000).takes(100_000_000)
    piece, seconds = taken[-1]
    assert piece == pytest.approx(250_000, rel=0.01)
    assert seconds == pytest.approx(0.25, rel=0.01)
    assert max(seconds for _, seconds in taken) <= 1.0


@given(bytes_per_s=st.floats(1024, 20_000_000))
def test_no_line_is_given_a_piece_that_would_count_as_a_stall(bytes_per_s: float) -> None:
    """Be it eight times slower than the least rate, since eight share it."""
    assert max(seconds for _, seconds in Line(bytes_per_s).takes(30_000_000)) <= PATIENCE.stall_after_s / 2


def test_a_line_that_gets_slow_gets_small_pieces_at_once() -> None:
    """What was quick before must show it anew."""
    line = Line(10_000_000)
    line.takes(100_000_000)
    line.bytes_per_s = 100_000
    sizes = [piece for piece, _ in line.takes(2_000_000)]
    assert sizes[:2] == [MIB, PATIENCE.piece_bytes()]
    assert set(sizes[1:]) == {PATIENCE.piece_bytes()}


def test_a_line_that_takes_no_time_at_all_is_quick() -> None:
    """A clock may not have moved."""
    pace = Pace()
    pace.took(ON_ITS_WAY_BYTES, 0.0)
    assert pace.at_once_bytes == 2 * ON_ITS_WAY_BYTES
