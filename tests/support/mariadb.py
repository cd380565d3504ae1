"""A real MariaDB server of one's own, with FreePBX's table of call records, for machines that have the program."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, socket
from types import MappingProxyType

import pymysql

from support.waiting import wait_for

HAVE_IT = all(shutil.which(name) for name in ("mariadbd", "mariadb-install-db"))
USER, PASSWORD = "reader", "a secret"
# The columns of Master.csv in their order (cdr_csv.c), with those of the table that have other names.
_CSV = (
    *("accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata"),
    *("calldate", "answer", "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield"),
)
_NOT_IN_THE_TABLE = ("answer", "end")
_TABLE = """
CREATE TABLE asteriskcdrdb.cdr (
  calldate DATETIME NOT NULL, clid VARCHAR(80), src VARCHAR(80), dst VARCHAR(80), dcontext VARCHAR(80), channel VARCHAR(80),
  dstchannel VARCHAR(80), lastapp VARCHAR(80), lastdata VARCHAR(80), duration INT, billsec INT, disposition VARCHAR(45),
  amaflags VARCHAR(20), accountcode VARCHAR(20), uniqueid VARCHAR(32), userfield VARCHAR(255), did VARCHAR(50),
  recordingfile VARCHAR(255), cnum VARCHAR(80), cnam VARCHAR(80), outbound_cnum VARCHAR(80), outbound_cnam VARCHAR(80),
  linkedid VARCHAR(32), sequence INT
) DEFAULT CHARSET=utf8mb4
"""
_DEFAULTS = MappingProxyType({"did": "", "cnum": "", "cnam": "", "outbound_cnum": "", "outbound_cnam": ""})


@contextmanager
def call_records() -> Iterator[str]:
    """The socket of a server that runs meanwhile; `reader` may read the table and nothing else."""
    # A socket's path holds 107 bytes at most (unix(7)), and the server's user must reach it.
    with tempfile.TemporaryDirectory(prefix="cdr-", dir="/tmp") as directory:
        home = Path(directory)
        home.chmod(0o755)
        path = home / "socket"
        user = []
        if os.geteuid() == 0:
            user = ["--user=nobody"]
            shutil.chown(home, "nobody")
        install = ["mariadb-install-db", "--no-defaults", *user, f"--datadir={home}/data"]
        subprocess.run([*install, "--auth-root-authentication-method=normal"], capture_output=True, check=True)
        line = ["mariadbd", "--no-defaults", *user, f"--datadir={home}/data", f"--socket={path}", "--skip-networking"]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen([*line, f"--pid-file={home}/pid"], stderr=log)
        try:
            wait_for(lambda: _answers(path), 60, "the server answers")
            with pymysql.connect(unix_socket=str(path), user="root") as connection, connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE asteriskcdrdb")
                cursor.execute(_TABLE)
                cursor.execute(f"CREATE USER '{USER}'@'localhost' IDENTIFIED BY '{PASSWORD}'")
                cursor.execute(f"GRANT SELECT ON asteriskcdrdb.cdr TO '{USER}'@'localhost'")
            yield str(path)
        finally:
            server.terminate()
            server.wait(120)


@contextmanager
def a_socket(path: Path) -> Iterator[Path]:
    """What a server's socket looks like; nobody answers there."""
    with socket(AF_UNIX) as listening:
        listening.bind(str(path))
        yield path


def _answers(path: Path) -> bool:
    with socket(AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def fill(server: str, master_csv: str, recordings: dict[str, str], linked: dict[str, str]) -> None:
    """The lines of a Master.csv as the table has them; `recordings` gives the file of a unique id, `linked` the conversation."""
    with pymysql.connect(unix_socket=server, user="root", autocommit=True) as connection, connection.cursor() as cursor:
        for cells in csv.reader(io.StringIO(master_csv)):
            row = {**_DEFAULTS, **dict(zip(_CSV, cells, strict=True))}
            row |= {
                "recordingfile": recordings.get(row["uniqueid"], ""),
                "linkedid": linked.get(row["uniqueid"], row["uniqueid"]),
            }
            for name in _NOT_IN_THE_TABLE:
                del row[name]
            columns = ", ".join(row)
            marks = ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO asteriskcdrdb.cdr ({columns}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
