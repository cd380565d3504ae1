"""A row's holder: whether the process that wrote its name there still runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechsense_watch.edge.process import owner_alive, this_process


def test_this_process_is_alive() -> None:
    """What names ourselves is alive, and holds number and start time."""
    owner = this_process()
    number, _, started = owner.partition(":")
    assert int(number) == os.getpid()
    assert started.isdigit()
    assert owner_alive(owner)


def test_a_process_that_has_ended_is_gone() -> None:
    """Waited for or not: a zombie sends nothing any more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert owner_alive(f"{child.pid}:")
        child.kill()
        # Until here nobody has waited for it; its state is read without taking it away.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not owner_alive(f"{child.pid}:")
    assert not owner_alive(f"{child.pid}:")


def test_a_later_process_of_the_same_number_is_somebody_else() -> None:
    """The start time tells two processes apart."""
    assert not owner_alive(f"{os.getpid()}:1")


@pytest.mark.parametrize("owner", ["", ":", "x:1", "0:1", "-1:1", "²:1", "1e3:", "99999999999999999999:1"])
def test_what_names_no_process_is_nobodys(owner: str) -> None:
    """A text that is not "pid:start time" holds nothing."""
    assert not owner_alive(owner)


def test_what_is_hidden_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user that may neither be signalled nor looked at is there."""

    def forbidden(_pid: int, _number: int) -> None:
        raise PermissionError

    def hidden(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(os, "kill", forbidden)
    monkeypatch.setattr(Path, "read_text", hidden)
    assert owner_alive("4711:12345")


def test_a_program_name_with_spaces_and_parentheses_confuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """proc_pid_stat(5): the name in parentheses may hold anything."""
    rest = " ".join(["S", *("0" for _ in range(18)), "777", "0"])
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"{os.getpid()} (a) Z (b) {rest}\n")
    assert this_process() == f"{os.getpid()}:777"
    assert owner_alive(f"{os.getpid()}:777")
    assert not owner_alive(f"{os.getpid()}:778")
