"""edge.reach: which step on the way to the service fails, in words that lead to what is wrong."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from speechsense_watch.core.verdict import PauseReason
from speechsense_watch.edge.reach import explain


@pytest.mark.parametrize("name", ["api..speechsense", "." * 3, "x" * 64])
def test_a_name_that_cannot_be_one_is_told_as_one_that_is_not_known(name: str) -> None:
    """Python refuses to look for it at all."""
    trouble = explain(f"{name}:443", plaintext=False)
    assert trouble is not None
    assert trouble.message.startswith(f"The name {name} cannot be resolved (")
    assert trouble.message.endswith("check DNS and `endpoint`.")


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_a_ca_file_that_is_missing_or_holds_none_is_told_as_that(tmp_path: Path, content: bytes | None) -> None:
    """Neither the network nor the port is to blame."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    with socket.create_server(("127.0.0.1", 0)) as service:
        trouble = explain(f"127.0.0.1:{service.getsockname()[1]}", plaintext=False, ca_file=str(ca_file))
    assert trouble is not None
    assert trouble.message.startswith(f"{ca_file} holds no certificate that can be used (")
    assert trouble.message.endswith("check `ca_file`.")
    assert trouble.reason is PauseReason.NOT_TRUSTED
