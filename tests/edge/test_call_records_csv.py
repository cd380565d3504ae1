"""Call records in a CSV file that grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechsense_watch.edge import call_records_csv
from speechsense_watch.edge.call_records_csv import CsvCallRecords
from speechsense_watch.ports import SourceTrouble


def line(unique_id: str, userfield: str = "", caller: str = "79161234567", dst: str = "600") -> str:
    return (
        f'"","{caller}","{dst}","from-internal","""Ivan, ""the"" first"" <{caller}>","PJSIP/mts-1","PJSIP/201-2","Dial","x,30",'
        f'"2026-03-09 11:32:03","2026-03-09 11:32:05","2026-03-09 11:33:06",63,61,"ANSWERED","DOCUMENTATION","{unique_id}",'
        f'"{userfield}"\n'
    )


def test_lines_are_found_by_unique_id_and_by_name(tmp_path: Path) -> None:
    """All of a call, in their order, with Asterisk's names for the columns."""
    path = tmp_path / "Master.csv"
    path.write_text(
        line("1773081123.265", dst="600") + line("1773081999.1", "/spool/2026/a.wav") + line("1773081123.265", dst="201")
    )
    records = CsvCallRecords(str(path))
    found = records.find("in-1773081123.265.wav", "1773081123.265")
    assert [(each["src"], each["dst"], each["billsec"]) for each in found] == [
        ("79161234567", "600", "61"),
        ("79161234567", "201", "61"),
    ]
    assert found[0]["clid"] == '"Ivan, "the" first" <79161234567>'
    assert [each["uniqueid"] for each in records.find("a.wav", "")] == ["1773081999.1"]
    assert records.find("b.wav", "1.1") == []


def test_a_line_that_comes_later_is_found(tmp_path: Path) -> None:
    """Half a line is none yet."""
    path = tmp_path / "Master.csv"
    whole = line("1773081123.265")
    path.write_text(line("1773081000.1") + whole[:100])
    records = CsvCallRecords(str(path))
    assert records.find("x.wav", "1773081123.265") == []
    with path.open("a") as file:
        file.write(whole[100:])
    assert len(records.find("x.wav", "1773081123.265")) == 1


def test_a_file_that_is_rotated_or_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    """Under the same name there is another one."""
    path = tmp_path / "Master.csv"
    path.write_text(line("1773081000.1") * 3)
    records = CsvCallRecords(str(path))
    assert len(records.find("x.wav", "1773081000.1")) == 3
    path.rename(tmp_path / "Master.csv.1")
    path.write_text(line("1773081000.2"))
    assert len(records.find("x.wav", "1773081000.2")) == 1
    assert records.find("x.wav", "1773081000.1") == []
    path.write_text("")
    assert records.find("x.wav", "1773081000.2") == []


@pytest.mark.parametrize("given", [("uniqueid", "src"), ()])
def test_columns_by_name(tmp_path: Path, given: tuple[str, ...]) -> None:
    """As the configuration gives them, or as a first line does."""
    path = tmp_path / "cdr.csv"
    path.write_text(("" if given else "uniqueid,src\n") + "1773081000.1,7916\n")
    assert CsvCallRecords(str(path), given).find("x.wav", "1773081000.1") == [{"uniqueid": "1773081000.1", "src": "7916"}]


def test_what_is_no_record_is_passed_over(tmp_path: Path) -> None:
    """Bytes in no encoding, a NUL after a crash, a line of a megabyte: the others are found."""
    path = tmp_path / "Master.csv"
    junk = b"\xff\xfe,\0\0,,,\n" + b"x" * 2**20 + b"\n" + b'"' * 9 + b"\n\n"
    path.write_bytes(line("1773081000.1").encode() + junk + line("1773081000.2").encode())
    records = CsvCallRecords(str(path))
    assert len(records.find("x.wav", "1773081000.1")) == 1
    assert len(records.find("x.wav", "1773081000.2")) == 1


def test_lines_older_than_the_index_are_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog of years finds its records, and the memory stays small."""
    monkeypatch.setattr(call_records_csv, "INDEXED_LINES", 10)
    path = tmp_path / "Master.csv"
    path.write_text("".join(line(f"17730810{number:02}.1", f"n{number}.wav") for number in range(50)))
    records = CsvCallRecords(str(path))
    for number in (0, 39, 40, 49):
        assert len(records.find("x.wav", f"17730810{number:02}.1")) == 1
        assert len(records.find(f"n{number}.wav", "")) == 1
    assert len(records._index.lines) == 10
    assert len(records._index.by_key) == 20


def test_a_file_that_is_not_there_is_trouble(tmp_path: Path) -> None:
    """And no answer: the record may be in it."""
    with pytest.raises(SourceTrouble, match=r"The call records cannot be read: .*Master.csv \(No such file or directory\)"):
        CsvCallRecords(str(tmp_path / "Master.csv")).find("x.wav", "1.1")
