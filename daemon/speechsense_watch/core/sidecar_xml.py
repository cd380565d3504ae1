"""XML metadata -> keys and values by paths.

A path names elements from the outermost one down, `/` between them, `*` for any name; a last part with `@` is an attribute:
`call/agent/@id`, `call/caller`, `*/caller`. A part without a prefix fits a name with any prefix (`v:caller`).

The parser is expat from the standard library, and no DTD gets past it: expansion bombs, outside entities and default
attributes all begin with a DOCTYPE, so a file with one is refused before it is parsed, and where the parser meets one all the
same. Expat is given decoded text without a NUL, since by one it would find out UTF-16 and read what we have not looked at.
That is all that a hardened wrapper around the same parser would add. Values are personal data: messages name paths only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.sidecar import MOST_BYTES, Values, listed, shown

MOST_LEVELS = 50
MOST_ELEMENTS = 10_000
MOST_ATTRIBUTES = 100
# Far over what can be sent, so that `too_long = "cut"` has something to cut.
MOST_VALUE_LETTERS = 65_536

# What recorders write. Any other name is refused rather than looked up: the name is the file's word, the look-up an import.
_ENCODINGS: Mapping[str, str] = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    # A declaration that can be read byte by byte is not in UTF-16: .NET's StringWriter says so of text that is saved as UTF-8.
    "utf-16": "utf-8",
    "us-ascii": "ascii",
    "windows-1251": "cp1251",
    "cp1251": "cp1251",
    "windows-1252": "cp1252",
    "iso-8859-1": "latin-1",
    "iso-8859-5": "iso8859-5",
    "koi8-r": "koi8-r",
    "cp866": "cp866",
    "ibm866": "cp866",
}
# Letters of these that happen to be UTF-8 throughout are no text; of cp866 a short word may be.
_NEVER_LIKE_UTF_8 = frozenset({"cp1251", "cp1252", "latin-1", "iso8859-5", "koi8-r"})
_DECLARED = re.compile(rb"\s{0,100}<\?xml\s[^>]{0,200}?encoding\s{0,10}=\s{0,10}[\"']([A-Za-z0-9._-]{1,40})[\"']")

# Errors of expat that a file has which breaks off (expat.h: NO_ELEMENTS, UNCLOSED_TOKEN, PARTIAL_CHAR, UNCLOSED_CDATA_SECTION).
_ENDS_TOO_EARLY = frozenset({3, 5, 6, 20})

_DOCTYPE = Problem(Reason.METADATA_DOCTYPE, "The metadata has a DOCTYPE or declares entities, which are never read.")

_NAME = r"[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?"
_PATH = re.compile(rf"(?:{_NAME}|\*)(?:/(?:{_NAME}|\*))*(?:/@{_NAME})?")


def path_problem(path: str) -> str | None:
    """What is wrong with a path of `metadata_paths`, in words; None for a good one."""
    if _PATH.fullmatch(path):
        return None
    return "this one is no path like call/agent/@id: names of elements from the outermost one down, * for any, @ for an attribute"


def read_xml(raw: bytes, paths: Mapping[str, str]) -> Values | Problem:
    """The text at each path by its key, without the white space around it, or what is wrong with the file.

    What a path does not find is absent. Of several things at one path, and of several paths for one key (in their order),
    the first that is not empty counts; when another says something else, an action tells.
    """
    text = _decode(raw)
    if isinstance(text, Problem):
        return text
    if not text.strip():
        return Problem(Reason.METADATA_NOT_XML, "The metadata file is empty.")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return _DOCTYPE
    collector = _Collector(_Targets(paths))
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = _refuse_dtd
    try:
        parser.Parse(text, True)
    except _Refused as refused:
        return refused.problem
    except expat.ExpatError as error:
        return _not_xml(text, error)
    return _as_values(paths, collector.found)


# --- bytes to text --------------------------------------------------------------------------------


def _decode(raw: bytes) -> str | Problem:
    """Text without a NUL. A mark at the beginning says more of the encoding than the declaration, which may be a form's."""
    if len(raw) > MOST_BYTES:
        return _too_big(f"{len(raw):,} bytes; more than {MOST_BYTES:,}")
    declared = _DECLARED.match(raw)
    name = declared[1].decode("ascii").lower() if declared else "utf-8"
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding: str | None = "utf-16"
    elif raw[:3] == b"\xef\xbb\xbf":
        encoding = "utf-8-sig"
    else:
        encoding = _ENCODINGS.get(name)
    if encoding is None:
        return Problem(Reason.METADATA_NOT_TEXT, "The metadata says it is in an encoding that is not read here; UTF-8 is.")
    if encoding in _NEVER_LIKE_UTF_8 and not raw.isascii() and _is_utf_8(raw):
        message = f"The metadata says it is in {name.upper()}, but its letters are in UTF-8."
        return Problem(Reason.METADATA_NOT_TEXT, message)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        message = f"The metadata is not in {encoding.removesuffix('-sig').upper()} (at byte {error.start + 1:,})."
        return Problem(Reason.METADATA_NOT_TEXT, message)
    return _without_nul(text)


def _is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _without_nul(text: str) -> str | Problem:
    at = text.find("\0")
    if at < 0:
        return text
    if at < 4:
        message = "The metadata is in UTF-16 without its mark (BOM), or in UTF-32; UTF-8 is read, and UTF-16 with its mark."
        return Problem(Reason.METADATA_NOT_TEXT, message)
    return Problem(Reason.METADATA_NOT_XML, f"The metadata is not XML: character {at + 1:,} is a NUL.")


def _too_big(what: str) -> Problem:
    return Problem(Reason.METADATA_TOO_BIG, f"The metadata has {what} are not read.")


def _not_xml(text: str, error: expat.ExpatError) -> Problem:
    if error.code in _ENDS_TOO_EARLY and text.lstrip().startswith("<"):
        return Problem(Reason.METADATA_NOT_XML, f"The metadata ends too early to be XML (after {len(text):,} characters).")
    message = f"The metadata is not XML: line {error.lineno:,}, column {error.offset + 1:,} is not as it must be."
    return Problem(Reason.METADATA_NOT_XML, message)


# --- walking --------------------------------------------------------------------------------------


class _Refused(Exception):  # noqa: N818 - not an error: an end to reading
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _refuse_dtd(*_declared: object) -> NoReturn:
    raise _Refused(_DOCTYPE)


def _same(step: str, name: str) -> bool:
    return step in ("*", name) or (":" not in step and name.rpartition(":")[2] == step)


class _Targets:
    """The paths by how many elements deep they lead, so that an element is compared with few of them."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._by_depth: dict[int, list[tuple[tuple[str, ...], str, str]]] = {}
        for path in paths:
            *steps, last = path.split("/")
            attribute = last[1:] if last.startswith("@") else ""
            if not attribute:
                steps.append(last)
            self._by_depth.setdefault(len(steps), []).append((tuple(reversed(steps)), attribute, path))

    def at(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """(path, attribute) of all that lead to the element whose names from the outermost down these are; '' is its text."""
        for steps, attribute, path in self._by_depth.get(len(names), ()):
            if all(_same(step, name) for step, name in zip(steps, reversed(names), strict=True)):
                yield path, attribute


@dataclass(slots=True)
class _Found:
    """What stands at one path: the first text that is not empty, and whether another one differs from it."""

    text: str
    differs: bool = False

    def another(self, text: str) -> None:
        if not self.text:
            self.text = text
        elif text and text != self.text:
            self.differs = True


@dataclass(slots=True)
class _Element:
    """An open element. `paths` lead to its text; only then its pieces are kept."""

    paths: tuple[str, ...]
    pieces: list[str] = field(default_factory=list)
    letters: int = 0
    has_children: bool = False


class _Collector:
    """The handlers of one parse. Raises _Refused for what is over a limit."""

    def __init__(self, targets: _Targets) -> None:
        self.found: dict[str, _Found] = {}
        self._targets = targets
        self._names: list[str] = []
        self._open: list[_Element] = []
        self._elements = 0

    def start(self, name: str, attributes: Sequence[str]) -> None:
        self._names.append(name)
        self._elements += 1
        if self._elements > MOST_ELEMENTS:
            raise _Refused(_too_big(f"too many elements; more than {MOST_ELEMENTS:,}"))
        if len(self._names) > MOST_LEVELS:
            raise _Refused(_too_big(f"too many elements within each other; more than {MOST_LEVELS}"))
        if len(attributes) > 2 * MOST_ATTRIBUTES:
            raise _Refused(_too_big(f"{len(attributes) // 2:,} attributes on one element; more than {MOST_ATTRIBUTES}"))
        if self._open:
            self._open[-1].has_children = True
        texts: list[str] = []
        for path, attribute in self._targets.at(self._names):
            if attribute:
                self._attribute(path, attribute, attributes)
            else:
                texts.append(path)
        self._open.append(_Element(tuple(texts)))

    def _attribute(self, path: str, wanted: str, attributes: Sequence[str]) -> None:
        # Flat pairs, as expat gives them.
        for name, value in zip(attributes[::2], attributes[1::2], strict=True):
            if _same(wanted, name):
                if len(value) > MOST_VALUE_LETTERS:
                    raise _value_too_long(path)
                self._find(path, value.strip())

    def text(self, piece: str) -> None:
        element = self._open[-1]
        if not element.paths:
            return
        element.letters += len(piece)
        if element.letters > MOST_VALUE_LETTERS:
            raise _value_too_long(element.paths[0])
        element.pieces.append(piece)

    def end(self, _name: str) -> None:
        self._names.pop()
        element = self._open.pop()
        text = "".join(element.pieces).strip()
        # An element that only holds others says nothing of itself.
        if text or not element.has_children:
            for path in element.paths:
                self._find(path, text)

    def _find(self, path: str, text: str) -> None:
        if path in self.found:
            self.found[path].another(text)
        else:
            self.found[path] = _Found(text)


def _value_too_long(path: str) -> _Refused:
    message = f"The metadata has over {MOST_VALUE_LETTERS:,} characters at {shown(path)}; so many are not read."
    return _Refused(Problem(Reason.METADATA_VALUE_TOO_LONG, message))


# --- what was found ---------------------------------------------------------------------------------


def _as_values(paths: Mapping[str, str], found: Mapping[str, _Found]) -> Values:
    values: dict[str, str] = {}
    for path, key in paths.items():
        if path in found and not values.get(key):
            values[key] = found[path].text
    several = [path for path in paths if path in found and found[path].differs]
    notes = (f"The metadata says several things at {listed(several)}; the first was taken.",) if several else ()
    return Values(values, notes=notes)
