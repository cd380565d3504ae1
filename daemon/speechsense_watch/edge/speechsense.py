"""SpeechSense over gRPC: with channel.py the only module that knows grpc, with messages.py too the only one that knows the stubs.

gRPC's own retries are off: with them one lost answer was seen to make three talks. Every attempt is ours.
The wire contract is proto/yandex/cloud/speechsense/v1/talk_service.proto.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeAlias

import grpc

from speechsense_watch.core.patience import ON_ITS_WAY_BYTES, Patience, Wait
from speechsense_watch.core.rules import SearchScope
from speechsense_watch.core.verdict import Code, Halt, Outcome, PauseReason
from speechsense_watch.edge import channel, messages
from speechsense_watch.edge.channel import Conduit, Endpoint, Headers, code_of, details_of, metadata_of
from speechsense_watch.edge.line import Line
from speechsense_watch.edge.minding import Minding
from speechsense_watch.edge.retry_info import retry_after_s
from speechsense_watch.edge.secret import number_of
from speechsense_watch.ports import Channel, ChannelState, CredentialError, CredentialPending, Credentials, Halted, OnEnd, Talk
from yandex.cloud.speechsense.v1 import talk_service_pb2

# Answers of "unavailable" in a row, over a connection that stands, after which another connection is made: behind a name
# there may be other machines.
UNAVAILABLE_IN_A_ROW = 3

# Statuses that gRPC makes itself of an answer too large to be read, or of a stream that was reset with ENHANCE_YOUR_CALM or
# INADEQUATE_SECURITY (gRPC over HTTP2, "Errors"), and the words that tell them from the service's own. They refuse nothing: the
# service may have taken the talk before.
_LIKE_A_REFUSAL = frozenset({Code.RESOURCE_EXHAUSTED, Code.PERMISSION_DENIED})
_NOT_THE_SERVICES = ("Stream removed", "RST_STREAM", "metadata size exceeds", "CLIENT: Received message larger")
# Each try writes down what was said of it three times.
_MOST_SAID = 1000

LOOK_EVERY_S = 1.0
_ENDS_WITHIN_S = 0.1
PATIENCE = Patience()

# grpc logs a traceback whenever a request iterator raises. Ours raises on purpose: it is how a call is ended without the
# service taking what it has for the whole.
logging.getLogger("grpc._channel").setLevel(logging.CRITICAL)


# The stubs know the type of the result, the class at run time does not.
_Future: TypeAlias = "grpc.Future[talk_service_pb2.UploadTalkResponse]"
_Start: TypeAlias = Callable[[Conduit, tuple[tuple[str, str], ...]], _Future]


@dataclass(slots=True, eq=False)
class _Call:
    """One call under way, shared by grpc's threads, which pull from it and tell its end, and the one that looks after it."""

    on_end: OnEnd = lambda _: None
    lock: threading.Lock = field(default_factory=threading.Lock)
    shown: Headers = ()
    conduit: Conduit = field(init=False)
    began: float = 0.0
    future: _Future | None = None
    wait: Wait = field(default_factory=Wait)
    ended: threading.Event = field(default_factory=threading.Event)
    halt: Halt | None = None
    halt_message: str = ""
    bytes_sent: int = 0
    told: bool = False

    @property
    def committed(self) -> bool:
        return self.wait.committed

    def stop(self, halt: Halt, message: str = "") -> None:
        self.halt = self.halt or halt
        self.halt_message = self.halt_message or message
        if self.future is not None:
            self.future.cancel()


class GrpcService:
    """Keeps `ports.Service` and `ports.Searching`: one channel, kept open as long as there is something to send."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        on_ready: Callable[[], None],
        clock: Callable[[], float] = monotonic,
        chance: Callable[[], float] = lambda: 0.5,
        patience: Patience = PATIENCE,
    ) -> None:
        """Raises OSError when the CA file cannot be read."""
        self._credentials = credentials
        self._clock = clock
        self._patience = patience
        self._line = Line(endpoint, on_ready, clock, chance)
        self._unavailable_in_a_row = 0
        self._lock = threading.Lock()
        self._calls: set[_Call] = set()
        # Looks after all calls and tells how they ended.
        self._minding = Minding("calls", LOOK_EVERY_S, self._look_about, lambda: bool(self._under_way()), monotonic)
        self._stopping = False
        self._retired = False
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self._line.close()

    def channel(self) -> Channel:
        try:
            self._credentials.headers()
        except CredentialPending:
            line = self._line.look()
            return line if line.state is ChannelState.FAILED else Channel(ChannelState.CONNECTING)
        except CredentialError as error:
            return Channel(ChannelState.FAILED, PauseReason.NO_CREDENTIALS, str(error))
        return self._line.look()

    def idle(self) -> None:
        self._line.idle()

    def retire(self) -> None:
        """Another service takes over; this one closes when its last call has ended."""
        with self._lock:
            self._retired = True
            self.closed = not self._calls
        if self.closed:
            self.close()

    # --- calls -------------------------------------------------------------------------------

    def send_whole(self, talk: Talk, audio: bytes) -> Outcome:
        """As `begin_whole`, and waits for the end."""
        return _awaited(lambda on_end: self.begin_whole(talk, audio, on_end))

    def begin_whole(self, talk: Talk, audio: bytes, on_end: OnEnd) -> None:
        request = messages.whole(_metadata(talk), audio)
        call = _Call(on_end, bytes_sent=len(audio))
        call.wait.commits(self._clock(), len(audio))
        self._begin(call, talk, lambda conduit, metadata: conduit.upload.future(request, metadata=metadata))

    def send_stream(self, talk: Talk, pieces: Iterator[bytes], at_commit: Callable[[], None], hold_s: float) -> Outcome:
        def begin(on_end: OnEnd) -> None:
            call = _Call(on_end, wait=Wait(size_bytes=talk.size_bytes))
            requests = self._requests(call, talk, pieces, at_commit, hold_s)
            self._begin(call, talk, lambda conduit, metadata: conduit.upload_as_stream.future(requests, metadata=metadata))

        return _awaited(begin)

    def _requests(
        self, call: _Call, talk: Talk, pieces: Iterator[bytes], at_commit: Callable[[], None], hold_s: float
    ) -> Iterator[bytes]:
        """Runs on grpc's thread. It must raise, never end, when the recording is not sent whole: a stream that ends
        looks complete to the service.
        """
        try:
            for request in messages.stream_head(_metadata(talk)):
                yield from self._offered(call, request)
            held = b""
            for piece in pieces:
                if held:
                    call.bytes_sent += len(held)  # from here on the service may have it, whether we are asked for more or not
                    yield from self._offered(call, messages.stream_piece(held))
                held = piece
            call.ended.wait(hold_s)
            self._reach_commit(call, at_commit, call.bytes_sent + len(held))
            yield messages.stream_piece(held)
            call.bytes_sent += len(held)
        except Halted as halted:
            # What the service ended before is its own word, not ours.
            if not call.ended.is_set():
                call.stop(halted.halt, halted.message)
            raise

    def _offered(self, call: _Call, request: bytes) -> Iterator[bytes]:
        call.wait.begins(self._clock())
        yield request
        call.wait.ends(self._clock())
        if call.halt is not None:
            raise Halted(call.halt, call.halt_message)

    def _reach_commit(self, call: _Call, at_commit: Callable[[], None], handed_over: int) -> None:
        with call.lock:
            if call.halt is not None or call.ended.is_set():
                raise Halted(call.halt or Halt.STALLED)
            at_commit()
            call.wait.commits(self._clock(), min(handed_over, ON_ITS_WAY_BYTES))

    def _begin(self, call: _Call, talk: Talk, start: _Start) -> None:
        """The call is under way, and `on_end` is told once how it ended, on another thread mostly. It must not raise."""
        try:
            call.shown = self._credentials.headers()
        except CredentialError as error:
            call.on_end(Outcome(code=Code.CANCELLED, message=str(error), halt=Halt.NO_KEY))
            return
        metadata = (
            *call.shown,
            ("x-client-request-id", talk.request_id),
            # Documented as without effect for the AI services: sent in case that changes, relied on by nothing.
            ("idempotency-key", talk.uid[:32]),
        )
        with self._lock:
            # Closed: whoever calls had us in hand when another service took over.
            refused = self.closed or (self._stopping and not call.committed)
            if not refused:
                self._calls.add(call)
        if refused:
            call.on_end(Outcome(code=Code.CANCELLED, halt=Halt.SHUTDOWN))
            return
        call.conduit, call.began = self._line.take(), self._clock()
        try:
            self._minding.begin()
            future = start(call.conduit, metadata)
        except BaseException:
            self._let_go(call)
            raise
        call.future = future
        if call.halt is not None:
            future.cancel()  # stopped between registration and start
        # Told on no thread of grpc's: that brings the rest of the answer too, and is waited for when a channel is closed.
        future.add_done_callback(lambda _: self._ended_for_grpc(call, future))

    def _ended_for_grpc(self, call: _Call, future: _Future) -> None:
        call.ended.set()
        self._minding.hand(lambda: self._end(call, future))

    def _end(self, call: _Call, future: _Future) -> None:
        """What grpc has ended is told; and what it does not end for as long as its connection is dead."""
        call.ended.set()
        with call.lock:  # a commit mark that is being written at this moment is on the row before anything is told
            if call.told:
                return
            call.told = True
            outcome = self._outcome(call, future, call.shown)
        if outcome.halt is None and outcome.code not in (Code.UNAVAILABLE, Code.CANCELLED):
            self._line.heard(call.conduit, call.began)
        self._count_unavailable(outcome)
        self._let_go(call)
        call.on_end(outcome)

    def _let_go(self, call: _Call) -> None:
        call.conduit.end()
        with self._lock:
            self._calls.discard(call)
            last = self._retired and not self._calls
            self.closed = self.closed or last
        if last:
            self.close()

    # --- calls under way -----------------------------------------------------------------------

    def _under_way(self) -> list[_Call]:
        with self._lock:
            return list(self._calls)

    def _look_about(self) -> None:
        begun = [(call, call.future) for call in self._under_way() if call.future is not None]
        for call, _ in begun:
            self._look_after(call, call.conduit)
        until = monotonic() + _ENDS_WITHIN_S
        for call, future in begun:
            if call.halt is not None and not call.ended.wait(max(0.0, until - monotonic())):
                # It is over for us; grpc ends it when its buffers are empty, on a dead connection that is never.
                self._end(call, future)

    def _look_after(self, call: _Call, conduit: Conduit) -> None:
        """A call that waits for too long is ended, and one whose connection is dead as soon as that is known."""
        self._line.mind()
        with call.lock:  # so that it is not at its commit point at this moment
            if conduit.dead:
                call.stop(Halt.PEER_GONE)
            elif call.wait.too_long(self._clock(), self._patience):
                call.stop(Halt.STALLED)

    def _count_unavailable(self, outcome: Outcome) -> None:
        unavailable = outcome.code is Code.UNAVAILABLE and outcome.halt is None
        with self._lock:
            self._unavailable_in_a_row = self._unavailable_in_a_row + 1 if unavailable else 0
            renew = self._unavailable_in_a_row >= UNAVAILABLE_IN_A_ROW
            if renew:
                self._unavailable_in_a_row = 0
        if renew:
            self._line.renew()

    def _outcome(self, call: _Call, future: _Future, shown: Headers) -> Outcome:
        talk_id, code = "", Code.OK
        try:
            talk_id = str(future.result().talk_id)
        except grpc.RpcError as error:
            code = code_of(error)
        except grpc.FutureCancelledError:
            code = Code.CANCELLED
        if code is Code.UNAUTHENTICATED:
            self._credentials.refused()
        details = "" if code is Code.OK else (call.halt_message or _details(future, shown))
        if code in _LIKE_A_REFUSAL and any(words in details for words in _NOT_THE_SERVICES):
            code = Code.UNAVAILABLE
        metadata = metadata_of(future)
        return Outcome(
            code=code,
            message=details,
            # What ended it first counts: a refusal that came before we stopped is a refusal.
            halt=call.halt if code in (Code.CANCELLED, Code.UNKNOWN) else None,
            talk_id=talk_id,
            committed=call.committed,
            bytes_sent=call.bytes_sent,
            server_request_id=str(metadata.get("x-request-id") or metadata.get("x-server-trace-id") or ""),
            retry_after_s=retry_after_s(metadata),
            credentials=number_of(shown),
        )

    # --- questions -----------------------------------------------------------------------------

    def search(self, scope: SearchScope, connection_id: str, key: str, values: Sequence[str]) -> Sequence[str]:
        with self._line.used() as conduit:
            return channel.search(conduit.channel, self._credentials, scope, connection_id, key, values)

    def values_of(self, scope: SearchScope, connection_id: str, talk_ids: Sequence[str], name: str) -> Mapping[str, str]:
        with self._line.used() as conduit:
            return channel.values_of(conduit.channel, self._credentials, scope, connection_id, talk_ids, name)

    def stop_uncommitted(self) -> None:
        with self._lock:
            self._stopping = True
            calls = list(self._calls)
        for call in calls:
            with call.lock:
                if not call.committed:
                    call.stop(Halt.SHUTDOWN)

    def stop_all(self) -> None:
        self.stop_uncommitted()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.stop(Halt.SHUTDOWN)


def _awaited(begin: Callable[[OnEnd], None]) -> Outcome:
    ended: SimpleQueue[Outcome] = SimpleQueue()
    begin(ended.put)
    while True:
        # Not for ever: the kernel may hand a signal to any thread, and Python sees to it on the main one, if that ever wakes.
        with suppress(Empty):
            return ended.get(timeout=LOOK_EVERY_S)


def _metadata(talk: Talk) -> talk_service_pb2.TalkMetadata:
    return talk_service_pb2.TalkMetadata(connection_id=talk.connection_id, fields=talk.fields)


def _details(future: _Future, shown: Headers) -> str:
    said = details_of(future, shown)
    return said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]}..."
