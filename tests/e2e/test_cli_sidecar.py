"""`sidecar`: what recorders' hooks write their metadata with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NASTY = ["$(touch pwned)", "`touch pwned`", '"; touch pwned; "', "a\\b", "-rf", "=", "Пётр ⚑", "x" * 1000, "  spaces  "]


def sidecar(*arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, str]:
    line = [sys.executable, "-m", "speechsense_watch", "sidecar", *map(str, arguments)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(line, input=stdin, capture_output=True, check=False, env=environ, cwd=cwd)
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "call 17.wav"
    path.write_bytes(b"RIFF")
    path.chmod(0o640)
    return path


def test_the_values_are_written_as_given(audio: Path) -> None:
    """As texts, leading zeros and all, with the recording's rights; nothing else is left in the directory."""
    assert sidecar("--audio", audio, "client_id=007", "operator_id=201", "direction_outgoing=false", "note=a=b") == (0, "")
    target = audio.with_suffix(".json")
    assert json.loads(target.read_bytes()) == {
        "client_id": "007",
        "operator_id": "201",
        "direction_outgoing": "false",
        "note": "a=b",
    }
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in audio.parent.iterdir()) == ["call 17.json", "call 17.wav"]


def test_nothing_in_a_value_is_taken_for_anything_else(audio: Path, tmp_path: Path) -> None:
    """Callers choose what they are called; here they try to be commands."""
    lines = "".join(f"k{number}={value}\n" for number, value in enumerate(NASTY))
    assert sidecar(
        "--audio", audio, "--stdin", "--", *(f"a{n}={v}" for n, v in enumerate(NASTY)), stdin=lines.encode(), cwd=tmp_path
    ) == (0, "")
    written = json.loads(audio.with_suffix(".json").read_bytes())
    assert written == {f"{letter}{number}": value for letter in "ak" for number, value in enumerate(NASTY)}
    assert not (tmp_path / "pwned").exists()


def test_the_name_is_that_of_the_folder_s_rules(audio: Path) -> None:
    """Also in a directory beside it."""
    (audio.parent / "meta").mkdir()
    assert sidecar("--audio", audio, "--name", "meta/{name}.json", "a=b") == (0, "")
    assert (audio.parent / "meta" / "call 17.wav.json").exists()


def test_what_is_there_is_not_replaced_unasked(audio: Path) -> None:
    """The same again is no error: hooks are run twice."""
    assert sidecar("--audio", audio, "a=b") == (0, "")
    assert sidecar("--audio", audio, "a=b") == (0, "")
    code, said = sidecar("--audio", audio, "a=c")
    assert (code, "--force" in said) == (1, True)
    assert json.loads(audio.with_suffix(".json").read_bytes()) == {"a": "b"}
    assert sidecar("--audio", audio, "--force", "a=c") == (0, "")
    assert json.loads(audio.with_suffix(".json").read_bytes()) == {"a": "c"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("secret",), "argument or line 1 is not of the form KEY=VALUE"),
        (("a=b", "=secret"), "argument or line 2 is not"),
        (("a=b", "a=c"), "the key `a` is given twice"),
        ((), "no KEY=VALUE is given"),
        (("--name", "x.json", "a=b"), "--name must hold {stem} or {name}"),
        (("--name", "{name}", "a=b"), "the recording's own name"),
        (("--name", "nowhere/{stem}.json", "a=b"), "cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_told_without_the_value(audio: Path, arguments: tuple[str, ...], said: str) -> None:
    """Values are personal data; a hook's log is no place for them."""
    code, output = sidecar("--audio", audio, *arguments)
    assert code == 1
    assert said in output
    assert "secret" not in output
    assert [path.name for path in audio.parent.iterdir()] == ["call 17.wav"]


def test_metadata_comes_after_its_recording(tmp_path: Path) -> None:
    """Before it there is nothing to say anything of."""
    code, said = sidecar("--audio", tmp_path / "absent.wav", "a=b")
    assert (code, "there is no recording" in said) == (1, True)
