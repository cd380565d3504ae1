"""Every kind of trouble of the service, by a real gRPC server: what pauses and why, that nothing is charged, and that it goes on
when the cause has ended. Only the uploader's time is scripted.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from speechsense_watch import ports
from speechsense_watch.core.model import State
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.edge.channel import Endpoint
from speechsense_watch.edge.secret import number_of
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.ports import ChannelState
from speechsense_watch.standin import Connection, Fault, Rules, StandIn
from support.bench import Bench, bench_on
from support.rig import free_port
from support.waiting import wait_for


class Key:
    """Keeps `ports.Credentials`."""

    def __init__(self, key: str = "right") -> None:
        self.key = key

    def headers(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Api-Key {self.key}"),)

    def refused(self) -> None:
        return


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Three recordings wait; one is sent at a time."""
    with bench_on(tmp_path, UploadRules(concurrency=1)) as made:
        for number in range(3):
            made.drop(f"call{number}", seed=number)
        made.settle()
        yield made


@pytest.fixture
def opened(bench: Bench) -> Iterator[list[GrpcService]]:
    services: list[GrpcService] = []
    yield services
    for service in services:
        service.close()


def use(bench: Bench, opened: list[GrpcService], endpoint: Endpoint, key: Key | None = None) -> GrpcService:
    credentials = key or Key()
    service = GrpcService(endpoint, credentials, lambda: None)
    opened.append(service)
    bench.attempts.service = bench.uploader.service = service
    bench.service.key = ports.Key(number_of(credentials.headers()))
    return service


def plain(standin: StandIn) -> Endpoint:
    return Endpoint(standin.target, plaintext=True)


def is_ready(service: GrpcService) -> None:
    wait_for(lambda: service.channel().state is ChannelState.READY, 30)


def paused(bench: Bench) -> dict[str, tuple[str, bool]]:
    return {scope: (pause.reason.value, pause.needs_operator) for scope, pause in bench.uploader.traffic.pauses.items()}


def wait_for_pause(bench: Bench, word: str) -> None:
    """The channel's failure is told, with this in its words."""

    def told() -> bool:
        bench.send()
        return any(word in pause.message for pause in bench.uploader.traffic.pauses.values())

    wait_for(told, 30)


def nothing_charged(bench: Bench) -> None:
    assert {(job.state, job.attempts, job.failing_s) for job in bench.jobs()} == {(State.READY, 0, 0.0)}


def all_sent(bench: Bench, first_after_s: float = 61.0) -> None:
    bench.send(first_after_s)
    for _ in range(3):
        bench.send(1)
    assert {job.state for job in bench.jobs()} == {State.DONE}
    assert paused(bench) == {}
    assert {job.attempts for job in bench.jobs()} == {0}


def test_nobody_listens(bench: Bench, opened: list[GrpcService], tmp_path: Path) -> None:
    """Then somebody does: it goes on with the connection, no probe's time is waited for."""
    port = free_port()
    service = use(bench, opened, Endpoint(f"127.0.0.1:{port}", plaintext=True))
    wait_for_pause(bench, "cannot be reached")
    assert paused(bench) == {"service": ("unreachable", False)}
    nothing_charged(bench)
    with StandIn(tmp_path / "service", port):
        is_ready(service)
        all_sent(bench, 0)


def test_a_name_that_does_not_exist(bench: Bench, opened: list[GrpcService], tmp_path: Path) -> None:
    """Until the configuration names another: that is tried at once."""
    use(bench, opened, Endpoint("speechsense.invalid:443"))
    wait_for_pause(bench, "cannot be resolved")
    assert paused(bench) == {"service": ("unreachable", False)}
    nothing_charged(bench)
    with StandIn(tmp_path / "service") as standin:
        is_ready(use(bench, opened, plain(standin)))
        all_sent(bench, 0)


def test_a_certificate_that_is_not_trusted(bench: Bench, opened: list[GrpcService], tmp_path: Path) -> None:
    """Until the right one lies in `ca_file`: it is read without anybody's word."""
    with StandIn(tmp_path / "other", tls=True) as other:
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(other.ca_file.read_bytes())
    with StandIn(tmp_path / "service", tls=True) as standin:
        service = use(bench, opened, Endpoint(standin.target, ca_file=str(ca_file)))
        wait_for_pause(bench, "not trusted")
        assert paused(bench) == {"service": ("not_trusted", True)}
        nothing_charged(bench)
        assert standin.calls() == []
        ca_file.write_bytes(standin.ca_file.read_bytes())
        is_ready(service)
        all_sent(bench, 0)


def test_a_refused_key(bench: Bench, opened: list[GrpcService], tmp_path: Path) -> None:
    """Until another one is there."""
    key = Key("wrong")
    with StandIn(tmp_path / "service", rules=Rules(keys=frozenset({"right"}))) as standin:
        is_ready(use(bench, opened, plain(standin), key))
        bench.send()
        assert paused(bench) == {"service": ("key_refused", True)}
        for _ in range(3):
            bench.send(61)
        nothing_charged(bench)
        key.key = "right"
        all_sent(bench)


@pytest.mark.parametrize(
    ("code", "scope", "reason", "needs_operator"),
    [
        ("PERMISSION_DENIED", "conn", "permission_denied", True),
        ("NOT_FOUND", "conn", "connection_not_found", True),
        ("RESOURCE_EXHAUSTED", "service", "quota", False),
        ("UNIMPLEMENTED", "service", "unimplemented", True),
        ("UNAUTHENTICATED", "service", "key_refused", True),
    ],
)
def test_a_status_that_is_nobody_recordings_fault(
    bench: Bench, opened: list[GrpcService], tmp_path: Path, code: str, scope: str, reason: str, *, needs_operator: bool
) -> None:
    """One is refused, then only probes; the first probe that is taken ends it for all."""
    with StandIn(tmp_path / "service") as standin:
        standin.order(Fault(code, count=0))
        is_ready(use(bench, opened, plain(standin)))
        bench.send()
        assert paused(bench) == {scope: (reason, needs_operator)}
        for _ in range(5):
            bench.send(61)
        nothing_charged(bench)
        assert len(standin.calls()) == 6
        standin.clear_faults()
        all_sent(bench)


def test_a_connection_that_does_not_exist_yet(bench: Bench, opened: list[GrpcService], tmp_path: Path) -> None:
    """The service's own answer, not one on order; until somebody makes it."""
    connections: dict[str, Connection] = {}
    with StandIn(tmp_path / "service", rules=Rules(connections=connections)) as standin:
        is_ready(use(bench, opened, plain(standin)))
        bench.send()
        assert paused(bench) == {"conn": ("connection_not_found", True)}
        nothing_charged(bench)
        connections["conn"] = Connection()
        all_sent(bench)


def test_no_such_service(bench: Bench, opened: list[GrpcService], tmp_path: Path) -> None:
    """A gRPC server that has never heard of SpeechSense; then the right one in its place."""
    stranger = grpc.server(ThreadPoolExecutor(2))
    port = stranger.add_insecure_port("127.0.0.1:0")
    stranger.start()
    service = use(bench, opened, Endpoint(f"127.0.0.1:{port}", plaintext=True))
    is_ready(service)
    bench.send()
    assert paused(bench) == {"service": ("unimplemented", True)}
    nothing_charged(bench)
    stranger.stop(0).wait()
    with StandIn(tmp_path / "service", port):
        wait_for(lambda: service.channel().state is not ChannelState.READY, 30)
        is_ready(service)
        all_sent(bench)


@pytest.mark.parametrize(
    ("order", "not_before_s", "then_s"),
    [
        ({"retry_delay_s": 300.0}, 299.0, 2.0),
        ({"pushback_ms": "240000"}, 239.0, 2.0),
        ({"pushback_ms": "240000", "retry_delay_s": 300.0}, 299.0, 2.0),
        ({"pushback_ms": "-1"}, 899.0, 2.0),  # do not try again: `retry_max`
        ({"pushback_ms": "1"}, 19.0, 42.0),  # no sooner than any other pause
        ({"retry_delay_s": 1e6}, 899.0, 2.0),
    ],
)
def test_a_plea_to_wait_is_kept(
    bench: Bench, opened: list[GrpcService], tmp_path: Path, order: dict[str, object], not_before_s: float, then_s: float
) -> None:
    """By all recordings; and no longer than asked, nor than `retry_max`."""
    with StandIn(tmp_path / "service") as standin:
        standin.order(Fault.from_json({"what": "RESOURCE_EXHAUSTED", "message": "quota", **order}))
        is_ready(use(bench, opened, plain(standin)))
        bench.send()
        assert paused(bench) == {"service": ("quota", False)}
        bench.send(not_before_s)
        assert len(standin.calls()) == 1
        all_sent(bench, then_s)


def test_a_quota_after_the_last_byte_is_a_refusal_all_the_same(bench: Bench, opened: list[GrpcService], tmp_path: Path) -> None:
    """One message is committed from the start: given back, neither held nor sent again as a possible double."""
    with StandIn(tmp_path / "service") as standin:
        standin.order(Fault("RESOURCE_EXHAUSTED", "mid"))
        is_ready(use(bench, opened, plain(standin)))
        bench.send()
        nothing_charged(bench)
        all_sent(bench)
        assert not any(job.possible_duplicate for job in bench.jobs())
