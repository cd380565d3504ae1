"""What the name of an audio file tells of its call."""

from __future__ import annotations

import re
from collections.abc import Mapping


def read_name(pattern: str, path: str) -> Mapping[str, str] | None:
    """The named groups of the pattern, matched with the whole name without directories and ending; None where it does not fit."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    found = re.fullmatch(pattern, stem)
    return {key: value for key, value in found.groupdict().items() if value} if found else None


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a pattern, in words; None for a good one."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        return f"this one cannot be read: {error.msg}"
    return None if compiled.groupindex else "this one has no named groups"
