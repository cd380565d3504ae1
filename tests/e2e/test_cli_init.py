"""`init`: from a few answers to a checked configuration."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from speechsense_watch.config import load
from speechsense_watch.config.recipes import RECIPES
from support.setting_up import GIVEN, GROUP, answered, environ, init


@pytest.mark.parametrize("recorder", RECIPES)
def test_every_recorder_gets_a_configuration_that_can_be_used(tmp_path: Path, recorder: str) -> None:
    """Whole, with a trial, readable for nobody else; what the recorder needs beside it is written too."""
    key = tmp_path / "key"
    key.write_text("the-secret-key\n")
    options = ("--recorder", recorder, "--path", str(tmp_path / "spool"), "--bandwidth", "1MiB/s", "--key-file", str(key))
    code, said = init(tmp_path, *options, *GIVEN, "--group", GROUP)
    assert code == 0, said
    assert "the-secret-key" not in said
    (folder,) = load(tmp_path / "etc" / "config.toml", {}).folders
    assert (folder.name, folder.connection_id, folder.trial) == (recorder, "eag1", 3)
    assert (tmp_path / "etc" / "api-key").read_text() == "the-secret-key\n"
    assert {path.stat().st_mode & 0o007 for path in (tmp_path / "etc").iterdir()} == {0}
    drop_in = (tmp_path / "units/speechsense-watch.service.d/recorder.conf").read_text()
    assert f"SupplementaryGroups={GROUP}\n" in drop_in
    assert f"RequiresMountsFor={tmp_path}/spool\n" in drop_in
    hook = RECIPES[recorder].hook
    assert [path.name for path in (tmp_path / "hooks").iterdir()] == ([hook] if hook else [])


def test_a_hook_without_a_place_says_so(tmp_path: Path) -> None:
    """The recorder is not where its package puts it."""
    code, said = init(tmp_path, *answered(tmp_path, "freeswitch", "--hooks", str(tmp_path / "nowhere")))
    assert (code, "speechsense-record.lua belongs" in said) == (1, True)
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nobody is there to answer: Which recorder?"),
        (("--recorder", "other"), "nobody is there to answer"),
        (("--recorder", "other", "--path", "calls", *GIVEN, "--bandwidth", ""), "calls will not do: expected an absolute path"),
        (("--recorder", "other", "--path", "/x", *GIVEN, "--bandwidth", "much"), "much will not do: expected a bandwidth"),
        (("--recorder", "other", "--path", "/", *GIVEN, "--bandwidth", "-"), "nothing was written"),
        (("--path", "/x\n[Service]\nUser=root"), "expected an absolute path"),
        (("--path", "/x/\udcff"), "/x/\\xff will not do: expected text in UTF-8"),
        (("--path", "/x/../y"), "expected an absolute path"),
        (("--path", __file__), "expected a directory"),
        (("--connection-id", "eag 1"), "without spaces"),
        (("--start-from", "yesterday"), "yesterday will not do: expected"),
        (("--time-zone", "Moscow"), 'did you mean "Europe/Moscow"?'),
        (("--cdr-csv", "Master.csv"), "expected an absolute path"),
        (("--cdr-mysql-user", "a b"), "a b will not do: expected a name without spaces"),
        (("--cdr-csv", "/x.csv", "--cdr-mysql-user", "reader"), "not both"),
        (("--queue", "queue.db"), "queue.db will not do: expected an absolute path"),
        (("--plaintext",), "name it with --endpoint"),
        (("--plaintext", "--endpoint", "http://127.0.0.1:5051"), "without http://"),
        (("--group", "no-such-group"), "this machine has no group no-such-group"),
        (("--group", f"{GROUP}\nUser=root"), "this machine has no group"),
    ],
)
def test_options_that_will_not_do_write_nothing(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """Each is told with what was expected, whatever else is still to be known."""
    code, output = init(tmp_path, *options)
    assert code == 1
    assert said in output
    assert "Traceback" not in output
    assert not (tmp_path / "etc").exists()
    assert list((tmp_path / "units").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfek\x00e\x00y\x00", "is no text in UTF-8"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"one two", "expected the key alone"),
        (b"first\nsecond\n", "expected the key alone"),
    ],
)
def test_a_file_without_a_key_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    """Before anything is written, and without a word of what is in it."""
    key = tmp_path / "key"
    key.write_bytes(content)
    options = ("--recorder", "other", "--path", str(tmp_path / "spool"), *GIVEN, "--bandwidth", "-")
    code, output = init(tmp_path, *options, "--key-file", str(key))
    assert (code, said in output, "Traceback" in output) == (1, True, False), output
    assert "second" not in output
    assert not (tmp_path / "etc").exists()


def test_a_key_with_the_mark_of_an_editor_is_one(tmp_path: Path) -> None:
    """Notepad begins UTF-8 with a byte order mark."""
    key = tmp_path / "key"
    key.write_bytes(b"\xef\xbb\xbfthe-secret-key\r\n")
    options = ("--recorder", "other", "--path", str(tmp_path / "spool"), *GIVEN, "--bandwidth", "-")
    assert init(tmp_path, *options, "--key-file", str(key))[0] == 0
    assert (tmp_path / "etc/api-key").read_bytes() == b"the-secret-key\n"


def test_what_the_check_finds_decides_in_the_end(tmp_path: Path) -> None:
    """Call records that cannot be read would be found out only by the first call."""
    code, said = init(tmp_path, *answered(tmp_path, "freepbx", "--cdr-csv", str(tmp_path / "Master.csv")))
    assert code == 78
    assert "The call records cannot be read" in said
    assert "mend what is marked" in said
    assert "lack their operator" not in said


@pytest.mark.parametrize(("recorder", "told"), [("freepbx", True), ("asterisk", False), ("3cx", False)])
def test_call_records_that_are_left_out_are_told_where_they_are_needed(tmp_path: Path, recorder: str, *, told: bool) -> None:
    """Only FreePBX's names lack the operator of a call that comes in."""
    code, said = init(tmp_path, *answered(tmp_path, recorder))
    assert code == 0, said
    assert ("Calls that come in lack their operator" in said) == told
    assert ("are not sent until [folders.cdr] is there" in said) == told


@pytest.mark.parametrize(("kind", "swapped"), [("two-channel", {"direction_outgoing": "true"}), ("single-channel", {})])
def test_asterisks_channels_are_exchanged_where_there_are_two(tmp_path: Path, kind: str, swapped: dict[str, str]) -> None:
    """The recorded leg is the left channel, whoever called; where there is one channel the rule would only be warned of."""
    assert init(tmp_path, *answered(tmp_path, "asterisk", "--connection-type", kind))[0] == 0
    config = load(tmp_path / "etc" / "config.toml", {})
    assert (config.folders[0].swap_channels_when, config.warnings) == (swapped, ())


def test_for_a_stand_in_no_key_is_written(tmp_path: Path) -> None:
    """An empty file would look as if one was lacking."""
    assert init(tmp_path, *answered(tmp_path))[0] == 0
    assert not (tmp_path / "etc/api-key").exists()


def test_every_rate_that_the_help_names_is_taken(tmp_path: Path) -> None:
    """And the sign for none."""
    line = [sys.executable, "-m", "speechsense_watch", "init", "--help"]
    shown = subprocess.run(line, capture_output=True, text=True, check=True, env=environ()).stdout
    rates = re.findall(r"[0-9]+[A-Za-z]+/s", shown)
    assert rates
    for rate in (*rates, "-"):
        code, said = init(tmp_path, *answered(tmp_path, "other", "--force", "--bandwidth", rate))
        assert code == 0, said
