"""A daemon that starts without a usable key, or with one that everybody may read, says so at once."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.standin import Rules, StandIn
from support.iam import key_file
from support.rig import Rig
from support.waiting import wait_for

KEY = "AQVNkey"


@pytest.fixture
def key(rig: Rig) -> Path:
    """Where the configuration says that the key lies; nothing lies there."""
    rig.speechsense |= {"auth": "api-key", "api_key_file": str(rig.directory / "api-key")}
    return rig.directory / "api-key"


@pytest.fixture
def nobody() -> Iterator[socket.socket]:
    """Where SpeechSense should be: whoever connects is seen."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        yield listener


def events(rig: Rig, *names: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, rig.log().splitlines()) if line["event"] in names]


def pauses(rig: Rig) -> list[dict[str, Any]]:
    """As the daemon tells them."""
    told: list[dict[str, Any]] = rig.read(lambda queue: queue.runtime()).get("paused", [])
    return told


def status(rig: Rig) -> dict[str, list[dict[str, Any]]]:
    _, output = rig.call("status", "--json")
    told: dict[str, list[dict[str, Any]]] = json.loads(output)
    return told


def write(key: Path, content: str = KEY, mode: int = 0o600) -> None:
    """Whole, as `set-key` does it."""
    new = key.with_suffix(".new")
    new.write_text(f"{content}\n")
    new.chmod(mode)
    new.replace(key)


@pytest.mark.parametrize(
    ("auth", "option", "found", "said", "good"),
    [
        ("api-key", "api_key_file", None, "There is no API key", KEY),
        ("api-key", "api_key_file", " \n", "is empty", KEY),
        ("service-account", "service_account_key_file", None, "There is no service account's key", key_file()),
        ("service-account", "service_account_key_file", "{}", "is not JSON with", key_file()),
    ],
    ids=["no key", "an empty one", "no account's key", "no key in the account's file"],
)
def test_no_key_is_told_at_start_and_when_it_comes_it_goes_on(
    rig: Rig, nobody: socket.socket, auth: str, option: str, found: str | None, said: str, good: str
) -> None:
    """One warning with what to do, and `status` too, while there is nothing to send; nobody is asked for anything."""
    target, file = f"127.0.0.1:{nobody.getsockname()[1]}", rig.directory / "key"
    rig.speechsense |= {"endpoint": target, "iam_endpoint": target, "auth": auth, option: str(file)}
    if found is not None:
        write(file, found)
    rig.start()
    wait_for(lambda: pauses(rig), 20, "it is told")
    (line,) = status(rig)["attention"]
    assert said in line["what"]
    assert str(file) in line["what"]
    (warning,) = [line for line in map(json.loads, rig.log().splitlines()) if line["level"] == "warning"]
    assert (warning["event"], warning["reason"]) == ("service_paused", "no_credentials")
    assert said in warning["message"]
    write(file, good)
    wait_for(lambda: not pauses(rig), 20, "it goes on")
    assert status(rig)["paused"] == []
    assert rig.stop() == 0
    with pytest.raises(BlockingIOError):
        nobody.accept()


def test_the_first_recording_after_the_key_is_sent(rig: Rig, standin: StandIn, key: Path) -> None:
    """Nobody has to tell the daemon, and no probe's time is waited for."""
    key.mkdir()
    rig.upload["retry_max"] = "15m"
    rig.start()
    wait_for(lambda: events(rig, "service_paused"), 20, "it is told")
    assert "not a regular file" in str(events(rig, "service_paused")[0]["message"])
    key.rmdir()
    write(key)
    wait_for(lambda: events(rig, "service_resumed"), 20, "it goes on")
    rig.drop("call")
    rig.wait_for_states(call=State.DONE)
    assert len(standin.calls()) == 1


def test_a_key_that_everybody_may_read_is_told_once(rig: Rig, key: Path) -> None:
    """With what to type; it is used all the same, and a configuration that is read anew changes nothing about it."""
    write(key, mode=0o644)
    rig.start()
    wait_for(lambda: events(rig, "config_warning"), 20, "it is told")
    assert rig.process is not None
    os.kill(rig.process.pid, signal.SIGHUP)
    wait_for(lambda: events(rig, "config_reloaded"), 20, "it is read anew")
    rig.drop("call")
    rig.wait_for_states(call=State.DONE)
    (warning,) = events(rig, "config_warning")
    assert f"`sudo chmod o= {key}`" in str(warning["message"])
    assert KEY not in rig.log()


def test_a_new_key_while_there_is_nothing_to_send_needs_nobody(tmp_path: Path) -> None:
    """`status` no longer asks for what was done; whether it was right, the next recording shows."""
    with StandIn(tmp_path / "service", rules=Rules(keys=frozenset({KEY}))) as standin, Rig(tmp_path, standin.port) as rig:
        key = rig.directory / "api-key"
        key.write_text("AQVNother\n")
        rig.speechsense |= {"auth": "api-key", "api_key_file": str(key)}
        rig.upload["retry_max"] = "15m"
        rig.start()
        rig.drop("call")
        wait_for(lambda: pauses(rig), 20, "the key is refused")
        assert [line["code"] for line in status(rig)["attention"]] == ["paused"]
        assert rig.call("skip", str(rig.jobs()["call.wav"].id))[0] == 0
        write(key)
        wait_for(lambda: not pauses(rig)[0]["needs_operator"], 20, "nobody is needed")
        assert status(rig)["attention"] == []
        (pause,) = status(rig)["paused"]
        assert (pause["reason"], pause["next_probe_at"]) == ("key_refused", None)
        assert "tried again with the next recording that is due" in " ".join(rig.call("status")[1].split())
        rig.drop("other")
        rig.wait_for_states(other=State.DONE)
        wait_for(lambda: not pauses(rig), 20, "it is over")
