"""Call records (CDR) of the exchange -> what they tell of one recording.

Columns bear the names that Asterisk gives them (configs/samples/cdr_custom.conf.sample, FreePBX's table asteriskcdrdb.cdr). One
call has several lines: one for each leg, and more after a transfer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from speechsense_watch.core.file_name import is_extension, sides

CallRecord: TypeAlias = Mapping[str, str]

# Asterisk's unique ids: seconds since 1970, a dot, a count.
_UNIQUE_ID = re.compile(r"(?<![0-9])[0-9]{9,}\.[0-9]+(?![0-9])")
# SIP/201-0000001, PJSIP/201-00000a2f, Local/201@from-queue-0000001c;1, Local/FMPR-201@from-internal-...;2
_CHANNEL = re.compile(r"[A-Za-z0-9]+/(?:[A-Z]{2,4}-)?(?P<number>[0-9]{2,6})(?:@[^;]*)?(?:-[0-9a-f]+)?(?:;[12])?")
_CALLER = re.compile(r'\s*"?(?P<name>[^"<]*)"?\s*(?:<(?P<number>[^>]*)>)?\s*')
# Contexts in which FreePBX and plain Asterisk take calls from outside.
_FROM_OUTSIDE = ("from-trunk", "from-pstn", "from-did", "ext-did", "from-digital", "from-analog", "from-sip-external", "incoming")


@dataclass(frozen=True, slots=True)
class Key:
    """What the call record of a recording is found by; `unique_id` is empty where the name holds none."""

    file_name: str
    unique_id: str = ""


def key_of(audio_path: str) -> Key:
    """By the recording's name without directories, and the last unique id in it."""
    name = audio_path.rpartition("/")[2]
    found = _UNIQUE_ID.findall(name.rpartition(".")[0])
    return Key(name, found[-1] if found else "")


def began_at(unique_id: str) -> datetime | None:
    """When the channel was made that has this unique id; None for what is no time."""
    seconds = unique_id.partition(".")[0]
    try:
        return datetime.fromtimestamp(int(seconds), UTC) if seconds.isascii() and seconds.isdecimal() else None
    except (ValueError, OverflowError, OSError):
        return None


def spoken(records: Sequence[CallRecord]) -> CallRecord:
    """Of the lines about one call that of the leg which spoke: answered, with the longest talk; of equal ones that which names
    a device, then the later one. Where nobody answered, the last line. `records` is not empty.
    """
    return max(enumerate(records), key=lambda numbered: (*_weight(numbered[1]), numbered[0]))[1]


def _weight(record: CallRecord) -> tuple[bool, int, bool]:
    answered = record.get("disposition", "").strip().upper() == "ANSWERED"
    device = _extension(record.get("dstchannel", ""))
    return answered, _whole(record.get("billsec", "")) if answered else 0, bool(device) and not _is_local(record)


def _is_local(record: CallRecord) -> bool:
    return record.get("dstchannel", "").startswith("Local/")


def _whole(text: str) -> int:
    """Seconds as a record writes them; 0 for what is no number."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text.strip()) else 0


def fields_of(record: CallRecord) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Our keys as far as the record tells them, numbers as they are written there; and a sentence for each decision."""
    said: dict[str, str] = {}
    actions: list[str] = []
    if date := record.get("start", "").strip() or record.get("calldate", "").strip():
        said["date"] = date
    caller = _extension(record.get("channel", ""))
    answerer = _extension(record.get("dstchannel", ""))
    if _from_outside(record):
        actions.append("The call record says that the call came from outside.")
        said |= _present(operator_id=answerer, client_id=_caller_number(record), direction_outgoing="false")
        said |= _present(client_name=_caller_name(record))
    elif caller:
        said |= sides(caller, _called_number(record, answerer))
        actions.append("The call record says that an extension called.")
    elif answerer:
        said |= sides(_caller_number(record), answerer) | _present(client_name=_caller_name(record))
        actions.append("The call record says that an extension was called.")
    else:
        actions.append("The call record names no extension, so operator and direction are not taken from it.")
    return said, tuple(actions)


def _present(**values: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _from_outside(record: CallRecord) -> bool:
    if record.get("did", "").strip():
        return True
    return record.get("dcontext", "").startswith(_FROM_OUTSIDE) and not _extension(record.get("channel", ""))


def _extension(channel: str) -> str:
    """The extension whose device a channel is; empty for trunks and what else has a name instead of a number."""
    found = _CHANNEL.fullmatch(channel.strip())
    return found["number"] if found else ""


def _caller_number(record: CallRecord) -> str:
    for column in ("src", "cnum"):
        if number := record.get(column, "").strip():
            return number
    found = _CALLER.fullmatch(record.get("clid", ""))
    return (found["number"] or "").strip() if found else ""


def _caller_name(record: CallRecord) -> str:
    """What the exchange calls whoever called; a number in the place of a name is none."""
    found = _CALLER.fullmatch(record.get("clid", ""))
    name = record.get("cnam", "").strip() or (found["name"].strip() if found else "")
    return "" if not name or name == _caller_number(record) or re.fullmatch(r"\+?[0-9]+", name) else name


def _called_number(record: CallRecord, answerer: str) -> str:
    """What was dialled; for a call within the house that ended elsewhere, who answered."""
    dialled = record.get("dst", "").strip()
    return answerer if answerer and (is_extension(dialled) or not re.match(r"[+*#0-9]", dialled)) else dialled
