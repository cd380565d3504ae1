"""A named moment in a process, and the order to die at its n-th visit."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

VARIABLE = "TORTURE_PLAN"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a child process is told: where to die, at which visit, where to note what it passed, and which of its safeguards
    are taken from it.
    """

    die_at: str = ""
    nth: int = 1
    visits: str = ""
    without: tuple[str, ...] = field(default=())
    # Times made for days are made for seconds.
    hurried: bool = True

    def environ(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        given = json.loads(environ.get(VARIABLE, "{}"))
        return cls(**{**given, "without": tuple(given.get("without", ()))})


class Points:
    """One per process; any thread may pass."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._passed: Counter[str] = Counter()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._visits = os.open(plan.visits, flags, 0o600) if plan.visits else -1

    def reach(self, name: str) -> None:
        """Does not return at the visit at which the plan has the process die: the kernel ends every thread at once."""
        with self._lock:
            self._passed[name] += 1
            nth = self._passed[name]
            if self._visits >= 0 and nth <= 2:
                os.write(self._visits, f"{nth} {name}\n".encode())
        if name == self._plan.die_at and nth == self._plan.nth:
            os.kill(os.getpid(), signal.SIGKILL)


def visited(path: Path) -> set[tuple[str, int]]:
    """Every point that some process of the plan's has passed, for the first and for the second time."""
    found = set()
    for line in path.read_text().splitlines() if path.exists() else ():
        nth, _, name = line.partition(" ")
        found.add((name, int(nth)))
    return found


def replace(owner: object, name: str, new: object) -> None:
    """Raises AttributeError when there is nothing of that name: what was renamed must not be spared in silence."""
    getattr(owner, name)
    setattr(owner, name, new)
