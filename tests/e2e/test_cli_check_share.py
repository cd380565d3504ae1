"""`check` of a folder that other machines may share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from speechsense_watch.cli.check_folders import check_folder
from speechsense_watch.cli.report import Report
from speechsense_watch.core.rules import Folder
from speechsense_watch.edge import syscalls
from speechsense_watch.edge.clock import SystemClock


@pytest.mark.parametrize(("file_system", "mode", "told"), [("nfs", 0, 1), ("nfs", os.W_OK, 0), ("xfs", 0, 0)])
def test_a_share_in_which_no_note_can_be_left_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file_system: str, mode: int, told: int
) -> None:
    """Not as a fault: mostly there is one machine only. On a disk of this machine no note is needed."""
    monkeypatch.setattr(syscalls, "file_system_of", lambda _descriptor: (file_system, file_system == "nfs"))
    monkeypatch.setattr(os, "access", lambda _path, wanted: bool(mode & wanted))
    report = Report()
    check_folder(Folder(path=str(tmp_path), connection_id="c", start_from="all", name="pbx"), {}, SystemClock(), report)
    assert report.bad == 0
    assert capsys.readouterr().out.count("other machines that share it") == told
