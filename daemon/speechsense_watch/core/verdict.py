"""What the end of an attempt means: for the recording, for its connection, for the service.

The table follows the meaning of the gRPC status codes (grpc.io, "Status codes and their use in gRPC") and one line
that matters more than all of them: whether the last byte may have left. Before that commit point nothing complete
was sent, so a failure is only a failure; after it, anything that does not refuse leaves the outcome unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason


class Code(StrEnum):
    """The gRPC status codes by name."""

    OK = "OK"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


class Halt(StrEnum):
    """Why our own side ended a call."""

    CHANGED = "changed"  # the files are no longer the ones that were claimed
    READ_FAILED = "read_failed"
    NOT_RECORDED = "not_recorded"  # the commit mark could not be written: the last byte stays here
    STALLED = "stalled"  # nothing was taken from us, or nothing answered, for too long
    PEER_GONE = "peer_gone"  # the connection's other end fell silent
    SHUTDOWN = "shutdown"
    NO_KEY = "no_key"  # the key or token went between the claim and the call: nothing was sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a call ended. `committed`: the last byte may have left before it did."""

    code: Code
    message: str = ""
    halt: Halt | None = None
    talk_id: str = ""
    committed: bool = False
    bytes_sent: int = 0
    server_request_id: str = ""
    # Seconds the service asked us to wait (google.rpc.RetryInfo or grpc-retry-pushback-ms).
    retry_after_s: float | None = None
    # Which key or token was shown, by its number (`ports.Key`); 0 for none.
    credentials: int = 0


class Kind(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    TRANSIENT = "transient"
    UNKNOWN = "unknown"
    CONNECTION = "connection"
    SERVICE = "service"
    CHANGED = "changed"
    GIVEN_BACK = "given_back"


class PauseReason(StrEnum):
    """Why uploads of a connection, or all, stand still."""

    UNREACHABLE = "unreachable"
    NOT_TRUSTED = "not_trusted"  # something answers, but not as a SpeechSense that this machine trusts
    NO_CREDENTIALS = "no_credentials"
    KEY_REFUSED = "key_refused"
    UNIMPLEMENTED = "unimplemented"
    QUOTA = "quota"
    UNAVAILABLE = "unavailable"
    PERMISSION_DENIED = "permission_denied"
    CONNECTION_NOT_FOUND = "connection_not_found"
    MANY_REFUSED = "many_refused"
    MANY_UNKNOWN = "many_unknown"
    QUEUE_NOT_WRITABLE = "queue_not_writable"


PAUSE_HINTS = {
    PauseReason.UNREACHABLE: "Check the network, name resolution and `endpoint`; it goes on by itself "
    "as soon as the service can be reached.",
    PauseReason.NOT_TRUSTED: "Check `endpoint`, `ca_file` and `plaintext`; `check --online` tries them.",
    PauseReason.NO_CREDENTIALS: "Mend the credential the message names; it is read again by itself.",
    PauseReason.KEY_REFUSED: "Put a valid key in place: `speechsense-watch set-key`; it is used at once. The key needs the scope "
    "yc.speech-sense.use, its service account the role Data editor in the space.",
    PauseReason.UNIMPLEMENTED: "The endpoint is not a SpeechSense TalkService: check `endpoint`.",
    PauseReason.QUOTA: "The quota is used up; it goes on by itself. Ask Yandex Cloud for a higher one if this stays.",
    PauseReason.UNAVAILABLE: "SpeechSense is in trouble, or the connections to it break on the way: if that stays, look "
    "at the firewall and the proxies between. It is probed and goes on by itself.",
    PauseReason.PERMISSION_DENIED: "Give the service account the role Data editor in the space of this connection.",
    PauseReason.CONNECTION_NOT_FOUND: "Check `connection_id` of the folder against the connection's page in SpeechSense.",
    PauseReason.MANY_REFUSED: "SpeechSense refused several recordings in a row: the connection and the folder's rules do "
    "not fit each other. `list --state ready` shows what it said.",
    PauseReason.MANY_UNKNOWN: "Answers get lost between here and SpeechSense; one recording at a time is tried until one is "
    "accepted.",
    PauseReason.QUEUE_NOT_WRITABLE: "The queue could not be written, so nothing is sent: check the disk that holds it.",
}

# What waiting alone will not end.
NEEDS_OPERATOR = frozenset(
    {
        PauseReason.NOT_TRUSTED,
        PauseReason.NO_CREDENTIALS,
        PauseReason.KEY_REFUSED,
        PauseReason.UNIMPLEMENTED,
        PauseReason.PERMISSION_DENIED,
        PauseReason.CONNECTION_NOT_FOUND,
        PauseReason.MANY_REFUSED,
    }
)

# What another key or token may be taken for.
OF_THE_KEY = frozenset({PauseReason.KEY_REFUSED, PauseReason.PERMISSION_DENIED, PauseReason.CONNECTION_NOT_FOUND})
# Troubles of this machine, which it sees begin and end by itself: they say nothing of the service.
OWN_TROUBLE = frozenset({PauseReason.NO_CREDENTIALS, PauseReason.QUEUE_NOT_WRITABLE})


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: Kind
    problem: Problem | None = None
    pause: PauseReason | None = None
    # The service had the last word, not we.
    answered: bool = True


_HALTS = {
    Halt.CHANGED: Verdict(Kind.CHANGED, Problem(Reason.READ_AGAIN, "The files changed while they were being sent.")),
    Halt.NOT_RECORDED: Verdict(
        Kind.SERVICE,
        Problem(Reason.SERVICE_TROUBLE, "The queue could not be written, so the recording was not sent."),
        PauseReason.QUEUE_NOT_WRITABLE,
    ),
    Halt.PEER_GONE: Verdict(
        Kind.SERVICE,
        Problem(Reason.SERVICE_TROUBLE, "The connection to SpeechSense went dead during the upload."),
        PauseReason.UNREACHABLE,
    ),
    Halt.SHUTDOWN: Verdict(Kind.GIVEN_BACK, Problem(Reason.INTERRUPTED, "The daemon was stopped during the upload.")),
}
_REFUSING_RECORDING = frozenset({Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION})
_REFUSING_MORE = {
    Code.NOT_FOUND: (Kind.CONNECTION, PauseReason.CONNECTION_NOT_FOUND),
    Code.PERMISSION_DENIED: (Kind.CONNECTION, PauseReason.PERMISSION_DENIED),
    Code.UNAUTHENTICATED: (Kind.SERVICE, PauseReason.KEY_REFUSED),
    Code.UNIMPLEMENTED: (Kind.SERVICE, PauseReason.UNIMPLEMENTED),
    Code.RESOURCE_EXHAUSTED: (Kind.SERVICE, PauseReason.QUOTA),
}
# How gRPC itself words the end of a call whose connection was reset or closed (1.85; seen).
_GRPC_LOST_IT = "Stream removed"
_SERVICE_DOWN = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})


def judge(outcome: Outcome) -> Verdict:
    """What the outcome means. A refusal is a refusal on either side of the commit point."""
    said = _in_words(outcome)
    if outcome.code is Code.OK and outcome.committed and outcome.talk_id:
        return Verdict(Kind.ACCEPTED)
    # grpc's own limit on a message and the service's quota share one code; only the text tells them apart.
    if outcome.code is Code.RESOURCE_EXHAUSTED and "larger than max" in outcome.message:
        return Verdict(Kind.REFUSED, Problem(Reason.TOO_LARGE_FOR_SERVICE, said))
    if outcome.halt is None and outcome.code in _REFUSING_RECORDING:
        return Verdict(Kind.REFUSED, Problem(Reason.SERVICE_REFUSED, said))
    if outcome.halt is None and outcome.code in _REFUSING_MORE:
        kind, pause = _REFUSING_MORE[outcome.code]
        return Verdict(kind, Problem(Reason.SERVICE_TROUBLE, said), pause)
    if outcome.committed:
        return Verdict(Kind.UNKNOWN, Problem(Reason.OUTCOME_UNKNOWN, f"Sent whole, but no clear answer came: {said}"))
    if outcome.halt is Halt.NO_KEY:
        return Verdict(Kind.SERVICE, Problem(Reason.SERVICE_TROUBLE, said), PauseReason.NO_CREDENTIALS)
    if outcome.halt in _HALTS:
        return _HALTS[outcome.halt]
    if outcome.halt is None and outcome.code in _SERVICE_DOWN:
        return Verdict(Kind.SERVICE, Problem(Reason.SERVICE_TROUBLE, said), PauseReason.UNAVAILABLE)
    return Verdict(Kind.TRANSIENT, Problem(Reason.UPLOAD_FAILED, said), answered=outcome.halt is None)


def _in_words(outcome: Outcome) -> str:
    if outcome.halt is Halt.STALLED:
        return "The service took or answered nothing for too long."
    if outcome.halt is Halt.PEER_GONE:
        return "the connection to SpeechSense went dead."
    if outcome.halt is Halt.READ_FAILED:
        return f"The file could not be read: {outcome.message}"
    if outcome.halt is Halt.NO_KEY:
        return outcome.message
    if outcome.halt is Halt.SHUTDOWN:
        return "the daemon was stopped before the answer came."
    if outcome.code is Code.OK and not outcome.committed:
        # It may keep what it had of it under that id.
        torn = f", with talk {outcome.talk_id}" if outcome.talk_id else ""
        return f"The service answered before the recording was sent whole{torn}."
    if outcome.code is Code.OK:
        return "The service answered without a talk id."
    if outcome.code is Code.UNAVAILABLE and outcome.message.startswith(_GRPC_LOST_IT):
        return f"The connection to SpeechSense broke during the upload: {outcome.message}"
    return f"SpeechSense said {outcome.code}: {outcome.message or 'no more than that'}"
