"""The wall clock is set by a year, forward or back: timestamps change, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from speechsense_watch.ages import Ages, Jumps
from speechsense_watch.beginning import Beginning
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import OnUnknown, Unfinished, UploadRules
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.ports import Hint
from support.bench import Bench, bench_on
from support.manual_clock import ManualClock
from support.wavs import asterisk_open, pcm

YEAR = timedelta(days=365)
BY = pytest.mark.parametrize("by", [YEAR, -YEAR, timedelta(minutes=-40), 4 * YEAR], ids=str)
LOST_ANSWER = Outcome(code=Code.UNAVAILABLE, message="reset", committed=True)


def jump(bench: Bench, by: timedelta) -> None:
    bench.clock.set_wall(by)
    bench.uploader.clock_was_set()


@BY
def test_what_is_ready_goes_at_once(tmp_path: Path, by: timedelta) -> None:
    """It was due by the old clock and is by the new one."""
    with bench_on(tmp_path) as bench:
        bench.drop()
        bench.settle()
        jump(bench, by)
        bench.send()
        assert bench.job().state is State.DONE
        bench.file(1)
        assert bench.job().state is State.DONE


@BY
def test_a_backoff_is_not_longer_for_it(tmp_path: Path, by: timedelta) -> None:
    """Nor is the recording given up."""
    rules = UploadRules(stream_above_bytes=0, chunk_size_bytes=1000, give_up_after_s=86400.0)
    with bench_on(tmp_path, rules) as bench:
        bench.drop()
        bench.settle()
        bench.service.script = [Outcome(code=Code.INTERNAL)]
        bench.send()
        assert bench.job().attempts == 1
        jump(bench, by)
        bench.send(rules.retry_max_s)
        assert bench.job().state is State.DONE


@BY
def test_what_is_on_its_way_ends_as_it_would_have(tmp_path: Path, by: timedelta) -> None:
    """The clock is set between the first byte and the answer."""
    with bench_on(tmp_path) as bench:
        bench.drop()
        bench.settle()
        bench.service.meanwhile = lambda _talk: jump(bench, by)
        bench.send()
        bench.file(1)
        bench.send(61)
        bench.file(1)
        assert bench.job().state is State.DONE
        assert len(bench.service.calls) == 1


@BY
@pytest.mark.parametrize("policy", [OnUnknown.RESEND, OnUnknown.HOLD])
def test_what_is_unconfirmed_goes_by_its_rule(tmp_path: Path, by: timedelta, policy: OnUnknown) -> None:
    """Sent again soon and marked, or held."""
    with bench_on(tmp_path, on_unknown=policy) as bench:
        bench.drop()
        bench.settle()
        bench.service.script = [LOST_ANSWER]
        bench.send()
        jump(bench, by)
        for _ in range(20):
            bench.send(61)
        held = policy is OnUnknown.HOLD
        assert bench.job().state is (State.UNCONFIRMED if held else State.DONE)
        assert len(bench.service.calls) == (1 if held else 2)


@BY
def test_a_recording_that_comes_afterwards_is_taken(tmp_path: Path, by: timedelta) -> None:
    """Its files bear the new time, which may be before the folder was first watched."""
    with bench_on(tmp_path, start_from="now") as bench:
        first = bench.clock.now()
        bench.places.start_from = first
        bench.places.beginning = Beginning(first, by_clock=True, clock=bench.clock)
        bench.drop("old")
        bench.write("old.wav", pcm(), age_s=3600)
        bench.clock.advance(3600)
        bench.look()
        jump(bench, by)
        bench.look(60)
        bench.drop("new", seed=1)
        bench.look(60)
        bench.settle()
        bench.send()
        assert [job.place.path for job in bench.jobs()] == ["new.wav"]
        assert bench.job("new.wav").state is State.DONE


@BY
def test_a_call_that_goes_on_is_not_taken_for_abandoned(tmp_path: Path, by: timedelta) -> None:
    """Its header is not finished, and the recorder has paused for a minute."""
    with bench_on(tmp_path, unfinished=Unfinished.REPAIR) as bench:
        bench.drop()
        bench.write("call.wav", asterisk_open())
        bench.settle()
        assert bench.job().reason is Reason.HEADER_UNFINISHED
        jump(bench, by)
        bench.look(60)
        bench.intake.hint(Hint("in", "call.wav"))
        bench.look(11)
        bench.send()
        assert bench.job().state is State.WAITING
        assert bench.service.calls == []


@BY
def test_nothing_is_trimmed_or_forgotten(tmp_path: Path, by: timedelta) -> None:
    """Neither at once nor in the days in which the clock is wrong; what was sent stays known, and its history too."""
    with bench_on(tmp_path) as bench:
        bench.filer.present = ["in"]
        bench.drop()
        bench.settle()
        bench.send()
        for _ in range(100):
            bench.file(86400)  # the history is lived through, once
        bench.drop("late", seed=1)
        bench.look(60)
        bench.settle()
        bench.send()
        bench.file(1)
        for path in bench.folder_path.iterdir():
            path.unlink()
        bench.look(60)
        jump(bench, by)
        for _ in range(30):
            bench.file(86400)
        late = bench.job("late.wav")
        assert late.fields != {}
        assert "accepted" in bench.events(late.id)
        assert bench.job("call.wav").talk_id == "talk-1"
        assert "talk-1" in (tmp_path / "queue.db.journal").read_text()


@BY
def test_a_trial_sends_no_more_than_it_may(tmp_path: Path, by: timedelta) -> None:
    """What was sent since the clock was set counts as well."""
    with bench_on(tmp_path, trial=2) as bench:
        for number in range(5):
            bench.drop(f"call-{number}", seed=number)
        bench.settle()
        bench.service.meanwhile = lambda _talk: jump(bench, by) if len(bench.service.calls) == 1 else None
        for _ in range(5):
            bench.send(61)
        assert len(bench.service.calls) == 2


def test_a_jump_is_noticed_and_a_correction_is_none() -> None:
    """NTP moves a clock by milliseconds."""
    clock = ManualClock()
    jumps = Jumps(clock)
    clock.advance(3600)
    clock.set_wall(timedelta(milliseconds=200))
    assert jumps.look() == 0.0
    clock.set_wall(YEAR)
    assert jumps.look() == pytest.approx(YEAR.total_seconds())
    clock.set_wall(-YEAR)
    assert jumps.look() == pytest.approx(-YEAR.total_seconds())
    assert jumps.look() == 0.0


def test_nothing_is_older_than_either_clock_says() -> None:
    """After a jump forward the time since the start counts, after one back the clock."""
    clock = ManualClock()
    ages, began = Ages(clock), clock.now()
    clock.advance(60)
    clock.set_wall(YEAR)
    assert ages.now() == began + timedelta(seconds=60)
    clock.set_wall(-2 * YEAR)
    assert ages.now() == clock.now()


def test_the_operator_may_name_a_day_to_come() -> None:
    """`start_from` with a date is his word, whatever the clock says."""
    clock = ManualClock()
    beginning = Beginning(clock.now() + YEAR, by_clock=False, clock=clock)
    assert beginning.leaves_alone(int(clock.now().timestamp() * 1e9))
