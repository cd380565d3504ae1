"""What holds a folder's recordings back although they are ready: the operator's pause, and a trial that waits for a word."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import datetime
from enum import StrEnum

from speechsense_watch.core.rules import Folder

# What decides neither who a call is sent to nor what is said of it: a change of these begins no new trial.
_NOT_WHAT_IS_SENT = frozenset(
    {"path", "start_from", "include", "exclude", "recursive", "quiet_period_s", "metadata_last", "rescan_interval_s"}
    | {"detection", "min_duration_s", "max_duration_s", "abandon_after_s", "after_upload", "archive_to", "on_unknown"}
    | {"search", "search_patience_s", "trial", "name", "audio", "inner", "quiet_alarm_s", "working_time"}
)

# Of two lines that lead to one key the first wins, so their order decides what is sent.
_FIRST_WINS = frozenset({"metadata_rename", "metadata_paths"})


@dataclass(frozen=True, slots=True)
class OperatorPause:
    """The operator's word; it ends by itself at `until`, or by `resume`."""

    since: datetime
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Trial:
    """Recordings sent by rules that nobody has approved yet: `sent` of them, those whose outcome is not known included; `talks`
    are those that SpeechSense has. `most` are sent before somebody has looked.
    """

    fingerprint: str
    since: datetime
    most: int
    sent: int = 0
    talks: tuple[str, ...] = ()

    @property
    def room(self) -> int:
        """How many more may be sent now."""
        return max(0, self.most - self.sent)


def fingerprint(folder: Folder) -> str:
    """The same for rules that send the same: where to, and what is said of a call. 16 hex digits.

    What stands at its default is not in it, so that a version with more options does not put every folder on trial again.
    """
    text = repr(_plain(folder, _NOT_WHAT_IS_SENT))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _plain(value: object, without: Collection[str] = ()) -> object:
    if is_dataclass(value):
        chosen = [field for field in fields(value) if field.name not in without]
        mine = {field.name: getattr(value, field.name) for field in chosen if getattr(value, field.name) != _default(field)}
        return sorted((name, _plain(list(each.items()) if name in _FIRST_WINS else each)) for name, each in mine.items())
    if isinstance(value, dict):
        return sorted((key, _plain(inner)) for key, inner in value.items())
    return value.value if isinstance(value, StrEnum) else value


def _default(field: Field[object]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default
