"""What a recorder says of a call and a folder's rules -> the fields that are sent.

The rules act in this order: rename (each source by itself), drop, values, constants, operators, defaults, direction, date,
length; then everything is checked. Messages and actions name keys, never values: values are personal data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import ConnectionType, Folder, TooLong
from speechsense_watch.core.sidecar import Values, listed, read_values, sendable, shown

# SpeechSense's limits: bytes of one value in UTF-8, keys of one connection.
MOST_VALUE_BYTES = 1024
MOST_KEYS = 200
_MOST_BYTES_A_LETTER = 4

REQUIRED_KEYS: Mapping[ConnectionType, tuple[str, ...]] = {
    ConnectionType.TWO_CHANNEL: (
        "operator_name",
        "operator_id",
        "client_name",
        "client_id",
        "date",
        "direction_outgoing",
        "language",
    ),
    ConnectionType.SINGLE_CHANNEL: ("operator_name", "operator_id", "date", "language"),
}

# Words only: 0 and 1 mean opposite things to different recorders.
_DIRECTIONS = {
    "true": "true",
    "out": "true",
    "outbound": "true",
    "outgoing": "true",
    "false": "false",
    "in": "false",
    "inbound": "false",
    "incoming": "false",
}

_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?P<between>[T ])"
    r"(?P<minute>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}(?P<colon>:?)[0-9]{2}|[+-][0-9]{2})?"
)
# As names of files and databases have them: 20241105-091730, 20190219120918.
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})[-_ T]?([0-9]{2})([0-9]{2})([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Fields:
    """What is sent with the audio; `actions` tells, a sentence each, every rule that had a hand in it."""

    values: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """One line of the table of operators; what it does not say is empty."""

    id: str = ""
    name: str = ""


def read_fields(raw: bytes, folder: Folder) -> Fields | Problem:
    """The fields of a recording, from the bytes of its JSON metadata file alone.

    The problem is the first in the order in which the rules act, and names every key that has it.
    """
    read = read_values(raw)
    if isinstance(read, Problem):
        return read
    ours, actions = renamed(read.values, folder.metadata_rename)
    made = apply_rules(ours, folder)
    return made if isinstance(made, Problem) else Fields(made.values, left_out(read) + actions + made.actions)


def left_out(read: Values) -> tuple[str, ...]:
    """A sentence for each key without a value, and those about how the file was read."""
    return (*(f"{shown(key)} is null and was left out." for key in read.nulls), *read.notes)


def apply_rules(
    values: Mapping[str, str], folder: Folder, person_of: Callable[[str], Person | None] | None = None
) -> Fields | Problem:
    """The fields made of what a recorder says, wherever it said it, in our keys: completed, put right and checked.

    `person_of` finds an operator by the extension that stands in `operator_id`; whatever it raises is passed on.
    """
    actions: list[str] = []
    made = dict(values)
    _drop(made, folder, actions)
    _translate(made, folder, actions)
    for key, value in folder.metadata_constants.items():
        made[key] = value
        actions.append(f"{shown(key)} was set by [folders.metadata_constants].")
    if person_of is not None:
        _name_operator(made, person_of, actions)
    for key, value in folder.metadata_defaults.items():
        # A required key that is there but empty counts as lacking: recorders write "" for a caller without a name.
        if key not in made or (not made[key] and key in REQUIRED_KEYS[folder.connection_type]):
            made[key] = value
            actions.append(f"{shown(key)} is lacking and was filled in from [folders.metadata_defaults].")
    if not sendable("".join((*made, *made.values()))):
        unsendable = [key for key, value in made.items() if not (sendable(key) and sendable(value))]
        message = f"The metadata has characters that cannot be sent (NUL, or not UTF-8) in: {listed(unsendable)}."
        return Problem(Reason.METADATA_BAD_VALUE, message)
    if folder.too_long is TooLong.CUT:
        _cut(made, actions)
    problem = (
        _check_reserved(made, folder)
        or _check_lengths(made)
        or _check_required(made, folder)
        or _settle_direction(made, actions)
        or _settle_date(made, folder.time_zone, actions)
    )
    return problem or Fields(made, tuple(actions))


def plain_fields(raw: bytes) -> Fields | Problem:
    """The fields just as a recorder wrote them, by nobody's rules: only what cannot be sent at all is a problem."""
    read = read_values(raw)
    if isinstance(read, Problem):
        return read
    return _check_lengths(read.values) or Fields(read.values, left_out(read))


def shortcomings(values: Mapping[str, str], connection_type: ConnectionType) -> tuple[str, ...]:
    """Why a folder without rules of its own would not send these, a sentence each; none when it would."""
    plain = Folder(path="/", connection_id="", start_from="all", name="", connection_type=connection_type)
    made = dict(values)
    problems = [_check_reserved(made, plain), _check_required(made, plain), _settle_direction(made, [])]
    if made.get("date", "").strip():
        problems.append(_settle_date(made, plain.time_zone, []))
    return tuple(problem.message for problem in problems if problem)


def default_fields(now: datetime) -> dict[str, str]:
    """What `upload` sends when it is given no metadata: the built-in fields of the reference uploader.

    `date` is `now` as the zone of `now` shows it. Raises ValueError for a `now` without a zone.
    """
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
    return {
        "operator_name": "Operator",
        "operator_id": "1111",
        "client_name": "Client",
        "client_id": "2222",
        "date": now.isoformat(timespec="milliseconds"),
        "date_from": "2023-09-13T17:30:00.000",
        "date_to": "2023-09-13T17:31:00.000",
        "direction_outgoing": "true",
    }


# --- rename -----------------------------------------------------------------------------------


def renamed(values: Mapping[str, str], rename: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What one source says in our keys, and a sentence for each change. All renames at once, so that two keys can be swapped;
    what bears our name already wins over what would get it.
    """
    actions: list[str] = []
    made = {key: value for key, value in values.items() if rename.get(key, key) == key}
    for theirs, ours in rename.items():
        if theirs not in values or theirs == ours:
            continue
        if ours in made:
            actions.append(f"{shown(theirs)} was left out: {shown(ours)}, which it would become, is there already.")
        else:
            made[ours] = values[theirs]
            actions.append(f"{shown(theirs)} became {shown(ours)}.")
    return made, tuple(actions)


# --- drop, translate, name, cut ----------------------------------------------------------------


def _drop(made: dict[str, str], folder: Folder, actions: list[str]) -> None:
    dropped = [key for key in folder.metadata_drop if made.pop(key, None) is not None]
    actions.extend(f"{shown(key)} was left out by `metadata_drop`." for key in dropped)


def _translate(made: dict[str, str], folder: Folder, actions: list[str]) -> None:
    """Values by the folder's tables; what a table does not name stays as it is."""
    for key, table in folder.metadata_values.items():
        if key in made and made[key] in table:
            made[key] = table[made[key]]
            actions.append(f"{shown(key)} was translated by [folders.metadata_values].")


def _name_operator(made: dict[str, str], person_of: Callable[[str], Person | None], actions: list[str]) -> None:
    """The operator by the extension; a name that nobody gave is the extension itself, never an invented one."""
    extension = made.get("operator_id", "").strip()
    if not extension:
        return
    person = person_of(extension)
    if person is None:
        actions.append("The extension in `operator_id` is not in the table of operators.")
    else:
        made["operator_id"] = person.id or extension
        actions.append("`operator_id` and `operator_name` are by the table of operators.")
    if person is not None and person.name:
        made["operator_name"] = person.name
    elif not made.get("operator_name", "").strip():
        made["operator_name"] = extension
        actions.append("`operator_name` is the extension, since no name is given for it.")


def _cut(made: dict[str, str], actions: list[str]) -> None:
    """Values fit afterwards, cut between letters. Keys are not cut: half a key is another key."""
    for key, value in made.items():
        raw = value.encode()
        if len(raw) > MOST_VALUE_BYTES:
            made[key] = raw[:MOST_VALUE_BYTES].decode("utf-8", "ignore")
            actions.append(f"{shown(key)} was cut to {MOST_VALUE_BYTES:,} bytes by `too_long`.")


# --- checks -----------------------------------------------------------------------------------


def _check_reserved(made: Mapping[str, str], folder: Folder) -> Problem | None:
    reserved = folder.recording_id_field
    if reserved and reserved in made:
        message = f"The metadata has the key {shown(reserved)}, which is kept for the recording's id (`recording_id_field`)."
        return Problem(Reason.METADATA_BAD_VALUE, message)
    most = MOST_KEYS - bool(reserved)
    if len(made) > most:
        return Problem(Reason.METADATA_TOO_BIG, f"The metadata has {len(made):,} keys; at most {most} can be sent.")
    return None


def _check_lengths(made: Mapping[str, str]) -> Problem | None:
    if max(map(len, (*made, *made.values())), default=0) * _MOST_BYTES_A_LETTER <= MOST_VALUE_BYTES:
        return None
    long_keys = [key for key in made if len(key.encode()) > MOST_VALUE_BYTES]
    if long_keys:
        message = f"The metadata has keys of over {MOST_VALUE_BYTES:,} bytes: {listed(long_keys)}."
        return Problem(Reason.METADATA_VALUE_TOO_LONG, message)
    too_long = [key for key, value in made.items() if len(value.encode()) > MOST_VALUE_BYTES]
    if too_long:
        message = f"The metadata has values of over {MOST_VALUE_BYTES:,} bytes for: {listed(too_long)}."
        return Problem(Reason.METADATA_VALUE_TOO_LONG, message)
    return None


def _check_required(made: Mapping[str, str], folder: Folder) -> Problem | None:
    required = REQUIRED_KEYS[folder.connection_type]
    parts = []
    if absent := [key for key in required if key not in made]:
        parts.append(f"lacks {listed(absent)}")
    if empty := [key for key in required if key in made and not made[key].strip()]:
        parts.append(f"has nothing in {listed(empty)}")
    if parts:
        message = f"The metadata {' and '.join(parts)}; a {folder.connection_type} connection needs it."
        return Problem(Reason.METADATA_KEY_LACKING, message)
    return None


# --- direction and date -----------------------------------------------------------------------


def _settle_direction(made: dict[str, str], actions: list[str]) -> Problem | None:
    """`direction_outgoing` is true or false afterwards, where there is anything in it."""
    said = made.get("direction_outgoing", "").strip().lower()
    if not said:
        return None
    if said not in _DIRECTIONS:
        message = (
            "`direction_outgoing` must be true (or out, outbound, outgoing) or false (or in, inbound, incoming); "
            "numbers are not guessed at, since recorders differ in what they mean by them."
        )
        return Problem(Reason.METADATA_BAD_VALUE, message)
    if made["direction_outgoing"] != _DIRECTIONS[said]:
        made["direction_outgoing"] = _DIRECTIONS[said]
        actions.append("`direction_outgoing` was turned into true or false.")
    return None


def _settle_date(made: dict[str, str], time_zone: str, actions: list[str]) -> Problem | None:
    """`date` is ISO 8601 with a zone afterwards; one that was so before is left as it is."""
    compact = _COMPACT.fullmatch(made["date"])
    written = _DATE.fullmatch("{}-{}-{}T{}:{}:{}".format(*compact.groups()) if compact else made["date"])
    moment = _moment(written) if written else None
    if written is None or moment is None:
        return Problem(Reason.METADATA_BAD_DATE, "`date` is not a date and time like 2025-04-24T14:34:19+03:00.")
    zone = written["zone"]
    if zone and written["between"] == "T" and written["colon"] != "" and zone != "z":
        return None
    if zone:
        actions.append("`date` was put into the form of ISO 8601.")
    else:
        place = _place(time_zone)
        if isinstance(place, Problem):
            return place
        # Of a local time that comes twice the first is taken, and one that the clocks skip counts on from before
        # the change (fold 0, PEP 495): a moment at most an hour off, where refusing would lose the call.
        zone = moment.replace(tzinfo=place).strftime("%z")
        actions.append(f"`date` has no time zone and was read as local time of {time_zone}.")
    made["date"] = f"{written['day']}T{written['minute']}{written['second'] or ':00'}{_with_colon(zone.upper())}"
    return None


def _moment(written: re.Match[str]) -> datetime | None:
    """The local time that was written, None if there is no such day, hour or zone."""
    second = (written["second"] or ":00")[:3]
    zone = written["zone"] or ""
    if zone[1:3] >= "24" or (len(zone) > 3 and zone[-2:] >= "60"):
        return None
    try:
        return datetime.fromisoformat(f"{written['day']}T{written['minute']}{second}")
    except ValueError:
        return None


def _place(time_zone: str) -> ZoneInfo | Problem:
    if not time_zone:
        message = "`date` has no time zone, and the folder has no `time_zone` to read it by."
        return Problem(Reason.METADATA_BAD_DATE, message)
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = (
            f"`date` has no time zone, and `time_zone` {shown(time_zone)} is not known on this machine "
            "(is the system's tzdata installed?)."
        )
        return Problem(Reason.METADATA_BAD_DATE, message)


def _with_colon(zone: str) -> str:
    """+0300 as +03:00; Z, +03 and +03:00 as they are. Seconds, which zones had before 1920 or so, are dropped."""
    return zone if ":" in zone or len(zone) < 5 else f"{zone[:3]}:{zone[3:5]}"
