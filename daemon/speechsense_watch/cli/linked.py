"""Links to directories in a watched folder: they are never followed, so what lies below them needs words."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from speechsense_watch.core.model import A_LINK
from speechsense_watch.edge.watched import watched_around
from speechsense_watch.ports import Files, FileTrouble


@dataclass(frozen=True, slots=True)
class Link:
    """A link at `path` below the root of a folder. `target` is where in the system it ends, `watched` the folder that watches the
    target, if any does.
    """

    path: str
    target: str
    watched: str | None

    @property
    def said(self) -> str:
        kind = "the directory " if os.path.isdir(self.target) else ""  # noqa: PTH112 - a path of any bytes
        return f"{self.path} is a symbolic link to {kind}{self.target}, and links are never followed."

    @property
    def advice(self) -> str:
        if self.watched is not None:
            return f"What it leads to is watched: recordings are taken there, as those of {self.watched}."
        return f"Nothing below it is seen: watch {self.target} by a [[folders]] of its own."


def link_at(files: Files, path: str, roots: Mapping[tuple[int, int], str]) -> Link | None:
    """The link that stands on the way to `path`, or that it is itself if it leads to a directory."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        here = "/".join(parts[:depth])
        try:
            found = files.look(here)
        except FileTrouble:
            return None
        if found.oddity == A_LINK:
            target = files.leads_to(here)
            # A file that is a link is told as one.
            is_it = here != path or os.path.isdir(target)  # noqa: PTH112
            return Link(here, target, watched_around(target, roots)) if is_it else None
    return None


def unwatched(files: Files, path: str, roots: Mapping[tuple[int, int], str]) -> Link | None:
    """The link to a directory at this path, unless that is watched."""
    target = files.leads_to(path)
    return None if watched_around(target, roots) else Link(posixpath.normpath(path), target, None)
