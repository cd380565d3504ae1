"""Hiding who spoke with whom, in texts that leave the operator's sight: logs are shipped, kept and read by others.

Seven digits and more are taken for a telephone number, unless they are plainly a date, a unique id of the exchange, an
address of a machine or an identifier of ours. Too much hidden costs an administrator a look with `show`, too little costs a
customer; so whatever is not plainly something else is hidden. The last two digits stay, to tell two numbers apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "[hidden]"
# A name of a call's fields holds values of people, whatever it is called: never written.
PERSONAL_KEYS = frozenset({"fields", "metadata", "operator_name", "operator_id", "client_name", "client_id"})
# Values under these are ours or the service's names of things. A request id or a connection may hold many digits.
IDENTIFIERS = frozenset(
    {"at", "level", "event", "version", "scope", "talk_id", "request_id", "server_request_id", "recording_id"}
)

_FEWEST_DIGITS = 7
_SHORTEST_VALUE = 3
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):?[0-5]\d(?::?[0-5]\d(?:\.\d{1,6})?)?"
_PLAINLY_ELSE = "|".join(
    (
        # 2025-04-24T14:34:19.5+03:00, 24.04.2025 14:34
        rf"(?<!\d)(?:{_YEAR}-{_MONTH}-{_DAY}|{_DAY}\.{_MONTH}\.{_YEAR})(?:[T ]{_TIME}(?:Z|[+-]\d\d:?\d\d)?)?(?!\d)",
        # 20250424, 20250424-143419, 20250424143419: in the names of recordings
        rf"(?<!\d){_YEAR}{_MONTH}{_DAY}(?:[-_T ]?(?:[01]\d|2[0-3])[0-5]\d[0-5]\d)?(?!\d)",
        # 1745493259.123: the exchange's unique id, seconds since 1970 and a count
        r"(?<![\d.])1\d{9}\.\d{1,9}(?!\.?\d)",
        # 10.0.0.1, 192.168.100.200:5051
        r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?::\d{1,5})?(?![\d.])",
        # a request id; a hash
        r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])",
        r"(?<!\w)(?=\d*[a-f])[0-9a-f]{32,64}(?!\w)",
    )
)
_NUMBER = "|".join(
    (
        # +7 (916) 123-45-67: what people write in groups, with whatever dash their editor makes of it
        r"(?<!\d)\+?\(?\d{1,6}(?:[\s()._\u2010-\u2015\u2212-]{1,3}\d{1,6}){1,6}(?!\d)",
        rf"\d{{{_FEWEST_DIGITS},}}",
    )
)
_EITHER = re.compile(rf"(?P<plain>{_PLAINLY_ELSE})|(?P<number>{_NUMBER})")
# The apostrophe of a word opens nothing, and Python escapes a quote within quotes.
_QUOTED = re.compile(r"""(?<!\w)(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'(?!\w))|«[^»]*»|“[^”]*”|„[^“”]*[“”]""", re.DOTALL)


def masked(text: str) -> str:
    """The text with every telephone number in it hidden but for its last two digits."""
    # Nearly every text is told by that alone, and much quicker.
    return _EITHER.sub(_mask, text) if sum(map(str.isdigit, text)) >= _FEWEST_DIGITS else text


def _mask(found: re.Match[str]) -> str:
    text = found[0]
    digits = sum(map(str.isdigit, text))
    if found["plain"] is not None or digits < _FEWEST_DIGITS:
        return text
    shown: list[str] = []
    for character in text:
        if character.isdigit():
            digits -= 1
            character = character if digits < 2 else "*"  # noqa: PLW2901 - the same place in the text
        shown.append(character)
    return "".join(shown)


def without_values(text: str, fields: Mapping[str, str]) -> str:
    """The text with every value of these fields that it repeats replaced by the field's name: a service may quote what it
    refuses. Values of one or two letters would hide half of every sentence, and say nothing.
    """
    for name, value in sorted(fields.items(), key=lambda field: -len(field[1])):
        if len(value.strip()) >= _SHORTEST_VALUE:
            text = re.sub(re.escape(value.strip()), f"[{name}]", text, flags=re.IGNORECASE)
    return text


def without_quotes(text: str) -> str:
    """The text with everything quoted in it hidden: what an error of a library quotes is what it was given."""
    return _QUOTED.sub(HIDDEN, text)
