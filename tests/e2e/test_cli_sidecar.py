"""`sidecar`: what recorders' hooks write their metadata with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPLETE = {
    "operator_id": "201",
    "operator_name": "Anna",
    "client_id": "+7916",
    "client_name": "Ivan",
    "date": "2026-03-09T11:32:03+03:00",
    "direction_outgoing": "false",
    "language": "ru-RU",
}
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
    assert sidecar(
        "--audio", audio, "--check", "none", "client_id=007", "operator_id=201", "direction_outgoing=false", "note=a=b"
    ) == (0, "")
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
        "--audio",
        audio,
        "--check",
        "none",
        "--stdin",
        "--",
        *(f"a{n}={v}" for n, v in enumerate(NASTY)),
        stdin=lines.encode(),
        cwd=tmp_path,
    ) == (0, "")
    written = json.loads(audio.with_suffix(".json").read_bytes())
    assert written == {f"{letter}{number}": value for letter in "ak" for number, value in enumerate(NASTY)}
    assert not (tmp_path / "pwned").exists()


def test_the_name_is_that_of_the_folder_s_rules(audio: Path) -> None:
    """Also in a directory beside it."""
    (audio.parent / "meta").mkdir()
    assert sidecar("--audio", audio, "--check", "none", "--name", "meta/{name}.json", "a=b") == (0, "")
    assert (audio.parent / "meta" / "call 17.wav.json").exists()


def test_what_is_there_is_not_replaced_unasked(audio: Path) -> None:
    """The same again is no error: hooks are run twice."""
    assert sidecar("--audio", audio, "--check", "none", "a=b") == (0, "")
    assert sidecar("--audio", audio, "--check", "none", "a=b") == (0, "")
    code, said = sidecar("--audio", audio, "--check", "none", "a=c")
    assert (code, "--force" in said) == (1, True)
    assert json.loads(audio.with_suffix(".json").read_bytes()) == {"a": "b"}
    assert sidecar("--audio", audio, "--check", "none", "--force", "a=c") == (0, "")
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


def pairs(**changed: str | None) -> list[str]:
    """A complete set of them, but for these; None leaves one out."""
    return [f"{key}={value}" for key, value in {**COMPLETE, **changed}.items() if value is not None]


def test_what_is_complete_is_no_cause_for_words(audio: Path) -> None:
    """For either type of connection."""
    assert sidecar("--audio", audio, *pairs()) == (0, "")
    single = pairs(client_id=None, client_name=None, direction_outgoing=None)
    assert sidecar("--audio", audio, "--force", "--check", "single-channel", *single) == (0, "")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"language": None, "client_id": ""}, ["lacks `language` and has nothing in `client_id`; a two-channel connection"]),
        ({"date": "2026-03-09 11:32:03"}, ["`date` has no time zone"]),
        ({"date": "1773040860"}, ["`date` is not a date and time like"]),
        ({"direction_outgoing": "0"}, ["`direction_outgoing` must be true"]),
        ({"date": "soon", "direction_outgoing": "1", "language": None}, ["lacks `language`", "like 2025", "must be true"]),
        ({"date": None}, ["lacks `date`"]),
        ({f"k{number}": "" for number in range(200)}, ["has 207 keys"]),
    ],
)
def test_what_the_folder_would_have_to_put_right_is_told(audio: Path, changed: dict[str, str | None], said: list[str]) -> None:
    """A warning for each, since the folder's rules are not known here; the file is written."""
    code, output = sidecar("--audio", audio, *pairs(**changed))
    assert code == 0
    assert output.count("warning: a folder without rules of its own would not take this:") == len(said)
    assert [words for words in said if words not in output] == []
    assert audio.with_suffix(".json").exists()
    assert sidecar("--audio", audio, "--check", "none", *pairs(**changed)) == (0, "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"comment=" + b"x" * 1025, "values of over 1,024 bytes for: `comment`"),
        (b"comment=" + "ю".encode() * 513, "values of over 1,024 bytes for: `comment`"),
        (b"x" * 1025 + b"=a", "keys of over 1,024 bytes"),
        (b"comment=a\0b", "characters that cannot be sent"),
        (b"comment=\xff", "not in UTF-8"),
    ],
)
def test_what_no_connection_takes_is_not_written(audio: Path, line: bytes, said: str) -> None:
    """Here the caller can still be told."""
    code, output = sidecar("--audio", audio, "--stdin", *pairs(), stdin=line)
    assert (code, said in output) == (1, True)
    assert [path.name for path in audio.parent.iterdir()] == ["call 17.wav"]


def test_the_folder_s_rules_may_cut_what_is_too_long(audio: Path) -> None:
    """`too_long = "cut"` has the same call sent."""
    assert sidecar("--audio", audio, "--check", "none", "comment=" + "x" * 2000) == (0, "")
    assert sidecar("--audio", audio, "--check", "none", "--stdin", "--force", "a=b", stdin=b"comment=a\0b")[0] == 1


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    """255 bytes with the ending of the metadata."""
    recording = tmp_path / f"{'7' * 250}.wav"
    recording.write_bytes(b"RIFF")
    assert sidecar("--audio", recording, *pairs()) == (0, "")
    assert json.loads(recording.with_suffix(".json").read_bytes()) == COMPLETE
    assert len(list(tmp_path.iterdir())) == 2
