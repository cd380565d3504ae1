"""XML metadata -> keys and values by paths."""

from __future__ import annotations

from collections.abc import Mapping

from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.sidecar import Values


def read_xml(raw: bytes, paths: Mapping[str, str]) -> Values | Problem:
    """The text at each path by its key, or what is wrong with the file."""
    del raw, paths
    return Problem(Reason.METADATA_NOT_TEXT, "The metadata is XML, which cannot be read yet.")
