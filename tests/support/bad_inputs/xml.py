"""Metadata in XML that is broken, hostile or cannot be sent, and such as only looks it; the audio beside it is good.

They are meant for a folder with RULES; else it is as for the rest of the collection.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import MetadataFormat
from support import wavs
from support.bad_inputs.common import BadInput, seeded

PATHS: Mapping[str, str] = {
    "call/operator": "operator_name",
    "call/operator/@id": "operator_id",
    "call/client": "client_name",
    "call/client/@id": "client_id",
    "call/start": "date",
    "call/outgoing": "direction_outgoing",
    "call/language": "language",
    "call/note": "note",
    "call/note/@kind": "kind",
}
RULES: Mapping[str, Any] = {"metadata": "{stem}.xml", "metadata_format": MetadataFormat.XML, "metadata_paths": PATHS}
RULES_IN_TOML = 'metadata = "{stem}.xml"\nmetadata_format = "xml"\n[folders.metadata_paths]\n' + "".join(
    f'"{path}" = "{key}"\n' for path, key in PATHS.items()
)

_INSIDE = (
    '<operator id="201">Анна Петрова</operator><client id="+79990000000">Client</client>'
    "<start>2025-04-24T14:34:19+03:00</start><outgoing>true</outgoing><language>ru-RU</language>"
)
_DECLARATION = '<?xml version="1.0" encoding="{}"?>'


def text(more: str = "", before: str = _DECLARATION.format("UTF-8"), inside: str = _INSIDE) -> str:
    """A whole call with something more in it, or something else before it."""
    return f"{before}\n<call>{inside}{more}</call>\n"


def declared(encoding: str, more: str = "") -> str:
    return text(more, _DECLARATION.format(encoding))


_GOOD = text().encode()


def _dtd(inner: str = "", encoding: str = "") -> str:
    """A call with a DTD whose entity stands in the note."""
    subset = inner or '<!ENTITY x "expanded"><!ATTLIST note kind CDATA "defaulted">'
    return text("<note>&x;</note>", (_DECLARATION.format(encoding) if encoding else "") + f"<!DOCTYPE call [{subset}]>")


_LAUGHS = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)) + '<!ENTITY x "&a9;">'
_DTDS: Mapping[str, bytes] = {
    "utf-8": _dtd().encode(),
    "marked-utf-8": _dtd().encode("utf-8-sig"),
    "utf-16": _dtd().encode("utf-16"),
    "utf-16-declared": _dtd(encoding="utf-16").encode("utf-16"),
    "utf-16-big-endian": codecs.BOM_UTF16_BE + _dtd().encode("utf-16-be"),
    "windows-1251": _dtd(encoding="windows-1251").encode("cp1251"),
    "koi8-r": _dtd(encoding="koi8-r").encode("koi8-r"),
    "cp866": _dtd(encoding="cp866").encode("cp866"),
    "declared-utf-16": _dtd(encoding="utf-16").encode(),
    "laughs": _dtd(_LAUGHS).encode(),
    "blow-up": _dtd(f'<!ENTITY x "{"a" * 50_000}">').replace("&x;", "&x;" * 10_000).encode(),
    "itself": _dtd('<!ENTITY x "&y;"><!ENTITY y "&x;">').encode(),
    "a-file": _dtd('<!ENTITY x SYSTEM "file:///etc/passwd">').encode(),
    "a-device": _dtd('<!ENTITY x SYSTEM "file:///dev/zero">').encode(),
    "an-address": _dtd('<!ENTITY x SYSTEM "http://127.0.0.1:9/x">').encode(),
    "parameter": _dtd('<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;').encode(),
    "a-notation": _dtd('<!NOTATION n SYSTEM "n"><!ENTITY x SYSTEM "x" NDATA n>').encode(),
    "outside": text(before='<!DOCTYPE call SYSTEM "file:///etc/passwd">').encode(),
    "public": text(before='<!DOCTYPE call PUBLIC "-//x//y" "http://127.0.0.1:9/x">').encode(),
    "empty": text(before="<!DOCTYPE call>").encode(),
    "over-lines": text(before="<!DOCTYPE\n\tcall\n>").encode(),
    "after-a-comment": text(before="<!-- c --><?pi?><!DOCTYPE call>").encode(),
    "within": text("<!DOCTYPE call><note/>").encode(),
    "in-a-comment": text("<!-- <!DOCTYPE call> -->").encode(),
    "in-cdata": text("<note><![CDATA[<!DOCTYPE html>]]></note>").encode(),
    "entity-alone": text('<!ENTITY x "y">').encode(),
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "never-closed": b"<!DOCTYPE call [" + b"<!ENTITY x 'y'>" * 10_000,
}
_NOT_TEXT: Mapping[str, bytes] = {
    "utf-16-unmarked": text(before="").encode("utf-16-le"),
    "utf-16-unmarked-big-endian": declared("utf-16").encode("utf-16-be"),
    "utf-16-unmarked-dtd": _dtd().encode("utf-16-le"),
    "utf-16-unmarked-big-endian-dtd": _dtd(encoding="utf-16").encode("utf-16-be"),
    "utf-16-with-half-a-pair": text("<note>x</note>").encode("utf-16").replace(b"x\0", b"\0\xd8"),
    "utf-16-of-odd-length": text().encode("utf-16")[:-1],
    "utf-32": text().encode("utf-32"),
    "utf-32-big-endian": codecs.BOM_UTF32_BE + text().encode("utf-32-be"),
    "utf-32-dtd": _dtd().encode("utf-32"),
    "utf-7-declared": declared("utf-7").encode("utf-7"),
    "ebcdic": declared("cp037").replace("Анна Петрова", "Anna").encode("cp037"),
    "ebcdic-declared": declared("cp037").replace("Анна Петрова", "Anna").encode(),
    "shift-jis-declared": declared("shift_jis").replace("Анна Петрова", "Anna").encode(),
    "an-encoding-that-is-none": declared("zip").encode(),
    "windows-1251-undeclared": text(before="").encode("cp1251"),
    "windows-1251-declared-utf-8": text().encode("cp1251"),
    "windows-1251-declared-utf-16": declared("utf-16").encode("cp1251"),
    "windows-1251-with-a-gap": declared("windows-1251", "<note>x</note>").encode("cp1251").replace(b"x</note", b"\x98</note"),
    "utf-8-declared-windows-1251": declared("windows-1251").encode(),
    "utf-8-declared-koi8-r": declared("koi8-r").encode(),
    "letters-declared-ascii": declared("us-ascii").encode(),
    "overlong": text("<note>x</note>").encode().replace(b"x</note", b"\xc0\xbc</note"),
    "surrogates-in-utf8": text("<note>x</note>").encode().replace(b"x</note", b"\xed\xa0\x80</note"),
    "beyond-unicode": text("<note>x</note>").encode().replace(b"x</note", b"\xf5\x80\x80\x80</note"),
    "cut-within-a-letter": _GOOD[: _GOOD.index("А".encode()) + 1],
    "audio": wavs.pcm(seconds=0.1),
}
_NOT_XML: Mapping[str, bytes] = {
    "empty": b"",
    "spaces": b" \n\t ",
    "only-a-mark": codecs.BOM_UTF8,
    "only-a-declaration": _DECLARATION.format("UTF-8").encode(),
    "only-a-comment": b"<!-- c -->",
    "json": b'{"operator_id": "201"}',
    "ini": b"[call]\nagent=201\n",
    "space-before-the-declaration": b" " + _GOOD,
    "two-declarations": _GOOD.replace(b"<call>", b'<?xml version="1.0"?><call>'),
    "two-calls": _GOOD + text(before="").encode(),
    "text-behind": _GOOD + b"garbage",
    "nul-behind": _GOOD + b"\0" * 100,
    "nul": text("<note>a\0b</note>").encode(),
    "nul-in-utf-16": text("<note>a\0b</note>").encode("utf-16"),
    "nul-by-number": text("<note>&#0;</note>").encode(),
    "half-a-pair-by-number": text("<note>&#xD800;</note>").encode(),
    "a-pair-by-numbers": text("<note>&#xD83D;&#xDE00;</note>").encode(),
    "no-letter-by-number": text("<note>&#xFFFE;</note>").encode(),
    "beyond-unicode-by-number": text("<note>&#x110000;</note>").encode(),
    "a-huge-number": text(f"<note>&#{'9' * 100_000};</note>").encode(),
    "an-escape": text("<note>\x1b[2J</note>").encode(),
    "an-escape-by-number": text("<note>&#27;</note>").encode(),
    "an-unknown-entity": text("<note>&nbsp;</note>").encode(),
    "an-open-entity": text("<note>a & b</note>").encode(),
    "an-entity-without-end": text("<note>&amp</note>").encode(),
    "cdata-without-end": text("<note><![CDATA[x</note>").encode(),
    "cdata-end-alone": text("<note>x]]></note>").encode(),
    "cdata-in-small-letters": text("<note><![cdata[x]]></note>").encode(),
    "comment-without-end": text("<!-- x").encode(),
    "comment-with-dashes": text("<!-- x -- y -->").encode(),
    "pi-without-end": text("<?pi x").encode(),
    "pi-named-xml": text("<?xml x?>").encode(),
    "crossed": text("<a><b></a></b>").encode(),
    "never-closed": text("<note>").encode(),
    "closed-twice": text("</note>").encode(),
    "two-attributes-of-one-name": text('<note kind="1" kind="2"/>').encode(),
    "two-attributes-50000-times": text("<note " + 'kind="1" ' * 50_000 + "/>").encode(),
    "attribute-without-quotes": text("<note kind=1/>").encode(),
    "attribute-with-a-bracket": text('<note kind="<"/>').encode(),
    "attribute-without-value": text("<note kind/>").encode(),
    "a-name-of-digits": text("<79161234567/>").encode(),
    "doctype-in-small-letters": text(before="<!doctype call>").encode(),
    "html-as-people-write-it": b"<html><body><p>502 Bad Gateway<br></body></html>",
    **{f"cut-at-{part}": _GOOD[: len(_GOOD) * part // 100] for part in (1, 5, 10, 60, 70, 80, 90, 98)},
}
_TOO_BIG: Mapping[str, bytes] = {
    "over-a-mebibyte": text(f"<other>{'x' * 2**20}</other>").encode(),
    "over-a-mebibyte-of-space": _GOOD + b" " * 2**20,
    "51-levels": text("<a>" * 50 + "</a>" * 50).encode(),
    "deep": b"<a>" * 300_000,
    "deep-names": ("<call>" + "".join(f"<{'n' * 1000}{n}>" for n in range(900))).encode(),
    "wide": text("<a/>" * 10_000).encode(),
    "wide-and-deep": text(("<a>" * 10 + "</a>" * 10) * 1_000).encode(),
    "101-attributes": text("<note " + " ".join(f'a{n}="x"' for n in range(101)) + "/>").encode(),
    "50000-attributes": text("<note " + " ".join(f'a{n}="x"' for n in range(50_000)) + "/>").encode(),
    "201-namespaces": text("<note " + " ".join(f'xmlns:n{n}="u"' for n in range(201)) + "/>").encode(),
}
_TOO_LONG: Mapping[str, bytes] = {
    "value-of-1025-bytes": text(f"<note>{'x' * 1025}</note>").encode(),
    "value-of-many-letters": text(f"<note>{'x' * 70_000}</note>").encode(),
    "value-in-many-pieces": text(f"<note>{'x<!-- -->' * 70_000}</note>").encode(),
    "value-of-cdata": text(f"<note>{'<![CDATA[xxxx]]>' * 20_000}</note>").encode(),
    "value-of-numbers": text(f"<note>{'&#120;' * 70_000}</note>").encode(),
    "attribute-of-many-letters": text(f'<note kind="{"x" * 70_000}"/>').encode(),
}
_LACKING: Mapping[str, bytes] = {
    "nothing-in-it": b"<call/>",
    "another-root": b"<record>" + _INSIDE.encode() + b"</record>",
    "a-root-around-it": b"<calls><call>" + _INSIDE.encode() + b"</call></calls>",
    "names-in-capitals": text(inside=_INSIDE.replace("client", "CLIENT")).encode(),
    "key-lacking": text(inside=_INSIDE.replace(' id="201"', "")).encode(),
    "key-of-spaces": text(inside=_INSIDE.replace("201", " &#32;\n")).encode(),
    "an-include": text(inside=_INSIDE.replace("Client", '<xi:include href="file:///etc/passwd"/>')).encode(),
    "well-formed-html": b"<html><body>502 Bad Gateway</body></html>",
    "soap": b'<s:Envelope xmlns:s="urn:x"><s:Body><s:Fault/></s:Body></s:Envelope>',
}
_BAD_VALUE: Mapping[str, bytes] = {
    "direction-in-digits": text(inside=_INSIDE.replace("true", "1")).encode(),
    "direction-twice-in-one": text(inside=_INSIDE.replace("true", "true false")).encode(),
}
_BAD_DATE: Mapping[str, bytes] = {
    "date-without-zone": text(inside=_INSIDE.replace("+03:00", "")).encode(),
    "date-over-lines": text(inside=_INSIDE.replace("T14", "\nT14")).encode(),
}


def table() -> dict[str, tuple[bytes, Reason]]:
    """Every bad file of this part, by the stem it gets."""
    groups: tuple[tuple[str, Mapping[str, bytes], Reason], ...] = (
        ("xml-dtd", _DTDS, Reason.METADATA_DOCTYPE),
        ("xml", _NOT_TEXT, Reason.METADATA_NOT_TEXT),
        ("xml", _NOT_XML, Reason.METADATA_NOT_XML),
        ("xml", _TOO_BIG, Reason.METADATA_TOO_BIG),
        ("xml", _TOO_LONG, Reason.METADATA_VALUE_TOO_LONG),
        ("xml", _LACKING, Reason.METADATA_KEY_LACKING),
        ("xml", _BAD_VALUE, Reason.METADATA_BAD_VALUE),
        ("xml", _BAD_DATE, Reason.METADATA_BAD_DATE),
    )
    return {f"{prefix}-{name}": (raw, reason) for prefix, group, reason in groups for name, raw in group.items()}


# What must be sent: by its fields the stand-in would tell whether it was read right.
HEALTHY: Mapping[str, bytes] = {
    "plain": _GOOD,
    "marked": text().encode("utf-8-sig"),
    "two-marks": codecs.BOM_UTF8 + text().encode("utf-8-sig"),
    "without-declaration": text(before="").encode(),
    "declared-1.1": text(before='<?xml version="1.1"?>').encode(),
    "utf-16": declared("utf-16").encode("utf-16"),
    "utf-16-big-endian": codecs.BOM_UTF16_BE + text(before="").encode("utf-16-be"),
    "utf-16-declared-utf-8": text().encode("utf-16"),
    "utf-8-declared-utf-16": declared("utf-16").encode(),
    "marked-declared-windows-1251": declared("windows-1251").encode("utf-8-sig"),
    "windows-1251": declared("windows-1251").encode("cp1251"),
    "koi8-r": declared("KOI8-R").encode("koi8-r"),
    "cp866": declared("cp866").encode("cp866"),
    "iso-8859-5": declared("ISO-8859-5").encode("iso8859-5"),
    "in-numbers": text().encode("ascii", "xmlcharrefreplace"),
    "comments": text("<!-- <call/> & < > -->", before="<!-- c -->").encode(),
    "cdata": text("<note><![CDATA[<&]]]]><![CDATA[>]]></note>").encode(),
    "instructions": text("<?php system('x') ?>", before='<?xml-stylesheet href="http://127.0.0.1:9/x"?>').encode(),
    "namespaces": text(inside=_INSIDE.replace("<", "<v:").replace("<v:/", "</v:")).encode(),
    "schema": text('<x xsi:schemaLocation="http://127.0.0.1:9/x y" xml:space="preserve" xml:base="file:///etc/"/>').encode(),
    "one-thing-twice": text("<note>1</note><note>2</note><client>Other</client>").encode(),
    "the-same-twice": text(_INSIDE).encode(),
    "50-levels": text("<a>" * 49 + "</a>" * 49).encode(),
    "many-elements": text("<a/>" * 9_900).encode(),
    "100-attributes": text("<note " + " ".join(f'a{n}="x"' for n in range(100)) + "/>").encode(),
    "much-elsewhere": text(f"<other>{'x' * 900_000}</other>").encode(),
    "a-long-name": text(f"<{'n' * 400_000}></{'n' * 400_000}>").encode(),
    "much-space": text(" \n\t" * 100_000).encode() + b" " * 100_000,
    "value-of-1024-bytes": text(f"<note>{'я' * 512}</note>").encode(),
    "entities-of-xml": text("<note>&lt;&amp;&gt;&quot;&apos;&#x1F600;</note>").encode(),
    "empty-ones": text("<note/><note kind=''/>").encode(),
    "html-in-text": text("<note>&lt;script&gt;</note>").encode(),
}


def write_bad(directory: Path) -> list[BadInput]:
    made = table()
    for seed, (stem, (raw, _)) in enumerate(made.items(), start=5000):
        _put(directory, stem, seed, raw)
    return [BadInput(stem, (State.UNUSABLE, reason)) for stem, (_, reason) in made.items()]


def write_healthy(directory: Path) -> set[str]:
    """Returns their audio's paths as the queue has them."""
    for seed, (name, raw) in enumerate(HEALTHY.items(), start=5500):
        _put(directory, f"xml-good-{name}", seed, raw)
    return {f"xml-good-{name}.wav" for name in HEALTHY}


def _put(directory: Path, stem: str, seed: int, raw: bytes) -> None:
    (directory / f"{stem}.xml").write_bytes(raw)
    (directory / f"{stem}.wav").write_bytes(seeded(wavs.pcm(), seed))
