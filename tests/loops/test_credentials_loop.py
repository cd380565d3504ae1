"""Another key or token: whatever the old one was refused for is tried again at once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.core.verdict import Code, Outcome, PauseReason
from speechsense_watch.ports import Channel, ChannelState, Talk
from support.bench import Bench, bench_on

REFUSED = Outcome(code=Code.UNAUTHENTICATED, message="unknown key")
FORBIDDEN = Outcome(code=Code.PERMISSION_DENIED, message="not yours")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        bench.service.state = shown(1)
        for number in range(3):
            bench.drop(f"call{number}", seed=number)
        bench.settle()
        yield bench


def shown(number: int) -> Channel:
    """A connection on which calls show their how-manieth key."""
    return Channel(ChannelState.READY, credentials=number)


def done(bench: Bench) -> int:
    return sum(job.state is State.UPLOADED for job in bench.jobs())


@pytest.mark.parametrize(("refusal", "scope"), [(REFUSED, "service"), (FORBIDDEN, "conn")])
def test_another_key_is_tried_at_once(bench: Bench, refusal: Outcome, scope: str) -> None:
    """Not only when the probe of the old one's pause is due."""
    bench.service.script = [refusal] * 3
    bench.send()
    assert set(bench.paused()) == {scope}
    bench.send(3)
    assert len(bench.service.calls) == 3
    bench.service.state = shown(2)
    bench.send()
    bench.send()
    assert (bench.paused(), done(bench)) == ({}, 3)


def test_the_same_key_is_not(bench: Bench) -> None:
    """The pause takes its time."""
    bench.service.script = [REFUSED] * 3
    bench.send()
    for _ in range(9):
        bench.send(2)
    assert len(bench.service.calls) == 3
    assert bench.paused() == {"service": "key_refused"}


def test_while_the_key_is_refused_another_is_looked_for_every_other_second(bench: Bench) -> None:
    """Whoever puts it in place, and however: nobody has to tell the daemon."""
    bench.service.script = [REFUSED] * 3
    bench.send()
    assert 0 < bench.uploader.step() <= 2.0
    bench.service.state = shown(2)
    bench.send(2)
    bench.send()
    assert bench.uploader.step() > 2.0


def test_a_key_that_changes_during_the_attempt_that_is_refused_is_tried_at_once(bench: Bench) -> None:
    """The refusal was of the key before; it is no reason to wait."""
    bench.upload_rules = dataclasses.replace(bench.upload_rules, concurrency=1)
    bench.configure()

    def renew(_talk: Talk) -> None:
        bench.service.state = shown(2)
        bench.uploader._mind_credentials(2)

    bench.service.meanwhile = renew
    bench.service.script = [REFUSED]
    bench.send()
    bench.send()
    assert (bench.paused(), len(bench.service.calls)) == ({}, 4)


def test_a_key_that_comes_back_after_it_was_missing_is_tried_at_once(bench: Bench) -> None:
    """A missing file pauses for want of it; nothing is sent meanwhile."""
    bench.service.state = Channel(ChannelState.FAILED, PauseReason.NO_CREDENTIALS, "There is no key.")
    bench.send()
    assert bench.paused() == {"service": "no_credentials"}
    assert bench.uploader.step() == 5.0
    bench.service.state = shown(2)
    bench.send(5)
    bench.send()
    assert (bench.paused(), done(bench)) == ({}, 3)


def test_a_pause_that_goes_on_for_another_reason_is_told_again(bench: Bench) -> None:
    """Else the log would name what was mended long ago, and nobody would look for a key."""
    bench.service.state = Channel(ChannelState.FAILED, PauseReason.UNREACHABLE, "It cannot be reached.")
    bench.send()
    bench.send(5)
    bench.service.state = shown(1)
    bench.service.script = [REFUSED] * 3
    for _ in range(3):
        bench.send(60)
    lines = [json.loads(line) for line in bench.log.getvalue().splitlines()]
    assert [line["reason"] for line in lines if line["event"] == "service_paused"] == ["unreachable", "key_refused"]


def test_a_pause_with_nothing_left_to_try_keeps_nobody_busy(bench: Bench) -> None:
    """The recordings of the connection are gone; the next one to come is the probe."""
    bench.service.script = [FORBIDDEN] * 3
    bench.send()
    for file in bench.folder_path.iterdir():
        file.unlink()
    bench.settle()
    for _ in range(3):
        bench.send(61)
    assert bench.paused() == {"conn": "permission_denied"}
    assert bench.uploader.step() == 5.0
    bench.drop("another", seed=9)
    bench.settle()
    bench.send()
    assert (bench.paused(), done(bench)) == ({}, 1)


def test_a_token_that_is_on_its_way_is_no_trouble(bench: Bench) -> None:
    """Nothing is sent and nothing is paused, until it is there."""
    bench.service.state = Channel(ChannelState.CONNECTING)
    bench.send()
    assert (bench.paused(), bench.service.calls) == ({}, [])
    bench.service.state = shown(1)
    bench.send()
    assert done(bench) == 3


def test_a_renewed_token_disturbs_no_pause_that_it_cannot_end(bench: Bench) -> None:
    """A service that is down is probed at its own pace, however often tokens are renewed meanwhile."""
    bench.service.script = [Outcome(code=Code.RESOURCE_EXHAUSTED, message="quota")] * 3
    bench.send()
    for number in range(2, 9):
        bench.service.state = shown(number)
        bench.send(2)
    assert len(bench.service.calls) == 3
    assert bench.paused() == {"service": "quota"}
