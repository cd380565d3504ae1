"""core.pulse: when a silent connection is asked, and when it counts as dead."""

from __future__ import annotations

from speechsense_watch.core.pulse import ANSWER_WITHIN_S, ASK_AFTER_S, MOST_PATIENT_S, Pulse


def test_a_dead_peer_is_known_in_under_half_a_minute() -> None:
    """Looked at once a second, with one more second for ending the calls."""
    assert ASK_AFTER_S + ANSWER_WITHIN_S + 2 < 30
    pulse = Pulse(0.0)
    gone_at = 0
    while not pulse.gone(gone_at):
        if pulse.must_ask(gone_at):
            pulse.asked(gone_at)
        gone_at += 1
    assert gone_at == 25


def test_a_silence_is_asked_about_once() -> None:
    """After ten seconds; until then what is sent is taken to arrive."""
    pulse = Pulse(0.0)
    assert (pulse.fresh(9.9), pulse.must_ask(9.9)) == (True, False)
    assert (pulse.fresh(10.0), pulse.must_ask(10.0)) == (False, True)
    pulse.asked(10.0)
    assert not pulse.must_ask(20.0)


def test_an_answer_is_as_good_as_new() -> None:
    """And the next silence is asked about again."""
    pulse = Pulse(0.0)
    pulse.asked(10.0)
    pulse.answered(24.0)
    assert (pulse.fresh(30.0), pulse.gone(1000.0), pulse.must_ask(34.0)) == (True, False, True)


def test_any_byte_puts_the_end_off() -> None:
    """On a slow line the answer stands in a long queue; while something comes the other end lives."""
    pulse = Pulse(0.0)
    pulse.asked(10.0)
    for at in range(10, 300, 14):
        pulse.heard(float(at))
        assert not pulse.gone(at + 14.0)
    assert pulse.gone(290.0 + 15.0)
    pulse.heard(5.0)  # news of earlier is none
    assert pulse.gone(305.0)


def test_where_every_connection_seems_dead_more_time_is_given() -> None:
    """Twice as much from one to the next; as little as ever once a question was answered in good time, not by a late one."""
    pulse, given = Pulse(0.0), []
    for _ in range(8):
        pulse.asked(100.0)
        pulse = pulse.next(5000.0)
        given.append(pulse.answer_within_s)
        pulse.heard_at = 0.0
    assert given == [30, 60, 120, 240, 480, 960, MOST_PATIENT_S, MOST_PATIENT_S]
    pulse.asked(100.0)
    pulse.answered(200.0)
    assert pulse.next(5000.0).answer_within_s == MOST_PATIENT_S
    pulse.asked(300.0)
    pulse.answered(314.0)
    assert pulse.next(5000.0).answer_within_s == ANSWER_WITHIN_S


def test_a_call_that_is_answered_soon_shows_as_much() -> None:
    """Where one follows the other no question is ever asked. A late answer shows nothing: so much may lie in the buffers."""
    pulse = Pulse(0.0, answer_within_s=60.0)
    pulse.served(10.0, 25.0)
    assert (pulse.answer_within_s, pulse.heard_at) == (60.0, 25.0)
    pulse.served(30.0, 44.0)
    assert (pulse.answer_within_s, pulse.heard_at) == (ANSWER_WITHIN_S, 44.0)


def test_a_connection_that_was_replaced_alive_changes_nothing() -> None:
    """For another reason, that is."""
    pulse = Pulse(0.0, answer_within_s=60.0)
    assert pulse.next(1000.0) == Pulse(1000.0, answer_within_s=60.0)
