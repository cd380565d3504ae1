"""core.traffic: what pauses, when it is probed, and what lifts the pause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.traffic import REFUSED_IN_A_ROW, SERVICE, Moment, Pause, Traffic
from speechsense_watch.core.verdict import OWN_TROUBLE, PAUSE_HINTS, Kind, PauseReason, Verdict

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def at(seconds: float = 0.0, jitter: float = 0.5) -> Moment:
    return Moment(START + timedelta(seconds=seconds), 1000.0 + seconds, jitter)


def verdict(kind: Kind, pause: PauseReason | None = None, message: str = "so it said") -> Verdict:
    return Verdict(kind, None if kind is Kind.ACCEPTED else Problem(Reason.SERVICE_TROUBLE, message), pause)


ACCEPTED = verdict(Kind.ACCEPTED)
REFUSED = verdict(Kind.REFUSED)
TRANSIENT = verdict(Kind.TRANSIENT)
UNKNOWN = verdict(Kind.UNKNOWN)
DOWN = verdict(Kind.SERVICE, PauseReason.UNAVAILABLE)
NO_RIGHT = verdict(Kind.CONNECTION, PauseReason.PERMISSION_DENIED)


@pytest.fixture
def traffic() -> Traffic:
    return Traffic(concurrency=4, retry_max_s=900.0)


def reasons(traffic: Traffic) -> dict[str, PauseReason]:
    return {scope: pause.reason for scope, pause in traffic.pauses.items()}


def refuse(traffic: Traffic, jobs: range, connection: str = "a") -> list[list[int]]:
    return [traffic.ended(job, connection, REFUSED, at(job)) for job in jobs]


# --- scopes ----------------------------------------------------------------------------------


def test_a_trouble_of_the_service_stops_every_connection(traffic: Traffic) -> None:
    """With its reason and its words, since when."""
    assert traffic.ended(1, "a", DOWN, at()) == []
    pause = traffic.pauses[SERVICE]
    assert (pause.reason, pause.message, pause.since) == (PauseReason.UNAVAILABLE, "so it said", START)


def test_a_trouble_of_a_connection_stops_only_that(traffic: Traffic) -> None:
    """And shows that the service works."""
    traffic.ended(1, "a", DOWN, at())
    traffic.ended(2, "a", NO_RIGHT, at(1))
    assert reasons(traffic) == {"a": PauseReason.PERMISSION_DENIED}


def test_a_pause_that_goes_on_keeps_its_beginning_and_another_reason_begins_anew(traffic: Traffic) -> None:
    """`status` says since when it is so; the words are those that were said last."""
    traffic.ended(1, "a", DOWN, at())
    traffic.ended(2, "a", verdict(Kind.SERVICE, PauseReason.UNAVAILABLE, "still"), at(50))
    assert (traffic.pauses[SERVICE].since, traffic.pauses[SERVICE].message) == (START, "still")
    traffic.ended(3, "a", verdict(Kind.SERVICE, PauseReason.QUOTA), at(90))
    assert traffic.pauses[SERVICE].since == START + timedelta(seconds=90)


@pytest.mark.parametrize("reason", PauseReason)
def test_a_pause_says_what_to_do(reason: PauseReason) -> None:
    """The hint of its reason."""
    assert Pause(SERVICE, reason, "", START, 0.0, START).hint == PAUSE_HINTS[reason]


# --- probes ------------------------------------------------------------------------------------


@given(jitter=st.floats(0, 1, exclude_max=True), retry_max_s=st.floats(1, 7200), asked_s=st.none() | st.floats(0, 1e6))
def test_a_probe_comes_after_20_to_60_seconds_and_never_after_retry_max(
    jitter: float, retry_max_s: float, asked_s: float | None
) -> None:
    """Jittered; the service may ask for longer, never for shorter, and never for longer than `retry_max`."""
    traffic = Traffic(4, retry_max_s)
    traffic.ended(1, "a", DOWN, at(0, jitter), asked_s)
    wait_s = traffic.pauses[SERVICE].probe_at - 1000.0
    own_s = 20.0 + 40.0 * jitter
    assert wait_s == pytest.approx(min(max(own_s, asked_s or 0.0), retry_max_s))
    assert wait_s <= max(60.0, asked_s or 0.0) + 1e-6
    shown_s = (traffic.pauses[SERVICE].probe_expected_at - START).total_seconds()
    assert shown_s == pytest.approx(wait_s, abs=1e-5)


@pytest.mark.parametrize("scope", [SERVICE, "a"])
@pytest.mark.parametrize("end", [ACCEPTED, REFUSED, TRANSIENT, DOWN, NO_RIGHT, UNKNOWN], ids=lambda end: end.kind)
def test_a_plea_to_wait_outlasts_those_who_were_on_their_way(traffic: Traffic, scope: str, end: Verdict) -> None:
    """However they end: the service knew of them when it asked. The probe after it ends the pause as ever."""
    asked = verdict(Kind.SERVICE, PauseReason.QUOTA) if scope == SERVICE else NO_RIGHT
    traffic.ended(1, "a", asked, at(), 300.0)
    traffic.ended(2, "a", end, at(5))
    assert not traffic.probe_due(scope, 1299.0)
    assert scope in traffic.pauses
    traffic.probes[scope] = 3
    traffic.ended(3, "a", ACCEPTED, at(300))
    assert scope not in traffic.pauses


def test_a_plea_to_wait_holds_when_the_outcome_is_not_known(traffic: Traffic) -> None:
    """The probe that follows many lost answers comes no sooner."""
    for job in range(4):
        traffic.ended(job, "a", UNKNOWN, at(), 300.0)
    assert reasons(traffic) == {SERVICE: PauseReason.MANY_UNKNOWN}
    assert not traffic.probe_due(SERVICE, 1299.0)
    assert traffic.probe_due(SERVICE, 1300.0)


def test_a_plea_to_wait_outlasts_a_connection_that_was_lost_meanwhile(traffic: Traffic) -> None:
    """Another reason to stand still, and the end of it, bring the probe no nearer."""
    traffic.ended(1, "a", verdict(Kind.SERVICE, PauseReason.QUOTA), at(), 300.0)
    traffic.pause(SERVICE, PauseReason.UNREACHABLE, "", at(10))
    traffic.channel_ready(at(20))
    assert not traffic.probe_due(SERVICE, 1299.0)
    assert traffic.probe_due(SERVICE, 1300.0)
    traffic.channel_ready(at(400))
    assert traffic.probe_due(SERVICE, 1400.0)


def test_a_probe_is_one_job_and_due_in_its_time(traffic: Traffic) -> None:
    """While it is on its way there is no other; one that ended without a word leaves the pause as it was."""
    traffic.ended(1, "a", DOWN, at())
    assert not traffic.probe_due(SERVICE, 1039.9)
    assert traffic.probe_due(SERVICE, 1040.0)
    assert not traffic.probe_due("a", 1040.0)
    assert traffic.next_probe_at() == 1040.0
    traffic.probes[SERVICE] = 2
    assert not traffic.probe_due(SERVICE, 2000.0)
    assert traffic.next_probe_at() is None
    traffic.forget_probe(3)
    assert traffic.probes == {SERVICE: 2}
    traffic.forget_probe(2)
    assert traffic.probe_due(SERVICE, 2000.0)


def test_the_next_probe_is_the_earliest_of_all_scopes(traffic: Traffic) -> None:
    """Connections are probed beside each other, and after the service."""
    assert traffic.next_probe_at() is None
    traffic.ended(1, "a", NO_RIGHT, at(5))
    traffic.ended(2, "b", NO_RIGHT, at(1))
    assert traffic.next_probe_at() == 1041.0
    traffic.ended(3, "a", DOWN, at(90))
    assert traffic.next_probe_at() == 1130.0


PROBE_ENDS = [verdict(kind) for kind in Kind if kind is not Kind.ACCEPTED]


@pytest.mark.parametrize("end", PROBE_ENDS, ids=lambda end: end.kind)
@pytest.mark.parametrize(("scope", "reason"), [(SERVICE, PauseReason.MANY_UNKNOWN), ("a", PauseReason.MANY_REFUSED)])
def test_a_probe_that_leaves_its_pause_standing_is_not_followed_at_once(
    traffic: Traffic, end: Verdict, scope: str, reason: PauseReason
) -> None:
    """However it ended: the next one comes after 20 to 60 s."""
    traffic.pause(scope, reason, "", at())
    traffic.probes[scope] = 7
    traffic.ended(7, "a", end, at(100))
    assert traffic.probes == {}
    assert traffic.pauses[scope].probe_at == 1140.0


def test_an_attempt_that_was_no_probe_does_not_put_the_probe_off(traffic: Traffic) -> None:
    """Those still on their way when the pause began end one after the other."""
    traffic.pause(SERVICE, PauseReason.MANY_UNKNOWN, "", at())
    traffic.ended(7, "a", TRANSIENT, at(100))
    assert traffic.probe_due(SERVICE, 1100.0)


@pytest.mark.parametrize("reason", PauseReason)
def test_a_connection_that_is_there_again_is_probed_at_once(traffic: Traffic, reason: PauseReason) -> None:
    """Where it was the want of one that paused; nothing else is over for that."""
    traffic.channel_ready(at())
    assert traffic.pauses == {}
    traffic.pause(SERVICE, reason, "", at())
    traffic.channel_ready(at(3))
    at_once = reason in (PauseReason.UNREACHABLE, PauseReason.NOT_TRUSTED, PauseReason.NO_CREDENTIALS)
    assert traffic.probe_due(SERVICE, 1003.0) == at_once


# --- lifting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", sorted(set(PauseReason) - OWN_TROUBLE))
def test_an_accepted_recording_lifts_every_pause_of_its_way(traffic: Traffic, reason: PauseReason) -> None:
    """The service's and its connection's, whatever the service's reason was; not another connection's."""
    for scope in (SERVICE, "a", "b"):
        traffic.pause(scope, reason, "", at())
    traffic.ended(1, "a", ACCEPTED, at(1))
    assert set(traffic.pauses) == {"b"}


@pytest.mark.parametrize("end", [TRANSIENT, REFUSED], ids=lambda end: end.kind)
def test_an_answer_of_any_kind_shows_that_the_scope_works(traffic: Traffic, end: Verdict) -> None:
    """If not for this recording."""
    traffic.pause(SERVICE, PauseReason.UNAVAILABLE, "", at())
    traffic.pause("a", PauseReason.PERMISSION_DENIED, "", at())
    traffic.ended(1, "a", end, at(1))
    assert traffic.pauses == {}


@pytest.mark.parametrize(
    "end",
    [UNKNOWN, verdict(Kind.CHANGED), verdict(Kind.GIVEN_BACK), Verdict(Kind.TRANSIENT, answered=False)],
    ids=lambda end: end.kind,
)
def test_what_tells_nothing_of_the_service_lifts_nothing(traffic: Traffic, end: Verdict) -> None:
    """A lost answer, changed files, a shutdown, a file that could not be read."""
    traffic.pause(SERVICE, PauseReason.UNAVAILABLE, "", at())
    traffic.pause("a", PauseReason.PERMISSION_DENIED, "", at())
    traffic.ended(1, "a", end, at(1))
    assert set(traffic.pauses) == {SERVICE, "a"}


@pytest.mark.parametrize("end", [TRANSIENT, REFUSED, NO_RIGHT], ids=lambda end: end.kind)
def test_lost_answers_are_over_only_when_one_came(traffic: Traffic, end: Verdict) -> None:
    """A refusal or a failure before the commit point does not show that a receipt would arrive."""
    traffic.pause(SERVICE, PauseReason.MANY_UNKNOWN, "", at())
    traffic.ended(1, "a", end, at(1))
    assert reasons(traffic)[SERVICE] is PauseReason.MANY_UNKNOWN


# --- trouble of our own ----------------------------------------------------------------------------


@pytest.mark.parametrize("own", sorted(OWN_TROUBLE))
def test_what_the_service_said_before_a_trouble_of_our_own_holds_after_it(traffic: Traffic, own: PauseReason) -> None:
    """Its probe and its plea to wait too, which nobody has kept meanwhile."""
    traffic.ended(1, "a", verdict(Kind.SERVICE, PauseReason.QUOTA), at(), 300.0)
    quota = traffic.pauses[SERVICE]
    traffic.pause(SERVICE, own, "", at(10))
    traffic.pause(SERVICE, own, "still", at(20))
    assert reasons(traffic) == {SERVICE: own}
    traffic.own_trouble_over(next(iter(OWN_TROUBLE - {own})))
    assert reasons(traffic) == {SERVICE: own}
    traffic.own_trouble_over(own)
    assert traffic.pauses == {SERVICE: quota}
    assert not traffic.probe_due(SERVICE, 1299.0)
    assert traffic.probe_due(SERVICE, 1300.0)


@pytest.mark.parametrize("own", sorted(OWN_TROUBLE))
@pytest.mark.parametrize("end", [ACCEPTED, REFUSED, TRANSIENT, DOWN, NO_RIGHT], ids=lambda end: end.kind)
def test_an_answer_says_nothing_of_a_trouble_of_our_own(traffic: Traffic, own: PauseReason, end: Verdict) -> None:
    """Of those that were on their way; what it says of the service counts when that is over."""
    traffic.pause(SERVICE, PauseReason.QUOTA, "", at())
    traffic.pause(SERVICE, own, "", at())
    traffic.ended(1, "a", end, at(1))
    assert traffic.pauses[SERVICE].reason is own
    traffic.own_trouble_over(own)
    assert reasons(traffic).get(SERVICE) == (PauseReason.UNAVAILABLE if end is DOWN else None)


@pytest.mark.parametrize("own", sorted(OWN_TROUBLE))
def test_a_plea_that_comes_during_a_trouble_of_our_own_is_kept(traffic: Traffic, own: PauseReason) -> None:
    """Nor do those who were on their way end it."""
    traffic.pause(SERVICE, own, "", at())
    traffic.ended(1, "a", verdict(Kind.SERVICE, PauseReason.QUOTA), at(1), 300.0)
    traffic.ended(2, "a", ACCEPTED, at(5))
    traffic.own_trouble_over(own)
    assert reasons(traffic) == {SERVICE: PauseReason.QUOTA}
    assert not traffic.probe_due(SERVICE, 1300.0)
    assert traffic.probe_due(SERVICE, 1301.0)


# --- in a row ------------------------------------------------------------------------------------


def test_five_recordings_refused_in_a_row_are_given_back(traffic: Traffic) -> None:
    """All five: it is the configuration that is refused. The connection pauses for the operator."""
    assert REFUSED_IN_A_ROW == 5
    assert refuse(traffic, range(1, 6)) == [[], [], [], [], [1, 2, 3, 4, 5]]
    assert reasons(traffic) == {"a": PauseReason.MANY_REFUSED}
    assert traffic.pauses["a"].needs_operator
    # The probes, and those that were on their way: each is given back too.
    assert refuse(traffic, range(6, 8)) == [[6], [7]]
    assert traffic.pauses["a"].since == START + timedelta(seconds=5)


def test_one_recording_refused_again_and_again_is_no_row(traffic: Traffic) -> None:
    """They are to be five different ones."""
    for _ in range(20):
        assert traffic.ended(1, "a", REFUSED, at()) == []
    assert traffic.pauses == {}


def test_one_accepted_recording_ends_the_row(traffic: Traffic) -> None:
    """Counting begins anew, on that connection alone."""
    refuse(traffic, range(1, 5))
    refuse(traffic, range(11, 15), "b")
    traffic.ended(5, "a", ACCEPTED, at())
    assert refuse(traffic, range(6, 7)) == [[]]
    assert refuse(traffic, range(15, 16), "b") == [[11, 12, 13, 14, 15]]
    assert reasons(traffic) == {"b": PauseReason.MANY_REFUSED}


def test_after_the_pause_it_takes_five_again(traffic: Traffic) -> None:
    """Nothing of the first row is left."""
    refuse(traffic, range(1, 6))
    traffic.ended(6, "a", ACCEPTED, at())
    assert refuse(traffic, range(7, 12)) == [[], [], [], [], [7, 8, 9, 10, 11]]


@pytest.mark.parametrize(("concurrency", "needed"), [(1, 3), (3, 3), (4, 4), (16, 16)])
def test_as_many_lost_answers_as_may_be_in_flight_pause_the_service(concurrency: int, needed: int) -> None:
    """At least three, in a row: an accepted one between them ends it, a failure does not."""
    traffic = Traffic(concurrency, 900.0)
    for job in range(needed - 1):
        traffic.ended(job, "a", UNKNOWN, at())
    traffic.ended(98, "a", ACCEPTED, at())
    for job in range(needed - 1):
        traffic.ended(job, "a", UNKNOWN, at())
        traffic.ended(99, "b", TRANSIENT, at())
    assert traffic.pauses == {}
    traffic.ended(100, "b", UNKNOWN, at())
    assert reasons(traffic) == {SERVICE: PauseReason.MANY_UNKNOWN}
    assert not traffic.pauses[SERVICE].needs_operator


# --- a new configuration ---------------------------------------------------------------------------


def test_a_new_configuration_keeps_what_it_did_not_touch(traffic: Traffic) -> None:
    """Pauses of connections it no longer names are gone; what was held against it is probed at once."""
    traffic.pause(SERVICE, PauseReason.UNAVAILABLE, "", at())
    traffic.pause("a", PauseReason.MANY_REFUSED, "", at())
    traffic.pause("gone", PauseReason.PERMISSION_DENIED, "", at())
    traffic.keep_only({"a", "b"})
    assert set(traffic.pauses) == {SERVICE, "a"}
    assert traffic.probe_due("a", 1000.0)
    assert not traffic.probe_due(SERVICE, 1000.0)
    assert traffic.pauses["a"].since == START


def test_a_refused_key_is_probed_at_once_after_a_new_configuration(traffic: Traffic) -> None:
    """It may name another."""
    traffic.pause(SERVICE, PauseReason.KEY_REFUSED, "", at())
    traffic.keep_only(set())
    assert traffic.probe_due(SERVICE, 1000.0)


BY_THE_KEY = {PauseReason.KEY_REFUSED, PauseReason.PERMISSION_DENIED, PauseReason.CONNECTION_NOT_FOUND}


@pytest.mark.parametrize("reason", PauseReason)
def test_another_key_makes_a_refusal_a_thing_of_the_past(traffic: Traffic, reason: PauseReason) -> None:
    """What the old one was refused for needs nobody until the new one has been tried, and is tried at once."""
    traffic.pause(SERVICE, reason, "It said no.", at())
    before = traffic.pauses[SERVICE]
    traffic.another_key()
    pause = traffic.pauses[SERVICE]
    if reason not in BY_THE_KEY:
        assert pause == before
        return
    assert (traffic.probe_due(SERVICE, 1000.0), pause.needs_operator, pause.since) == (True, False, START)
    assert pause.said == (
        "It said no. That was with the key and the configuration before; the next recording shows whether it is still so."
    )


def test_only_a_try_tells_whether_the_new_key_is_better(traffic: Traffic) -> None:
    """One that ended without a word leaves it open; one that was refused needs the operator again."""
    traffic.pause("a", PauseReason.PERMISSION_DENIED, "", at())
    traffic.another_key()
    traffic.probes["a"] = 7
    traffic.ended(7, "a", verdict(Kind.GIVEN_BACK), at(1))
    assert not traffic.pauses["a"].needs_operator
    traffic.ended(8, "a", NO_RIGHT, at(2))
    assert traffic.pauses["a"].needs_operator


def test_a_key_that_is_lacking_is_lacking_after_a_new_configuration_too(traffic: Traffic) -> None:
    """Until it is found; what the service had said before is tried anew then."""
    for before in (None, PauseReason.UNIMPLEMENTED):
        traffic.lift(SERVICE)
        if before is not None:
            traffic.pause(SERVICE, before, "", at())
        traffic.pause(SERVICE, PauseReason.NO_CREDENTIALS, "There is none.", at())
        traffic.keep_only(set())
        pause = traffic.pauses[SERVICE]
        assert (pause.needs_operator, pause.said) == (True, "There is none.")
    traffic.own_trouble_over(PauseReason.NO_CREDENTIALS)
    assert not traffic.pauses[SERVICE].needs_operator
    assert traffic.probe_due(SERVICE, 1000.0)
