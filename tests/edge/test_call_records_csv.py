"""Call records in a CSV file that grows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedReader
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


@pytest.mark.parametrize("aside", ["Master.csv.1", "Master.csv-20260309", "Master-20260309.csv"])
def test_what_was_rotated_away_a_moment_ago_is_found_still(tmp_path: Path, aside: str) -> None:
    """A call that ended just before midnight is looked for after it; that no call has ended since is no trouble."""
    path = tmp_path / "Master.csv"
    path.write_text(line("1773081000.1", dst="600"))
    records = CsvCallRecords(str(path))
    assert len(records.find("x.wav", "1773081000.1")) == 1
    path.rename(tmp_path / aside)
    assert len(records.find("x.wav", "1773081000.1")) == 1
    assert records.find("x.wav", "1773081000.2") == []
    path.write_text(line("1773081000.1", dst="201") + line("1773081000.2"))
    assert [each["dst"] for each in records.find("x.wav", "1773081000.1")] == ["600", "201"]
    assert len(CsvCallRecords(str(path)).find("x.wav", "1773081000.2")) == 1


def test_of_rotated_files_the_last_one_is_asked(tmp_path: Path) -> None:
    """Neither compressed ones, nor those of last month, nor one that may not be read."""
    path = tmp_path / "Master.csv"
    for age, (name, unique_id) in enumerate(
        (("Master.csv.1", "1.1"), ("Master.csv.2", "1.2"), ("Master.csv.3.gz", "1.3"), ("other.csv", "1.4"))
    ):
        (tmp_path / name).write_text(line(unique_id))
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    path.write_text(line("1.5"))
    records = CsvCallRecords(str(path))
    assert [len(records.find("x.wav", f"1.{number}")) for number in range(1, 6)] == [1, 0, 0, 0, 1]
    (tmp_path / "Master.csv.1").unlink()
    (tmp_path / "Master.csv.1").mkdir()
    assert len(records.find("x.wav", "1.5")) == 1


def test_a_file_that_is_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    """As logrotate's copytruncate does it: what was there is not told any more, what comes is."""
    path = tmp_path / "Master.csv"
    path.write_text(line("1773081000.1") * 3)
    records = CsvCallRecords(str(path))
    assert len(records.find("x.wav", "1773081000.1")) == 3
    path.write_text(line("1773081000.2"))
    assert records.find("x.wav", "1773081000.1") == []
    assert len(records.find("x.wav", "1773081000.2")) == 1


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


@pytest.mark.parametrize("header", ["", "x,src,dst,c,clid,channel,dstchannel,a,d,s,a,e,d,billsec,dis,am,uniqueid,userfield\n"])
def test_lines_older_than_the_index_are_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    """A backlog of years finds its records, wherever a block of the search ends, and the memory stays small."""
    monkeypatch.setattr(call_records_csv, "INDEXED_BYTES", 3000)
    monkeypatch.setattr(call_records_csv, "_BLOCK_BYTES", 700)
    path = tmp_path / "Master.csv"
    path.write_text(header + "".join(line(f"17730810{number:02}.1", f"n{number}.wav") for number in range(50)))
    records = CsvCallRecords(str(path))
    for number in range(50):
        assert [each["src"] for each in records.find("x.wav", f"17730810{number:02}.1")] == ["79161234567"]
        assert len(records.find(f"n{number}.wav", "")) == 1
    (index,) = records._indexes.values()
    assert 10 < len(index.by_key) < 30
    with path.open("a") as file:
        file.writelines(line(f"17730820{number:02}.1", f"m{number}.wav") for number in range(99))
    assert len(records.find("x.wav", "1773082000.1")) == 1
    assert len(records.find("x.wav", "1773082098.1")) == 1
    assert len(records.find("x.wav", "1773081000.1")) == 1
    assert len(index.by_key) < 60


def test_what_is_not_in_the_old_part_is_not_searched_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording waits for its record and asks every few seconds; what was written years ago does not change."""
    monkeypatch.setattr(call_records_csv, "INDEXED_BYTES", 1000)
    searched: list[bytes] = []
    real = call_records_csv._lines_with

    def noted(file: BufferedReader, needle: bytes, end: int) -> Iterator[int]:
        searched.append(needle)
        return real(file, needle, end)

    monkeypatch.setattr(call_records_csv, "_lines_with", noted)
    path = tmp_path / "Master.csv"
    path.write_text(line("1773081000.1") * 20)
    records = CsvCallRecords(str(path))
    for _ in range(3):
        assert records.find("x.wav", "1773081000.2") == []
    assert searched == [b"1773081000.2"]
    with path.open("a") as file:
        file.write(line("1773081000.2"))
    assert len(records.find("x.wav", "1773081000.2")) == 1


def test_a_file_that_is_not_there_is_trouble(tmp_path: Path) -> None:
    """And no answer: the record may be in it."""
    with pytest.raises(SourceTrouble, match=r"The call records cannot be read: .*Master.csv \(No such file or directory\)"):
        CsvCallRecords(str(tmp_path / "Master.csv")).find("x.wav", "1.1")
