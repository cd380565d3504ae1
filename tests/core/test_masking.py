"""core.masking: telephone numbers and what a call's fields say are hidden, dates and identifiers are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.masking import HIDDEN, masked, without_quotes, without_values

MASKED = {
    # FreePBX
    "out-79161234567-201-20250424-143419-1745493259.123.wav": "out-*********67-201-20250424-143419-1745493259.123.wav",
    "external-201-+74951234567-20250424-143419-1745493259.12.wav": (
        "external-201-+*********67-20250424-143419-1745493259.12.wav"
    ),
    "q-600-9161234567-20250424-143419-1745493259.7.WAV": "q-600-********67-20250424-143419-1745493259.7.WAV",
    "2025/04/24/in-89161234567-100.json": "2025/04/24/in-*********67-100.json",
    # 3CX, FreeSWITCH and others
    "[Anna]_201-79161234567_20250424143419(12).wav": "[Anna]_201-*********67_20250424143419(12).wav",
    "79161234567_2025-04-24-14-34-19.wav": "*********67_2025-04-24-14-34-19.wav",
    "tel79161234567x": "tel*********67x",
    # as people write them
    "+7 (916) 123-45-67": "+* (***) ***-**-67",
    "8 800 555 35 35": "* *** *** ** 35",
    "916\u00a0123\u00a045\u00a067": "***\u00a0***\u00a0**\u00a067",
    "8 916 123456": "* *** ****56",
    "8\u2011916\u2011123\u201145\u201167": "*\u2011***\u2011***\u2011**\u201167",
    "916\u2013123\u20134567": "***\u2013***\u2013**67",
    "in_7_916_123_45_67": "in_*_***_***_**_67",
    "123-45-67": "***-**-67",
    "two: 84951234567, 84951234568": "two: *********67, *********68",
    "\u0661\u0662\u0663\u0664\u0665\u0666\u0667": "*****\u0666\u0667",
    # what might be either is hidden
    "1745493259": "********59",
    "20251301": "******01",
}
SHOWN = [
    "2025-04-24T14:34:19+03:00",
    "2025-04-24 14:34:19.123456Z",
    "24.04.2025 14:34",
    "20250424-143419",
    "20250424143419",
    "1745493259.123",
    "10.0.0.1:443 and 192.168.100.200",
    "0c8ee0a4-1234-4567-8910-123456789012",
    "ab12345678901234567890123456789012345678901234567890123456789012",
    "extension 201, port 5060, 1024 bytes, 143419",
    "in 30 s, 12-34-56",
    "api.speechsense.yandexcloud.net:443",
    'on_unknown = "search"',
]


@pytest.mark.parametrize(("text", "hidden"), MASKED.items())
def test_numbers_are_hidden_but_for_two_digits(text: str, hidden: str) -> None:
    """Two of them can still be told apart."""
    assert masked(text) == hidden


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_plainly_something_else_is_shown(text: str) -> None:
    """A log must still be of use."""
    assert masked(text) == text


NUMBERS = st.from_regex(r"\A[2-9][0-9]{9,14}\Z")
AROUND = st.text(st.characters(exclude_categories=["Nd"]), max_size=20)


@given(NUMBERS, AROUND, AROUND)
def test_no_number_gets_through_in_whatever_text(number: str, before: str, after: str) -> None:
    """Whatever stands around it, the text keeps its length and the number is gone."""
    text = before + number + after
    said = masked(text)
    assert number not in said
    assert len(said) == len(text)
    assert said.startswith(before)


@given(st.text())
def test_masking_twice_hides_no_more(text: str) -> None:
    """What was hidden once is no number any more."""
    assert masked(masked(text)) == masked(text)


@given(st.text("0123456789 -.()+:T/_", max_size=4000))
def test_no_text_takes_long(text: str) -> None:
    """A file's name is whatever somebody chose; nothing here goes back over it again and again."""
    masked(text * 5)


FIELDS = {"operator_name": "Оператор Анна", "client_id": "000123", "direction_outgoing": "true", "language": "ru", "note": "  "}


def test_values_that_a_service_repeats_are_hidden() -> None:
    """In whatever case; the field's name says what stood there. Short ones say nothing of anybody."""
    said = "operator_name: ОПЕРАТОР АННА is unknown, 000123 too (ru)."
    assert without_values(said, FIELDS) == "operator_name: [operator_name] is unknown, [client_id] too (ru)."


def test_the_longest_value_goes_first() -> None:
    """So that nothing of it is left over."""
    fields = {"name": "Анна", "full": "Анна Петрова (*)"}
    assert without_values("Unknown: Анна Петрова (*), Анна.", fields) == "Unknown: [full], [name]."


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("KeyError: 'Иванов'", f"KeyError: {HIDDEN}"),
        ('could not read "O\'Brien" at all', f"could not read {HIDDEN} at all"),
        (r"invalid: 'O\'Brien' and more", f"invalid: {HIDDEN} and more"),
        (
            "'utf-8' codec can't encode character '\\udce9' in position 3",
            f"{HIDDEN} codec can't encode character {HIDDEN} in position 3",
        ),
        ("«Иванов» and “Petrov” and „Schmidt“", f"{HIDDEN} and {HIDDEN} and {HIDDEN}"),
        ("'two\nlines'", HIDDEN),
        ("the file's end isn't there", "the file's end isn't there"),
    ],
)
def test_what_is_quoted_is_hidden(text: str, hidden: str) -> None:
    """An error of a library quotes what it was given."""
    assert without_quotes(text) == hidden
