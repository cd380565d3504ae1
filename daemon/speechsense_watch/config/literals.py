"""Values written as TOML, for the sample, the reference and the messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

_SHOWN_CHARACTERS = 60


def shown(value: object) -> str:
    """The value as one would write it in the file, cut to 60 characters, without control characters."""
    plain = literal(value)
    return plain if len(plain) <= _SHOWN_CHARACTERS else plain[: _SHOWN_CHARACTERS - 3] + "..."


def literal(value: object) -> str:
    """The value as a TOML value on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{"".join(_escaped(character) for character in value)}"'
        case list() | tuple():
            return "[" + ", ".join(literal(item) for item in value) + "]"
        case Mapping():
            items = ", ".join(f"{key} = {literal(item)}" for key, item in value.items())
            return f"{{ {items} }}" if items else "{}"
        case date():
            return value.isoformat()
        case _:
            return str(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"
