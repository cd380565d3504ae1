"""The stand-in SpeechSense, asked over a real channel: what it takes, what it refuses, what it keeps, how it fails."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int64Value

from speechsense_watch.standin import Connection, Fault, Rules, StandIn, StandInError, serve
from speechsense_watch.standin.faults import Special
from support import wavs
from yandex.cloud.speechsense.v1.audio_pb2 import (
    AudioChunk,
    AudioMetadata,
    AudioRequest,
    AudioStreamingRequest,
    ContainerAudio,
)
from yandex.cloud.speechsense.v1.search_pb2 import AnyMatchFilter, Filter, IntRangeFilter, Query
from yandex.cloud.speechsense.v1.talk_service_pb2 import (
    GetTalkRequest,
    SearchTalkRequest,
    StreamTalkRequest,
    TalkMetadata,
    UploadTalkRequest,
    UploadTextRequest,
)
from yandex.cloud.speechsense.v1.talk_service_pb2_grpc import TalkServiceStub

FIELDS = {
    "operator_name": "Анна",
    "operator_id": "201",
    "client_name": "Client",
    "client_id": "79990000001",
    "date": "2025-04-24T14:34:19+03:00",
    "direction_outgoing": "true",
    "language": "ru-RU",
}
CONNECTION = "eag0000000000000one"
WAV = AudioMetadata(
    container_audio=ContainerAudio(container_audio_type=ContainerAudio.ContainerAudioType.CONTAINER_AUDIO_TYPE_WAV)
)
MP3 = AudioMetadata(
    container_audio=ContainerAudio(container_audio_type=ContainerAudio.ContainerAudioType.CONTAINER_AUDIO_TYPE_MP3)
)
LONG_WAIT_S = 100.0


@dataclass
class Client:
    """One client of one stand-in, and the lines that the stand-in says."""

    standin: StandIn
    stub: TalkServiceStub
    said: queue.Queue[str] = field(default_factory=queue.Queue)

    def upload(self, audio: bytes, connection: str = CONNECTION, timeout: float = LONG_WAIT_S, **fields: str) -> str:
        request = UploadTalkRequest(metadata=_metadata(connection, fields), audio=_whole(audio))
        return self.stub.Upload(request, timeout=timeout).talk_id

    def stream(self, audio: bytes, connection: str = CONNECTION, timeout: float = LONG_WAIT_S, **fields: str) -> str:
        return self.stub.UploadAsStream(iter(_messages(audio, _metadata(connection, fields))), timeout=timeout).talk_id

    def search(self, *filters: Filter, connection: str = CONNECTION) -> list[str]:
        request = SearchTalkRequest(connection_id=connection, filters=filters)
        return list(self.stub.Search(request, timeout=LONG_WAIT_S).talk_ids)


def _metadata(connection: str, fields: dict[str, str]) -> TalkMetadata:
    return TalkMetadata(connection_id=connection, fields=FIELDS | fields)


def _whole(audio: bytes, metadata: AudioMetadata = WAV) -> AudioRequest:
    return AudioRequest(audio_metadata=metadata, audio_data=AudioChunk(data=audio))


def _chunk(data: bytes) -> StreamTalkRequest:
    return StreamTalkRequest(audio=AudioStreamingRequest(chunk=AudioChunk(data=data)))


def _audio_metadata(metadata: AudioMetadata = WAV) -> StreamTalkRequest:
    return StreamTalkRequest(audio=AudioStreamingRequest(audio_metadata=metadata))


def _messages(audio: bytes, metadata: TalkMetadata) -> list[StreamTalkRequest]:
    chunks = [_chunk(audio[at : at + 10_000]) for at in range(0, len(audio), 10_000)]
    return [StreamTalkRequest(metadata=metadata), _audio_metadata(), *chunks]


def _any_of(key: str, *values: str, inverse: bool = False) -> Filter:
    return Filter(key=key, any_match=AnyMatchFilter(values=values), inverse=inverse)


def _connect(standin: StandIn, channel: grpc.Channel, said: queue.Queue[str]) -> Client:
    return Client(standin, TalkServiceStub(channel), said)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "standin"


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def client(directory: Path, rules: Rules) -> Iterator[Client]:
    said: queue.Queue[str] = queue.Queue()
    with StandIn(directory, rules=rules, echo=said.put) as standin, grpc.insecure_channel(standin.target) as channel:
        yield _connect(standin, channel, said)


@dataclass
class Refusal:
    message: str = ""
    trailing: dict[str, str | bytes] = field(default_factory=dict)


@contextlib.contextmanager
def refusal(code: grpc.StatusCode) -> Iterator[Refusal]:
    """The block ends with this status; what came with it is known afterwards."""
    refused = Refusal()
    with pytest.raises(grpc.RpcError) as caught:
        yield refused
    end: object = caught.value
    assert isinstance(end, grpc.Call)
    refused.message, refused.trailing = end.details() or "", dict(end.trailing_metadata() or ())
    assert end.code() is code, refused.message


def _ledger(directory: Path, name: str = "talks.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / name).read_text(encoding="utf-8").splitlines()]


# --- what it keeps ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["unary", "stream"])
def test_a_talk_is_on_disk_before_its_id_is_answered(client: Client, directory: Path, how: str) -> None:
    """The audio lies there byte for byte, and one line of the ledger tells everything about it."""
    audio = wavs.pcm(2.0)
    talk_id = (client.upload if how == "unary" else client.stream)(audio, ticket_id="T-1")
    assert (directory / "audio" / f"{talk_id}.wav").read_bytes() == audio
    (line,) = _ledger(directory)
    assert line.pop("stored_at")
    assert line == {
        "talk_id": talk_id,
        "connection_id": CONNECTION,
        "fields": FIELDS | {"ticket_id": "T-1"},
        "sha256": hashlib.sha256(audio).hexdigest(),
        "bytes": len(audio),
        "how": how,
        "request_id": "",
    }
    assert not list((directory / "incoming").iterdir())


def test_what_was_stored_outlives_the_stand_in(directory: Path) -> None:
    """A second stand-in in the same directory knows the talks and the calls of the first."""
    for expected in (1, 2):
        with StandIn(directory) as standin, grpc.insecure_channel(standin.target) as channel:
            client = _connect(standin, channel, queue.Queue())
            client.upload(wavs.pcm(seed=expected))
            assert len(standin.talks()) == len(client.search()) == expected
            assert [call.method for call in standin.calls()] == ["Upload", "Search"] * expected


def test_a_line_that_a_crash_cut_off_is_no_talk(directory: Path) -> None:
    """What follows the last whole line is removed at start, and the next talk gets a line of its own."""
    directory.mkdir()
    (directory / "talks.jsonl").write_text('{"talk_id": "standin0', encoding="utf-8")
    with StandIn(directory) as standin, grpc.insecure_channel(standin.target) as channel:
        assert standin.talks() == []
        talk_id = _connect(standin, channel, queue.Queue()).upload(wavs.pcm())
    assert [line["talk_id"] for line in _ledger(directory)] == [talk_id]


def test_every_call_is_on_record_with_the_ids_of_both_sides(client: Client) -> None:
    """The service's own ids come in the trailing metadata, of refusals too, and the client's id is kept beside them."""
    mine = (("x-client-request-id", "mine"),)
    request = UploadTalkRequest(metadata=_metadata(CONNECTION, {}), audio=_whole(wavs.pcm()))
    _, call = client.stub.Upload.with_call(request, metadata=mine)
    with refusal(grpc.StatusCode.INVALID_ARGUMENT) as refused:
        client.stub.Upload(UploadTalkRequest(), metadata=mine)
    answers = [dict(call.trailing_metadata() or ()), refused.trailing]
    assert all(answer["x-server-trace-id"] for answer in answers)
    records = client.standin.calls()
    assert [record.server_request_id for record in records] == [answer["x-request-id"] for answer in answers]
    assert {record.request_id for record in records} == {"mine"}
    assert [record.code for record in records] == ["OK", "INVALID_ARGUMENT"]
    assert all(record.ended_at for record in records)


def test_many_at_once_are_all_kept(client: Client) -> None:
    """Forty uploads from eight threads are forty talks with forty ids."""
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda seed: client.upload(wavs.pcm(0.1, seed=seed)), range(40)))
    assert len(set(ids)) == 40
    assert {talk.talk_id for talk in client.standin.talks()} == set(ids)


def test_an_update_replaces_the_metadata(client: Client) -> None:
    """An upload with a talk id and without audio changes the fields of that talk and leaves its audio."""
    audio = wavs.pcm()
    talk_id = client.upload(audio)
    request = UploadTalkRequest(metadata=_metadata(CONNECTION, {"client_name": "Борис"}), talk_id=talk_id)
    assert client.stub.Upload(request).talk_id == talk_id
    (talk,) = client.standin.talks()
    assert (talk.fields["client_name"], talk.how, talk.size_bytes) == ("Борис", "update", len(audio))
    assert talk.audio_path.read_bytes() == audio
    with refusal(grpc.StatusCode.NOT_FOUND):
        client.stub.Upload(UploadTalkRequest(metadata=_metadata(CONNECTION, {}), talk_id="nobody"))


# --- what it refuses --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["unary", "stream"])
@pytest.mark.parametrize(
    ("audio", "told"),
    [
        (b"", "not a WAV"),
        (wavs.ogg(), "not a WAV"),
        (wavs.text(), "not a WAV"),
        (wavs.rf64(), "not a WAV"),
        (wavs.gsm(), "16-bit PCM"),
        (wavs.alaw(), "16-bit PCM"),
        (wavs.ieee_float(), "16-bit PCM"),
        (wavs.bits(8), "16-bit PCM"),
        (wavs.extensible(wavs.IEEE_FLOAT, 32), "16-bit PCM"),
        (wavs.pcm(rate_hz=6000), "6000 Hz"),
        (wavs.header_only(), "no audio"),
        (wavs.riff(wavs.chunk(b"data", b"\0\0")), "how the audio is coded"),
        (wavs.riff(*[wavs.LIST] * 70), "first 64 chunks"),
        (wavs.truncated(wavs.pcm(), 20), "ends within its header"),
        (wavs.truncated(wavs.pcm(), 44), "announces 32044"),
        (wavs.truncated(wavs.pcm(), len(wavs.pcm()) - 1), "32043 bytes of audio arrived"),
        (wavs.truncated(wavs.with_list_after(), 32060), "32060 bytes of audio arrived"),
        (wavs.ffmpeg_open(), "announces"),
        (wavs.sox_open(), "announces"),
        (wavs.asterisk_open(), "announces only"),
        (wavs.appended(), "announces only"),
    ],
)
def test_audio_that_is_not_a_whole_wav_of_16_bit_pcm_is_refused(
    client: Client, directory: Path, how: str, audio: bytes, told: str
) -> None:
    """Nothing of it is kept, and the refusal says what is wrong."""
    with refusal(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        (client.upload if how == "unary" else client.stream)(audio)
    assert told in caught.message
    assert client.standin.talks() == []
    assert not [*(directory / "audio").iterdir(), *(directory / "incoming").iterdir()]


@pytest.mark.parametrize(
    "audio",
    [
        wavs.pcm(channels=1),
        wavs.pcm(rate_hz=48000),
        wavs.with_list_before(),
        wavs.with_list_after(),
        wavs.with_junk(),
        wavs.extensible(),
        wavs.asterisk_padded(),
        *(wavs.odd(counted=counted, padded=padded) for counted in (True, False) for padded in (True, False)),
    ],
)
def test_whole_wavs_are_taken_as_recorders_write_them(client: Client, audio: bytes) -> None:
    """Further chunks and the pad byte, counted or not, there or not, are no reason to refuse."""
    client.stream(audio)
    assert [talk.size_bytes for talk in client.standin.talks()] == [len(audio)]


def test_audio_of_more_than_four_hours_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts time, not bytes."""
    monkeypatch.setattr("speechsense_watch.standin.checks.LONGEST_AUDIO_S", 2)
    client.upload(wavs.pcm(2.0, rate_hz=16000))
    with refusal(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        client.upload(wavs.pcm(2.1, channels=1))
    assert "longer than 4 hours" in caught.message


TWO_CHANNEL = [*FIELDS]
SINGLE_CHANNEL = ["operator_name", "operator_id", "date", "language"]


@pytest.mark.parametrize(
    ("kind", "key", "taken"),
    [
        *(("two-channel", key, False) for key in TWO_CHANNEL),
        *(("single-channel", key, key not in SINGLE_CHANNEL) for key in TWO_CHANNEL),
    ],
)
def test_the_required_keys_are_those_of_the_connection_type(directory: Path, kind: str, key: str, *, taken: bool) -> None:
    """Lacking one of them is refused by its name; others may lack."""
    fields = {name: value for name, value in FIELDS.items() if name != key}
    rules = Rules(connections={CONNECTION: Connection(kind)})
    request = UploadTalkRequest(metadata=TalkMetadata(connection_id=CONNECTION, fields=fields), audio=_whole(wavs.pcm(0.1)))
    with StandIn(directory, rules=rules) as standin, grpc.insecure_channel(standin.target) as channel:
        stub = TalkServiceStub(channel)
        if taken:
            assert stub.Upload(request).talk_id
            return
        with refusal(grpc.StatusCode.INVALID_ARGUMENT) as caught:
            stub.Upload(request)
        assert f"lack {key}," in caught.message


@pytest.mark.parametrize(("value", "taken"), [("x" * 1024, True), ("x" * 1025, False), ("я" * 512, True), ("я" * 513, False)])
def test_a_value_has_at_most_1024_bytes(client: Client, value: str, *, taken: bool) -> None:
    """Bytes are counted, not letters."""
    if taken:
        client.upload(wavs.pcm(0.1), note=value)
    else:
        with refusal(grpc.StatusCode.INVALID_ARGUMENT):
            client.upload(wavs.pcm(0.1), note=value)
    assert len(client.standin.talks()) == taken


METADATA = StreamTalkRequest(metadata=_metadata(CONNECTION, {}))


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "first message"),
        ([_audio_metadata(), METADATA], "first message"),
        ([StreamTalkRequest(), METADATA], "first message"),
        ([METADATA], "second message"),
        ([METADATA, _chunk(wavs.pcm())], "second message"),
        ([METADATA, METADATA, _audio_metadata()], "second message"),
        ([METADATA, _audio_metadata(MP3)], "WAV container only"),
        ([METADATA, _audio_metadata(AudioMetadata())], "WAV container only"),
        ([METADATA, _audio_metadata(), _audio_metadata(), _chunk(wavs.pcm())], "nothing but chunks"),
        ([METADATA, _audio_metadata(), _chunk(wavs.pcm()), METADATA], "nothing but chunks"),
    ],
)
def test_a_stream_comes_in_order(client: Client, messages: Sequence[StreamTalkRequest], told: str) -> None:
    """Metadata of the talk, metadata of the audio, then chunks: anything else is refused and leaves nothing."""
    with refusal(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        client.stub.UploadAsStream(iter(messages))
    assert told in caught.message
    assert client.standin.talks() == []


def test_a_connection_must_be_named_and_known(directory: Path) -> None:
    """An empty id is an invalid one; an unknown one is not found, for uploads and for searches."""
    rules = Rules(connections={CONNECTION: Connection()})
    with StandIn(directory, rules=rules) as standin, grpc.insecure_channel(standin.target) as channel:
        client = _connect(standin, channel, queue.Queue())
        with refusal(grpc.StatusCode.INVALID_ARGUMENT):
            client.upload(wavs.pcm(), "")
        with refusal(grpc.StatusCode.NOT_FOUND):
            client.stream(wavs.pcm(), "another")
        with refusal(grpc.StatusCode.NOT_FOUND):
            client.search(connection="another")
        client.upload(wavs.pcm())
        assert len(client.search()) == 1


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("Api-Key secret", True),
        ("Bearer token", True),
        ("Api-Key other", False),
        ("Basic secret", False),
        ("secret", False),
        (None, False),
    ],
)
def test_with_keys_only_those_who_have_one_are_let_in(directory: Path, header: str | None, *, taken: bool) -> None:
    """An API key or a token, each after its word; everybody else is UNAUTHENTICATED, and nothing is stored."""
    metadata = (("authorization", header),) if header else ()
    request = UploadTalkRequest(metadata=_metadata(CONNECTION, {}), audio=_whole(wavs.pcm()))
    rules = Rules(keys=frozenset(("secret", "token")))
    with StandIn(directory, rules=rules) as standin, grpc.insecure_channel(standin.target) as channel:
        if taken:
            TalkServiceStub(channel).Upload(request, metadata=metadata)
        else:
            with refusal(grpc.StatusCode.UNAUTHENTICATED):
                TalkServiceStub(channel).Upload(request, metadata=metadata)
        assert len(standin.talks()) == taken
    if header:
        assert header.rpartition(" ")[2] not in (directory / "calls.jsonl").read_text(encoding="utf-8")


def test_a_message_above_the_limit_is_refused_as_grpc_does(directory: Path) -> None:
    """The same audio that is too large for one message goes through as a stream."""
    rules = Rules(max_message_bytes=20_000)
    with StandIn(directory, rules=rules) as standin, grpc.insecure_channel(standin.target) as channel:
        client = _connect(standin, channel, queue.Queue())
        with refusal(grpc.StatusCode.RESOURCE_EXHAUSTED) as caught:
            client.upload(wavs.pcm())
        assert "larger than max" in caught.message
        client.stream(wavs.pcm())
        assert [talk.how for talk in standin.talks()] == ["stream"]


def test_audio_of_128_mb_has_to_be_streamed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit one message is refused, below it is taken."""
    monkeypatch.setattr("speechsense_watch.standin.service.UNARY_LIMIT_BYTES", len(wavs.pcm()))
    client.upload(wavs.pcm(0.9))
    with refusal(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        client.upload(wavs.pcm())
    assert "streamed" in caught.message


def test_what_is_not_played_is_unimplemented(client: Client) -> None:
    """Chats and long recordings to be cut are answered UNIMPLEMENTED."""
    with refusal(grpc.StatusCode.UNIMPLEMENTED):
        client.stub.UploadText(UploadTextRequest())
    with refusal(grpc.StatusCode.UNIMPLEMENTED):
        client.stub.UploadBadge(iter([METADATA]))


# --- streams that break -----------------------------------------------------------------------


def _break_a_stream(client: Client, audio: bytes) -> None:
    """All of `audio` has arrived, on disk and not in memory; then the client leaves instead of ending the stream."""
    leave = threading.Event()

    def messages() -> Iterator[StreamTalkRequest]:
        yield from _messages(audio, _metadata(CONNECTION, {}))
        leave.wait(LONG_WAIT_S)

    call = client.stub.UploadAsStream.future(messages(), timeout=LONG_WAIT_S)
    incoming = client.standin.directory / "incoming"
    while sum(path.stat().st_size for path in incoming.iterdir()) < len(audio):
        assert not call.done()
    call.cancel()
    leave.set()


@pytest.mark.parametrize("keep", [44, 20_000, 32_043])
def test_a_stream_that_its_client_left_never_becomes_a_talk(client: Client, directory: Path, keep: int) -> None:
    """A part of the audio is not stored, whether grpc tells that the client left or ends its stream as if in order."""
    _break_a_stream(client, wavs.pcm()[:keep])
    client.said.get(timeout=LONG_WAIT_S)
    assert client.standin.talks() == []
    assert client.standin.calls()[0].code in {"CANCELLED", "INVALID_ARGUMENT"}
    assert not list((directory / "incoming").iterdir())


@pytest.mark.parametrize("how", ["unary", "stream"])
def test_a_truncated_recording_becomes_a_talk_only_on_order(client: Client, how: str) -> None:
    """With commit_truncated what arrived is stored and answered with an id; the next one is refused again."""
    send = client.upload if how == "unary" else client.stream
    cut = wavs.pcm()[:20_000]
    client.standin.order(Fault(Special.COMMIT_TRUNCATED))
    assert send(cut)
    with refusal(grpc.StatusCode.INVALID_ARGUMENT):
        send(cut)
    assert [talk.size_bytes for talk in client.standin.talks()] == [len(cut)]
    assert [call.faults for call in client.standin.calls()] == [("commit_truncated",), ()]


def test_commit_truncated_leaves_whole_recordings_and_wrong_ones_alone(client: Client) -> None:
    """A whole recording does not use the order up, and what is not WAV is refused all the same."""
    client.standin.order(Fault(Special.COMMIT_TRUNCATED))
    client.stream(wavs.pcm())
    with refusal(grpc.StatusCode.INVALID_ARGUMENT):
        client.stream(wavs.gsm())
    assert client.stream(wavs.pcm()[:20_000])


# --- faults on order --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["Upload", "UploadAsStream"])
@pytest.mark.parametrize(
    ("fault", "code", "stored"),
    [
        (Fault("UNAVAILABLE"), grpc.StatusCode.UNAVAILABLE, 0),
        (Fault("UNAVAILABLE", "mid"), grpc.StatusCode.UNAVAILABLE, 0),
        (Fault("UNAVAILABLE", "after"), grpc.StatusCode.UNAVAILABLE, 1),
        (Fault("RESOURCE_EXHAUSTED", message="quota"), grpc.StatusCode.RESOURCE_EXHAUSTED, 0),
        (Fault("UNAUTHENTICATED", "mid"), grpc.StatusCode.UNAUTHENTICATED, 0),
        (Fault("INTERNAL", "after"), grpc.StatusCode.INTERNAL, 1),
        (Fault("lost_answer"), grpc.StatusCode.UNAVAILABLE, 1),
        (Fault("lost_answer", "before"), grpc.StatusCode.UNAVAILABLE, 1),
    ],
)
def test_a_fault_ends_one_call_at_its_moment(client: Client, how: str, fault: Fault, code: grpc.StatusCode, stored: int) -> None:
    """Before and in the middle nothing is stored, after it the talk is; the next call goes through."""
    send = client.upload if how == "Upload" else client.stream
    client.standin.order(fault)
    with refusal(code) as caught:
        send(wavs.pcm())
    assert fault.message in caught.message
    assert len(client.standin.talks()) == stored
    assert send(wavs.pcm())
    assert [(call.code, call.faults) for call in client.standin.calls()] == [(code.name, (fault.what,)), ("OK", ())]


@pytest.mark.parametrize("how", ["Upload", "UploadAsStream"])
@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("mid", 0), ("after", 1)])
def test_a_call_that_hangs_ends_with_the_patience_of_its_client(client: Client, how: str, when: str, stored: int) -> None:
    """The client sees DEADLINE_EXCEEDED; what was stored before the hanging stays."""
    client.standin.order(Fault("hang", when))
    with refusal(grpc.StatusCode.DEADLINE_EXCEEDED):
        (client.upload if how == "Upload" else client.stream)(wavs.pcm(), timeout=2.0)
    assert "hang" in client.said.get(timeout=LONG_WAIT_S)
    assert len(client.standin.talks()) == stored


def test_a_delay_goes_on_afterwards(client: Client) -> None:
    """The answer comes late, and it is the usual one."""
    client.standin.order(Fault("delay", "after", seconds=0.2))
    began = time.monotonic()
    assert client.upload(wavs.pcm())
    assert time.monotonic() - began >= 0.2


def test_several_faults_strike_the_same_call(client: Client) -> None:
    """A delay and a refusal on order for the same moment both happen, in the order in which they were ordered."""
    client.standin.order(Fault("delay", seconds=0.01))
    client.standin.order(Fault("ABORTED"))
    with refusal(grpc.StatusCode.ABORTED):
        client.upload(wavs.pcm())
    assert client.standin.calls()[0].faults == ("delay", "ABORTED")


def test_a_fault_without_end_strikes_each_call_once(client: Client) -> None:
    """Every call is delayed, and none twice."""
    client.standin.order(Fault("delay", "mid", count=0, seconds=0.0))
    for _ in range(2):
        client.stream(wavs.pcm())
    assert [call.faults for call in client.standin.calls()] == [("delay",)] * 2


def _outcomes(client: Client, count: int) -> str:
    """One letter for each of `count` uploads, unary and streams in turn: x struck, . not."""
    letters = ""
    for seed in range(count):
        try:
            (client.stream if seed % 2 else client.upload)(wavs.pcm(0.1, seed=seed), number=str(seed))
        except grpc.RpcError:
            letters += "x"
        else:
            letters += "."
    return letters


def _sha256(seed: int) -> str:
    return hashlib.sha256(wavs.pcm(0.1, seed=seed)).hexdigest()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("UNAVAILABLE"), "x....."),
        (Fault("UNAVAILABLE", count=3), "xxx..."),
        (Fault("UNAVAILABLE", count=0), "xxxxxx"),
        (Fault("UNAVAILABLE", nth=3), "..x..."),
        (Fault("UNAVAILABLE", nth=2, count=0), ".xxxxx"),
        (Fault("UNAVAILABLE", "mid", nth=3), "..x..."),
        (Fault("UNAVAILABLE", methods=("UploadAsStream",), count=0), ".x.x.x"),
        (Fault("UNAVAILABLE", methods=("Search",), count=0), "......"),
        (Fault("UNAVAILABLE", fields={"number": "4"}, count=0), "....x."),
        (Fault("UNAVAILABLE", fields={"number": "4", "client_id": "nobody"}, count=0), "......"),
        (Fault("UNAVAILABLE", connection_id=CONNECTION, count=0), "xxxxxx"),
        (Fault("UNAVAILABLE", connection_id="another", count=0), "......"),
        (Fault("UNAVAILABLE", sha256=_sha256(2), count=0), "..x..."),
        (Fault("UNAVAILABLE", sha256=_sha256(3), count=0), "...x.."),
        (Fault("UNAVAILABLE", "mid", sha256=_sha256(3), count=0), "...x.."),
        (Fault("UNAVAILABLE", "after", sha256=_sha256(3), count=0), "...x.."),
    ],
)
def test_a_fault_strikes_the_calls_it_was_ordered_for(client: Client, fault: Fault, expected: str) -> None:
    """By number, method, field, connection or file; everything else goes through."""
    client.standin.order(fault)
    assert _outcomes(client, 6) == expected
    before_storing = fault.when != "after"
    assert len(client.standin.talks()) == (expected.count(".") if before_storing else 6)


def test_reading_can_be_made_to_fail_as_well(client: Client) -> None:
    """Search and Get are struck when an order names them."""
    client.upload(wavs.pcm())
    client.standin.order(Fault("UNAVAILABLE", methods=("Search", "Get"), count=2))
    with refusal(grpc.StatusCode.UNAVAILABLE):
        client.search()
    with refusal(grpc.StatusCode.UNAVAILABLE):
        client.stub.Get(GetTalkRequest())
    assert len(client.search()) == 1


def test_orders_are_taken_back(client: Client) -> None:
    """After clear_faults nothing strikes any more."""
    client.standin.order(Fault("UNAVAILABLE", count=0))
    assert _outcomes(client, 1) == "x"
    client.standin.clear_faults()
    assert _outcomes(client, 1) == "."


def test_the_control_file_is_read_again_when_it_changed(client: Client, directory: Path) -> None:
    """Orders can be given from a shell: written, replaced, misspelt (the old ones stay, and it is told), deleted."""
    control = directory / "faults.json"
    control.write_text('[{"what": "UNAVAILABLE", "count": 0, "fields": {"number": "0"}}]', encoding="utf-8")
    assert _outcomes(client, 2) == "x."
    control.write_text('[{"what": "lost_answer", "nth": 2}]', encoding="utf-8")
    assert _outcomes(client, 3) == ".x."
    control.write_text('[{"what": "INTERNAL", "count": 0}]', encoding="utf-8")
    assert _outcomes(client, 1) == "x"
    control.write_text('[{"what": "INTERNAL", "cuont": 0}]', encoding="utf-8")
    assert _outcomes(client, 2) == "xx"
    assert any("`cuont` is unknown" in line for line in list(client.said.queue))
    control.unlink()
    assert _outcomes(client, 2) == ".."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not heeded"),
        ('{"what": "UNAVAILABLE"}', "expected a list"),
        ('["UNAVAILABLE"]', "an order is an object"),
        ('[{"count": 1}]', "`what` is lacking"),
        ('[{"what": "OK"}]', "neither a gRPC status code"),
        ('[{"what": "UNAVAILABLE", "when": "later"}]', "expected before, mid, after"),
        ('[{"what": "UNAVAILABLE", "count": "2"}]', "`count` is"),
        ('[{"what": "UNAVAILABLE", "count": true}]', "`count` is"),
        ('[{"what": "UNAVAILABLE", "nth": 0}]', "`nth` at least 1"),
        ('[{"what": "UNAVAILABLE", "fields": {"number": 4}}]', "`fields` is"),
        ('[{"what": "UNAVAILABLE", "methods": ["Delete"]}]', "names Delete"),
        ('[{"what": "UNAVAILABLE", "methods": "Upload"}]', "`methods` is"),
        ('[{"what": "delay", "seconds": "5"}]', "`seconds` is"),
    ],
)
def test_a_bad_control_file_is_told_and_strikes_nothing(client: Client, directory: Path, text: str, told: str) -> None:
    """The line names the file and what is wrong in it; calls go on."""
    (directory / "faults.json").write_text(text, encoding="utf-8")
    client.upload(wavs.pcm(0.1))
    line = client.said.get(timeout=LONG_WAIT_S)
    assert "faults.json is not heeded" in line
    assert told in line


# --- Search and Get ---------------------------------------------------------------------------


def test_talks_are_found_by_their_own_fields(client: Client) -> None:
    """any_match takes any of the values, several filters must all hold, inverse turns one round."""
    first, second, third = (client.upload(wavs.pcm(0.1, seed=n), recording_id=f"r-{n}", kind=str(n % 2)) for n in range(3))
    assert client.search() == [first, second, third]
    assert client.search(_any_of("userMeta.recording_id", "r-2", "r-0", "r-9")) == [first, third]
    assert client.search(_any_of("userMeta.kind", "0"), _any_of("userMeta.recording_id", "r-1", "r-2")) == [third]
    assert client.search(_any_of("userMeta.kind", "0", inverse=True)) == [second]
    assert client.search(_any_of("userMeta.recording_id", "r-9")) == []
    assert client.search(connection="another") == []


def test_the_prefix_of_a_filter_key_matters(directory: Path) -> None:
    """Under another prefix than the stand-in's nothing is found, and nothing says why: so does the real service."""
    with (
        StandIn(directory, rules=Rules(key_prefix="user.")) as standin,
        grpc.insecure_channel(standin.target) as channel,
    ):
        client = _connect(standin, channel, queue.Queue())
        talk_id = client.upload(wavs.pcm(), recording_id="r-1")
        assert client.search(_any_of("user.recording_id", "r-1")) == [talk_id]
        assert client.search(_any_of("userMeta.recording_id", "r-1")) == []
        assert client.search(_any_of("recording_id", "r-1")) == []


def test_search_gives_its_answer_in_pages(client: Client) -> None:
    """Each page goes on where the one before ended, and the last has no token."""
    ids = [client.upload(wavs.pcm(0.1, seed=seed)) for seed in range(5)]
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        request = SearchTalkRequest(connection_id=CONNECTION, page_size=2, page_token=token)
        answer = client.stub.Search(request)
        assert answer.talks_count == 5
        pages.append(list(answer.talk_ids))
        token = answer.next_page_token
    assert pages == [ids[:2], ids[2:4], ids[4:]]


@pytest.mark.parametrize(
    "request_",
    [
        SearchTalkRequest(page_size=1001),
        SearchTalkRequest(page_size=-1),
        SearchTalkRequest(page_token="next"),
        SearchTalkRequest(query=Query(text="hello")),
    ],
)
def test_a_search_that_is_not_played_is_refused(client: Client, request_: SearchTalkRequest) -> None:
    """Rather than answered with something else than was asked for."""
    with refusal(grpc.StatusCode.INVALID_ARGUMENT):
        client.stub.Search(request_)


def test_filters_that_are_not_played_are_refused(client: Client) -> None:
    """Only any_match is."""
    client.upload(wavs.pcm())
    with refusal(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        client.search(Filter(key="userMeta.operator_id", int_range=IntRangeFilter(from_value=Int64Value(value=1))))
    assert "any_match" in caught.message


def test_get_shows_fields_and_time_of_the_talks_asked_for(client: Client) -> None:
    """Unknown ids are left out, and so is what belongs to another connection."""
    before = datetime.now(UTC)
    talk_id = client.upload(wavs.pcm(), recording_id="r-1")
    elsewhere = client.upload(wavs.pcm(seed=1), "another")
    ids = [talk_id, elsewhere, "nobody"]
    (talk,) = client.stub.Get(GetTalkRequest(connection_id=CONNECTION, talk_ids=ids)).talk
    assert (talk.id, talk.connection_id) == (talk_id, CONNECTION)
    assert {each.name: each.value for each in talk.talk_fields} == FIELDS | {"recording_id": "r-1"}
    assert before <= talk.created_at.ToDatetime(UTC) <= datetime.now(UTC)
    assert len(client.stub.Get(GetTalkRequest(talk_ids=ids)).talk) == 2
    with refusal(grpc.StatusCode.INVALID_ARGUMENT):
        client.stub.Get(GetTalkRequest(talk_ids=["x"] * 101))


def test_keys_that_the_connection_does_not_declare_are_neither_found_nor_shown(directory: Path) -> None:
    """They are taken at upload all the same."""
    rules = Rules(connections={CONNECTION: Connection(declared=frozenset(("recording_id",)))})
    with StandIn(directory, rules=rules) as standin, grpc.insecure_channel(standin.target) as channel:
        client = _connect(standin, channel, queue.Queue())
        talk_id = client.upload(wavs.pcm(), recording_id="r-1", note="n-1")
        assert client.search(_any_of("userMeta.recording_id", "r-1")) == [talk_id]
        assert client.search(_any_of("userMeta.note", "n-1")) == []
        (talk,) = client.stub.Get(GetTalkRequest(talk_ids=[talk_id])).talk
        assert {each.name for each in talk.talk_fields} == {*FIELDS, "recording_id"}
        assert standin.talks()[0].fields["note"] == "n-1"


def test_a_talk_comes_into_sight_when_the_index_has_caught_up(directory: Path) -> None:
    """Until then neither Search nor Get knows it, though it is stored."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    with (
        StandIn(directory, rules=Rules(index_lag_s=60), now=lambda: now[0]) as standin,
        grpc.insecure_channel(standin.target) as channel,
    ):
        client = _connect(standin, channel, queue.Queue())
        talk_id = client.upload(wavs.pcm())
        now[0] += timedelta(seconds=59)
        assert client.search() == []
        assert not client.stub.Get(GetTalkRequest(talk_ids=[talk_id])).talk
        now[0] += timedelta(seconds=1)
        assert client.search() == [talk_id]
        assert len(client.stub.Get(GetTalkRequest(talk_ids=[talk_id])).talk) == 1


# --- starting and stopping --------------------------------------------------------------------


def test_stopping_frees_calls_that_hang_and_leaves_no_thread(directory: Path) -> None:
    """A client that was kept waiting gets an error, and the directory and the port can be used at once."""
    before = set(threading.enumerate())
    ended: queue.Queue[str] = queue.Queue()
    standin = StandIn(directory)
    standin.start()
    with grpc.insecure_channel(standin.target) as channel:
        standin.order(Fault("hang"))
        request = UploadTalkRequest(metadata=_metadata(CONNECTION, {}), audio=_whole(wavs.pcm()))
        call = TalkServiceStub(channel).Upload.future(request, timeout=LONG_WAIT_S)
        call.add_done_callback(lambda _: ended.put(str(call.exception())))
        while not any(record.method == "Upload" for record in standin.calls()):
            assert not call.done()
        began = time.monotonic()
        standin.stop(grace_s=LONG_WAIT_S)
        assert time.monotonic() - began < LONG_WAIT_S
        assert "nobody waits" in ended.get(timeout=LONG_WAIT_S)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("stand-in")]
    standin.stop()
    with StandIn(directory, standin.port) as again:
        assert again.port == standin.port
    with pytest.raises(StandInError, match="does not run"):
        standin.talks()


def test_a_directory_serves_one_stand_in_at_a_time(directory: Path) -> None:
    """The second is told so, and the first goes on."""
    with StandIn(directory) as first:
        with pytest.raises(StandInError, match="Another stand-in"):
            StandIn(directory).start()
        assert first.talks() == []


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """Two stand-ins never share one; the message names it, and the directory is free again."""
    with StandIn(tmp_path / "one") as one, pytest.raises(StandInError, match=str(one.port)):
        StandIn(tmp_path / "two", one.port).start()
    with StandIn(tmp_path / "two") as two:
        assert two.talks() == []


@pytest.mark.parametrize("taken", ["port", "directory"])
def test_the_command_ends_with_a_sentence_when_it_cannot_start(tmp_path: Path, taken: str) -> None:
    """Another stand-in may have been forgotten in another terminal; the directory may be no directory to write in."""
    (tmp_path / "file").touch()
    with StandIn(tmp_path / "one") as one:
        port, place = (one.port, "two") if taken == "port" else (0, "file/two")
        line = [sys.executable, "-m", "speechsense_watch", "standin", "--port", str(port), "--dir", str(tmp_path / place)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(line, env=environ, capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert (done.returncode, said.startswith("speechsense-watch: "), "Traceback" in done.stderr) == (1, True, False)
    assert (str(port) if taken == "port" else str(tmp_path / "file")) in said


def test_with_tls_a_client_needs_only_the_authority_in_the_directory(directory: Path) -> None:
    """By name and by address; a client that does not know the authority cannot connect. A restart keeps the certificate."""
    with StandIn(directory, tls=True) as standin:
        authority = standin.ca_file.read_bytes()
        credentials = grpc.ssl_channel_credentials(authority)
        for target in (standin.target, f"localhost:{standin.port}"):
            with grpc.secure_channel(target, credentials) as channel:
                assert _connect(standin, channel, queue.Queue()).upload(wavs.pcm())
        with (
            grpc.secure_channel(standin.target, grpc.ssl_channel_credentials()) as channel,
            refusal(grpc.StatusCode.UNAVAILABLE),
        ):
            _connect(standin, channel, queue.Queue()).upload(wavs.pcm())
        assert (directory / "tls" / "server.key").stat().st_mode & 0o077 == 0
    with StandIn(directory, tls=True):
        assert standin.ca_file.read_bytes() == authority


def test_tls_without_openssl_says_what_to_install(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the directory is free again."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StandInError, match="install the package openssl"):
        StandIn(directory, tls=True).start()
    with StandIn(directory):
        assert (directory / "talks.jsonl").exists()


@pytest.mark.parametrize("tls", [False, True])
def test_serve_says_how_to_use_it_and_ends_when_told(directory: Path, *, tls: bool) -> None:
    """What it prints first is enough to point a daemon at it."""
    said: queue.Queue[str] = queue.Queue()
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(serve, 0, directory, tls=tls, stop_event=stop, echo=said.put)
        lines: list[str] = []
        while not lines or lines[-1]:
            lines.append(said.get(timeout=LONG_WAIT_S))
        stop.set()
        running.result(timeout=LONG_WAIT_S)
    text = "\n".join(lines)
    assert 'endpoint = "127.0.0.1:' in text
    assert ("ca_file = " in text, "plaintext = true" in text) == (tls, not tls)
    assert str(directory / "faults.json") in text
