"""Recordings that look hostile and are whole: names that a file system allows, contents at the edge of what is taken."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping
from pathlib import Path

from support import wavs
from support.bad_inputs.common import good_sidecar

_NAMES: tuple[bytes, ...] = (
    b"\xff\xfe\x80",
    "звонок".encode("cp1251"),
    b"cut \xd0",
    b"with\na newline",
    b"\n",
    b"\r\n",
    b"with\x1b[2Jan escape",
    b"\x1b]0;title\x07",
    b"\x01\x02\x7f",
    b"\ttab",
    b" ",
    b" space before and behind ",
    b"-rf",
    b"--help",
    b"-",
    b"{stem}",
    b"{name}",
    b"{stem}{name}{0}",
    b"[a-z]",
    b"*",
    b"?",
    b"!(x)",
    b"$(touch owned)",
    b"`touch owned`",
    b"; touch owned;",
    b"| touch owned",
    b"'",
    b'"',
    b"\\",
    b"\\n",
    b"%s%n%d",
    b"%00",
    b"a..b",
    b"a.wav",
    b"a.json",
    b"=cmd()",
    b"#",
    b"<script>",
    b"CON",
    b"x" * 250,
    ("ж" * 125).encode(),
    "й".encode(),
    "и\u0306".encode(),
    "e\u0301".encode(),
    "\u00e9".encode(),
    "turned\u202evaw".encode(),
    "nothing\u200b".encode(),
    "\ufeff".encode(),
    "😀".encode(),
    "\u0085\u2028".encode(),
    "اتصال".encode(),
    b"+7 999 000-00-00",
    b"1234567890" * 20,
)
_GOOD = good_sidecar()
_CONTENTS: Mapping[str, tuple[bytes, bytes]] = {
    "one-sample": (wavs.riff(wavs.fmt(), wavs.chunk(b"data", b"\1\2\3\4")), good_sidecar(case="one-sample")),
    "with-notes": (wavs.with_list_before(), good_sidecar(case="with-notes")),
    "with-junk": (wavs.with_junk(), good_sidecar(case="with-junk")),
    "with-a-pad": (wavs.asterisk_padded(), good_sidecar(case="with-a-pad")),
    "odd": (wavs.odd(), good_sidecar(case="odd")),
    "extensible": (wavs.extensible(), good_sidecar(case="extensible")),
    "with-a-mark": (wavs.pcm(seed=801), codecs.BOM_UTF8 + good_sidecar(case="with-a-mark")),
    "much-space": (wavs.pcm(seed=802), b" " * 10_000 + good_sidecar(case="much-space") + b"\n" * 10_000),
    "big-power": (wavs.pcm(seed=803), _GOOD[:-1] + b', "number": 1e999999999, "other": -0.0}'),
    "a-thousand-digits": (wavs.pcm(seed=804), _GOOD[:-1] + b', "number": ' + b"7" * 1024 + b"}"),
    "escapes": (wavs.pcm(seed=805), good_sidecar(note="\x1b[2J\x07\u202e\r\n\x7f\u2028")),
    "200-keys": (wavs.pcm(seed=806), good_sidecar(**{f"key-{number}": "x" for number in range(200 - 7)})),
    "value-of-1024-bytes": (wavs.pcm(seed=807), good_sidecar(note="я" * 512)),
    "unknown-null": (wavs.pcm(seed=808), _GOOD[:-1] + b', "note": null}'),
    "injection": (wavs.pcm(seed=809), good_sidecar(note="'; DROP TABLE jobs; --", client_name="${jndi:ldap://x}")),
    "proto": (wavs.pcm(seed=810), good_sidecar(__proto__="x", __class__="y", constructor="z")),
}


def write_healthy(directory: Path) -> set[str]:
    """Each must be sent, and no two are the same call. Returns their audio's paths as the queue has them."""
    written = set()
    for seed, raw_name in enumerate(_NAMES, start=2000):
        _put_bytes(directory, raw_name, wavs.pcm(seed=seed), good_sidecar(case=str(seed)))
        written.add(os.fsdecode(raw_name + b".wav"))
    for stem, (audio, metadata) in _CONTENTS.items():
        _put_bytes(directory, stem.encode(), audio, metadata)
        written.add(f"{stem}.wav")
    _own_files(directory)
    return written | {"set-user-id.wav", "linked-by-its-owner.wav"}


def _put_bytes(directory: Path, stem: bytes, audio: bytes, metadata: bytes) -> None:
    for ending, raw in ((b".json", metadata), (b".wav", audio)):
        with open(os.path.join(os.fsencode(directory), stem + ending), "wb") as file:  # noqa: PTH118, PTH123 - no Path of bytes
            file.write(raw)


def _own_files(directory: Path) -> None:
    """Odd modes and second names are no fault in a file that belongs to the folder's owner."""
    _put_bytes(directory, b"set-user-id", wavs.pcm(seed=820), good_sidecar(case="set-user-id"))
    (directory / "set-user-id.wav").chmod(0o6755)
    _put_bytes(directory, b"linked-by-its-owner", wavs.pcm(seed=821), good_sidecar(case="linked"))
    os.link(directory / "linked-by-its-owner.wav", directory / "second-name.bin")
