"""Call records in a CSV file that grows."""

from __future__ import annotations

import os
import tracemalloc
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


def test_a_file_that_is_cut_and_has_grown_beyond_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks, as a busy exchange does it after copytruncate: its first lines are not passed over."""
    monkeypatch.setattr(call_records_csv, "_BLOCK_BYTES", 700)
    path = tmp_path / "Master.csv"
    path.write_text("".join(line(f"17730810{number:02}.1") for number in range(7)))
    records = CsvCallRecords(str(path))
    assert len(records.find("x.wav", "1773081000.1")) == 1
    path.write_text("".join(line(f"17730820{number:02}.1") for number in range(10)))
    assert [len(records.find("x.wav", f"17730820{number:02}.1")) for number in range(10)] == [1] * 10
    assert records.find("x.wav", "1773081000.1") == []


@pytest.mark.parametrize("block_bytes", [2**20, 1000])
def test_what_is_no_record_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    """Bytes in no encoding, a NUL after a crash, a line of a megabyte, one without its end: the others are found."""
    monkeypatch.setattr(call_records_csv, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "Master.csv"
    junk = b"\xff\xfe,\0\0,,,\n" + b"x" * 2**20 + b"\n" + b'"' * 9 + b'\n\n"","7916","60\n'
    path.write_bytes(line("1773081000.1").encode() + junk + line("1773081000.2").encode() + line("1773081000.3").encode() * 20)
    records = CsvCallRecords(str(path))
    assert len(records.find("x.wav", "1773081000.1")) == 1
    assert len(records.find("x.wav", "1773081000.2")) == 1
    assert len(records.find("x.wav", "1773081000.3")) == 20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """All measures so small that a file of 15 KB is one of years."""
    monkeypatch.setattr(call_records_csv, "INDEXED_BYTES", 3000)
    monkeypatch.setattr(call_records_csv, "_BLOCK_BYTES", 700)
    monkeypatch.setattr(call_records_csv, "_HASHED_AT_ONCE_BYTES", 2000)


HEADER = "x,src,dst,c,clid,channel,dstchannel,a,d,s,a,e,d,billsec,dis,am,uniqueid,userfield\n"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("header", ["", HEADER])
@pytest.mark.parametrize("most", [2**32, 4000])
def test_lines_older_than_the_index_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, most: int) -> None:
    """A backlog of years finds its records by id and by name, wherever a block ends, also where no more may be hashed."""
    monkeypatch.setattr(call_records_csv, "_MOST_HASHED_BYTES", most)
    path = tmp_path / "Master.csv"
    path.write_text(header + "".join(line(f"17730810{number:02}.1", f"n{number}.wav") for number in range(50)))
    records = CsvCallRecords(str(path))
    for _ in range(2):
        for number in range(50):
            assert [each["uniqueid"] for each in records.find("x.wav", f"17730810{number:02}.1")] == [f"17730810{number:02}.1"]
            assert [each["userfield"] for each in records.find(f"n{number}.wav", "")] == [f"n{number}.wav"]
        with path.open("a") as file:
            file.writelines(line(f"17730820{number:02}.1", f"m{number}.wav") for number in range(99))
        assert len(records.find("x.wav", "1773082000.1")) == len(records.find("x.wav", "1773082098.1")) == 1 + _
    (index,) = records._indexes.values()
    assert (index.older_from == 0) is (most > 4000)


@pytest.mark.usefixtures("small")
def test_what_has_just_begun_is_not_looked_for_among_what_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording waits for its record and asks every few seconds: years are not read through for a call of today."""
    read: list[int] = []
    real = call_records_csv._read

    def noted(file: BufferedReader, begin: int, end: int) -> bytes:
        read.append(begin)
        return real(file, begin, end)

    monkeypatch.setattr(call_records_csv, "_read", noted)
    path = tmp_path / "Master.csv"
    path.write_text(line("1773081000.1") * 50)
    records = CsvCallRecords(str(path))
    for _ in range(3):
        assert records.find("x.wav", "1773281000.2") == []
    assert min(read) > 8_000
    assert records.find("x.wav", "1773081001.2") == []
    assert min(read) == 0
    with path.open("a") as file:
        file.write(line("1773281000.2"))
    assert len(records.find("x.wav", "1773281000.2")) == 1


def test_the_index_is_small(tmp_path: Path) -> None:
    """A unit of systemd has half a GB for everything: of two MiB less than a tenth is kept."""
    path = tmp_path / "Master.csv"
    path.write_text("".join(line(f"17{number:08}.{number}", f"in-{number}.wav") for number in range(2**21 // 320)))
    records = CsvCallRecords(str(path))
    tracemalloc.start()
    try:
        assert len(records.find("x.wav", "1700000007.7")) == 1
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000


def test_a_file_that_is_not_there_is_trouble(tmp_path: Path) -> None:
    """And no answer: the record may be in it."""
    with pytest.raises(SourceTrouble, match=r"The call records cannot be read: .*Master.csv \(No such file or directory\)"):
        CsvCallRecords(str(tmp_path / "Master.csv")).find("x.wav", "1.1")
