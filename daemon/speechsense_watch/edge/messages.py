"""Requests to SpeechSense as they lie on the wire, with the audio copied once.

Set as a field and then serialised, the audio is copied twice more, which of all that an upload costs was the greatest part: a
loop that did nothing but upload recordings of 30 s went from 590 to 1,000 in a second. So everything but the audio is
serialised as always, and the audio appended as its last field, by the rules of protobuf.dev/programming-guides/encoding:
tag, length as a varint, bytes. The messages are those of proto/yandex/cloud/speechsense/v1, byte for byte.
"""

from __future__ import annotations

from yandex.cloud.speechsense.v1 import audio_pb2, talk_service_pb2

_WAV = audio_pb2.AudioMetadata(
    container_audio=audio_pb2.ContainerAudio(container_audio_type=audio_pb2.ContainerAudio.CONTAINER_AUDIO_TYPE_WAV)
)
_WIRE_BYTES = 2  # the wire type of what has a length


def whole(metadata: talk_service_pb2.TalkMetadata, audio: bytes) -> bytes:
    """An UploadTalkRequest with all of a WAV file in it."""
    kind = audio_pb2.AudioRequest(audio_metadata=_WAV).SerializeToString()
    chunk = _before_bytes(audio_pb2.AudioChunk.DATA_FIELD_NUMBER, len(audio))
    data = _before(audio_pb2.AudioRequest.AUDIO_DATA_FIELD_NUMBER, len(chunk) + len(audio))
    request = _before(talk_service_pb2.UploadTalkRequest.AUDIO_FIELD_NUMBER, len(kind) + len(data) + len(chunk) + len(audio))
    head = talk_service_pb2.UploadTalkRequest(metadata=metadata).SerializeToString()
    return b"".join((head, request, kind, data, chunk, audio))


def stream_head(metadata: talk_service_pb2.TalkMetadata) -> tuple[bytes, bytes]:
    """The first two StreamTalkRequests: who spoke with whom, and that a WAV file follows."""
    kind = talk_service_pb2.StreamTalkRequest(audio=audio_pb2.AudioStreamingRequest(audio_metadata=_WAV))
    return talk_service_pb2.StreamTalkRequest(metadata=metadata).SerializeToString(), kind.SerializeToString()


def stream_piece(audio: bytes) -> bytes:
    """A StreamTalkRequest with the next bytes of the file."""
    data = _before_bytes(audio_pb2.AudioChunk.DATA_FIELD_NUMBER, len(audio))
    chunk = _before(audio_pb2.AudioStreamingRequest.CHUNK_FIELD_NUMBER, len(data) + len(audio))
    request = _before(talk_service_pb2.StreamTalkRequest.AUDIO_FIELD_NUMBER, len(chunk) + len(data) + len(audio))
    return b"".join((request, chunk, data, audio))


def _before(field: int, length: int) -> bytes:
    """What stands before so many bytes of this field."""
    return bytes((field << 3 | _WIRE_BYTES,)) + _varint(length)


def _before_bytes(field: int, length: int) -> bytes:
    """The same of a plain field, which is left out when it is empty; a message that is set never is."""
    return _before(field, length) if length else b""


def _varint(number: int) -> bytes:
    low_first = bytearray()
    while number > 0x7F:
        low_first.append(number & 0x7F | 0x80)
        number >>= 7
    low_first.append(number)
    return bytes(low_first)
