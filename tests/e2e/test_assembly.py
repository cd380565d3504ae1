"""Taking over a new configuration: all of it, or none of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.app import Daemon
from speechsense_watch.assembly import Assembly
from speechsense_watch.config import Config, ConfigError, loads
from speechsense_watch.core import pairing
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.log import logger
from speechsense_watch.ports import QueueTrouble

TEXT = """
[speechsense]
endpoint = "127.0.0.1:1"
auth = "none"
plaintext = {plaintext}
ca_file = "{ca_file}"
[queue]
path = "{path}/queue.db"
"""
FOLDER = """
[[folders]]
path = "{path}/{name}"
connection_id = "conn-{name}"
start_from = "all"
"""


def config(path: Path, *names: str, plaintext: bool = True, ca_file: str = "") -> Config:
    text = TEXT.format(path=path, plaintext=str(plaintext).lower(), ca_file=ca_file)
    return loads(text + "".join(FOLDER.format(path=path, name=name) for name in names), path / "config.toml", {})


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Assembly]:
    (tmp_path / "a").mkdir()
    with closing(SqliteQueue(tmp_path / "queue.db")) as queue:
        parts = Assembly(queue, config(tmp_path, "a"), {}, SystemClock(), logger(), lambda _message: None, lambda: None)
        yield parts
        for service in parts.services:
            service.close()
        parts.workers.shutdown(wait=True)
        parts.claims.keep_only(())


def test_a_new_configuration_is_taken_over(parts: Assembly, tmp_path: Path) -> None:
    """A folder whose rules are the same goes on undisturbed; a service without calls is closed at once."""
    kept, old = parts.folders["a"], parts.services[-1]
    parts.adopt(config(tmp_path, "a", "b"))
    assert set(parts.folders) == set(parts.attempts.trees) == {"a", "b"}
    assert parts.folders["a"] is kept
    assert parts.attempts.service is parts.uploader.service is parts.services[-1]
    assert old.closed
    assert parts.services == [parts.services[-1]]


@pytest.mark.parametrize("method", ["first_watched", "reconnect"])
def test_a_queue_that_cannot_be_written_leaves_everything_as_it_was(
    parts: Assembly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The trouble is the caller's to tell."""
    before = (dict(parts.folders), parts.attempts.service, parts.attempts.rules, list(parts.services))

    def locked(*_arguments: object) -> None:
        raise QueueTrouble("The queue: database is locked.")

    monkeypatch.setattr(SqliteQueue, method, locked)
    with pytest.raises(QueueTrouble):
        parts.adopt(config(tmp_path, "a", "b"))
    assert (dict(parts.folders), parts.attempts.service, parts.attempts.rules, list(parts.services)) == before
    assert not parts.services[-1].closed


def test_a_ca_file_that_cannot_be_read_is_an_error_of_the_configuration(parts: Assembly, tmp_path: Path) -> None:
    """With its place; the old service stays."""
    old = parts.services[-1]
    with pytest.raises(ConfigError) as error:
        parts.adopt(config(tmp_path, "a", plaintext=False, ca_file=f"{tmp_path}/none.pem"))
    assert error.value.problems[0].place == "speechsense.ca_file"
    assert parts.services == [old]


@pytest.mark.parametrize("how", ["link", "below a link"])
def test_an_archive_that_is_a_watched_folder_by_another_name_is_refused(parts: Assembly, tmp_path: Path, how: str) -> None:
    """What it takes would be found as new."""
    (tmp_path / "archive").symlink_to(tmp_path / "a")
    archive = tmp_path / "archive" if how == "link" else tmp_path / "archive/old/calls"
    text = TEXT.format(path=tmp_path, plaintext="true", ca_file="") + FOLDER.format(path=tmp_path, name="a")
    text += f'after_upload = "archive"\narchive_to = "{archive}"\n'
    with pytest.raises(ConfigError, match="by a link or a mount"):
        parts.adopt(loads(text, tmp_path / "config.toml", {}))


def test_a_folder_that_is_watched_already_by_another_name_is_refused(parts: Assembly, tmp_path: Path) -> None:
    """Each of its calls would be found twice; everything stays as it was."""
    (tmp_path / "b").symlink_to(tmp_path / "a")
    before = parts.folders
    with pytest.raises(ConfigError, match=f"{tmp_path}/b is the directory that is watched as {tmp_path}/a already"):
        parts.adopt(config(tmp_path, "a", "b"))
    assert parts.folders == before


def test_a_folder_inside_another_by_a_link_is_left_to_it(parts: Assembly, tmp_path: Path) -> None:
    """As it is where the names tell."""
    (tmp_path / "a" / "sales").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a" / "sales")
    parts.adopt(config(tmp_path, "a", "b"))
    assert parts.folders["a"].rules.inner == ("sales",)
    assert not pairing.takes(parts.folders["a"].rules, "sales/call.wav")
    assert parts.attempts.trees["a"].rules.inner == ("sales",)


def test_a_queue_that_cannot_be_written_is_told_at_once(parts: Assembly, monkeypatch: pytest.MonkeyPatch) -> None:
    """When that begins and when it ends: it stands beside the queue, and who writes it there is asleep."""
    told: list[str] = []

    def full() -> None:
        raise QueueTrouble("No room.", full=True)

    monkeypatch.setattr(parts, "_on_unwritable", lambda: told.append("told"))
    with monkeypatch.context() as patched:
        patched.setattr(parts._queue, "make_ready", full)
        parts._upload_step()
        parts._upload_step()
    assert (told, parts.uploader.unwritable) == (["told"], True)
    monkeypatch.setattr(parts.uploader, "_writable_from", 0.0)
    parts._upload_step()
    assert (told, parts.uploader.unwritable) == (["told"] * 2, False)


def test_a_stalled_loop_starves_the_watchdog(parts: Assembly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One loop that hangs is enough: systemd is not told that all is well, and ends the process."""
    fed: list[str] = []
    daemon = Daemon(config(tmp_path, "a"), {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000"}, logger())
    daemon._parts = parts
    daemon._queue = parts._queue
    monkeypatch.setattr(daemon._notifier, "watchdog", lambda: fed.append("fed"))
    daemon._tend(1.0)
    assert fed == ["fed"]
    monkeypatch.setattr(parts.loops["uploader"], "_stalled_after_s", -1000.0)
    daemon._tend(1.0)
    assert fed == ["fed"]
