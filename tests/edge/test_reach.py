"""edge.reach: what keeps this machine from the service, in words."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from speechsense_watch.core.verdict import PauseReason
from speechsense_watch.edge.reach import Trouble, explain
from speechsense_watch.standin.certificates import certificates


@pytest.fixture
def listening() -> Iterator[str]:
    """Somebody who takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def answering(welcome: Callable[[socket.socket], None]) -> Iterator[str]:
    """Somebody who takes one connection, does that with it and ends it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def once() -> None:
            with contextlib.suppress(OSError), server.accept()[0] as connection:
                connection.settimeout(10)
                welcome(connection)

        thread = threading.Thread(target=once)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize("host", ["a..b", "x" * 300])
def test_what_can_be_no_name_is_told(host: str) -> None:
    """Before anybody is asked for it."""
    trouble = explain(f"{host}:443", plaintext=False)
    assert trouble == Trouble(f"{host} is no name that a host may have: check `endpoint`.")


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"no certificate", "cannot be used")])
def test_a_ca_file_of_no_use_is_not_the_networks_fault(tmp_path: Path, listening: str, content: bytes | None, why: str) -> None:
    """The connection came about; the file is named."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    trouble = explain(listening, plaintext=False, ca_file=str(file))
    assert trouble is not None
    assert trouble.reason is PauseReason.NOT_TRUSTED
    assert (str(file) in trouble.message, why in trouble.message, "check `ca_file`" in trouble.message) == (True, True, True)


@pytest.mark.parametrize(("offered", "wrong"), [(["h2"], False), (["http/1.1"], True), ([], True)])
def test_a_web_server_is_no_grpc_server(tmp_path: Path, offered: list[str], *, wrong: bool) -> None:
    """Trusted and all, and gRPC refuses it: what is wrong is told, and that waiting will not mend it."""
    made = certificates(tmp_path / "tls")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    key.write_bytes(made.private_key)
    certificate.write_bytes(made.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(offered)

    def welcome(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as talking:
            talking.recv(1)

    with answering(welcome) as address:
        trouble = explain(address, plaintext=False, ca_file=str(made.ca_file))
    if not wrong:
        assert trouble is None
        return
    assert trouble is not None
    assert trouble.reason is PauseReason.NOT_TRUSTED
    assert "does not speak HTTP/2" in trouble.message
    assert "check `endpoint`" in trouble.message


def test_one_that_hangs_up_is_no_matter_of_trust(tmp_path: Path) -> None:
    """A balancer without a machine behind it, a firewall: it may be over soon."""

    def hang_up(connection: socket.socket) -> None:
        connection.recv(10_000)

    with answering(hang_up) as address:
        trouble = explain(address, plaintext=False)
    assert trouble == Trouble(f"{address} ends the connection when TLS begins: check the firewall, the port and `plaintext`.")


def test_a_connection_is_enough_where_no_tls_is_spoken(listening: str) -> None:
    """Nothing is wrong then."""
    assert explain(listening, plaintext=True) is None
