"""The bytes of a metadata file -> keys and values as text, or the reason why not.

JSON is that of RFC 8259, read more strictly than `json` reads it: what two readers would understand
differently (a key named twice, NaN), what cannot be sent (lone surrogates, NUL) and what is made to
break readers (endless nesting, megabytes) is refused. Values are personal data: messages name keys only.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason

MOST_BYTES = 2**20

_LONGEST_SHOWN = 60
_MOST_NAMED = 10
# How far down a nested value is named: call.from, not every leaf of a tree.
_MOST_LEVELS = 4
# NUL, and halves of a pair.
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Values:
    """What the file says: strings as they are, numbers as written, booleans as true and false. `nulls` had no value; `notes`
    tells, a sentence each, what had to be decided in reading it.
    """

    values: Mapping[str, str]
    nulls: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_values(raw: bytes) -> Values | Problem:
    """All keys of one JSON object in UTF-8, or what is wrong with it, naming every key that has the fault."""
    text = _decode(raw)
    if isinstance(text, Problem):
        return text
    try:
        whole = _JSON.decode(text)
    except json.JSONDecodeError as error:
        return Problem(Reason.METADATA_NOT_JSON, _not_json(text, error))
    except RecursionError:
        return Problem(Reason.METADATA_NESTED, "The metadata is nested too deeply to be read.")
    if not isinstance(whole, _Object):
        return Problem(Reason.METADATA_NOT_AN_OBJECT, "The metadata is not a JSON object: it does not begin with `{`.")
    return _fault(whole) or _as_text(whole)


def _decode(raw: bytes) -> str | Problem:
    if len(raw) > MOST_BYTES:
        message = f"The metadata has {len(raw):,} bytes; more than {MOST_BYTES:,} are not read."
        return Problem(Reason.METADATA_TOO_BIG, message)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Problem(Reason.METADATA_NOT_TEXT, _not_text(raw, error))


def shown(key: str) -> str:
    """A key as a message may show it: in backticks, on one line, without tricks, cut to 60 characters."""
    plain = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in key[: _LONGEST_SHOWN + 1]
    )
    return f"`{plain}`" if len(plain) <= _LONGEST_SHOWN else f"`{plain[: _LONGEST_SHOWN - 1]}…`"


def listed(keys: Iterable[str]) -> str:
    """Keys for a message: the first ten of them and the number of the rest."""
    rest = iter(keys)
    named = ", ".join(shown(key) for key in islice(rest, _MOST_NAMED))
    more = sum(1 for _ in rest)
    return f"{named} and {more:,} more" if more else named


class _Object(list[tuple[str, object]]):
    """A JSON object as it is written, with keys named twice."""


class _NotANumber(str):
    """NaN, Infinity, -Infinity: not JSON, though Python's reader takes them."""

    __slots__ = ()


# Made once: json.loads() makes one at each call that has a wish.
_JSON = json.JSONDecoder(object_pairs_hook=_Object, parse_int=str, parse_float=str, parse_constant=_NotANumber)


def _not_text(raw: bytes, error: UnicodeDecodeError) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "The metadata is in UTF-16, not UTF-8."
    return f"The metadata is not in UTF-8 (at byte {error.start + 1:,})."


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    written = text.strip()
    if not written:
        return "The metadata file is empty."
    # Six characters back, since a \uXXXX or a word may be what was cut.
    at_end = error.pos + 6 >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
    if written.startswith("{") and not written.endswith("}") and at_end:
        return f"The metadata ends too early to be JSON (after {len(text):,} characters)."
    return f"The metadata is not JSON: line {error.lineno:,}, column {error.colno:,} is not as it must be."


def _fault(pairs: _Object) -> Problem | None:
    """The first kind of fault among the keys and values, with all keys that have it."""
    if len(dict(pairs)) < len(pairs):
        repeated = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
        return Problem(Reason.METADATA_DUPLICATE_KEY, f"The metadata names more than once: {listed(repeated)}.")
    if any(not key.strip() for key, _ in pairs):
        return Problem(Reason.METADATA_BAD_VALUE, "The metadata has a value without a name: its key is empty.")
    nested = [(key, value) for key, value in pairs if isinstance(value, list)]
    if nested:
        paths = listed(path for key, value in nested for path in _paths(key, value))
        message = f"The metadata has values within values, which cannot be sent: {paths}."
        return Problem(Reason.METADATA_NESTED, message)
    if not sendable("".join(text for pair in pairs for text in pair if isinstance(text, str))):
        broken = [key for key, value in pairs if not sendable(key) or (isinstance(value, str) and not sendable(value))]
        message = f"The metadata has characters that cannot be sent (NUL or half of a pair) in: {listed(broken)}."
        return Problem(Reason.METADATA_BAD_VALUE, message)
    numberless = [key for key, value in pairs if isinstance(value, _NotANumber)]
    if numberless:
        return Problem(Reason.METADATA_BAD_VALUE, f"The metadata has NaN or Infinity for: {listed(numberless)}.")
    return None


def _paths(path: str, value: object, levels: int = _MOST_LEVELS) -> Iterator[str]:
    """What lies in a value, by name: call.from, tags[0]. Lower levels go by the name of the last one shown."""
    members = _members(path, value) if isinstance(value, list) and levels > 1 else []
    if not members:
        yield path
    for name, member in members:
        yield from _paths(name, member, levels - 1)


def _members(path: str, inner: list[object]) -> list[tuple[str, object]]:
    # Cut, since a key of half a megabyte in front of each of many members would make gigabytes of names.
    path = path[: _LONGEST_SHOWN + 1]
    if isinstance(inner, _Object):
        return [(f"{path}.{key[: _LONGEST_SHOWN + 1]}", member) for key, member in inner]
    return [(f"{path}[{index}]", member) for index, member in enumerate(inner)]


def sendable(text: str) -> bool:
    """Whether UTF-8, and so protobuf, can carry it; a NUL ends a string for much of what reads it later."""
    return _UNSENDABLE.search(text) is None


def _as_text(pairs: _Object) -> Values:
    values = {key: _text_of(value) for key, value in pairs if value is not None}
    return Values(values, tuple(key for key, value in pairs if value is None))


def _text_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
