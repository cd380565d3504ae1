"""gRPC channels to SpeechSense: opening one, its state at this moment, and what a call that has ended says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import grpc

from speechsense_watch.core.masking import HIDDEN
from speechsense_watch.core.verdict import Code
from speechsense_watch.ports import ChannelState
from yandex.cloud.speechsense.v1 import talk_service_pb2

# Of gRPC's own tries. `ByHand` tries more often, and opens a new channel when it gets through.
LONG_BACKOFF_MS = 75_000
# The very first: a channel that takes over from another one connects once and leaves the rest to `ByHand`.
FIRST_BACKOFF_MS = 1_000
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


def code_of(error: grpc.RpcError) -> Code:
    # What the library raises is a Call as well; its type stubs do not say so.
    return Code((error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN).name)


def metadata_of(ended: object) -> dict[str, str | bytes]:
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
