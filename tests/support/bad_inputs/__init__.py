"""A directory of recordings that cannot be sent as they are, each with what must become of it, and of such as only look it.

They are meant for a two-channel folder with `audio = ["*.wav"]`, `metadata = "{stem}.json"`, no `time_zone`
and no defaults for the required keys; those in XML (`xml`) for one of their own, which has `xml.RULES` besides.
"""

from __future__ import annotations

import os
from pathlib import Path

from support.bad_inputs import audio, files, metadata, xml
from support.bad_inputs.common import GOOD_FIELDS, BadInput, Expected, good_sidecar
from support.bad_inputs.files import write_never_taken
from support.bad_inputs.healthy import write_healthy

__all__ = ["GOOD_FIELDS", "BadInput", "Expected", "good_sidecar", "write_bad_inputs", "write_healthy", "write_never_taken", "xml"]


def write_bad_inputs(directory: Path, outside: Path, *, unprivileged: bool | None = None) -> list[BadInput]:
    """All of them lie in `directory` afterwards; `outside`, another directory, holds what the links among them lead to.

    `unprivileged`: whoever reads them is bound by permissions, so that unreadable ones make sense; None: as this process is.
    """
    bound = os.geteuid() != 0 if unprivileged is None else unprivileged
    written = [*audio.write(directory), *metadata.write(directory), *files.write(directory, outside, unprivileged=bound)]
    assert len({bad.stem for bad in written}) == len(written)
    return written
