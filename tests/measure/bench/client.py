"""What a client of SpeechSense needs at least: the baselines are made of it, so it imports nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc

from yandex.cloud.speechsense.v1 import audio_pb2, talk_service_pb2

_CHUNK = 2**20
_WAV = audio_pb2.AudioMetadata(
    container_audio=audio_pb2.ContainerAudio(container_audio_type=audio_pb2.ContainerAudio.CONTAINER_AUDIO_TYPE_WAV)
)


def open_channel(port: int, ca_file: str) -> grpc.Channel:
    if not ca_file:
        return grpc.insecure_channel(f"127.0.0.1:{port}")
    return grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(Path(ca_file).read_bytes()))


def metadata_of(audio: Path) -> talk_service_pb2.TalkMetadata:
    fields = json.loads(audio.with_suffix(".json").read_bytes())
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    return talk_service_pb2.TalkMetadata(connection_id="conn-1", fields=texts)


def whole(audio: Path) -> talk_service_pb2.UploadTalkRequest:
    data = audio.read_bytes()
    return talk_service_pb2.UploadTalkRequest(
        metadata=metadata_of(audio),
        audio=audio_pb2.AudioRequest(audio_metadata=_WAV, audio_data=audio_pb2.AudioChunk(data=data)),
    )


def pieces(audio: Path) -> Iterator[talk_service_pb2.StreamTalkRequest]:
    yield talk_service_pb2.StreamTalkRequest(metadata=metadata_of(audio))
    yield talk_service_pb2.StreamTalkRequest(audio=audio_pb2.AudioStreamingRequest(audio_metadata=_WAV))
    with audio.open("rb", buffering=0) as file:
        while data := file.read(_CHUNK):
            piece = audio_pb2.AudioStreamingRequest(chunk=audio_pb2.AudioChunk(data=data))
            yield talk_service_pb2.StreamTalkRequest(audio=piece)
