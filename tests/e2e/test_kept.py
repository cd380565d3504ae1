"""A small cut of `make kept`."""

from __future__ import annotations

import pytest

from measure.kept import main


@pytest.mark.parametrize("directories", [1, 20])
def test_recordings_left_in_place_cost_a_scan_nothing(capsys: pytest.CaptureFixture[str], directories: int) -> None:
    """And one that arrives among them is taken."""
    assert main(2000, directories, rescan_s=1) == 0, capsys.readouterr().out
