"""On which line of a TOML text a key stands, which `tomllib` does not tell.

The finder reads only texts that `tomllib` has already accepted, and knows no more of TOML than it needs:
headers, keys, and where a value that spans several lines ends. Keys inside an inline table or an inline
array are found at the line on which the outer key stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# ("folders", 0, "path"): names, and a position from 0 inside an array of tables.
KeyPath = tuple[str | int, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=(.*)", re.DOTALL)
_TOKEN = re.compile(r'''"""|\'\'\'|"(?:[^"\\]|\\.)*"|'[^']*'|\#.*|[\[{]|[\]}]''')
_CLOSING = {'"""': re.compile(r'(?:[^\\]|\\.)*?"""', re.DOTALL), "'''": re.compile(r".*?'''", re.DOTALL)}


class Lines:
    """Line numbers, from 1, of the keys and tables of one TOML text."""

    def __init__(self, text: str) -> None:
        self._found: dict[KeyPath, int] = {}
        self._arrays: dict[KeyPath, int] = {}
        table: KeyPath = ()
        for number, line in _statements(text):
            if header := _HEADER.fullmatch(line):
                table = self._enter(_parts(header[2]), array=header[1] == "[[")
                self._found.setdefault(table, number)
            elif assignment := _ASSIGNMENT.fullmatch(line):
                path = table
                for part in _parts(assignment[1]):
                    path = (*path, part)
                    self._found.setdefault(path, number)

    def line(self, path: KeyPath) -> int | None:
        """The line of the key, else that of the table it should stand in, else None."""
        while path:
            if path in self._found:
                return self._found[path]
            path = path[:-1]
        return None

    def _enter(self, parts: list[str], *, array: bool) -> KeyPath:
        """The path a header opens: below an array of tables it means the array's latest table."""
        path: KeyPath = ()
        for position, part in enumerate(parts):
            path = (*path, part)
            if array and position == len(parts) - 1:
                self._arrays[path] = self._arrays.get(path, -1) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path])
        return path


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The lines on which a statement begins; lines inside a longer value are passed over."""
    quote = ""
    depth = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not quote and not depth:
            yield number, line.rstrip("\r")
            assignment = _ASSIGNMENT.fullmatch(line)
            quote, depth = _after(assignment[2], "", 0) if assignment else ("", 0)
        else:
            quote, depth = _after(line, quote, depth)


def _after(piece: str, quote: str, depth: int) -> tuple[str, int]:
    """The multi-line quote and the number of brackets still open after a piece of a value."""
    position = 0
    while True:
        if quote:
            closing = _CLOSING[quote].match(piece, position)
            if closing is None:
                return quote, depth
            quote, position = "", closing.end()
        token = _TOKEN.search(piece, position)
        if token is None:
            return quote, depth
        position = token.end()
        word = token[0]
        if word in _CLOSING:
            quote = word
        else:
            depth += (word in "[{") - (word in "]}")


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_PART, dotted)]
