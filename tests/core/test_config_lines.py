"""config.lines: where in the text of a TOML file a key stands."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.config.lines import KeyPath, Lines

TEXT = '''\
# a comment with [brackets] and key = "value"
top = 1

[speechsense]  # after a header
endpoint = "a # [no] comment" # a comment
 auth= 'none'
[ queue ]
path = """
[log]
level = "not a key"
"""
history = "1d"
[[folders]]
path = "/a"
audio = [
  "*.wav",  # ]
  "]",
  '[',
]
search = { organization_id = """o
  """, space_id = "s" }
[folders.metadata_defaults]
"a key" = "1"
'other' = \'\'\'
path = 1 \'\'\'
last = """ \\""" path """
[[folders]]
"path" = "/b"
metadata_rename.agent = "operator"
metadata_rename . "чей" = "x"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("speechsense",), 4),
        (("speechsense", "endpoint"), 5),
        (("speechsense", "auth"), 6),
        (("queue",), 7),
        (("queue", "path"), 8),
        (("queue", "history"), 12),
        (("queue", "level"), 7),
        (("log",), None),
        (("log", "level"), None),
        (("folders", 0), 13),
        (("folders", 0, "path"), 14),
        (("folders", 0, "audio"), 15),
        (("folders", 0, "search"), 20),
        (("folders", 0, "search", "space_id"), 20),
        (("folders", 0, "metadata_defaults"), 22),
        (("folders", 0, "metadata_defaults", "a key"), 23),
        (("folders", 0, "metadata_defaults", "other"), 24),
        (("folders", 0, "metadata_defaults", "path"), 22),
        (("folders", 0, "metadata_defaults", "last"), 26),
        (("folders", 1), 27),
        (("folders", 1, "path"), 28),
        (("folders", 1, "metadata_rename"), 29),
        (("folders", 1, "metadata_rename", "agent"), 29),
        (("folders", 1, "metadata_rename", "чей"), 30),
        (("folders", 1, "connection_id"), 27),
        (("folders", 2, "path"), None),
    ],
)
def test_a_key_is_found_on_its_line(path: KeyPath, line: int | None) -> None:
    """A key that is lacking is looked for where it should stand; text inside values is no key."""
    tomllib.loads(TEXT)
    assert Lines(TEXT).line(path) == line


_VALUES = st.one_of(
    st.integers().map(str),
    st.text(st.characters(exclude_categories=["C"])).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(['"""\n[x]\na = 1\n"""', "'''\n\"\n'''", '[\n"]",\n[1],\n]', '["#"] # [', "{ a = '}' }"]),
)


@given(st.lists(st.lists(_VALUES, max_size=4), max_size=4))
def test_every_key_of_any_file_of_tables_is_found(tables: list[list[str]]) -> None:
    """Whatever stands in the values, the line found is the one that begins with the key."""
    text = "".join("[[t]]\n" + "".join(f"k{number} = {value}\n" for number, value in enumerate(values)) for values in tables)
    document = tomllib.loads(text)
    lines = Lines(text)
    rows = text.split("\n")
    for position, table in enumerate(document.get("t", [])):
        for key in table:
            line = lines.line(("t", position, key))
            assert line is not None
            assert rows[line - 1].startswith(f"{key} = ")
            assert rows[:line].count("[[t]]") == position + 1


@given(st.text())
def test_no_text_whatever_upsets_the_finder(text: str) -> None:
    """It only points at lines: a file it does not understand must not keep the real problems from being told."""
    assert Lines(text).line(("folders", 0)) is None or "folders" in text
