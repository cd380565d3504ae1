"""Time zones by name, and dates that are given without one."""

from __future__ import annotations

import difflib
import zoneinfo
from datetime import UTC, date, datetime, time


def zone_problem(name: str) -> str:
    """What would be right instead of a zone that this machine does not know; empty when it knows it."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zones = sorted(zoneinfo.available_timezones())
        near = [zone for zone in zones if zone.rpartition("/")[2].casefold() == name.casefold()]
        near += difflib.get_close_matches(name, zones, n=1, cutoff=0.8)
        meant = f' (did you mean "{near[0]}"?)' if near else ""
        return f'the name of a time zone such as "Europe/Moscow"{meant}'
    return ""


def moment(value: date, zone_name: str) -> datetime:
    """The date or time in UTC; without a zone of its own it is taken in `zone_name`, or in the machine's zone if empty.

    A date alone means its midnight.
    """
    if not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if value.tzinfo is None and zone_name:
        value = value.replace(tzinfo=zoneinfo.ZoneInfo(zone_name))
    return value.astimezone(UTC)
