"""Asking SpeechSense without sending it anything: whether it answers, and what it says of our key."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from speechsense_watch.core.verdict import Code
from speechsense_watch.edge.speechsense import Endpoint, open_channel
from speechsense_watch.ports import Credentials
from yandex.cloud.speechsense.v1 import talk_service_pb2, talk_service_pb2_grpc

CONNECT_WITHIN_S = 15.0
ANSWER_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How a question ended; `code` is None when no connection came about."""

    code: Code | None
    message: str = ""


def ask(endpoint: Endpoint, credentials: Credentials, connection_id: str) -> Answer:
    """What the service answers when it is asked for no talk at all of a connection; nothing is stored or billed by that.

    Takes at most half a minute. Raises CredentialError, and OSError when the CA file cannot be read.
    """
    headers = credentials.headers()
    with open_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_WITHIN_S)
        except grpc.FutureTimeoutError:
            return Answer(None)
        request = talk_service_pb2.GetTalkRequest(connection_id=connection_id)
        try:
            talk_service_pb2_grpc.TalkServiceStub(channel).Get(request, metadata=headers, timeout=ANSWER_WITHIN_S)
        except grpc.RpcError as error:
            # What the library raises is a Call as well; its type stubs do not say so.
            code = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
            details = error.details() if hasattr(error, "details") else ""
            return Answer(Code(code.name), details or "")
    return Answer(Code.OK)
