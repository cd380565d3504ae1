"""core.sidecar_xml: what stands at the paths, whole and nothing else, and a sentence for everything that is no such file."""

from __future__ import annotations

import codecs
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core import sidecar_xml
from speechsense_watch.core.metadata import left_out
from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.sidecar import Values
from speechsense_watch.core.sidecar_xml import (
    MOST_ATTRIBUTES,
    MOST_ELEMENTS,
    MOST_LEVELS,
    MOST_VALUE_LETTERS,
    path_problem,
    read_xml,
)

CALL = """<?xml version="1.0" encoding="UTF-8"?>
<!-- as many recorders write it -->
<call id="77">
  <agent id="201" name="Анна &amp; Ко"> Анна </agent>
  <caller>+79990000000</caller>
  <note><![CDATA[a < b]]></note>
  <empty/>
  <parties><party>first</party><party>second</party></parties>
</call>
""".encode()

SECRET = "89161234567"


def values(raw: bytes, **paths: str) -> Mapping[str, str]:
    """What is read by paths given as key=path."""
    read = read_xml(raw, {path: key for key, path in paths.items()})
    assert isinstance(read, Values), read
    return read.values


def refused(raw: bytes, path: str = "call/caller") -> Problem:
    read = read_xml(raw, {path: "client_id"})
    assert isinstance(read, Problem), read
    return read


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("call/caller", "+79990000000"),
        ("call/agent", "Анна"),
        ("call/agent/@id", "201"),
        ("call/agent/@name", "Анна & Ко"),
        ("call/@id", "77"),
        ("*/caller", "+79990000000"),
        ("call/*/@id", "201"),
        ("call/note", "a < b"),
        ("call/empty", ""),
        ("call/parties/party", "first"),
    ],
)
def test_a_path_finds_the_text_without_the_white_space_around_it(path: str, expected: str) -> None:
    """Elements from the outermost one down, attributes, any name, entities of XML itself, CDATA."""
    assert values(CALL, key=path) == {"key": expected}


@pytest.mark.parametrize(
    "path", ["caller", "call/callee", "call/agent/@ID", "Call/caller", "call/parties", "call", "call/caller/x", "", "@id", "/"]
)
def test_what_a_path_does_not_find_is_absent(path: str) -> None:
    """Names are matched whole and in their case; an element that only holds others says nothing of itself."""
    assert values(CALL, key=path) == {}


def test_of_several_at_one_path_the_first_that_is_not_empty_counts_and_a_note_tells() -> None:
    """A call with two parties still goes; nobody is left to guess which one was taken."""
    read = read_xml(b"<c><a/><a>1</a><a>2</a></c>", {"c/a": "client_id"})
    assert read == Values({"client_id": "1"}, notes=("The metadata says several things at `c/a`; the first was taken.",))
    assert left_out(read) == read.notes


def test_the_same_thing_said_twice_is_no_reason_for_a_note() -> None:
    """Nothing had to be decided."""
    assert read_xml(b"<c><a>1</a><a>1</a><a/></c>", {"c/a": "k"}) == Values({"k": "1"})


def test_of_several_paths_for_one_key_the_first_with_a_text_counts() -> None:
    """So one rule serves recorders that put a number in one of two places."""
    paths = {"c/none": "k", "c/empty": "k", "c/b": "k", "c/a": "k"}
    assert read_xml(b"<c><a>1</a><b>2</b><empty/></c>", paths) == Values({"k": "2"})


def test_prefixes_count_only_where_the_path_names_one() -> None:
    """Recorders name their space as they like, and rename it with the next version."""
    raw = b'<v:call xmlns:v="urn:x"><v:caller v:id="7">1</v:caller></v:call>'
    assert values(raw, a="call/caller", b="v:call/v:caller", c="w:call/caller", d="call/caller/@id") == {
        "a": "1",
        "b": "1",
        "d": "7",
    }


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("windows-1251", "cp1251"),
        ("WINDOWS-1251", "cp1251"),
        ("koi8-r", "koi8-r"),
        ("cp866", "cp866"),
        ("ISO-8859-5", "iso8859-5"),
        ("utf-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("utf-16", "utf-16"),
    ],
)
def test_the_encodings_of_recorders_are_read_as_declared(declared: str, codec: str) -> None:
    """Those of this part of the world, and UTF-16 with its mark."""
    raw = f'<?xml version="1.0" encoding="{declared}"?><call><caller>Анна</caller></call>'.encode(codec)
    assert values(raw, client_name="call/caller") == {"client_name": "Анна"}


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("utf-8", "utf-16"),
        ("windows-1251", "utf-16"),
        ("windows-1251", "utf-8-sig"),
        ("utf-16", "utf-8-sig"),
        ("UTF-16", "utf-8"),
    ],
)
def test_a_declaration_that_cannot_be_right_is_passed_over(declared: str, codec: str) -> None:
    """A mark at the beginning says more; and what can be read byte by byte is not in UTF-16, whatever .NET has written there."""
    raw = f'<?xml version="1.0" encoding="{declared}"?><call><caller>Анна</caller></call>'.encode(codec)
    assert values(raw, client_name="call/caller") == {"client_name": "Анна"}


@pytest.mark.parametrize("declared", ["windows-1251", "koi8-r", "iso-8859-5", "windows-1252", "iso-8859-1"])
def test_utf_8_that_says_it_is_something_else_is_refused(declared: str) -> None:
    """Read as declared it would be rubbish that is first seen in SpeechSense; plain ASCII is the same in all of them."""
    text = f'<?xml version="1.0" encoding="{declared}"?><call><caller>%s</caller></call>'
    problem = refused((text % "Анна").encode())
    assert problem == Problem(
        Reason.METADATA_NOT_TEXT, f"The metadata says it is in {declared.upper()}, but its letters are in UTF-8."
    )
    assert values((text % "Anna").encode(), client_name="call/caller") == {"client_name": "Anna"}


DTDS = (
    '<!DOCTYPE a [<!ENTITY x "expanded"><!ATTLIST a id CDATA "defaulted">]><a><b>&x;</b></a>',
    '<?xml version="1.0"?><!DOCTYPE a><a/>',
    '<?xml version="1.0" encoding="utf-16"?><!-- c --><!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    '<!DOCTYPE a PUBLIC "-//x" "http://127.0.0.1/x"><a/>',
    '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/x">%x;]><a/>',
    "<!DOCTYPE a [<?pi?>]><a/>",
)
CODECS = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-32-le",
    "utf-32-be",
    "cp1251",
    "cp037",
    "utf-7",
)


@pytest.mark.parametrize("dtd", DTDS)
@pytest.mark.parametrize("codec", CODECS)
def test_no_dtd_is_read_in_any_encoding(dtd: str, codec: str) -> None:
    """Expat finds out UTF-16 by itself, marked or not: so text with a NUL in it never reaches it."""
    for raw in (dtd.encode(codec), codecs.BOM_UTF16_BE + dtd.encode("utf-16-be"), codecs.BOM_UTF8 + dtd.encode(codec)):
        problem = refused(raw, "a/@id")
        assert problem.reason in (Reason.METADATA_DOCTYPE, Reason.METADATA_NOT_TEXT, Reason.METADATA_NOT_XML)
        assert "expanded" not in problem.message


@pytest.mark.parametrize("dtd", DTDS)
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_dtd_that_comes_as_far_as_the_parser_is_refused_there(dtd: str, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second lock on the same door: it holds whatever the first one makes of the bytes."""
    monkeypatch.setattr(sidecar_xml, "_decode", lambda raw: raw.decode("latin-1"))
    assert refused(dtd.encode(codec), "a/@id").reason is Reason.METADATA_DOCTYPE


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32"])
def test_unmarked_utf_16_has_a_sentence_of_its_own(codec: str) -> None:
    """Whoever wrote it can mend it."""
    assert "UTF-16 without its mark" in refused("<call><caller>1</caller></call>".encode(codec)).message


BOMB = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><l>&b;</l>"""


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.METADATA_NOT_XML),
        (b" \n", Reason.METADATA_NOT_XML),
        (b'{"a": 1}', Reason.METADATA_NOT_XML),
        (CALL[:-10], Reason.METADATA_NOT_XML),
        (CALL[:150], Reason.METADATA_NOT_XML),
        (CALL + b"<call/>", Reason.METADATA_NOT_XML),
        (CALL + b"trailing", Reason.METADATA_NOT_XML),
        (b" " + CALL, Reason.METADATA_NOT_XML),
        (b"<call><a></call></a>", Reason.METADATA_NOT_XML),
        (b"<call a='1' a='2'/>", Reason.METADATA_NOT_XML),
        (b"<call><caller>&nbsp;</caller></call>", Reason.METADATA_NOT_XML),
        (b"<call><caller>a\0b</caller></call>", Reason.METADATA_NOT_XML),
        (b"<call/>\0", Reason.METADATA_NOT_XML),
        ("<call>\0</call>".encode("utf-16"), Reason.METADATA_NOT_XML),
        (b"<call><caller>&#0;</caller></call>", Reason.METADATA_NOT_XML),
        (b"<call><caller>&#xD800;</caller></call>", Reason.METADATA_NOT_XML),
        (b"<call><caller>\x1b[2J</caller></call>", Reason.METADATA_NOT_XML),
        (BOMB, Reason.METADATA_DOCTYPE),
        (b'<!DOCTYPE c SYSTEM "file:///etc/passwd"><c/>', Reason.METADATA_DOCTYPE),
        (b'<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/passwd">]><c>&x;</c>', Reason.METADATA_DOCTYPE),
        (b'<!DOCTYPE c [<!ENTITY % x SYSTEM "http://127.0.0.1/x">%x;]><c/>', Reason.METADATA_DOCTYPE),
        ("<!DOCTYPE c [<!ENTITY x 'y'>]><c/>".encode("utf-16"), Reason.METADATA_DOCTYPE),
        ("<call>Анна</call>".encode("cp1251"), Reason.METADATA_NOT_TEXT),
        (b'<?xml version="1.0" encoding="utf-7"?><call/>', Reason.METADATA_NOT_TEXT),
        (b'<?xml version="1.0" encoding="idna"?><call/>', Reason.METADATA_NOT_TEXT),
        (b'<?xml version="1.0" encoding="zip"?><call/>', Reason.METADATA_NOT_TEXT),
        (b'<?xml version="1.0" encoding="us-ascii"?><call>\xd0\xb0</call>', Reason.METADATA_NOT_TEXT),
        (b"<call>" + b" " * 2**20 + b"</call>", Reason.METADATA_TOO_BIG),
        (b"<a>" * 100_000, Reason.METADATA_TOO_BIG),
        (b"<a>" + b"<b/>" * MOST_ELEMENTS + b"</a>", Reason.METADATA_TOO_BIG),
        (b"<a " + b" ".join(b"a%d='x'" % n for n in range(MOST_ATTRIBUTES + 1)) + b"/>", Reason.METADATA_TOO_BIG),
        (b"<call><caller>" + b"x" * (MOST_VALUE_LETTERS + 1) + b"</caller></call>", Reason.METADATA_VALUE_TOO_LONG),
    ],
)
def test_what_is_no_harmless_xml_is_refused(raw: bytes, reason: Reason) -> None:
    """Whatever is wrong has its reason; nothing is expanded, fetched or guessed."""
    assert refused(raw).reason is reason


def test_an_attribute_may_not_be_endless_either() -> None:
    """The limit is on a value, wherever it stands."""
    raw = b'<call n="' + b"x" * (MOST_VALUE_LETTERS + 1) + b'"/>'
    assert refused(raw, "call/@n").reason is Reason.METADATA_VALUE_TOO_LONG
    assert values(raw, a="call/@m") == {}


def test_the_limits_themselves_are_still_read() -> None:
    """One less than too many is not too many."""
    assert values(b"<a>" * MOST_LEVELS + b"</a>" * MOST_LEVELS, k="x") == {}
    assert values(b"<a>" + b"<b/>" * (MOST_ELEMENTS - 1) + b"</a>", k="x") == {}
    attributes = b" ".join(b"a%d='x'" % n for n in range(MOST_ATTRIBUTES))
    assert values(b"<a " + attributes + b"/>", k="a/@a99") == {"k": "x"}
    assert values(b"<a>" + b"x" * MOST_VALUE_LETTERS + b"</a>", k="a") == {"k": "x" * MOST_VALUE_LETTERS}


@pytest.mark.parametrize(
    "raw",
    [
        f"<call><caller>{SECRET}</caller>".encode(),
        f"<call><caller>{SECRET}<caller></call>".encode(),
        f"<call><{SECRET}/></call>".encode(),
        f"<call><caller>&a{SECRET};</caller></call>".encode(),
        f"<call><caller>{SECRET}</caller><caller>{SECRET}1</caller></call>".encode(),
        f"<!DOCTYPE x{SECRET}><call/>".encode(),
        f"<call><caller>{SECRET * 6000}</caller></call>".encode(),
        f'<?xml version="1.0" encoding="x{SECRET}"?><call/>'.encode(),
    ],
)
def test_messages_name_paths_and_never_values(raw: bytes) -> None:
    """Values are personal data, and so may be what stands where a name should."""
    read = read_xml(raw, {"call/caller": "client_id"})
    said = read.message if isinstance(read, Problem) else " ".join(read.notes)
    assert said
    assert SECRET not in said


def test_the_place_of_a_fault_is_named_as_people_count() -> None:
    """Lines and columns from one."""
    assert refused(b"<call>\n<a></b></call>").message == "The metadata is not XML: line 2, column 6 is not as it must be."


@pytest.mark.parametrize(
    "path", ["call", "call/caller", "call/agent/@id", "*/x", "*", "v:call/@v:id", "звонок/номер", "a-b.c/_d"]
)
def test_good_paths(path: str) -> None:
    """What can find something is taken."""
    assert path_problem(path) is None


@pytest.mark.parametrize(
    "path", ["", "/call", "call/", "a//b", "@id", "a/@id/b", "a/@*", "a[1]", "//a", "a b", "1a", "a/text()", ".."]
)
def test_paths_that_could_never_find_anything_are_told(path: str) -> None:
    """At start, not by keys that never come."""
    assert "call/agent/@id" in (path_problem(path) or "")


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=12), st.text(max_size=4), max_size=4))
def test_any_bytes_by_any_paths_are_read_or_refused(raw: bytes, paths: Mapping[str, str]) -> None:
    """Never an exception."""
    assert isinstance(read_xml(raw, paths), Values | Problem)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60))
def test_any_text_that_xml_can_carry_comes_back(text: str) -> None:
    """As it was written, but for white space around it."""
    if "\ufffe" in text or "\uffff" in text:
        return
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert values(f"<c>{escaped}</c>".encode(), k="c") == {"k": text.strip()}
