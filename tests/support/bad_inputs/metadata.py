"""Metadata that is broken, hostile or cannot be sent; the audio beside it is good."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from pathlib import Path

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from support import wavs
from support.bad_inputs.common import BadInput, good_sidecar, put, seeded

_GOOD = good_sidecar()


def _with(more: bytes) -> bytes:
    """The good one with something more before its closing brace, as it stands."""
    return _GOOD[:-1] + b", " + more + b"}"


_NOT_TEXT: Mapping[str, bytes] = {
    "windows-1251": _GOOD.decode().encode("cp1251"),
    "latin-1": good_sidecar(operator_name="Jürgen").decode().replace("Client", "é").encode("latin-1"),
    "utf-16": _GOOD.decode().encode("utf-16"),
    "utf-16-big-endian": codecs.BOM_UTF16_BE + _GOOD.decode().encode("utf-16-be"),
    "utf-32": _GOOD.decode().encode("utf-32"),
    "overlong": _with(b'"note": "\xc0\x80"'),
    "surrogates-in-utf8": _with(b'"note": "\xed\xa0\x80"'),
    "cut-within-a-letter": _GOOD[: _GOOD.index("А".encode()) + 1],
    "beyond-unicode": _with(b'"note": "\xf5\x80\x80\x80"'),
}
_NOT_JSON: Mapping[str, bytes] = {
    "empty": b"",
    "spaces": b" \n\t ",
    "only-a-mark": codecs.BOM_UTF8,
    "two-marks": codecs.BOM_UTF8 * 2 + _GOOD,
    "a-brace": b"{",
    "cut-off": _GOOD[:70],
    "cut-before-the-brace": _GOOD[:-1],
    "trailing-garbage": _GOOD + b"garbage",
    "trailing-nul": _GOOD + b"\0" * 100,
    "two-objects": _GOOD + _GOOD,
    "trailing-comma": _GOOD[:-1] + b",}",
    "single-quotes": _GOOD.replace(b'"', b"'"),
    "keys-without-quotes": _GOOD.replace(b'"client_id"', b"client_id"),
    "a-comment": b"// call\n" + _GOOD,
    "python-words": _GOOD.replace(b'"true"', b"True"),
    "a-line-within-a-string": _with(b'"note": "a\nb"'),
    "an-escape-within-a-string": _with(b'"note": "\x1b[2J"'),
    "a-nul-within-a-string": _with(b'"note": "a\0b"'),
    "a-bad-escape": _with(b'"note": "\\x41"'),
    "a-cut-escape": _with(b'"note": "\\u12"'),
    "a-plus-number": _with(b'"number": +7'),
    "a-hex-number": _with(b'"number": 0x10'),
    "a-zero-before": _with(b'"number": 007'),
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "xml": b'<?xml version="1.0"?><call/>',
    "ini": b"[call]\nagent=201\n",
    "audio": wavs.header_only().replace(b"\x80>\0\0", b"\0\0\0\0"),
}
_NOT_AN_OBJECT: Mapping[str, bytes] = {
    "list": b"[" + _GOOD + b"]",
    "string": b'"operator_id"',
    "number": b"201",
    "null": b"null",
    "nan": b"NaN",
    "empty-list": b"[]",
}
_DEEP: Mapping[str, bytes] = {
    "nested": good_sidecar(call={"from": "201"}),
    "list-as-value": good_sidecar(client_name=["Client"]),
    "empty-list-as-value": good_sidecar(tags=[]),
    "empty-object-as-value": good_sidecar(call={}),
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep-lists": _with(b'"a": ' + b"[" * 200_000 + b"]" * 200_000),
    "deep-and-never-closed": b"[" * 1_000_000,
    "wide": good_sidecar(a=list(range(100_000))),
    "long-names-within": good_sidecar(a={"k" * 100_000: [0] * 50_000}),
}
_TOO_BIG: Mapping[str, bytes] = {
    "over-a-mebibyte": good_sidecar(note="x" * 2**20),
    "over-a-mebibyte-of-space": _GOOD + b" " * 2**20,
    "201-keys": good_sidecar(**{f"key-{number}": "x" for number in range(201 - 7)}),
    "50000-keys": good_sidecar(**{f"key-{number}": "x" for number in range(50_000)}),
}
_TOO_LONG: Mapping[str, bytes] = {
    "value-of-1025-bytes": good_sidecar(note="x" * 1025),
    "value-too-long": good_sidecar(note="я" * 513),
    "value-of-257-faces": good_sidecar(note="😀" * 257),
    "key-of-2-kilobytes": good_sidecar(**{"k" * 2048: "x"}),
    "key-of-513-letters": good_sidecar(**{"я" * 513: "x"}),
    "number-of-a-million-digits": _with(b'"number": ' + b"7" * 1_000_000),
    "fraction-of-a-million-digits": _with(b'"number": 0.' + b"7" * 1_000_000),
    "power-of-a-million-digits": _with(b'"number": 1e' + b"9" * 1_000_000),
}
_REPEATED: Mapping[str, bytes] = {
    "duplicate-key": _with(b'"client_id": "2"'),
    "duplicate-key-same-value": _with(b'"client_id": "+79990000000"'),
    "duplicate-key-escaped": _with(b'"client\\u005fid": "2"'),
    "duplicate-key-50000-times": _with(b", ".join([b'"a": 1'] * 50_000)),
    "duplicate-key-turned-around": _with('"\u202ea": 1, "\u202ea": 2'.encode()),
}
_BAD_VALUE: Mapping[str, bytes] = {
    "nan-as-value": good_sidecar(score=float("nan")),
    "infinity": good_sidecar(score=float("inf")),
    "minus-infinity": good_sidecar(score=float("-inf")),
    "half-a-pair": _with(b'"note": "\\ud800"'),
    "other-half-of-a-pair": _with(b'"note": "\\udc00\\ud800"'),
    "half-a-pair-in-a-key": _with(b'"\\ud800": "x"'),
    "nul": _with(b'"note": "a\\u0000b"'),
    "nul-in-a-key": _with(b'"a\\u0000": "x"'),
    "no-key": _with(b'"": "x"'),
    "a-key-of-spaces": _with(b'" \\t": "x"'),
    "direction-in-digits": good_sidecar(direction_outgoing=1),
    "direction-zero": good_sidecar(direction_outgoing=0),
    "direction-minus-one": good_sidecar(direction_outgoing=-1),
    "direction-yes": good_sidecar(direction_outgoing="yes"),
    "direction-both": good_sidecar(direction_outgoing="in;out"),
    "direction-in-russian": good_sidecar(direction_outgoing="исходящий"),
    "direction-with-a-nul": _GOOD.replace(b'"true"', b'"true\\u0000"'),
}
_LACKING: Mapping[str, bytes] = {
    "nothing-in-it": b"{}",
    "key-lacking": good_sidecar(client_id=None),
    "key-null": _GOOD.replace(b'"+79990000000"', b"null"),
    "key-empty": good_sidecar(client_id=""),
    "key-of-spaces": good_sidecar(client_id=" \u00a0\u2003"),
    "key-in-capitals": good_sidecar(client_id=None, CLIENT_ID="1"),
    "key-with-a-space": good_sidecar(client_id=None, **{"client_id ": "1"}),
    "key-in-other-letters": good_sidecar(client_id=None, сlient_id="1"),
    "direction-empty": good_sidecar(direction_outgoing=""),
    "direction-null": _GOOD.replace(b'"true"', b"null"),
}
_DATES: Mapping[str, object] = {
    "date-without-zone": "2025-04-24 14:34:19",
    "not-a-date": "yesterday",
    "date-in-seconds": 1745494459,
    "date-in-russian-order": "24.04.2025 14:34:19",
    "date-in-american-order": "04/24/2025 2:34 PM",
    "date-without-time": "2025-04-24",
    "date-in-short-form": "20250424T143419Z",
    "date-of-february-30": "2025-02-30T14:34:19+03:00",
    "date-of-no-leap-year": "2025-02-29T14:34:19+03:00",
    "date-of-month-13": "2025-13-01T14:34:19+03:00",
    "date-of-month-0": "2025-00-10T14:34:19+03:00",
    "date-at-24": "2025-04-24T24:00:00+03:00",
    "date-at-25": "2025-04-24T25:00:00+03:00",
    "date-at-minute-60": "2025-04-24T14:60:00+03:00",
    "date-at-second-60": "2025-04-24T14:34:60+03:00",
    "date-of-year-0": "0000-01-01T00:00:00+03:00",
    "date-of-five-digits": "12025-04-24T14:34:19+03:00",
    "date-in-zone-25": "2025-04-24T14:34:19+25:00",
    "date-in-zone-24": "2025-04-24T14:34:19+24:00",
    "date-in-zone-of-60-minutes": "2025-04-24T14:34:19+03:60",
    "date-in-a-named-zone": "2025-04-24T14:34:19 MSK",
    "date-with-two-zones": "2025-04-24T14:34:19Z+03:00",
    "date-in-small-letters": "2025-04-24t14:34:19z",
    "date-with-a-space-behind": "2025-04-24T14:34:19+03:00 ",
    "date-with-a-line-behind": "2025-04-24T14:34:19+03:00\n",
    "date-in-arabic-digits": "٢٠٢٥-٠٤-٢٤T١٤:٣٤:١٩+٠٣:٠٠",
    "date-with-a-mathematical-minus": "2025-04-24T14:34:19\u221203:00",
    "date-with-ten-digits-of-second": "2025-04-24T14:34:19.1234567890+03:00",
    "date-that-is-true": True,
}


def table() -> dict[str, tuple[bytes, Reason]]:
    """Every file of this part, by the stem it gets."""
    groups: tuple[tuple[Mapping[str, bytes], Reason], ...] = (
        (_NOT_TEXT, Reason.METADATA_NOT_TEXT),
        (_NOT_JSON, Reason.METADATA_NOT_JSON),
        (_NOT_AN_OBJECT, Reason.METADATA_NOT_AN_OBJECT),
        (_DEEP, Reason.METADATA_NESTED),
        (_TOO_BIG, Reason.METADATA_TOO_BIG),
        (_TOO_LONG, Reason.METADATA_VALUE_TOO_LONG),
        (_REPEATED, Reason.METADATA_DUPLICATE_KEY),
        (_BAD_VALUE, Reason.METADATA_BAD_VALUE),
        (_LACKING, Reason.METADATA_KEY_LACKING),
        ({name: good_sidecar(date=date) for name, date in _DATES.items()}, Reason.METADATA_BAD_DATE),
    )
    return {f"json-{name}": (raw, reason) for group, reason in groups for name, raw in group.items()}


def write(directory: Path) -> list[BadInput]:
    made = table()
    assert json.loads(_GOOD)
    for seed, (stem, (raw, _)) in enumerate(made.items(), start=1000):
        put(directory, stem, seeded(wavs.pcm(), seed), raw)
    return [BadInput(stem, (State.UNUSABLE, reason)) for stem, (_, reason) in made.items()]
