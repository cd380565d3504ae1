"""What is known of a call elsewhere than beside its audio: the exchange's call records, and the people who work there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from speechsense_watch.core.metadata import Person


class SourceTrouble(Exception):  # noqa: N818 - it is read as a sentence
    """A source cannot be asked now. `message` says which and why, without secrets and without what it holds."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallRecords(Protocol):
    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        """All lines about the call with this recording's name (without directories) or unique id ('' for none), in the order
        in which they were written. Raises SourceTrouble.
        """
        ...


class People(Protocol):
    def find(self, extension: str) -> Person | None:
        """Raises SourceTrouble."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of one folder; None for one that it does not have."""

    call_records: CallRecords | None = None
    people: People | None = None


NO_SOURCES = Sources()
