"""The program's own source files, for tests that read them."""

from __future__ import annotations

from pathlib import Path

import speechsense_watch

PACKAGE = Path(speechsense_watch.__file__).parent
REPOSITORY = Path(__file__).parents[2]


def modules() -> list[Path]:
    """Every module of the package, in order."""
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 30, "the sources are not where they are looked for"
    return found
