"""The way to SpeechSense, kept open whatever becomes of single connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from speechsense_watch.core.pulse import Pulse
from speechsense_watch.edge.by_hand import ByHand
from speechsense_watch.edge.channel import FIRST_BACKOFF_MS, LONG_BACKOFF_MS, Conduit, Endpoint, opener
from speechsense_watch.edge.reach import Trouble
from speechsense_watch.edge.wire import Counters, look_after
from speechsense_watch.ports import Channel, ChannelState

# A connection that is still being made after this is looked into.
CONNECTING_FOR_S = 10.0
_COUNT_EVERY_S = 0.9
_CLOSE_WITHIN_S = 1.0
# An open channel keeps threads of gRPC's awake, seven times a second, whether there is anything to send or not.
IDLE_AFTER_S = 300.0


class Line:
    """One channel, and another in its place when it is stuck or its other end is gone.

    `on_news` is called, from a thread of grpc's, when there is a connection or a failure to tell of. While there is none, one
    is tried for by hand as well (name, port, TLS): that says what fails, follows a change of the name's addresses, and opens a
    new channel as soon as it gets through, whatever gRPC's own backoff or a channel that is stuck (grpc#15889, #26358,
    #32756) would make of it.
    """

    def __init__(
        self, endpoint: Endpoint, on_news: Callable[[], None], clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        """Raises OSError when the CA file cannot be read."""
        self._endpoint = endpoint
        self._on_news = on_news
        self._clock = clock
        # gRPC calls back on threads of its own, and at once when there is nothing to wait for.
        self._lock = threading.RLock()
        self._ready = self._closed = False
        self._connecting_since = self._used_at = clock()
        self._pulse = Pulse(clock())
        self._counted, self._counted_at = Counters(), clock()
        self._by_hand = ByHand(
            endpoint.address,
            plaintext=endpoint.plaintext,
            ca_file=endpoint.ca_file,
            clock=clock,
            chance=chance,
            on_end=self._tried,
        )
        self.conduit = Conduit(opener(endpoint, FIRST_BACKOFF_MS))

    def close(self) -> None:
        """Those who still have it in hand find no connection, and make none."""
        with self._lock:
            self._closed = True
        self.conduit.close(_CLOSE_WITHIN_S)

    @contextmanager
    def used(self) -> Iterator[Conduit]:
        """The channel as it is now, which stays open for so long."""
        conduit = self.take()
        try:
            yield conduit
        finally:
            conduit.end()

    def take(self) -> Conduit:
        """The same until its `end` is called."""
        with self._lock:
            self._used_at = self._clock()
            self.conduit.begin()
            return self.conduit

    def idle(self) -> None:
        """Nothing is to be sent. A channel that nobody has used for long is closed; another one opens when it is asked for."""
        with self._lock:
            unused_s = self._clock() - self._used_at
            if self.conduit.opened and not self.conduit.used and unused_s > IDLE_AFTER_S:
                self.renew(FIRST_BACKOFF_MS)

    def renew(self, first_backoff_ms: int = LONG_BACKOFF_MS) -> bool:
        """A new channel takes over; calls under way keep theirs. False when none can be made, and the old one stays."""
        with self._lock:
            if self._closed:
                return False
            old = self.conduit
            try:
                self.conduit = Conduit(opener(self._endpoint, first_backoff_ms))
            except OSError:  # the CA file is away; it was there when the old one was opened
                return False
            self._ready = False
            self._pulse = self._pulse.next(self._clock())
            old.give_up()
            return True

    def look(self) -> Channel:
        """The state now; asks for a connection when there is none. One that was silent for a while counts only when it has
        shown that there is somebody at its other end.
        """
        with self._lock:
            if self._closed:
                return Channel(ChannelState.CONNECTING)
            self._used_at = self._clock()
            if not self.conduit.opened:
                self._connecting_since = self._used_at
            state = self.conduit.state
            if state is ChannelState.READY:
                self._is_ready()
                fresh = self._pulse.fresh(self._clock())
                if not fresh:
                    self.mind()
                return Channel(ChannelState.READY if fresh else ChannelState.CONNECTING)
            if self._ready:
                self._ready, self._connecting_since = False, self._clock()
            self.conduit.listen(self._on_news)
            trouble = self._by_hand.trouble
            failed = state is ChannelState.FAILED or trouble is not None
            if failed or self._clock() - self._connecting_since > CONNECTING_FOR_S:
                self._by_hand.try_if_due()
            if not failed:
                return Channel(ChannelState.CONNECTING)
            trouble = trouble or Trouble(self._no_connection())
            return Channel(ChannelState.FAILED, trouble.reason, trouble.message)

    def _no_connection(self) -> str:
        if self._by_hand.through:
            return (
                f"{self._endpoint.address} takes connections, but none that gRPC can use: is it SpeechSense that listens there, "
                "and does it work? Check the port and `plaintext`."
            )
        return f"{self._endpoint.address} cannot be reached: no gRPC connection comes about."

    # --- is anybody there? ---------------------------------------------------------------------

    def _is_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self.conduit.deaf()
            self._by_hand.forget()
            self._counted, self._counted_at = look_after(self._endpoint.port), self._clock()
            self._pulse = self._pulse.next(self._clock())

    def heard(self, conduit: Conduit, since: float) -> None:
        """The other end has answered a call that began then."""
        with self._lock:
            if conduit is self.conduit:
                self._pulse.served(since, self._clock())

    def mind(self) -> None:
        """A connection that was silent for a while is asked whether anybody is there; when nobody is, it is marked dead and a
        new one takes over. To be called about once a second while calls are under way, by any thread.
        """
        with self._lock:
            if self._closed:
                return
            now = self._clock()
            if now - self._counted_at >= _COUNT_EVERY_S:
                self._look_at_the_wire(now)
            if self._pulse.must_ask(now) and self.conduit.state is ChannelState.READY:
                self._ask(now)
            if self._pulse.gone(now):
                conduit = self.conduit
                conduit.dead = self.renew()

    def _look_at_the_wire(self, now: float) -> None:
        counted = look_after(self._endpoint.port)
        if counted.moved_since(self._counted):
            # At some time since it was counted last.
            self._pulse.heard(self._counted_at)
        self._counted, self._counted_at = counted, now

    def _ask(self, now: float) -> None:
        pulse = self._pulse

        def answered() -> None:
            with self._lock:
                pulse.answered(self._clock())
            self._on_news()

        pulse.asked(now)
        self.conduit.ask(answered)

    # --- is there a connection? ------------------------------------------------------------------

    def _tried(self, through: bool) -> None:  # noqa: FBT001 - a callback
        """Through, and gRPC still has no connection: it is stuck, waits for its backoff, or has an address of yesterday."""
        with self._lock:
            if self._closed:
                return
            if through and not self._ready and self.conduit.state is not ChannelState.READY:
                self._connecting_since = self._clock()
                self.renew()
                self.conduit.listen(self._on_news)
        self._on_news()
