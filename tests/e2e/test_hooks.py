"""The hook for Asterisk: legs in, one recording and its metadata out, and no caller who runs a command."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support.wavs import pcm

HOOK = Path(__file__).parents[2] / "contrib" / "asterisk" / "speechsense-mixmonitor"
NASTY = [
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "-rf",
    "a b",
    "%s%n",
    "\\",
    "|touch pwned",
    "Пётр",
]
# sox is not everywhere: one that joins what it is given and notes how it was called.
SOX = """#!/bin/sh
printf "%s\\n" "$@" >"$SOX_CALLED"
[ "$SOX_FAILS" = yes ] && exit 2
for last; do :; done
cat "$2" "$3" >"$last"
"""


class Hook:
    """One directory for legs, one that is watched, a sox of our own, and the program as the hook finds it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.out = directory / "out"
        self.legs = directory / "legs"
        for each in (self.out, self.legs, directory / "bin"):
            each.mkdir()
        self._script("sox", SOX)
        # Quoted by repr of paths that a test directory has: no spaces, no quotes.
        self._script("speechsense-watch", f'#!/bin/sh\nexec {sys.executable} -m speechsense_watch "$@"\n')
        self._script("logger", '#!/bin/sh\nprintf "%s\\n" "$*" >>"$LOGGED"\n')
        self.environ = {
            **os.environ,
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "SOX_CALLED": str(directory / "called"),
            "SOX_FAILS": "no",
            "LOGGED": str(directory / "log"),
        }

    def _script(self, name: str, text: str) -> None:
        path = self.directory / "bin" / name
        path.write_text(text)
        path.chmod(stat.S_IRWXU)

    def record(self, name: str) -> str:
        base = self.legs / name
        Path(f"{base}-rx.wav").write_bytes(pcm(channels=1, seed=1))
        Path(f"{base}-tx.wav").write_bytes(pcm(channels=1, seed=2))
        return str(base)

    def run(self, *arguments: str) -> int:
        return subprocess.run(["/bin/sh", HOOK, *arguments], env=self.environ, cwd=self.directory, check=False).returncode

    @property
    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def hook(tmp_path: Path) -> Hook:
    return Hook(tmp_path)


def test_the_legs_become_one_recording_with_its_metadata(hook: Hook) -> None:
    """Left what the recorded channel said, right what it heard; the legs stay, nothing else is left."""
    base = hook.record("1773081123.265")
    assert hook.run(base, str(hook.out), "operator_id=201", "client_id=+74950000000") == 0
    assert sorted(path.name for path in hook.out.iterdir()) == ["1773081123.265.json", "1773081123.265.wav"]
    assert json.loads((hook.out / "1773081123.265.json").read_bytes()) == {"operator_id": "201", "client_id": "+74950000000"}
    called = (hook.directory / "called").read_text().split("\n")
    assert called[:3] == ["-M", f"{base}-rx.wav", f"{base}-tx.wav"]
    assert called[-2].startswith(f"{hook.out}/.1773081123.265.")
    assert Path(f"{base}-rx.wav").exists()


def test_legs_are_deleted_only_where_that_is_asked_for(hook: Hook) -> None:
    """And only after everything else went well."""
    base = hook.record("call")
    hook.environ["DELETE_LEGS"] = "yes"
    assert hook.run(base, str(hook.out), "a=b") == 0
    assert list(hook.legs.iterdir()) == []


@pytest.mark.parametrize("value", NASTY)
def test_no_value_is_a_command(hook: Hook, value: str) -> None:
    """Whatever a caller calls himself is written as it is."""
    assert hook.run(hook.record("call"), str(hook.out), f"client_name={value}", f"client_id={value}") == 0
    assert json.loads((hook.out / "call.json").read_bytes()) == {"client_name": value, "client_id": value}
    assert not list(hook.directory.rglob("pwned"))


def test_what_goes_wrong_is_logged_without_numbers_and_names(hook: Hook) -> None:
    """And nothing half lies in the watched folder; the legs stay for another try."""
    base = hook.record("call")
    hook.environ["SOX_FAILS"] = "yes"
    assert hook.run(base, str(hook.out), "client_id=79161234567") == 1
    assert "sox cannot mix the legs" in hook.log
    hook.environ["SOX_FAILS"] = "no"
    Path(f"{base}-tx.wav").unlink()
    assert hook.run(base, str(hook.out), "client_id=79161234567") == 1
    assert "a leg of a recording is missing" in hook.log
    assert hook.run("call", str(hook.out), "a=b") == 1
    assert hook.run(base) == 1
    assert "79161234567" not in hook.log
    assert list(hook.out.iterdir()) == []
    assert Path(f"{base}-rx.wav").exists()


def test_the_hook_that_init_installs_is_this_one() -> None:
    """One script in two places would be two before long."""
    installed = Path(__file__).parents[2] / "daemon/speechsense_watch/hooks/speechsense-mixmonitor"
    assert HOOK.resolve() == installed.resolve()
