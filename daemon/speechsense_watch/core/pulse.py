"""Whether the other end of a connection is still there.

A connection can die without a word: a router that forgot it, a host without power, a proxy that hangs. TCP tells of that
after minutes or never, and HTTP/2 pings cannot be used for it while an answer is waited for: a gRPC server allows one every
5 minutes unless data flow, and says GOAWAY, too_many_pings, to more (grpc keepalive guide; measured: every 10 s, the
connection was gone after 50 to 250 s of waiting for an answer). So a question that any gRPC server answers is asked when
nothing was heard for a while. Any answer will do, and so will any other byte that comes.
"""

from __future__ import annotations

from dataclasses import dataclass

ASK_AFTER_S = 10.0
ANSWER_WITHIN_S = 15.0
MOST_PATIENT_S = 960.0


@dataclass(slots=True)
class Pulse:
    """Of one connection. Times are seconds of a monotonic clock."""

    heard_at: float
    # Since when an answer is waited for; None when none is.
    asked_at: float | None = None
    answer_within_s: float = ANSWER_WITHIN_S

    def heard(self, now: float) -> None:
        self.heard_at = max(self.heard_at, now)

    def asked(self, now: float) -> None:
        self.asked_at = now

    def answered(self, now: float) -> None:
        if self.asked_at is not None:
            self.served(self.asked_at, now)
        self.asked_at = None

    def served(self, since: float, now: float) -> None:
        """What was asked then, a question of ours or a call, has its answer."""
        if now - since < ANSWER_WITHIN_S:
            self.answer_within_s = ANSWER_WITHIN_S
        self.heard(now)

    def fresh(self, now: float) -> bool:
        """Heard of so lately that what is sent now will arrive as surely as anything can."""
        return now - self.heard_at < ASK_AFTER_S

    def must_ask(self, now: float) -> bool:
        return self.asked_at is None and not self.fresh(now)

    def gone(self, now: float) -> bool:
        """Asked, and nothing whatever has come for long enough."""
        return self.asked_at is not None and now - max(self.asked_at, self.heard_at) >= self.answer_within_s

    def next(self, now: float) -> Pulse:
        """Of the connection that takes this one's place. It gets longer to answer if this one never answered a question: there
        may be so much in the buffers of proxies on a slow line that every connection seems dead.
        """
        longer_s = min(2 * self.answer_within_s, MOST_PATIENT_S) if self.gone(now) else self.answer_within_s
        return Pulse(now, answer_within_s=longer_s)
