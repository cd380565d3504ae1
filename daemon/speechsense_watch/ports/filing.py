"""What is done to the user's files after an upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from speechsense_watch.core.model import Stamp


@dataclass(frozen=True, slots=True)
class Filed:
    """The file is where it should be, and on disk: archived, or deleted."""


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """It is not the file that was uploaded, or it is gone: it was left alone."""

    message: str


@dataclass(frozen=True, slots=True)
class FilingTrouble:
    """It could not be filed now. The file is still where it was, or as good as; the same call may be made again."""

    message: str


FilingResult = Filed | FilesChanged | FilingTrouble


class Filing(Protocol):
    """What is done to the user's files after an upload. A repeated call after a crash ends as the first would have. By `sha256` a
    file is known again that was copied here since, with its time.
    """

    def taken(self, target: str) -> bool: ...

    def archive(self, source_root: str, relative_path: str, target: str, expected: Stamp, sha256: str = "") -> FilingResult: ...

    def delete(self, source_root: str, relative_path: str, expected: Stamp, sha256: str = "") -> FilingResult: ...
