"""How lines of call records are written: columns, delimiters, encodings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from speechsense_watch.edge.call_record_lines import Record
from speechsense_watch.edge.call_records_csv import CsvCallRecords

# The sixteen columns that Asterisk always writes.
ALWAYS = '"","7916","600","in","""{name}"" <7916>","PJSIP/mts-1","PJSIP/201-2","Dial","x,30","a","b","c",63,61,"ANSWERED","D"'
UNIQUE_ID = "1773081123.265"


def records_in(path: Path, text: str | bytes, **given: object) -> CsvCallRecords:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return CsvCallRecords(str(path), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [("uniqueid", "src"), ()])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_columns_by_name(tmp_path: Path, given: tuple[str, ...], mark: str, delimiter: str) -> None:
    """As the configuration gives them, or as a first line does; that line shows how they are parted, and may bear the mark that
    spreadsheets put in front.
    """
    records = records_in(tmp_path / "cdr.csv", f"{mark}uniqueid{delimiter}src\r\n{UNIQUE_ID}{delimiter}7916\r\n", columns=given)
    assert records.find("x.wav", UNIQUE_ID) == [{"uniqueid": UNIQUE_ID, "src": "7916"}]


def test_columns_by_name_without_a_first_line_that_names_them(tmp_path: Path) -> None:
    """The first line is a record."""
    records = records_in(tmp_path / "cdr.csv", f"{UNIQUE_ID},7916\n", columns=("uniqueid", "src"))
    assert records.find("x.wav", UNIQUE_ID) == [{"uniqueid": UNIQUE_ID, "src": "7916"}]


NEW = ',"peer","1773081100.1",7'


@pytest.mark.parametrize(
    ("further", "by_id", "by_name", "by_linked_id"),
    [
        (f',"{UNIQUE_ID}","a.wav"', True, True, False),
        (f',"{UNIQUE_ID}"', True, False, False),
        (',"a.wav"', False, True, False),
        (',"/spool/1773081123.265/a.wav"', False, True, False),
        ("", False, False, False),
        (f',"{UNIQUE_ID}","a.wav"{NEW}', True, True, True),
        (f',"{UNIQUE_ID}"{NEW}', True, False, True),
        (f',"a.wav"{NEW}', False, True, True),
        (NEW, False, False, True),
    ],
)
def test_asterisks_columns_by_their_number(tmp_path: Path, further: str, by_id: bool, by_name: bool, by_linked_id: bool) -> None:  # noqa: FBT001
    """Of loguniqueid, loguserfield and newcdrcolumns any may be set: the seventeenth cell is what it looks like."""
    records = records_in(tmp_path / "Master.csv", f"{ALWAYS}{further}\n")
    assert bool(records.find("b.wav", UNIQUE_ID)) is by_id
    assert bool(records.find("a.wav", "")) is by_name
    assert bool(records.find("b.wav", "1773081100.1")) is by_linked_id


def called_by(name: str, encoding: str) -> bytes:
    return f'{ALWAYS.format(name=name)},"{UNIQUE_ID}","a.wav"\n'.encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251", "koi8-r"])
def test_names_in_another_encoding(tmp_path: Path, encoding: str) -> None:
    """Which one is for the configuration to say."""
    (record,) = records_in(tmp_path / "Master.csv", called_by("Иван", encoding), encoding=encoding).find("x.wav", UNIQUE_ID)
    assert record["clid"] == '"Иван" <7916>'


@pytest.mark.parametrize("raw", [called_by("Иван", "windows-1251"), called_by("\ufffd", "utf-8")])
def test_a_value_that_is_no_text_is_left_out(tmp_path: Path, raw: bytes) -> None:
    """Nobody is called by the sign that stands for a letter that could not be read; the rest of the line counts."""
    (record,) = records_in(tmp_path / "Master.csv", raw).find("x.wav", UNIQUE_ID)
    assert isinstance(record, Record)
    assert record.unread == ("clid",)
    assert "clid" not in record
    assert record["src"] == "7916"


@pytest.mark.parametrize("name", [b"\xc8\xe2\xe0\xed.wav", "Иван.wav".encode(), b'a "b", c.wav'])
@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251"])
def test_a_name_is_found_as_the_file_system_has_it(tmp_path: Path, name: bytes, encoding: str) -> None:
    """Asterisk writes the bytes that it gave the file, whatever they are as text."""
    written = b"/spool/" + name.replace(b'"', b'""')
    raw = ALWAYS.encode() + b',"1.1","' + written + b'"\n'
    records = records_in(tmp_path / "Master.csv", raw, encoding=encoding)
    assert len(records.find(os.fsdecode(name), "")) == 1


def test_a_name_is_found_as_the_files_encoding_has_it(tmp_path: Path) -> None:
    """As another program than the recorder writes it."""
    raw = f'{ALWAYS},"1.1","Иван.wav"\n'.encode("windows-1251")
    assert len(records_in(tmp_path / "Master.csv", raw, encoding="windows-1251").find("Иван.wav", "")) == 1


@pytest.mark.parametrize(
    ("further", "findable", "unread"),
    [
        (f',"{UNIQUE_ID}"'.encode(), True, set()),
        (b"", False, set()),
        (b',""', False, set()),
        (f',"{UNIQUE_ID}","'.encode() + b'\xff"', True, {"userfield"}),
    ],
)
def test_what_the_last_lines_are_good_for(tmp_path: Path, further: bytes, findable: bool, unread: set[str]) -> None:  # noqa: FBT001
    """Of a long file some are enough; half a line is none."""
    raw = (ALWAYS.encode() + further + b"\n") * 900
    survey = records_in(tmp_path / "Master.csv", raw + b'"","7916"').survey()
    assert 200 < survey.lines < 900
    assert survey.findable == (survey.lines if findable else 0)
    assert set(survey.unread) == unread
