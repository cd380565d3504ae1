"""`init` at a terminal: what it asks, and how it takes answers that will not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechsense_watch.cli.init_records import proposed
from speechsense_watch.config import load
from support import mariadb
from support.setting_up import GIVEN, STANDIN, at_a_terminal

SECRET = "the-secret"
needs_mariadb = pytest.mark.skipif(not mariadb.HAVE_IT, reason="no MariaDB here")


def test_enter_takes_what_is_proposed(tmp_path: Path) -> None:
    """The key is not shown."""
    with at_a_terminal(tmp_path) as terminal:
        terminal.answer("Which recorder?", "other")
        terminal.answer("Where do its recordings appear?", str(tmp_path / "spool"))
        terminal.answer("The id of the SpeechSense connection", "eag1")
        terminal.answer("Which type has the connection?", "")
        terminal.answer("From when on are calls sent", "all")
        terminal.answer("The time zone of the exchange?", "")
        terminal.answer("A limit for all uploads together", "")
        terminal.answer("The API key?", SECRET)
        assert terminal.end() == 0, terminal.shown
    assert SECRET not in terminal.shown
    config = load(tmp_path / "etc" / "config.toml", {})
    (folder,) = config.folders
    assert (folder.start_from, folder.connection_type) == ("all", "two-channel")
    assert config.upload.bandwidth_bytes_per_s == 2**20
    assert (tmp_path / "etc" / "api-key").read_text() == f"{SECRET}\n"


def test_an_answer_that_will_not_do_is_asked_again(tmp_path: Path) -> None:
    """With what was expected; the answers before it stand."""
    with at_a_terminal(tmp_path, PYTHONIOENCODING="utf-8:strict") as terminal:
        terminal.answer("Which recorder?", "pbx")
        terminal.answer("expected one of freepbx", "other")
        terminal.answer("Where do its recordings appear?", "spool")
        terminal.answer("expected an absolute path", __file__)
        terminal.answer("expected a directory", str(tmp_path / "spool"))
        terminal.answer("The id of the SpeechSense connection", "eag 1")
        terminal.answer("without spaces", "eag1")
        terminal.answer("Which type has the connection?", "stereo")
        terminal.answer("expected one of two-channel, single-channel", "")
        terminal.answer("From when on are calls sent", "yesterday")
        terminal.answer('expected "now", "all" or a date', "2025-04-01")
        terminal.answer("The time zone of the exchange?", b"\xff")
        terminal.answer("no text in UTF-8", "Moscow")
        terminal.answer('did you mean "Europe/Moscow"?', "Europe/Moscow")
        terminal.answer("A limit for all uploads together", "8 Mbit/s")
        terminal.answer("expected a bandwidth such as 1MiB/s", "500KiB/s")
        terminal.answer("The API key?", f"{SECRET} twice")
        terminal.answer("expected the key alone", SECRET)
        assert terminal.end() == 0, terminal.shown
    assert SECRET not in terminal.shown
    config = load(tmp_path / "etc" / "config.toml", {})
    assert (config.folders[0].connection_id, config.folders[0].time_zone) == ("eag1", "Europe/Moscow")
    assert config.upload.bandwidth_bytes_per_s == 500 * 2**10


@pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("question", ["Which recorder?", "The time zone of the exchange?", "The API key?"])
def test_whoever_breaks_off_has_changed_nothing(tmp_path: Path, question: str, key: bytes) -> None:
    """At the first question, in the middle, and at the last one, where nothing is shown."""
    rest = ("--path", str(tmp_path / "spool"), "--bandwidth", "-", "--connection-id", "eag1", "--connection-type", "two-channel")
    given = {"Which recorder?": (), "The time zone of the exchange?": ("--recorder", "other", "--start-from", "now")}
    with at_a_terminal(tmp_path, *rest, *given.get(question, ("--recorder", "other", *GIVEN))) as terminal:
        terminal.wait_for(question)
        terminal.type(key)
        assert terminal.end() == 1
    assert "nothing was written" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert not (tmp_path / "etc").exists()


def test_an_option_that_will_not_do_is_told_before_the_first_question(tmp_path: Path) -> None:
    """Nobody answers ten questions in vain."""
    with at_a_terminal(tmp_path, "--time-zone", "Moscow") as terminal:
        assert terminal.end() == 1
    assert "Which recorder?" not in terminal.shown


# --- call records ----------------------------------------------------------------------------


def test_the_place_that_is_proposed_is_where_this_machine_has_them(tmp_path: Path) -> None:
    """MySQL before a Master.csv, as FreePBX writes there; a file in which nothing stands tells of no call."""
    with mariadb.a_socket(tmp_path / "mysqld.sock") as there:
        away, csv = tmp_path / "away.sock", tmp_path / "Master.csv"
        assert proposed([away], csv) == "-"
        csv.touch()
        assert proposed([away, csv], csv) == "-"
        csv.write_text("a line\n")
        assert proposed([away], csv) == str(csv)
        assert proposed([away, there], csv) == "mysql"


def test_call_records_may_be_left_out_and_a_place_must_be_one(tmp_path: Path) -> None:
    """What that means is said plainly."""
    with at_a_terminal(tmp_path, "--recorder", "freepbx", "--path", str(tmp_path / "spool"), *GIVEN, *STANDIN) as terminal:
        terminal.answer("Where are the call records: mysql, the path of a Master.csv, or - to leave them out?", "csv")
        terminal.answer("expected mysql, the absolute path of a file", str(tmp_path / "Master.csv"))
        terminal.answer("expected mysql, the absolute path of a file", "-")
        assert terminal.end() == 0, terminal.shown
    assert "Calls that come in lack their operator" in " ".join(terminal.shown.split())
    assert not load(tmp_path / "etc" / "config.toml", {}).folders[0].cdr.wanted


@needs_mariadb
def test_records_in_mysql_are_tried_at_once(tmp_path: Path) -> None:
    """And whoever may not read them is told how a user is made who may; the password is never shown."""
    with mariadb.call_records() as socket:
        options = ("--recorder", "freepbx", "--path", str(tmp_path / "spool"), *GIVEN, *STANDIN, "--cdr-mysql-socket", socket)
        with at_a_terminal(tmp_path, *options) as terminal:
            terminal.answer("Where are the call records", "mysql")
            terminal.answer("Which user of the database may read them? [speechsense]", "")
            terminal.answer("The password of speechsense", SECRET)
            assert terminal.end() == 78, terminal.shown
        assert "user or password are refused" in terminal.shown
        assert "CREATE USER 'speechsense'@'localhost' IDENTIFIED BY 'THE PASSWORD';" in terminal.shown
        assert "GRANT SELECT ON asteriskcdrdb.cdr TO 'speechsense'@'localhost';" in terminal.shown
        assert SECRET not in terminal.shown
        with at_a_terminal(tmp_path, *options, "--force") as terminal:
            terminal.answer("Where are the call records", "mysql")
            terminal.answer("Which user of the database may read them?", mariadb.USER)
            terminal.answer("The password of reader", mariadb.PASSWORD)
            assert terminal.end() == 0, terminal.shown
        assert "The call records can be read." in terminal.shown
        assert "CREATE USER" not in terminal.shown
        assert "lack their operator" not in terminal.shown
        assert mariadb.PASSWORD not in terminal.shown
        with at_a_terminal(tmp_path, *options, "--force") as terminal:
            terminal.answer("Where are the call records", "mysql")
            terminal.answer("Which user of the database may read them?", mariadb.USER)
            terminal.answer("Enter to keep that in", "")
            assert terminal.end() == 0, terminal.shown
    assert (tmp_path / "etc" / "cdr-password").read_text() == f"{mariadb.PASSWORD}\n"


def test_the_lines_that_make_the_user_are_sql_whatever_he_is_called(tmp_path: Path) -> None:
    """A quote in a name ends no text."""
    options = ("--cdr-mysql-user", "o'neil\\", "--cdr-mysql-socket", str(tmp_path / "away.sock"))
    with at_a_terminal(
        tmp_path,
        "--recorder",
        "freepbx",
        "--path",
        str(tmp_path / "spool"),
        *GIVEN,
        *STANDIN,
        *options,
        SPEECHSENSE_CDR_PASSWORD=SECRET,
    ) as terminal:
        assert terminal.end() == 78, terminal.shown
    assert "nobody answers there" in terminal.shown
    assert "CREATE USER 'o''neil\\\\'@'localhost'" in terminal.shown
    assert "The password of" not in terminal.shown
    assert SECRET not in terminal.shown
