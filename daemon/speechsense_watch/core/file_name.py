"""What the name of an audio file tells of its call.

Two exchanges' own names are known here; every other one is told by a regular expression, whose named groups are the keys.

FreePBX (`functions.inc.php` of its callrecording module): TYPE-DEST-FROM-YYYYMMDD-HHMMSS-UNIQUEID. The type tells who is who:

| type | operator | client | direction |
|---|---|---|---|
| out | FROM | DEST | outgoing |
| in, rg, q | not in the name: DEST is a line, a group or a queue | FROM | incoming |
| exten, force and others | whichever number is an extension; of two the caller | the other one | as the operator sees it |

3CX: [NAME]_CALLER-CALLED_YYYYMMDDHHMMSS(NUMBER), NAME being the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from speechsense_watch.core.extensions import Extensions

# No file system has longer names; what is longer comes from nowhere and might keep a pattern busy for ever.
MOST_BYTES = 255

_FREEPBX = re.compile(
    r"(?P<type>[a-z]+)-(?:(?P<dest>.*)-)?(?P<source>[^-]*)"
    # An exchange with a `systemname` puts it before its unique ids.
    r"-(?P<day>[0-9]{8})-(?P<time>[0-9]{6})-(?:[^/]*-)?[0-9]+\.[0-9]+(?:-[a-z]+)?"
)
_3CX = re.compile(r"\[(?P<name>.*)\]_(?P<caller>[^-_]*)-(?P<called>[^_]*)_(?P<day>[0-9]{8})(?P<time>[0-9]{6})\([0-9]+\)")
_NOBODY = frozenset({"", "unknown", "anonymous", "private", "s", "unavailable", "restricted"})
_ANSWERED_BY_SOMEBODY = frozenset({"in", "rg", "q"})


def read_name(pattern: str, path: str, extensions: Extensions) -> Mapping[str, str] | None:
    """Keys and values from the name at the end of `path`, its ending left out; None when the name is of another form.

    `pattern` is "freepbx", "3cx" or a regular expression for the whole name. What a name leaves open is no key.
    """
    stem = path.rpartition("/")[2].rpartition(".")[0]
    if len(stem.encode("utf-8", "surrogateescape")) > MOST_BYTES:
        return None
    match pattern:
        case "freepbx":
            return _read_freepbx(stem, extensions)
        case "3cx":
            return _read_3cx(stem, extensions)
        case _:
            found = _compiled(pattern).fullmatch(stem)
            return {key: value for key, value in found.groupdict().items() if value} if found else None


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a pattern, in words; None for a good one."""
    if pattern in ("freepbx", "3cx"):
        return None
    try:
        compiled = _compiled(pattern)
    except re.error as error:
        return f"this one cannot be read: {error.msg}"
    return None if compiled.groupindex else "this one has no named groups"


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _read_freepbx(stem: str, extensions: Extensions) -> Mapping[str, str] | None:
    found = _FREEPBX.fullmatch(stem)
    if found is None:
        return None
    dest, source = found["dest"] or "", found["source"]
    if found["dest"] is None:  # one number only: the place that was called
        dest, source = source, ""
    if found["type"] == "out":
        said = _named(operator_id=source, client_id=dest, direction_outgoing="true")
    elif found["type"] in _ANSWERED_BY_SOMEBODY:
        said = _named(client_id=source, direction_outgoing="false")
    else:
        said = _named(**extensions.sides(caller=source, called=dest))
    return said | _date(found)


def _read_3cx(stem: str, extensions: Extensions) -> Mapping[str, str] | None:
    found = _3CX.fullmatch(stem)
    if found is None:
        return None
    said = _named(**extensions.sides(found["caller"], found["called"]))
    if said and found["name"] != found["caller"]:
        said |= _named(**{"operator_name" if said["direction_outgoing"] == "true" else "client_name": found["name"].strip()})
    return said | _date(found)


def _named(**values: str) -> dict[str, str]:
    """Only what somebody said: recorders write words such as "anonymous" where a number is not known."""
    return {key: value for key, value in values.items() if value.lower() not in _NOBODY}


def _date(found: re.Match[str]) -> dict[str, str]:
    """ISO 8601 without a zone: both exchanges write local time."""
    day, time = found["day"], found["time"]
    return {"date": f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}"}
