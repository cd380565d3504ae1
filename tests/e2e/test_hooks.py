"""The hook for Asterisk: legs in, one recording and its metadata out, and no caller who runs a command."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from speechsense_watch.core.wav import Finished, NoAudio, inspect
from support import wavs
from support.wavs import pcm, samples

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
# sox is not everywhere: this joins two files of one channel as it does, with silence for what the shorter one lacks, and believes
# their headers as it does: where no length is given, there is no audio.
STAND_IN = """
import array, struct, sys
def audio(path):
    raw = open(path, "rb").read()
    return array.array("h", raw[44 : 44 + struct.unpack_from("<I", raw, 40)[0]])
rx, tx = audio(sys.argv[2]), audio(sys.argv[3])
longest = max(len(rx), len(tx))
both = array.array("h", bytes(4 * longest))
both[0 : 2 * len(rx) : 2], both[1 : 2 * len(tx) : 2] = rx, tx
data = both.tobytes()
form = struct.pack("<IHHIIHH", 16, 1, 2, 8000, 32000, 4, 16)
head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data))
open(sys.argv[-1], "wb").write(head + data)
"""
SOX = """#!/bin/sh
printf "%s\\n" "$@" >>"$SOX_CALLED"
[ "$SOX_FAILS" = yes ] && exit 2
exec {real} "$@"
"""
# Time stands still for a test; what would have come to pass meanwhile lies in a directory for each nap.
SLEEP = """#!/bin/sh
echo "$1" >>"$NAPS"
then=$THEN/$(wc -l <"$NAPS")
[ ! -d "$then" ] || cp "$then"/* "$LEGS"
"""


class Hook:
    """One directory for legs, one that is watched, a sox and a sleep that note how they were called, and the program as the
    hook finds it.
    """

    def __init__(self, directory: Path, sox: str) -> None:
        self.directory = directory
        self.out = directory / "out"
        self.legs = directory / "legs"
        for each in (self.out, self.legs, directory / "bin"):
            each.mkdir()
        # Quoted by repr of paths that a test directory has: no spaces, no quotes.
        self._script("sox", SOX.format(real=sox or f"{sys.executable} {directory}/bin/stand-in"))
        self._script("stand-in", STAND_IN)
        self._script("sleep", SLEEP)
        self._script("speechsense-watch", f'#!/bin/sh\nexec {sys.executable} -m speechsense_watch "$@"\n')
        self._script("logger", '#!/bin/sh\nprintf "%s\\n" "$*" >>"$LOGGED"\n')
        self.environ = {
            **os.environ,
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "SOX_CALLED": str(directory / "called"),
            "SOX_FAILS": "no",
            "LOGGED": str(directory / "log"),
            "NAPS": str(directory / "naps"),
            "THEN": str(directory / "then"),
            "LEGS": str(self.legs),
        }

    def _script(self, name: str, text: str) -> None:
        path = self.directory / "bin" / name
        path.write_text(text)
        path.chmod(stat.S_IRWXU)

    def before(self, program: str, line: str) -> None:
        """What happens each time that this program is called, right before it does its work."""
        path = self.directory / "bin" / program
        path.write_text(path.read_text().replace("exec", f"{line}\nexec"))

    def record(self, name: str, rx: bytes | None = None, tx: bytes | None = None) -> str:
        base = self.legs / name
        Path(f"{base}-rx.wav").write_bytes(pcm(channels=1, seed=1) if rx is None else rx)
        Path(f"{base}-tx.wav").write_bytes(pcm(channels=1, seed=2) if tx is None else tx)
        return str(base)

    def then(self, nap: int, leg: str, content: bytes) -> None:
        """After so many naps a leg is this."""
        directory = self.directory / "then" / str(nap)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / leg).write_bytes(content)

    def run(self, *arguments: str) -> int:
        return subprocess.run(["/bin/sh", HOOK, *arguments], env=self.environ, cwd=self.directory, check=False).returncode

    def _noted(self, name: str) -> str:
        path = self.directory / name
        return path.read_text() if path.exists() else ""

    @property
    def log(self) -> str:
        return self._noted("log")

    @property
    def naps(self) -> list[int]:
        return [int(line) for line in self._noted("naps").split()]

    @property
    def written(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir())

    def channels(self, name: str) -> tuple[bytes, bytes]:
        """Left and right of a recording that the daemon would take."""
        raw = (self.out / name).read_bytes()
        assert isinstance(inspect(lambda at, count: raw[at : at + count], len(raw)), Finished)
        both = array("h", raw[44:])
        return both[0::2].tobytes(), both[1::2].tobytes()


@pytest.fixture(params=["stand-in", "sox"])
def hook(request: pytest.FixtureRequest, tmp_path: Path) -> Hook:
    sox = shutil.which("sox") if request.param == "sox" else ""
    if sox is None:
        pytest.skip("no sox on this machine")
    return Hook(tmp_path, sox)


def test_the_legs_become_one_recording_with_its_metadata(hook: Hook) -> None:
    """Left what the recorded channel said, right what it heard; the legs stay, nothing else is left."""
    base = hook.record("1773081123.265")
    assert hook.run(base, str(hook.out), "operator_id=201", "client_id=+74950000000") == 0
    assert hook.written == ["1773081123.265.json", "1773081123.265.wav"]
    assert hook.channels("1773081123.265.wav") == (samples(channels=1, seed=1), samples(channels=1, seed=2))
    assert json.loads((hook.out / "1773081123.265.json").read_bytes()) == {"operator_id": "201", "client_id": "+74950000000"}
    called = (hook.directory / "called").read_text().split("\n")
    assert called[:3] == ["-M", f"{base}-rx.wav", f"{base}-tx.wav"]
    assert called[-2].startswith(f"{hook.out}/.")
    assert Path(f"{base}-rx.wav").exists()
    assert (hook.out / "1773081123.265.wav").stat().st_mode == Path(f"{base}-rx.wav").stat().st_mode


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


LONG, SHORT = pcm(3, channels=1, seed=1), pcm(2, channels=1, seed=1)


@pytest.mark.parametrize(
    "open_leg",
    [
        wavs.asterisk_open(),
        wavs.header_only_open(),
        wavs.truncated(LONG, 20000),
        wavs.truncated(LONG, 30),
        SHORT + b"\1\0" * 800,
        wavs.riff(wavs.fmt(channels=1), wavs.chunk(b"data", samples(1, 1)), length=0),
        wavs.riff(wavs.fmt(channels=1), wavs.chunk(b"data", samples(1, 1), 0)),
        b"",
    ],
    ids=["open", "just begun", "half copied", "half a header", "appended to", "no length", "no length of data", "placeholder"],
)
@pytest.mark.parametrize("leg", ["rx", "tx"])
def test_a_leg_that_is_not_finished_is_never_taken(hook: Hook, open_leg: bytes, leg: str) -> None:
    """sox makes silence of it and is content; half a call would be sent, and its legs deleted."""
    base = hook.record("call", **{leg: open_leg})
    hook.environ |= {"DELETE_LEGS": "yes", "PATIENCE": "30"}
    assert hook.run(base, str(hook.out), "client_id=79161234567") == 1
    assert hook.written == []
    assert len(list(hook.legs.iterdir())) == 2
    assert "still written, or was never finished" in hook.log
    assert "7916" not in hook.log
    assert "call" not in hook.log.replace("recording", "")


@pytest.mark.parametrize("leg", [wavs.gsm(), wavs.alaw(), pcm(channels=2), wavs.with_list_before(), b"OggS" * 100])
def test_a_leg_of_another_kind_is_refused_at_once(hook: Hook, leg: bytes) -> None:
    """It does not get better by waiting, and every call would wait."""
    assert hook.run(hook.record("call", tx=leg), str(hook.out), "a=b") == 1
    assert (hook.written, hook.naps) == ([], [1] * 3)
    assert "not a WAV of one channel" in hook.log


def test_legs_are_left_alone_for_a_while_before_they_are_taken(hook: Hook) -> None:
    """Three seconds unless told: a leg that grows is written every two (32 KiB of 8 kHz)."""
    assert hook.run(hook.record("call"), str(hook.out), "a=b") == 0
    assert hook.naps == [1, 1, 1]
    hook.environ["SETTLE"] = "0"
    assert hook.run(hook.record("at once"), str(hook.out), "a=b") == 0
    assert hook.naps == [1, 1, 1]
    hook.environ["SETTLE"] = "soon"
    assert hook.run(hook.record("never"), str(hook.out), "a=b") == 1
    assert "SETTLE and PATIENCE" in hook.log


def test_a_transfer_is_waited_for(hook: Hook) -> None:
    """The command is run when the first part ends; whole so far, the legs are opened anew and grow before the call is over."""
    base = hook.record("call", rx=SHORT, tx=SHORT)
    hook.environ |= {"SETTLE": "60", "DELETE_LEGS": "yes"}
    hook.then(50, "call-rx.wav", wavs.asterisk_open())
    hook.then(51, "call-tx.wav", wavs.asterisk_open(0))
    hook.then(130, "call-rx.wav", LONG)
    hook.then(130, "call-tx.wav", LONG)
    assert hook.run(base, str(hook.out), "a=b") == 0
    assert hook.channels("call.wav") == (samples(3, 1, seed=1), samples(3, 1, seed=1))
    # A nap a second for two minutes, then one every ten seconds, until 60 s have gone by since the last change.
    assert hook.naps == [1] * 120 + [10] * 16
    assert list(hook.legs.iterdir()) == []


def test_a_leg_that_grows_while_it_is_mixed_is_mixed_again(hook: Hook) -> None:
    """What sox read was no longer the whole."""
    base = hook.record("call", rx=SHORT, tx=SHORT)
    grown = hook.directory / "grown.wav"
    grown.write_bytes(LONG)
    hook.before("sox", f'[ -e "$NAPS.late" ] || cp {grown} {base}-tx.wav; : >"$NAPS.late"')
    hook.environ["SETTLE"] = "0"
    assert hook.run(base, str(hook.out), "a=b") == 0
    assert (hook.directory / "called").read_text().count("-M\n") == 2
    assert hook.channels("call.wav")[1] == samples(3, 1, seed=1)


@pytest.mark.parametrize("size", ["right", "with a pad byte"])
def test_one_side_without_audio_is_silence(hook: Hook, size: str) -> None:
    """A caller who never spoke: his leg is 44 bytes, and right."""
    base = hook.record("call", rx=wavs.header_only(), tx=SHORT + b"\0" * (size != "right"))
    assert hook.run(base, str(hook.out), "a=b") == 0
    assert hook.channels("call.wav") == (bytes(32000), samples(2, 1, seed=1))


def test_a_call_that_nobody_answered_has_a_recording_without_audio(hook: Hook) -> None:
    """So that the daemon can say of it what it says of such calls."""
    assert hook.run(hook.record("call", rx=wavs.header_only(), tx=wavs.header_only()), str(hook.out), "a=b") == 0
    assert hook.written == ["call.json", "call.wav"]
    raw = (hook.out / "call.wav").read_bytes()
    assert isinstance(inspect(lambda at, count: raw[at : at + count], len(raw)), NoAudio)
    # SoX_ng 14.7.1 makes 44 bytes of two such legs too, but they announce 16,773,120 bytes of audio: a recording never finished.
    assert not (hook.directory / "called").exists()


def test_what_sox_made_must_be_as_long_as_the_legs(hook: Hook) -> None:
    """A full disk, another sox: whatever is the reason, the legs are all there is of the call."""
    base = hook.record("call", rx=SHORT, tx=LONG)
    hook.before("sox", 'for last; do :; done; set -- -M "$2" "$2" -b 16 -e signed-integer -t wav "$last"')
    hook.environ["DELETE_LEGS"] = "yes"
    assert hook.run(base, str(hook.out), "a=b") == 1
    assert "not as long as" in hook.log
    assert hook.written == []
    assert len(list(hook.legs.iterdir())) == 2


def test_metadata_that_is_refused_leaves_nothing_in_the_folder(hook: Hook) -> None:
    """A recording without its metadata would wait there for ever."""
    base = hook.record("call")
    hook.environ["DELETE_LEGS"] = "yes"
    assert hook.run(base, str(hook.out), "client_id=79161234567", "client_id=79161234567") == 1
    assert "the metadata cannot be written" in hook.log
    assert hook.written == []
    assert len(list(hook.legs.iterdir())) == 2


def test_no_argument_brings_a_line_of_its_own(hook: Hook) -> None:
    """A line break in a value would make another key of what follows."""
    for arguments in (("client_name=x\noperator_id=999",), ("a=b", "c=d\n")):
        assert hook.run(hook.record("call"), str(hook.out), *arguments) == 1
        assert "line break" in hook.log
        assert hook.written == []


def test_a_second_run_for_the_same_call_changes_nothing(hook: Hook) -> None:
    """Not even the file's inode: the daemon may be sending it."""
    base = hook.record("call")
    hook.environ["SETTLE"] = "0"
    assert hook.run(base, str(hook.out), "a=b") == 0
    first = (hook.out / "call.wav").stat()
    assert hook.run(base, str(hook.out), "a=c") == 0
    second = (hook.out / "call.wav").stat()
    assert (second.st_ino, second.st_mtime_ns, second.st_ctime_ns) == (first.st_ino, first.st_mtime_ns, first.st_ctime_ns)
    assert json.loads((hook.out / "call.json").read_bytes()) == {"a": "b"}
    (hook.out / "call.json").unlink()
    hook.environ["DELETE_LEGS"] = "yes"
    assert hook.run(base, str(hook.out), "a=d") == 0
    assert json.loads((hook.out / "call.json").read_bytes()) == {"a": "d"}
    assert hook.run(base, str(hook.out), "a=e") == 0
    assert hook.written == ["call.json", "call.wav"]
    assert hook.log == ""


@pytest.mark.parametrize("seconds", [4, 0.1, 0])
def test_a_longer_recording_of_the_same_call_takes_the_place_of_the_shorter_one(hook: Hook, seconds: float) -> None:
    """The first run was before the end after all. What was said of the call when it began stays."""
    hook.environ["SETTLE"] = "0"
    first = hook.record("call", rx=pcm(max(seconds - 0.02, 0), 1, seed=1), tx=pcm(seconds, 1))
    assert hook.run(first, str(hook.out), "a=b") == 0
    assert hook.run(hook.record("call", rx=pcm(6, 1, seed=1), tx=pcm(6, 1)), str(hook.out), "a=c") == 0
    assert hook.channels("call.wav") == (samples(6, 1, seed=1), samples(6, 1))
    assert json.loads((hook.out / "call.json").read_bytes()) == {"a": "b"}


@pytest.mark.parametrize("other", [pcm(3, 1, seed=1), pcm(9, 1, seed=5)], ids=["shorter", "longer, but another part"])
def test_no_other_recording_takes_the_place_of_one_that_is_there(hook: Hook, other: bytes) -> None:
    """It may be all there is of the first part of the call, and so may the legs be of the second."""
    hook.environ |= {"SETTLE": "0", "DELETE_LEGS": "yes"}
    assert hook.run(hook.record("call", rx=pcm(4, 1, seed=1), tx=pcm(4, 1, seed=1)), str(hook.out), "a=b") == 0
    before = (hook.out / "call.wav").read_bytes()
    assert hook.run(hook.record("call", rx=other, tx=other), str(hook.out), "a=b") == 1
    assert (hook.out / "call.wav").read_bytes() == before
    assert hook.written == ["call.json", "call.wav"]
    assert len(list(hook.legs.iterdir())) == 2
    assert "another recording" in hook.log


def test_a_leg_that_grows_after_all_is_not_deleted(hook: Hook) -> None:
    """Too late for this run, which says so; the next one finds the whole call."""
    base = hook.record("call")
    hook.before("speechsense-watch", f"printf xx >>{base}-tx.wav")
    hook.environ |= {"SETTLE": "0", "DELETE_LEGS": "yes"}
    assert hook.run(base, str(hook.out), "a=b") == 1
    assert "SETTLE is too short" in hook.log
    assert len(list(hook.legs.iterdir())) == 2


def test_a_long_name_is_no_trouble(hook: Hook) -> None:
    """Names end at 255 bytes, and the leg's is longer than the recording's."""
    name = "7" * 248
    assert hook.run(hook.record(name), str(hook.out), "a=b") == 0
    assert hook.written == [f"{name}.json", f"{name}.wav"]


def test_a_hook_that_is_stopped_leaves_nothing_behind(hook: Hook) -> None:
    """Asterisk is stopped while a transfer goes on: the legs stay, and the log tells."""
    (hook.directory / "bin" / "sleep").write_text('#!/bin/sh\nkill -TERM "$PPID"\n')
    assert hook.run(hook.record("call"), str(hook.out), "a=b") == 1
    assert "stopped" in hook.log
    assert hook.written == []


@pytest.mark.skipif(shutil.which("flock") is None, reason="no flock on this machine")
def test_two_runs_at_once_make_one_recording(hook: Hook) -> None:
    """The second waits for the first, and finds its work done."""
    base = hook.record("call")
    hook.environ |= {"SETTLE": "0", "DELETE_LEGS": "yes"}
    line = ["/bin/sh", str(HOOK), base, str(hook.out), "a=b"]
    runs = [subprocess.Popen(line, env=hook.environ, cwd=hook.directory) for _ in range(4)]
    assert [run.wait(60) for run in runs] == [0, 0, 0, 0]
    assert (hook.directory / "called").read_text().count("-M\n") == 1
    assert hook.written == ["call.json", "call.wav"]
    assert hook.log == ""


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck on this machine")
def test_the_hook_is_plain_posix_shell() -> None:
    """It runs under whatever /bin/sh is."""
    done = subprocess.run(["shellcheck", "--shell=sh", "--severity=warning", HOOK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_hook_that_init_installs_is_this_one() -> None:
    """One script in two places would be two before long."""
    installed = Path(__file__).parents[2] / "daemon/speechsense_watch/hooks/speechsense-mixmonitor"
    assert HOOK.resolve() == installed.resolve()
