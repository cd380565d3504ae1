"""The table of operators."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from speechsense_watch.core.metadata import Person
from speechsense_watch.edge.people import CsvPeople
from speechsense_watch.ports import SourceTrouble


@pytest.mark.parametrize(
    "text",
    [
        "extension,id,name\n201,a-17,Анна Петрова\n202,,\n",
        "\ufeffName;ID;Extension\r\nАнна Петрова;a-17;201\r\n;;202\r\n;;\r\n",
    ],
)
def test_people_by_their_extension(tmp_path: Path, text: str) -> None:
    """With commas or semicolons, in any order of columns, with or without the mark that spreadsheets put in front."""
    path = tmp_path / "operators.csv"
    path.write_text(text, encoding="utf-8")
    people = CsvPeople(str(path))
    assert people.find("201") == Person("a-17", "Анна Петрова")
    assert people.find("202") == Person()
    assert people.find("203") is None
    assert people.find("") is None


def test_a_changed_table_counts_at_once(tmp_path: Path) -> None:
    """Without a restart."""
    path = tmp_path / "operators.csv"
    path.write_text("extension,id,name\n201,1,Anna\n")
    people = CsvPeople(str(path))
    assert people.find("201") == Person("1", "Anna")
    path.write_text("extension,id,name\n201,1,Berta\n")
    os.utime(path, ns=(1, 1))
    assert people.find("201") == Person("1", "Berta")


def test_a_table_put_in_its_place_while_it_is_read_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next time at the latest: what was read from the old file is not taken for the new one's."""
    path, new = tmp_path / "operators.csv", tmp_path / "new.csv"
    path.write_text("extension,id,name\n201,1,Anna\n")
    new.write_text("extension,id,name\n201,1,Berta\n")
    real = Path.open

    def opened_just_before(self: Path, mode: str) -> object:
        file = real(self, mode)
        if new.exists():
            new.replace(path)
        return file

    monkeypatch.setattr(Path, "open", opened_just_before)
    people = CsvPeople(str(path))
    assert people.find("201") == Person("1", "Anna")
    assert people.find("201") == Person("1", "Berta")


def test_of_an_extension_named_twice_the_first_line_stands(tmp_path: Path) -> None:
    """The slip is known by its line."""
    path = tmp_path / "operators.csv"
    path.write_text("extension,id,name\n201,1,Anna\n201,2,Berta\n")
    people = CsvPeople(str(path))
    assert people.find("201") == Person("1", "Anna")
    assert people.repeated == [3]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "cannot be understood"),
        (b"201,1,Anna\n", "its first line must name the columns"),
        (b"extension\n201\n", "cannot be understood"),
        (b"extension,name\n201,\xff\n", "is not in UTF-8"),
        (b"x" * (5 * 2**20 + 1), "is too big"),
    ],
)
def test_what_is_no_such_table_is_trouble(tmp_path: Path, raw: bytes, said: str) -> None:
    """Recordings wait for it, since names would be lacking."""
    path = tmp_path / "operators.csv"
    path.write_bytes(raw)
    with pytest.raises(SourceTrouble, match=said):
        CsvPeople(str(path)).find("201")


def test_a_table_that_is_not_there_is_trouble(tmp_path: Path) -> None:
    """The message names it."""
    with pytest.raises(SourceTrouble, match=r"cannot be read: .*operators.csv"):
        CsvPeople(str(tmp_path / "operators.csv")).find("201")
