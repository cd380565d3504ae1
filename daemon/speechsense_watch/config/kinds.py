"""Kinds of values that an option can have: what each looks like, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from speechsense_watch.config.zones import zone_problem
from speechsense_watch.core.file_name import pattern_problem
from speechsense_watch.core.working_time import parse


class Mismatch(ValueError):  # noqa: N818 - what it says is read as a sentence, not as a failure of the program
    """A value that does not fit. `expected` says more than the kind's own sentence where there is more to say."""

    def __init__(self, expected: str = "") -> None:
        super().__init__(expected)
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value. `read` takes what tomllib yields and raises Mismatch; `suffix` names the unit it yields."""

    name: str
    expected: str
    read: Callable[[object], object]
    from_text: Callable[[str], object] = str
    suffix: str = ""
    # What was given is never repeated in a message: it may be a secret that landed under the wrong key.
    hide: bool = False
    # A relative path counts from the directory of the configuration file.
    beside: bool = False


# --- simple ones -----------------------------------------------------------------------------


def flag() -> Kind:
    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise Mismatch
        return value

    def from_text(text: str) -> object:
        return {"true": True, "false": False}.get(text.strip().lower(), text)

    return Kind("true or false", "true or false, without quotes", read, from_text)


def whole_number(least: int, most: int) -> Kind:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Mismatch
        return value

    def from_text(text: str) -> object:
        return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text.strip()) else text

    return Kind("number", f"a whole number from {least} to {most}, without quotes", read, from_text)


def one_of(words: type[StrEnum]) -> Kind:
    listed = ", ".join(f'"{word}"' for word in words)

    def read(value: object) -> StrEnum:
        try:
            return words(str(value))
        except ValueError:
            raise Mismatch from None

    return Kind(f"one of {listed}", f"one of {listed}", read)


def printable(text: str) -> bool:
    return not any(ord(character) < 32 or ord(character) == 127 for character in text)


# --- quantities ------------------------------------------------------------------------------

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def seconds_of(text: str) -> float | None:
    """Seconds in a duration like "500ms", "10s", "15m", "2h" or "7d"; None when it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    return float(match[1]) / 1000 if match[2] == "ms" else float(match[1]) * _SECONDS[match[2]]


def bytes_of(text: str) -> int | None:
    """Bytes in a size like "0B", "512KiB", "4MiB" or "1GiB"; None when it is none."""
    match = _SIZE.fullmatch(text)
    return int(match[1]) * _BYTES[match[2]] if match else None


def duration(least: str = "0s", most: str = "3650d") -> Kind:
    example = 'a duration such as "10s" or "15m"'

    def read(value: object) -> float:
        found = seconds_of(value) if isinstance(value, str) else None
        if found is None:
            raise Mismatch
        if not (seconds_of(least) or 0) <= found <= (seconds_of(most) or 0):
            raise Mismatch(f'a duration from "{least}" to "{most}"')
        return found

    return Kind("duration", example, read, suffix="_s")


def size(least: str, most: str) -> Kind:
    example = 'a size such as "512KiB" or "4MiB"'

    def read(value: object) -> int:
        found = bytes_of(value) if isinstance(value, str) else None
        if found is None:
            raise Mismatch
        if not (bytes_of(least) or 0) <= found <= (bytes_of(most) or 0):
            raise Mismatch(f'a size from "{least}" to "{most}"')
        return found

    return Kind("size", example, read, suffix="_bytes")


def bandwidth(*, may_be_empty: bool = True) -> Kind:
    """Bytes per second, at least 1 KiB/s; None for no limit."""
    none = '"" for no limit, or ' if may_be_empty else ""

    def read(value: object) -> int | None:
        if value == "" and may_be_empty:
            return None
        found = bytes_of(value.removesuffix("/s")) if isinstance(value, str) and value.endswith("/s") else None
        if found is None:
            raise Mismatch
        if found < 2**10:
            raise Mismatch(f'{none}at least "1KiB/s"')
        return found

    example = 'a bandwidth such as "1MiB/s"' + ', or "" for no limit' * may_be_empty
    return Kind("bandwidth", example, read, suffix="_bytes_per_s")


# --- paths, patterns, names ------------------------------------------------------------------


def absolute_path(
    example: str = "/var/spool/calls", *, may_be_empty: bool = False, hide: bool = False, beside: bool = False
) -> Kind:
    """A path from the root, made plain ("/a//b/" is "/a/b"); ".." is refused, as links make it mean anything. With `beside` the
    reader makes a relative one absolute first.

    Never both `hide` and `beside`: where the name of a file with a secret belongs some put the secret itself, and taken for the
    name of a file it would stand in every message that says that there is no such file.
    """
    relative = ", or one relative to the directory of this file" * beside
    expected = f'an absolute path such as "{example}"{relative}, without ".."' + (' (or "" for none)' * may_be_empty)

    def read(value: object) -> str:
        if value == "" and may_be_empty:
            return ""
        if not isinstance(value, str) or not value.startswith("/") or not printable(value):
            raise Mismatch
        parts = [part for part in value.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise Mismatch
        return "/" + "/".join(parts)

    return Kind("path", expected, read, hide=hide, beside=beside)


def patterns(what: str, *, slashes: bool, least: int = 0) -> Kind:
    """A list of file patterns (`*`, `?`, `[...]`), relative and without ".."."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise Mismatch
        return tuple(read_one(item) for item in value)

    def read_one(value: object) -> str:
        if not isinstance(value, str) or not value or not printable(value):
            raise Mismatch
        if value.startswith("/") or ".." in value.split("/") or ("/" in value and not slashes):
            raise Mismatch
        return value

    return Kind("list of patterns", what, read)


def metadata_pattern() -> Kind:
    expected = (
        'a name beside the audio such as "{stem}.json" (call.json for call.wav), "{name}.json" (call.wav.json) '
        'or "meta/{stem}.json": relative, without "..", with {stem} or {name} in its last part; or "" for none'
    )

    def read(value: object) -> str:
        if value == "":
            return ""
        if not isinstance(value, str) or not printable(value) or value.startswith("/"):
            raise Mismatch
        *parents, last = value.split("/")
        if {"", ".", ".."} & {*parents, last}:
            raise Mismatch
        if not re.search(r"\{(stem|name)\}", last) or re.search(r"[{}]", re.sub(r"\{(stem|name)\}", "", value)):
            raise Mismatch
        return value

    return Kind("pattern", expected, read)


_ENDPOINT = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def endpoint() -> Kind:
    def read(value: object) -> str:
        match = _ENDPOINT.fullmatch(value) if isinstance(value, str) else None
        if isinstance(value, str) and "://" in value:
            raise Mismatch("host and port alone, without http:// or https://, such as " + example)
        if match is None or not 1 <= int(match[1]) <= 65535:
            raise Mismatch
        return match[0]

    example = '"api.speechsense.yandexcloud.net:443"'
    return Kind("host:port", f"host and port such as {example}", read)


def word(what: str, *, may_be_empty: bool = True) -> Kind:
    """Printable ASCII without spaces: identifiers and key names of the service."""
    pattern = re.compile(r"[!-~]*" if may_be_empty else r"[!-~]+")

    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Mismatch
        return value

    return Kind("text", what, read)


def working_time() -> Kind:
    expected = 'days and hours such as "Mon-Fri 09:00-18:00" or "09:00-21:00", or "" for always'

    def read(value: object) -> str:
        if not isinstance(value, str) or parse(value) is None:
            raise Mismatch
        return value

    return Kind("working time", expected, read)


def identifier(what: str) -> Kind:
    """A name that stands in a query as it is."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", value):
            raise Mismatch
        return value

    return Kind("name", what, read)


def encoding() -> Kind:
    expected = 'the name of an encoding such as "utf-8" or "windows-1251"'

    def read(value: object) -> str:
        # Lines and cells are found by bytes, so those of ASCII must mean what they mean there.
        ascii_bytes = bytes(range(128))
        try:
            if not isinstance(value, str) or ascii_bytes.decode(value) != ascii_bytes.decode("ascii"):
                raise Mismatch
        except (LookupError, ValueError):
            raise Mismatch from None
        return value

    return Kind("encoding", expected, read)


def keys() -> Kind:
    """A list of keys, none of them twice."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(set(map(str, value))) != len(value):
            raise Mismatch
        if not all(isinstance(key, str) and key.strip() for key in value):
            raise Mismatch
        return tuple(value)

    return Kind("list of keys", 'a list of keys such as ["agent", "queue"], each once', read)


def file_name() -> Kind:
    expected = '"freepbx", "3cx", or a regular expression with named groups such as \'(?P<operator_id>[0-9]+)-.*\''

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise Mismatch
        if value and (problem := pattern_problem(value)):
            raise Mismatch(f"{expected} ({problem})")
        return value

    return Kind("pattern", expected, read)


def number_pattern() -> Kind:
    expected = "a regular expression for a whole number such as '[0-9]{3}' or '2[0-9]{2}|3[0-9]{3}'"

    def read(value: object) -> str:
        if not isinstance(value, str) or not value:
            raise Mismatch
        try:
            re.compile(value)
        except re.error as error:
            raise Mismatch(f"{expected} (this one cannot be read: {error.msg})") from error
        return value

    return Kind("pattern", expected, read)


def folder_name() -> Kind:
    def read(value: object) -> str:
        if not isinstance(value, str) or not printable(value) or "/" in value or value != value.strip():
            raise Mismatch
        return value

    return Kind("text", 'a name such as "sales", without "/" and spaces around it', read)


# --- times -----------------------------------------------------------------------------------


def start() -> Kind:
    """A word, or a date (with or without time) as it was written: its zone is settled where the folder is known."""
    expected = '"now", "all" or a date such as 2025-04-01 or 2025-04-01T09:00:00+03:00'

    def read(value: object) -> object:
        if value in ("now", "all"):
            return value
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise Mismatch from None
        if not isinstance(value, date):
            raise Mismatch
        if not 1970 <= value.year <= 9000:
            raise Mismatch("a date from 1970 on")
        return value

    return Kind("start", expected, read)


def time_zone() -> Kind:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise Mismatch
        if value and (problem := zone_problem(value)):
            raise Mismatch(problem)
        return value

    return Kind("time zone", 'the name of a time zone such as "Europe/Moscow", or ""', read)


# --- tables ----------------------------------------------------------------------------------


def text_table(what: str, *, limit_bytes: int, may_be_empty: bool = True) -> Kind:
    """One entry of a table of texts by key; the table itself is walked by the reader, key by key."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not (value or may_be_empty):
            raise Mismatch
        if len(value.encode()) > limit_bytes:
            raise Mismatch(f"at most {limit_bytes} bytes (a Cyrillic letter is two)")
        return value

    return Kind("table of texts", what, read)
