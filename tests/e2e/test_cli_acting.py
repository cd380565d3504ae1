"""`check`, `upload`, `retry`, `skip`, `resolve`: the commands that look into things and act, as an administrator types them."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from speechsense_watch import config as configuration
from speechsense_watch.cli import group
from speechsense_watch.cli.check_parts import check_credentials
from speechsense_watch.cli.report import Report
from speechsense_watch.core.edges import Change
from speechsense_watch.core.model import Job, State
from speechsense_watch.edge import channel, lock
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ports import Stale
from speechsense_watch.standin import Connection, Fault, Rules, StandIn
from support.manual_clock import ManualClock
from support.played_queue import PlayedQueue
from support.rig import FIELDS, Rig, toml
from support.waiting import wait_for
from support.wavs import asterisk_open, gsm, pcm

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@dataclass
class Desk:
    """A configuration, a folder, a queue, and the commands on them in this process."""

    directory: Path
    port: int
    speechsense: dict[str, object] = field(default_factory=dict)
    rules: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.directory / "calls"
        self.folder.mkdir()
        self.queue_path = self.directory / "state" / "queue.db"
        self.config_path = self.directory / "config.toml"

    def configure(self) -> None:
        endpoint = {"endpoint": f"127.0.0.1:{self.port}", "auth": "none", "plaintext": True}
        folder = {"path": str(self.folder), "connection_id": "conn-1", "start_from": "all"}
        self.config_path.write_text(
            "[speechsense]\n"
            + toml({**endpoint, **self.speechsense})
            + "[queue]\n"
            + toml({"path": str(self.queue_path)})
            + "[[folders]]\n"
            + toml({key: value for key, value in {**folder, **self.rules}.items() if not isinstance(value, dict)})
            + "".join(f"[folders.{key}]\n{toml(value)}" for key, value in self.rules.items() if isinstance(value, dict))
        )

    def call(self, command: str, *arguments: object, stdin: str | None = None) -> Result:
        self.configure()
        line = [command, "--config", str(self.config_path), *map(str, arguments)]
        return CliRunner().invoke(group, line, input=stdin, prog_name="speechsense-watch")

    def drop(self, stem: str = "call", audio: bytes | None = None, **changes: object) -> Path:
        path = self.folder / f"{stem}.wav"
        path.write_bytes(pcm(seconds=1) if audio is None else audio)
        (self.folder / f"{stem}.json").write_text(json.dumps({**FIELDS, **changes}))
        return path

    def jobs(self) -> list[Job]:
        with closing(SqliteQueue(self.queue_path, read_only=True)) as queue:
            return sorted(queue.in_states(tuple(State)), key=lambda job: job.id)

    def played(self) -> dict[State, Job]:
        """A queue with a job in each state."""
        self.queue_path.parent.mkdir()
        play = PlayedQueue(self.queue_path, ManualClock())
        with closing(play.queue):
            return play.of_each_state()


@pytest.fixture
def desk(tmp_path: Path, standin: StandIn) -> Desk:
    return Desk(tmp_path, standin.port)


@pytest.fixture
def idle(tmp_path: Path) -> Desk:
    """For commands that ask no service."""
    return Desk(tmp_path, 1)


def program(*arguments: object, **environ: str) -> subprocess.Popen[str]:
    """The program as a child process."""
    path = os.pathsep.join(each for each in sys.path if each)
    line = [sys.executable, "-m", "speechsense_watch", *map(str, arguments)]
    everything = {**os.environ, "PYTHONPATH": path, **environ}
    return subprocess.Popen(line, env=everything, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# --- retry, skip, resolve --------------------------------------------------------------------

_RETRY = {
    State.WAITING: "waits and needs no retry",
    State.READY: "is due at once",
    State.UPLOADING: "is being sent at this moment",
    State.COMMITTING: "is being sent at this moment",
    State.UNCONFIRMED: "--resend",
    State.UPLOADED: "nothing to retry",
    State.DONE: "nothing to retry",
    State.REFUSED: "is read anew, and sent if it is fit to be",
    State.UNUSABLE: "is read anew, and sent if it is fit to be",
    State.SKIPPED: "is read anew, and sent if it is fit to be",
    State.LOST: "Put them back",
}
_AFTER_RETRY = dict.fromkeys((State.REFUSED, State.UNUSABLE, State.SKIPPED), State.WAITING)
_SKIP = {
    **dict.fromkeys((State.WAITING, State.READY, State.UNCONFIRMED, State.REFUSED), "is left out"),
    **dict.fromkeys((State.UNUSABLE, State.LOST), "is left out"),
    State.UPLOADING: "too late to leave it out",
    State.COMMITTING: "too late to leave it out",
    State.UPLOADED: "its files stay where they are",
    State.DONE: "nothing to skip",
    State.SKIPPED: "is left out already",
}
_AFTER_SKIP = {state: State.SKIPPED for state, said in _SKIP.items() if "is left out" in said} | {State.UPLOADED: State.DONE}


@pytest.mark.parametrize("state", State)
def test_retry_tells_of_each_state_what_it_does_or_why_it_cannot(idle: Desk, state: State) -> None:
    """What stopped is read anew, with rules of choice lifted; what is under way or done needs no retry."""
    job = idle.played()[state]
    done = idle.call("retry", job.id)
    [after] = [each for each in idle.jobs() if each.id == job.id]
    assert f"Job {job.id}" in done.output
    assert _RETRY[state] in done.output
    assert done.exit_code == (0 if state in _AFTER_RETRY or state is State.READY else 1)
    assert after.state is _AFTER_RETRY.get(state, state)
    assert after.forced is (state in _AFTER_RETRY)


@pytest.mark.parametrize("state", State)
def test_skip_tells_of_each_state_what_it_does_or_why_it_cannot(idle: Desk, state: State) -> None:
    """Whatever is not under way can be left out; what was uploaded stays so."""
    job = idle.played()[state]
    done = idle.call("skip", job.id)
    [after] = [each for each in idle.jobs() if each.id == job.id]
    assert _SKIP[state] in done.output
    assert done.exit_code == (0 if state in _AFTER_SKIP or state is State.SKIPPED else 1)
    assert after.state is _AFTER_SKIP.get(state, state)


@pytest.mark.parametrize("state", State)
def test_resolve_decides_what_is_unconfirmed_and_nothing_else(idle: Desk, state: State) -> None:
    """With a talk id it is uploaded, and the journal knows."""
    job = idle.played()[state]
    done = idle.call("resolve", job.id, "--uploaded", " talk-7 ")
    [after] = [each for each in idle.jobs() if each.id == job.id]
    if state is State.UNCONFIRMED:
        assert (done.exit_code, after.state, after.talk_id) == (0, State.UPLOADED, "talk-7")
        assert "talk-7" in idle.queue_path.with_name("queue.db.journal").read_text()
    else:
        assert (done.exit_code, after) == (1, job)
        assert "nothing to resolve" in done.output


def test_resolve_resend_marks_a_possible_double(idle: Desk) -> None:
    """The operator looked and did not find it: if it was there after all, nobody is surprised."""
    job = idle.played()[State.UNCONFIRMED]
    done = idle.call("resolve", job.id, "--resend")
    [after] = [each for each in idle.jobs() if each.id == job.id]
    assert (done.exit_code, after.state, after.possible_duplicate) == (0, State.READY, True)
    assert after.message == "Sent again on the operator's word."


@pytest.mark.parametrize(
    "arguments",
    [
        ("resolve", 5),
        ("resolve", 5, "--resend", "--uploaded", "x"),
        ("resolve", 5, "--uploaded", ""),
        ("resolve", 5, "--uploaded", "  "),
        ("resolve", 5, "--uploaded", "two words"),
        ("resolve", 5, "--uploaded", "a\x1bb"),
        ("retry",),
        ("retry", 5, "--state", "refused"),
        ("retry", 5, "--yes"),
        ("retry", "--state", "waiting"),
        ("retry", "0"),
        ("skip",),
        ("upload",),
        ("upload", "--audio-path", "config.toml", "config.toml"),
        ("upload", "--audio-path", "config.toml", "--meta-path", "config.toml"),
        ("upload", "--audio-path", "config.toml", "--connection-id", " "),
        ("upload", "no-such-file"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_touched(
    idle: Desk, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty talk id above all."""
    before = idle.played()
    monkeypatch.chdir(idle.directory)
    idle.configure()
    assert idle.call(*arguments).exit_code == 2
    assert {job.id: job for job in idle.jobs()} == {job.id: job for job in before.values()}


def test_several_at_once_and_one_that_is_not_there(idle: Desk) -> None:
    """Each gets its sentence; the exit code says that not all could be."""
    jobs = idle.played()
    done = idle.call("skip", jobs[State.LOST].id, 4711, jobs[State.REFUSED].id)
    assert done.exit_code == 1
    assert "There is no job 4711" in done.output
    states = {job.id: job.state for job in idle.jobs()}
    assert {states[jobs[state].id] for state in (State.LOST, State.REFUSED)} == {State.SKIPPED}


def test_a_change_after_the_upload_is_sent_or_taken_note_of(idle: Desk) -> None:
    """`retry` takes what lies there now for a new recording, `skip` clears the mark."""
    idle.queue_path.parent.mkdir()
    play = PlayedQueue(idle.queue_path, ManualClock())
    with closing(play.queue):
        first, second = play.changed("first"), play.changed("second")
    sent, seen = idle.call("retry", "--state", "done", "--yes"), idle.call("skip", first.id)
    assert "2 recordings that are done and changed since" in sent.output
    assert "a recording of its own" in sent.output
    assert (sent.exit_code, seen.exit_code) == (0, 1)
    assert [(job.changed_after_upload, job.gone_at is not None) for job in idle.jobs()] == [(False, True)] * 2
    assert second.id


def test_retry_by_state_says_how_many_and_wants_to_be_told(idle: Desk) -> None:
    """Without a terminal and without --yes nothing happens."""
    jobs = idle.played()
    refused = idle.call("retry", "--state", "refused")
    assert "1 recording that is refused will be read anew and sent." in refused.output
    assert (refused.exit_code, "--yes" in refused.output) == (1, True)
    assert {job.id: job.state for job in idle.jobs()}[jobs[State.REFUSED].id] is State.REFUSED
    agreed = idle.call("retry", "--state", "refused", "--state", "unusable", "--folder", "calls", "--yes")
    assert "2 recordings that are refused or unusable in folder calls" in agreed.output
    assert agreed.exit_code == 0
    assert {job.id: job.state for job in idle.jobs()}[jobs[State.UNUSABLE].id] is State.WAITING


def test_retry_of_a_folder_that_has_none(idle: Desk) -> None:
    """None is no error, but a folder that does not exist is named."""
    idle.played()
    assert idle.call("retry", "--state", "refused", "--folder", "cals", "--yes").exit_code == 1
    (idle.directory / "b").mkdir()
    none = idle.call("retry", "--state", "done", "--yes")
    assert (none.exit_code, "There is no recording" in none.output) == (0, True)


@pytest.mark.parametrize(("answer", "state"), [("y\n", State.WAITING), ("n\n", State.REFUSED)])
def test_on_a_terminal_retry_asks(idle: Desk, answer: str, state: State) -> None:
    """And does what it is told."""
    job = idle.played()[State.REFUSED]
    idle.configure()
    ours, theirs = pty.openpty()
    path = os.pathsep.join(each for each in sys.path if each)
    line = [sys.executable, "-m", "speechsense_watch", "retry", "--config", str(idle.config_path), "--state", "refused"]
    with subprocess.Popen(line, env={**os.environ, "PYTHONPATH": path}, stdin=theirs, stdout=subprocess.PIPE, text=True) as child:
        os.close(theirs)
        os.write(ours, answer.encode())
        output, _ = child.communicate(timeout=120)
    os.close(ours)
    assert "Go on?" in output
    assert {each.id: each.state for each in idle.jobs()}[job.id] is state


def test_where_there_is_no_queue_none_is_made(idle: Desk) -> None:
    """The operator has named the wrong configuration, or the daemon never ran."""
    for command in (("retry", 1), ("skip", 1), ("resolve", 1, "--resend")):
        done = idle.call(*command)
        assert (done.exit_code, "There is no queue" in done.output) == (1, True)
    assert not idle.queue_path.parent.exists()


def test_a_queue_that_may_not_be_written_says_sudo(idle: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commonest slip: the queue belongs to the service."""
    job = idle.played()[State.LOST]
    monkeypatch.setattr(os, "access", lambda _path, mode, **_: not mode & os.W_OK)
    done = idle.call("skip", job.id)
    assert (done.exit_code, "sudo speechsense-watch" in done.output) == (73, True)


def test_a_queue_that_is_none_is_told(idle: Desk) -> None:
    """Another file stands in its place."""
    idle.queue_path.parent.mkdir()
    idle.queue_path.write_text("This is no database, and it is long enough to be seen as none." * 20)
    done = idle.call("skip", 1)
    assert (done.exit_code, "not a database" in done.output) == (73, True)


@as_root
def test_what_root_decides_leaves_the_queue_to_its_owner(idle: Desk) -> None:
    """Every file beside the queue can be opened by the daemon's user afterwards, the journal too."""
    job = idle.played()[State.UNCONFIRMED]
    idle.queue_path.with_name("queue.db.journal").unlink()
    os.chown(idle.queue_path, 65534, 65534)
    os.chown(idle.queue_path.parent, 65534, 65534)
    assert idle.call("resolve", job.id, "--uploaded", "talk-7").exit_code == 0
    owners = {file.name: file.stat().st_uid for file in idle.queue_path.parent.iterdir()}
    assert set(owners.values()) == {65534}
    assert "queue.db.journal" in owners


@pytest.mark.parametrize(("times", "code", "said"), [(1, 0, "is left out"), (99, 1, "is changing at this moment")])
def test_the_daemon_may_change_a_job_meanwhile(
    idle: Desk, monkeypatch: pytest.MonkeyPatch, times: int, code: int, said: str
) -> None:
    """Then it is looked at again before anything is said of it."""
    job = idle.played()[State.LOST]
    apply, left = SqliteQueue.apply, iter(range(times))

    def raced(queue: SqliteQueue, change: Change) -> Job:
        if next(left, None) is not None:
            raise Stale
        return apply(queue, change)

    monkeypatch.setattr(SqliteQueue, "apply", raced)
    done = idle.call("skip", job.id)
    assert (done.exit_code, said in done.output) == (code, True)


def test_the_daemon_that_does_not_run_is_mentioned(idle: Desk) -> None:
    """Nothing happens before it does."""
    jobs = idle.played()
    assert "The daemon does not run" in idle.call("retry", jobs[State.REFUSED].id).output
    with lock.acquire(f"{idle.queue_path}.lock", SystemClock()):
        assert "The daemon does not run" not in idle.call("retry", jobs[State.REFUSED].id).output


def test_a_running_daemon_notices(tmp_path: Path, standin: StandIn) -> None:
    """A refused recording is sent again as soon as the operator says so; a skipped one is not."""
    standin.order(Fault("INVALID_ARGUMENT", message="bad date", count=2))
    with Rig(tmp_path, standin.port) as rig:
        rig.rules["rescan_interval"] = "1h"
        rig.start()
        rig.drop("one")
        rig.drop("two", pcm(seconds=1, seed=2))
        rig.wait_for_states(one=State.REFUSED, two=State.REFUSED)
        one, two = rig.jobs()["one.wav"].id, rig.jobs()["two.wav"].id
        assert rig.call("skip", str(two))[0] == 0
        assert rig.call("retry", str(one))[0] == 0
        rig.wait_for_states(one=State.DONE, two=State.SKIPPED)
        assert rig.stop() == 0


# --- upload ----------------------------------------------------------------------------------


def test_a_recording_goes_by_its_folders_rules(desk: Desk, standin: StandIn) -> None:
    """The talk id is printed and on record; the second time nothing is sent."""
    desk.rules["metadata_rename"] = {"agent": "operator_name"}
    path = desk.drop(agent="Анна")
    first, again = desk.call("upload", path), desk.call("upload", path)
    [talk], [job] = standin.talks(), desk.jobs()
    assert (first.exit_code, first.stdout) == (0, f"Dialog ID: {talk.talk_id}\n")
    assert (again.exit_code, again.stdout) == (0, f"Dialog ID: {talk.talk_id}\n")
    assert f"job {job.id}" in again.stderr
    assert (job.state, job.talk_id, talk.connection_id) == (State.DONE, talk.talk_id, "conn-1")


def test_the_metadata_may_be_named_instead(desk: Desk, standin: StandIn) -> None:
    """Either half stands for the recording."""
    path = desk.drop()
    assert desk.call("upload", path.with_suffix(".json")).exit_code == 0
    assert [job.place.path for job in desk.jobs()] == ["call.wav"]


@pytest.mark.parametrize(
    ("fault", "code", "state", "said"),
    [
        (Fault("INVALID_ARGUMENT", message="bad date"), 1, State.REFUSED, "bad date"),
        (Fault("UNAUTHENTICATED", message="unknown key"), 75, State.READY, "unknown key"),
        (Fault("lost_answer"), 76, State.UNCONFIRMED, "resolve 1 --uploaded TALK"),
    ],
)
def test_an_upload_that_fails_says_how(desk: Desk, standin: StandIn, fault: Fault, code: int, state: State, said: str) -> None:
    """Refused, not now, or unknown: each with its exit code and a row that says the same."""
    standin.order(fault)
    done = desk.call("upload", desk.drop())
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    assert [job.state for job in desk.jobs()] == [state]


def test_a_large_recording_is_streamed(desk: Desk, standin: StandIn) -> None:
    """Above `stream_above` (3 MiB) in pieces."""
    audio = pcm(seconds=110)
    assert desk.call("upload", desk.drop(audio=audio)).exit_code == 0
    assert [call.method for call in standin.calls()] == ["UploadAsStream"]
    assert standin.talks()[0].size_bytes == len(audio)


def test_a_service_that_is_away_touches_nothing(idle: Desk) -> None:
    """Exit code 75, and no row."""
    done = idle.call("upload", idle.drop())
    assert (done.exit_code, "cannot be reached" in done.stderr) == (75, True)
    assert idle.jobs() == []


@pytest.mark.parametrize(("audio", "code"), [(asterisk_open(), 75), (gsm(), 1)])
def test_a_file_that_cannot_be_sent_is_told_from_one_that_cannot_be_sent_yet(idle: Desk, audio: bytes, code: int) -> None:
    """A call that goes on may be tried later."""
    assert idle.call("upload", idle.drop(audio=audio)).exit_code == code
    assert idle.call("upload", "--dry-run", idle.folder / "call.wav").exit_code == code


def test_a_file_in_no_folder_needs_a_connection(idle: Desk) -> None:
    """The message says how."""
    stray = idle.directory / "stray.wav"
    stray.write_bytes(pcm(seconds=1))
    done = idle.call("upload", stray)
    assert (done.exit_code, "--connection-id" in done.stderr) == (1, True)


def test_a_file_of_a_folder_keeps_its_place_whatever_the_connection(desk: Desk, standin: StandIn) -> None:
    """So the daemon does not send it as well; the path may lead there by a link."""
    desk.drop()
    link = desk.directory / "link"
    link.symlink_to(desk.folder)
    line = ("--audio-path", link / "call.wav", "--meta-path", link / "call.json", "--connection-id", "conn-9")
    assert desk.call("upload", *line).exit_code == 0
    [job], [talk] = desk.jobs(), standin.talks()
    assert (job.place.folder, job.place.path, job.metadata_path) == ("calls", "call.wav", "call.json")
    assert (job.connection_id, talk.connection_id) == ("conn-9", "conn-9")


def test_of_two_folders_the_inner_one_counts(desk: Desk, standin: StandIn) -> None:
    """Its rules are the nearer ones."""
    inner = desk.folder / "vip"
    inner.mkdir()
    desk.drop("vip/call")
    desk.configure()
    desk.config_path.write_text(
        desk.config_path.read_text()
        + "[[folders]]\n"
        + toml({"path": str(inner), "name": "vip", "connection_id": "conn-vip", "start_from": "all"})
    )
    line = ["upload", "--config", str(desk.config_path), str(inner / "call.wav")]
    assert CliRunner().invoke(group, line, prog_name="speechsense-watch").exit_code == 0
    assert [talk.connection_id for talk in standin.talks()] == ["conn-vip"]


def test_a_dry_run_shows_and_does_nothing(desk: Desk, standin: StandIn) -> None:
    """Fields, rules that acted, and whether it is on record."""
    desk.rules["metadata_defaults"] = {"language": "ru-RU"}
    path = desk.drop()
    (desk.folder / "call.json").write_text(json.dumps({key: FIELDS[key] for key in FIELDS if key != "language"}))
    shown = desk.call("upload", "--dry-run", path)
    assert shown.exit_code == 0
    for part in ("call.wav", "conn-1", "Оператор Анна", "`language` is lacking", "2 channels"):
        assert part in shown.stdout
    assert not desk.queue_path.exists()
    assert standin.calls() == []
    desk.call("upload", path)
    assert "on record as job 1" in desk.call("upload", "--dry-run", path).stdout


def test_like_the_reference_uploader_no_configuration_is_needed(tmp_path: Path, standin: StandIn) -> None:
    """Its flags, its fields, its output; what was sent is remembered in this user's own queue."""
    audio, metadata = tmp_path / "a.wav", tmp_path / "m.json"
    audio.write_bytes(pcm(seconds=1))
    metadata.write_text(json.dumps(FIELDS))
    environ = _without_configuration(tmp_path, standin)
    line = ("upload", "--audio-path", audio, "--meta-path", metadata, "--connection-id", "conn-9", "--key", "AQVN-secret")
    codes, outputs, warnings = [], [], []
    for _ in range(2):
        with program(*line, **environ) as child:
            output, errors = child.communicate(timeout=120)
            codes.append(child.returncode)
            outputs.append(output)
            warnings.append(errors)
    [talk] = standin.talks()
    assert (codes, outputs) == ([0, 0], [f"Dialog ID: {talk.talk_id}\n"] * 2)
    assert talk.connection_id == "conn-9"
    assert "Others on this machine can read the key" in warnings[0]
    assert "AQVN" not in warnings[0]
    queue_path = tmp_path / "state" / "speechsense-watch" / "queue.db"
    with closing(SqliteQueue(queue_path, read_only=True)) as queue:
        [job] = queue.in_states(tuple(State))
    assert (job.place.folder, job.place.path) == ("", str(audio))
    assert queue_path.stat().st_mode & 0o777 == 0o600


def test_the_operator_commands_find_that_queue_too(tmp_path: Path, standin: StandIn) -> None:
    """What has no configuration can still be resolved."""
    audio = tmp_path / "a.wav"
    audio.write_bytes(pcm(seconds=1))
    (tmp_path / "m.json").write_text(json.dumps(FIELDS))
    environ = _without_configuration(tmp_path, standin)
    with program("resolve", 1, "--resend", **environ) as child:
        assert child.wait(120) == 78
    standin.order(Fault("lost_answer"))
    line = ("upload", "--audio-path", audio, "--meta-path", tmp_path / "m.json", "--connection-id", "conn-9", "--key", "K")
    for command, code in ((line, 76), (("resolve", 1, "--resend"), 0), (line, 0)):
        with program(*command, **environ) as child:
            assert child.wait(120) == code, child.communicate()
    assert len(standin.talks()) == 2


def test_the_built_in_fields_are_those_of_the_reference(tmp_path: Path, standin: StandIn) -> None:
    """They lack the language, which a connection may require: then the service says so."""
    audio = tmp_path / "a.wav"
    audio.write_bytes(pcm(seconds=1))
    environ = _without_configuration(tmp_path, standin)
    with program("upload", "--audio-path", audio, "--connection-id", "c", "--key", "K", "--dry-run", **environ) as child:
        shown, _ = child.communicate(timeout=120)
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("    ")][:4] == [
        "operator_name",
        "operator_id",
        "client_name",
        "client_id",
    ]
    with program("upload", "--audio-path", audio, "--connection-id", "c", "--key", "K", **environ) as child:
        _, errors = child.communicate(timeout=120)
        assert (child.returncode, "language" in errors) == (1, True)


def test_the_key_on_the_command_line_is_the_one_that_is_shown(tmp_path: Path) -> None:
    """Whatever key the configuration names."""
    with StandIn(tmp_path / "service", rules=Rules(keys=frozenset({"right"}))) as standin:
        desk = Desk(tmp_path, standin.port)
        (tmp_path / "key").write_text("wrong\n")
        desk.speechsense = {"auth": "api-key", "api_key_file": str(tmp_path / "key")}
        path = desk.drop()
        assert desk.call("upload", path).exit_code == 75
        assert desk.call("upload", path, "--key", "right").exit_code == 0


def test_a_key_that_is_not_there_is_a_configuration_fault(desk: Desk) -> None:
    """Exit code 78, and nothing is written down."""
    desk.speechsense = {"auth": "api-key", "api_key_file": str(desk.directory / "none")}
    done = desk.call("upload", desk.drop())
    assert (done.exit_code, "api-key" in done.stderr or "API key" in done.stderr) == (78, True)
    assert desk.jobs() == []


def test_an_override_that_makes_no_sense_is_told(idle: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is no file."""
    monkeypatch.setenv("SPEECHSENSE_WATCH_CONFIG", str(idle.directory / "none.toml"))
    monkeypatch.setenv("SPEECHSENSE_WATCH_UPLOAD__CHUNK_SIZE", "much")
    path = idle.drop()
    line = ["upload", "--audio-path", str(path), "--connection-id", "c"]
    done = CliRunner().invoke(group, line, prog_name="speechsense-watch")
    assert (done.exit_code, "CHUNK_SIZE" in done.stderr) == (78, True)


def test_beside_a_running_daemon(tmp_path: Path, standin: StandIn) -> None:
    """The daemon neither sends the recording as well nor takes the row for a crash's."""
    with Rig(tmp_path, standin.port) as rig:
        rig.rules["quiet_period"] = "1h"
        rig.start()
        rig.drop("now")
        standin.order(Fault("delay", seconds=3, when="after"))
        code, output = rig.call("upload", str(rig.folder / "now.wav"))
        assert code == 0, output
        [talk] = standin.talks()
        assert output == f"Dialog ID: {talk.talk_id}\n"
        rig.wait_for_states(now=State.DONE)
        assert rig.stop() == 0
    assert len(standin.calls()) == 1


@pytest.mark.parametrize(("signals", "code", "state"), [(1, 75, State.READY), (2, 75, State.READY)])
def test_ctrl_c_takes_back_what_has_not_left(desk: Desk, standin: StandIn, signals: int, code: int, state: State) -> None:
    """A stream is ended before its last piece; the row is ready again."""
    # More than grpc takes ahead of a service that has stopped reading (7 MB were seen): else the last piece may have left.
    path = desk.drop(audio=pcm(seconds=600))
    standin.order(Fault("hang", when="mid"))
    desk.configure()
    with program("upload", "--config", desk.config_path, path) as child:
        wait_for(lambda: [call for call in standin.calls() if not call.ended_at], 20, "the call hangs")
        for _ in range(signals):
            child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=120)
    assert (child.returncode, [job.state for job in desk.jobs()]) == (code, [state]), errors


def test_a_second_ctrl_c_does_not_wait_for_the_answer(desk: Desk, standin: StandIn) -> None:
    """One message has left at once: without an answer nobody knows whether it arrived."""
    path = desk.drop()
    standin.order(Fault("hang"))
    desk.configure()
    with program("upload", "--config", desk.config_path, path) as child:
        wait_for(lambda: [call for call in standin.calls() if not call.ended_at], 20, "the call hangs")
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=120)
    assert (child.returncode, [job.state for job in desk.jobs()]) == (76, [State.UNCONFIRMED]), errors


def test_killed_in_mid_upload_the_next_one_says_so(desk: Desk, standin: StandIn) -> None:
    """Nobody knows whether it arrived: the row is unconfirmed, and nothing is sent again by itself."""
    path = desk.drop()
    standin.order(Fault("hang"))
    desk.configure()
    with program("upload", "--config", desk.config_path, path) as child:
        wait_for(lambda: [call for call in standin.calls() if not call.ended_at], 20, "the call hangs")
        busy = desk.call("upload", path)
        child.kill()
        child.communicate(timeout=120)
    assert (busy.exit_code, "being sent" in busy.stderr) == (75, True)
    again = desk.call("upload", path)
    assert (again.exit_code, [job.state for job in desk.jobs()]) == (76, [State.UNCONFIRMED])


@as_root
def test_a_queue_that_root_makes_belongs_to_its_directorys_owner(desk: Desk) -> None:
    """The daemon that starts later can open it."""
    desk.queue_path.parent.mkdir()
    os.chown(desk.queue_path.parent, 65534, 65534)
    assert desk.call("upload", desk.drop()).exit_code == 0
    assert {file.stat().st_uid for file in desk.queue_path.parent.iterdir()} == {65534}


def test_a_queue_that_cannot_be_made_is_told(desk: Desk) -> None:
    """A file stands where its directory should."""
    (desk.directory / "state").write_text("in the way")
    done = desk.call("upload", desk.drop())
    assert (done.exit_code, "sudo" in done.stderr) == (73, True)


def _without_configuration(directory: Path, standin: StandIn) -> dict[str, str]:
    return {
        "SPEECHSENSE_WATCH_CONFIG": str(directory / "none.toml"),
        "XDG_STATE_HOME": str(directory / "state"),
        "SPEECHSENSE_WATCH_SPEECHSENSE__ENDPOINT": standin.target,
        "SPEECHSENSE_WATCH_SPEECHSENSE__PLAINTEXT": "true",
    }


# --- check -----------------------------------------------------------------------------------


def test_the_sample_is_a_configuration(idle: Desk) -> None:
    """It loads as printed."""
    printed = CliRunner().invoke(group, ["check", "--sample"], prog_name="speechsense-watch")
    assert (printed.exit_code, printed.stdout) == (0, configuration.sample())
    assert configuration.loads(printed.stdout, Path("sample"), {}).folders


def test_all_is_right(idle: Desk) -> None:
    """Every part gets its line, and nothing is made."""
    idle.drop()
    idle.drop("other", pcm(seconds=1, seed=1))
    done = idle.call("check")
    assert done.exit_code == 0, done.output
    for part in (
        "1 folder",
        "can be read (watched by events",
        "2 audio files",
        "2 of 2 recordings",
        "will be made",
        "All is right",
    ):
        assert part in done.output
    assert not idle.queue_path.parent.exists()


def test_every_error_of_the_configuration_is_told(idle: Desk) -> None:
    """All at once, exit code 78."""
    idle.rules = {"quiet_period": "soon", "colour": "red"}
    done = idle.call("check")
    assert (done.exit_code, done.output.count("✗")) == (78, 2)
    assert "quiet_period" in done.output
    assert "colour" in done.output


def test_a_folder_that_is_not_there(idle: Desk) -> None:
    """It may not be mounted, or the path is wrong."""
    idle.rules = {"path": str(idle.directory / "elsewhere")}
    done = idle.call("check")
    assert (done.exit_code, "does not exist" in done.output) == (78, True)


def test_what_would_not_be_sent_is_counted_by_reason(idle: Desk) -> None:
    """A look into some recordings shows what the daemon would stumble over."""
    for number in range(3):
        idle.drop(f"mono{number}", pcm(seconds=1, channels=1))
    idle.drop("good")
    (idle.folder / "song.mp3").write_bytes(b"ID3")
    done = idle.call("check")
    assert done.exit_code == 0
    assert "1 of 4 recordings that were looked into can be sent" in done.output
    assert "3 of 4 cannot be sent as they are, mono" in done.output


@pytest.mark.parametrize(
    ("rules", "part"),
    [
        ({"audio": ["*.ogg"]}, "none of them matches `audio` (*.ogg). Names that look like recordings: 1."),
        (
            {"include": ["2025/**"]},
            "none of them matches `audio` (*.wav) and `include` (2025/**). Names that look like recordings: 1.",
        ),
        ({"metadata": "{name}.json"}, "1 audio file (*.wav), 0 of them with metadata ({name}.json)"),
        ({"detection": "polling"}, "scanned every 60 s"),
    ],
)
def test_rules_that_fit_nothing_are_noted(idle: Desk, rules: dict[str, object], part: str) -> None:
    """A word, not an error: the folder may fill differently from now on."""
    idle.drop()
    idle.rules = rules
    done = idle.call("check")
    assert done.exit_code == 0
    assert part in done.output


def test_an_empty_folder_says_nothing_of_the_rules(idle: Desk) -> None:
    assert "it is empty" in idle.call("check").output


def test_links_to_directories_are_noted(idle: Desk) -> None:
    """What lies below them is not seen, unless it is watched; said of the recordings there, too."""
    other = idle.directory / "other"
    other.mkdir()
    idle.drop()
    idle.drop("linked").rename(other / "linked.wav")
    (idle.folder / "linkdir").symlink_to(other)
    done = idle.call("check")
    assert done.exit_code == 0
    assert f"linkdir is a symbolic link to the directory {other}, and links are never followed" in done.output
    assert f"watch {other} by a [[folders]] of its own" in done.output
    done = idle.call("check", "--file", idle.folder / "linkdir" / "linked.wav")
    assert (done.exit_code, "links are never followed" in done.output) == (78, True)
    idle.rules["exclude"] = ["linkdir"]
    assert "never followed" not in idle.call("check").output


def test_a_link_to_what_is_watched_needs_no_word(idle: Desk) -> None:
    """As `latest` is in some recorders' folders."""
    idle.drop()
    (idle.folder / "2026").mkdir()
    (idle.folder / "latest").symlink_to("2026")
    assert "never followed" not in idle.call("check").output


def test_a_folder_that_is_watched_twice_is_an_error(idle: Desk) -> None:
    """By another name as well, which only the disk knows."""
    (idle.directory / "again").symlink_to(idle.folder)
    idle.configure()
    with idle.config_path.open("a") as file:
        file.write(f'[[folders]]\npath = "{idle.directory}/again"\nconnection_id = "conn-2"\nstart_from = "all"\n')
    line = ["check", "--config", str(idle.config_path)]
    done = CliRunner().invoke(group, line, prog_name="speechsense-watch")
    assert done.exit_code == 78
    assert f"again is the directory that is watched as {idle.folder} already" in " ".join(done.output.split())
    assert "can be used" not in done.output


def test_an_archive_that_cannot_be_made(idle: Desk) -> None:
    """A file stands in the way of its directory."""
    (idle.directory / "archive").write_text("")
    idle.rules = {"after_upload": "archive", "archive_to": str(idle.directory / "archive" / "calls")}
    done = idle.call("check")
    assert (done.exit_code, "cannot be written" in done.output) == (78, True)
    idle.rules["archive_to"] = str(idle.directory / "new" / "archive")
    assert idle.call("check").exit_code == 0


def test_the_queue_is_looked_at(idle: Desk) -> None:
    """In order, in use, or not a queue."""
    idle.played()
    assert "no daemon runs" in idle.call("check").output
    with lock.acquire(f"{idle.queue_path}.lock", SystemClock()):
        assert "in use by the daemon" in idle.call("check").output
    idle.queue_path.write_text("This is no database, and it is long enough to be seen as none." * 20)
    for name in ("queue.db-wal", "queue.db-shm"):
        idle.queue_path.with_name(name).unlink(missing_ok=True)
    assert idle.call("check").exit_code == 78


def test_a_queue_of_a_later_version_is_refused(idle: Desk) -> None:
    """It is neither touched nor called damaged."""
    jobs = idle.played()
    with closing(sqlite3.connect(idle.queue_path, isolation_level=None)) as raw:
        raw.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('speechsense-watch', 'm999', '2030-01-01')"
        )
    for command, code in ((("check",), 78), (("skip", jobs[State.LOST].id), 73)):
        done = idle.call(*command)
        assert (done.exit_code, "newer speechsense-watch" in done.output) == (code, True), done.output


def test_a_queue_that_the_service_may_not_write(idle: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """There or not yet there."""
    idle.drop()
    monkeypatch.setattr(os, "access", lambda _path, mode, **_: not mode & os.W_OK)
    new = idle.call("check")
    monkeypatch.undo()
    idle.played()
    monkeypatch.setattr(os, "access", lambda _path, mode, **_: not mode & os.W_OK)
    there = idle.call("check")
    assert (new.exit_code, "cannot make" in new.output) == (78, True)
    assert (there.exit_code, "may not write" in there.output) == (78, True)


def test_a_key_that_systemd_hands_over_is_not_looked_for(idle: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """With LoadCredential= only the service can read it."""
    idle.speechsense = {"auth": "api-key", "api_key_file": "/nonexistent/key"}
    idle.configure()
    report = Report()
    config = configuration.load(idle.config_path, {})
    assert not check_credentials(config, {}, {"api-key": "/etc/speechsense-watch/api-key"}, report)
    assert report.bad == 0
    assert "LoadCredential=" in capsys.readouterr().out


def test_the_key_is_found_and_never_printed(idle: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was found is told, and who else may read it."""
    key = idle.directory / "key"
    key.write_text("AQVN-very-secret\n")
    key.chmod(0o644)
    idle.speechsense = {"auth": "api-key", "api_key_file": str(key)}
    done = idle.call("check")
    assert (done.exit_code, f"found in {key}" in done.output) == (0, True)
    assert "chmod" in done.output
    assert "AQVN" not in done.output
    key.write_text("")
    assert idle.call("check").exit_code == 78
    key.unlink()
    monkeypatch.setenv("SPEECHSENSE_API_KEY", "AQVN-very-secret")
    assert "this shell's environment" in idle.call("check").output


@pytest.mark.parametrize(
    ("rules", "code", "parts"),
    [
        (Rules(), 0, ("can be reached", "takes the key for reading", "Only an upload proves")),
        (Rules(keys=frozenset({"other"})), 78, ("the key was refused", "yc.speech-sense.use")),
        (Rules(connections={"conn-2": Connection()}), 78, ("there is no connection conn-1", "Check `connection_id`")),
    ],
)
def test_online_tells_what_the_service_says(tmp_path: Path, rules: Rules, code: int, parts: tuple[str, ...]) -> None:
    """A question that stores nothing shows what it can; what only an upload shows is said."""
    with StandIn(tmp_path / "service", rules=rules) as standin:
        desk = Desk(tmp_path, standin.port)
        (tmp_path / "key").write_text("AQVN-very-secret\n")
        (tmp_path / "key").chmod(0o600)
        desk.speechsense = {"auth": "api-key", "api_key_file": str(tmp_path / "key")}
        done = desk.call("check", "--online")
        assert done.exit_code == code, done.output
        for part in parts:
            assert part in done.output
        assert standin.talks() == []


@pytest.mark.parametrize(
    ("fault", "code", "part"),
    [
        ("PERMISSION_DENIED", 0, "which a key for uploads alone may get"),
        ("UNIMPLEMENTED", 69, "TalkService"),
        ("UNAVAILABLE", 69, "trouble"),
    ],
)
def test_online_tells_a_refusal_to_read_from_a_service_in_trouble(
    desk: Desk, standin: StandIn, fault: str, code: int, part: str
) -> None:
    """A key for uploads need not be good for reading."""
    standin.order(Fault(fault, methods=("Get",), count=0))
    done = desk.call("check", "--online")
    assert (done.exit_code, part in done.output) == (code, True), done.output


def test_online_without_anybody_there(idle: Desk) -> None:
    """Exit code 69 and the step that fails."""
    done = idle.call("check", "--online")
    assert (done.exit_code, "cannot be reached" in done.output) == (69, True)


def test_online_with_something_else_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and speaks no gRPC."""
    monkeypatch.setattr(channel, "CONNECT_WITHIN_S", 0.3)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        done = Desk(tmp_path, server.getsockname()[1]).call("check", "--online")
    assert (done.exit_code, "no gRPC connection" in done.output) == (69, True)


def test_online_without_a_key(desk: Desk) -> None:
    """The endpoint is still tried."""
    desk.speechsense = {"auth": "api-key", "api_key_file": str(desk.directory / "none")}
    done = desk.call("check", "--online")
    assert (done.exit_code, "can be reached" in done.output, "was not asked" in done.output) == (78, True, True)


def test_a_recording_as_it_would_be_sent(idle: Desk) -> None:
    """Every field, and every rule that acted."""
    idle.rules["metadata_rename"] = {"agent": "operator_name"}
    fields = {key: value for key, value in FIELDS.items() if key != "operator_name"}
    path = idle.drop()
    (idle.folder / "call.json").write_text(json.dumps({**fields, "agent": "Анна"}))
    done = idle.call("check", "--file", path)
    assert done.exit_code == 0
    for part in ("It can be sent", "operator_name       Анна", "`agent` became `operator_name`.", "conn-1", "2 channels"):
        assert part in done.output


@pytest.mark.parametrize(
    ("rules", "name", "parts"),
    [
        ({}, "call.wav", ()),
        ({"min_duration": "1m"}, "call.wav", ("`min_duration` is 1 min", "sends it all the same")),
        ({"audio": ["*.wave"]}, "call.wav", ("matches no pattern of `audio`",)),
        ({"exclude": ["call*"]}, "call.wav", ("`include` and `exclude` leave it out",)),
        ({"recursive": False}, "sub/call.wav", ("`recursive` is false",)),
        ({"start_from": "now"}, "call.wav", ()),
        ({"metadata": "meta/{stem}.json"}, "call.wav", ("none at meta/call.json", "has not come yet")),
        ({"connection_type": "single-channel"}, "call.wav", ("needs 1",)),
    ],
)
def test_a_recording_that_would_not_be_sent(idle: Desk, rules: dict[str, object], name: str, parts: tuple[str, ...]) -> None:
    """The reason, what to do, and the rules by which the daemon would not even look."""
    (idle.folder / "sub").mkdir()
    idle.drop(name.removesuffix(".wav"))
    idle.rules = rules
    done = idle.call("check", "--file", idle.folder / name)
    for part in parts:
        assert part in done.output, done.output
    told = "It can be sent" not in done.output
    assert done.exit_code == (78 if told else 0)


def test_a_recording_that_is_on_record_or_too_old(idle: Desk) -> None:
    """What the queue knows is told."""
    idle.queue_path.parent.mkdir()
    play = PlayedQueue(idle.queue_path, ManualClock())
    with closing(play.queue):
        play.done("call")
        play.queue.first_watched("calls", str(idle.folder), SystemClock().now())
    path = idle.drop()
    os.utime(path, (1e9, 1e9))
    idle.rules["start_from"] = "now"
    done = idle.call("check", "--file", path)
    assert "On record as job 1" in done.output
    assert "older than `start_from`" in done.output


def test_a_file_of_no_folder(idle: Desk) -> None:
    """Its connection has to be named to `upload`."""
    idle.configure()
    done = idle.call("check", "--file", idle.config_path)
    assert (done.exit_code, "none of the watched folders" in done.output) == (78, True)


def test_nobody_but_root_checks_for_others(idle: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all others their own rights are checked, and it is said whose these are."""
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    idle.drop()
    assert "with `sudo` those of the service's user are checked" in idle.call("check").output
    assert "only root" in idle.call("check", "--user", "root").output


@as_root
def test_root_checks_with_the_services_rights(idle: Desk) -> None:
    """What the service may not read is wrong, whatever root may: be it the program or the configuration."""
    idle.drop()
    idle.configure()
    idle.config_path.chmod(0o600)
    with program("check", "--config", idle.config_path, "--user", "nobody") as child:
        output, errors = child.communicate(timeout=120)
    assert "Checked with the rights of user nobody." in output, errors
    assert (child.returncode, "may not read" in output) == (78, True)


@as_root
def test_a_user_that_is_not_there(idle: Desk) -> None:
    done = idle.call("check", "--user", "no-such-user-here")
    assert (done.exit_code, "has no user no-such-user-here" in done.output) == (78, True)


def test_a_terminal_without_such_letters_gets_others(idle: Desk) -> None:
    """And file names it cannot show are escaped."""
    idle.drop("звонок")
    idle.configure()
    line = ("check", "--config", idle.config_path, "--file", idle.folder / "звонок.wav")
    with program(*line, PYTHONIOENCODING="ascii", PYTHONUTF8="0") as child:
        output, errors = child.communicate(timeout=120)
    assert (child.returncode, errors) == (0, "")
    assert "ok It can be sent" in output


# --- completion ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("speechsense-watch re", {"retry", "resolve", "resume", "restore"}),
        ("speechsense-watch retry --state re", {"ready", "refused"}),
        ("speechsense-watch upload --d", {"--dry-run"}),
    ],
)
def test_the_shell_completes(words: str, expected: set[str]) -> None:
    """Commands, options and states."""
    typed = words.split()
    environ = {
        "_SPEECHSENSE_WATCH_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(typed) - 1),
    }
    with program(**environ) as child:
        output, _ = child.communicate(timeout=120)
    assert {line.partition(",")[2] for line in output.split()} == expected


def test_the_completion_is_bash() -> None:
    """What the help tells to evaluate is a script that bash takes."""
    with program(_SPEECHSENSE_WATCH_COMPLETE="bash_source") as child:
        script, _ = child.communicate(timeout=120)
    assert "complete -o nosort -F" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("command", [("retry",), ("skip",), ("resolve", "--resend")])
def test_a_number_beyond_every_row_is_refused(idle: Desk, command: tuple[str, ...]) -> None:
    """As a wrong argument, not with a traceback."""
    idle.played()
    done = idle.call(*command, str(10**30))
    assert done.exit_code == 2
    assert "is not in the range" in done.output


def test_check_finds_a_damaged_queue(idle: Desk) -> None:
    """A page overwritten in the middle: not in order, and what to do."""
    idle.played()
    with idle.queue_path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(b"\xa5" * (min(size, 64 * 4096) - 4096))
    done = idle.call("check")
    assert "is in order" not in done.output
    assert "A damaged queue" in done.output
    assert done.exit_code == 78


def test_check_finds_a_full_disk(idle: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be sent then."""
    idle.played()
    usage = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    done = idle.call("check")
    assert "is full" in done.output
    assert done.exit_code == 78


def test_the_talk_of_another_recording_is_not_taken(desk: Desk, standin: StandIn) -> None:
    """A slip of the mouse: this one would count as sent, and never be."""
    assert desk.call("upload", desk.drop("sent")).exit_code == 0
    standin.order(Fault("lost_answer"))
    assert desk.call("upload", desk.drop("lost", pcm(seconds=1, seed=5))).exit_code == 76
    (sent, lost) = desk.jobs()
    result = desk.call("resolve", lost.id, "--uploaded", sent.talk_id)
    assert result.exit_code == 1
    assert f"is recording {sent.id} already" in result.output
    assert desk.jobs()[1].state is State.UNCONFIRMED
