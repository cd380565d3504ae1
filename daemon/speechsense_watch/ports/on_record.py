"""What the intake asks of the queue about very many places at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from speechsense_watch.core.known import Known, Row


class OnRecord(Protocol):
    """Rows of one folder as far as they are about files: of a place the open one, else the newest. Raises QueueTrouble."""

    def at(self, paths: Sequence[str]) -> Mapping[str, Known]:
        """Those at these places."""
        ...

    def after(self, path: str, most: int) -> Sequence[Known]:
        """The next places after this one, directory by directory; '' begins."""
        ...

    def young(self, uploaded_since: datetime, stopped_since: datetime) -> Sequence[Known]:
        """What is looked at with every scan: recordings uploaded or stopped since then, and those that wait for their own files;
        of each the newest, so that no flood of them makes a scan long.
        """
        ...

    def read_anew(self, since: datetime) -> Sequence[Known]:
        """What a command, since then, wanted to be read anew."""
        ...

    def count(self) -> int:
        """How many rows there are."""
        ...

    def right_in(self, directory: str) -> Iterator[Sequence[Row]]:
        """Every row right in this directory but those whose places were seen empty after they were done, some at a time, by name;
        all of one place together.
        """
        ...

    def thought_there(self, directory: str) -> Iterator[Sequence[str]]:
        """The places right in this directory whose files are thought to be there, some at a time."""
        ...

    def directories(self) -> Sequence[str]:
        """Every directory in which some files are thought to be."""
        ...
