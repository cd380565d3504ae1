"""The gRPC edge over a network that breaks: found out soon, never mistaken for a slow one, and mended without anybody's help.

Its clock goes by looks, not by the machine's: the times are those of life, the tests are short, and what takes so many seconds
takes as many on a machine that is slow at that moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from speechsense_watch.core.rules import SearchScope
from speechsense_watch.core.verdict import Code, Halt, Kind, Outcome, PauseReason, judge
from speechsense_watch.edge import channel, speechsense
from speechsense_watch.edge.channel import Conduit, Endpoint
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.ports import Channel, ChannelState, Talk
from speechsense_watch.standin import Fault, Rules, StandIn
from support.proxy import Proxy
from support.rig import FIELDS
from support.waiting import wait_for
from support.wavs import pcm

LOOK_EVERY_S = 0.1
TALK = Talk(
    connection_id="conn",
    fields={key: str(value).lower() for key, value in FIELDS.items()},
    request_id="7a6c2b8e-0000-4000-8000-000000000001",
    uid="ab" * 32,
)
AUDIO = pcm(seconds=2)
LONG = pcm(seconds=600)
# What the stand-in answers to a call that hung, when it lets it go.
AFTER_HANGING = "nobody waits for this call any more"


class NoKey:
    """Keeps `ports.Credentials`."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        return ()

    def refused(self) -> None:
        return


class Looks:
    """Goes on with looks alone: by a second with each at a call under way, by a tenth with each at the connection."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, Callable[[], object]]] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """Once, by whose look it is so late."""
        with self._lock:
            self._due.append((self.now + seconds, do))

    def go_on(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            due = [do for at, do in self._due if at <= self.now]
            self._due = [(at, do) for at, do in self._due if at > self.now]
        for do in due:
            do()


class Watched(GrpcService):
    """Whose every look is heard by the clock."""

    def __init__(self, target: str, looks: Looks) -> None:
        self._looks = looks
        super().__init__(Endpoint(target, plaintext=True), NoKey(), lambda: None, looks)

    def channel(self) -> Channel:
        self._looks.go_on(0.1)
        return super().channel()

    def _look_after(self, call: speechsense._Call, conduit: Conduit) -> None:
        self._looks.go_on(1.0)
        super()._look_after(call, conduit)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speechsense, "LOOK_EVERY_S", LOOK_EVERY_S)


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def proxy(standin: StandIn, looks: Looks) -> Iterator[Proxy]:
    with Proxy(standin.port, clock=looks) as running:
        yield running


@pytest.fixture
def service(proxy: Proxy, looks: Looks) -> Iterator[GrpcService]:
    made = Watched(proxy.target, looks)
    wait_for(lambda: ready(made), 10)
    yield made
    made.close()


def ready(service: GrpcService) -> bool:
    return service.channel().state is ChannelState.READY


def pieces(audio: bytes, size: int = 64 * 1024) -> Iterator[bytes]:
    return (audio[at : at + size] for at in range(0, len(audio), size))


def stream(service: GrpcService, audio: bytes = LONG, at_commit: Callable[[], None] = lambda: None) -> Outcome:
    return service.send_stream(TALK, pieces(audio), at_commit, 0.0)


def closed(conduit: Conduit) -> bool:
    try:
        conduit.upload(b"", timeout=0.01)
    except ValueError as error:
        return "closed channel" in str(error)
    except grpc.RpcError:
        return False
    return False


# --- a peer that is gone -------------------------------------------------------------------------


@pytest.mark.parametrize("silent", ["hold", "swallow"])
def test_a_dead_peer_is_found_during_an_upload(
    standin: StandIn, proxy: Proxy, service: GrpcService, looks: Looks, silent: str
) -> None:
    """In under 30 s; nobody's attempt is charged, and the next upload goes over a new connection at once."""
    silent_at: list[float] = []

    def broken() -> Iterator[bytes]:
        for number, piece in enumerate(pieces(LONG)):
            if number == 5:
                silent_at.append(looks.now)
            if number == 5 and silent == "hold":
                proxy.hold()
            elif number == 5:
                proxy.up.swallowing = proxy.down.swallowing = True
            yield piece
        raise AssertionError("all of it was taken")  # pragma: no cover - what is wrong then

    standin.order(Fault("slow", bytes_per_s=100_000))
    outcome = service.send_stream(TALK, broken(), lambda: None, 0.0)
    assert (outcome.halt, outcome.committed, judge(outcome).kind) == (Halt.PEER_GONE, False, Kind.SERVICE)
    assert judge(outcome).pause is PauseReason.UNREACHABLE
    assert looks.now - silent_at[0] < 30
    proxy.release()
    proxy.up.swallowing = proxy.down.swallowing = False
    wait_for(lambda: ready(service), 10)
    assert stream(service, AUDIO).code is Code.OK
    assert 2 <= proxy.connections <= 4  # tries that met the same silence


def test_a_dead_peer_is_found_while_an_answer_is_waited_for(
    standin: StandIn, proxy: Proxy, service: GrpcService, looks: Looks
) -> None:
    """In under 30 s; what becomes of the recording is unknown."""
    standin.order(Fault("hang", "after"))
    looks.after(2.0, proxy.hold)
    began = looks.now
    outcome = service.send_whole(TALK, AUDIO)
    assert (outcome.halt, judge(outcome).kind) == (Halt.PEER_GONE, Kind.UNKNOWN)
    assert looks.now - began < 32


def test_a_dead_peer_is_found_as_soon_the_next_time(standin: StandIn, proxy: Proxy, service: GrpcService, looks: Looks) -> None:
    """Where one upload follows the other there is no silence in which a question would be asked: their answers show as well that
    no more patience is needed.
    """
    for _ in range(3):
        assert service.send_whole(TALK, AUDIO).code is Code.OK
        standin.order(Fault("hang", "after"))
        looks.after(1.0, proxy.hold)
        began = looks.now
        assert service.send_whole(TALK, AUDIO).halt is Halt.PEER_GONE
        assert looks.now - began < 31
        proxy.cut()
        proxy.release()
        wait_for(lambda: ready(service), 10)


def test_a_connection_that_died_while_nothing_was_sent_is_found_before_the_next_upload(
    proxy: Proxy, service: GrpcService, looks: Looks
) -> None:
    """Nothing is claimed on it: a single message would be committed at once, and its outcome unknown."""
    assert service.send_whole(TALK, AUDIO).code is Code.OK
    proxy.hold()
    wait_for(lambda: not ready(service), 10)
    began = looks.now
    wait_for(lambda: ready(service) or proxy.connections > 1, 10)
    assert looks.now - began < 20
    proxy.release()
    wait_for(lambda: ready(service), 10)
    assert service.send_whole(TALK, AUDIO).code is Code.OK


def test_an_idle_connection_that_lives_is_ready_after_one_question(proxy: Proxy, service: GrpcService) -> None:
    """Asked once, on the same connection."""
    wait_for(lambda: not ready(service), 10)
    wait_for(lambda: ready(service), 10)
    assert service.send_whole(TALK, AUDIO).code is Code.OK
    assert proxy.connections == 1


# --- a peer that is there ------------------------------------------------------------------------


def test_a_long_wait_for_an_answer_is_no_dead_peer(standin: StandIn, proxy: Proxy, service: GrpcService, looks: Looks) -> None:
    """Two minutes."""
    standin.order(Fault("hang", "after"))
    looks.after(120.0, standin._now_running()._service.release)
    began = looks.now
    assert service.send_whole(TALK, AUDIO).message == AFTER_HANGING
    assert looks.now - began >= 120
    assert proxy.connections == 1


def test_a_slow_line_is_no_dead_peer(standin: StandIn, looks: Looks) -> None:
    """The question waits its turn behind what was sent before it, much longer than an answer may take."""
    with Proxy(standin.port, shallow=True) as proxy:
        service = Watched(proxy.target, looks)
        wait_for(lambda: ready(service), 10)
        proxy.up.bytes_per_s = 400_000
        began = looks.now
        outcome = stream(service, pcm(seconds=75))
        service.close()
        assert outcome.code is Code.OK, outcome
        assert looks.now - began > 30
        assert proxy.connections == 1


def test_a_look_up_waits_behind_an_upload_on_a_slow_line(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 64 kbit/s for half a minute, ten times as fast here: what the kernel has taken goes first. Else no look-up would ever
    end well while a four-hour call is on its way.
    """
    monkeypatch.setattr(channel, "ANSWER_WITHIN_S", channel.ANSWER_WITHIN_S / 10)
    monkeypatch.setattr(channel, "LOOK_UP_WITHIN_S", channel.LOOK_UP_WITHIN_S / 10)
    with Proxy(standin.port, shallow=True) as proxy:
        service = Watched(proxy.target, Looks())
        wait_for(lambda: ready(service), 10)
        proxy.up.bytes_per_s = 80_000
        upload = threading.Thread(target=lambda: stream(service))
        upload.start()
        wait_for(lambda: proxy.up.forwarded > 200_000, 20)
        assert service.search(SearchScope("org", "space"), "conn", "userMeta.recording_id", ["a-1"]) == []
        assert service.values_of(SearchScope("org", "space"), "conn", ["talk-1"], "recording_id") == {}
        service.stop_all()
        upload.join(10)
        service.close()


def test_buffers_before_a_slow_line_make_one_connection_after_the_other_more_patient(proxy: Proxy, service: GrpcService) -> None:
    """A proxy that takes all at once and passes it on late looks like a dead one, until it is given long enough."""
    proxy.up.delay_s = 50.0
    ends: list[Halt | None] = []
    while not ends or ends[-1] is not None:
        wait_for(lambda: ready(service), 10)
        ends.append(stream(service, AUDIO).halt)
        assert len(ends) < 5
    assert ends[0] is Halt.PEER_GONE


def test_a_service_that_does_not_read_stalls_and_is_no_dead_peer(
    standin: StandIn, proxy: Proxy, service: GrpcService, looks: Looks
) -> None:
    """It answers others: only this recording is charged, after two minutes in which nothing was taken."""
    standin.order(Fault("slow", bytes_per_s=1))
    began = looks.now
    outcome = stream(service)
    assert (outcome.halt, judge(outcome).kind) == (Halt.STALLED, Kind.TRANSIENT)
    assert 120 <= looks.now - began < 160
    assert stream(service, AUDIO).code is Code.OK
    assert proxy.connections == 1


# --- connections that end ------------------------------------------------------------------------


@pytest.mark.parametrize("at", [100, 3_000, 100_000, 1_000_000])
def test_a_reset_on_the_way_up_is_the_services_trouble(proxy: Proxy, service: GrpcService, at: int) -> None:
    """Wherever it comes before the commit point; an upload by a connection that is made after it is not hurt."""
    proxy.up.reset_at = at
    proxy.cut()
    wait_for(lambda: ready(service), 10)
    outcome = stream(service)
    assert (judge(outcome).kind, outcome.committed) == (Kind.SERVICE, False)
    problem = judge(outcome).problem
    assert problem is not None
    assert "SpeechSense said" not in problem.message
    proxy.up.reset_at = None
    # One that took over before that is reset as well.
    wait_for(lambda: ready(service) and stream(service, AUDIO).code is Code.OK, 15)


def test_a_connection_that_the_service_closes_for_its_age_costs_at_most_its_call(tmp_path: Path) -> None:
    """GOAWAY: uploads one after the other never meet it as a failure, since the next one gets a new connection."""
    with (
        StandIn(tmp_path / "aging", rules=Rules(connection_age_s=1.0)) as standin,
        Proxy(standin.port) as proxy,
    ):
        service = Watched(proxy.target, Looks())
        ends: list[Code] = []
        while proxy.connections < 4 and len(ends) < 10_000:
            wait_for(lambda: ready(service), 10)
            ends.append(service.send_whole(TALK, AUDIO).code)
            assert set(ends) == {Code.OK}
        service.close()
        assert proxy.connections >= 4
        assert len(standin.talks()) == len(ends)


def test_a_standing_connection_that_answers_unavailable_is_replaced(standin: StandIn, proxy: Proxy, service: GrpcService) -> None:
    """After three in a row: behind the name there may be a machine that works. An answer between them begins the row anew."""
    for codes in (["UNAVAILABLE", "UNAVAILABLE", "INTERNAL"], ["UNAVAILABLE"] * 2):
        for code in codes:
            standin.order(Fault(code))
            wait_for(lambda: ready(service), 10)
            service.send_whole(TALK, AUDIO)
    assert proxy.connections == 1
    standin.order(Fault("UNAVAILABLE"))
    service.send_whole(TALK, AUDIO)
    wait_for(lambda: ready(service), 10)
    assert service.send_whole(TALK, AUDIO).code is Code.OK
    assert proxy.connections == 2


def test_calls_under_way_keep_the_connection_that_is_replaced(standin: StandIn, proxy: Proxy, service: GrpcService) -> None:
    """It closes as the last of them ends."""
    outcomes: list[Outcome] = []
    standin.order(Fault("hang", "after"))
    thread = threading.Thread(target=lambda: outcomes.append(service.send_whole(TALK, AUDIO)))
    old = service._line.conduit
    thread.start()
    wait_for(lambda: len(standin.talks()) == 1, 10)
    assert service._line.renew()
    wait_for(lambda: ready(service), 10)
    assert service.send_whole(TALK, AUDIO).code is Code.OK
    standin._now_running()._service.release()
    thread.join(60)
    assert [outcome.message for outcome in outcomes] == [AFTER_HANGING]
    wait_for(lambda: closed(old), 10)


# --- and come back ---------------------------------------------------------------------------------


def test_uploads_go_on_soon_after_the_service_is_back(proxy: Proxy, service: GrpcService, looks: Looks) -> None:
    """An outage of a minute: gRPC's backoff would be 75 s by then; half a minute at most, however long the outage is."""
    proxy.refuse()
    proxy.cut()
    wait_for(lambda: service.channel().state is ChannelState.FAILED, 10)
    until = looks.now + 60
    wait_for(lambda: service.channel() and looks.now > until, 20)
    connects = proxy.connections
    proxy.listen()
    began = looks.now
    wait_for(lambda: ready(service), 10)
    assert looks.now - began < 40
    assert stream(service, AUDIO).code is Code.OK
    assert proxy.connections - connects <= 3
