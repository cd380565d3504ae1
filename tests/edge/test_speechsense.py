"""The gRPC edge against a real server on loopback: what leaves when, and what every way of ending comes back as."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from speechsense_watch.core.patience import Patience
from speechsense_watch.core.rules import SearchScope
from speechsense_watch.core.verdict import Code, Halt, Kind, PauseReason, judge
from speechsense_watch.edge import channel
from speechsense_watch.edge.channel import Endpoint
from speechsense_watch.edge.speechsense import GrpcService, _Call
from speechsense_watch.ports import ChannelState, CredentialError, CredentialPending, Halted, SearchTrouble, Talk
from speechsense_watch.standin import Fault, Rules, StandIn
from speechsense_watch.standin.faults import When
from support.rig import FIELDS, free_port
from support.waiting import wait_for
from support.wavs import pcm
from yandex.cloud.speechsense.v1.talk_service_pb2 import StreamTalkRequest

TALK = Talk(
    connection_id="conn",
    fields={key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in FIELDS.items()},
    request_id="7a6c2b8e-0000-4000-8000-000000000001",
    uid="ab" * 32,
)
AUDIO = pcm(seconds=2)


class Key:
    """Keeps `ports.Credentials`."""

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.times_refused = 0

    def headers(self) -> tuple[tuple[str, str], ...]:
        if self.key == "absent":
            raise CredentialError("There is no key.")
        if self.key == "pending":
            raise CredentialPending("It is on its way.")
        return (("authorization", f"Api-Key {self.key}"),) if self.key else ()

    def refused(self) -> None:
        self.times_refused += 1


def pieces(audio: bytes = AUDIO, size: int = 10_000) -> Iterator[bytes]:
    return (audio[start : start + size] for start in range(0, len(audio), size))


Connect = Callable[..., GrpcService]


@pytest.fixture
def connect(standin: StandIn) -> Iterator[Connect]:
    opened: list[GrpcService] = []

    def make(key: str = "", **options: Any) -> GrpcService:
        endpoint = Endpoint(standin.target, plaintext=True)
        opened.append(GrpcService(endpoint, Key(key), lambda: None, **options))
        wait_for(lambda: opened[-1].channel().state is ChannelState.READY, 10)
        return opened[-1]

    yield make
    for service in opened:
        service.close()


def commit_nothing() -> None:
    return None


def test_one_message_carries_it_all(connect: Connect, standin: StandIn) -> None:
    """The answer's talk id and request id come back, our request id arrived."""
    outcome = connect().send_whole(TALK, AUDIO)
    (talk,) = standin.talks()
    assert (outcome.code, outcome.talk_id, outcome.committed) == (Code.OK, talk.talk_id, True)
    assert talk.request_id == TALK.request_id
    assert outcome.server_request_id
    assert outcome.bytes_sent == len(AUDIO)


def test_how_a_call_ended_is_told_by_none_of_grpcs_threads(connect: Connect, standin: StandIn) -> None:
    """A connection that is reset may bring the end of a call before the rest of its metadata: whoever waited for these on the
    thread that brings them would wait for ever, and every other call of the channel with him.
    """
    service = connect()
    standin.order(Fault("INVALID_ARGUMENT"))
    told: SimpleQueue[tuple[Code, str]] = SimpleQueue()
    for code in (Code.INVALID_ARGUMENT, Code.OK):
        service.begin_whole(TALK, AUDIO, lambda outcome: told.put((outcome.code, threading.current_thread().name)))
        assert told.get(timeout=10) == (code, "calls")


def test_a_call_that_nobody_can_look_after_is_not_begun(
    connect: Connect, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no thread to be had: nothing leaves, and the next call is looked after again."""
    service = connect()
    real = threading.Thread.start

    def none(thread: threading.Thread) -> None:
        if thread.name == "calls":
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", none)
    with pytest.raises(RuntimeError):
        service.send_whole(TALK, AUDIO)
    assert standin.talks() == []
    monkeypatch.undo()
    assert service.send_whole(TALK, AUDIO).code is Code.OK


def test_a_question_is_answered_whole_or_not_at_all(connect: Connect, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came on a later page, or on one that was not asked for any more, must not look absent."""
    service = connect()
    ids = {service.send_whole(TALK, pcm(seconds=0.1, seed=seed)).talk_id for seed in range(5)}
    question = (SearchScope("o", "s"), "conn", "userMeta.operator_id", [TALK.fields["operator_id"]])
    monkeypatch.setattr(channel, "_PAGE", 2)
    assert set(service.search(*question)) == ids
    monkeypatch.setattr(channel, "_MOST_PAGES", 2)
    with pytest.raises(SearchTrouble, match="no end"):
        service.search(*question)


def test_all_pages_together_are_given_the_time_of_one_question(
    connect: Connect, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else ten slow ones would keep the confirmer for twenty minutes."""
    service = connect()
    for seed in range(4):
        service.send_whole(TALK, pcm(seconds=0.1, seed=seed))
    times = iter([0.0, 0.0, 200.0])
    monkeypatch.setattr(channel, "monotonic", lambda: next(times))
    monkeypatch.setattr(channel, "_PAGE", 2)
    with pytest.raises(SearchTrouble) as caught:
        service.search(SearchScope("o", "s"), "conn", "userMeta.operator_id", [TALK.fields["operator_id"]])
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert sum(call.method == "Search" for call in standin.calls()) <= 1 + 1


def test_a_stream_holds_its_last_piece_back_until_the_commit_mark(connect: Connect, standin: StandIn) -> None:
    """When the mark is set nothing complete has left."""
    stored: list[int] = []
    outcome = connect().send_stream(TALK, pieces(), lambda: stored.append(len(standin.talks())), 0.0)
    assert stored == [0]
    assert outcome.code is Code.OK
    assert [(talk.size_bytes, talk.how) for talk in standin.talks()] == [(len(AUDIO), "stream")]


@pytest.mark.parametrize("halt", [Halt.NOT_RECORDED, Halt.CHANGED, Halt.READ_FAILED])
def test_a_halt_at_the_commit_mark_leaves_no_talk(connect: Connect, standin: StandIn, halt: Halt) -> None:
    """The call is broken off, never ended: an ended stream would look whole."""

    def refuse() -> None:
        raise Halted(halt, "no")

    for _ in range(20):
        outcome = connect().send_stream(TALK, pieces(), refuse, 0.0)
        assert (outcome.halt, outcome.committed, outcome.message) == (halt, False, "no")
    wait_for(lambda: len(standin.calls()) == 20, 10)
    assert standin.talks() == []


def test_a_call_that_ends_while_the_commit_mark_is_written_counts_as_committed(connect: Connect, standin: StandIn) -> None:
    """The mark is on the row then: an outcome that does not know of it could not be put on record."""
    service = connect()

    def mark() -> None:
        (call,) = service._calls
        wait_for(lambda: call.future is not None, 10)  # grpc pulls from its own thread, maybe before the call is in our hands
        assert call.future is not None
        call.future.cancel()  # as when the service ends it just then
        assert call.ended.wait(60)
        assert not told.wait(0.3)  # nothing is told of the call as long as the mark is being written

    told = threading.Event()
    outcome = service.send_stream(TALK, pieces(AUDIO[:20_000]), mark, 0.0)
    told.set()
    assert (outcome.code, outcome.committed) == (Code.CANCELLED, True)
    assert standin.talks() == []


def test_what_was_handed_over_counts_as_sent_though_no_more_was_asked_for(connect: Connect) -> None:
    """The service may keep what it has of it, and that is looked for only where something was sent."""
    call = _Call()
    requests = connect()._requests(call, TALK, iter([b"first", b"last"]), commit_nothing, 0.0)
    handed_over = [next(requests) for _ in range(3)]
    assert StreamTalkRequest.FromString(handed_over[-1]).audio.chunk.data == b"first"
    assert call.bytes_sent == 5


def test_a_halt_in_the_middle_leaves_no_talk(connect: Connect, standin: StandIn) -> None:
    """The same for a file that changes under our hands."""

    def broken() -> Iterator[bytes]:
        yield AUDIO[:10_000]
        raise Halted(Halt.CHANGED)

    outcome = connect().send_stream(TALK, broken(), commit_nothing, 0.0)
    assert judge(outcome).kind is Kind.CHANGED
    assert standin.talks() == []


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_every_status_comes_back_as_it_is_from_every_moment(connect: Connect, standin: StandIn, code: Code, when: When) -> None:
    """Before the commit point for a stream that is refused before its end, else after it, whether the talk was stored or not."""
    standin.order(Fault(code.value, when=when, count=2, message="so it is"))
    service, stored = connect(), when is When.AFTER
    stream = service.send_stream(TALK, pieces(), commit_nothing, 0.0 if stored else 60.0)
    whole = service.send_whole(TALK, AUDIO)
    assert (stream.code, stream.committed, stream.message, stream.halt) == (code, stored, "so it is", None)
    assert (whole.code, whole.committed, whole.message, whole.halt) == (code, True, "so it is", None)
    assert len(standin.talks()) == (2 if stored else 0)


def test_of_a_long_refusal_the_beginning_is_kept(connect: Connect, standin: StandIn) -> None:
    standin.order(Fault("INVALID_ARGUMENT", message="so it is " + "x" * 5000))
    message = connect().send_whole(TALK, AUDIO).message
    assert message.startswith("so it is x")
    assert len(message) < 1010


def test_a_lost_answer_is_unknown(connect: Connect, standin: StandIn) -> None:
    """The talk is stored, we cannot know; and one attempt makes one talk: gRPC's own retries are off."""
    standin.order(Fault("lost_answer", count=2))
    service = connect()
    for outcome in (service.send_whole(TALK, AUDIO), service.send_stream(TALK, pieces(), commit_nothing, 0.0)):
        assert judge(outcome).kind is Kind.UNKNOWN
    assert len(standin.talks()) == 2


def test_a_refused_key_is_read_again(connect: Connect, standin: StandIn, tmp_path: Path) -> None:
    """The header is what the credentials say; UNAUTHENTICATED tells them."""
    with StandIn(tmp_path / "strict", rules=Rules(keys=frozenset({"right"}))) as strict:
        key = Key("wrong")
        service = GrpcService(Endpoint(strict.target, plaintext=True), key, lambda: None)
        wait_for(lambda: service.channel().state is ChannelState.READY, 10)
        outcome = service.send_whole(TALK, AUDIO)
        assert judge(outcome).pause is PauseReason.KEY_REFUSED
        assert key.times_refused == 1
        key.key = "right"
        assert service.send_whole(TALK, AUDIO).code is Code.OK
        service.close()


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED", "INTERNAL"])
def test_a_key_that_the_service_quotes_is_not_told(connect: Connect, standin: StandIn, code: str) -> None:
    """What it says ends in the queue, in `status`, in the log."""
    standin.order(Fault(code, message="Unknown api key 'AQVN-secret', said the proxy."))
    outcome = connect("AQVN-secret").send_whole(TALK, AUDIO)
    assert outcome.message == "Unknown api key '[hidden]', said the proxy."
    standin.order(Fault(code, message="Not with AQVN-secret.", methods=("Search",)))
    with pytest.raises(SearchTrouble, match=r": Not with \[hidden\]\.$"):
        connect("AQVN-secret").search(SearchScope("o", "s"), "conn", "userMeta.recording_id", ["a-1"])


def test_without_a_credential_there_is_no_channel(connect: Connect) -> None:
    """The message says which is lacking."""
    service = connect()
    service._credentials = Key("absent")
    channel = service.channel()
    assert (channel.state, channel.reason, channel.message) == (
        ChannelState.FAILED,
        PauseReason.NO_CREDENTIALS,
        "There is no key.",
    )


@pytest.mark.parametrize("pending", [False, True])
def test_a_credential_that_goes_before_the_call_is_no_word_of_the_service(
    connect: Connect, standin: StandIn, *, pending: bool
) -> None:
    """A token that expired while the file was hashed, a key file that was emptied: nothing was sent, and nobody refused it."""
    service, key = connect("right"), Key("pending" if pending else "absent")
    service._credentials = key
    for outcome in (service.send_whole(TALK, AUDIO), service.send_stream(TALK, pieces(), commit_nothing, 0.0)):
        verdict = judge(outcome)
        assert (verdict.kind, verdict.pause, outcome.committed) == (Kind.SERVICE, PauseReason.NO_CREDENTIALS, False)
        assert verdict.problem is not None
        assert verdict.problem.message == ("It is on its way." if pending else "There is no key.")
    assert (standin.calls(), key.times_refused) == ([], 0)


def test_a_service_that_takes_nothing_is_given_up(connect: Connect, standin: StandIn) -> None:
    """Stalled: transient before the commit point, unknown after it."""
    standin.order(Fault("hang", count=2))
    service = connect(patience=Patience(stall_after_s=0.3, reply_within_s=0.3, least_bytes_per_s=2**40))
    big = pcm(seconds=600)
    stream = service.send_stream(TALK, pieces(big, 1 << 20), commit_nothing, 0.0)
    assert (stream.halt, stream.committed, judge(stream).kind) == (Halt.STALLED, False, Kind.TRANSIENT)
    whole = service.send_whole(TALK, AUDIO)
    assert (whole.halt, whole.committed, judge(whole).kind) == (Halt.STALLED, True, Kind.UNKNOWN)


def test_stopping_ends_what_is_not_committed(connect: Connect, standin: StandIn) -> None:
    """What is committed gets its answer; what comes later is not begun."""
    standin.order(Fault("delay", when="after", seconds=0.5))
    service = connect()
    outcomes: dict[str, object] = {}
    committed, begun, release = threading.Event(), threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        begun.set()
        yield AUDIO[:10_000]
        release.wait(60)
        yield AUDIO[10_000:]

    threads = [
        threading.Thread(target=lambda: outcomes.update(whole=service.send_stream(TALK, pieces(), committed.set, 0.0))),
        threading.Thread(target=lambda: outcomes.update(slow=service.send_stream(TALK, slowly(), commit_nothing, 0.0))),
    ]
    threads[1].start()
    wait_for(lambda: len(service._calls) == 1, 10)
    threads[0].start()
    assert committed.wait(60)
    assert begun.wait(60)
    service.stop_uncommitted()
    release.set()
    for thread in threads:
        thread.join(60)
    whole, slow = outcomes["whole"], outcomes["slow"]
    assert (whole.code, slow.halt, slow.committed) == (Code.OK, Halt.SHUTDOWN, False)  # type: ignore[attr-defined]
    assert service.send_stream(TALK, pieces(), commit_nothing, 0.0).halt is Halt.SHUTDOWN
    assert len(standin.talks()) == 1


def test_a_call_that_comes_after_the_last_is_not_begun(connect: Connect, standin: StandIn) -> None:
    """A reload puts another service in place while a worker is about to call this one: nothing was sent, and that is known."""
    service = connect()
    service.retire()
    for outcome in (service.send_whole(TALK, AUDIO), service.send_stream(TALK, pieces(), commit_nothing, 0.0)):
        assert (outcome.committed, judge(outcome).kind) == (False, Kind.GIVEN_BACK)
    assert standin.calls() == []


def test_a_channel_tells_when_it_is_ready_and_why_not(tmp_path: Path) -> None:
    """Nothing listens; then something does, and whoever waits is woken."""
    port, woken = free_port(), threading.Event()
    service = GrpcService(Endpoint(f"127.0.0.1:{port}", plaintext=True), Key(), woken.set)
    wait_for(lambda: service.channel().state is ChannelState.FAILED and "cannot be reached" in service.channel().message, 15)
    with StandIn(tmp_path / "late", port):
        wait_for(lambda: service.channel().state is ChannelState.READY, 25)
        wait_for(woken.is_set)
        assert not service._line.conduit._listener
    service.close()


def test_a_name_that_does_not_resolve_is_named(tmp_path: Path) -> None:
    """The message says which step fails."""
    service = GrpcService(Endpoint("no-such-host.invalid:443"), Key(), lambda: None)
    wait_for(lambda: "cannot be resolved" in service.channel().message, 20)
    service.close()


def test_tls_with_a_private_ca(tmp_path: Path) -> None:
    """Trusted with its CA file; without it the certificate is named as the trouble, and nothing is sent."""
    with StandIn(tmp_path / "tls", tls=True) as standin:
        trusting = GrpcService(Endpoint(standin.target, ca_file=str(standin.ca_file)), Key(), lambda: None)
        wait_for(lambda: trusting.channel().state is ChannelState.READY, 10)
        assert trusting.send_whole(TALK, AUDIO).code is Code.OK
        trusting.close()
        wary = GrpcService(Endpoint(standin.target), Key(), lambda: None)
        wait_for(lambda: "not trusted" in wary.channel().message, 20)
        assert (wary.channel().state, wary.channel().reason) == (ChannelState.FAILED, PauseReason.NOT_TRUSTED)
        wary.close()


def test_a_server_without_tls_is_told_apart(tmp_path: Path) -> None:
    """A wrong port or `plaintext` is a usual slip."""
    with StandIn(tmp_path / "plain") as standin:
        service = GrpcService(Endpoint(standin.target), Key(), lambda: None)
        wait_for(lambda: "does not speak TLS" in service.channel().message, 20)
        service.close()


def test_a_broken_connection_before_the_commit_point_is_the_services_trouble(connect: Connect, standin: StandIn) -> None:
    """The service dies in mid-stream: nothing complete was sent."""
    service = connect()

    def dying() -> Iterator[bytes]:
        yield AUDIO[:10_000]
        standin.stop()
        yield AUDIO[10_000:20_000]
        yield AUDIO[20_000:]

    outcome = service.send_stream(TALK, dying(), commit_nothing, 60.0)
    assert judge(outcome).kind in (Kind.SERVICE, Kind.TRANSIENT)
    assert outcome.committed is False


def test_free_ports_are_free() -> None:
    """What the tests above rely on."""
    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with pytest.raises(OSError, match="in use"), closing(socket.socket()) as somebody:
        somebody.bind(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
        pass
