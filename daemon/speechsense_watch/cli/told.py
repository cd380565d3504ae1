"""Values that the daemon told by the queue, which another version may have written: what is not as expected counts as untold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime


def table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def number(value: object) -> int:
    return value if isinstance(value, int) else 0


def moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except ValueError:
        return None
