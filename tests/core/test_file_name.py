"""What names of recordings tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core import file_name
from speechsense_watch.core.extensions import Extensions
from speechsense_watch.core.file_name import pattern_problem


def read_name(pattern: str, path: str) -> object:
    return file_name.read_name(pattern, path, Extensions())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "out-71222002-201-20241105-091730-1730780250.107.wav",
            {"operator_id": "201", "client_id": "71222002", "direction_outgoing": "true", "date": "2024-11-05T09:17:30"},
        ),
        (
            "out-+79161234567-201-20241105-091730-1730780250.107.WAV",
            {"operator_id": "201", "client_id": "+79161234567", "direction_outgoing": "true", "date": "2024-11-05T09:17:30"},
        ),
        (
            "in-17778611565101-13164619284-20260309-113203-1773081123.265.wav",
            {"client_id": "13164619284", "direction_outgoing": "false", "date": "2026-03-09T11:32:03"},
        ),
        (
            "in-74950000000-anonymous-20260309-113203-1773081123.265.wav",
            {"direction_outgoing": "false", "date": "2026-03-09T11:32:03"},
        ),
        (
            "q-600-79161234567-20260309-113203-1773081123.265.wav",
            {"client_id": "79161234567", "direction_outgoing": "false", "date": "2026-03-09T11:32:03"},
        ),
        ("q-600-20260309-113203-1773081123.265.wav", {"direction_outgoing": "false", "date": "2026-03-09T11:32:03"}),
        (
            "exten-202-79161234567-20260309-113203-1773081123.265.wav",
            {"operator_id": "202", "client_id": "79161234567", "direction_outgoing": "false", "date": "2026-03-09T11:32:03"},
        ),
        (
            "exten-202-201-20260309-113203-1773081123.265.wav",
            {"operator_id": "201", "client_id": "202", "direction_outgoing": "true", "date": "2026-03-09T11:32:03"},
        ),
        (
            "force-082155558663-3201-20250327-092517-1743042317.12206.wav",
            {"operator_id": "3201", "client_id": "082155558663", "direction_outgoing": "true", "date": "2025-03-27T09:25:17"},
        ),
        ("conf-*65#-unknown-20250327-092517-1743042317.12206.wav", {"date": "2025-03-27T09:25:17"}),
        (
            "q-600-79161234567-20260309-113203-1773081123.265-stereo.wav",
            {"client_id": "79161234567", "direction_outgoing": "false", "date": "2026-03-09T11:32:03"},
        ),
        (
            "in-7495-79161234567-20260309-113203-pbx-2-1773081123.265.wav",
            {"client_id": "79161234567", "direction_outgoing": "false", "date": "2026-03-09T11:32:03"},
        ),
        ("out-71222002-201-20241105-091730.wav", None),
        ("call.wav", None),
        ("", None),
    ],
)
def test_freepbx_names(name: str, expected: dict[str, str] | None) -> None:
    """Who is who by the type; numbers as written; what nobody said is no key."""
    assert read_name("freepbx", f"2026/03/09/{name}") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "[Anna Petrova]_201-0114627554_20190219120918(380).wav",
            {
                "operator_id": "201",
                "client_id": "0114627554",
                "direction_outgoing": "true",
                "operator_name": "Anna Petrova",
                "date": "2019-02-19T12:09:18",
            },
        ),
        (
            "[27836826436]_27836826436-100_20190211124743(3).wav",
            {"operator_id": "100", "client_id": "27836826436", "direction_outgoing": "false", "date": "2019-02-11T12:47:43"},
        ),
        (
            "[Иван [дом]]_27836826436-100_20190211124743(3).wav",
            {
                "operator_id": "100",
                "client_id": "27836826436",
                "direction_outgoing": "false",
                "client_name": "Иван [дом]",
                "date": "2019-02-11T12:47:43",
            },
        ),
        (
            "[]_100-0836826436_20190211124743(12).wav",
            {"operator_id": "100", "client_id": "0836826436", "direction_outgoing": "true", "date": "2019-02-11T12:47:43"},
        ),
        ("100-0836826436_20190211124743.wav", None),
    ],
)
def test_3cx_names(name: str, expected: dict[str, str] | None) -> None:
    """The name in brackets is the caller's; whoever has an extension is the operator."""
    assert read_name("3cx", f"201/{name}") == expected


def test_an_extension_is_what_is_one_in_this_house() -> None:
    """A short number from outside is none where the house's have three digits."""
    name = "exten-54321-201-20260309-113203-1773081123.265.wav"
    said = file_name.read_name("freepbx", name, Extensions("[0-9]{3}"))
    assert said is not None
    assert (said["operator_id"], said["client_id"], said["direction_outgoing"]) == ("201", "54321", "true")
    name = "exten-201-54321-20260309-113203-1773081123.265.wav"
    said = file_name.read_name("freepbx", name, Extensions("[0-9]{3}"))
    assert said is not None
    assert (said["operator_id"], said["client_id"], said["direction_outgoing"]) == ("201", "54321", "false")


def test_any_other_name_by_a_pattern() -> None:
    """The named groups are the keys; one that took nothing is none."""
    pattern = r"(?P<operator_id>[0-9]+)_(?P<client_id>[^_]*)_(?P<note>x)?.*"
    assert read_name(pattern, "a/201_+7495_rest.wav") == {"operator_id": "201", "client_id": "+7495"}
    assert read_name(pattern, "a/other.wav") is None
    assert read_name(pattern, "a/201_" + "7" * 300 + "_rest.wav") is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("freepbx", None),
        ("3cx", None),
        ("(?P<client_id>.*)", None),
        ("(.*)", "this one has no named groups"),
        ("(", "this one cannot be read: missing ), unterminated subpattern"),
    ],
)
def test_a_pattern_must_name_something(pattern: str, problem: str | None) -> None:
    """Said when the configuration is read."""
    assert pattern_problem(pattern) == problem


@given(
    st.text(st.characters(exclude_characters="/", exclude_categories=())),
    st.sampled_from(["freepbx", "3cx", "(?P<a>.*)-(?P<b>.*)"]),
)
def test_no_name_does_harm(name: str, pattern: str) -> None:
    """Any name is either of the form or not."""
    said = file_name.read_name(pattern, name, Extensions())
    assert said is None or all(said.values())
