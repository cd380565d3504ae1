"""What the daemon has in hand at this moment, for the start after its death."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class InHand(Protocol):
    """A note that outlives the process, if not the machine. Raises nothing: without it a death is only counted less well."""

    def holds(self, jobs: Collection[int]) -> None:
        """These and no others are being read or sent."""
        ...

    def left(self) -> frozenset[int] | None:
        """What was noted last, by this process or an earlier one; None when that cannot be told."""
        ...


class _NoNote:
    def holds(self, jobs: Collection[int]) -> None: ...

    def left(self) -> frozenset[int] | None:
        return None


NO_NOTE: InHand = _NoNote()
