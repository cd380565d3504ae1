"""Broken bytes by the thousand, the same ones for the same seed, for everything that reads what lies in a folder.

By hand, for longer than a test may take: `python tests/support/fuzz.py CASES [SEED]`, with the three source roots in PYTHONPATH.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from xml.parsers import expat

from speechsense_watch.core.metadata import Fields, Person, apply_rules
from speechsense_watch.core.model import Problem
from speechsense_watch.core.rules import ConnectionType, Folder, TooLong
from speechsense_watch.core.sidecar import Values, read_values
from speechsense_watch.core.sidecar_xml import read_xml
from speechsense_watch.core.wav import (
    MOST_BYTES_READ,
    MOST_CHUNKS,
    MOST_CHUNKS_BEHIND,
    Bad,
    Finished,
    NoAudio,
    Unfinished,
    inspect,
)
from support import wavs

# The opening, the head of each chunk, the format, the chunks behind the audio with its pad byte and without.
MOST_READS = 1 + MOST_CHUNKS + 1 + 2 * MOST_CHUNKS_BEHIND
# Nothing that is read here is larger than a few kilobytes: whoever takes this long goes round in circles.
LONGEST_CASE_S = 5.0

_WAVS: Sequence[bytes] = (
    *(build() for build in (wavs.pcm, wavs.with_list_before, wavs.with_list_after, wavs.with_junk, wavs.extensible, wavs.odd)),
    *(build() for build in (wavs.header_only, wavs.header_and_list, wavs.asterisk_open, wavs.libsndfile_open, wavs.ffmpeg_open)),
    *(build() for build in (wavs.sox_open, wavs.half_filled_riff, wavs.gsm, wavs.alaw, wavs.rf64, wavs.rifx, wavs.ogg, wavs.mp3)),
)
# Beyond the header hardly anything is looked at, so a header's worth of each file leaves more cases for the time.
_HEADS = tuple((whole[:120], len(whole)) for whole in _WAVS)

_FIELDS: Mapping[str, object] = {
    "operator_name": "Анна Петрова",
    "operator_id": "201",
    "client_name": "Client",
    "client_id": "+79990000000",
    "date": "2025-04-24T14:34:19+03:00",
    "direction_outgoing": True,
    "language": "ru-RU",
    "duration": 17.25,
    "note": None,
}
_JSONS: Sequence[bytes] = (
    json.dumps(_FIELDS, ensure_ascii=False).encode(),
    json.dumps(_FIELDS, indent=2).encode(),
    b'{"a": {"b": [1, -2.5e3, {"c": "\\ud83d\\ude00"}]}, "a": NaN, "\\u0000": Infinity}',
)
_XMLS: Sequence[bytes] = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<call id="7"><agent id="201">А&amp;Б</agent><caller>+7999</caller></call>'.encode(),
    '<?xml version="1.0" encoding="windows-1251"?><call><agent id="201">Анна</agent></call>'.encode("cp1251"),
    b'<v:call xmlns:v="urn:x"><!-- c --><v:caller v:id="7"><![CDATA[a < b]]></v:caller><?pi x?></v:call>',
    "<call><caller>Анна</caller></call>".encode("utf-16"),
    '<?xml version="1.0" encoding="utf-16"?><call><caller>Анна</caller></call>'.encode(),
    '<!DOCTYPE call [<!ENTITY a "b">]><call><caller>&a;</caller></call>'.encode("utf-16-le"),
    '<call><agent id="201"/></call>'.encode("utf-16-be"),
)
_PATHS = {"call/agent/@id": "operator_id", "call/agent": "operator_name", "*/caller": "client_id", "call/*/@id": "x", "@": "y"}

_WAV_PIECES = (
    b"RIFF",
    b"WAVE",
    b"fmt ",
    b"data",
    b"LIST",
    b"ds64",
    b"fact",
    b"RF64",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
)
_JSON_PIECES = (
    b'{"',
    b'":',
    b"[",
    b"]" * 3,
    b'"',
    b"\\ud800",
    b"\\u0000",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"null",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
)
_XML_TEXT_PIECES = (
    "<",
    "</",
    "/>",
    " ",
    "&amp;",
    "<b/>",
    "<!-- c -->",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE x [",
    "<!DOCTYPE call>",
    "<!ENTITY a 'b'>",
    "&a;",
    "&#0;",
    "&#xD800;",
    "<!--",
    "-->",
    "<?",
    "?>",
    "<?xml version='1.0' encoding='utf-16'?>",
)
# In the encodings that expat finds out by itself; a file in one of them has mostly pieces of its own.
_XML_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\0", b"\0<", b"<\0")
_XML_PIECES = {
    codec: (*(piece.encode(codec) for piece in _XML_TEXT_PIECES), *_XML_MARKS) for codec in ("utf-8", "utf-16-le", "utf-16-be")
}

_DATES = ("2025-04-24T14:34:19+03:00", "2025-03-30 02:30:00", "2025-10-26 02:30:00.5", "0001-01-01T00:00", "9999-12-31 23:59:59")
_DATE_LETTERS = "0123456789-+:.,TZ tz\u0661\u2212"
_ZONES = (
    "",
    "Europe/Moscow",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Monrovia",
    "No/Where",
    "../x",
    "\0",
)


class CountedFile:
    """Bytes that count how they are read; the file may claim another size than it has."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.reads = 0
        self.bytes_asked = 0

    def read_at(self, offset: int, count: int) -> bytes:
        assert offset >= 0
        assert count >= 0
        self.reads += 1
        self.bytes_asked += count
        return self._content[offset : offset + count]


def mutated(chance: random.Random, raw: bytes, pieces: Sequence[bytes]) -> bytes:
    """The bytes with one to four faults: bits turned, runs cut, doubled, moved or filled, telling pieces put in."""
    made = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        at = chance.randint(0, len(made))
        match chance.randrange(7):
            case 0 if made:
                made[at % len(made)] ^= 1 << chance.randrange(8)
            case 1 if made:
                made[at % len(made)] = chance.choice((chance.randrange(256), chance.randrange(32, 127)))
            case 2:
                del made[at : at + chance.randint(1, 16)]
            case 3:
                made[at:at] = chance.choice(pieces)
            case 4:
                made[at : at + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f", chance.randbytes(4)))
            case 5:
                made[at:at] = made[at : at + chance.randint(1, 40)] * chance.randint(1, 4)
            case _:
                del made[at:]
    return bytes(made)


# --- one case each: what came out, in a word, for the count -------------------------------------------


def wav_case(chance: random.Random) -> str:
    """The walker, on a file that may be of another size than it was a moment ago."""
    head, whole = chance.choice(_HEADS)
    content = mutated(chance, head, _WAV_PIECES)
    # A file of the right size shows nothing but the fault; holes stand for the audio that is not kept here.
    size = chance.choice((whole, whole, whole + len(content) - len(head), len(content), chance.randrange(2**33)))
    file = CountedFile(content)
    verdict = inspect(file.read_at, size)
    assert file.reads <= MOST_READS, content
    assert file.bytes_asked <= MOST_BYTES_READ, content
    if isinstance(verdict, Finished):
        assert verdict.format.duration_s > 0, content
        assert verdict.format.data_offset + verdict.format.data_bytes <= size, content
        return "finished"
    assert isinstance(verdict, NoAudio | Unfinished | Bad), content
    return _problem(verdict.problem)


def json_case(chance: random.Random) -> str:
    return _read(read_values(mutated(chance, chance.choice(_JSONS), _JSON_PIECES)))


def xml_case(chance: random.Random) -> str:
    whole = chance.choice(_XMLS)
    own = "utf-8" if b"\0" not in whole else "utf-16-be" if whole[0] == 0 else "utf-16-le"
    raw = mutated(chance, whole, _XML_PIECES[chance.choice((own, own, own, *_XML_PIECES))])
    read = read_xml(raw, _PATHS)
    assert isinstance(read, Problem) or not _has_dtd(raw), raw
    return _read(read)


def _has_dtd(raw: bytes) -> bool:
    """Whether expat, left alone with the bytes, meets a DTD in them."""
    met: list[object] = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: met.append(1)
    # Encodings that expat asks Python for may be none, or of several bytes a letter.
    with suppress(expat.ExpatError, LookupError, ValueError):
        parser.Parse(raw, True)
    return bool(met)


def rules_case(chance: random.Random) -> str:
    """What any reader may hand over, surrogates and all, under rules that do everything at once."""
    values = {key: str(value) for key, value in _FIELDS.items()}
    for _ in range(chance.choice((0, 0, 1, 2))):
        values[chance.choice((*values, _text(chance)))] = _text(chance)
    values["date"] = _date(chance)
    values["direction_outgoing"] = chance.choice(("true", "IN", " out ", "inbound", "0", _text(chance)))
    made = apply_rules(values, _folder(chance), chance.choice((None, lambda _: None, lambda _: Person("7", _text(chance)))))
    if isinstance(made, Problem):
        return _problem(made)
    assert isinstance(made, Fields)
    assert all(len(key.encode()) <= 1024 and len(value.encode()) <= 1024 for key, value in made.values.items()), values
    assert all(action.isprintable() for action in made.actions), values
    return "fields"


CASES: Mapping[str, Callable[[random.Random], str]] = {"wav": wav_case, "json": json_case, "xml": xml_case, "rules": rules_case}


def _problem(problem: Problem) -> str:
    assert problem.message.isprintable(), problem
    assert problem.message.endswith("."), problem
    return problem.reason.value


def _read(read: object) -> str:
    if isinstance(read, Problem):
        return _problem(read)
    assert isinstance(read, Values)
    for text in (*read.values, *read.values.values()):
        text.encode()
        assert "\0" not in text
    return "values"


def _text(chance: random.Random) -> str:
    letters = ("a", "я", "7", " ", "\0", "\udcff", "\ud800", "\u202e", "\n", "😀")
    return "".join(chance.choices(letters, k=chance.choice((0, 1, 3, 520)), weights=(400, 400, 400, 50, 1, 1, 1, 1, 1, 1)))


def _date(chance: random.Random) -> str:
    letters = list(chance.choice(_DATES))
    for _ in range(chance.choice((0, 0, 1, 2))):
        letters[chance.randrange(len(letters))] = chance.choice((*_DATE_LETTERS, ""))
    return "".join(letters)


def _folder(chance: random.Random) -> Folder:
    keys = (*_FIELDS, "extra", "other")
    several: Callable[[], Iterator[str]] = lambda: iter(chance.sample(keys, chance.choice((0, 0, 0, 1, 3))))  # noqa: E731
    rules: dict[str, Any] = {
        "metadata_rename": dict(zip(several(), several(), strict=False)),
        "metadata_drop": tuple(several()),
        "metadata_values": {key: {"true": "false", "": "x"} for key in several()},
        "metadata_constants": dict.fromkeys(several(), "constant"),
        "metadata_defaults": dict.fromkeys(several(), "default"),
        "too_long": chance.choice(tuple(TooLong)),
        "time_zone": chance.choice(_ZONES),
        "recording_id_field": chance.choice(("", "extra")),
        "connection_type": chance.choice(tuple(ConnectionType)),
    }
    return Folder(path="/spool", connection_id="c", start_from="all", name="spool", **rules)


# --- many cases -----------------------------------------------------------------------------------------


def run(kind: str, cases: int, seed: int) -> Counter[str]:
    """What came out how often. Raises whatever a case raises, with the number that makes it again."""
    outcomes: Counter[str] = Counter()
    for number in range(cases):
        began = time.thread_time()
        try:
            outcomes[CASES[kind](random.Random(f"{seed}-{number}"))] += 1
        except Exception as error:
            error.add_note(f"{kind} case {number} of seed {seed}")
            raise
        assert time.thread_time() - began < LONGEST_CASE_S, (kind, number, seed)
    return outcomes


def main(cases: int, seed: int) -> None:
    for kind in CASES:
        began = time.perf_counter()
        outcomes = run(kind, cases // len(CASES), seed)
        took_s = time.perf_counter() - began
        sys.stdout.write(f"{kind}: {outcomes.total():,} cases in {took_s:.1f} s: {dict(outcomes.most_common())}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
