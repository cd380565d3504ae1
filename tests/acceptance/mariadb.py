"""What `mariadb.sh` asks of a real server: the records of a queue call, refusals in words, and no secret in any of them."""

from __future__ import annotations

import sys
from dataclasses import replace

from speechsense_watch.core.call_record import Key, told
from speechsense_watch.core.extensions import Extensions
from speechsense_watch.core.rules import CallRecordRules
from speechsense_watch.edge.call_records_mysql import MysqlCallRecords
from speechsense_watch.ports import SourceTrouble

NAME = "q-600-79035550011-20260309-114500-1773045900.301.wav"
EXPECTED = {
    "operator_id": "203",
    "client_id": "79035550011",
    "client_name": "Пётр",
    "direction_outgoing": "false",
    "date": "2026-03-09 11:45:00",
}


def check(what: str, *, holds: bool) -> None:
    sys.stdout.write(("ok   " if holds else "FAIL ") + what + "\n")
    if not holds:
        sys.exit(1)


def trouble(rules: CallRecordRules) -> str:
    try:
        MysqlCallRecords(rules).find(NAME, "")
    except SourceTrouble as error:
        return error.message
    return ""


def ask(rules: CallRecordRules, home: str) -> None:
    records = MysqlCallRecords(rules)
    for key, value in (("the unique id", (NAME, "1773045900.301")), ("the name alone", (NAME, ""))):
        lines = records.find(*value)
        check(f"two lines by {key}", holds=len(lines) == 2)
        check(f"the leg that spoke, by {key}", holds=told(lines, Key(*value), Extensions()).fields == EXPECTED)
    check("none for another call", holds=list(records.find("x' OR '1'='1.wav", "1' OR '1'='1")) == [])
    wrong = trouble(replace(rules, mysql_password_file=f"{home}/wrong"))
    check(f"a wrong password is told: {wrong}", holds="refused" in wrong and "wrong)" not in wrong and "secret" not in wrong)
    check("a table without rights is told", holds="may not read the table" in trouble(replace(rules, mysql_table="calls")))
    check("a database without rights is told", holds="may not enter" in trouble(replace(rules, mysql_database="mysql")))


def main(home: str, act: str) -> None:
    rules = CallRecordRules(mysql_socket=f"{home}/socket", mysql_user="reader", mysql_password_file=f"{home}/password")
    if act == "ask":
        ask(rules, home)
    else:
        check(f"a server that is away is told: {trouble(rules)}", holds="nobody answers there" in trouble(rules))


if __name__ == "__main__":
    main(*sys.argv[1:])
