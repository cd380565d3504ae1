"""The user as whom the daemon runs: found by asking systemd, and become by a command that root has started."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from speechsense_watch.edge.ownership import SERVICE_USER

_UNIT = "speechsense-watch.service"
_PROPERTIES = ("User", "SupplementaryGroups", "LoadCredential")
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUser:
    """`groups` are all that the daemon has; `credentials` the files that systemd hands to it, by name."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    credentials: Mapping[str, str] = field(default_factory=dict)


def ask_systemd() -> str:
    """What systemd knows of our unit, as `Key=value` lines; empty where there is no systemd to ask."""
    command = ["systemctl", "show", _UNIT, *(f"--property={name}" for name in _PROPERTIES)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def tell_systemd() -> None:
    """What was written to a drop-in counts from now on, for `find` too: a unit that is loaded is not read again by itself.
    Nothing happens where there is no systemd.
    """
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(["systemctl", "daemon-reload"], capture_output=True, timeout=_PATIENCE_S, check=False)


def find(name: str | None = None, ask: Callable[[], str] = ask_systemd) -> ServiceUser | None:
    """The named user, else the unit's, else `speechsense-watch`, with the unit's supplementary groups; None if there is none."""
    unit = _parsed(ask())
    wanted = name or " ".join(unit.get("User", ())) or SERVICE_USER
    try:
        user = pwd.getpwnam(wanted)
    except KeyError:
        return None
    groups = {*os.getgrouplist(user.pw_name, user.pw_gid), *_numbers(unit.get("SupplementaryGroups", ()))}
    credentials = dict(each.split(":", 1) for each in unit.get("LoadCredential", ()) if ":" in each)
    return ServiceUser(name=user.pw_name, uid=user.pw_uid, gid=user.pw_gid, groups=tuple(sorted(groups)), credentials=credentials)


def become(user: ServiceUser) -> None:
    """From here on this process has the user's rights and no others, for good. Raises OSError unless root asks."""
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def may_read(user: ServiceUser, path: Path) -> bool:
    """Whether the user can open the file: root tries it with his rights, as access lists and the directories above count too."""
    mine = os.geteuid(), os.getegid(), os.getgroups()
    try:
        os.setgroups(user.groups)
        os.setegid(user.gid)
        os.seteuid(user.uid)
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    finally:
        os.seteuid(mine[0])
        os.setegid(mine[1])
        os.setgroups(mine[2])
    return True


def _parsed(text: str) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        found.setdefault(key, []).extend(value.split())
    return found


def _numbers(groups: Sequence[str]) -> list[int]:
    numbers: list[int] = []
    for group in groups:
        try:
            numbers.append(int(group) if group.isdigit() else grp.getgrnam(group).gr_gid)
        except KeyError:
            continue
    return numbers
