"""edge.reach: what keeps this machine from the service, in words."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.core.verdict import PauseReason
from speechsense_watch.edge.reach import Trouble, explain


@pytest.fixture
def listening() -> Iterator[str]:
    """Somebody who takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


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


def test_a_connection_is_enough_where_no_tls_is_spoken(listening: str) -> None:
    """Nothing is wrong then."""
    assert explain(listening, plaintext=True) is None
