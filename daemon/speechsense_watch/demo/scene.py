"""The calls of the day: how the exchange records each of them, and what it must have become at the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason

# Two channels at 8 kHz and 16 bits are longer than `stream_above` (3 MiB) from here on.
STREAMED_FROM_S = 99

OPERATORS = MappingProxyType({"201": "Анна Орлова", "202": "Олег Ким", "203": "Мария Белова", "204": "Тимур Галиев"})


class Way(StrEnum):
    """How the exchange writes a call."""

    WHOLE = "whole"  # closed at once, metadata right behind it
    GROWING = "growing"  # second by second, the header's lengths 0 until the end, as Asterisk does it
    METADATA_FIRST = "metadata_first"
    MOVED_IN = "moved_in"  # made elsewhere, audio and metadata renamed into place
    CUT_SHORT = "cut_short"  # a copy that breaks off
    BROKEN_METADATA = "broken_metadata"
    UNANSWERED = "unanswered"  # a header and nothing behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. It begins `at_s` seconds after the daemon's start; below 0 it lies there already.

    `refusals` is how often the service turns it away before it takes it.
    """

    operator: str
    number: str
    outgoing: bool = False
    way: Way
    at_s: float
    length_s: int
    ends: State = State.DONE
    reason: Reason | None = None
    refusals: int = 0

    @property
    def name(self) -> str:
        """As exchanges name recordings: direction, extension, the other side's number."""
        return f"{'out' if self.outgoing else 'in'}-{self.operator}-{self.number}"

    @property
    def is_sent(self) -> bool:
        return self.ends is State.DONE

    @property
    def how(self) -> str:
        """How it reaches the service, in the stand-in's words."""
        return "stream" if self.length_s >= STREAMED_FROM_S else "unary"


CAST = (
    Call(operator="201", number="79990000101", way=Way.WHOLE, at_s=-1.0, length_s=12),
    Call(operator="204", number="79990000102", way=Way.GROWING, at_s=0.2, length_s=5),
    Call(operator="202", number="79990000103", outgoing=True, way=Way.MOVED_IN, at_s=0.5, length_s=150),
    Call(operator="202", number="79990000104", outgoing=True, way=Way.WHOLE, at_s=0.9, length_s=9),
    Call(operator="203", number="79990000105", way=Way.METADATA_FIRST, at_s=1.3, length_s=7),
    Call(operator="201", number="79990000106", way=Way.WHOLE, at_s=1.7, length_s=105, refusals=2),
    Call(
        operator="203",
        number="79990000107",
        way=Way.CUT_SHORT,
        at_s=2.1,
        length_s=20,
        ends=State.UNUSABLE,
        reason=Reason.TRUNCATED,
    ),
    Call(
        operator="204",
        number="79990000108",
        outgoing=True,
        way=Way.BROKEN_METADATA,
        at_s=2.5,
        length_s=8,
        ends=State.UNUSABLE,
        reason=Reason.METADATA_NOT_JSON,
    ),
    Call(
        operator="202",
        number="79990000109",
        way=Way.UNANSWERED,
        at_s=2.9,
        length_s=0,
        ends=State.SKIPPED,
        reason=Reason.NO_AUDIO,
    ),
)
