"""What a real connection says of the key that calls show: none, one on its way, another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.verdict import Code, PauseReason
from speechsense_watch.edge.channel import Endpoint
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.ports import ChannelState, CredentialError, CredentialPending, Talk
from speechsense_watch.standin import Rules, StandIn
from support.rig import free_port
from support.waiting import wait_for

TALK = Talk(connection_id="conn", fields={}, request_id="request", uid="uid")


class Key:
    """Keeps `ports.Credentials`: shows `key`, or raises `trouble`."""

    def __init__(self, key: str, trouble: CredentialError | None = None) -> None:
        self.key = key
        self.trouble = trouble

    def headers(self) -> tuple[tuple[str, str], ...]:
        if self.trouble is not None:
            raise self.trouble
        return (("authorization", f"Api-Key {self.key}"),)

    def refused(self) -> None: ...


@pytest.fixture
def key() -> Key:
    return Key("one")


@pytest.fixture
def service(key: Key, tmp_path: Path) -> Iterator[GrpcService]:
    with StandIn(tmp_path / "service") as standin:
        service = GrpcService(Endpoint(standin.target, plaintext=True), key, lambda: None)
        wait_for(lambda: service.channel().state is ChannelState.READY, 10, "a connection")
        yield service
        service.close()


def test_another_key_is_another_number(key: Key, tmp_path: Path) -> None:
    """That stands on what became of a call, and is the same for every connection that shows this key."""
    with StandIn(tmp_path / "service", rules=Rules(keys=frozenset({"another"}))) as standin:
        before, after = (GrpcService(Endpoint(standin.target, plaintext=True), each, lambda: None) for each in (key, Key("two")))
        refused = [service.send_whole(TALK, b"audio") for service in (before, after)]
        key.key = "two"
        refused.append(before.send_whole(TALK, b"audio"))
        before.close()
        after.close()
    assert {outcome.code for outcome in refused} == {Code.UNAUTHENTICATED}
    one, two, again = [outcome.credentials for outcome in refused]
    assert 0 not in (one, two)
    assert one != two
    assert again == two


def test_without_a_key_the_connection_counts_as_failed(service: GrpcService, key: Key) -> None:
    """In the words of whoever looked for it, until it is back."""
    key.trouble = CredentialError("There is no key.")
    found = service.channel()
    assert (found.state, found.reason, found.message) == (ChannelState.FAILED, PauseReason.NO_CREDENTIALS, "There is no key.")
    assert service.send_whole(TALK, b"audio").credentials == 0
    key.trouble = None
    assert service.channel().state is ChannelState.READY


def test_a_key_that_is_on_its_way_is_waited_for_as_a_connection_is(service: GrpcService, key: Key) -> None:
    """It is no trouble."""
    key.trouble = CredentialPending("An IAM token has been asked for.")
    assert service.channel().state is ChannelState.CONNECTING
    key.trouble = None
    assert service.channel().state is ChannelState.READY


def test_a_connection_that_fails_meanwhile_is_told() -> None:
    """Whatever the key does: it is what keeps everything."""
    key = Key("", CredentialPending("An IAM token has been asked for."))
    service = GrpcService(Endpoint(f"127.0.0.1:{free_port()}", plaintext=True), key, lambda: None)
    wait_for(lambda: service.channel().state is ChannelState.FAILED, 10, "it fails")
    assert service.channel().reason is PauseReason.UNREACHABLE
    service.close()
