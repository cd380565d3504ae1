"""`init`, what it leaves on the disk: nothing lost, nothing for the wrong eyes, nothing that keeps the service from starting."""

from __future__ import annotations

import grp
import os
import pwd
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.cli import init_writing
from speechsense_watch.cli.init_writing import Readers, readers, write_configuration
from speechsense_watch.config.recipes import RECIPES
from speechsense_watch.edge import service_user
from speechsense_watch.edge.service_user import ServiceUser
from support.setting_up import GIVEN, GROUP, answered, init, init_as_nobody

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
NOBODY = pwd.getpwuid(65534)
DROP_IN = "units/speechsense-watch.service.d/recorder.conf"
MYSQL = ("--cdr-mysql-user", "reader", "--cdr-mysql-socket", "/nonexistent/mysqld.sock")


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that everybody can get at, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


# --- what was there --------------------------------------------------------------------------


def test_an_old_configuration_is_not_lost(tmp_path: Path) -> None:
    """Refused; with --force each stays beside the new one, and key and people stay what they are."""
    key = tmp_path / "key"
    key.write_text("kept\n")
    without_key = ("--recorder", "3cx", "--path", str(tmp_path / "spool"), "--bandwidth", "-")
    options = (*without_key, *GIVEN)
    assert init(tmp_path, *options, "--key-file", str(key))[0] == 0
    etc = tmp_path / "etc"
    (etc / "operators.csv").write_text("extension,id,name\n201,,Anna\n")
    texts = [(etc / "config.toml").read_text()]
    code, said = init(tmp_path, *options)
    assert (code, "is there already" in said) == (1, True)
    for connection in ("eag2", "eag3"):
        assert init(tmp_path, *options, "--connection-id", connection, "--force")[0] == 0
        texts.append((etc / "config.toml").read_text())
    assert len(set(texts)) == 3
    assert (etc / "config.toml.before-init").read_text() == texts[0]
    assert (etc / "config.toml.before-init-2").read_text() == texts[1]
    assert init(tmp_path, *options, "--connection-id", "eag3", "--force")[0] == 0
    assert not (etc / "config.toml.before-init-3").exists()
    assert "Anna" in (etc / "operators.csv").read_text()
    assert (etc / "api-key").read_text() == "kept\n"


def test_a_drop_in_and_a_hook_of_ones_own_are_not_lost(tmp_path: Path) -> None:
    """Somebody may have added ReadWritePaths=, or a line of his own to the hook."""
    assert init(tmp_path, *answered(tmp_path, "asterisk"))[0] == 0
    hook = tmp_path / "hooks" / "speechsense-mixmonitor"
    for path in (tmp_path / DROP_IN, hook):
        path.write_text("my own\n")
    assert init(tmp_path, *answered(tmp_path, "asterisk", "--force"))[0] == 0
    for path in (tmp_path / DROP_IN, hook):
        assert path.with_name(f"{path.name}.before-init").read_text() == "my own\n"
        assert "my own" not in path.read_text()


def test_a_write_that_fails_leaves_the_configuration_that_was_there(tmp_path: Path) -> None:
    """The disk is full: the machine goes on with what it has."""
    assert init(tmp_path, *answered(tmp_path))[0] == 0
    before = (tmp_path / "etc/config.toml").read_bytes()
    options = answered(tmp_path, "other", "--connection-id", "eag2", "--force")
    code, said = init(tmp_path, *options, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert (code, "cannot be written" in said) == (1, True), said
    assert (tmp_path / "etc/config.toml").read_bytes() == before
    assert list((tmp_path / "etc").glob(".*")) == []


def test_a_password_that_nobody_has_said_stays(tmp_path: Path) -> None:
    """As the key does: without a terminal, and without it in the environment."""
    options = (*answered(tmp_path, "freepbx"), *MYSQL)
    init(tmp_path, *options)
    password = tmp_path / "etc/cdr-password"
    assert password.read_text() == ""
    init(tmp_path, *options, "--force", more={"SPEECHSENSE_CDR_PASSWORD": "first"})
    assert password.read_text() == "first\n"
    code, said = init(tmp_path, *options, "--force")
    assert (code, "nobody answers there" in said) == (78, True), said
    assert password.read_text() == "first\n"


# --- whose it is -----------------------------------------------------------------------------


@as_root
def test_without_root_nobody_else_reads_it(home: Path) -> None:
    """The first group of a person may be that of many."""
    for name in ("spool", "units", "hooks"):
        (home / name).mkdir()
        shutil.chown(home / name, NOBODY.pw_uid, NOBODY.pw_gid)
    shutil.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    key = home / "key"
    key.write_text("the-secret-key\n")
    key.chmod(0o644)
    options = ("--recorder", "freepbx", "--path", str(home / "spool"), *GIVEN, "--bandwidth", "-", *MYSQL)
    code, said = init_as_nobody(home, *options, "--key-file", str(key))
    assert code == 78, said
    assert {path.name: path.stat().st_mode & 0o777 for path in (home / "etc").iterdir()} == dict.fromkeys(
        ("config.toml", "api-key", "cdr-password", "operators.csv"), 0o600
    )
    assert (home / "etc").stat().st_mode & 0o777 == 0o700


@as_root
def test_who_may_not_write_there_is_told_before_the_first_question(home: Path) -> None:
    """Most have only forgotten sudo."""
    (home / "etc").mkdir(mode=0o700)
    code, said = init_as_nobody(home, "--recorder", "freepbx")
    assert (code, "try again with `sudo`" in said) == (1, True), said


@as_root
def test_a_directory_that_was_there_is_left_to_its_owner(tmp_path: Path) -> None:
    """Somebody named it with --etc, and may keep other things in it."""
    (tmp_path / "etc").mkdir(mode=0o711)
    os.chown(tmp_path / "etc", 12345, 12345)
    code, said = init(tmp_path, *answered(tmp_path))
    assert code == 0, said
    assert rights(tmp_path / "etc") == (12345, 12345, 0o711)


@as_root
def test_only_a_directory_of_its_own_is_given_to_the_services_group(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask says; the files are the group's to read in any case."""
    monkeypatch.setattr(init_writing, "SERVICE_USER", NOBODY_GROUP)
    theirs = home / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 12345, 12345)
    old_mask = os.umask(0o077)
    try:
        for etc in (theirs, home / "ours"):
            write_configuration(etc, "", init_writing.Secrets(api_key="k", wants_api_key=True), operators=True)
    finally:
        os.umask(old_mask)
    assert rights(theirs) == (12345, 12345, 0o700)
    assert rights(home / "ours") == (0, NOBODY.pw_gid, 0o750)
    for etc in (theirs, home / "ours"):
        assert {rights(path) for path in etc.iterdir()} == {(0, NOBODY.pw_gid, 0o640)}


NOBODY_GROUP = grp.getgrgid(NOBODY.pw_gid).gr_name


def rights(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, found.st_mode & 0o777


@as_root
@pytest.mark.parametrize(("mode", "told"), [(0o700, True), (0o755, False)])
def test_a_door_that_is_closed_for_the_service_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: int, *, told: bool
) -> None:
    """What was there is left as it is, so somebody has to open it."""
    monkeypatch.setattr(init_writing, "SERVICE_USER", NOBODY_GROUP)
    user = ServiceUser(name=NOBODY.pw_name, uid=NOBODY.pw_uid, gid=NOBODY.pw_gid, groups=(NOBODY.pw_gid,))
    monkeypatch.setattr(service_user, "find", lambda: user)
    (home / "etc").mkdir(mode=mode)
    write_configuration(home / "etc", "", init_writing.Secrets(), operators=False)
    assert (f"User {NOBODY.pw_name} may not read {home}/etc/config.toml" in capsys.readouterr().out) == told
    assert os.geteuid() == 0


# --- the unit --------------------------------------------------------------------------------


def test_a_group_that_the_machine_lacks_does_not_keep_the_service_from_starting(tmp_path: Path) -> None:
    """The recorder is not installed yet, or somewhere else: its group is a comment in the unit, and told."""
    no_group = RECIPES["3cx"].group
    if any(each.gr_name == no_group for each in grp.getgrall()):
        pytest.skip(f"this machine has a group {no_group}")
    options = ("--recorder", "3cx", "--path", str(tmp_path / "not-there"), *GIVEN, "--bandwidth", "-")
    code, said = init(tmp_path, *options)
    assert code == 78
    assert f"This machine has no group {no_group}" in said
    text = (tmp_path / DROP_IN).read_text()
    assert f"\n#SupplementaryGroups={no_group}\n" in text
    assert "\nSupplementaryGroups" not in text


@as_root
def test_systemd_knows_the_drop_in_before_the_check(tmp_path: Path) -> None:
    """Otherwise a unit that was loaded before would be checked without the recordings' group."""
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\nls {tmp_path}/units >>{tmp_path}/calls\necho "$1" >>{tmp_path}/calls\n')
    systemctl.chmod(0o755)
    code, said = init(tmp_path, *answered(tmp_path), more={"PATH": f"{systemctl.parent}:{os.environ['PATH']}"})
    assert code == 0, said
    calls = (tmp_path / "calls").read_text().split()
    written = calls.index("speechsense-watch.service.d")
    assert calls[written + 1] == "daemon-reload"
    assert "show" in calls[written + 2 :]


@as_root
def test_the_group_is_the_recordings_own(tmp_path: Path) -> None:
    """By its name where systemd takes it; one without a name here would keep the service from starting; root's is no help."""
    recipe = RECIPES["freepbx"]
    number = grp.getgrnam(GROUP).gr_gid
    for gid, found in ((number, Readers(GROUP)), (0, Readers()), (54321, Readers(missing="54321"))):
        os.chown(tmp_path, 0, gid)
        assert readers(None, str(tmp_path), recipe) == found
    assert readers(GROUP, "/nonexistent", recipe) == Readers(GROUP)


def test_a_group_with_a_name_that_systemd_does_not_take_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those of a Windows domain."""
    windows = grp.struct_group(("DOMAIN\\domain users", "x", 10513, []))
    monkeypatch.setattr(grp, "getgrnam", lambda _: windows)
    assert readers("DOMAIN\\domain users", "/nonexistent", RECIPES["freepbx"]) == Readers("10513")
