"""Faults on order: which call shall fail, how, and at which moment.

Ordered by a program with `StandIn.order(Fault(...))`, or from a shell by writing `faults.json` into the stand-in's
directory. The file holds a list of orders and is read again whenever it changed; its orders then take the place of
those it held before, and deleting it takes them back:

    [
      {"what": "UNAVAILABLE", "count": 2},
      {"what": "INVALID_ARGUMENT", "message": "bad date", "fields": {"client_id": "79990000000"}, "count": 0},
      {"what": "lost_answer", "nth": 3},
      {"what": "delay", "seconds": 5, "when": "after", "connection_id": "eag1"},
      {"what": "UNAVAILABLE", "methods": ["Search", "Get"], "count": 0},
      {"what": "RESOURCE_EXHAUSTED", "retry_delay_s": 90, "pushback_ms": "1500"},
      {"what": "slow", "bytes_per_s": 8000, "count": 0},
      {"what": "late_commit", "seconds": 20}
    ]

`what`     a gRPC status code by name (RESOURCE_EXHAUSTED, UNAUTHENTICATED, ...): the call ends with it;
           `hang`: no answer until the client gives up; `delay`: goes on after `seconds`;
           `lost_answer`: the talk is stored, the client gets UNAVAILABLE instead of its id;
           `commit_truncated`: audio that ends before its header says becomes a talk all the same;
           `late_commit`: the client gets UNAVAILABLE as soon as all is there and right, and the talk is stored `seconds`
           later, whether the client is still there or not (when the stand-in stops before then: as it stops);
           `slow`: the audio is read at `bytes_per_s`, so that the client's stream comes to a stand; what came as one message
           is looked at that much later.
`when`     `before` (default): as soon as the talk's metadata are known; `mid`: after the first chunk of audio;
           `after`: the talk is stored for good, the answer not yet given.
`count`    how many calls it strikes, 1 unless told; 0 for all of them, until the order is taken back.
`nth`      it begins with the n-th call that matches; 1 unless told.
`methods`  Upload and UploadAsStream unless told.
`connection_id`, `fields` (all values must be equal), `sha256` (of the audio): which calls match; all unless told.
           A stream's sha256 is known at its end only: there `before` and `mid` strike just before the talk is stored.
`message`  what the client is told; `seconds`: for `delay` and `late_commit`, 1 unless told; `bytes_per_s`: for `slow`, 10000.
`retry_delay_s`, `pushback_ms`: go with a status code. The first is told as google.rpc.RetryInfo in `grpc-status-details-bin`,
           in seconds, the second word for word as `grpc-retry-pushback-ms`.

A connection that the service closes for its age, with GOAWAY, is no fault of a call: see `Rules.connection_age_s`.

Faults strike after the stand-in has let the client in and before it checks what it was sent.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import grpc

UPLOADS = ("Upload", "UploadAsStream")
METHODS = (*UPLOADS, "UploadText", "UploadBadge", "Search", "Get")


class When(StrEnum):
    BEFORE = "before"
    MID = "mid"
    AFTER = "after"


class Special(StrEnum):
    """What a fault can do apart from ending the call with a status code."""

    HANG = "hang"
    DELAY = "delay"
    LOST_ANSWER = "lost_answer"
    COMMIT_TRUNCATED = "commit_truncated"
    LATE_COMMIT = "late_commit"
    SLOW = "slow"


CODES: Mapping[str, grpc.StatusCode] = {code.name: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}


@dataclass(frozen=True, slots=True)
class Fault:
    """One order, as the module's docstring describes it. Raises ValueError when it makes no sense."""

    what: str
    when: str = When.BEFORE
    count: int = 1
    nth: int = 1
    methods: tuple[str, ...] = UPLOADS
    connection_id: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    message: str = ""
    seconds: float = 1.0
    bytes_per_s: int = 10_000
    retry_delay_s: float = 0.0
    pushback_ms: str = ""

    def __post_init__(self) -> None:
        if self.what not in CODES and self.what not in set(Special):
            raise ValueError(f"`what` is {self.what!r}: neither a gRPC status code nor one of {', '.join(Special)}")
        if self.when not in set(When):
            raise ValueError(f"`when` is {self.when!r}: expected {', '.join(When)}")
        if self.count < 0 or self.nth < 1 or self.seconds < 0 or self.retry_delay_s < 0:
            raise ValueError("`count`, `seconds` and `retry_delay_s` are at least 0, `nth` at least 1")
        if self.bytes_per_s < 1:
            raise ValueError("`bytes_per_s` is at least 1")
        if strange := set(self.methods) - set(METHODS):
            raise ValueError(f"`methods` names {', '.join(sorted(strange))}: expected some of {', '.join(METHODS)}")

    @classmethod
    def from_json(cls, order: object) -> Fault:
        """Raises ValueError with what is wrong."""
        if not isinstance(order, dict):
            raise ValueError(f'an order is an object like {{"what": "UNAVAILABLE"}}, not {json.dumps(order)}')  # noqa: TRY004 - of a file
        known = {each.name: each.type for each in dataclasses.fields(cls)}
        for key, value in order.items():
            if key not in known:
                raise ValueError(f"`{key}` is unknown: expected {', '.join(known)}")
            if not _fits(value, str(known[key])):
                raise ValueError(f"`{key}` is {json.dumps(value)}: the wrong type")
        if "what" not in order:
            raise ValueError("`what` is lacking")
        return cls(**{**order, "methods": tuple(order.get("methods", UPLOADS))})

    @property
    def point(self) -> Point:
        match self.what:
            case Special.LOST_ANSWER:
                return Point.AFTER
            case Special.COMMIT_TRUNCATED:
                return Point.TRUNCATED
            case Special.LATE_COMMIT:
                return Point.STORING
            case Special.SLOW:
                return Point.BEFORE
            case _:
                return Point(self.when)


def _fits(value: object, annotation: str) -> bool:
    match annotation:
        case "str":
            return isinstance(value, str)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "tuple[str, ...]":
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
        case _:
            return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


class Point(StrEnum):
    """A moment in a call at which faults are asked for."""

    BEFORE = "before"
    MID = "mid"
    # All is there and right.
    STORING = "storing"
    AFTER = "after"
    # The audio turned out to be cut short.
    TRUNCATED = "truncated"


@dataclass(slots=True)
class Facts:
    """What is known of a call so far. `considered` are the orders that have had their chance with it."""

    method: str
    connection_id: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    considered: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Order:
    number: int
    fault: Fault
    matched: int = 0
    struck: int = 0

    def strikes(self, facts: Facts, point: Point) -> bool:
        if self.fault.point is not point and not self._waited_for_sha256(facts, point):
            return False
        if self.number in facts.considered or not self._matches(facts):
            return False
        facts.considered.add(self.number)
        self.matched += 1
        if self.matched < self.fault.nth or (self.fault.count and self.struck >= self.fault.count):
            return False
        self.struck += 1
        return True

    def _waited_for_sha256(self, facts: Facts, point: Point) -> bool:
        """`before` can strike as late as `mid`, which is asked for once more at the end of the audio."""
        return bool(self.fault.sha256) and point is Point.MID and self.fault.point is Point.BEFORE and bool(facts.sha256)

    def _matches(self, facts: Facts) -> bool:
        wanted = self.fault
        return (
            facts.method in wanted.methods
            and wanted.connection_id in ("", facts.connection_id)
            and wanted.sha256 in ("", facts.sha256)
            and all(facts.fields.get(key) == value for key, value in wanted.fields.items())
        )


class FaultBook:
    """All orders in force. For use by many threads at once."""

    def __init__(self, control_file: Path, echo: Callable[[str], None]) -> None:
        self._control_file = control_file
        self._echo = echo
        self._lock = threading.Lock()
        self._numbers = 0
        self._ordered: list[_Order] = []
        self._from_file: list[_Order] = []
        self._seen: tuple[int, int, int] | None = None

    def order(self, fault: Fault) -> None:
        with self._lock:
            self._ordered.append(self._numbered(fault))

    def clear(self) -> None:
        """Orders given by `order` are taken back; those of the control file stay as long as the file says so."""
        with self._lock:
            self._ordered.clear()

    def strike(self, facts: Facts, point: Point) -> Fault | None:
        """The next fault that strikes this call at this moment, each at most once per call."""
        with self._lock:
            self._reread()
            for each in (*self._ordered, *self._from_file):
                if each.strikes(facts, point):
                    return each.fault
        return None

    def _numbered(self, fault: Fault) -> _Order:
        self._numbers += 1
        return _Order(self._numbers, fault)

    def _reread(self) -> None:
        try:
            status = self._control_file.stat()
            now = (status.st_ino, status.st_size, status.st_mtime_ns)
            if now == self._seen:
                return
            text = self._control_file.read_text(encoding="utf-8")
        except OSError:
            # No file, no orders from it.
            self._seen, self._from_file = None, []
            return
        self._seen = now
        try:
            faults = _read_orders(text)
        except ValueError as trouble:
            self._echo(f"{self._control_file} is not heeded, the orders before it stay: {trouble}")
            return
        self._from_file = [self._numbered(fault) for fault in faults]
        self._echo(f"{self._control_file}: {len(faults)} faults on order.")


def _read_orders(text: str) -> list[Fault]:
    orders = json.loads(text)
    if not isinstance(orders, list):
        raise ValueError('expected a list of orders, like [{"what": "UNAVAILABLE"}]')  # noqa: TRY004 - of a file
    return [Fault.from_json(order) for order in orders]
