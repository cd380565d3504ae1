"""`init` with its places below a test's directory."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.terminal import Terminal

# A group of this machine that is not root's.
GROUP = next(each.gr_name for each in grp.getgrall() if each.gr_gid and each.gr_name.isalpha())
GIVEN = ("--connection-id", "eag1", "--connection-type", "two-channel", "--start-from", "now", "--time-zone", "Europe/Moscow")
STANDIN = ("--bandwidth", "-", "--plaintext", "--endpoint", "127.0.0.1:5051")


def command(directory: Path, *arguments: str) -> list[str]:
    places = {"--etc": "etc", "--units": "units", "--hooks": "hooks", "--queue": "q.db"}
    for name in ("spool", "units", "hooks"):
        (directory / name).mkdir(exist_ok=True)
    line = [word for option, name in places.items() if option not in arguments for word in (option, str(directory / name))]
    return [sys.executable, "-m", "speechsense_watch", "init", *line, *arguments]


def environ(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **more}


def init(directory: Path, *arguments: str, more: dict[str, str] | None = None, **how: Any) -> tuple[int, str]:
    """Its exit code and what it said, with nobody there to answer."""
    done = subprocess.run(
        command(directory, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environ(**(more or {})),
        **how,
    )
    return done.returncode, done.stdout + done.stderr


# The interpreter may lie where only root can read it: whatever is imported late is imported before.
_AS_NOBODY = """
import os, sys
from speechsense_watch.cli import check, init, main
from speechsense_watch.edge import mysql
import encodings.idna, encodings.utf_8_sig
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
main(sys.argv[1:])
"""


def init_as_nobody(directory: Path, *arguments: str) -> tuple[int, str]:
    """The same without root's rights, for root."""
    line = [sys.executable, "-c", _AS_NOBODY, *command(directory, *arguments)[3:]]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environ())
    return done.returncode, done.stdout + done.stderr


def answered(directory: Path, recorder: str = "other", *more: str) -> tuple[str, ...]:
    """Options for everything that has to be known."""
    return ("--recorder", recorder, "--path", str(directory / "spool"), *GIVEN, *STANDIN, *more)


def at_a_terminal(directory: Path, *arguments: str, **more: str) -> Terminal:
    return Terminal(command(directory, *arguments), environ(**more))
