"""edge.messages: requests put together by hand are those that protobuf would make."""

from __future__ import annotations

import pytest

from speechsense_watch.edge import messages
from support.rig import FIELDS
from yandex.cloud.speechsense.v1.audio_pb2 import AudioChunk, AudioMetadata, AudioRequest, AudioStreamingRequest, ContainerAudio
from yandex.cloud.speechsense.v1.talk_service_pb2 import StreamTalkRequest, TalkMetadata, UploadTalkRequest

TALK = TalkMetadata(connection_id="conn", fields={key: str(value) for key, value in FIELDS.items()})
WAV = AudioMetadata(container_audio=ContainerAudio(container_audio_type=ContainerAudio.CONTAINER_AUDIO_TYPE_WAV))
# Around each length that takes one more byte to say.
LENGTHS = (0, 1, 127, 128, 16_383, 16_384, 2**21)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_whole_recording(length: int) -> None:
    """Byte for byte, whatever its length."""
    audio = bytes(range(256)) * (length // 256) + bytes(range(length % 256))
    request = UploadTalkRequest(metadata=TALK, audio=AudioRequest(audio_metadata=WAV, audio_data=AudioChunk(data=audio)))
    made = messages.whole(TALK, audio)
    assert UploadTalkRequest.FromString(made) == request
    assert made == request.SerializeToString()


@pytest.mark.parametrize("length", LENGTHS)
def test_a_piece_of_a_stream(length: int) -> None:
    """Byte for byte, whatever its length."""
    piece = b"\x80" * length
    request = StreamTalkRequest(audio=AudioStreamingRequest(chunk=AudioChunk(data=piece)))
    made = messages.stream_piece(piece)
    assert StreamTalkRequest.FromString(made) == request
    assert made == request.SerializeToString()


def test_what_a_stream_begins_with() -> None:
    """Who spoke with whom, then what kind of file follows."""
    assert [StreamTalkRequest.FromString(made) for made in messages.stream_head(TALK)] == [
        StreamTalkRequest(metadata=TALK),
        StreamTalkRequest(audio=AudioStreamingRequest(audio_metadata=WAV)),
    ]
