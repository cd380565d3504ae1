"""A small cut of `make burst`."""

from __future__ import annotations

import pytest

from measure.burst import main

# So long that even a busy machine has done without the next one.
RESCAN_S = 300


@pytest.mark.parametrize("how", ["write", "rename"])
def test_a_burst_becomes_jobs_within_a_rescan(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, once each, in bounded memory; so few are all heard of."""
    assert main(1500, how, rescan_s=RESCAN_S) == 0, capsys.readouterr().out
    assert "overflows 0, found by scan 0" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["write", "rename"])
def test_a_burst_that_the_kernel_has_no_room_for_becomes_jobs_as_well(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No event came of any of them: a scan is made at once, and `status` tells of the overflow and what only the scan found."""
    assert main(1500, how, unheard=True, rescan_s=RESCAN_S) == 0, capsys.readouterr().out
