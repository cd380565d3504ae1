"""docs/leaving-the-cron-script.md, followed to the letter beside a script that goes on sending: no call twice, none left out."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.standin import Fault, StandIn
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm

PAGE = (Path(__file__).parents[2] / "docs" / "leaving-the-cron-script.md").read_text(encoding="utf-8")
COUNT = 9
DONE = State.DONE


def section(heading: str) -> str:
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def commands(text: str) -> list[list[str]]:
    """Of all its blocks for the shell."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]


STEPS = {
    int(number): commands(text)
    for number, text in re.findall(r"^(\d)\. (.*?)(?=^\d\. |^\*\*|\Z)", section("In this order"), re.MULTILINE | re.DOTALL)
}


class Leaving:
    """The machine on which the page's commands are typed."""

    def __init__(self, rig: Rig, standin: StandIn) -> None:
        self.rig, self.standin = rig, standin
        self.list = rig.directory / "sent.csv"
        self.list.touch()
        self.running = True
        self.said: list[tuple[str, int, str]] = []
        self.moment = datetime.now(ZoneInfo("Europe/Moscow")) - timedelta(hours=1)
        self._left = list(range(COUNT))
        rig.config_path, rig.queue_path = rig.directory / "etc/config.toml", rig.directory / "q.db"
        for number in range(COUNT):
            rig.drop(f"call-{number}", pcm(seconds=1, seed=number))
            # The first one is older than the day, the last three came within the hour.
            hours = 72.0 if number == 0 else 0.1 if number >= COUNT - 3 else 3.0
            at = time.time() - hours * 3600
            for ending in ("wav", "json"):
                os.utime(rig.folder / f"call-{number}.{ending}", (at, at))

    # --- the script ----------------------------------------------------------------------------

    def script_sends(self, count: int = 1) -> None:
        """As the reference uploader does, oldest first; it notes what it sent."""
        config = self.rig.directory / "script.toml"
        (self.rig.directory / "none").mkdir(exist_ok=True)
        config.write_text(
            f'[speechsense]\nendpoint = "{self.standin.target}"\nplaintext = true\nauth = "none"\n'
            f'[queue]\npath = "{self.rig.directory}/script.db"\n'
            f'[[folders]]\npath = "{self.rig.directory}/none"\nconnection_id = "conn-1"\nstart_from = "all"\n'
        )
        for number in self._left[:count] if self.running else ():
            stem = self.rig.folder / f"call-{number}"
            options = ("--audio-path", f"{stem}.wav", "--meta-path", f"{stem}.json", "--connection-id", "conn-1")
            said = self._run("upload", "--config", str(config), *options)[1]
            with self.list.open("a") as file:
                file.write(f"{stem}.wav,{said.partition('Dialog ID: ')[2].split()[0]}\n")
            self._left.remove(number)

    # --- the page ------------------------------------------------------------------------------

    def type(self, lines: list[list[str]], *, script_sends: int = 0, rows: int = COUNT - 1) -> None:
        """Each command; the script sends meanwhile. Of so many recordings the daemon has rows when it has settled."""
        for line in lines:
            match line:
                case ["sudo", "speechsense-watch", command, *rest]:
                    code, said = self._speechsense_watch(command, [self._given(word) for word in rest])
                    self.said.append((command, code, said))
                case ["sudo", "systemctl", "enable", "--now", "speechsense-watch"]:
                    sent = len(self.standin.talks())
                    self.rig.start(configure=False)
                    wait_for(partial(self._settled, sent + 3, rows), 20, "the trial is over")
                case ["sudo", "systemctl", "disable", "--now", "upload-recordings.timer"]:
                    self.running = False
                case _:
                    raise AssertionError(line)
            self.script_sends(script_sends)

    def _settled(self, talks: int, rows: int) -> bool:
        return len(self.rig.states()) >= rows and len(self.standin.talks()) == talks

    def _given(self, word: str) -> str:
        told = {"sent.csv": str(self.list), "NAME": "other", "2026-01-31T09:00": f"{self.moment:%Y-%m-%dT%H:%M}"}
        return {**told, "2026-01-30": f"{self.moment - timedelta(days=1):%Y-%m-%d}"}.get(word, word)

    def _speechsense_watch(self, command: str, rest: list[str]) -> tuple[int, str]:
        if command != "init":
            return self.rig.call(command, *rest, *(["--yes"] if command == "adopt" else []))
        places = {"etc": "etc", "units": "units", "queue": "q.db"}
        (self.rig.directory / "units").mkdir()
        asked: tuple[str, ...] = (
            "--recorder",
            "other",
            "--path",
            str(self.rig.folder),
            "--connection-id",
            "conn-1",
            "--group",
            "root",
        )
        asked += ("--connection-type", "two-channel", "--time-zone", "Europe/Moscow", "--bandwidth", "-", "--plaintext")
        asked += ("--endpoint", self.standin.target)
        asked += tuple(word for name, path in places.items() for word in (f"--{name}", str(self.rig.directory / path)))
        code, said = self.rig.init(*rest, *asked)
        text = self.rig.config_path.read_text().replace("trial = 3", 'trial = 3\nquiet_period = "200ms"')
        self.rig.config_path.write_text(text)
        return code, said

    def _run(self, *arguments: str) -> tuple[int, str]:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        line = [sys.executable, "-m", "speechsense_watch", *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environ)
        return done.returncode, done.stdout + done.stderr

    def sent(self) -> Counter[str]:
        """How often each recording is with SpeechSense."""
        names = {hashlib.sha256(path.read_bytes()).hexdigest(): path.stem for path in self.rig.folder.glob("*.wav")}
        return Counter(names[talk.sha256] for talk in self.standin.talks())


@pytest.fixture
def leaving(tmp_path: Path, standin: StandIn) -> Iterator[Leaving]:
    with Rig(tmp_path, standin.port) as rig:
        yield Leaving(rig, standin)


def all_done(leaving: Leaving) -> None:
    leaving.rig.wait_for_states(**{f"call-{number}": DONE for number in range(1, COUNT)})


def test_the_page_has_its_steps() -> None:
    """The tests below would pass with none."""
    assert sorted(STEPS) == [1, 2, 3, 4, 5, 6]
    assert all(STEPS.values())


def test_the_page_s_order_sends_nothing_twice_but_what_it_says(leaving: Leaving) -> None:
    """Only recordings of the trial can be billed twice, and the last `adopt` names every one that was."""
    leaving.script_sends(2)
    for number in sorted(STEPS):
        # It goes on under way: with the recordings of the trial, too, before it is stopped.
        leaving.type(STEPS[number], script_sends=1 if number < 3 else 2)
    all_done(leaving)
    codes = [(command, code) for command, code, _ in leaving.said if command != "status"]
    assert codes == [("init", 0), ("adopt", 0), ("adopt", 1), ("list", 0), ("approve", 0)]
    sent = leaving.sent()
    twice = {name for name, count in sent.items() if count > 1}
    told = set(re.findall(r"^line \d+: \S+/(call-\d)\.wav is on record with another talk id", leaving.said[3][2], re.MULTILINE))
    assert set(sent) == {f"call-{number}" for number in range(COUNT)}
    assert max(sent.values()) == 2
    assert told == twice
    assert 1 <= len(twice) <= 3


def test_with_the_script_stopped_first_nothing_is_sent_twice(leaving: Leaving) -> None:
    """As the page says of the trial: step 4 and step 2 before step 3."""
    leaving.script_sends(2)
    for number in (1, 4, 2, 3, 5, 6):
        leaving.type(STEPS[number], script_sends=1)
    all_done(leaving)
    assert {code for command, code, _ in leaving.said if command != "status"} == {0}
    assert leaving.sent() == Counter(f"call-{number}" for number in range(COUNT))


def test_without_a_list_the_time_decides(leaving: Leaving) -> None:
    """The script has sent what is older; of the rest nothing twice, and nothing left out."""
    leaving.script_sends(COUNT - 3)
    first, second = (commands(part) for part in section("Without a list").split("What is older than that", 1))
    leaving.type(first, rows=3)
    assert len(leaving.rig.states()) == 3
    leaving.rig.wait_for_states(**{f"call-{number}": DONE for number in range(COUNT - 3, COUNT)})
    assert leaving.sent() == Counter(f"call-{number}" for number in range(COUNT))
    leaving.type(second)
    assert leaving.said[-1][1] == 0
    assert f"{COUNT - 3} adopted, 0 known." in leaving.said[-1][2]
    # The daemon has seen all that, and goes on.
    leaving.rig.drop("next", pcm(seconds=1, seed=COUNT))
    leaving.rig.wait_for_states(next=DONE)
    assert leaving.sent() == Counter([*(f"call-{number}" for number in range(COUNT)), "next"])


def test_one_that_sends_already_is_paused_first(leaving: Leaving) -> None:
    """While it is, every recording that is held can be adopted."""
    leaving.type(STEPS[1])
    text = leaving.rig.config_path.read_text().replace("trial = 3", "trial = 0")
    leaving.rig.config_path.write_text(text.replace('start_from = "', 'start_from = "2001-01-01" # '))
    leaving.script_sends(4)
    aside = leaving.rig.directory / "aside"
    leaving.rig.folder.rename(aside)
    leaving.rig.folder.mkdir()
    leaving.rig.start(configure=False)
    pause, *rest = commands(section("When it sends already"))
    leaving.type([pause])
    for path in aside.iterdir():
        path.rename(leaving.rig.folder / path.name)
    wait_for(lambda: list(leaving.rig.states().values()) == [State.READY] * COUNT, 20)
    leaving.type(rest)
    leaving.rig.wait_for_states(**{f"call-{number}": DONE for number in range(COUNT)})
    assert {code for _, code, _ in leaving.said} == {0}
    assert leaving.sent() == Counter(f"call-{number}" for number in range(COUNT))


def test_recordings_in_any_state_are_adopted_beside_the_daemon(tmp_path: Path, standin: StandIn) -> None:
    """But for one that is being sent, which is told, and one that was sent, which contradicts the list."""
    with Rig(tmp_path, standin.port) as rig:
        rig.upload |= {"stream_above": "0B", "chunk_size": "32KiB", "bandwidth": "16KiB/s"}
        standin.order(Fault("INVALID_ARGUMENT", message="no"))
        rig.start()
        rig.drop("refused")
        rig.wait_for_states(refused=State.REFUSED)
        rig.drop("done", pcm(seconds=1, seed=1))
        rig.wait_for_states(done=DONE)
        rig.drop("uploading", pcm(seconds=120, seed=2))
        rig.wait_for_states(uploading=State.UPLOADING)
        rig.call("pause")
        rig.drop("skipped", pcm(seconds=1, seed=3))
        rig.drop("ready", pcm(seconds=1, seed=4))
        rig.drop("unusable", pcm(seconds=1, seed=5), {"operator_id": "201"})
        (rig.folder / "waiting.wav").write_bytes(pcm(seconds=1, seed=6))
        rig.wait_for_states(skipped=State.READY, ready=State.READY, unusable=State.UNUSABLE, waiting=State.WAITING)
        rig.call("skip", str(rig.jobs()["skipped.wav"].id))
        stems = ("refused", "done", "uploading", "skipped", "ready", "unusable", "waiting")
        sent = tmp_path / "sent.csv"
        sent.write_text("".join(f"{rig.folder}/{stem}.wav,talk-{stem}\n" for stem in stems))
        code, said = rig.call("adopt", str(sent), "--yes")
        assert code == 1
        assert said.endswith(
            "5 adopted, 0 known.\n2 not adopted:\n"
            "  1: is being written or sent at this moment: see `show`, and try again (line 3)\n"
            "  1: is on record with another talk id: see `show` (line 2)\n"
        )
        # The long one has been on its way for all that time.
        del rig.upload["bandwidth"]
        rig.configure()
        assert rig.process is not None
        rig.process.send_signal(signal.SIGHUP)
        rig.call("resume")
        rig.wait_for_states(30, **dict.fromkeys(stems, DONE))
        assert {path: job.talk_id for path, job in rig.jobs().items() if "talk-" in (job.talk_id or "")} == {
            f"{stem}.wav": f"talk-{stem}" for stem in stems if stem not in ("done", "uploading")
        }
        assert len(standin.talks()) == 2
