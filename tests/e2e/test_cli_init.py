"""`init`: from a few answers to a checked configuration."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from speechsense_watch.config import load
from speechsense_watch.config.recipes import RECIPES

STANDIN = ("--bandwidth", "-", "--plaintext", "--endpoint", "127.0.0.1:5051")
GIVEN = ("--connection-id", "eag1", "--connection-type", "two-channel", "--start-from", "now", "--time-zone", "Europe/Moscow")


def command(tmp_path: Path, *arguments: str) -> list[str]:
    for name in ("spool", "units", "hooks"):
        (tmp_path / name).mkdir(exist_ok=True)
    places = (
        "--etc",
        tmp_path / "etc",
        "--units",
        tmp_path / "units",
        "--hooks",
        tmp_path / "hooks",
        "--queue",
        tmp_path / "q.db",
    )
    return [sys.executable, "-m", "speechsense_watch", "init", *map(str, places), *arguments]


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def init(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    line = command(tmp_path, *arguments)
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environ())
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("recorder", RECIPES)
def test_every_recorder_gets_a_configuration_that_can_be_used(tmp_path: Path, recorder: str) -> None:
    """Whole, with a trial, readable for nobody else; what the recorder needs beside it is written too."""
    key = tmp_path / "key"
    key.write_text("the-secret-key\n")
    options = ("--recorder", recorder, "--path", str(tmp_path / "spool"), "--bandwidth", "1MiB/s", "--key-file", str(key))
    code, said = init(tmp_path, *options, *GIVEN, "--group", "asterisk")
    assert code == 0, said
    assert "the-secret-key" not in said
    (folder,) = load(tmp_path / "etc" / "config.toml", {}).folders
    assert (folder.name, folder.connection_id, folder.trial) == (recorder, "eag1", 3)
    assert (tmp_path / "etc" / "api-key").read_text() == "the-secret-key\n"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "etc").iterdir()} == {0o640}
    drop_in = (tmp_path / "units/speechsense-watch.service.d/recorder.conf").read_text()
    assert "SupplementaryGroups=asterisk\n" in drop_in
    assert f"RequiresMountsFor={tmp_path}/spool\n" in drop_in
    hook = RECIPES[recorder].hook
    assert [path.name for path in (tmp_path / "hooks").iterdir()] == ([hook] if hook else [])


def test_a_hook_without_a_place_says_so(tmp_path: Path) -> None:
    """The recorder is not where its package puts it."""
    options = ("--recorder", "freeswitch", "--path", str(tmp_path / "spool"), *STANDIN, *GIVEN)
    code, said = init(tmp_path, *options, "--hooks", str(tmp_path / "nowhere"))
    assert (code, "speechsense-record.lua belongs" in said) == (1, True)
    assert not (tmp_path / "etc").exists()


def test_an_old_configuration_is_not_lost(tmp_path: Path) -> None:
    """Refused; with --force it stays beside the new one, and so do key and people."""
    options = ("--recorder", "3cx", "--path", str(tmp_path / "spool"), *STANDIN)
    assert init(tmp_path, *options, *GIVEN)[0] == 0
    (tmp_path / "etc/operators.csv").write_text("extension,id,name\n201,,Anna\n")
    (tmp_path / "etc/api-key").write_text("kept\n")
    first = (tmp_path / "etc/config.toml").read_text()
    code, said = init(tmp_path, *options, *GIVEN)
    assert (code, "is there already" in said) == (1, True)
    assert init(tmp_path, *options, *GIVEN, "--force")[0] == 0
    assert (tmp_path / "etc/config.toml.before-init").read_text() == first
    assert "Anna" in (tmp_path / "etc/operators.csv").read_text()
    assert (tmp_path / "etc/api-key").read_text() == "kept\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nobody is there to answer: Which recorder?"),
        (("--recorder", "other"), "nobody is there to answer"),
        (("--recorder", "other", "--path", "calls", *GIVEN, "--bandwidth", ""), "calls is no absolute path"),
        (("--recorder", "other", "--path", "/x", *GIVEN, "--bandwidth", "much"), "much will not do: expected a bandwidth"),
        (("--recorder", "other", "--path", "/", *GIVEN, "--bandwidth", "-"), "nothing was written"),
    ],
)
def test_answers_that_will_not_do_write_nothing(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """Each is told with what was expected."""
    code, output = init(tmp_path, *options)
    assert code == 1
    assert said in output
    assert not (tmp_path / "etc").exists()


def test_what_the_check_finds_decides_in_the_end(tmp_path: Path) -> None:
    """Call records that cannot be read would be found out only by the first call."""
    options = ("--recorder", "freepbx", "--path", str(tmp_path / "spool"), *STANDIN)
    code, said = init(tmp_path, *options, *GIVEN, "--cdr-csv", str(tmp_path / "Master.csv"))
    assert code == 78
    assert "The call records cannot be read" in said


def test_the_questions_are_asked_at_a_terminal(tmp_path: Path) -> None:
    """Enter takes what is proposed; the key is not shown."""
    answers = ["other", str(tmp_path / "spool"), "eag1", "", "all", "", "-", "the-secret-key"]
    terminal, far_end = pty.openpty()
    process = subprocess.Popen(
        command(tmp_path), stdin=far_end, stdout=far_end, stderr=far_end, env=environ(), start_new_session=True
    )
    os.close(far_end)
    said = b""
    for answer in answers:
        prompt = b""
        while not prompt.endswith(b": "):
            prompt += os.read(terminal, 4096)
        os.write(terminal, answer.encode() + b"\n")
        said += prompt
    with suppress(OSError):  # the far end is closed: the program has ended
        while more := os.read(terminal, 4096):
            said += more
    code = process.wait(timeout=30)
    os.close(terminal)
    text = said.decode()
    assert code == 0, text
    assert "the-secret-key" not in text
    (folder,) = load(tmp_path / "etc" / "config.toml", {}).folders
    assert (folder.start_from, folder.connection_type) == ("all", "two-channel")
    assert (tmp_path / "etc" / "api-key").read_text() == "the-secret-key\n"
