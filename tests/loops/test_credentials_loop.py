"""Another key or token: whatever the old one was refused for is tried again at once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.core.verdict import Code, Outcome, PauseReason
from speechsense_watch.ports import Channel, ChannelState, Key, Talk
from support.bench import Bench, bench_on

REFUSED = Outcome(code=Code.UNAUTHENTICATED, message="unknown key")
FORBIDDEN = Outcome(code=Code.PERMISSION_DENIED, message="not yours")
LACKING = "There is no key: put it there."


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        bench.service.key = Key(1)
        for number in range(3):
            bench.drop(f"call{number}", seed=number)
        bench.settle()
        yield bench


def lines(bench: Bench, event: str) -> list[dict[str, object]]:
    """What the log says of an event."""
    return [line for line in map(json.loads, bench.log.getvalue().splitlines()) if line["event"] == event]


def told(bench: Bench) -> list[dict[str, object]]:
    """The pauses, as `status` is told them."""
    return bench.queue.runtime()["paused"]  # type: ignore[return-value]


def nothing_left(bench: Bench) -> None:
    """No recording is due."""
    for file in bench.folder_path.iterdir():
        file.unlink()
    bench.settle()
    for _ in range(3):
        bench.send(61)


def done(bench: Bench) -> int:
    return sum(job.state is State.DONE for job in bench.jobs())


@pytest.mark.parametrize(("refusal", "scope"), [(REFUSED, "service"), (FORBIDDEN, "conn")])
def test_another_key_is_tried_at_once(bench: Bench, refusal: Outcome, scope: str) -> None:
    """Not only when the probe of the old one's pause is due."""
    bench.service.script = [refusal] * 3
    bench.send()
    assert set(bench.paused()) == {scope}
    bench.send(3)
    assert len(bench.service.calls) == 3
    bench.service.key = Key(2)
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
    bench.service.key = Key(2)
    bench.send(2)
    bench.send()
    assert bench.uploader.step() > 2.0


def test_a_key_that_changes_during_the_attempt_that_is_refused_is_tried_at_once(bench: Bench) -> None:
    """The refusal was of the key before; it is no reason to wait, nor to say that anything is wrong."""
    bench.upload_rules = dataclasses.replace(bench.upload_rules, concurrency=1)
    bench.configure()

    def renew(_talk: Talk) -> None:
        bench.service.key = Key(2)

    bench.service.meanwhile = renew
    bench.service.script = [REFUSED]
    for _ in range(4):
        bench.send()
    assert (bench.paused(), lines(bench, "service_paused"), len(bench.service.calls)) == ({}, [], 4)


def test_a_key_that_comes_back_after_it_was_missing_is_tried_at_once(bench: Bench) -> None:
    """A missing file pauses for want of it; nothing is sent meanwhile."""
    bench.service.state = Channel(ChannelState.FAILED, PauseReason.NO_CREDENTIALS, LACKING)
    bench.service.key = Key(trouble=LACKING)
    bench.send()
    assert bench.paused() == {"service": "no_credentials"}
    assert told(bench)[0]["next_probe_at"] is None, "it ends with its cause, though three recordings are due"
    assert bench.uploader.step() == 5.0
    bench.service.state, bench.service.key = Channel(ChannelState.READY), Key(2)
    bench.send(5)
    bench.send()
    assert (bench.paused(), done(bench)) == ({}, 3)


def test_a_pause_that_goes_on_for_another_reason_is_told_again(bench: Bench) -> None:
    """Else the log would name what was mended long ago, and nobody would look for a key."""
    bench.service.state = Channel(ChannelState.FAILED, PauseReason.UNREACHABLE, "It cannot be reached.")
    bench.send()
    bench.send(5)
    bench.service.state = Channel(ChannelState.READY)
    bench.service.script = [REFUSED] * 3
    for _ in range(3):
        bench.send(60)
    assert [line["reason"] for line in lines(bench, "service_paused")] == ["unreachable", "key_refused"]


def test_a_pause_with_nothing_left_to_try_keeps_nobody_busy(bench: Bench) -> None:
    """The recordings of the connection are gone; the next one to come is the probe."""
    bench.service.script = [FORBIDDEN] * 3
    bench.send()
    nothing_left(bench)
    assert bench.paused() == {"conn": "permission_denied"}
    assert bench.uploader.step() == 5.0
    assert told(bench)[0]["next_probe_at"] is None
    bench.drop("another", seed=9)
    bench.settle()
    bench.send()
    assert (bench.paused(), done(bench)) == ({}, 1)


def test_a_token_that_is_on_its_way_is_no_trouble(bench: Bench) -> None:
    """Nothing is sent and nothing is paused, until it is there."""
    bench.service.state = Channel(ChannelState.CONNECTING)
    bench.send()
    assert (bench.paused(), bench.service.calls) == ({}, [])
    bench.service.state, bench.service.key = Channel(ChannelState.READY), Key(1)
    bench.send()
    assert done(bench) == 3


def test_a_renewed_token_disturbs_no_pause_that_it_cannot_end(bench: Bench) -> None:
    """A service that is down is probed at its own pace, however often tokens are renewed meanwhile."""
    bench.service.script = [Outcome(code=Code.RESOURCE_EXHAUSTED, message="quota")] * 3
    bench.send()
    for number in range(2, 9):
        bench.service.key = Key(number)
        bench.send(2)
    assert len(bench.service.calls) == 3
    assert bench.paused() == {"service": "quota"}


# --- before there is anything to send --------------------------------------------------------


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Bench]:
    """No recording has come, and nothing asks for a connection."""
    with bench_on(tmp_path) as bench:
        bench.service.channel = nobody_asks  # type: ignore[method-assign]
        yield bench


def nobody_asks() -> Channel:
    raise AssertionError("a connection was asked for")


def test_a_key_that_is_lacking_is_told_before_anything_comes(idle: Bench) -> None:
    """Once, with what to do; in `status` for as long as it is so, with no time of a try that will not be."""
    idle.service.key = Key(trouble=LACKING)
    assert idle.uploader.step() == 2.0
    for _ in range(9):
        idle.send(2)
    (line,) = lines(idle, "service_paused")
    assert (line["reason"], line["message"]) == ("no_credentials", LACKING)
    assert line["do"] == "Mend the credential the message names; it is read again by itself."
    (pause,) = told(idle)
    assert (pause["scope"], pause["message"], pause["needs_operator"], pause["next_probe_at"]) == ("service", LACKING, True, None)


def test_when_the_key_comes_the_pause_is_over_though_nothing_is_sent(idle: Bench) -> None:
    """That was all that is known to be wrong."""
    idle.service.key = Key(trouble=LACKING)
    idle.send()
    idle.service.key = Key(1)
    idle.send(2)
    assert (told(idle), len(lines(idle, "service_resumed"))) == ([], 1)
    assert idle.uploader.step() == 60.0


def test_a_key_that_goes_while_nothing_is_sent_is_told_too(idle: Bench) -> None:
    """Within a minute."""
    idle.service.key = Key(1)
    idle.send()
    idle.service.key = Key(trouble=LACKING)
    idle.send(60)
    assert [pause["reason"] for pause in told(idle)] == ["no_credentials"]


def test_what_deserves_a_word_about_the_key_gets_one(idle: Bench) -> None:
    """In the log, once for each file."""
    for warnings in [("a: chmod",), ("a: chmod",), (), ("a: chmod",), ("b: chmod",)]:
        idle.service.key = Key(1, warnings=warnings)
        idle.send(60)
    assert [line["message"] for line in lines(idle, "config_warning")] == ["a: chmod", "b: chmod"]


def test_a_queue_that_cannot_be_written_and_no_key_are_told_one_after_the_other(idle: Bench) -> None:
    """Not in turns."""
    idle.uploader._unwritable("The disk is full.")
    idle.service.key = Key(trouble=LACKING)
    for _ in range(3):
        idle.send(1)
    assert idle.paused() == {"service": "queue_not_writable"}
    for _ in range(3):
        idle.send(5)
    assert [line["reason"] for line in lines(idle, "service_paused")] == ["queue_not_writable", "no_credentials"]


# --- what is known to be over, and what is not -----------------------------------------------


def test_another_key_while_nothing_is_left_to_try_needs_nobody(bench: Bench) -> None:
    """Whether it is the right one, the next recording shows; if it is not, the log says so anew."""
    bench.service.script = [REFUSED] * 3
    bench.send()
    nothing_left(bench)
    (pause,) = told(bench)
    assert (pause["message"], pause["needs_operator"]) == ("SpeechSense said UNAUTHENTICATED: unknown key", True)
    bench.service.key = Key(2)
    bench.send(2)
    (pause,) = told(bench)
    assert (pause["needs_operator"], pause["next_probe_at"]) == (False, None)
    assert "the next recording shows whether it is still so." in str(pause["message"])
    bench.service.script = [REFUSED]
    bench.drop("another", seed=9)
    bench.settle()
    bench.send()
    (pause,) = told(bench)
    assert pause["needs_operator"]
    assert pause["next_probe_at"] is not None
    assert [line["reason"] for line in lines(bench, "service_paused")] == ["key_refused"] * 2


def test_what_a_new_configuration_has_not_mended_needs_the_operator_again(bench: Bench) -> None:
    """As soon as that is seen, and the log says so."""
    bench.service.state = Channel(ChannelState.FAILED, PauseReason.NOT_TRUSTED, "Another's certificate.")
    bench.send()
    bench.uploader.configure(bench.upload_rules, {"in": bench.folder})
    assert not bench.uploader.traffic.pauses["service"].needs_operator
    bench.send()
    assert told(bench)[0]["needs_operator"]
    assert len(lines(bench, "service_paused")) == 2


def test_a_pause_of_a_connection_that_nothing_goes_to_any_more_is_over(bench: Bench) -> None:
    """The refusal came when the configuration already named another one."""
    bench.upload_rules = dataclasses.replace(bench.upload_rules, concurrency=1)
    bench.configure()

    def renamed(_talk: Talk) -> None:
        bench.service.meanwhile = lambda _talk: None
        bench.configure(connection_id="right")

    bench.service.meanwhile = renamed
    bench.service.script = [FORBIDDEN]
    bench.send()
    assert "conn" in bench.paused()
    for _ in range(4):
        bench.send(61)
    assert (bench.paused(), done(bench), told(bench)) == ({}, 3, [])


# --- refusals that come late -----------------------------------------------------------------


@pytest.mark.parametrize("refusal", [REFUSED, FORBIDDEN, Outcome(code=Code.NOT_FOUND, message="no such connection")])
def test_a_refusal_of_the_key_before_says_nothing_of_this_one(bench: Bench, refusal: Outcome) -> None:
    """Whenever it comes: what it was about is given back and sent with the key that is there now."""
    under_way: list[tuple[object, object]] = []
    start = bench.uploader._start
    bench.uploader._start = lambda job, probe, hand_back: start(job, probe, lambda ended: under_way.append((ended, hand_back)))
    bench.service.script = [refusal] * 3
    bench.send()
    bench.uploader._start = start
    bench.service.key = Key(2)
    bench.send(1)
    for ended, hand_back in under_way:
        hand_back(ended)  # type: ignore[operator]
    bench.send(1)
    bench.send(1)
    assert (lines(bench, "service_paused"), done(bench), {job.attempts for job in bench.jobs()}) == ([], 3, {0})


def test_a_late_refusal_of_the_same_key_counts(bench: Bench) -> None:
    """A configuration that was read anew has changed nothing about it."""
    under_way: list[tuple[object, object]] = []
    start = bench.uploader._start
    bench.uploader._start = lambda job, probe, hand_back: start(job, probe, lambda ended: under_way.append((ended, hand_back)))
    bench.service.script = [REFUSED] * 3
    bench.send()
    bench.configure()
    for ended, hand_back in under_way:
        hand_back(ended)  # type: ignore[operator]
    bench.send(1)
    assert bench.paused() == {"service": "key_refused"}
