"""The demo: the real program plays it whole, and each of its parts keeps its word."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from speechsense_watch.config import load
from speechsense_watch.core.model import Job, State
from speechsense_watch.demo import play
from speechsense_watch.demo.scene import CAST, Call, Way
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.queue import SqliteQueue
from support.waiting import BUSY, wait_for

SENT = [call for call in CAST if call.is_sent]
REFUSED = next(call for call in CAST if call.refusals)


def start_demo(temporary: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """The program as a user starts it, its temporary files below `temporary`."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "speechsense_watch", "demo", *arguments],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# --- the whole of it --------------------------------------------------------------------------


@dataclass(frozen=True)
class Played:
    """One whole demo without a terminal, its files kept."""

    code: int
    output: str
    took_s: float
    directory: Path
    temporary: Path

    def queue(self) -> SqliteQueue:
        return SqliteQueue(self.directory / "queue" / "queue.db", read_only=True)

    def jobs(self) -> dict[str, Job]:
        with closing(self.queue()) as queue:
            return {Path(job.place.path).stem: job for job in queue.in_states(tuple(State))}

    def talks(self) -> dict[str, dict[str, object]]:
        lines = (self.directory / "standin" / "talks.jsonl").read_text(encoding="utf-8").splitlines()
        talks = [json.loads(line) for line in lines]
        assert len({talk["talk_id"] for talk in talks}) == len(talks)
        return {talk["talk_id"]: talk for talk in talks}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    temporary = tmp_path_factory.mktemp("temporary")
    directory = tmp_path_factory.mktemp("demo") / "kept"
    # What a user has set up for real must not reach the demo.
    foreign = {"SPEECHSENSE_WATCH_UPLOAD__BANDWIDTH": "nonsense", "SPEECHSENSE_API_KEY": "real", "FORCE_COLOR": "1"}
    began = time.monotonic()
    process = start_demo(temporary, "--keep", str(directory), **foreign)
    output, _ = process.communicate(timeout=250)
    return Played(process.returncode, output, time.monotonic() - began, directory, temporary)


def test_ends_well_in_time(played: Played) -> None:
    """Everything ends as it should; on a quiet machine in less than 20 seconds."""
    assert played.code == 0, played.output
    assert f"All {len(CAST)} recordings ended as they should" in played.output
    assert played.took_s < 20 * BUSY


def test_plain_lines(played: Played) -> None:
    """Without a terminal there is not one control character, whatever FORCE_COLOR says."""
    assert {character for character in played.output if not character.isprintable()} == {"\n"}


def test_story_is_told(played: Played) -> None:
    """What the exchange and the daemon did is told line by line, the tries that failed among them."""
    for words in (
        "PBX: on the phone",
        "daemon: waits for the call to end",
        "PBX: only metadata yet",
        "daemon: waits for its audio",
    ):
        assert words in played.output
    assert "accepted at try 3" in played.output
    assert "check --sample" in played.output


@pytest.mark.parametrize("call", CAST, ids=lambda call: call.name)
def test_each_call_in_the_closing_table(played: Played, call: Call) -> None:
    """At the end each recording stands there with its talk id, or its state and the reason."""
    line = re.findall(rf"^{call.name}\.wav .*$", played.output, re.MULTILINE)[-1]
    job = played.jobs()[call.name]
    assert (job.talk_id or f"{job.state}: {job.message[:20]}") in line
    assert (job.state, job.reason, job.attempts) == (call.ends, call.reason, call.refusals)


def test_each_talk_once_and_whole(played: Played) -> None:
    """The service has exactly the calls that could be sent, byte for byte, the long ones as streams."""
    talks, jobs = played.talks(), played.jobs()
    assert {job.talk_id for job in jobs.values() if job.talk_id} == set(talks)
    assert len(talks) == len(SENT)
    for call in SENT:
        talk = talks[jobs[call.name].talk_id or ""]
        (audio,) = played.directory.glob(f"monitor/*/*/*/{call.name}.wav")
        assert talk["sha256"] == hashlib.sha256(audio.read_bytes()).hexdigest()
        assert (talk["how"] == "stream") == (audio.stat().st_size > 3 * 2**20)


def test_refusals_were_real(played: Played) -> None:
    """The call that was refused twice was turned away by the service itself, twice, before anything complete was sent."""
    lines = (played.directory / "standin" / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    ends = [call for call in map(json.loads, lines) if call["event"] == "end"]
    assert [call["code"] for call in ends].count("INTERNAL") == 2
    assert len(ends) == len(SENT) + 2


def test_kept_files_are_of_use(played: Played) -> None:
    """What --keep leaves is a configuration that loads, and beside it the queue that the reading commands look into."""
    config = load(played.directory / "config.toml", {})
    assert Path(config.queue.path) == played.directory / "queue" / "queue.db"
    assert str(played.directory / "config.toml") in played.output


def test_story_of_the_refused_call(played: Played) -> None:
    """Of all recordings it is the one that took the most tries whose story is recommended."""
    assert f"show {played.jobs()[REFUSED.name].id} --config" in played.output


def test_nothing_left_behind(played: Played) -> None:
    """No process and no temporary file outlives it."""
    with closing(played.queue()) as queue:
        daemon = queue.runtime()["daemon"]
    assert isinstance(daemon, dict)
    assert not is_alive(int(daemon["pid"]))
    assert list(played.temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM or a closed terminal in the midst of it: everything is put away, exit code 130."""
    with start_demo(tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "daemon:" in line:
                break
        daemons = children_of(process.pid)
        assert len(daemons) == 1
        process.send_signal(number)
        rest = process.stdout.read()
    assert (process.returncode, "Interrupted" in rest) == (130, True)
    assert not any(map(is_alive, daemons))
    assert list(tmp_path.iterdir()) == []


def test_temporary_folder_goes(tmp_path: Path) -> None:
    """Without --keep there is a temporary folder while it plays, readable for nobody else."""
    with start_demo(tmp_path) as process:
        wait_for(lambda: list(tmp_path.glob("*/*")), 20, "something in the temporary folder")
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_keep_takes_no_used_folder(tmp_path: Path) -> None:
    """A folder with something in it is left alone."""
    (tmp_path / "mine").write_text("precious")
    process = start_demo(tmp_path, "--keep", str(tmp_path))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "is not empty" in output
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_what_differs_is_said(tmp_path: Path) -> None:
    """When a call does not end as it should, the exit code is 1, the difference is named and the daemon's log shown."""
    wrong = Call(operator="201", number="79990000190", way=Way.WHOLE, at_s=0.1, length_s=1, ends=State.UNUSABLE)
    output = io.StringIO()
    code = play(tmp_path, Console(file=output, width=80), SystemClock(), os.environ, cast=[wrong])
    assert code == 1
    assert f"{wrong.name}: it should have ended as unusable, but it is done" in " ".join(output.getvalue().split())
    assert "daemon_stopped" in output.getvalue()
