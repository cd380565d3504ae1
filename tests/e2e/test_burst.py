"""A small cut of `make burst`."""

from __future__ import annotations

import pytest

from measure.burst import main


@pytest.mark.parametrize("how", ["write", "rename"])
def test_a_burst_becomes_jobs_within_a_rescan(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, once each, in bounded memory."""
    assert main(1500, how) == 0, capsys.readouterr().out
