"""`set-key`: asked for without being shown, tried, stored whole, and used by the daemon at once."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result

from speechsense_watch.cli import group, set_key
from speechsense_watch.core.model import State
from speechsense_watch.edge import channel, service_user
from speechsense_watch.edge.service_user import ServiceUser
from speechsense_watch.standin import Fault, Rules, StandIn
from support.iam import Iam, plain_settings
from support.iam import key_file as account_key
from support.rig import Rig, free_port
from support.terminal import Terminal
from support.waiting import wait_for

GOOD, BAD = "AQVNgoodkey", "AQVNbadkey"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "CONNECT_WITHIN_S", 2.0)
    # Whatever this machine's systemd knows of a service of ours.
    monkeypatch.setattr(service_user, "find", lambda: None)


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "service", rules=Rules(keys=frozenset({GOOD, "t1.token1", "t1.token2"}))) as service:
        yield service


@pytest.fixture
def iam() -> Iterator[Iam]:
    with Iam() as iam:
        yield iam


@dataclass
class Desk:
    """A configuration, a key's file, and the command in this process."""

    rig: Rig
    key: Path
    options: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rig.speechsense |= {"auth": "api-key", "api_key_file": str(self.key)}

    def set(self, said: str | bytes, *arguments: str) -> Result:
        """As a script does it: the key on the standard input. It is never repeated, whatever comes of it."""
        self.rig.configure()
        result = CliRunner().invoke(group, ["set-key", "--config", str(self.rig.config_path), *arguments], input=said)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        secret = said.decode(errors="replace") if isinstance(said, bytes) else said
        assert not secret.strip() or secret.strip() not in result.output
        return result

    def at_a_terminal(self, *arguments: str) -> Terminal:
        self.rig.configure()
        line = [sys.executable, "-m", "speechsense_watch", "set-key", "--config", str(self.rig.config_path), *arguments]
        return Terminal(line, {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})


@pytest.fixture
def desk(tmp_path: Path, standin: StandIn) -> Iterator[Desk]:
    (tmp_path / "etc").mkdir()
    with Rig(tmp_path, standin.port) as rig:
        yield Desk(rig, tmp_path / "etc" / "api-key")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- by a script -----------------------------------------------------------------------------


def test_a_key_that_is_taken_is_stored(desk: Desk) -> None:
    """Readable for nobody else where there was none; it says what was done and what follows."""
    result = desk.set(f"  {GOOD}\n\n")
    assert result.exit_code == 0, result.output
    assert desk.key.read_text() == f"{GOOD}\n"
    assert mode(desk.key) == 0o600
    assert "SpeechSense takes it." in result.output
    assert f"Stored in {desk.key} (" in result.output
    assert "No daemon runs; it will take this key when it starts." in result.output
    assert [path.name for path in desk.key.parent.iterdir()] == ["api-key"]


def test_a_key_that_is_refused_is_not_stored_unless_forced(desk: Desk) -> None:
    """The one that was there stays."""
    desk.key.write_text("old\n")
    result = desk.set(BAD)
    assert (result.exit_code, desk.key.read_text()) == (1, "old\n")
    assert "SpeechSense refuses it: the key or token in `authorization` is lacking or unknown." in result.output
    assert "nothing was stored; --force stores it all the same." in result.output
    result = desk.set(BAD, "--force")
    assert (result.exit_code, desk.key.read_text()) == (0, f"{BAD}\n")
    assert "SpeechSense refuses it" in result.output


def test_a_service_that_cannot_be_asked_keeps_a_key_from_being_stored_unless_forced(desk: Desk) -> None:
    """Exit code 69, as for `check --online`."""
    desk.rig.speechsense["endpoint"] = f"127.0.0.1:{free_port()}"
    result = desk.set(GOOD)
    assert (result.exit_code, desk.key.exists()) == (69, False)
    assert "cannot be reached (Connection refused): check the network and `endpoint`." in result.output
    assert desk.set(GOOD, "--force").exit_code == 0
    assert desk.key.read_text() == f"{GOOD}\n"


@pytest.mark.parametrize("what", ["UNAVAILABLE", "UNIMPLEMENTED"])
def test_a_service_in_trouble_cannot_be_asked_either(desk: Desk, standin: StandIn, what: str) -> None:
    """Nothing is known of the key."""
    standin.order(Fault(what, methods=("Get",)))
    result = desk.set(GOOD)
    assert (result.exit_code, desk.key.exists()) == (69, False)
    assert f"cannot be asked ({what}: " in result.output


def test_a_key_for_uploads_alone_is_stored(desk: Desk, standin: StandIn) -> None:
    """SpeechSense knows it, and does not let it read: that proves nothing against it."""
    standin.order(Fault("PERMISSION_DENIED", methods=("Get",)))
    result = desk.set(GOOD)
    assert (result.exit_code, desk.key.read_text()) == (0, f"{GOOD}\n")
    assert "it says PERMISSION_DENIED, which a key for uploads alone may get." in result.output


def test_a_closed_input_is_told(desk: Desk) -> None:
    """`<&-` of a shell, or a program that leaves none open."""
    desk.key.write_text("old\n")
    desk.rig.configure()
    line = f"exec {sys.executable} -m speechsense_watch set-key --no-test --config {desk.rig.config_path} <&-"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(["/bin/sh", "-c", line], env=environ, capture_output=True, text=True, timeout=60, check=False)
    expected = "speechsense-watch: the standard input is closed, so no key comes from it; nothing was stored.\n"
    assert (ended.returncode, ended.stderr, desk.key.read_text()) == (1, expected, "old\n")


def test_no_test_asks_nobody(desk: Desk, standin: StandIn) -> None:
    """For a machine that is being set up away from its network."""
    assert desk.set(BAD, "--no-test").exit_code == 0
    assert desk.key.read_text() == f"{BAD}\n"
    assert standin.calls() == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"", "The API key in the input is empty"),
        (b" \n\n", "The API key in the input is empty"),
        (b"id: 1\nsecret: topsecret", "has more than one line"),
        (b"Api-Key topsecret", "has a space, a control or a non-English character"),
        (b"top\x00secret", "has a space, a control or a non-English character"),
        ("ключ".encode(), "has a space, a control or a non-English character"),
        (b"\xff\xfe", "has a space, a control or a non-English character"),
        (b"k" * 20_000, "is too long for an API key"),
    ],
)
def test_what_is_no_key_by_its_form_is_not_stored(desk: Desk, standin: StandIn, said: bytes, message: str) -> None:
    """Not even with --force, and nobody is asked."""
    desk.key.write_text("old\n")
    result = desk.set(said, "--force")
    assert (result.exit_code, desk.key.read_text()) == (1, "old\n")
    assert message in result.output
    assert "Nothing was stored." in result.output
    assert standin.calls() == []


def test_the_key_is_not_taken_from_the_command_line(desk: Desk) -> None:
    """Everybody on the machine can read that."""
    assert desk.set("", GOOD).exit_code == 2
    assert not desk.key.exists()


# --- where it goes ---------------------------------------------------------------------------


@as_root
def test_owner_group_and_mode_stay_as_they_were(desk: Desk) -> None:
    """Whoever could read the old key can read the new one, and nobody else."""
    desk.key.write_text("old\n")
    desk.key.chmod(0o440)
    os.chown(desk.key, 65534, 4711)
    result = desk.set(GOOD)
    found = desk.key.stat()
    assert (found.st_uid, found.st_gid, mode(desk.key)) == (65534, 4711, 0o440)
    assert ":4711 0440)" in result.output


@as_root
def test_a_new_file_is_root_s_and_readable_for_the_services_group(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the package's own instructions make it."""
    monkeypatch.setattr(grp, "getgrnam", lambda _: type("group", (), {"gr_gid": 4711}))
    desk.set(GOOD)
    found = desk.key.stat()
    assert (found.st_uid, found.st_gid, mode(desk.key)) == (0, 4711, 0o640)


def test_a_key_open_to_everybody_is_warned_about(desk: Desk) -> None:
    """Its rights are the administrator's to decide."""
    desk.key.write_text("old\n")
    desk.key.chmod(0o644)
    assert f"`sudo chmod o= {desk.key}` mends that." in desk.set(GOOD).output
    assert mode(desk.key) == 0o644


def test_a_link_stays_one(desk: Desk) -> None:
    """The file that it leads to is replaced."""
    real = desk.key.with_name("real")
    real.write_text("old\n")
    desk.key.symlink_to("real")
    assert desk.set(GOOD).exit_code == 0
    assert (desk.key.is_symlink(), real.read_text()) == (True, f"{GOOD}\n")


@as_root
def test_somebody_elses_file_is_told_before_anybody_types_a_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user could not leave the file its owner."""
    desk.key.write_text("old\n")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    result = desk.set(GOOD)
    assert (result.exit_code, desk.key.read_text()) == (1, "old\n")
    assert f"{desk.key} belongs to somebody else" in result.output
    assert "try again with `sudo`." in result.output


@pytest.mark.parametrize(
    ("change", "exit_code", "message"),
    [
        ({"auth": "none"}, 78, 'auth = "none" needs no key.'),
        ({"auth": "vm-metadata"}, 78, 'auth = "vm-metadata" needs no key.'),
        ({"api_key_file": ""}, 78, "the configuration names no file for the key: set `api_key_file` under [speechsense]."),
        ({"api_key_file": "/proc"}, 1, "/proc is no regular file: the key cannot be put there."),
        ({"api_key_file": "/nowhere/at/all/key"}, 1, "there is no /nowhere/at/all, where the key belongs"),
    ],
)
def test_a_configuration_without_a_place_for_it_is_told(
    desk: Desk, change: dict[str, object], exit_code: int, message: str
) -> None:
    """Before anybody types a key."""
    desk.rig.speechsense |= change
    result = desk.set(GOOD)
    assert result.exit_code == exit_code
    assert message in result.output


def handed_over(place: str) -> Callable[[], ServiceUser]:
    user = ServiceUser(name="root", uid=0, gid=0, groups=(0,), credentials={"api-key": place})
    return lambda: user


@as_root
def test_where_systemd_hands_the_key_over_its_file_is_replaced_and_a_restart_advised(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LoadCredential= copies it at the start of the service."""
    other = desk.key.with_name("for-systemd")
    monkeypatch.setattr(service_user, "find", handed_over(str(other)))
    result = desk.set(GOOD)
    assert (desk.key.exists(), other.read_text()) == (False, f"{GOOD}\n")
    assert "`sudo systemctl restart speechsense-watch`" in result.output
    monkeypatch.setattr(service_user, "find", handed_over("a-name-in-a-store"))
    result = desk.set(GOOD)
    assert result.exit_code == 78
    assert "systemd hands the service its key from a-name-in-a-store" in result.output


@as_root
def test_a_key_that_the_services_user_may_not_read_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stored; without that word the daemon would be the first to know."""
    nobody = ServiceUser(name="nobody", uid=65534, gid=65534, groups=(65534,))
    monkeypatch.setattr(service_user, "find", lambda: nobody)
    assert "User nobody may not read it" in desk.set(GOOD).output


# --- a service account's key -------------------------------------------------------------------


@pytest.fixture
def account(desk: Desk, iam: Iam) -> Path:
    desk.rig.speechsense |= plain_settings(desk.key.parent, iam)
    path = desk.key.parent / "service-account-key"
    path.unlink()
    return path


def test_a_service_accounts_key_is_tried_by_a_token(desk: Desk, account: Path, iam: Iam, standin: StandIn) -> None:
    """IAM gives it, SpeechSense takes it."""
    result = desk.set(account_key())
    assert result.exit_code == 0, result.output
    assert account.read_text() == account_key() + "\n"
    assert (iam.given, len(standin.calls())) == (["t1.token1"], 1)
    assert "t1.token1" not in result.output


def test_a_service_accounts_key_that_iam_refuses_is_not_stored(desk: Desk, account: Path, iam: Iam) -> None:
    """With the word about the clock."""
    result = desk.set(account_key(1))
    assert (result.exit_code, account.exists()) == (1, False)
    assert "IAM refused the service account's key" in result.output
    assert "Check this machine's clock" in result.output
    iam.script.code = grpc.StatusCode.UNAVAILABLE
    assert (desk.set(account_key()).exit_code, account.exists()) == (69, False)


def test_a_service_accounts_key_is_looked_at_even_untried(desk: Desk, account: Path, iam: Iam) -> None:
    """What is no key cannot be stored as one."""
    assert desk.set(GOOD, "--no-test").exit_code == 1
    assert desk.set(account_key(), "--no-test").exit_code == 0
    assert account.exists()
    assert iam.shown == []


# --- at a terminal ---------------------------------------------------------------------------


def test_what_is_typed_is_not_shown(desk: Desk) -> None:
    """One question, and that is all."""
    with desk.at_a_terminal() as terminal:
        terminal.answer("The API key (it is not shown):", GOOD)
        assert terminal.end() == 0, terminal.shown
    assert GOOD not in terminal.shown
    assert desk.key.read_text() == f"{GOOD}\n"


def test_whoever_is_there_may_store_it_untried(desk: Desk) -> None:
    """No is the answer of Enter."""
    desk.rig.speechsense["endpoint"] = f"127.0.0.1:{free_port()}"
    for answer, stored in (("", False), ("y", True)):
        with desk.at_a_terminal() as terminal:
            terminal.answer("The API key", GOOD)
            terminal.answer("Store it untried?", answer)
            assert terminal.end() == (0 if stored else 69)
        assert desk.key.exists() is stored


def test_ctrl_c_stores_nothing(desk: Desk) -> None:
    """And says so."""
    with desk.at_a_terminal() as terminal:
        terminal.wait_for("The API key")
        terminal.type(b"\x03")
        assert terminal.end() == 1
    assert "broken off: nothing was stored." in terminal.shown
    assert not desk.key.exists()


def test_a_key_file_is_not_typed(desk: Desk, account: Path) -> None:
    """The command says how to hand it over."""
    del account
    with desk.at_a_terminal() as terminal:
        assert terminal.end() == 1
    assert "`speechsense-watch set-key < authorized_key.json`" in terminal.shown


# --- beside the daemon -----------------------------------------------------------------------


def paused(rig: Rig) -> list[str]:
    return [pause["reason"] for pause in rig.read(lambda queue: queue.runtime()).get("paused", [])]


@pytest.mark.parametrize("how", ["set-key", "an editor"])
def test_a_daemon_whose_key_was_refused_goes_on_within_seconds(desk: Desk, how: str) -> None:
    """Its probe would be due in 20 to 60 s. Whoever writes the file by hand has the same."""
    rig = desk.rig
    rig.upload["retry_max"] = "15m"
    desk.key.write_text(f"{BAD}\n")
    rig.start()
    rig.drop("call")
    wait_for(lambda: paused(rig) == ["key_refused"], 20, "it is paused")
    due = rig.next_probe_at()
    if how == "set-key":
        result = desk.set(GOOD)
        assert "The daemon takes it within seconds" in result.output
    else:
        desk.key.write_text(f"{GOOD}\n")
    rig.wait_for_states(call=State.DONE)
    assert rig.jobs()["call.wav"].updated_at < due
    wait_for(lambda: paused(rig) == [], 5, "the pause is over")
    assert rig.jobs()["call.wav"].attempts == 0
    assert not {GOOD, BAD} & set(rig.log().replace('"', " ").split())


def test_a_daemon_whose_key_may_not_upload_goes_on_within_seconds(desk: Desk, standin: StandIn) -> None:
    """A connection's pause, which nothing but the word in the queue makes the daemon look into before its time."""
    rig = desk.rig
    rig.upload["retry_max"] = "15m"
    desk.key.write_text("t1.token1\n")
    standin.order(Fault("PERMISSION_DENIED"))
    rig.start()
    rig.drop("call")
    wait_for(lambda: paused(rig) == ["permission_denied"], 20, "it is paused")
    due = rig.next_probe_at()
    assert desk.set(GOOD).exit_code == 0
    rig.wait_for_states(call=State.DONE)
    assert rig.jobs()["call.wav"].updated_at < due


def test_a_queue_that_cannot_be_written_keeps_no_key_from_being_stored(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon looks at the file by itself, only later."""
    desk.rig.queue_path.parent.mkdir()
    desk.rig.queue_path.write_bytes(b"no database at all, but long enough to be looked at as one" * 100)
    monkeypatch.setattr(set_key, "daemon_runs", lambda _path: True)
    result = desk.set(GOOD)
    assert (result.exit_code, desk.key.read_text()) == (0, f"{GOOD}\n")
    assert "The daemon takes it by itself within a minute." in result.output
