"""When uploads stand still and when they go on: pauses of the service and of single connections, and their probes.

A trouble of the service or a connection is nobody's failure: it pauses that scope, and one recording at a time is tried,
as a probe, until one shows that the scope works again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from speechsense_watch.core.verdict import NEEDS_OPERATOR, OF_THE_KEY, OWN_TROUBLE, PAUSE_HINTS, Kind, PauseReason, Verdict

SERVICE = "service"
REFUSED_IN_A_ROW = 5
_NO_CONNECTION = frozenset({PauseReason.UNREACHABLE, PauseReason.NOT_TRUSTED, PauseReason.NO_CREDENTIALS})
_PROBE_MIN_S, _PROBE_SPREAD_S = 20.0, 40.0
_UNTRIED = "That was with the key and the configuration before; the next recording shows whether it is still so."


@dataclass(frozen=True, slots=True)
class Pause:
    """`scope` is "service" or a connection id; `probe_at` is on the monotonic clock, seconds, `probe_expected_at` the same
    for people. Until `asked_until`, on the same clock, the service asked us to wait. `untried`: what it was held against has been
    replaced since. Trouble of our own stands before what the service said, which is `behind` it.
    """

    scope: str
    reason: PauseReason
    message: str
    since: datetime
    probe_at: float
    probe_expected_at: datetime
    asked_until: float = 0.0
    untried: bool = False
    behind: Pause | None = None

    @property
    def needs_operator(self) -> bool:
        return self.reason in NEEDS_OPERATOR and not self.untried

    @property
    def said(self) -> str:
        """What there is to say of it now."""
        return f"{self.message} {_UNTRIED}".strip() if self.untried else self.message

    @property
    def hint(self) -> str:
        return PAUSE_HINTS[self.reason]


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks, and a draw of chance in [0, 1) for whatever is decided at this moment."""

    wall: datetime
    monotonic: float
    jitter: float


@dataclass(slots=True)
class Traffic:
    """What may be sent now. Fed with every verdict; asked before every claim."""

    concurrency: int
    retry_max_s: float
    pauses: dict[str, Pause] = field(default_factory=dict)
    # The job each paused scope is probed with at this moment.
    probes: dict[str, int] = field(default_factory=dict)
    _refused: dict[str, list[int]] = field(default_factory=dict)
    _unknown_in_a_row: int = 0

    def pause(self, scope: str, reason: PauseReason, message: str, at: Moment, at_least_s: float | None = None) -> None:
        """The scope is paused; a pause that goes on keeps its beginning. `at_least_s` is how long the service asked us to
        wait (google.rpc.RetryInfo: "clients should wait at least this long"); it can only make the wait longer, and holds
        whatever else comes to pause the scope meanwhile.
        """
        old = self.pauses.get(scope) if reason in OWN_TROUBLE else self._by_the_service(scope)
        since = old.since if old and old.reason is reason else at.wall
        asked_until = at.monotonic + min(at_least_s, self.retry_max_s) if at_least_s else 0.0
        asked_until = max(asked_until, old.asked_until if old else 0.0)
        probe_at = max(at.monotonic + min(_PROBE_MIN_S + _PROBE_SPREAD_S * at.jitter, self.retry_max_s), asked_until)
        expected = at.wall + timedelta(seconds=probe_at - at.monotonic)
        pause = Pause(scope, reason, message, since, probe_at, expected, asked_until)
        if reason in OWN_TROUBLE:
            self.pauses[scope] = replace(pause, behind=self._by_the_service(scope))
        else:
            self._service_says(scope, pause)

    def lift(self, scope: str) -> None:
        self.pauses.pop(scope, None)

    def own_trouble_over(self, reason: PauseReason) -> None:
        """If that is what pauses, it no longer does. What the service said still holds, a plea to wait above all."""
        pause = self.pauses.get(SERVICE)
        if pause and pause.reason is reason:
            self.lift(SERVICE)
            self._service_says(SERVICE, pause.behind)

    def _by_the_service(self, scope: str) -> Pause | None:
        pause = self.pauses.get(scope)
        return pause.behind if pause and pause.reason in OWN_TROUBLE else pause

    def _service_says(self, scope: str, pause: Pause | None) -> None:
        """None: the scope works."""
        first = self.pauses.get(scope)
        if first and first.reason in OWN_TROUBLE:
            self.pauses[scope] = replace(first, behind=pause)
        elif pause:
            self.pauses[scope] = pause
        else:
            self.lift(scope)

    def channel_ready(self, at: Moment) -> None:
        """The connection is there: a pause for want of it may be probed at once."""
        pause = self.pauses.get(SERVICE)
        if pause and pause.reason in _NO_CONNECTION:
            self.pauses[SERVICE] = replace(pause, probe_at=min(pause.probe_at, max(at.monotonic, pause.asked_until)))

    def probe_due(self, scope: str, monotonic: float) -> bool:
        pause = self.pauses.get(scope)
        return pause is not None and scope not in self.probes and pause.probe_at <= monotonic

    def next_probe_at(self) -> float | None:
        """Of all that may be probed: while the service pauses no connection is."""
        scopes = [SERVICE] if SERVICE in self.pauses else list(self.pauses)
        return min((self.pauses[scope].probe_at for scope in scopes if scope not in self.probes), default=None)

    def forget_probe(self, job_id: int) -> None:
        """That job is no longer on its way."""
        self.probes = {scope: probe for scope, probe in self.probes.items() if probe != job_id}

    def keep_only(self, connections: set[str]) -> None:
        """The configuration was read anew: pauses of connections that it no longer names are gone, and all that was held
        against the configuration is probed at once.
        """
        self.pauses = {scope: pause for scope, pause in self.pauses.items() if scope == SERVICE or scope in connections}
        self._try_anew(NEEDS_OPERATOR - OWN_TROUBLE)

    def another_key(self) -> None:
        """The key or token is another one: whatever may have been held against the old one is probed at once."""
        self._try_anew(OF_THE_KEY)

    def _try_anew(self, reasons: Collection[PauseReason]) -> None:
        self.pauses = {scope: _untried(pause, reasons) for scope, pause in self.pauses.items()}

    def ended(
        self, job_id: int, connection_id: str, verdict: Verdict, at: Moment, retry_after_s: float | None = None
    ) -> list[int]:
        """Takes the end of an attempt into account. Returns the jobs whose refusal is to be taken back, since it is the
        configuration that is refused, not they.
        """
        probed = [scope for scope, probe in self.probes.items() if probe == job_id]
        self.forget_probe(job_id)
        taken_back = self._judged(job_id, connection_id, verdict, at, retry_after_s)
        for scope in probed:
            # A probe that neither lifted nor renewed its pause: the next one waits its time all the same.
            if (pause := self.pauses.get(scope)) and pause.probe_at <= at.monotonic:
                self.pause(scope, pause.reason, pause.message, at)
                self.pauses[scope] = replace(self.pauses[scope], untried=pause.untried)
        return taken_back

    def _judged(self, job_id: int, connection_id: str, verdict: Verdict, at: Moment, retry_after_s: float | None) -> list[int]:
        match verdict.kind:
            case Kind.SERVICE:
                self.pause(SERVICE, verdict.pause or PauseReason.UNAVAILABLE, _message(verdict), at, retry_after_s)
            case Kind.CONNECTION:
                self._lift_service(at)
                reason = verdict.pause or PauseReason.PERMISSION_DENIED
                self.pause(connection_id, reason, _message(verdict), at, retry_after_s)
            case Kind.UNKNOWN:
                return self._unknown(verdict, at, retry_after_s)
            case Kind.ACCEPTED:
                self._unknown_in_a_row = 0
                self._refused.pop(connection_id, None)
                self._works(SERVICE, at)
                self._works(connection_id, at)
            case Kind.REFUSED:
                self._lift_service(at)
                return self._one_more_refused(job_id, connection_id, verdict, at)
            case Kind.TRANSIENT:
                # The service works, if not for this one; a file that could not be read says nothing of the service.
                if verdict.answered:
                    self._lift_service(at)
                    self._lift_connection(connection_id, at)
            case Kind.CHANGED | Kind.GIVEN_BACK:
                pass
        return []

    def _works(self, scope: str, at: Moment) -> None:
        """Whoever was on the way when the service asked us to wait says nothing of the time that it asked for."""
        pause = self._by_the_service(scope)
        if pause and pause.asked_until <= at.monotonic:
            self._service_says(scope, None)

    def _lift_service(self, at: Moment) -> None:
        pause = self._by_the_service(SERVICE)
        if pause and pause.reason is not PauseReason.MANY_UNKNOWN:
            self._works(SERVICE, at)

    def _lift_connection(self, connection_id: str, at: Moment) -> None:
        pause = self.pauses.get(connection_id)
        if pause and pause.reason is not PauseReason.MANY_REFUSED:
            self._works(connection_id, at)

    def _unknown(self, verdict: Verdict, at: Moment, retry_after_s: float | None) -> list[int]:
        self._unknown_in_a_row += 1
        if self._unknown_in_a_row >= max(3, self.concurrency):
            self.pause(SERVICE, PauseReason.MANY_UNKNOWN, _message(verdict), at, retry_after_s)
        return []

    def _one_more_refused(self, job_id: int, connection_id: str, verdict: Verdict, at: Moment) -> list[int]:
        paused = self.pauses.get(connection_id)
        if paused and paused.reason is PauseReason.MANY_REFUSED:
            self.pause(connection_id, PauseReason.MANY_REFUSED, _message(verdict), at)
            return [job_id]
        self._lift_connection(connection_id, at)
        refused = self._refused.setdefault(connection_id, [])
        if job_id not in refused:
            refused.append(job_id)
        if len(refused) < REFUSED_IN_A_ROW:
            return []
        self.pause(connection_id, PauseReason.MANY_REFUSED, _message(verdict), at)
        return self._refused.pop(connection_id)


def _untried(pause: Pause, reasons: Collection[PauseReason]) -> Pause:
    if pause.behind is not None:
        return replace(pause, behind=_untried(pause.behind, reasons))
    return replace(pause, probe_at=0.0, asked_until=0.0, untried=True) if pause.reason in reasons else pause


def _message(verdict: Verdict) -> str:
    return verdict.problem.message if verdict.problem else ""
