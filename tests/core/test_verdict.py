"""core.verdict: what every end of an attempt means, on either side of the commit point."""

from __future__ import annotations

from itertools import product

import pytest

from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.verdict import NEEDS_OPERATOR, PAUSE_HINTS, Code, Halt, Kind, Outcome, PauseReason, judge

REFUSED = (Kind.REFUSED, Reason.SERVICE_REFUSED, None)
TRANSIENT = (Kind.TRANSIENT, Reason.UPLOAD_FAILED, None)
UNKNOWN = (Kind.UNKNOWN, Reason.OUTCOME_UNKNOWN, None)
DOWN = (Kind.SERVICE, Reason.SERVICE_TROUBLE, PauseReason.UNAVAILABLE)


def _service(pause: PauseReason) -> tuple[Kind, Reason, PauseReason]:
    return Kind.SERVICE, Reason.SERVICE_TROUBLE, pause


def _connection(pause: PauseReason) -> tuple[Kind, Reason, PauseReason]:
    return Kind.CONNECTION, Reason.SERVICE_TROUBLE, pause


# code: before the commit point, after it
CODES = {
    Code.OK: (TRANSIENT, UNKNOWN),  # without a talk id: with one, see below
    Code.CANCELLED: (TRANSIENT, UNKNOWN),
    Code.UNKNOWN: (TRANSIENT, UNKNOWN),
    Code.INVALID_ARGUMENT: (REFUSED, REFUSED),
    Code.DEADLINE_EXCEEDED: (DOWN, UNKNOWN),
    Code.NOT_FOUND: (_connection(PauseReason.CONNECTION_NOT_FOUND),) * 2,
    Code.ALREADY_EXISTS: (TRANSIENT, UNKNOWN),
    Code.PERMISSION_DENIED: (_connection(PauseReason.PERMISSION_DENIED),) * 2,
    Code.RESOURCE_EXHAUSTED: (_service(PauseReason.QUOTA),) * 2,
    Code.FAILED_PRECONDITION: (REFUSED, REFUSED),
    Code.ABORTED: (TRANSIENT, UNKNOWN),
    Code.OUT_OF_RANGE: (TRANSIENT, UNKNOWN),
    Code.UNIMPLEMENTED: (_service(PauseReason.UNIMPLEMENTED),) * 2,
    Code.INTERNAL: (TRANSIENT, UNKNOWN),
    Code.UNAVAILABLE: (DOWN, UNKNOWN),
    Code.DATA_LOSS: (TRANSIENT, UNKNOWN),
    Code.UNAUTHENTICATED: (_service(PauseReason.KEY_REFUSED),) * 2,
}
# our own side ended the call: before the commit point (after it nobody knows)
HALTS = {
    Halt.CHANGED: (Kind.CHANGED, Reason.READ_AGAIN, None),
    Halt.READ_FAILED: TRANSIENT,
    Halt.NOT_RECORDED: _service(PauseReason.QUEUE_NOT_WRITABLE),
    Halt.STALLED: TRANSIENT,
    Halt.PEER_GONE: _service(PauseReason.UNREACHABLE),
    Halt.SHUTDOWN: (Kind.GIVEN_BACK, Reason.INTERRUPTED, None),
    Halt.NO_KEY: _service(PauseReason.NO_CREDENTIALS),
}


def test_every_code_and_every_halt_is_decided() -> None:
    """A new one needs a line in the tables."""
    assert set(CODES) == set(Code)
    assert set(HALTS) == set(Halt)


@pytest.mark.parametrize(("code", "committed"), list(product(Code, [False, True])))
def test_a_status_is_judged_by_its_meaning_and_the_commit_point(code: Code, *, committed: bool) -> None:
    """A refusal is one on either side; whatever else comes after the commit point leaves the outcome unknown."""
    verdict = judge(Outcome(code=code, message="said the service", committed=committed))
    assert verdict.problem is not None
    assert (verdict.kind, verdict.problem.reason, verdict.pause) == CODES[code][committed]
    assert verdict.answered
    if code is not Code.OK:
        assert f"SpeechSense said {code}: said the service" in verdict.problem.message


@pytest.mark.parametrize(("halt", "committed", "code"), list(product(Halt, [False, True], [Code.CANCELLED, Code.UNKNOWN])))
def test_what_we_ended_ourselves_is_judged_by_why(halt: Halt, code: Code, *, committed: bool) -> None:
    """Whatever status the call then ends with."""
    verdict = judge(Outcome(code=code, halt=halt, committed=committed))
    assert verdict.problem is not None
    assert (verdict.kind, verdict.problem.reason, verdict.pause) == (UNKNOWN if committed else HALTS[halt])
    if verdict.kind is Kind.TRANSIENT:
        assert not verdict.answered  # the service said nothing


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.UNAUTHENTICATED, Code.UNAVAILABLE])
def test_a_status_that_our_own_end_brought_about_refuses_nothing(code: Code) -> None:
    """It is the halt that counts."""
    assert judge(Outcome(code=code, halt=Halt.STALLED)).kind is Kind.TRANSIENT


def test_accepted_is_only_what_was_sent_whole_and_has_a_talk_id() -> None:
    """An answer that comes too early, or without an id, is no receipt."""
    accepted = judge(Outcome(code=Code.OK, talk_id="t1", committed=True))
    assert (accepted.kind, accepted.problem, accepted.pause) == (Kind.ACCEPTED, None, None)
    early = judge(Outcome(code=Code.OK, talk_id="t1"))
    assert early.kind is Kind.TRANSIENT
    said = "The service answered before the recording was sent whole, with talk t1."
    assert early.problem == Problem(Reason.UPLOAD_FAILED, said)
    without = judge(Outcome(code=Code.OK, committed=True))
    assert without.kind is Kind.UNKNOWN
    assert without.problem is not None
    assert without.problem.message.endswith("The service answered without a talk id.")


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize(
    "message",
    [
        "Received message larger than max (4194348 vs. 4194304)",
        "CLIENT: Sent message larger than max (9 vs. 4)",
        "SERVER: Received message larger than max (9 vs. 4)",
    ],
)
def test_a_message_too_large_is_the_recordings_fault(message: str, *, committed: bool) -> None:
    """The words of gRPC's own limit, on either side of the wire: the quota has the same code."""
    verdict = judge(Outcome(code=Code.RESOURCE_EXHAUSTED, message=message, committed=committed))
    assert verdict.problem is not None
    assert (verdict.kind, verdict.problem.reason, verdict.pause) == (Kind.REFUSED, Reason.TOO_LARGE_FOR_SERVICE, None)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(code=Code.CANCELLED, halt=Halt.STALLED), "The service took or answered nothing for too long."),
        (Outcome(code=Code.CANCELLED, halt=Halt.READ_FAILED, message="input/output error"), "read: input/output error"),
        (
            Outcome(code=Code.CANCELLED, halt=Halt.SHUTDOWN, committed=True),
            "Sent whole, but no clear answer came: the daemon was",
        ),
        (Outcome(code=Code.CANCELLED, halt=Halt.NO_KEY, message="There is no API key."), "There is no API key."),
        (Outcome(code=Code.ABORTED), "SpeechSense said ABORTED: no more than that"),
        (
            Outcome(code=Code.UNAVAILABLE, message="Stream removed (reset)"),
            "The connection to SpeechSense broke during the upload",
        ),
    ],
)
def test_the_sentence_says_what_happened(outcome: Outcome, words: str) -> None:
    """In words for the operator, the service's own where it gave any."""
    problem = judge(outcome).problem
    assert problem is not None
    assert words in problem.message


def test_every_pause_says_what_to_do() -> None:
    """And those that waiting will not end are known as such; one that ends by itself never asks for the operator."""
    assert set(PAUSE_HINTS) == set(PauseReason)
    by_itself = {pause for pause, hint in PAUSE_HINTS.items() if "goes on by itself" in hint}
    assert by_itself & NEEDS_OPERATOR == set()
    pausing = {expected[2] for row in CODES.values() for expected in row} | {expected[2] for expected in HALTS.values()}
    assert {
        PauseReason.KEY_REFUSED,
        PauseReason.UNIMPLEMENTED,
        PauseReason.PERMISSION_DENIED,
        PauseReason.CONNECTION_NOT_FOUND,
        PauseReason.NO_CREDENTIALS,
    } == pausing & NEEDS_OPERATOR
