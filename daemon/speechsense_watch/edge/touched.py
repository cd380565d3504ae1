"""Whether anything in a directory was touched, without asking again and again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from speechsense_watch.edge import syscalls

_MUCH = 65536


class Touched:
    """Tells that a file in the directory was written to, made, renamed or removed since it was `heard`, by this process or any
    other of the machine, or that the directory was. What other machines do on a network share is not told (inotify(7)).
    """

    def __init__(self, directory: str) -> None:
        """Raises OSError where the kernel does not tell, or no more than it does already."""
        self._descriptor = syscalls.told_of_changes(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        """Readable when there is something to be heard (poll(2))."""
        return self._descriptor

    def heard(self) -> bool:
        """Whether there was; it is old afterwards."""
        return drained(self._descriptor)


@contextmanager
def told_of(directory: Path) -> Iterator[Touched | None]:
    """None where nobody tells."""
    with ExitStack() as held:
        touched = None
        with suppress(OSError):
            touched = held.enter_context(Touched(str(directory)))
        yield touched


def drained(descriptor: int) -> bool:
    """Whether there was anything to read; now there is nothing."""
    found = False
    with suppress(BlockingIOError):
        while os.read(descriptor, _MUCH):
            found = True
    return found
