"""One folder as `status` and `show` tell of it, from what the daemon told and what is on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from speechsense_watch.cli.as_json import time_as_json
from speechsense_watch.cli.told import moment, number, table
from speechsense_watch.core.attention import FolderTrouble
from speechsense_watch.core.model import State
from speechsense_watch.core.rules import Folder
from speechsense_watch.core.working_time import parse, seconds_within
from speechsense_watch.edge.records import Records
from speechsense_watch.ports import WatchState

UNMATCHED_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderView:
    """One folder of the configuration, with what the daemon told of it last; `detection` is None when it told nothing."""

    name: str
    path: str
    detection: str | None
    detection_reason: str
    found_by_scan: int
    overflows: int
    watch_restarts: int
    scanned_at: datetime | None
    last_seen_at: datetime | None
    unmatched: int
    left_alone: int
    away: str
    away_since: datetime | None
    claimed_twice: bool
    unreadable_directories: int
    linked_directories: int
    # When a scan last found more of the unmatched than there were before.
    unmatched_at: datetime | None


def folder_view(folder: Folder, runtime: Mapping[str, object], *, running: bool) -> FolderView:
    """What the daemon told of the folder last; nothing of what it told of another directory under this name. `running`: the
    daemon is.
    """
    told = table(runtime.get(f"folder:{folder.name}"))
    if told.get("path") != folder.path:
        told = {}
    detection = str(told["detection"]) if "detection" in told else None
    reason = str(told.get("detection_reason", ""))
    if not running:
        detection, reason = "down", "no daemon is running"
    return FolderView(
        name=folder.name,
        path=folder.path,
        detection=detection,
        detection_reason=reason,
        found_by_scan=number(told.get("found_by_scan")),
        overflows=number(told.get("overflows")),
        watch_restarts=number(told.get("watch_restarts")),
        scanned_at=moment(told.get("scanned_at")),
        last_seen_at=moment(told.get("last_seen_at")),
        unmatched=number(told.get("unmatched")),
        left_alone=number(told.get("left_alone")),
        away=str(told.get("away", "")) if running else "",
        away_since=moment(told.get("away_since")),
        claimed_twice=told.get("claimed_twice") is True and running,
        unreadable_directories=number(told.get("unreadable_directories")) if running else 0,
        linked_directories=number(told.get("linked_directories")) if running else 0,
        unmatched_at=moment(told.get("unmatched_at")),
    )


def watched_in_words(folder: FolderView) -> str:
    """How it is watched, and why so."""
    if folder.claimed_twice:
        return "left alone: another daemon works it"  # it is watched all the same, for the moment at which that ends
    words = {
        WatchState.WATCHING.value: "watched by events",
        WatchState.POLLING.value: "polled",
        WatchState.DOWN.value: "not watched",
    }
    how = words.get(folder.detection or "", "not told of by the daemon yet")
    return f"{how} ({folder.detection_reason})" if folder.detection_reason else how


def trouble_of(
    rules: Folder, folder: FolderView, counts: Mapping[str, Mapping[State, int]], records: Records, now: datetime
) -> FolderTrouble:
    first = records.first_watched(rules.name, rules.path)
    last = folder.last_seen_at
    nothing_ever = not any(counts.get(rules.name, {}).values())
    seen = max((at for at in (first, last) if at is not None), default=now)
    return FolderTrouble(
        unmatched=folder.unmatched if (nothing_ever or _others_come(folder, now)) and folder.detection != "down" else 0,
        silent_h=_silent_h(rules, seen, now),
        last_seen_at=last,
        name=folder.name,
        path=folder.path,
        away=folder.away,
        away_since=folder.away_since,
        claimed_twice=folder.claimed_twice,
        unreadable_directories=folder.unreadable_directories,
        linked_directories=folder.linked_directories,
    )


def _others_come(folder: FolderView, now: datetime) -> bool:
    """Files that no rule takes have come since the last recording, and that was long ago. Where a recording has come lately they
    are nobody's concern; nor are those that have been there for long, when on a Sunday nothing comes at all.
    """
    last, others = folder.last_seen_at, folder.unmatched_at
    return last is not None and others is not None and now - last > UNMATCHED_AFTER and others > last


def _silent_h(rules: Folder, seen: datetime, now: datetime) -> float:
    """Hours of working time since the last recording, or since the folder is watched; 0 while that is no reason for an alarm."""
    working = parse(rules.working_time)
    if not rules.quiet_alarm_s or working is None:
        return 0.0
    silent_s = seconds_within(working, seen, now, ZoneInfo(rules.time_zone) if rules.time_zone else None)
    return silent_s / 3600 if silent_s >= rules.quiet_alarm_s else 0.0


def folder_as_json(folder: FolderView) -> dict[str, Any]:
    return {
        "name": folder.name,
        "path": folder.path,
        "detection": folder.detection,
        "detection_reason": folder.detection_reason,
        "found_by_scan": folder.found_by_scan,
        "overflows": folder.overflows,
        "watch_restarts": folder.watch_restarts,
        "scanned_at": time_as_json(folder.scanned_at),
        "last_seen_at": time_as_json(folder.last_seen_at),
        "unmatched": folder.unmatched,
        "left_alone": folder.left_alone,
        "away": folder.away,
        "claimed_twice": folder.claimed_twice,
        "unreadable_directories": folder.unreadable_directories,
        "linked_directories": folder.linked_directories,
    }
