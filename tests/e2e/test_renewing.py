"""A daemon whose tokens renew themselves, and `check` for them: by a real IamTokenService and a real metadata service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result

from speechsense_watch.cli import group
from speechsense_watch.core.model import State
from speechsense_watch.edge import vm_metadata
from speechsense_watch.edge.vm_metadata import VmMetadata
from speechsense_watch.standin import Rules, StandIn
from support.iam import ACCOUNT_ID, KEY_ID, Iam, Metadata, key_file, plain_settings
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm

# Tokens that the service takes; what IAM gives out otherwise, it refuses.
TAKEN = frozenset({"t1.token2", "t1.token3", "t1.vm1"})


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "service", rules=Rules(keys=TAKEN)) as service:
        yield service


@pytest.fixture
def iam() -> Iterator[Iam]:
    with Iam() as iam:
        yield iam


@pytest.fixture
def rig(tmp_path: Path, standin: StandIn, iam: Iam) -> Iterator[Rig]:
    with Rig(tmp_path, standin.port) as rig:
        rig.speechsense |= plain_settings(tmp_path, iam)
        rig.upload["retry_max"] = "15m"
        yield rig


def key_of(rig: Rig) -> Path:
    return Path(str(rig.speechsense["service_account_key_file"]))


def paused(rig: Rig) -> list[str]:
    return [pause["reason"] for pause in rig.read(lambda queue: queue.runtime()).get("paused", [])]


def check(rig: Rig, *arguments: str) -> Result:
    rig.configure()
    result = CliRunner().invoke(group, ["check", "--config", str(rig.config_path), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# --- the daemon ------------------------------------------------------------------------------


def test_recordings_are_sent_with_a_token_that_was_got_by_the_key(rig: Rig, iam: Iam) -> None:
    """Asked for once, and no pause is told while it is on its way."""
    iam.given.append("t1.token1")
    rig.start()
    for seed, name in enumerate(("a", "b", "c")):
        rig.drop(name, pcm(seconds=1, seed=seed))
    rig.wait_for_states(a=State.DONE, b=State.DONE, c=State.DONE)
    assert iam.given == ["t1.token1", "t1.token2"]
    assert "service_paused" not in rig.log()
    assert "auth_refreshed" in rig.log()
    assert not any(secret in rig.log() for secret in ("t1.token", "eyJ", "PRIVATE KEY"))


def test_another_key_of_the_account_ends_the_pause_for_a_refused_token(rig: Rig, iam: Iam) -> None:
    """The file is looked at, the token fetched and the recording sent within seconds, long before the probe that was due."""
    rig.start()
    rig.drop("call")
    wait_for(lambda: paused(rig) == ["key_refused"], 20, "its first token is refused")
    assert iam.given == ["t1.token1"]
    key_of(rig).write_text(key_file(first_line=""))
    due = rig.next_probe_at()
    rig.wait_for_states(call=State.DONE)
    assert rig.jobs()["call.wav"].updated_at < due
    wait_for(lambda: paused(rig) == [], 5, "the pause is over")
    assert iam.given == ["t1.token1", "t1.token2"]


def test_without_a_token_nothing_is_sent_and_the_reason_told(rig: Rig, iam: Iam, standin: StandIn) -> None:
    """A key that IAM does not know any more pauses everything until it is mended; nothing burns an attempt."""
    iam.given.append("t1.token1")
    iam.script.code, iam.script.message = grpc.StatusCode.UNAUTHENTICATED, "key not found"
    rig.start()
    rig.drop("call")
    wait_for(lambda: paused(rig) == ["no_credentials"], 20, "there is no token")
    (pause,) = rig.read(lambda queue: queue.runtime())["paused"]
    assert f"IAM refused the service account's key {KEY_ID} (UNAUTHENTICATED: key not found)." in pause["message"]
    assert pause["needs_operator"]
    assert (rig.states()["call.wav"], standin.calls()) == (State.READY, [])
    iam.script.code = grpc.StatusCode.OK
    rig.wait_for_states(call=State.DONE)
    assert len(iam.shown) <= 5


def test_a_reload_fetches_no_second_token_for_the_same_key(rig: Rig, iam: Iam) -> None:
    """And an IAM that is away then costs nothing."""
    iam.given.append("t1.token1")
    rig.start()
    rig.drop("before")
    rig.wait_for_states(before=State.DONE)
    iam.script.code = grpc.StatusCode.UNAVAILABLE
    rig.upload["concurrency"] = 2
    rig.configure()
    assert rig.process is not None
    rig.process.send_signal(1)
    wait_for(lambda: "config_reloaded" in rig.log(), 10, "it is reloaded")
    rig.drop("after", pcm(seconds=1, seed=1))
    rig.wait_for_states(after=State.DONE)
    assert len(iam.shown) == 1


# --- check -----------------------------------------------------------------------------------


def test_check_tells_the_account_and_the_key(rig: Rig, iam: Iam) -> None:
    """Ids are no secrets; without --online IAM is not asked."""
    result = check(rig)
    assert f"key: found in {key_of(rig)} (service account {ACCOUNT_ID}, key {KEY_ID})." in result.output
    assert (result.exit_code, iam.shown) == (0, [])
    key_of(rig).chmod(0o644)
    assert "everybody on this machine may get at the service account's key" in check(rig).output
    key_of(rig).write_text("AQVNnotjson")
    result = check(rig)
    assert (result.exit_code, "is not JSON with `id`" in result.output, "AQVN" in result.output) == (78, True, False)


def test_check_online_tries_the_exchange(rig: Rig, iam: Iam) -> None:
    """Then the token is shown to SpeechSense."""
    iam.given.append("t1.token1")
    result = check(rig, "--online")
    assert f"key: an IAM token came by {key_of(rig)}." in result.output
    assert "it answers and takes the key for reading." in result.output
    assert (result.exit_code, iam.given) == (0, ["t1.token1", "t1.token2"])
    assert "t1.token" not in result.output


def test_check_online_asks_for_look_ups_with_a_token_too(rig: Rig, iam: Iam) -> None:
    """Whoever uploads by tokens looks up by them."""
    iam.given.append("t1.token1")
    rig.rules |= {"on_unknown": "search", "recording_id_field": "recording_id"}
    rig.tables = '[folders.search]\norganization_id = "org"\nspace_id = "space"\n'
    result = check(rig, "--online")
    assert "the key may search" in result.output
    assert result.exit_code == 0, result.output


def test_check_online_tells_why_there_is_no_token(rig: Rig, iam: Iam) -> None:
    """As the daemon would."""
    iam.script.code, iam.script.message = grpc.StatusCode.UNAUTHENTICATED, "key not found"
    result = check(rig, "--online")
    assert result.exit_code == 78
    assert "Check this machine's clock" in result.output


def test_check_online_asks_the_metadata_service(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the machine it runs on, for which there is nothing to configure."""
    rig.speechsense["auth"] = "vm-metadata"
    with Metadata() as metadata:
        monkeypatch.setattr(vm_metadata, "VmMetadata", lambda: VmMetadata(metadata.address))
        assert "`check --online` asks it for one." in check(rig).output
        assert metadata.asked == []
        result = check(rig, "--online")
        assert result.exit_code == 0, result.output
        assert f"an IAM token came by the metadata service of this machine ({metadata.address})." in result.output
        metadata.status = 404
        result = check(rig, "--online")
        assert (result.exit_code, "This machine has no service account" in result.output) == (78, True)
