"""The stand-in's side of TalkService: what it demands of a call, what it keeps, what it answers.

UploadText and UploadBadge are not played and answer UNIMPLEMENTED, as the base class does.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from speechsense_watch.standin.calls import CallLog, CallRecord
from speechsense_watch.standin.checks import (
    UNARY_LIMIT_BYTES,
    Connection,
    CutShort,
    Refused,
    check_fields,
    check_wav,
    invalid,
)
from speechsense_watch.standin.faults import CODES, Facts, Fault, FaultBook, Point, Special
from speechsense_watch.standin.late import LateCommits
from speechsense_watch.standin.reading import Reading
from speechsense_watch.standin.rules import Rules
from speechsense_watch.standin.storage import Incoming, Storage, StoredTalk
from yandex.cloud.speechsense.v1.audio_pb2 import AudioMetadata, ContainerAudio
from yandex.cloud.speechsense.v1.talk_service_pb2 import (
    GetTalkRequest,
    GetTalkResponse,
    SearchTalkRequest,
    SearchTalkResponse,
    StreamTalkRequest,
    TalkMetadata,
    UploadTalkRequest,
    UploadTalkResponse,
)
from yandex.cloud.speechsense.v1.talk_service_pb2_grpc import TalkServiceServicer

Answer = TypeVar("Answer")
BROKEN_OFF = "the stream broke off before its end"


@dataclass(slots=True)
class _Call:
    """A call while it goes on. `gone` is set when nobody waits for its answer any more."""

    context: grpc.ServicerContext
    trailing: tuple[tuple[str, str], ...]
    facts: Facts
    record: CallRecord
    gone: threading.Event
    faults: list[str] = field(default_factory=list)
    talk_id: str = ""
    size_bytes: int = 0
    # How fast its audio is read; 0: as fast as it comes.
    bytes_per_s: int = 0


class StandInTalkService(TalkServiceServicer):
    def __init__(
        self,
        rules: Rules,
        storage: Storage,
        faults: FaultBook,
        *,
        calls: CallLog,
        now: Callable[[], datetime],
        echo: Callable[[str], None],
    ) -> None:
        self._rules = rules
        self._storage = storage
        self._faults = faults
        self._calls = calls
        self._now = now
        self._echo = echo
        self._reading = Reading(rules, storage, now)
        self._late = LateCommits(storage, now, echo)
        self._lock = threading.Lock()
        self._waiting: set[threading.Event] = set()
        self._stopping = False

    def release(self) -> None:
        """Every call that hangs or waits on order goes on at once, and none waits from now on."""
        with self._lock:
            self._stopping = True
            for gone in self._waiting:
                gone.set()

    def finish(self) -> None:
        """After the last call: what was to be stored late is stored now."""
        self._late.finish()

    # --- the methods -------------------------------------------------------------------------

    def Upload(self, request: UploadTalkRequest, context: grpc.ServicerContext) -> UploadTalkResponse:  # noqa: N802
        return self._answer("Upload", context, lambda call: self._take_whole(call, request))

    def UploadAsStream(  # noqa: N802
        self, request_iterator: Iterator[StreamTalkRequest], context: grpc.ServicerContext
    ) -> UploadTalkResponse:
        return self._answer("UploadAsStream", context, lambda call: self._take_stream(call, request_iterator))

    def Search(self, request: SearchTalkRequest, context: grpc.ServicerContext) -> SearchTalkResponse:  # noqa: N802
        def work(call: _Call) -> SearchTalkResponse:
            self._read_from(call, request.connection_id)
            return self._reading.search(request)

        return self._answer("Search", context, work)

    def Get(self, request: GetTalkRequest, context: grpc.ServicerContext) -> GetTalkResponse:  # noqa: N802
        def work(call: _Call) -> GetTalkResponse:
            self._read_from(call, request.connection_id)
            return self._reading.get(request)

        return self._answer("Get", context, work)

    # --- every call --------------------------------------------------------------------------

    def _answer(self, method: str, context: grpc.ServicerContext, work: Callable[[_Call], Answer]) -> Answer:
        """`work` done and its end on record, with the service's own ids in the trailing metadata of any answer."""
        call = self._begin(method, context)
        answer: Answer | None = None
        end = Refused(grpc.StatusCode.UNKNOWN, "the stand-in itself failed")
        try:
            self._check_key(context)
            made = work(call)
            self._strike(call, Point.AFTER)
            answer, end = made, Refused(grpc.StatusCode.OK, "")
        except Refused as refused:
            end = refused
        except grpc.RpcError:
            # What grpc raises from the request iterator of a call that its client gave up.
            end = Refused(grpc.StatusCode.CANCELLED, BROKEN_OFF)
        finally:
            self._end(call, end)
        if answer is None:
            if end.trailing:
                context.set_trailing_metadata((*call.trailing, *end.trailing))
            context.abort(end.code, end.message)
        return answer

    def _begin(self, method: str, context: grpc.ServicerContext) -> _Call:
        given = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        server_request_id = str(uuid.uuid4())
        trailing = (("x-request-id", server_request_id), ("x-server-trace-id", uuid.uuid4().hex))
        context.set_trailing_metadata(trailing)
        record = self._calls.begin(server_request_id, method, given.get("x-client-request-id", ""))
        gone = threading.Event()
        with self._lock:
            self._waiting.add(gone)
            stopping = self._stopping
        if stopping or not context.add_callback(gone.set):
            gone.set()
        return _Call(context, trailing, Facts(method), record, gone)

    def _end(self, call: _Call, end: Refused) -> None:
        with self._lock:
            self._waiting.discard(call.gone)
        self._calls.end(
            replace(
                call.record,
                code=end.code.name,
                message=end.message,
                connection_id=call.facts.connection_id,
                talk_id=call.talk_id,
                size_bytes=call.size_bytes,
                faults=tuple(call.faults),
            )
        )
        what = ": ".join(filter(None, (end.code.name, end.message)))
        on_order = f" [on order: {', '.join(call.faults)}]" if call.faults else ""
        talk = f" {call.talk_id} ({call.size_bytes:,} bytes)" if call.talk_id else ""
        self._echo(f"{call.facts.method}{talk} {what}{on_order}")

    def _check_key(self, context: grpc.ServicerContext) -> None:
        if not self._rules.keys:
            return
        given = dict(context.invocation_metadata()).get("authorization", "")
        scheme, _, key = str(given).partition(" ")
        if scheme not in ("Api-Key", "Bearer") or key not in self._rules.keys:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, "the key or token in `authorization` is lacking or unknown")

    def _connection(self, connection_id: str) -> Connection:
        if not connection_id:
            raise invalid("connection_id is lacking")
        return self._rules.connection(connection_id)

    def _read_from(self, call: _Call, connection_id: str) -> None:
        call.facts.connection_id = connection_id
        self._strike(call, Point.BEFORE)
        if connection_id:
            self._connection(connection_id)

    # --- uploads -----------------------------------------------------------------------------

    def _take_whole(self, call: _Call, request: UploadTalkRequest) -> UploadTalkResponse:
        with self._storage.incoming() as incoming:
            incoming.write(request.audio.audio_data.data)
            call.facts.sha256, call.size_bytes = incoming.sha256, incoming.size_bytes
            self._meet(call, request.metadata)
            self._strike(call, Point.MID)
            known = self._known_talk(request.talk_id)
            # Whether an update may come without audio is not documented: the stand-in takes both.
            if known is not None and not request.HasField("audio"):
                return self._store(call, request.metadata, None, known)
            _read_slowly(call, incoming.size_bytes)
            _check_container(request.audio.audio_metadata)
            if incoming.size_bytes >= UNARY_LIMIT_BYTES:
                raise invalid("audio of 128 MB or more has to be streamed")
            self._check_audio(call, incoming)
            return self._store(call, request.metadata, incoming, known)

    def _take_stream(self, call: _Call, requests: Iterator[StreamTalkRequest]) -> UploadTalkResponse:
        first = next(requests, None)
        if first is None or first.WhichOneof("Event") != "metadata":
            raise invalid("the first message of a stream must be the talk's metadata")
        self._meet(call, first.metadata)
        with self._storage.incoming() as incoming:
            whole = self._take_audio(call, requests, incoming)
            call.facts.sha256 = incoming.sha256
            self._strike(call, Point.MID)
            self._check_audio(call, incoming, whole=whole)
            return self._store(call, first.metadata, incoming, None)

    def _meet(self, call: _Call, metadata: TalkMetadata) -> None:
        """The metadata are known: faults may strike by them, and then they are checked."""
        call.facts.connection_id, call.facts.fields = metadata.connection_id, dict(metadata.fields)
        self._strike(call, Point.BEFORE)
        check_fields(metadata.fields, self._connection(metadata.connection_id))

    def _take_audio(self, call: _Call, requests: Iterator[StreamTalkRequest], incoming: Incoming) -> bool:
        """Whether the stream was seen to end as it should; all that came of it is on disk.

        That it was seen to says little: grpc ends the requests of many clients that died as if they had come to their
        end (grpc/grpc#33038). So the audio's own header decides what is whole.
        """
        with contextlib.suppress(grpc.RpcError):
            second = next(requests, None)
            if second is None or second.audio.WhichOneof("AudioEvent") != "audio_metadata":
                raise invalid("the second message of a stream must be the audio's metadata")
            _check_container(second.audio.audio_metadata)
            for request in requests:
                if request.audio.WhichOneof("AudioEvent") != "chunk":
                    raise invalid("after the audio's metadata a stream holds nothing but chunks of audio")
                incoming.write(request.audio.chunk.data)
                call.size_bytes = incoming.size_bytes
                self._strike(call, Point.MID)
                _read_slowly(call, len(request.audio.chunk.data))
            return True
        return False

    def _check_audio(self, call: _Call, incoming: Incoming, *, whole: bool = True) -> None:
        try:
            if not whole:
                _break_off()
            check_wav(incoming.file, incoming.size_bytes)
        except CutShort:
            fault = self._faults.strike(call.facts, Point.TRUNCATED)
            if fault is None or not incoming.size_bytes:
                raise
            call.faults.append(fault.what)

    def _known_talk(self, talk_id: str) -> StoredTalk | None:
        known = self._storage.talk(talk_id) if talk_id else None
        if talk_id and known is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"there is no talk {talk_id}")
        return known

    def _store(
        self, call: _Call, metadata: TalkMetadata, incoming: Incoming | None, known: StoredTalk | None
    ) -> UploadTalkResponse:
        talk_id = known.talk_id if known else self._storage.new_talk_id()
        how = {"Upload": "unary", "UploadAsStream": "stream"}[call.facts.method]
        talk = StoredTalk(
            talk_id=talk_id,
            connection_id=metadata.connection_id,
            fields=dict(metadata.fields),
            sha256=known.sha256 if known and incoming is None else call.facts.sha256,
            size_bytes=known.size_bytes if known and incoming is None else call.size_bytes,
            how="update" if known else how,
            request_id=call.record.request_id,
            stored_at=known.stored_at if known else self._now(),
            audio_path=self._storage.audio_path(talk_id),
        )
        call.talk_id = talk_id
        if (fault := self._faults.strike(call.facts, Point.STORING)) is not None:
            call.faults.append(fault.what)
            self._late.store(talk, incoming, fault.seconds)
            raise Refused(grpc.StatusCode.UNAVAILABLE, fault.message or "the answer was lost")
        self._storage.store(talk, incoming)
        return UploadTalkResponse(talk_id=talk_id)

    # --- faults ------------------------------------------------------------------------------

    def _strike(self, call: _Call, point: Point) -> None:
        """Every fault on order for this moment has struck. Raises Refused when one of them ends the call."""
        while (fault := self._faults.strike(call.facts, point)) is not None:
            call.faults.append(fault.what)
            self._perform(fault, call)

    def _perform(self, fault: Fault, call: _Call) -> None:
        match fault.what:
            case Special.DELAY:
                call.gone.wait(fault.seconds)
            case Special.HANG:
                call.gone.wait()
                raise Refused(grpc.StatusCode.UNAVAILABLE, fault.message or "nobody waits for this call any more")
            case Special.LOST_ANSWER:
                raise Refused(grpc.StatusCode.UNAVAILABLE, fault.message or "the answer was lost")
            case Special.SLOW:
                call.bytes_per_s = fault.bytes_per_s
            case _:
                raise Refused(CODES[fault.what], fault.message or "a fault on order", _pushback(fault))


def _read_slowly(call: _Call, count: int) -> None:
    if call.bytes_per_s:
        call.gone.wait(count / call.bytes_per_s)


def _pushback(fault: Fault) -> tuple[tuple[str, str | bytes], ...]:
    """How long the client is asked to wait, in the ways in which a service may say so."""
    said: list[tuple[str, str | bytes]] = []
    if fault.pushback_ms:
        said.append(("grpc-retry-pushback-ms", fault.pushback_ms))
    if fault.retry_delay_s:
        info = RetryInfo(retry_delay=Duration(nanos=round(fault.retry_delay_s % 1 * 1e9), seconds=int(fault.retry_delay_s)))
        detail = Any()
        detail.Pack(info)
        status = Status(code=CODES[fault.what].value[0], message=fault.message, details=[detail])
        said.append(("grpc-status-details-bin", status.SerializeToString()))
    return tuple(said)


def _check_container(audio: AudioMetadata) -> None:
    """SpeechSense takes more than this; WAV is all that this project sends."""
    if audio.container_audio.container_audio_type != ContainerAudio.CONTAINER_AUDIO_TYPE_WAV:
        raise invalid("the stand-in takes audio in a WAV container only")


def _break_off() -> NoReturn:
    raise CutShort(grpc.StatusCode.CANCELLED, BROKEN_OFF)
