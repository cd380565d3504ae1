"""What the uploader's pauses say to people, and the two that this machine ends by itself: no key, no room to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from speechsense_watch.core.masking import without_values
from speechsense_watch.core.traffic import SERVICE, Moment, Pause, Traffic
from speechsense_watch.core.verdict import OF_THE_KEY, Outcome, PauseReason, Verdict
from speechsense_watch.log import Event, Log
from speechsense_watch.ports import Key

_AWAITING_KEY = frozenset({PauseReason.KEY_REFUSED, PauseReason.NO_CREDENTIALS})


class Pausing:
    """Of one uploader, on its thread."""

    def __init__(self, traffic: Traffic, moment: Callable[[], Moment], log: Log) -> None:
        self._traffic = traffic
        self._moment = moment
        self._log = log
        # Which key or token there was at the last look, 0 before the first; and what was said of any.
        self._key_number = 0
        self._said_of_keys: set[str] = set()

    @property
    def awaits_key(self) -> bool:
        """Whether another key would end what pauses all."""
        pause = self._traffic.pauses.get(SERVICE)
        return pause is not None and pause.reason in _AWAITING_KEY

    @contextmanager
    def told(self, fields: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
        """What changes in the pauses meanwhile is in the log. `fields` are those of the call whose try brought it about: the
        service may repeat them, the log does not.
        """
        before = dict(self._traffic.pauses)
        yield
        for scope, pause in self._traffic.pauses.items():
            old = before.get(scope)
            # What was replaced since, and is refused as well, is news.
            if old is None or old.reason is not pause.reason or (old.untried and not pause.untried):
                said = without_values(pause.message, fields)
                self._log.warning(Event.SERVICE_PAUSED, scope=scope, reason=pause.reason, message=said, do=pause.hint)
        for scope in before:
            if scope not in self._traffic.pauses:
                self._log.info(Event.SERVICE_RESUMED, scope=scope)

    def pause_for(self, reason: PauseReason, message: str) -> None:
        """The service pauses; the same trouble again changes nothing."""
        pause = self._traffic.pauses.get(SERVICE)
        if pause is None or pause.untried or (pause.reason, pause.message) != (reason, message):
            with self.told():
                self._traffic.pause(SERVICE, reason, message, self._moment())

    def over(self, own_trouble: PauseReason) -> None:
        """What this machine could not do, it can."""
        with self.told():
            self._traffic.own_trouble_over(own_trouble)

    # --- keys --------------------------------------------------------------------------------

    def mind_key(self, key: Key) -> None:
        """That there is no key is told when it is so, not when the first recording comes, and ends with it. What was refused with
        another key may be taken with this one.
        """
        for warning in key.warnings:
            if warning not in self._said_of_keys:
                self._said_of_keys.add(warning)
                self._log.warning(Event.CONFIG_WARNING, message=warning)
        if key.trouble:
            pause = self._traffic.pauses.get(SERVICE)
            if pause is None or pause.reason is not PauseReason.QUEUE_NOT_WRITABLE:  # one thing after the other
                self.pause_for(PauseReason.NO_CREDENTIALS, key.trouble)
            return
        self.over(PauseReason.NO_CREDENTIALS)
        if key.number and self._key_number and key.number != self._key_number:
            self._traffic.another_key()
        self._key_number = key.number or self._key_number

    def was_another_key(self, outcome: Outcome, verdict: Verdict) -> bool:
        """A refusal of a key or token that has been replaced since says nothing of the one that is there now."""
        return verdict.pause in OF_THE_KEY and outcome.credentials != self._key_number


def as_json(pause: Pause, *, tried: bool) -> dict[str, object]:
    """For `status`; `tried`: it has a time at which it is, else the next recording that comes does."""
    return {
        "scope": pause.scope,
        "reason": pause.reason,
        "message": pause.said,
        "since": pause.since.isoformat(),
        "next_probe_at": pause.probe_expected_at.isoformat() if tried else None,
        "needs_operator": pause.needs_operator,
    }
