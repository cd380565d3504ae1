"""Asking SpeechSense what it has, and the queue what is in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from speechsense_watch.core.beacons import Known
from speechsense_watch.core.lookup import Check, Doubt
from speechsense_watch.core.rules import SearchScope
from speechsense_watch.core.turns import FIRST, MOST_AT_ONCE, Position
from speechsense_watch.core.verdict import Code
from speechsense_watch.ports.service import Channel


class SearchTrouble(Exception):  # noqa: N818 - not an error of ours
    """The service did not answer the question. `message` is what it said."""

    def __init__(self, code: Code, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {message}" if message else str(code))
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class Searching(Protocol):
    """The reading side of SpeechSense. Each question blocks for seconds at most, and raises SearchTrouble."""

    def channel(self) -> Channel:
        """As `Service.channel`."""
        ...

    def search(self, scope: SearchScope, connection_id: str, key: str, values: Sequence[str]) -> Sequence[str]:
        """The ids of the talks of the connection whose field `key` has one of these values."""
        ...

    def values_of(self, scope: SearchScope, connection_id: str, talk_ids: Sequence[str], name: str) -> Mapping[str, str]:
        """By talk id the value of the field `name`, for those talks that have it. At most 100 talks at once."""
        ...


class Doubts(Protocol):
    """What the queue holds that look-ups are about. Raises QueueTrouble."""

    def doubts(
        self, folders: Iterable[str], now: datetime, name: str, after: Position = FIRST, most: int = MOST_AT_ONCE
    ) -> Mapping[str, Sequence[Doubt]]:
        """The unconfirmed jobs of these folders, by connection; they are asked for by the field `name`. If there are more than
        `most`, the first ones behind `after`, and from the beginning once more where those are too few.
        """
        ...

    def checks(self, folders: Iterable[str]) -> Mapping[str, Sequence[Check]]:
        """Finished jobs of these folders of which other tries may have left something, by connection; some hundred at most."""
        ...

    def known(self, connection_id: str, name: str) -> Sequence[Known]:
        """Some of the talks last accepted on the connection whose field `name` carried the id of their try, the latest first."""
        ...

    def add_orphan(self, job_id: int, connection_id: str, talk_id: str, recording_id: str, at: datetime, *, whole: bool) -> bool:
        """The talk is on record as one beside the one that counts; False if it was already."""
        ...
