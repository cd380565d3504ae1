"""The connection to SpeechSense: opening it, its state at this moment, why there is none, and a question that sends nothing."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TypeVar

import grpc

from speechsense_watch.core.rules import SearchScope
from speechsense_watch.core.verdict import Code
from speechsense_watch.edge.reach import Trouble, explain
from speechsense_watch.ports import Channel, ChannelState, CredentialError, Credentials, Searching, SearchTrouble
from yandex.cloud.iam.v1 import iam_token_service_pb2, iam_token_service_pb2_grpc
from yandex.cloud.speechsense.v1 import search_pb2, talk_service_pb2, talk_service_pb2_grpc

# Finding out why there is no connection costs a connection; gRPC tries by itself meanwhile.
EXPLAIN_EVERY_S = 30.0
CONNECT_WITHIN_S = 15.0
ANSWER_WITHIN_S = 15.0
_PAGE, _MOST_PAGES = 1_000, 10
_Message = TypeVar("_Message")

_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.initial_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 20_000),
    # A server allows a ping every 5 minutes by default and answers more with GOAWAY (grpc keepalive guide).
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    plaintext: bool = False
    ca_file: str = ""


def system_ca() -> bytes | None:
    """The machine's own CA certificates, so that what the administrator trusts is trusted; None leaves grpc its bundle."""
    found = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    try:
        return Path(found).read_bytes()
    except OSError:
        return None


def open_channel(endpoint: Endpoint) -> grpc.Channel:
    """Raises OSError when the CA file cannot be read."""
    if endpoint.plaintext:
        return grpc.insecure_channel(endpoint.address, options=_OPTIONS)
    roots = Path(endpoint.ca_file).read_bytes() if endpoint.ca_file else system_ca()
    return grpc.secure_channel(endpoint.address, grpc.ssl_channel_credentials(root_certificates=roots), options=_OPTIONS)


class Line:
    """A channel kept open. `on_news` is called, from a thread of grpc's, when it became ready or failed."""

    def __init__(self, endpoint: Endpoint, on_news: Callable[[], None]) -> None:
        """Raises OSError when the CA file cannot be read."""
        self.grpc = open_channel(endpoint)
        self._endpoint = endpoint
        self._on_news = on_news
        self._lock = threading.Lock()
        self._listening = False
        self._trouble: Trouble | None = None
        self._explaining = False
        self._explain_again_at = 0.0

    def close(self) -> None:
        self._stop_listening()
        self.grpc.close()

    def look(self) -> Channel:
        """The state now; asks for a connection when there is none."""
        state = _connectivity(self.grpc)
        if state is grpc.ChannelConnectivity.READY:
            self._stop_listening()
            self._trouble = None
            return Channel(ChannelState.READY)
        self._listen()
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE or self._trouble:
            self._explain()
            trouble = self._trouble or Trouble(f"{self._endpoint.address} cannot be reached: no gRPC connection comes about.")
            return Channel(ChannelState.FAILED, trouble.reason, trouble.message)
        return Channel(ChannelState.CONNECTING)

    def _heard(self, state: grpc.ChannelConnectivity) -> None:
        if state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
            self._on_news()

    def _listen(self) -> None:
        # Only while there is no connection: a subscription costs a thread that wakes five times a second.
        if not self._listening:
            self._listening = True
            self.grpc.subscribe(self._heard, try_to_connect=True)

    def _stop_listening(self) -> None:
        if self._listening:
            self._listening = False
            self.grpc.unsubscribe(self._heard)

    def _explain(self) -> None:
        with self._lock:
            if self._explaining or monotonic() < self._explain_again_at:
                return
            self._explaining = True
            self._explain_again_at = monotonic() + EXPLAIN_EVERY_S
        threading.Thread(target=self._find_out, name="explain", daemon=True).start()

    def _find_out(self) -> None:
        try:
            self._trouble = explain(self._endpoint.address, plaintext=self._endpoint.plaintext, ca_file=self._endpoint.ca_file)
        finally:
            self._explaining = False


def _connectivity(channel: grpc.Channel) -> grpc.ChannelConnectivity:
    """The state at this moment; asks for a connection when there is none.

    The public `subscribe` tells a state up to 0.2 s late and costs a thread; a claim must not be made on old news. grpc.aio
    has `get_state` for this, the synchronous API keeps it private (grpc/src/python/grpcio/grpc/_channel.py).
    """
    inner = channel._channel  # type: ignore[attr-defined]  # noqa: SLF001
    number = inner.check_connectivity_state(True)
    return next(state for state in grpc.ChannelConnectivity if state.value[0] == number)


def search(
    channel: grpc.Channel, credentials: Credentials, scope: SearchScope, connection_id: str, key: str, values: Sequence[str]
) -> Sequence[str]:
    """As `ports.Searching`. Follows the answer's pages while there are some, up to 10,000 talks, more than SpeechSense gives."""
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
    for _ in range(_MOST_PAGES):
        answer = _asked(credentials, lambda headers: stub.Search(request, metadata=headers, timeout=ANSWER_WITHIN_S))
        found += answer.talk_ids
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    return found


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
    answer = _asked(credentials, lambda headers: stub.Get(request, metadata=headers, timeout=ANSWER_WITHIN_S))
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


def _asked(credentials: Credentials, ask: Callable[[tuple[tuple[str, str], ...]], _Message]) -> _Message:
    """The answer. Raises SearchTrouble."""
    try:
        return ask(credentials.headers())
    except CredentialError as error:
        raise SearchTrouble(Code.UNAUTHENTICATED, str(error)) from error
    except grpc.RpcError as error:
        code, message = code_of(error), details_of(error)
        if code is Code.UNAUTHENTICATED:
            credentials.refused()
        raise SearchTrouble(code, message) from error


def code_of(error: grpc.RpcError) -> Code:
    # What the library raises is a Call as well; its type stubs do not say so.
    return Code((error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN).name)


def details_of(error: grpc.RpcError) -> str:
    return ((error.details() if hasattr(error, "details") else "") or "").strip()


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
            return Answer(code_of(error), details_of(error))
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
        metadata = (*(call.initial_metadata() or ()), *(call.trailing_metadata() or ()))
        date = next((value for key, value in metadata if key == "date" and isinstance(value, str)), "")
        if error is not None:
            return Exchanged(Answer(Code(call.code().name), call.details() or ""), date=date)
        made = call.result()
        return Exchanged(Answer(Code.OK), made.iam_token, made.expires_at.seconds, date)
