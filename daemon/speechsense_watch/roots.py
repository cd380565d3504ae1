"""Whether a folder's root is there: only then is a file that is missing gone.

A root that cannot be entered, or an empty directory where another one was before (a file system that is not mounted), is an
outage; nothing in it counts as deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from speechsense_watch.ports import Files, FileTrouble, Queue, Root


@dataclass(slots=True)
class Roots:
    """Whether the folder's root is the one its files were last seen in: only then is a missing file gone."""

    files: Files
    queue: Queue
    name: str
    # Who else works this root; empty when nobody does, and then nobody else can. Asked only for one that is there.
    claim: Callable[[Root], str] = lambda _root: ""
    # What it said last.
    claimed_by: str = field(default="", init=False)
    _last: tuple[int, int] | None = None
    _known: bool = False

    def look(self, root: Root) -> str:
        """Why the root counts as away, empty when it does not; then its identity is remembered, and it is ours alone."""
        if root.identity is None:
            return root.trouble or "The folder cannot be entered."
        last = self._remembered()
        if last is not None and last != root.identity and self._empty():
            return "The folder is empty and another directory than before: is a file system not mounted?"
        if last != root.identity:
            self._last = root.identity
            self.queue.set_runtime(f"root:{self.name}", list(root.identity))
        self.claimed_by = self.claim(root)
        return f"Another daemon works this folder ({self.claimed_by})." if self.claimed_by else ""

    def gone_counts(self) -> bool:
        return self.look(self.files.root()) == ""

    def _remembered(self) -> tuple[int, int] | None:
        if not self._known:
            stored = self.queue.runtime().get(f"root:{self.name}")
            if isinstance(stored, list) and len(stored) == 2:
                self._last = (int(stored[0]), int(stored[1]))
            self._known = True
        return self._last

    def _empty(self) -> bool:
        try:
            return not any(self.files.entries("", 1))
        except FileTrouble:
            return True
