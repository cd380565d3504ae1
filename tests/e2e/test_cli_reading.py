"""`status`, `list` and `show`, as they are typed: against a real queue, real files and a real lock."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from speechsense_watch import cli
from speechsense_watch.cli import status
from speechsense_watch.cli.words import EVENTS, event_in_words, printable, when
from speechsense_watch.config import load
from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import Event
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.edge import lock
from speechsense_watch.edge.clock import SystemClock
from support.bad_inputs import good_sidecar
from support.manual_clock import ManualClock
from support.played_queue import FIELDS, PlayedQueue
from support.wavs import pcm, sox_open

ON_A_TERMINAL = {"FORCE_COLOR": "1", "COLUMNS": "80", "LINES": "50", "TERM": "xterm-256color"}
PAUSE = {
    "scope": "service",
    "reason": "key_refused",
    "message": "SpeechSense said UNAUTHENTICATED: no",
    "since": "2026-03-01T08:00:00+00:00",
    "next_probe_at": "2026-03-01T09:00:30+00:00",
    "needs_operator": True,
}


class Desk:
    """An operator's desk: a configuration with two folders, a queue, and the program."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls, self.more = directory / "calls", directory / "more"
        for folder in (self.calls, self.more):
            folder.mkdir()
        self.queue_path = directory / "state" / "queue.db"
        self.queue_path.parent.mkdir()
        self.config_path = directory / "config.toml"
        self.config_path.write_text(
            f'[speechsense]\nendpoint = "127.0.0.1:1"\nauth = "none"\nplaintext = true\n[queue]\npath = "{self.queue_path}"\n'
            f'[[folders]]\npath = "{self.calls}"\nconnection_id = "conn-1"\nstart_from = "now"\n'
            'exclude = ["*/private/*", "secret"]\n'
            f'[[folders]]\npath = "{self.more}"\nconnection_id = "conn-2"\nstart_from = "all"\n'
            'on_unknown = "hold"\nrecursive = false\n'
        )
        self.clock = ManualClock(datetime.now(UTC) - timedelta(hours=3))

    def type(self, *arguments: str, environ: dict[str, str] | None = None) -> Result:
        """What happens after Enter, outside a terminal unless `environ` says otherwise."""
        variables = {"SPEECHSENSE_WATCH_CONFIG": str(self.config_path), **(environ or {})}
        result = CliRunner().invoke(cli.group, arguments, env=variables)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        result = self.type(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Desk(tmp_path)


@pytest.fixture
def played(desk: Desk) -> Iterator[PlayedQueue]:
    queue = PlayedQueue(desk.queue_path, desk.clock)
    yield queue
    queue.queue.close()


def beat(played: PlayedQueue, age: timedelta = timedelta(seconds=5), **told: object) -> None:
    at = (datetime.now(UTC) - age).isoformat()
    played.queue.set_runtime("daemon", {"heartbeat_at": at, "version": "0.1.0", "pid": 1, **told})


@pytest.fixture
def daemon(desk: Desk, played: PlayedQueue) -> Iterator[Callable[[timedelta], None]]:
    """A daemon's lock, and its heartbeat whenever it is called."""
    with lock.acquire(f"{desk.queue_path}.lock", SystemClock()):
        beat(played)
        yield lambda age: beat(played, age)


# --- status ----------------------------------------------------------------------------------


def test_before_the_first_start_status_shows_an_empty_queue_and_creates_nothing(desk: Desk) -> None:
    """Nothing is uploaded without a daemon, and that is what it says."""
    before = sorted(desk.directory.rglob("*"))
    told = desk.json("status", code=2)
    assert told["counts"] == {state.value: 0 for state in State}
    assert told["daemon"] == {"running": False, "responding": False, "version": None, "heartbeat_at": None}
    assert (told["attention"], told["paused"], told["rate_per_minute"], told["last_upload_at"]) == ([], [], 0.0, None)
    shown = desk.type("status").stdout
    assert "No daemon is running: nothing is uploaded" in shown
    assert "sudo systemctl start speechsense-watch" in shown
    assert desk.type("list").exit_code == 0
    assert sorted(desk.directory.rglob("*")) == before


def test_all_is_well(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """A daemon runs, recordings wait or went through: exit code 0."""
    played.done("a")
    played.found("b")
    result = desk.type("status")
    assert result.exit_code == 0
    assert result.stdout.startswith("Nothing needs you.\n")
    assert "running, version 0.1.0, last heartbeat 5 s ago" in result.stdout


def test_status_as_json_has_every_key_of_the_contract(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Scripts are written against these."""
    played.of_each_state()
    played.queue.set_runtime(
        "folder:calls",
        {
            "path": str(desk.calls),
            "detection": "polling",
            "detection_reason": "nfs",
            "found_by_scan": 2,
            "overflows": 1,
            "watch_restarts": 2,
            "scanned_at": "2026-03-01T09:30:00+00:00",
            "last_seen_at": "2026-03-01T09:00:00+00:00",
            "unmatched": 3,
            "left_alone": 4,
            "away": "",
            "unreadable_directories": 0,
            "linked_directories": 1,
            "unmatched_at": "2026-03-02T09:30:00+00:00",
        },
    )
    told = desk.json("status", code=1)
    assert told["counts"] == {state.value: 1 for state in State}
    assert told["oldest_ready_at"] == told["oldest_waiting_at"] == told["last_upload_at"]
    assert datetime.fromisoformat(told["oldest_ready_at"]) == desk.clock.now().replace(
        microsecond=desk.clock.now().microsecond // 1000 * 1000
    )
    assert told["folders"][0] == {
        "name": "calls",
        "path": str(desk.calls),
        "detection": "polling",
        "detection_reason": "nfs",
        "found_by_scan": 2,
        "overflows": 1,
        "watch_restarts": 2,
        "scanned_at": "2026-03-01T09:30:00.000Z",
        "last_seen_at": "2026-03-01T09:00:00.000Z",
        "unmatched": 3,
        "left_alone": 4,
        "away": "",
        "unreadable_directories": 0,
        "linked_directories": 1,
        "claimed_twice": False,
    }
    assert told["folders"][1]["detection"] is None
    assert {line["code"] for line in told["attention"]} == {
        "lost",
        "refused",
        "unusable",
        "unmatched",
        "linked_directories",
    }
    assert all(set(line) == {"code", "count", "since", "what", "do"} for line in told["attention"])
    assert told["daemon"]["running"] is True


@pytest.mark.parametrize(
    ("seen_days_ago", "others_days_ago", "needs"),
    [(3, 1, True), (3, 5, False), (0, 0, False), (3, None, False)],
)
def test_files_that_no_rule_takes_need_somebody_when_they_come_instead_of_recordings(
    desk: Desk, played: PlayedQueue, daemon: object, seen_days_ago: int, others_days_ago: int | None, *, needs: bool
) -> None:
    """Not those that were always there, on a Sunday on which nothing comes at all."""
    played.done("a")
    days = {"last_seen_at": seen_days_ago, "unmatched_at": others_days_ago}
    told = {name: (datetime.now(UTC) - timedelta(days=n)).isoformat() for name, n in days.items() if n is not None}
    played.queue.set_runtime("folder:calls", {"path": str(desk.calls), "detection": "polling", "unmatched": 3, **told})
    codes = [line["code"] for line in desk.json("status", code=1 if needs else 0)["attention"]]
    assert codes == ["unmatched"] * needs


def test_a_folder_that_another_daemon_works_is_not_said_to_be_watched(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """It is left alone, which its line says as well."""
    told = {"path": str(desk.calls), "detection": "watching", "away": "Another daemon works this folder.", "claimed_twice": True}
    played.queue.set_runtime("folder:calls", told)
    shown = desk.type("status").stdout
    assert "Another daemon works this folder." in shown
    assert "left alone: another daemon works it" in shown
    assert "watched by events" not in shown


def test_the_rate_is_over_the_last_ten_minutes(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Uploads a minute."""
    played.done("hours-ago")
    played.clock = ManualClock(datetime.now(UTC) - timedelta(minutes=9))
    for stem in "abc":
        played.done(stem)
    assert desk.json("status")["rate_per_minute"] == pytest.approx(0.3)


def test_what_needs_the_operator_comes_first_with_what_to_type(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Exit code 1, and the command names the configuration where this one was named by hand."""
    job = played.refused("a")
    for arguments, command in (
        ((), f"speechsense-watch show {job.id}"),
        (("--config", str(desk.config_path)), f"speechsense-watch show {job.id} --config {desk.config_path}"),
    ):
        result = desk.type("status", *arguments)
        assert result.exit_code == 1
        lines = result.stdout.splitlines()
        assert lines[0] == "Needs you"
        assert "1 recording of calls was refused by SpeechSense. SpeechSense said INVALID_ARGUMENT: date is lacking" in lines[1]
        assert lines[2].strip() == f"-> {command}"


def test_a_pause_of_the_service_stops_uploads(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Exit code 2; the reason, and what to do about it."""
    played.queue.set_runtime("paused", [PAUSE])
    told = desk.json("status", code=2)
    assert told["paused"] == [{**PAUSE, "since": "2026-03-01T08:00:00.000Z", "next_probe_at": "2026-03-01T09:00:30.000Z"}]
    assert told["attention"][0]["code"] == "paused"
    shown = desk.type("status").stdout
    assert "All uploads stand still. SpeechSense said UNAUTHENTICATED: no. Put a valid key in place" in shown
    assert "All uploads paused" in shown


def test_an_outage_needs_nobody_but_uploads_are_stopped(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """It goes on by itself: no line of attention, exit code 2 all the same."""
    played.queue.set_runtime("paused", [{**PAUSE, "reason": "unreachable", "needs_operator": False}])
    assert desk.json("status", code=2)["attention"] == []
    shown = desk.type("status").stdout
    assert shown.startswith("Uploads stand still. Nothing needs you as yet")
    assert "Check the network" in shown


def test_the_pause_of_one_connection_leaves_the_others(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Exit code 1 when it needs the operator, 0 when it does not."""
    for needed, code in ((True, 1), (False, 0)):
        played.queue.set_runtime("paused", [{**PAUSE, "scope": "conn-1", "needs_operator": needed}])
        assert desk.type("status").exit_code == code


def test_a_daemon_that_is_gone_left_no_pauses(desk: Desk, played: PlayedQueue) -> None:
    """What it said of itself may be long out of date; that it is gone is what counts."""
    beat(played)
    played.queue.set_runtime("paused", [PAUSE])
    told = desk.json("status", code=2)
    assert (told["paused"], told["attention"], told["folders"][0]["detection"]) == ([], [], "down")


def test_the_root_of_a_folder_is_away(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """As the daemon told it."""
    played.queue.set_runtime(
        "folder:more", {"path": str(desk.more), "away": "the folder does not exist", "unreadable_directories": 1}
    )
    codes = [line["code"] for line in desk.json("status", code=1)["attention"]]
    assert codes == ["folder_away", "directories_unreadable"]


def test_what_the_daemon_told_of_another_directory_is_not_told_of_this_one(
    desk: Desk, played: PlayedQueue, daemon: object
) -> None:
    """The folder's path was changed and the daemon has not read the configuration anew."""
    played.queue.set_runtime("folder:more", {"path": "/elsewhere", "detection": "watching", "away": "it is gone"})
    told = desk.json("status")
    assert (told["folders"][1]["detection"], told["attention"]) == (None, [])


@pytest.mark.parametrize("told", ["nonsense", [], {"paused": 1}, {"heartbeat_at": 7}, {"heartbeat_at": "soon"}, {"every_s": "x"}])
def test_whatever_stands_in_the_runtime_table_status_goes_on(
    desk: Desk, played: PlayedQueue, daemon: object, told: object
) -> None:
    """Another version may write other things there."""
    for key in ("daemon", "paused", "folder:calls"):
        played.queue.set_runtime(key, told)
    assert desk.type("status").exit_code == 2


@pytest.mark.parametrize(
    ("age_s", "code", "sentence"),
    [(5, 0, "alive: the daemon runs"), (179, 0, "alive"), (181, 2, "not alive: a daemon is running")],
)
def test_alive_asks_for_the_lock_and_a_fresh_heartbeat(
    desk: Desk, daemon: Callable[[timedelta], None], age_s: int, code: int, sentence: str
) -> None:
    """Fresh is under three minutes old; one line."""
    daemon(timedelta(seconds=age_s))
    result = desk.type("status", "--alive")
    assert (result.exit_code, result.stdout.count("\n")) == (code, 1)
    assert result.stdout.startswith(sentence)


@pytest.mark.parametrize(("age_s", "code"), [(3600 + 119, 0), (3600 + 121, 2)])
def test_a_heart_that_beats_rarely_says_so(desk: Desk, played: PlayedQueue, daemon: object, age_s: int, code: int) -> None:
    """Where rescans are rare, so are its beats; two minutes late is late all the same."""
    beat(played, timedelta(seconds=age_s), every_s=3600.0)
    assert desk.type("status", "--alive").exit_code == code


def test_alive_never_says_1(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Health checks do not care for single recordings."""
    played.lost("a")
    assert desk.type("status", "--alive").exit_code == 0


def test_without_a_daemon_nothing_is_alive(desk: Desk, played: PlayedQueue) -> None:
    """However fresh the heartbeat it left."""
    beat(played)
    result = desk.type("status", "--alive")
    assert (result.exit_code, result.stdout) == (2, "not alive: no daemon is running\n")


def test_watching_redraws_until_it_is_broken_off(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Each picture is new; the exit code is that of the last one."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise KeyboardInterrupt
        played.lost("meanwhile")

    out = io.StringIO()
    screen = Console(file=out, force_terminal=True, width=80, height=60)
    config = load(desk.config_path, {})
    assert status._watch(config, None, screen, wait) == 1
    assert waited == [2.0, 2.0]
    assert out.getvalue().index("Nothing needs you") < out.getvalue().index("vanished before it was sent.")


def test_outside_a_terminal_watching_is_one_picture(desk: Desk) -> None:
    """It ends by itself."""
    assert desk.type("status", "--watch").stdout.count("Daemon") == 1


def test_options_that_exclude_each_other(desk: Desk) -> None:
    """Told as such, not guessed."""
    assert "do not go together" in desk.type("status", "--json", "--alive").output


# --- list ------------------------------------------------------------------------------------


def test_a_list_outside_a_terminal_is_a_line_a_recording(desk: Desk, played: PlayedQueue) -> None:
    """Newest first, whole paths never wrapped, what became of each."""
    long = "2025/" + "x" * 200
    played.done("a")
    played.found("b")
    played.refused(long)
    lines = desk.type("list").stdout.splitlines()
    assert len(lines) == 3
    assert f"{desk.calls}/{long}.wav  SpeechSense said INVALID_ARGUMENT: date is lacking" in lines[0]
    assert lines[1].endswith(f"{desk.calls}/b.wav  waiting for its metadata")
    assert lines[2].endswith(f"{desk.calls}/a.wav  talk talk-a")
    assert lines[2].split()[:2] == ["1", "done"]


def test_every_job_is_one_json_object_a_line(desk: Desk, played: PlayedQueue) -> None:
    """With all keys of the contract, whatever the state."""
    jobs = played.of_each_state()
    lines = desk.type("list", "--json").stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert {entry["state"] for entry in told} == {state.value for state in State}
    keys = {
        *("id", "state", "folder", "audio_path", "metadata_path", "connection_id", "talk_id", "uid", "attempts", "created_at"),
        *("updated_at", "next_attempt_at", "reason", "message", "hint", "possible_duplicate", "changed_after_upload", "audio"),
        "fields",
    }
    assert all(keys <= set(entry) for entry in told)
    done = next(entry for entry in told if entry["state"] == "done")
    job = jobs[State.DONE]
    assert (done["id"], done["audio_path"], done["metadata_path"]) == (
        job.id,
        f"{desk.calls}/done.wav",
        f"{desk.calls}/done.json",
    )
    assert (done["talk_id"], done["uid"], done["fields"]) == ("talk-done", job.uid, dict(FIELDS))
    assert job.audio
    assert done["audio"] == {
        "bytes": 32044,
        "sha256": job.audio.sha256,
        "duration_s": 1.0,
        "channels": 2,
        "sample_rate_hz": 8000,
    }
    waiting = next(entry for entry in told if entry["state"] == "waiting")
    assert (waiting["metadata_path"], waiting["reason"], waiting["talk_id"]) == (None, "metadata_missing", None)
    assert waiting["hint"].startswith("Does the recorder write a metadata file")


def test_a_name_that_is_no_utf8_survives_json(desk: Desk, played: PlayedQueue) -> None:
    """As an escape from which a script gets the bytes back."""
    played.ready("call-\udcff")
    result = desk.type("list", "--json")
    assert "call-\\udcff.wav" in result.stdout
    assert json.loads(result.stdout)["audio_path"] == f"{desk.calls}/call-\udcff.wav"


def test_no_name_can_play_tricks_on_the_terminal(desk: Desk, played: PlayedQueue) -> None:
    """Control characters, bidirectional marks and style tags in names are printed as what they are."""
    played.ready("a\x1b[31m\n\u202e[bold]\udcff")
    for environ in ({}, {**ON_A_TERMINAL, "COLUMNS": "200"}):
        shown = desk.type("list", environ=environ).stdout
        assert r"a\x1b[31m\n\u202e[bold]\xff.wav" in shown


def test_a_list_is_chosen_on_the_command_line(desk: Desk, played: PlayedQueue) -> None:
    """State, folder, time, text, number; an absolute path is looked for below its root."""
    played.ready("old")
    played.folder = "more"
    played.clock = ManualClock(datetime.now(UTC) - timedelta(minutes=10))
    played.ready("new")
    played.refused("other")

    def listed(*arguments: str) -> list[str]:
        return [Path(json.loads(line)["audio_path"]).stem for line in desk.type("list", "--json", *arguments).stdout.splitlines()]

    assert listed("--state", "ready") == ["new", "old"]
    assert listed("--state", "ready", "--state", "refused") == ["other", "new", "old"]
    assert listed("--folder", "calls") == ["old"]
    assert listed("--since", "1h") == ["other", "new"]
    assert listed("--since", "2020-01-01") == ["other", "new", "old"]
    assert listed("--since", (datetime.now(UTC) - timedelta(hours=1)).isoformat()) == ["other", "new"]
    assert listed("--match", "OLD") == ["old"]
    assert listed("--match", f"{desk.more}/ne") == ["new"]
    assert listed("--limit", "1") == ["other"]
    assert listed("--limit", "0") == ["other", "new", "old"]


def test_fifty_unless_told(desk: Desk, played: PlayedQueue) -> None:
    """On a terminal it says that there are more."""
    for number in range(51):
        played.found(str(number))
    assert len(desk.type("list").stdout.splitlines()) == 50
    assert "These are the newest 50; --limit 0 shows all." in desk.type("list", environ=ON_A_TERMINAL).stdout
    assert "--limit 0" not in desk.type("list", "--limit", "51", environ=ON_A_TERMINAL).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--state", "finished"), "'finished' is not one of"),
        (("--folder", "nope"), "there is no folder 'nope'; there are: calls, more."),
        (("--since", "yesterday"), "is neither a duration"),
        (("--since", "999999999d"), "is neither a duration"),
        (("--limit", "-1"), "-1 is not in the range"),
    ],
)
def test_a_choice_that_cannot_be_is_told(desk: Desk, played: PlayedQueue, arguments: tuple[str, ...], said: str) -> None:
    """With what would be right."""
    result = desk.type("list", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_an_empty_list_says_so_beside_the_output(desk: Desk, played: PlayedQueue) -> None:
    """Exit code 0 and nothing on standard output."""
    for arguments, said in (((), "There are no recordings yet."), (("--state", "lost"), "There is no such recording.")):
        result = desk.type("list", *arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{said}\n")


# --- show ------------------------------------------------------------------------------------


def test_a_recording_is_shown_by_number_talk_id_and_either_path(
    desk: Desk, played: PlayedQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absolute, or relative to where one stands."""
    job = played.done("a")
    monkeypatch.chdir(desk.calls)
    for name in (str(job.id), "talk-a", f"{desk.calls}/a.wav", f"{desk.calls}/a.json", "a.wav", "./a.json", "../calls/a.wav"):
        assert desk.json("show", name)["id"] == job.id, name


def test_the_other_half_of_a_waiting_recording_leads_to_it_too(desk: Desk, played: PlayedQueue) -> None:
    """Its row does not name the metadata yet."""
    job = played.found("a")
    assert job.metadata_path is None
    assert desk.json("show", f"{desk.calls}/a.json")["id"] == job.id


def test_a_path_through_a_link_leads_to_its_recording(desk: Desk, played: PlayedQueue) -> None:
    """/var/spool is a link on some systems."""
    job = played.done("a")
    link = desk.directory / "link"
    link.symlink_to(desk.calls)
    assert desk.json("show", f"{link}/a.wav")["id"] == job.id


def test_a_recording_is_found_where_it_was_filed(desk: Desk, played: PlayedQueue) -> None:
    """Its place in the archive leads to it as well."""
    job = played.apply(lifecycle.filing(played.uploaded("a"), "/archive/a.wav", "/archive/a.json", desk.clock.now()))
    assert desk.json("show", "/archive/a.json")["id"] == job.id


def test_a_recording_outside_every_folder_is_found_by_its_path(desk: Desk, played: PlayedQueue) -> None:
    """As `upload` leaves it: a place of no folder, with an absolute path, which is told as it is."""
    played.folder = ""
    played.done("/elsewhere/a")
    told = desk.json("show", "/elsewhere/a.wav")
    assert (told["folder"], told["audio_path"]) == ("", "/elsewhere/a.wav")


def test_show_as_json_adds_every_event_and_try(desk: Desk, played: PlayedQueue) -> None:
    """With all keys of the contract."""
    told = desk.json("show", str(played.done("a").id))
    assert [event["event"] for event in told["events"]] == ["found", "completed", "committing", "accepted", "filed"]
    assert told["events"][3] == {
        "at": told["updated_at"],
        "event": "accepted",
        "from": "committing",
        "to": "uploaded",
        "detail": "talk-a",
    }
    (attempt,) = told["attempt_log"]
    assert attempt == {
        "n": 1,
        "started_at": told["updated_at"],
        "ended_at": told["updated_at"],
        "request_id": "request-1-1",
        "server_request_id": "server-a",
        "code": "OK",
        "message": "",
        "bytes_sent": 32044,
        "verdict": "accepted",
    }


def test_show_tells_the_whole_story(desk: Desk, played: PlayedQueue) -> None:
    """State in words, why, what to do and to type, what is sent, each try and event."""
    job = played.refused("a")
    shown = desk.type("show", str(job.id)).stdout
    assert shown.startswith(
        f"Recording {job.id}: refused by SpeechSense\nSpeechSense said INVALID_ARGUMENT: date is lacking\nMend what"
    )
    for part in (
        f"Audio       {desk.calls}/a.wav",
        "1 s, 2 channels, 8 kHz, 31.3 KiB",
        f"->  speechsense-watch retry {job.id}  tries again, when it is mended",
        "client_id    +79990000000",
        "refused: INVALID_ARGUMENT: date is lacking",
        "request request-1-1",
        "last byte leaves  committing  attempt 1",
        "3 h ago",
    ):
        assert part in shown


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_be_shown(desk: Desk, played: PlayedQueue, state: State) -> None:
    """In both ways, with the commands that this state allows."""
    job = played.of_each_state()[state]
    for environ in ({}, ON_A_TERMINAL):
        result = desk.type("show", str(job.id), environ=environ)
        assert (result.exit_code, result.stderr) == (0, "")
        assert f"Recording {job.id}: " in result.stdout


def test_a_double_and_a_changed_recording_are_told(desk: Desk, played: PlayedQueue) -> None:
    """With what `retry` and `skip` mean for it."""
    job = played.changed("a")
    shown = desk.type("show", str(job.id)).stdout
    assert "done, but changed after the upload" in shown
    assert f"speechsense-watch skip {job.id}" in shown


@pytest.mark.parametrize("name", ["99", "talk-none", "99999999999999999999999", "/etc/passwd", ""])
def test_what_is_unknown_ends_with_1(desk: Desk, played: PlayedQueue, name: str) -> None:
    """With a sentence and without output."""
    result = desk.type("show", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr


# --- show: what is not on record yet ---------------------------------------------------------


def unrecorded(desk: Desk, path: Path) -> dict[str, Any]:
    told = desk.json("show", str(path), code=1)
    assert isinstance(told, dict)
    return told


def test_audio_that_waits_for_its_metadata(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """What is there, what is missing, and that it will be taken by itself."""
    audio = desk.calls / "a.wav"
    audio.write_bytes(pcm())
    told = unrecorded(desk, audio)
    assert (told["folder"], told["kind"], told["exists"], told["path"]) == ("calls", "audio", True, str(audio))
    assert told["seen"] == ["The audio, a.wav: 32,044 bytes, changed just now."]
    assert told["missing"] == ["The metadata, a.json, is not there."]
    assert "taken by itself" in told["next"][0]
    assert "Not on record: " in desk.type("show", str(audio)).stdout


def test_a_whole_recording_within_its_quiet_period(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """It can be sent, and is looked at when it was left alone for long enough."""
    (desk.calls / "a.wav").write_bytes(pcm())
    (desk.calls / "a.json").write_bytes(good_sidecar())
    for name in ("a.wav", "a.json"):
        told = unrecorded(desk, desk.calls / name)
        assert told["missing"] == []
        assert told["seen"][-1] == "Both can be read and sent: 1 s of audio."
        assert "left alone for 10 s first (`quiet_period`)" in told["next"][0]


def test_without_a_daemon_nobody_looks(desk: Desk, played: PlayedQueue) -> None:
    """And that is what it says."""
    (desk.calls / "a.wav").write_bytes(pcm())
    assert "No daemon is running" in unrecorded(desk, desk.calls / "a.wav")["next"][-1]


def test_a_recording_that_cannot_be_sent(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """The reason and what to do are told before the daemon has come to it."""
    (desk.calls / "a.wav").write_bytes(pcm(channels=1))
    (desk.calls / "a.json").write_bytes(good_sidecar())
    told = unrecorded(desk, desk.calls / "a.wav")
    assert told["seen"][-1] == "The audio has 1 channel; a two-channel connection needs 2."
    assert "number of channels" in told["next"][0]


def test_a_recording_older_than_start_from_is_left_alone(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """From when the folder was first watched; in a folder that takes all it is not."""
    played.queue.first_watched("calls", str(desk.calls), datetime.now(UTC))
    for folder, left_alone in ((desk.calls, True), (desk.more, False)):
        audio = folder / "old.wav"
        audio.write_bytes(pcm())
        os.utime(audio, (1_600_000_000, 1_600_000_000))
        assert unrecorded(desk, audio)["next"][0].startswith("It is older than `start_from`") is left_alone


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("calls/a.wav.part", "unfinished", "not finished"),
        ("calls/2025/private/a.wav", "left_out", "`exclude`"),
        ("calls/secret/a.wav", "left_out", "`exclude`"),
        ("calls/.hidden/a.wav", "left_out", "hidden"),
        ("more/sub/a.wav", "left_out", "recursive = false"),
        ("calls/a.mp3", "other", "neither that of audio nor of metadata"),
    ],
)
def test_a_name_that_is_never_taken(desk: Desk, name: str, kind: str, said: str) -> None:
    """Which rule is behind it."""
    told = unrecorded(desk, desk.directory / name)
    assert (told["kind"], told["exists"]) == (kind, False)
    assert said in told["seen"][0]


def test_an_ending_that_no_rule_names_is_pointed_out(desk: Desk) -> None:
    """A recorder that writes MP3, and a rule that says WAV."""
    assert "add its ending to `audio`, which is now *.wav" in unrecorded(desk, desk.calls / "a.mp3")["next"][0]


def test_a_file_that_is_not_there_and_one_that_is_no_file(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Missing is missing; a link is never followed."""
    told = unrecorded(desk, desk.calls / "none.wav")
    assert (told["exists"], told["missing"][0]) == (False, "The audio, none.wav, is not there.")
    (desk.calls / "link.wav").symlink_to("/etc/passwd")
    assert "is a symbolic link" in unrecorded(desk, desk.calls / "link.wav")["missing"][0]


@pytest.mark.parametrize("name", ["linkdir", "linkdir/x.wav", "linkdir/deep/x.json", "linkdir/notes.txt"])
def test_below_a_link_nothing_is_promised(desk: Desk, played: PlayedQueue, daemon: object, name: str) -> None:
    """Nor of the link itself: it is never followed, and what it leads to needs a folder of its own."""
    other = desk.directory / "other disk"
    other.mkdir()
    (desk.calls / "linkdir").symlink_to(other)
    (other / "x.wav").write_bytes(pcm())
    told = unrecorded(desk, desk.calls / name)
    assert told["kind"] == "linked"
    assert told["seen"] == [f"linkdir is a symbolic link to the directory {other}, and links are never followed."]
    assert told["next"] == [f"Nothing below it is seen: watch {other} by a [[folders]] of its own."]
    assert told["missing"] == []


def test_what_a_link_leads_to_may_be_watched(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Then its recordings are taken there."""
    (desk.calls / "linkdir").symlink_to(desk.more)
    (desk.calls / "nowhere").symlink_to(desk.directory / "none")
    told = unrecorded(desk, desk.calls / "linkdir")
    assert told["next"] == [f"What it leads to is watched: recordings are taken there, as those of {desk.more}."]
    assert unrecorded(desk, desk.calls / "nowhere")["kind"] == "other"
    assert "is a symbolic link to" in unrecorded(desk, desk.calls / "nowhere" / "x.wav")["seen"][0]


def test_of_two_folders_one_in_the_other_the_inner_one_is_named(desk: Desk) -> None:
    """Its rules are the more special ones."""
    inner = desk.calls / "inner"
    inner.mkdir()
    with desk.config_path.open("a") as file:
        file.write(f'[[folders]]\npath = "{inner}"\nconnection_id = "conn-3"\nstart_from = "all"\n')
    assert unrecorded(desk, inner / "a.wav")["folder"] == "inner"


def test_a_root_that_is_away(desk: Desk) -> None:
    """Then nothing can be said of the file."""
    desk.calls.rmdir()
    assert "root is away" in unrecorded(desk, desk.calls / "a.wav")["seen"][0]


def test_what_each_rule_says_of_a_path(desk: Desk) -> None:
    """In the order in which they decide, up to the one that leaves it out."""
    rules = unrecorded(desk, desk.calls / "2025" / "a.wav")["rules"]
    assert rules == [
        f'path: "{desk.calls}" is the nearest watched folder above it, so "calls" owns it',
        'exclude: none of "*/private/*", "secret" matches',
        'audio: "*.wav" matches',
        'metadata: by "{stem}.json" it is 2025/a.json',
    ]
    assert unrecorded(desk, desk.calls / "a.json")["rules"][-1].startswith('metadata: by "{stem}.json" it belongs to a.wav')
    assert unrecorded(desk, desk.calls / "secret" / "a.wav")["rules"][-1].startswith("`exclude`")
    assert unrecorded(desk, desk.calls / ".a.wav")["rules"][-1].startswith("name: ")


def test_a_directory_is_not_nothing(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """What is on record below it, whether it is entered, and when it is looked at next."""
    (desk.calls / "2025" / "04").mkdir(parents=True)
    played.refused("2025/04/a")
    played.done("2025/b")
    played.done("20250")
    told = unrecorded(desk, desk.calls / "2025")
    assert (told["kind"], told["exists"], told["folder"]) == ("directory", True, "calls")
    assert told["seen"] == ["Recordings on record below it: 2 (1 done, 1 refused)."]
    assert told["next"][-1] == "The next scan comes within 1 min."
    assert unrecorded(desk, desk.calls / "2025" / "04")["seen"] == ["Recordings on record below it: 1 (1 refused)."]
    (desk.calls / "secret").mkdir()
    assert unrecorded(desk, desk.calls / "secret")["next"] == ["Nothing in it is taken, unless the folder's rules are changed."]


def test_a_folders_root_tells_how_it_is_watched(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """And when the daemon looked through it last."""
    played.queue.set_runtime(
        "folder:calls",
        {
            "path": str(desk.calls),
            "detection": "polling",
            "detection_reason": "nfs",
            "scanned_at": (datetime.now(UTC) - timedelta(seconds=40)).isoformat(),
        },
    )
    told = unrecorded(desk, desk.calls)
    assert told["kind"] == "directory"
    assert told["seen"][-1] == "It is the folder's root: polled (nfs)."
    assert re.fullmatch(r"The next scan comes within 1 min of the last one, which ended 4\d s ago\.", told["next"][-1])
    assert "A watched directory: " in desk.type("show", str(desk.calls)).stdout


@pytest.mark.parametrize(
    ("unfinished", "then"), [("report", "reported as unusable"), ("repair", "sent with a corrected header (`unfinished`)")]
)
def test_a_recording_that_waits_says_for_how_long(
    desk: Desk, played: PlayedQueue, daemon: object, unfinished: str, then: str
) -> None:
    """On record or not: what comes next, and when."""
    text = desk.config_path.read_text().replace("[[folders]]\n", f'[[folders]]\nunfinished = "{unfinished}"\n', 1)
    desk.config_path.write_text(text)
    (desk.calls / "a.wav").write_bytes(sox_open())
    (desk.calls / "a.json").write_bytes(good_sidecar())
    waited = unrecorded(desk, desk.calls / "a.wav")["next"]
    assert any(sentence.endswith(f"(`abandon_after`), it is {then}.") for sentence in waited)
    played.found("a", Reason.HEADER_UNFINISHED, "Its header was never finished.")
    on_record = desk.json("show", str(desk.calls / "a.wav"))["next"]
    assert any(sentence.endswith(f"(`abandon_after`), it is {then}.") for sentence in on_record)
    assert "it is " in desk.type("show", str(desk.calls / "a.wav")).stdout


# --- presentation ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("status",), ("list",), ("show", "12")])
def test_at_80_columns_no_line_is_longer(desk: Desk, played: PlayedQueue, daemon: object, command: tuple[str, ...]) -> None:
    """Long names are folded inside their column."""
    played.of_each_state()
    played.refused("2025/04/24/" + "very-long-name-" * 8)
    for number in range(12):
        played.unusable(f"mono-{number}", Reason.WRONG_CHANNELS)
    plain = desk.type(*command, environ={**ON_A_TERMINAL, "NO_COLOR": "1", "TERM": "dumb"}).stdout
    assert max(map(len, plain.splitlines())) <= 80
    assert "very-long-name" in plain or command == ("status",)


@pytest.mark.parametrize("command", [("status",), ("list",), ("show", "1")])
def test_colours_only_on_a_terminal_that_wants_them(
    desk: Desk, played: PlayedQueue, daemon: object, command: tuple[str, ...]
) -> None:
    """Never in a file, never with NO_COLOR."""
    played.refused("a")
    red = "\x1b[31m"
    assert "\x1b" not in desk.type(*command).stdout
    assert red in desk.type(*command, environ=ON_A_TERMINAL).stdout.replace("\x1b[1;31m", red)
    no_colour = desk.type(*command, environ={**ON_A_TERMINAL, "NO_COLOR": "1"}).stdout
    assert not any(f"{digit}m" in part for part in no_colour.split("\x1b[")[1:] for digit in ("31", "32", "33", "36"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (0.4, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (7200, "2 h ago"),
        (86400, "1 day ago"),
        (30 * 86400, "30 days ago"),
        (365 * 86400, "2025-03-01"),
        (-0.4, "in a moment"),
        (-20, "in 20 s"),
        (-2 * 86400, "in 2 days"),
    ],
)
def test_times_are_told_as_people_tell_them(seconds: float, words: str) -> None:
    """Rounded down; far away it is a date."""
    now = datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert when(now, now - timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [("звонок 7.wav", "звонок 7.wav"), ("a\tb", r"a\tb"), ("\x9b31m", r"\x9b31m"), ("\udc80", r"\x80"), ("\u202e", r"\u202e")],
)
def test_text_is_made_harmless(text: str, shown: str) -> None:
    """What is printable stays as it is."""
    assert printable(text) == shown


# --- a queue that cannot be read -------------------------------------------------------------


@pytest.mark.parametrize("command", [("status",), ("status", "--alive"), ("list",), ("show", "1")])
def test_a_queue_of_somebody_else_needs_sudo(
    desk: Desk, played: PlayedQueue, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Exit code 73 and the word to type."""
    monkeypatch.setattr("speechsense_watch.edge.records.os.access", lambda *_: False)
    result = desk.type(*command)
    assert (result.exit_code, result.stdout) == (73, "")
    assert "sudo speechsense-watch" in result.stderr


def test_a_queue_that_is_no_queue(desk: Desk) -> None:
    """A sentence, not a traceback."""
    desk.queue_path.write_bytes(b"this is not a database, but long enough to look like a file of some kind" * 20)
    result = desk.type("status")
    assert result.exit_code == 73
    assert str(desk.queue_path) in result.stderr


def test_a_queue_of_a_newer_version_is_left_alone(desk: Desk, played: PlayedQueue) -> None:
    """Nobody can say what its rows mean."""
    played.queue._db.conn.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('speechsense-watch', 'm999_news', 'now')"
    )
    result = desk.type("list")
    assert result.exit_code == 73
    assert "newer speechsense-watch" in result.stderr


# --- the shell -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("list --state un", {"unconfirmed", "unusable"}),
        ("list --folder ", {"calls", "more"}),
        ("list --folder m", {"more"}),
        ("status --", {"--json", "--watch", "--alive", "--config", "--help"}),
    ],
)
def test_the_shell_completes(desk: Desk, typed: str, offered: set[str]) -> None:
    """States, folders and options."""
    assert completions(desk, typed) == offered


def test_the_shell_completes_nothing_where_the_configuration_is_broken(desk: Desk) -> None:
    """And says nothing either: one is in the middle of typing."""
    desk.config_path.write_text("[")
    assert completions(desk, "list --folder ") == set()


def completions(desk: Desk, typed: str) -> set[str]:
    *words, last = ["speechsense-watch", *typed.split(" ")]
    environ = {
        "_SPEECHSENSE_WATCH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join([*words, last]),
        "COMP_CWORD": str(len(words)),
        "SPEECHSENSE_WATCH_CONFIG": str(desk.config_path),
    }
    result = CliRunner().invoke(cli.group, [], env=environ, prog_name="speechsense-watch")
    return {line.split(",")[1] for line in result.stdout.splitlines() if line}


def test_when_every_connection_pauses_uploads_are_stopped(desk: Desk, played: PlayedQueue, daemon: object) -> None:
    """Nothing can be uploaded then, whatever the pauses are for."""
    for number in (1, 2):
        assert desk.type("status").exit_code == 0
        scopes = [f"conn-{each}" for each in range(1, number + 1)]
        played.queue.set_runtime("paused", [{**PAUSE, "scope": scope, "needs_operator": False} for scope in scopes])
    assert desk.type("status").exit_code == 2


@pytest.mark.parametrize("text", ["x" * 300, "y" * 5000, "sur\udcff.wav"])
def test_what_can_be_no_name_is_told_so(desk: Desk, played: PlayedQueue, text: str) -> None:
    """A sentence, no traceback."""
    result = desk.type("show", text)
    assert result.exit_code == 1
    assert "There is no recording" in result.output


def test_a_recording_of_a_former_folder_is_found_by_its_path(desk: Desk, played: PlayedQueue) -> None:
    """The queue remembers where the folder lay."""
    played.queue.first_watched("calls", str(desk.calls), played.clock.now())
    job = played.done("a")
    desk.config_path.write_text(desk.config_path.read_text().replace(str(desk.calls), str(desk.directory / "elsewhere")))
    assert desk.json("show", str(desk.calls / "a.wav"))["id"] == job.id


def test_a_held_recording_has_no_next_try(desk: Desk, played: PlayedQueue) -> None:
    """It waits for the operator's word; one that is sent again by itself tells when."""
    job = played.unconfirmed("a")
    assert "waits for your" not in desk.type("show", str(job.id)).stdout
    desk.config_path.write_text(
        desk.config_path.read_text().replace('start_from = "now"', 'start_from = "now"\non_unknown = "hold"')
    )
    assert f"waits for your `resolve {job.id}`" in desk.type("show", str(job.id)).stdout


def test_what_is_looked_up_asks_nothing_of_the_operator(desk: Desk, played: PlayedQueue) -> None:
    """As long as looking up works, and is new."""
    job = played.unconfirmed("a")
    search = (
        'start_from = "now"\non_unknown = "search"\nrecording_id_field = "id"\nsearch = { organization_id = "o", space_id = "s" }'
    )
    desk.config_path.write_text(desk.config_path.read_text().replace('start_from = "now"', search))
    shown = desk.type("show", str(job.id)).stdout
    assert "It is looked up in SpeechSense" in shown
    assert "Look in SpeechSense whether" not in shown
    played.queue.set_runtime("look_ups", {job.connection_id: {"trouble": "The key may not search."}})
    assert "Look in SpeechSense whether" in desk.type("show", str(job.id)).stdout


def test_a_forgotten_call_is_offered_no_retry(desk: Desk, played: PlayedQueue) -> None:
    """It would change nothing; who tries is told."""
    job = played.apply(lifecycle.forgotten(played.ready("a"), played.clock.now()))
    shown = desk.type("show", str(job.id)).stdout
    assert "nothing sends this call again" in shown
    assert "retry" not in shown
    refused = desk.type("retry", str(job.id))
    assert (refused.exit_code, "`forget` removed: nothing sends it again" in refused.stderr) == (1, True)
    assert desk.type("retry", "--state", "skipped", "--yes").stdout == "There is no recording that is skipped.\n"
    assert played.queue.job(job.id) == job


@pytest.mark.parametrize("event", Event)
def test_every_event_has_its_words(event: Event) -> None:
    """Else `show` would have nothing to say of a recording's history."""
    assert event_in_words(event.value) != event.value or " " not in event.value
    assert event in EVENTS
