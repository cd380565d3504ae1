"""cli.sent_list: what stands in a list of what was sent, however it was written."""

from __future__ import annotations

import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from speechsense_watch.cli import sent_list
from speechsense_watch.cli.sent_list import Line, NotAList, opened

BOM = b"\xef\xbb\xbf"


def written(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "sent.csv"
    path.write_bytes(raw)
    return path


def lines(path: Path) -> list[tuple[int, str, str]]:
    with opened(path, lambda first: first == "path") as sent:
        found = [(line.number, line.path, line.talk_id) for line in sent.lines()]
        assert len(found) == sent.count
        # And once more, since the command counts them before it takes them.
        assert [(line.number, line.path, line.talk_id) for line in sent.lines()] == found
    return found


PLAIN = [(1, "/in/a.wav", "t1"), (2, "/in/b.wav", "t2")]


@pytest.mark.parametrize(
    "raw",
    [
        b"/in/a.wav,t1\n/in/b.wav,t2\n",
        b"/in/a.wav,t1\n/in/b.wav,t2",
        b"/in/a.wav,t1\r\n/in/b.wav,t2\r\n",
        b"/in/a.wav,t1\r/in/b.wav,t2\r",
        BOM + b"/in/a.wav;t1\r\n/in/b.wav;t2\r\n",
        b"/in/a.wav\tt1\n/in/b.wav\tt2\n",
        b'"/in/a.wav","t1"\n"/in/b.wav","t2"\n',
        b'"/in/a.wav";"t1"\r\n"/in/b.wav";"t2"\r\n',
        b"/in/a.wav, t1 \n/in/b.wav,t2,2026-01-31 09:00:00\n",
    ],
)
def test_a_list_is_read_as_programs_write_it(tmp_path: Path, raw: bytes) -> None:
    """With a mark, any line end, `,`, `;` or a tab, in quotes or not, with further columns."""
    assert lines(written(tmp_path, raw)) == PLAIN


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/in/a,b,c.wav;t1\n", "/in/a,b,c.wav"),
        (b"/in/a;b.wav,t1\n", "/in/a;b.wav"),
        (b'"/in/a,b.wav",t1\n', "/in/a,b.wav"),
        (b'"/in/a""b.wav",t1\n', '/in/a"b.wav'),
        (b'/in/a"b.wav,t1\n', '/in/a"b.wav'),
        (b'"/in/a\r\nb.wav",t1\n', "/in/a\r\nb.wav"),
        ("/in/a\u0085\u2028\x1c\x0b.wav,t1\n".encode(), "/in/a\u0085\u2028\x1c\x0b.wav"),
        (b" /in/a.wav ,t1\n", " /in/a.wav "),
        (b"\xff\xfe\xfd.wav,t1\n".replace(b"\xff\xfe", b"\xfe\xfe"), "\udcfe\udcfe\udcfd.wav"),
    ],
)
def test_a_path_is_what_stands_there(tmp_path: Path, raw: bytes, path: str) -> None:
    """Every byte of it, since a name may hold any; only CSV's quotes are taken off."""
    assert lines(written(tmp_path, raw)) == [(1, path, "t1")]


@pytest.mark.parametrize("talk", [b"", b" ", b"None", b"null", b"NULL", b"-", b"a b", b"a\x07", b"\xff", b'"a\nb"'])
def test_what_cannot_be_a_talk_id_is_none(tmp_path: Path, talk: bytes) -> None:
    """Nor is what scripts write where they got none: that call was not sent."""
    assert lines(written(tmp_path, b"/in/a.wav," + talk + b"\n")) == [(1, "/in/a.wav", "")]
    assert lines(written(tmp_path, b"/in/a.wav\n")) == [(1, "/in/a.wav", "")]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    """Empty ones and those within quotes too; a heading is no line, wherever the first one stands."""
    raw = b'\r\n , \npath,talk\n"/in/a\nb.wav",t1\n\n/in/c.wav,t2\npath,t3\n'
    path = written(tmp_path, raw)
    with opened(path, lambda first: first == "path") as sent:
        assert sent.heading == Line(3, "path", "talk")
    assert lines(path) == [(4, "/in/a\nb.wav", "t1"), (7, "/in/c.wav", "t2"), (8, "path", "t3")]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("/in/a.wav,t1\n".encode("utf-16"), "UTF-16"),
        ("/in/a.wav,t1\n".encode("utf-16-be"), "UTF-16"),
        (b'/in/a.wav,t1\n"/in/b.wav,t2\n/in/c.wav,t3\n', "from line 2 on"),
        (b'/in/a.wav,t1\n"/in/b"c.wav,t2\n', "from line 2 on"),
        (b"x" * 200_000 + b",t1\n", "from line 1 on"),
    ],
)
def test_what_is_no_list_is_told_before_anything_is_done(tmp_path: Path, raw: bytes, said: str) -> None:
    """A quote that is never closed would make one name of all that follows."""
    with pytest.raises(NotAList, match=said), opened(written(tmp_path, raw), lambda _: False):
        pass


def test_a_list_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another file."""
    monkeypatch.setattr(sent_list, "MOST_BYTES", 10)
    with pytest.raises(NotAList, match="larger than"), opened(written(tmp_path, b"/in/a.wav,t1\n"), lambda _: False):
        pass


def test_an_empty_list_has_no_lines(tmp_path: Path) -> None:
    """And no heading."""
    assert lines(written(tmp_path, b"")) == lines(written(tmp_path, BOM)) == lines(written(tmp_path, b"\n\n")) == []


def test_a_list_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As from `sqlite3 sent.db "select ..." | ... adopt /dev/stdin`."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"/in/a.wav,t1\n/in/b.wav,t2\n"))
    writer.start()
    assert lines(path) == PLAIN
    writer.join()


def test_many_lines_take_no_memory(tmp_path: Path) -> None:
    """Some are read and dropped at a time."""
    path = written(tmp_path, b"".join(b"/in/2026/01/31/call-%06d.wav,talk-%06d\n" % (n, n) for n in range(50_000)))
    tracemalloc.start()
    try:
        with opened(path, lambda _: False) as sent:
            assert sum(1 for _ in sent.lines()) == sent.count == 50_000
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
