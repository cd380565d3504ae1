"""A stream that is reset and an answer that cannot be read are no word of the service, though gRPC makes statuses of them that
look like one.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import grpc
import pytest

from speechsense_watch.core.verdict import Code, Kind, judge
from speechsense_watch.edge.channel import Endpoint
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.ports import ChannelState, Talk
from support.waiting import wait_for
from yandex.cloud.speechsense.v1 import talk_service_pb2, talk_service_pb2_grpc

TALK = Talk(connection_id="conn", fields={}, request_id="one", uid="ab" * 32)
# RFC 9113, 6: types of frames and their flags; 7: error codes.
DATA, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 3, 4, 6, 8
ACK = END_STREAM = 1
NO_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY = 0, 11, 12


class NoKey:
    """Keeps `ports.Credentials`."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        return ()

    def refused(self) -> None: ...


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _reset_each(connection: socket.socket, code: int, *, whole: bool) -> None:
    """Every call on the connection is reset: when it is there whole, or at its first bytes."""
    with connection, connection.makefile("rb") as came, suppress(OSError):
        came.read(24)
        connection.sendall(frame(SETTINGS, 0, 0))
        while head := came.read(9):
            size, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:9], "big")
            payload = came.read(size)
            if kind in (SETTINGS, PING) and not flags & ACK:
                connection.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            if kind == DATA and size:
                connection.sendall(b"".join(frame(WINDOW_UPDATE, 0, of, struct.pack(">I", size)) for of in (0, stream)))
            if kind == DATA and (flags & END_STREAM or not whole):
                connection.sendall(frame(RST_STREAM, 0, stream, struct.pack(">I", code)))


@contextmanager
def resetting(code: int, *, whole: bool) -> Iterator[GrpcService]:
    """A service whose every call ends so."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=_reset_each, args=(connection, code), kwargs={"whole": whole}, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        endpoint = Endpoint(f"127.0.0.1:{listening.getsockname()[1]}", plaintext=True)
        with closing(GrpcService(endpoint, NoKey(), lambda: None)) as service:
            wait_for(lambda: service.channel().state is ChannelState.READY)
            yield service
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("code", [NO_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY])
def test_after_the_commit_mark_it_leaves_the_outcome_unknown(code: int) -> None:
    """The service may have stored the talk before somebody on the way had enough of the stream."""
    with resetting(code, whole=True) as service:
        outcome = service.send_whole(TALK, b"x" * 1000)
    assert judge(outcome).kind is Kind.UNKNOWN
    assert "RST_STREAM" in outcome.message


@pytest.mark.parametrize("code", [ENHANCE_YOUR_CALM, INADEQUATE_SECURITY])
def test_before_it_the_service_is_in_trouble_and_no_quota_or_right_is_lacking(code: int) -> None:
    """The last piece is held back for as long as the call lasts."""
    with resetting(code, whole=False) as service:
        outcome = service.send_stream(TALK, iter([b"x" * 1000] * 2), lambda: None, 10.0)
    assert (outcome.code, outcome.committed, judge(outcome).kind) == (Code.UNAVAILABLE, False, Kind.SERVICE)


@pytest.mark.parametrize("too_much", ["in one trailer", "as the answer"])
def test_an_answer_too_large_to_be_read_refuses_nothing(too_much: str) -> None:
    """gRPC says RESOURCE_EXHAUSTED of it, as a service does that has no quota left; but this one has taken the talk."""

    class Verbose(talk_service_pb2_grpc.TalkServiceServicer):
        def Upload(  # noqa: N802 - the name in the contract
            self, request: talk_service_pb2.UploadTalkRequest, context: grpc.ServicerContext
        ) -> talk_service_pb2.UploadTalkResponse:
            if too_much == "in one trailer":
                context.set_trailing_metadata((("x-note", "v" * 20_000),))
                return talk_service_pb2.UploadTalkResponse(talk_id="stored")
            return talk_service_pb2.UploadTalkResponse(talk_id="t" * 5 * 2**20)

    server = grpc.server(ThreadPoolExecutor(1))
    talk_service_pb2_grpc.add_TalkServiceServicer_to_server(Verbose(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with closing(GrpcService(Endpoint(f"127.0.0.1:{port}", plaintext=True), NoKey(), lambda: None)) as service:
            wait_for(lambda: service.channel().state is ChannelState.READY)
            assert judge(service.send_whole(TALK, b"x" * 1000)).kind is Kind.UNKNOWN
    finally:
        server.stop(None).wait()
