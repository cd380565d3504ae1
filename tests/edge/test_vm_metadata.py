"""edge.vm_metadata: a token from the metadata service of a virtual machine, by a real HTTP server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from speechsense_watch.edge.iam import Token
from speechsense_watch.edge.secret import AuthError
from speechsense_watch.edge.vm_metadata import ADDRESS, VmMetadata
from support.iam import Metadata
from support.rig import free_port


@pytest.fixture
def service() -> Iterator[Metadata]:
    with Metadata() as service:
        yield service


def trouble(service: Metadata) -> str:
    with pytest.raises(AuthError) as caught:
        VmMetadata(service.address).fetch()
    assert "topsecret" not in str(caught.value)
    return str(caught.value)


def test_a_token_and_how_long_it_is_good_for(service: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked as the documentation says, past every proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert VmMetadata(service.address).fetch() == Token("t1.vm1", 43200.0)
    assert service.asked == [("/computeMetadata/v1/instance/service-accounts/default/token", "Google")]


def test_it_is_asked_at_the_address_that_every_machine_has() -> None:
    """Link-local, so that nobody outside the host can answer."""
    assert ADDRESS == "169.254.169.254"
    assert ADDRESS in VmMetadata().source


def test_a_machine_without_service_account_is_told_how_to_get_one(service: Metadata) -> None:
    """404."""
    service.status, service.body = 404, b"not found"
    assert trouble(service) == (
        "This machine has no service account: link one to it (`yc compute instance update NAME --service-account-id ID`)."
    )


@pytest.mark.parametrize("status", [301, 302, 403, 500, 503])
def test_any_other_answer_is_told_and_no_redirection_followed(service: Metadata, status: int) -> None:
    """A metadata service sends nobody elsewhere."""
    service.status = status
    assert f"answered {status}" in trouble(service)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>topsecret",
        b"[]",
        b"[" * 10_000,
        b'"topsecret"',
        json.dumps({"access_token": "topsecret"}).encode(),
        json.dumps({"expires_in": 1}).encode(),
        json.dumps({"access_token": "topsecret", "expires_in": "soon"}).encode(),
        json.dumps({"access_token": "topsecret", "expires_in": None}).encode(),
        json.dumps({"access_token": "topsecret", "expires_in": 0}).encode(),
        json.dumps({"access_token": "topsecret", "expires_in": -5}).encode(),
        b'{"access_token": "topsecret", "expires_in": NaN}',
        b'{"access_token": "topsecret", "expires_in": 1' + b"0" * 400 + b"}",
        *(json.dumps({"access_token": bad, "expires_in": 60}).encode() for bad in (None, 7, "", "top secret", "a\nb", "ключ")),
        json.dumps({"access_token": "topsecret" * 10_000, "expires_in": 60}).encode(),
    ],
)
def test_what_is_no_token_is_told_and_not_quoted(service: Metadata, body: bytes) -> None:
    """Whatever listens there, and however much it sends."""
    service.body = body
    assert trouble(service).startswith(f"The metadata service ({service.address}) answered with ")


def test_elsewhere_there_is_no_such_service() -> None:
    """The sentence says so, and what to use instead."""
    with pytest.raises(AuthError, match=r"cannot be reached \(Connection refused\)\. It is there only on virtual machines"):
        VmMetadata(f"127.0.0.1:{free_port()}").fetch()


def test_a_service_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody listens and never answers."""
    monkeypatch.setattr("speechsense_watch.edge.vm_metadata.ANSWER_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(AuthError, match=r"cannot be reached \(timed out\)"):
        VmMetadata(f"127.0.0.1:{silent.getsockname()[1]}").fetch()


@pytest.mark.parametrize("piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 9])
def test_a_service_that_drips_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    """Each piece comes in time, the whole never does: it would last until the other end gives up."""
    monkeypatch.setattr("speechsense_watch.edge.vm_metadata.ANSWER_WITHIN_S", 0.5)
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            while not over.wait(0.02):
                connection.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = threading.Thread(target=drip, args=(listener,))
        service.start()
        gives_up = threading.Timer(60, over.set)
        gives_up.start()
        try:
            with pytest.raises(AuthError, match=r"cannot be reached \(timed out\)"):
                VmMetadata(f"127.0.0.1:{listener.getsockname()[1]}").fetch()
        finally:
            gives_up.cancel()
            over.set()
            service.join()
