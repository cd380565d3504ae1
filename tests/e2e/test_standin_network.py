"""What the stand-in does on order that a network or a busy service does: slow reading, late commits, GOAWAY, pleas to wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from speechsense_watch.standin import Fault, Rules, StandIn
from support.rig import FIELDS
from support.waiting import wait_for
from support.wavs import pcm
from yandex.cloud.speechsense.v1.audio_pb2 import (
    AudioChunk,
    AudioMetadata,
    AudioRequest,
    AudioStreamingRequest,
    ContainerAudio,
)
from yandex.cloud.speechsense.v1.talk_service_pb2 import StreamTalkRequest, TalkMetadata, UploadTalkRequest
from yandex.cloud.speechsense.v1.talk_service_pb2_grpc import TalkServiceStub

WAV = AudioMetadata(
    container_audio=ContainerAudio(container_audio_type=ContainerAudio.CONTAINER_AUDIO_TYPE_WAV),
)
METADATA = TalkMetadata(connection_id="conn", fields={key: str(value).lower() for key, value in FIELDS.items()})
PATIENCE_S = 100.0

Send = Callable[[TalkServiceStub, bytes, float], object]


def whole(stub: TalkServiceStub, audio: bytes, timeout: float = PATIENCE_S) -> str:
    request = UploadTalkRequest(metadata=METADATA, audio=AudioRequest(audio_metadata=WAV, audio_data=AudioChunk(data=audio)))
    return stub.Upload(request, timeout=timeout).talk_id


def stream(stub: TalkServiceStub, audio: bytes, timeout: float = PATIENCE_S) -> str:
    return stub.UploadAsStream(messages(audio), timeout=timeout).talk_id


def messages(audio: bytes, size: int = 10_000) -> Iterator[StreamTalkRequest]:
    yield StreamTalkRequest(metadata=METADATA)
    yield StreamTalkRequest(audio=AudioStreamingRequest(audio_metadata=WAV))
    for at in range(0, len(audio), size):
        yield StreamTalkRequest(audio=AudioStreamingRequest(chunk=AudioChunk(data=audio[at : at + size])))


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "standin") as running:
        yield running


@pytest.fixture
def stub(standin: StandIn) -> Iterator[TalkServiceStub]:
    with grpc.insecure_channel(standin.target) as channel:
        yield TalkServiceStub(channel)


def failed(send: Send, stub: TalkServiceStub, audio: bytes, timeout: float = PATIENCE_S) -> grpc.Call:
    with pytest.raises(grpc.RpcError) as caught:
        send(stub, audio, timeout)
    end: object = caught.value
    assert isinstance(end, grpc.Call)
    return end


@pytest.mark.parametrize("send", [whole, stream])
def test_a_late_commit_is_stored_after_the_client_was_told_otherwise(standin: StandIn, stub: TalkServiceStub, send: Send) -> None:
    """Nothing is there when the client hears UNAVAILABLE, and a little later the talk is, byte for byte."""
    audio = pcm(seconds=2)
    standin.order(Fault("late_commit", seconds=3))
    assert failed(send, stub, audio).code() is grpc.StatusCode.UNAVAILABLE
    assert standin.talks() == []
    wait_for(lambda: len(standin.talks()) == 1, 10)
    (talk,) = standin.talks()
    assert talk.audio_path.read_bytes() == audio
    assert [(call.talk_id, call.faults) for call in standin.calls()] == [(talk.talk_id, ("late_commit",))]
    wait_for(lambda: not list((standin.directory / "incoming").iterdir()), 10)


def test_a_stand_in_that_stops_commits_what_was_to_come_late(tmp_path: Path) -> None:
    """So that a rehearsal ends with everything told; a refused recording does not come late either."""
    with StandIn(tmp_path / "standin") as standin, grpc.insecure_channel(standin.target) as channel:
        stub = TalkServiceStub(channel)
        standin.order(Fault("late_commit", seconds=3600))
        assert failed(whole, stub, pcm()[:20_000]).code() is grpc.StatusCode.INVALID_ARGUMENT
        assert failed(whole, stub, pcm()).code() is grpc.StatusCode.UNAVAILABLE
    with StandIn(tmp_path / "standin") as standin:
        assert len(standin.talks()) == 1


def test_a_slow_reader_brings_a_stream_to_a_stand(standin: StandIn, stub: TalkServiceStub) -> None:
    """Once its buffers are full nothing more is taken from the client; the next call is as quick as ever."""
    standin.order(Fault("slow", bytes_per_s=1000))
    taken: list[int] = []
    audio = bytes(30 << 20)

    def counted() -> Iterator[StreamTalkRequest]:
        for message in messages(audio, 1 << 20):
            taken.append(message.ByteSize())
            yield message

    with pytest.raises(grpc.RpcError):
        stub.UploadAsStream(counted(), timeout=2.0)
    assert sum(taken) < 20e6
    assert stream(stub, pcm())
    wait_for(lambda: [call.faults for call in standin.calls()] == [("slow",), ()])


@pytest.mark.parametrize("send", [whole, stream])
def test_a_slow_reader_reads_at_its_rate(standin: StandIn, stub: TalkServiceStub, send: Send) -> None:
    """In pieces or in one message, and takes it all in the end."""
    audio = pcm(seconds=2)
    standin.order(Fault("slow", bytes_per_s=len(audio) * 2))
    began = time.monotonic()
    assert send(stub, audio, PATIENCE_S)
    assert time.monotonic() - began >= 0.45


def test_a_plea_to_wait_comes_with_the_status(standin: StandIn, stub: TalkServiceStub) -> None:
    """In both ways in which services say it, beside the service's own ids."""
    standin.order(Fault("RESOURCE_EXHAUSTED", message="quota", retry_delay_s=90.5, pushback_ms="1500"))
    end = failed(whole, stub, pcm())
    trailing = dict(end.trailing_metadata() or ())
    status = Status.FromString(trailing["grpc-status-details-bin"])
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert (info.retry_delay.ToTimedelta().total_seconds(), status.code, status.message) == (90.5, 8, "quota")
    assert trailing["grpc-retry-pushback-ms"] == "1500"
    assert trailing["x-request-id"]


def test_a_connection_that_has_grown_old_is_told_to_go_away(tmp_path: Path) -> None:
    """A call under way then is cut off after as long again; the next one gets a new connection by itself."""
    with (
        StandIn(tmp_path / "standin", rules=Rules(connection_age_s=1.5)) as standin,
        grpc.insecure_channel(standin.target) as channel,
    ):
        stub = TalkServiceStub(channel)
        standin.order(Fault("hang"))
        assert failed(whole, stub, pcm()).code() is grpc.StatusCode.UNAVAILABLE
        assert whole(stub, pcm())


@pytest.mark.parametrize(
    ("order", "told"),
    [({"bytes_per_s": 0}, "at least 1"), ({"retry_delay_s": -1}, "at least 0"), ({"pushback_ms": 5}, "wrong type")],
)
def test_an_order_that_makes_no_sense_is_told(order: dict[str, object], told: str) -> None:
    """With what is expected."""
    with pytest.raises(ValueError, match=told):
        Fault.from_json({"what": "slow", **order})
