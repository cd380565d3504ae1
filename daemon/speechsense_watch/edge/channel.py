"""gRPC channels to SpeechSense: opening one, its state at this moment, and questions that send nothing."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TypeAlias, TypeVar

import grpc

from speechsense_watch.core.masking import HIDDEN
from speechsense_watch.core.rules import SearchScope
from speechsense_watch.core.verdict import Code
from speechsense_watch.edge.retry_info import retry_after_s
from speechsense_watch.ports import Channel, ChannelState, CredentialError, Credentials, Searching, SearchTrouble
from yandex.cloud.iam.v1 import iam_token_service_pb2, iam_token_service_pb2_grpc
from yandex.cloud.speechsense.v1 import search_pb2, talk_service_pb2, talk_service_pb2_grpc

# Of gRPC's own tries. `ByHand` tries more often, and opens a new channel when it gets through.
LONG_BACKOFF_MS = 75_000
# The very first: a channel that takes over from another one connects once and leaves the rest to `ByHand`.
FIRST_BACKOFF_MS = 1_000
CONNECT_WITHIN_S = 15.0
ANSWER_WITHIN_S = 15.0
# A look-up waits behind what uploads have on the line: 36 s were seen at 8 kB/s. For all its pages together.
LOOK_UP_WITHIN_S = 120.0
_PAGE, _MOST_PAGES = 1_000, 10
_Message = TypeVar("_Message")
Headers: TypeAlias = tuple[tuple[str, str], ...]

# Any gRPC server answers it, with what does not matter; no key is shown. (github.com/grpc/grpc, doc/health-checking.md)
_QUESTION = "/grpc.health.v1.Health/Check"
_TALKS = "/yandex.cloud.speechsense.v1.TalkService"
_ANSWER = talk_service_pb2.UploadTalkResponse.FromString
# No one waits for so long; nothing is left behind.
_FORGET_AFTER_S = 1_000.0
_STATES = {
    grpc.ChannelConnectivity.READY.value[0]: ChannelState.READY,
    grpc.ChannelConnectivity.TRANSIENT_FAILURE.value[0]: ChannelState.FAILED,
}

_OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_reconnect_backoff_ms", LONG_BACKOFF_MS),
    # Else a new channel gets what another one of this process has, in whatever state that is.
    ("grpc.use_local_subchannel_pool", 1),
    # A server allows a ping every 5 minutes by default and answers more with GOAWAY (grpc keepalive guide); `Pulse` finds out
    # sooner. The timeout is TCP_USER_TIMEOUT as well: what was sent and is not acknowledged for so long ends the connection, and
    # so does a receiver that opens no window for so long. 20 s ended uploads over a line of 8 kB/s.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 120_000),
    ("grpc.http2.ping_timeout_ms", 120_000),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    plaintext: bool = False
    ca_file: str = ""

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def system_ca() -> bytes | None:
    """The machine's own CA certificates, so that what the administrator trusts is trusted; None leaves grpc its bundle."""
    found = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    try:
        return Path(found).read_bytes()
    except OSError:
        return None


def opener(endpoint: Endpoint, first_backoff_ms: int = FIRST_BACKOFF_MS) -> Callable[[], grpc.Channel]:
    """Opens a channel by the certificates as they are now. Raises OSError when the CA file cannot be read."""
    options = (*_OPTIONS, ("grpc.initial_reconnect_backoff_ms", first_backoff_ms))
    if endpoint.plaintext:
        return lambda: grpc.insecure_channel(endpoint.address, options=options)
    roots = Path(endpoint.ca_file).read_bytes() if endpoint.ca_file else system_ca()
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return lambda: grpc.secure_channel(endpoint.address, credentials, options=options)


def open_channel(endpoint: Endpoint) -> grpc.Channel:
    """Raises OSError when the CA file cannot be read."""
    return opener(endpoint)()


class Conduit:
    """One gRPC channel, opened when it is first needed, and the calls that use it. Once it is given up it closes as the last of
    them ends.
    """

    def __init__(self, opens: Callable[[], grpc.Channel]) -> None:
        self._opens = opens
        self._channel: grpc.Channel | None = None
        self._lock = threading.Lock()
        self._users = 0
        self._given_up = self._closed = False
        # Nobody is at its other end any more: what is under way on it gets no further.
        self.dead = False
        self._listener: Callable[[grpc.ChannelConnectivity], None] | None = None

    @property
    def channel(self) -> grpc.Channel:
        """Once that was closed, it raises whatever is asked of it."""
        with self._lock:
            if self._channel is None:
                self._channel = self._opens()
                if self._closed:
                    self._channel.close()
            return self._channel

    @property
    def opened(self) -> bool:
        with self._lock:
            return self._channel is not None

    @property
    def used(self) -> bool:
        with self._lock:
            return self._users > 0

    # As the stubs have them, but for requests that are serialised already (`messages`).
    @cached_property
    def upload(self) -> grpc.UnaryUnaryMultiCallable[bytes, talk_service_pb2.UploadTalkResponse]:
        return self.channel.unary_unary(f"{_TALKS}/Upload", response_deserializer=_ANSWER)

    @cached_property
    def upload_as_stream(self) -> grpc.StreamUnaryMultiCallable[bytes, talk_service_pb2.UploadTalkResponse]:
        return self.channel.stream_unary(f"{_TALKS}/UploadAsStream", response_deserializer=_ANSWER)

    def begin(self) -> None:
        with self._lock:
            self._users += 1

    def end(self) -> None:
        with self._lock:
            self._users -= 1
        self._close_if_done()

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        with self._lock:
            done = self._given_up and not self._users
        if done:
            self.close()

    def close(self, within_s: float = 0.0) -> None:
        """Waited for only so long: grpc's own `close` waits until everything has left its buffers, on a dead connection until TCP
        gives up, and for callbacks of ours.
        """
        with self._lock:
            self._closed = True
            if self._channel is None:
                return
        self.deaf()
        closing = threading.Thread(target=self._close, name="close-channel", daemon=True)
        closing.start()
        closing.join(within_s)

    def _close(self) -> None:
        """The thread by which gRPC tells states raises when the channel closes under it; it ends within 0.2 s of nobody listening
        (grpc/src/python/grpcio/grpc/_channel.py, _poll_connectivity).
        """
        telling = self.channel._connectivity_state  # type: ignore[attr-defined]  # noqa: SLF001
        for _ in range(200):  # on a machine that is busy; nobody waits for this thread
            if not telling.polling:
                break
            threading.Event().wait(0.05)
        self.channel.close()

    @property
    def state(self) -> ChannelState:
        """At this moment; asks for a connection when there is none.

        The public `subscribe` tells a state up to 0.2 s late and costs a thread; a claim must not be made on old news. grpc.aio
        has `get_state` for this, the synchronous API keeps it private (grpc/src/python/grpcio/grpc/_channel.py).
        """
        inner = self.channel._channel  # type: ignore[attr-defined]  # noqa: SLF001
        return _STATES.get(inner.check_connectivity_state(True), ChannelState.CONNECTING)

    def listen(self, on_news: Callable[[], None]) -> None:
        """`on_news` is called, from a thread of grpc's, when a connection comes about or fails to, until `deaf`."""
        if self._listener is None:
            self._listener = lambda state: on_news() if state.value[0] in _STATES else None
            self.channel.subscribe(self._listener, try_to_connect=True)

    def deaf(self) -> None:
        # A subscription costs a thread that wakes five times a second.
        if self._listener is not None:
            self.channel.unsubscribe(self._listener)
            self._listener = None

    def ask(self, answered: Callable[[], None]) -> None:
        """Asks what any gRPC server answers; `answered` is called, from a thread of grpc's, if an answer comes."""

        def ended(future: grpc.Future[bytes]) -> None:
            if not future.cancelled():
                error = future.exception()
                # UNAVAILABLE: said by the other end, or the connection broke, and then gRPC knows.
                code = code_of(error) if isinstance(error, grpc.RpcError) else Code.OK
                if code is not Code.DEADLINE_EXCEEDED:
                    answered()

        question = self.channel.unary_unary(_QUESTION, _as_it_is, _as_it_is)
        question.future(b"", timeout=_FORGET_AFTER_S).add_done_callback(ended)


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


def code_of(error: grpc.RpcError) -> Code:
    # What the library raises is a Call as well; its type stubs do not say so.
    return Code((error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN).name)


def metadata_of(ended: object) -> Mapping[str, str | bytes]:
    """What came before and after the answer. What is no call, by the library's type stubs, is one all the same."""
    return dict([*(ended.initial_metadata() or ()), *(ended.trailing_metadata() or ())]) if isinstance(ended, grpc.Call) else {}


def details_of(error: object, shown: Headers = ()) -> str:
    """What the other end said; the key that it was `shown` is hidden, should it quote it."""
    said = ((error.details() if hasattr(error, "details") else "") or "").strip()
    for secret in (value.rpartition(" ")[2] for name, value in shown if name == "authorization"):
        said = said.replace(secret, HIDDEN) if secret else said
    return said


def _as_it_is(message: bytes) -> bytes:
    return message


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
