"""Call records (CDR) of the exchange -> what they tell of one recording.

Columns bear the names that Asterisk gives them (configs/samples/cdr_custom.conf.sample, FreePBX's table asteriskcdrdb.cdr). One
call has several lines: one for each leg, more for agents who did not answer, and more after a transfer. Lines that share a
linkedid belong to one conversation, which may have several recordings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from speechsense_watch.core.extensions import Extensions

CallRecord: TypeAlias = Mapping[str, str]

# Asterisk's unique ids: seconds since 1970, a dot, a count. What is no second between 2001 and 2100 is some other number.
_UNIQUE_ID = re.compile(r"(?<![0-9])[0-9]{9,}\.[0-9]+(?![0-9])")
_FIRST_SECOND, _LAST_SECOND = 1_000_000_000, 4_102_444_800
# SIP/201-0000001, PJSIP/201-00000a2f, Local/201@from-queue-0000001c;1, Local/FMPR-201@from-internal-...;2
_CHANNEL = re.compile(r"(?P<kind>[A-Za-z0-9]+)/(?:[A-Z]{2,4}-)?(?P<number>[0-9]+)(?:@[^;]*?)?(?:-[0-9a-f]+)?(?:;[12])?")
# Their numbers are those of a line card or a card in a mobile gateway, not of people.
_LINES = frozenset({"dahdi", "zap", "misdn", "capi", "dongle", "quectel", "console", "motif", "ooh323", "khomp"})
_LOCAL = "Local/"
_CALLER = re.compile(r'\s*"?(?P<name>[^"<]*)"?\s*(?:<(?P<number>[^>]*)>)?\s*')
# Contexts in which FreePBX and plain Asterisk take calls from outside, and those in which people call from inside.
_FROM_OUTSIDE = ("from-trunk", "from-pstn", "from-did", "ext-did", "from-digital", "from-analog", "from-sip-external", "incoming")
_FROM_INSIDE = ("from-internal", "from-inside", "internal")
# Halves of Local channels are followed no farther than this: queues in queues, follow-me behind them.
_MOST_HALVES = 10


@dataclass(frozen=True, slots=True)
class Key:
    """What the call record of a recording is found by; `unique_id` is empty where the name holds none."""

    file_name: str
    unique_id: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the lines about a call tell of one recording of it, in our keys, numbers as they are written there.

    `record` is the line of the leg that spoke. `actions` is a sentence for each decision, without values.
    """

    record: CallRecord
    fields: Mapping[str, str]
    answered: bool
    actions: tuple[str, ...] = ()


def key_of(audio_path: str) -> Key:
    """By the recording's name without directories, and the last unique id in it."""
    name = audio_path.rpartition("/")[2]
    found = [each for each in _UNIQUE_ID.findall(name.rpartition(".")[0]) if began_at(each)]
    return Key(name, found[-1] if found else "")


def began_at(unique_id: str) -> datetime | None:
    """When the channel was made that has this unique id; None for what is no time."""
    seconds = unique_id.partition(".")[0]
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) <= 10):
        return None
    return datetime.fromtimestamp(int(seconds), UTC) if _FIRST_SECOND <= int(seconds) < _LAST_SECOND else None


def told(lines: Sequence[CallRecord], key: Key, extensions: Extensions) -> Told:
    """`lines` are all that share a name, a unique id or a linkedid with the recording, in their order, at least one."""
    own = _own(lines, key)
    record = max(enumerate(own), key=lambda numbered: (*_weight(numbered[1], lines, extensions), numbered[0]))[1]
    answerer = _answerer(record, lines, extensions) or _agent(lines, key, extensions)
    fields, actions = _fields(_opening(own), record, answerer, extensions)
    if date := min((moment for line in own if (moment := _moment(line))), default=""):
        fields = {"date": date, **fields}
    return Told(record, fields, any(_answered(line) for line in own), actions)


# --- which lines -------------------------------------------------------------------------------


def _own(lines: Sequence[CallRecord], key: Key) -> Sequence[CallRecord]:
    """Of a conversation those about this recording: that name it, else that have its unique id, else all."""
    named = [line for line in lines if key.file_name in _recordings(line)]
    with_id = [line for line in lines if key.unique_id and line.get("uniqueid") == key.unique_id]
    return named or with_id or lines


def _recordings(line: CallRecord) -> tuple[str, ...]:
    return tuple(line.get(column, "").rpartition("/")[2] for column in ("recordingfile", "userfield"))


def _opening(own: Sequence[CallRecord]) -> CallRecord:
    """The line of whoever began the call: the earliest whose channel is not one of the exchange's own."""
    callers = [line for line in own if not line.get("channel", "").startswith(_LOCAL)] or own
    return min(callers, key=_moment)


def _moment(line: CallRecord) -> str:
    """As it is written: the clock on the exchange's wall, year first."""
    return line.get("start", "").strip() or line.get("calldate", "").strip()


def _weight(line: CallRecord, lines: Sequence[CallRecord], extensions: Extensions) -> tuple[bool, int, int]:
    """The leg that spoke: answered, by a person's device rather than by a queue or a menu, with the longest talk."""
    answered = _answered(line)
    return answered, _directness(line, lines, extensions), _whole(line.get("billsec", "")) if answered else 0


def _answered(line: CallRecord) -> bool:
    return line.get("disposition", "").strip().upper() == "ANSWERED"


def _directness(line: CallRecord, lines: Sequence[CallRecord], extensions: Extensions) -> int:
    channel = _behind(line.get("dstchannel", ""), lines)
    if not _extension(channel, extensions):
        return 1 if channel and not channel.startswith(_LOCAL) else 0
    # A queue's way to a person bears his number; what other ways bear may be that of a group.
    return 1 if channel.startswith(_LOCAL) and "@from-queue" not in channel else 2


def _whole(text: str) -> int:
    """Seconds as a record writes them; 0 for what is no number."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text.strip()) else 0


# --- who ---------------------------------------------------------------------------------------


def _fields(
    opening: CallRecord, record: CallRecord, answerer: str, extensions: Extensions
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    caller = _caller(opening, extensions)
    if _from_outside(opening):
        said = _present(operator_id=answerer, client_id=_caller_number(opening), direction_outgoing="false")
        return said | _present(client_name=_caller_name(opening)), ("The call record says that the call came from outside.",)
    if caller:
        called = next((number for line in (opening, record) if (number := _outside(line, extensions))), "")
        called = called or _called_number(record, answerer, extensions)
        said = _present(operator_id=caller, client_id=called, direction_outgoing="true")
        return said, ("The call record says that an extension called.",)
    if answerer:
        said = _present(operator_id=answerer, client_id=_caller_number(opening), direction_outgoing="false")
        return said | _present(client_name=_caller_name(opening)), ("The call record says that an extension was called.",)
    return {}, ("The call record names no extension, so operator and direction are not taken from it.",)


def _present(**values: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _from_outside(opening: CallRecord) -> bool:
    return bool(opening.get("did", "").strip()) or opening.get("dcontext", "").startswith(_FROM_OUTSIDE)


def _caller(opening: CallRecord, extensions: Extensions) -> str:
    """The extension that called; empty for a trunk, and for a channel that the exchange made for itself."""
    channel = opening.get("channel", "").strip()
    if channel.startswith(_LOCAL):
        return ""
    if found := _extension(channel, extensions):
        return found
    number = _caller_number(opening)
    # An analogue phone's channel is named by its line.
    inside = opening.get("dcontext", "").startswith(_FROM_INSIDE) and _kind(channel) in _LINES
    return extensions.find(number) if inside else ""


def _answerer(record: CallRecord, lines: Sequence[CallRecord], extensions: Extensions) -> str:
    return _extension(_behind(record.get("dstchannel", ""), lines), extensions)


def _behind(channel: str, lines: Sequence[CallRecord]) -> str:
    """The device at the end of a Local channel, whose two halves are ;1 and ;2: a call that was picked up, or that follow-me sent
    on, was answered by another one than the channel is named after.
    """
    channel = channel.strip()
    for _ in range(_MOST_HALVES):
        if not (channel.startswith(_LOCAL) and channel.endswith((";1", ";2"))):
            break
        other = channel[:-1] + ("2" if channel.endswith("1") else "1")
        legs = [line for line in lines if line.get("channel", "").strip() == other and _answered(line)]
        if not legs or not (further := legs[-1].get("dstchannel", "").strip()):
            break
        channel = further
    return channel


def _agent(lines: Sequence[CallRecord], key: Key, extensions: Extensions) -> str:
    """Whoever spoke longest on a leg that the exchange made for this call and that is no part of another recording."""
    legs = [
        line
        for line in lines
        if _answered(line)
        and line.get("channel", "").startswith(_LOCAL)
        and not any(name and name != key.file_name for name in _recordings(line))
        and _answerer(line, lines, extensions)
    ]
    longest = max(legs, key=lambda line: _whole(line.get("billsec", "")), default=None)
    return _answerer(longest, lines, extensions) if longest is not None else ""


def _extension(channel: str, extensions: Extensions) -> str:
    """The extension whose device a channel is; empty for trunks and what else has a name instead of a number."""
    found = _CHANNEL.fullmatch(channel.strip())
    return extensions.find(found["number"]) if found and found["kind"].lower() not in _LINES else ""


def _kind(channel: str) -> str:
    return channel.partition("/")[0].lower()


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


def _outside(line: CallRecord, extensions: Extensions) -> str:
    """The number from outside that was dialled: a call that is passed on to a colleague is still one with whom it was for."""
    dialled = line.get("dst", "").strip()
    return dialled if re.match(r"[+*#0-9]", dialled) and not extensions.find(dialled) else ""


def _called_number(record: CallRecord, answerer: str, extensions: Extensions) -> str:
    """What was dialled; for a call within the house that ended elsewhere, who answered."""
    dialled = record.get("dst", "").strip()
    inside = extensions.find(dialled) or not re.match(r"[+*#0-9]", dialled)
    return answerer if answerer and inside else dialled
