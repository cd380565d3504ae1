"""A small cut of `make crowd`."""

from __future__ import annotations

import pytest

from measure.crowd import main


def test_old_recordings_by_the_thousand_do_not_hide_a_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Left alone, counted, and nothing that arrives among them waits for them."""
    assert main(5000, rescan_s=2) == 0, capsys.readouterr().out
