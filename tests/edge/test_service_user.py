"""As whom the daemon runs, and with which rights."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from speechsense_watch.edge import service_user
from speechsense_watch.edge.service_user import ServiceUser, find

NOBODY = pwd.getpwuid(65534)


def test_the_units_word_counts() -> None:
    """The user, the drop-in's groups and the handed-over credentials are those of the unit."""
    unit = (
        f"User={NOBODY.pw_name}\nSupplementaryGroups=root 4711 no-such-group\nLoadCredential=api-key:/etc/key iam-token:/etc/t\n"
    )
    found = find(ask=lambda: unit)
    assert found is not None
    assert (found.name, found.uid, found.gid) == (NOBODY.pw_name, NOBODY.pw_uid, NOBODY.pw_gid)
    assert set(found.groups) == {*os.getgrouplist(NOBODY.pw_name, NOBODY.pw_gid), 0, 4711}
    assert found.credentials == {"api-key": "/etc/key", "iam-token": "/etc/t"}


def test_a_name_on_the_command_line_comes_before_the_units() -> None:
    """The groups of the unit still count."""
    found = find(NOBODY.pw_name, ask=lambda: "User=root\nSupplementaryGroups=\n")
    assert found is not None
    assert found.uid == NOBODY.pw_uid


@pytest.mark.parametrize("unit", ["", "User=\nSupplementaryGroups=\n", "User=no-such-user-here\n"])
def test_a_machine_without_the_user_has_none(unit: str) -> None:
    """Neither the unit's user nor the one that the package makes exists."""
    if any(user.pw_name == "speechsense-watch" for user in pwd.getpwall()) and "no-such" not in unit:
        pytest.skip("this machine has the service's user")
    assert find(ask=lambda: unit) is None


def test_where_there_is_no_systemd_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without systemctl is no error."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert service_user.ask_systemd() == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_was_become_is_for_good() -> None:
    """User, group and groups are the service's, and there is no way back."""
    user = ServiceUser(name="x", uid=65534, gid=65533, groups=(65533, 4711))
    code = (
        "import os\n"
        "from speechsense_watch.edge.service_user import ServiceUser, become\n"
        f"become({user!r})\n"
        "print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))\n"
        "try:\n    os.setuid(0)\nexcept PermissionError:\n    print('no way back')\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(65534, 65534, 65534) (65533, 65533, 65533) [4711, 65533]", "no way back"]
