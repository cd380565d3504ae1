"""Questions to SpeechSense and IAM; nothing is uploaded or billed by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

import grpc

from speechsense_watch.core.rules import SearchScope
from speechsense_watch.core.verdict import Code
from speechsense_watch.edge.channel import Endpoint, Headers, code_of, details_of, metadata_of, open_channel
from speechsense_watch.edge.retry_info import retry_after_s
from speechsense_watch.ports import Channel, ChannelState, CredentialError, Credentials, Searching, SearchTrouble
from yandex.cloud.iam.v1 import iam_token_service_pb2, iam_token_service_pb2_grpc
from yandex.cloud.speechsense.v1 import search_pb2, talk_service_pb2, talk_service_pb2_grpc

CONNECT_WITHIN_S = 15.0
ANSWER_WITHIN_S = 15.0
# A look-up waits behind what uploads have on the line: 36 s were seen at 8 kB/s. For all its pages together.
LOOK_UP_WITHIN_S = 120.0
_PAGE, _MOST_PAGES = 1_000, 10
_Message = TypeVar("_Message")


def search(
    channel: grpc.Channel, credentials: Credentials, scope: SearchScope, connection_id: str, key: str, values: Sequence[str]
) -> Sequence[str]:
    """As `ports.Searching`. Follows the pages up to 10,000 talks, more than SpeechSense gives. An answer that goes on then
    is none: what it has not named yet would look absent.
    """
    found: list[str] = []
    request = talk_service_pb2.SearchTalkRequest(
        organization_id=scope.organization_id,
        space_id=scope.space_id,
        connection_id=connection_id,
        project_id=scope.project_id,
        filters=[search_pb2.Filter(key=key, any_match=search_pb2.AnyMatchFilter(values=values))],
        page_size=_PAGE,
    )
    stub = talk_service_pb2_grpc.TalkServiceStub(channel)
    until = monotonic() + LOOK_UP_WITHIN_S
    for _ in range(_MOST_PAGES):
        answer = _asked(credentials, lambda headers: stub.Search(request, metadata=headers, timeout=until - monotonic()))
        found += answer.talk_ids
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token
    raise SearchTrouble(Code.OUT_OF_RANGE, f"There is no end of talks by {key}, so the filter is not heeded.")


def values_of(
    channel: grpc.Channel, credentials: Credentials, scope: SearchScope, connection_id: str, talk_ids: Sequence[str], name: str
) -> Mapping[str, str]:
    """As `ports.Searching`."""
    request = talk_service_pb2.GetTalkRequest(
        organization_id=scope.organization_id,
        space_id=scope.space_id,
        connection_id=connection_id,
        project_id=scope.project_id,
        talk_ids=talk_ids,
    )
    stub = talk_service_pb2_grpc.TalkServiceStub(channel)
    answer = _asked(credentials, lambda headers: stub.Get(request, metadata=headers, timeout=LOOK_UP_WITHIN_S))
    # Whether a field's name comes with a prefix there is not documented.
    return {talk.id: each.value for talk in answer.talk for each in talk.talk_fields if each.name.rpartition(".")[2] == name}


class _Asking:
    """Keeps what of `ports.Searching` asks."""

    def __init__(self, channel: grpc.Channel, credentials: Credentials) -> None:
        self._channel = channel
        self._credentials = credentials

    def channel(self) -> Channel:
        return Channel(ChannelState.READY)

    def search(self, scope: SearchScope, connection_id: str, key: str, values: Sequence[str]) -> Sequence[str]:
        return search(self._channel, self._credentials, scope, connection_id, key, values)

    def values_of(self, scope: SearchScope, connection_id: str, talk_ids: Sequence[str], name: str) -> Mapping[str, str]:
        return values_of(self._channel, self._credentials, scope, connection_id, talk_ids, name)


@contextmanager
def asking(endpoint: Endpoint, credentials: Credentials) -> Iterator[Searching]:
    """Questions over a connection of their own. Raises OSError when the CA file cannot be read."""
    with open_channel(endpoint) as channel:
        yield _Asking(channel, credentials)


def _asked(credentials: Credentials, ask: Callable[[Headers], _Message]) -> _Message:
    """The answer. Raises SearchTrouble."""
    headers: Headers = ()
    try:
        headers = credentials.headers()
        return ask(headers)
    except CredentialError as error:
        raise SearchTrouble(Code.UNAUTHENTICATED, str(error)) from error
    except grpc.RpcError as error:
        code, message = code_of(error), details_of(error, headers)
        if code is Code.UNAUTHENTICATED:
            credentials.refused()
        raise SearchTrouble(code, message, retry_after_s(metadata_of(error))) from error


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
            return Answer(code_of(error), details_of(error, headers))
    return Answer(Code.OK)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What IAM made of a JWT: a token that expires at that Unix time (0: it did not say), or a refusal. `date` is the header of
    that name with the server's time, where the answer has one.
    """

    answer: Answer
    token: str = field(default="", repr=False)
    expires_at_s: int = 0
    date: str = ""


def exchange(endpoint: Endpoint, jwt: str) -> Exchanged:
    """An IAM token for a service account's JWT. Takes at most half a minute. Raises OSError when the CA file cannot be read."""
    with open_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_WITHIN_S)
        except grpc.FutureTimeoutError:
            return Exchanged(Answer(None))
        request = iam_token_service_pb2.CreateIamTokenRequest(jwt=jwt)
        service = iam_token_service_pb2_grpc.IamTokenServiceStub(channel)
        call = service.Create.future(request, timeout=ANSWER_WITHIN_S)
        error = call.exception()
        date = str(metadata_of(call).get("date", ""))
        if error is not None:
            return Exchanged(Answer(Code(call.code().name), call.details() or ""), date=date)
        made = call.result()
        return Exchanged(Answer(Code.OK), made.iam_token, made.expires_at.seconds, date)
