"""A TalkService on Yandex's own generated classes, as a program of its own: `yandex_service.py SDK_FOLDER DIRECTORY`.

It keeps every talk as one JSON line in DIRECTORY/talks.jsonl and prints its port. It runs in a process without the
project's stubs, which live in the same `yandex` package.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def main(sdk: str, directory: Path) -> None:
    # Ours is a namespace package and may be on the path as well; theirs is a regular one and wins when it comes first.
    sys.path.insert(0, sdk)
    import grpc  # noqa: PLC0415 - only now is the SDK on the path

    from yandex.cloud.speechsense.v1 import talk_service_pb2, talk_service_pb2_grpc  # noqa: PLC0415

    assert sdk in talk_service_pb2.__file__
    lock = threading.Lock()

    class Service(talk_service_pb2_grpc.TalkServiceServicer):
        def _keep(self, metadata, audio: bytes, *, wav: bool, context):  # type: ignore[no-untyped-def]
            with lock:
                lines = (directory / "talks.jsonl").open("a+")
                with lines:
                    lines.seek(0)
                    talk_id = f"yandex{sum(1 for _ in lines)}"
                    line = {
                        "talk_id": talk_id,
                        "connection_id": metadata.connection_id,
                        "fields": dict(metadata.fields),
                        "sha256": hashlib.sha256(audio).hexdigest(),
                        "bytes": len(audio),
                        "wav": wav,
                        "headers": {k: v for k, v in context.invocation_metadata() if isinstance(v, str)},
                    }
                    lines.write(json.dumps(line) + "\n")
            return talk_service_pb2.UploadTalkResponse(talk_id=talk_id)

        def Upload(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
            container = request.audio.audio_metadata.container_audio
            return self._keep(
                request.metadata, request.audio.audio_data.data, wav=container.container_audio_type == 1, context=context
            )

        def UploadAsStream(self, requests, context):  # type: ignore[no-untyped-def]  # noqa: N802
            metadata = next(requests).metadata
            container = next(requests).audio.audio_metadata.container_audio
            audio = b"".join(request.audio.chunk.data for request in requests)
            return self._keep(metadata, audio, wav=container.container_audio_type == 1, context=context)

    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 128 * 2**20)])
    talk_service_pb2_grpc.add_TalkServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201 - how it tells
    sys.stdin.read()  # until whoever started us closes it
    server.stop(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
