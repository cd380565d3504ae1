"""Every call that reached the stand-in, from its beginning to its end, whatever became of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from speechsense_watch.standin.storage import Ledger


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. `code` is empty while it goes on, and for good if the stand-in was killed during it.

    `request_id` is the client's x-client-request-id, `server_request_id` the x-request-id that it was answered.
    """

    server_request_id: str
    method: str
    request_id: str
    began_at: datetime
    ended_at: datetime | None = None
    code: str = ""
    message: str = ""
    connection_id: str = ""
    talk_id: str = ""
    size_bytes: int = 0
    faults: tuple[str, ...] = field(default=())


class CallLog:
    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now

    def begin(self, server_request_id: str, method: str, request_id: str) -> CallRecord:
        record = CallRecord(server_request_id, method, request_id, self._now())
        self._append("begin", record)
        return record

    def end(self, record: CallRecord) -> None:
        """`record` with its outcome is the last word about this call."""
        self._append("end", dataclasses.replace(record, ended_at=self._now()))

    def records(self) -> list[CallRecord]:
        """All calls ever, in the order in which they began."""
        latest: dict[str, CallRecord] = {}
        for line in self._ledger.lines():
            record = _read(line)
            latest[record.server_request_id] = record
        return list(latest.values())

    def _append(self, event: str, record: CallRecord) -> None:
        line = {"event": event, **dataclasses.asdict(record), "bytes": record.size_bytes}
        del line["size_bytes"]
        line["began_at"] = record.began_at.isoformat()
        line["ended_at"] = record.ended_at.isoformat() if record.ended_at else None
        self._ledger.append(line)


def _read(line: dict[str, object]) -> CallRecord:
    faults, ended_at = line["faults"], line["ended_at"]
    return CallRecord(
        server_request_id=str(line["server_request_id"]),
        method=str(line["method"]),
        request_id=str(line["request_id"]),
        began_at=datetime.fromisoformat(str(line["began_at"])),
        ended_at=datetime.fromisoformat(str(ended_at)) if ended_at else None,
        code=str(line["code"]),
        message=str(line["message"]),
        connection_id=str(line["connection_id"]),
        talk_id=str(line["talk_id"]),
        size_bytes=int(str(line["bytes"])),
        faults=tuple(map(str, faults)) if isinstance(faults, list) else (),
    )
