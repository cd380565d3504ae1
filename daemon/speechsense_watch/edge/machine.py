"""Which machine this is: what tells a queue that was carried to another one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Machine:
    """`id` is that of machine-id(5), empty where there is none; `host` is what people call it."""

    id: str
    host: str

    def other_than(self, told: Mapping[str, str]) -> bool:
        """Whether the queue surely ran on another machine. By the ids alone: a container has a new host name each time it is
        made, and often no id; and a machine may be renamed.
        """
        before = told.get("id", "")
        return bool(self.id and before and self.id != before)


def this_machine(path: Path = _MACHINE_ID) -> Machine:
    """Never raises: a file that is not there, or does not hold an id ("uninitialized" in an image), is none."""
    try:
        text = path.read_bytes()[:64].strip().decode("ascii", "replace")
    except OSError:
        text = ""
    return Machine(text if re.fullmatch(r"[0-9a-f]{32}", text) else "", os.uname().nodename)
