"""Call records in a database, as far as it can be told without one; tests/acceptance/mariadb.sh asks a real server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from speechsense_watch.core.rules import CallRecordRules
from speechsense_watch.edge.call_records_mysql import Connection, DatabaseTrouble, MysqlCallRecords
from speechsense_watch.ports import SourceTrouble

RULES = CallRecordRules(mysql_host="127.0.0.1", mysql_user="reader")
COLUMNS = ("calldate", "uniqueid", "recordingfile", "linkedid", "billsec", "userfield")
UNIQUE_ID = "1773045900.301"
ROW = ("2026-03-09 11:45:00", "1.1", "a.wav", "1.1", 30, None)


class Scripted:
    """A connection and its cursor in one: keeps what was asked, answers with the row, breaks when told."""

    def __init__(
        self, columns: Sequence[str] = COLUMNS, *, breaks_at: int = -1, rows: Sequence[Sequence[Sequence[object]]] = ()
    ) -> None:
        self.rows = list(rows)
        self.description: Sequence[Sequence[object]] | None = [(name,) for name in columns]
        self.asked: list[tuple[str, Sequence[str]]] = []
        self.breaks_at = breaks_at
        self.closed = 0

    def cursor(self) -> Scripted:
        return self

    def execute(self, query: str, args: Sequence[str] = ()) -> object:
        self.asked.append((query, args))
        if len(self.asked) == self.breaks_at:
            raise DatabaseTrouble("It has gone away.")
        return None

    def fetchall(self) -> Sequence[Sequence[object]]:
        return self.rows.pop(0) if self.rows else [ROW[: len(self.description or ())]]

    def close(self) -> None:
        self.closed += 1


def records_of(*connections: Scripted, rules: CallRecordRules = RULES) -> tuple[MysqlCallRecords, list[str]]:
    """The records over these connections, one after the other; and the passwords they were made with."""
    rest, passwords = list(connections), []

    def connect(_: CallRecordRules, password: str) -> Connection:
        passwords.append(password)
        if not rest:
            raise DatabaseTrouble("Nobody answers there.")
        return rest.pop(0)

    return MysqlCallRecords(rules, connect), passwords


def test_the_columns_that_are_there_are_asked_and_nothing_is_put_into_the_query() -> None:
    """What comes from a file name goes as a parameter."""
    connection = Scripted()
    records, _ = records_of(connection)
    nasty = "x' OR '1'='1.wav"
    assert records.find(nasty, UNIQUE_ID) == [
        {"calldate": "2026-03-09 11:45:00", "uniqueid": "1.1", "recordingfile": "a.wav", "linkedid": "1.1", "billsec": "30"}
    ]
    query, args = connection.asked[-1]
    assert query == (
        "SELECT * FROM `cdr` WHERE `uniqueid` = %s OR `linkedid` = %s OR `recordingfile` = %s OR `userfield` = %s LIMIT 2000"
    ).replace("WHERE ", "WHERE `calldate` BETWEEN %s AND %s AND (").replace(" LIMIT", ") LIMIT")
    assert list(args) == ["2026-03-08 08:45:00", "2026-03-11 08:45:00", UNIQUE_ID, UNIQUE_ID, nasty, nasty]


def test_without_days_one_column_is_asked_after_the_other() -> None:
    """The first that has an answer ends it: a condition over columns without an index reads the whole table."""
    connection = Scripted(columns=("uniqueid", "linkedid", "userfield"), rows=[[], [], []])
    records, _ = records_of(connection)
    assert records.find("a.wav", UNIQUE_ID) == []
    assert [(query.partition("WHERE ")[2], list(args)) for query, args in connection.asked[1:]] == [
        ("`uniqueid` = %s LIMIT 2000", [UNIQUE_ID]),
        ("`linkedid` = %s LIMIT 2000", [UNIQUE_ID]),
        ("`userfield` = %s LIMIT 2000", ["a.wav"]),
    ]
    records.find("a.wav", UNIQUE_ID)
    assert len(connection.asked) == 5


@pytest.mark.parametrize("unique_id", ["", "x.1", "99999999999999999999.1", "٣.1"])
def test_without_a_time_in_the_unique_id_there_are_no_days(unique_id: str) -> None:
    """And the name alone is asked for where there is no unique id: an empty one would fit every record without one."""
    connection = Scripted()
    records, _ = records_of(connection)
    records.find("a.wav", unique_id)
    query, args = connection.asked[-1]
    assert query.partition("WHERE ")[2] == f"`{'uniqueid' if unique_id else 'recordingfile'}` = %s LIMIT 2000"
    assert list(args) == [unique_id or "a.wav"]


def test_the_lines_come_in_their_order_and_the_answered_ones_are_not_cut_off() -> None:
    """A queue rang at hundreds of phones before somebody answered."""
    columns = ("start", "uniqueid", "disposition", "sequence")
    rows: list[Sequence[object]] = [
        ("2026-03-09 11:46:00", "1.1", "ANSWERED", 10),
        ("2026-03-09 11:45:00", "1.1", "NO ANSWER", 9),
        ("2026-03-09 11:46:00", "1.1", "NO ANSWER", 9),
        ("2026-03-09 11:44:00", "1.1", "NO ANSWER", None),
    ]
    connection = Scripted(columns=columns, rows=[rows])
    records, _ = records_of(connection)
    found = records.find("a.wav", UNIQUE_ID)
    assert [(each["start"][14:16], each.get("sequence")) for each in found] == [
        ("44", None),
        ("45", "9"),
        ("46", "9"),
        ("46", "10"),
    ]
    query, args = connection.asked[-1]
    assert query.endswith(
        "WHERE `start` BETWEEN %s AND %s AND (`uniqueid` = %s) ORDER BY `disposition` = 'ANSWERED' DESC LIMIT 2000"
    )
    assert len(args) == 3


def test_a_connection_that_broke_is_made_anew_once() -> None:
    """Servers close what lay idle for hours."""
    old, new = Scripted(breaks_at=3), Scripted()
    records, passwords = records_of(old, new)
    records.find("a.wav", "")
    assert len(records.find("a.wav", "")) == 1
    assert len(passwords) == 2
    assert old.closed == 4  # both cursors' ends, the broken one's, and its own


def test_a_server_that_is_away_is_trouble() -> None:
    """And asked again the next time."""
    records, passwords = records_of()
    for _ in range(2):
        with pytest.raises(SourceTrouble, match="Nobody answers there"):
            records.find("a.wav", "")
    assert len(passwords) == 2


def test_a_table_without_a_column_to_search_by_is_trouble() -> None:
    """The message names the columns that would do."""
    records, _ = records_of(Scripted(columns=("calldate", "src")))
    with pytest.raises(SourceTrouble, match=r"asteriskcdrdb\.cdr has none of the columns uniqueid, linkedid, recordingfile"):
        records.find("a.wav", "1.1")


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    """And one that cannot be read is told by the file's name."""
    path = tmp_path / "password"
    path.write_text("a secret\n")
    rules = CallRecordRules(mysql_host="127.0.0.1", mysql_user="reader", mysql_password_file=str(path))
    records, passwords = records_of(Scripted(), rules=rules)
    records.find("a.wav", "")
    assert passwords == ["a secret"]
    path.unlink()
    records, _ = records_of(Scripted(), rules=rules)
    with pytest.raises(SourceTrouble, match=r"password cannot be read: .*password"):
        records.find("a.wav", "")


def test_the_real_client_tells_a_server_that_is_away_in_words() -> None:
    """Nobody listens on this port of the machine itself."""
    records = MysqlCallRecords(CallRecordRules(mysql_host="127.0.0.1", mysql_port=1, mysql_user="reader"))
    with pytest.raises(SourceTrouble, match=r"cannot be asked: 127\.0\.0\.1:1 \(nobody answers there\)"):
        records.find("a.wav", "1.1")


def test_a_name_that_is_not_utf8_is_asked_for_as_what_can_be() -> None:
    """Any bytes may stand in a file's name; the client cannot send all of them."""
    connection = Scripted()
    records, _ = records_of(connection)
    records.find(os.fsdecode(b"latin\xff.wav"), UNIQUE_ID)
    _, args = connection.asked[-1]
    assert "latin?.wav" in args
    "".join(args).encode()
