"""A folder's rules -> the sources of metadata that they name."""

from __future__ import annotations

from speechsense_watch.core.rules import Folder
from speechsense_watch.ports import Sources


def sources_of(folder: Folder) -> Sources:
    """Nothing is opened yet: each source is when it is first asked."""
    del folder
    return Sources()
