"""edge.retry_info: how long the service asks to wait, whatever it may send."""

from __future__ import annotations

import math

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from speechsense_watch.core.rules import SearchScope
from speechsense_watch.edge.channel import Endpoint, asking
from speechsense_watch.edge.retry_info import retry_after_s
from speechsense_watch.ports import SearchTrouble
from speechsense_watch.standin import Fault, StandIn


def details(*messages: Message) -> bytes:
    packed = []
    for message in messages:
        detail = Any()
        detail.Pack(message)
        packed.append(detail)
    encoded: bytes = Status(code=8, message="quota", details=packed).SerializeToString()
    return encoded


def delay(seconds: int, nanos: int = 0) -> Message:
    info: Message = RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))
    return info


PUSHBACK, DETAILS = "grpc-retry-pushback-ms", "grpc-status-details-bin"


@pytest.mark.parametrize(
    ("trailing", "wait_s"),
    [
        ({}, None),
        ({"x-request-id": "1"}, None),
        ({PUSHBACK: "1500"}, 1.5),
        ({PUSHBACK: "0"}, 0.0),
        ({PUSHBACK: "-1"}, math.inf),  # GRFC A6: do not try again
        ({PUSHBACK: "soon"}, math.inf),  # the same, says A6
        ({PUSHBACK: "1.5"}, math.inf),
        ({PUSHBACK: "9" * 5000}, math.inf),
        ({PUSHBACK: "\u0661"}, math.inf),
        ({PUSHBACK: ""}, None),
        ({PUSHBACK: b"1500"}, None),
        ({DETAILS: details(delay(90, 500_000_000))}, 90.5),
        ({DETAILS: details(ErrorInfo(reason="QUOTA"), delay(30))}, 30.0),
        ({DETAILS: details(delay(5), delay(30))}, 30.0),
        ({DETAILS: details(delay(0))}, None),
        ({DETAILS: details(delay(-5))}, None),
        ({DETAILS: details(ErrorInfo(reason="QUOTA"))}, None),
        ({DETAILS: details()}, None),
        ({DETAILS: b""}, None),
        ({DETAILS: b"\xff\xff\xff"}, None),
        ({DETAILS: "text"}, None),
        ({PUSHBACK: "1500", DETAILS: details(delay(90))}, 90.0),
        ({PUSHBACK: "100000", DETAILS: details(delay(90))}, 100.0),
        ({PUSHBACK: "-1", DETAILS: details(delay(90))}, math.inf),
    ],
)
def test_what_was_asked_is_understood(trailing: dict[str, str | bytes], wait_s: float | None) -> None:
    """Both ways of saying it; nonsense is never an error."""
    assert retry_after_s(trailing) == wait_s


def test_a_detail_that_is_broken_inside_is_no_plea() -> None:
    """Its type is right, its content is not."""
    broken = Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff\xff")
    assert retry_after_s({DETAILS: Status(details=[broken]).SerializeToString()}) is None


class _NoKey:
    """Keeps `ports.Credentials`."""

    version = 1

    def headers(self) -> tuple[tuple[str, str], ...]:
        return ()

    def refused(self) -> None:
        pass


def test_who_asks_a_question_is_told_too(standin: StandIn) -> None:
    """Reading has a quota of its own, and what the service says of it reaches those who look up."""
    standin.order(Fault("RESOURCE_EXHAUSTED", methods=("Search",), retry_delay_s=90))
    endpoint = Endpoint(f"127.0.0.1:{standin.port}", plaintext=True, ca_file="")
    with asking(endpoint, _NoKey()) as service, pytest.raises(SearchTrouble) as caught:
        service.search(SearchScope("o", "s"), "conn-1", "userMeta.recording_id", ["a-1"])
    assert caught.value.retry_after_s == 90.0
