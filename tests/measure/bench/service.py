"""The receiving side, in a process of its own: takes messages as bytes, without looking into them, and answers a talk id.

`python -m measure.bench.service` speaks JSON lines: its port when it is up, and at every line that it is sent what it has seen
since the one before. It ends when its input does, so it never outlives who started it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from measure.bench.processes import Child, python
from speechsense_watch.standin.certificates import certificates
from yandex.cloud.speechsense.v1 import talk_service_pb2

_NAME = "yandex.cloud.speechsense.v1.TalkService"
_MARK = re.compile(rb"bench-[0-9]{6}")
_MARK_WITHIN = 4096


@dataclass(frozen=True, slots=True)
class Setting:
    """`latency_s` passes between the last byte and the answer. `verify`: messages are looked into, and all audio is hashed."""

    tls: bool = False
    latency_s: float = 0.0
    verify: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """Since the last time it was asked. `first_at`: when the first word of each call came, by CLOCK_MONOTONIC, which is the same
    in all processes; a call's own name for it stands in its metadata. `sha256s`: of the audio, sorted.
    """

    calls: int
    first_at: dict[str, float]
    sha256s: list[str]


class Service(AbstractContextManager["Service"]):
    """Runs while it is entered."""

    def __init__(self, directory: Path, setting: Setting) -> None:
        self._certificates = directory / "certificates"
        self.setting = setting
        self.ca_file = str(certificates(self._certificates).ca_file) if setting.tls else ""

    def __enter__(self) -> Self:
        options = ["--latency", str(self.setting.latency_s)]
        options += ["--tls", str(self._certificates)] if self.setting.tls else []
        options += ["--verify"] if self.setting.verify else []
        self._child = Child(python("measure.bench.service", *options), good_malloc=True)
        self.port = int(self._child.line()["port"])
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._child.end()

    def seen(self) -> Seen:
        return Seen(**self._child.ask("seen"))


# --- the process ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Receiver:
    setting: Setting
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    calls: int = 0
    first_at: dict[str, float] = field(default_factory=dict)
    sha256s: list[str] = field(default_factory=list)

    async def upload(self, request: bytes, _context: object) -> bytes:
        self._notes(time.monotonic(), request)
        if self.setting.verify:
            message = talk_service_pb2.UploadTalkRequest.FromString(request)
            self.sha256s.append(hashlib.sha256(message.audio.audio_data.data).hexdigest())
        return await self._answer()

    async def upload_as_stream(self, requests: AsyncIterator[bytes], _context: object) -> bytes:
        # The call's headers are its first word.
        at, digest, first = time.monotonic(), hashlib.sha256(), True
        async for request in requests:
            if first:
                self._notes(at, request)
                first = False
            if self.setting.verify:
                digest.update(talk_service_pb2.StreamTalkRequest.FromString(request).audio.chunk.data)
        if self.setting.verify:
            self.sha256s.append(digest.hexdigest())
        return await self._answer()

    def _notes(self, at: float, request: bytes) -> None:
        found = _MARK.search(request, 0, _MARK_WITHIN)
        self.first_at[found[0].decode() if found else str(self.calls)] = at

    async def _answer(self) -> bytes:
        if self.setting.latency_s:
            await asyncio.sleep(self.setting.latency_s)
        self.calls += 1
        return talk_service_pb2.UploadTalkResponse(talk_id=f"talk-{next(self.numbers)}").SerializeToString()

    def seen(self) -> dict[str, Any]:
        seen = {"calls": self.calls, "first_at": self.first_at, "sha256s": sorted(self.sha256s)}
        self.calls, self.first_at, self.sha256s = 0, {}, []
        return seen


async def _serve(setting: Setting, certificates_in: str) -> None:
    receiver = _Receiver(setting)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)])
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Upload": grpc.unary_unary_rpc_method_handler(receiver.upload),
        "UploadAsStream": grpc.stream_unary_rpc_method_handler(receiver.upload_as_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_NAME, handlers),))
    if setting.tls:
        ours = certificates(Path(certificates_in))
        credentials = grpc.ssl_server_credentials([(ours.private_key, ours.certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _say({"port": port})
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        _say(receiver.seen())
    await server.stop(0)


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--tls", default="")
    parser.add_argument("--verify", action="store_true")
    options = parser.parse_args(arguments)
    asyncio.run(_serve(Setting(bool(options.tls), options.latency, options.verify), options.tls))


if __name__ == "__main__":
    main()
