"""The unit's drop-in for one machine: the recordings' group and their file system."""

from __future__ import annotations

import re

# What stands in a unit file as it is. Everything else goes between quotes, by systemd.syntax(7).
_PLAIN = re.compile(r"[A-Za-z0-9/._@:+,=-]+")
_GROUP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def drop_in(path: str, *, group: str = "", missing_group: str = "") -> str:
    """Its text. `group` is a name or number that the machine knows; `missing_group` one that it lacks: systemd starts no service
    with such a group, so its line is a comment. Raises ValueError for what must not get into a unit.
    """
    lines = ["[Unit]", f"RequiresMountsFor={_for_systemd(path)}", "", "[Service]"]
    if group:
        lines.append(f"SupplementaryGroups={_plain(group)}")
    elif missing_group:
        lines += [
            f"# There was no group {_plain(missing_group)} when this was written, and systemd starts no service with a group",
            "# that is not there (status 216/GROUP). Once it is, take the # away and type:",
            "# systemctl daemon-reload && systemctl restart speechsense-watch",
            f"#SupplementaryGroups={_plain(missing_group)}",
        ]
    else:
        lines.append("# The recordings belong to no group of their own: they must be readable for everybody.")
    return "\n".join(lines) + "\n"


def fits_a_unit(group: str) -> bool:
    """Systemd splits its list of groups at spaces and takes no quotes there: other names have to be told by their number."""
    return _GROUP_NAME.fullmatch(group) is not None


def _plain(group: str) -> str:
    if not fits_a_unit(group) and not re.fullmatch("[0-9]+", group):
        raise ValueError("no name that systemd takes for a group")
    return group


def _for_systemd(path: str) -> str:
    """Between quotes a backslash stands before a quote and before itself; two percent signs are one, wherever they stand."""
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise ValueError("a control character in a path")
    if _PLAIN.fullmatch(path):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
