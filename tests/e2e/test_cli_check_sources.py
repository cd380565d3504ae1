"""`check`, the sources of metadata: can they be asked, and what are they good for."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechsense_watch.cli.check_folders import check_folder
from speechsense_watch.cli.report import Report
from speechsense_watch.core.rules import CallRecordRules, Folder
from speechsense_watch.edge.clock import SystemClock

ALWAYS = '"","7916","600","in","""{name}"" <7916>","PJSIP/mts-1","PJSIP/201-2","Dial","x,30","a","b","c",63,61,"ANSWERED","D"'


def checked(tmp_path: Path, csv: bytes, capsys: pytest.CaptureFixture[str], **rules: object) -> tuple[int, str]:
    """How many findings are bad, and what was told."""
    path, root = tmp_path / "Master.csv", tmp_path / "calls"
    root.mkdir()
    path.write_bytes(csv)
    cdr = CallRecordRules(csv=str(path), **rules)  # type: ignore[arg-type]
    report = Report()
    check_folder(Folder(path=str(root), connection_id="c", start_from="all", name="pbx", cdr=cdr), {}, SystemClock(), report)
    return report.bad, capsys.readouterr().out


@pytest.mark.parametrize("further", ["", ',""'])
def test_lines_without_anything_to_be_found_by_are_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], further: str
) -> None:
    """Asterisk's own setting: every recording would wait for nothing, and go without. The cure is named."""
    bad, said = checked(tmp_path, f"{ALWAYS}{further}\n".encode() * 3, capsys)
    assert bad == 1
    assert f"none of the last 3 lines of {tmp_path}/Master.csv bears a unique id or a file's name" in said
    assert "loguniqueid=yes" in said
    assert "loguserfield=yes" in said


@pytest.mark.parametrize("csv", [b"", f'{ALWAYS},"1.1"\n{ALWAYS}\n'.encode(), f'{ALWAYS},"a.wav"\n'.encode()])
def test_lines_that_can_be_found_are_right(tmp_path: Path, capsys: pytest.CaptureFixture[str], csv: bytes) -> None:
    """One is enough; where there is none yet, nothing can be said."""
    bad, said = checked(tmp_path, csv, capsys)
    assert bad == 0
    assert "the call records can be read" in said
    assert "lines of" not in said


@pytest.mark.parametrize(("encoding", "told"), [("utf-8", True), ("windows-1251", False)])
def test_names_that_would_be_left_out_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, *, told: bool
) -> None:
    """With the key that mends it."""
    csv = f'{ALWAYS.format(name="Иван")},"1.1"\n{ALWAYS},"1.2"\n'.encode("windows-1251")
    bad, said = checked(tmp_path, csv, capsys, encoding=encoding)
    assert bad == 0
    assert ("`clid` is not in utf-8 in 1 of the last 2 lines" in said) is told
    assert ("Set `encoding`" in said) is told


def test_records_that_cannot_be_read_are_wrong_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No more is said of them."""
    (tmp_path / "calls").mkdir()
    report = Report()
    cdr = CallRecordRules(csv=str(tmp_path / "none.csv"))
    folder = Folder(path=str(tmp_path / "calls"), connection_id="c", start_from="all", name="pbx", cdr=cdr)
    check_folder(folder, {}, SystemClock(), report)
    assert report.bad == 1
    assert capsys.readouterr().out.count("none.csv") == 1
