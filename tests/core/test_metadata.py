"""core.metadata: the bytes of a metadata file and a folder's rules -> the fields that are sent."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.metadata import Fields, Person, apply_rules, default_fields, read_fields
from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import ConnectionType, Folder, TooLong
from speechsense_watch.core.sidecar import MOST_BYTES, Values, listed, read_values, shown

TWO = Folder(path="/spool", connection_id="c", start_from="all", name="spool")
ONE = dataclasses.replace(TWO, connection_type=ConnectionType.SINGLE_CHANNEL)

WHOLE = {
    "operator_name": "Анна Петрова",
    "operator_id": "201",
    "client_name": "Client",
    "client_id": "+79990000000",
    "date": "2025-04-24T14:34:19+03:00",
    "direction_outgoing": "true",
    "language": "ru-RU",
}


def folder(**rules: object) -> Folder:
    return dataclasses.replace(TWO, **rules)  # type: ignore[arg-type]


def sidecar(**more: object) -> bytes:
    """A good metadata file with some keys changed; None takes a key out."""
    return json.dumps({key: value for key, value in {**WHOLE, **more}.items() if value is not None}).encode()


def fields_of(raw: bytes, rules: Folder = TWO) -> Fields:
    read = read_fields(raw, rules)
    assert isinstance(read, Fields), read
    return read


def problem_of(raw: bytes, rules: Folder = TWO) -> Problem:
    read = read_fields(raw, rules)
    assert isinstance(read, Problem), read
    return read


# --- values -----------------------------------------------------------------------------------


def test_a_whole_file_is_sent_as_it_is() -> None:
    """What needs no rule is touched by none."""
    assert fields_of(sidecar(ticket_id="T-1", date_from="2023-09-13T17:30:00.000")) == Fields(
        {**WHOLE, "ticket_id": "T-1", "date_from": "2023-09-13T17:30:00.000"}
    )


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ('"text"', "text"),
        ('""', ""),
        ('" a  b "', " a  b "),
        ('"\\u0418\\u0432\\u0430\\u043d \\ud83d\\ude00"', "Иван 😀"),
        ('"line\\nline"', "line\nline"),
        ("true", "true"),
        ("false", "false"),
        ("0", "0"),
        ("-0", "-0"),
        ("1.10", "1.10"),
        ("1e3", "1e3"),
        ("1E+400", "1E+400"),
        ("79990000000", "79990000000"),
        ("0.30000000000000000001", "0.30000000000000000001"),
        ("9" * 1000, "9" * 1000),
    ],
)
def test_values_are_sent_as_they_are_written(written: str, sent: str) -> None:
    """Numbers keep every digit, booleans become words, strings are not trimmed."""
    assert read_values(f'{{"key": {written}}}'.encode()) == Values({"key": sent})


def test_null_counts_as_lacking() -> None:
    """A null is left out, and `check --file` says so."""
    read = fields_of(sidecar()[:-1] + b', "ticket_id": null}')
    assert read == Fields(WHOLE, ("`ticket_id` is null and was left out.",))


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    """Windows programs begin UTF-8 with a mark."""
    assert fields_of(b"\xef\xbb\xbf" + sidecar()).values == WHOLE


# --- faults of the file -----------------------------------------------------------------------

DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000

FAULTS = {
    "empty": (b"", Reason.METADATA_NOT_JSON, "The metadata file is empty."),
    "blank": (b" \n", Reason.METADATA_NOT_JSON, "The metadata file is empty."),
    "cut off": (sidecar()[:40], Reason.METADATA_NOT_JSON, "ends too early"),
    "cut off between values": (b'{"a": "b",', Reason.METADATA_NOT_JSON, "ends too early"),
    "a trailing comma": (b'{"a": "b",}', Reason.METADATA_NOT_JSON, "line 1, column"),
    "a word": (b"abc", Reason.METADATA_NOT_JSON, "line 1, column 1"),
    "cut off in a word": (b'{"a": tru', Reason.METADATA_NOT_JSON, "ends too early"),
    "not JSON": (b"operator_id=201", Reason.METADATA_NOT_JSON, "line 1, column 1"),
    "single quotes": (b"{\n'operator_id': '201'}", Reason.METADATA_NOT_JSON, "line 2, column 1"),
    "two objects": (b'{"a": "b"}\n{"a": "b"}', Reason.METADATA_NOT_JSON, "line 2, column 1"),
    "a raw line break in a string": (b'{"a": "b\nc"}', Reason.METADATA_NOT_JSON, "line 1"),
    "Windows-1251": ('{"a": "Анна"}'.encode("cp1251"), Reason.METADATA_NOT_TEXT, "not in UTF-8 (at byte 8)"),
    "UTF-16": ('{"a": "b"}'.encode("utf-16"), Reason.METADATA_NOT_TEXT, "UTF-16"),
    "a list": (b'["a"]', Reason.METADATA_NOT_AN_OBJECT, "not a JSON object"),
    "a list of pairs": (b'[["a", "b"]]', Reason.METADATA_NOT_AN_OBJECT, "not a JSON object"),
    "a string": (b'"a"', Reason.METADATA_NOT_AN_OBJECT, "not a JSON object"),
    "null": (b"null", Reason.METADATA_NOT_AN_OBJECT, "not a JSON object"),
    "a number": (b"1.5", Reason.METADATA_NOT_AN_OBJECT, "not a JSON object"),
    "NaN": (b"NaN", Reason.METADATA_NOT_AN_OBJECT, "not a JSON object"),
    "over 1 MiB": (b" " * MOST_BYTES + b"{}", Reason.METADATA_TOO_BIG, "1,048,578 bytes"),
    "endless lists": (b"[" * MOST_BYTES, Reason.METADATA_NESTED, "too deeply"),
    "endless objects": (DEEP, Reason.METADATA_NESTED, "too deeply"),
    "keys named twice": (
        b'{"a": "1", "b": "1", "a": "2", "c": {}, "b": "1"}',
        Reason.METADATA_DUPLICATE_KEY,
        "more than once: `a`, `b`.",
    ),
    "an empty key": (b'{"": "1"}', Reason.METADATA_BAD_VALUE, "key is empty"),
    "an object": (b'{"call": {"from": "1", "to": 2}, "x": "y"}', Reason.METADATA_NESTED, ": `call.from`, `call.to`."),
    "a list within": (b'{"tags": ["a", ["b"]]}', Reason.METADATA_NESTED, ": `tags[0]`, `tags[1][0]`."),
    "empty ones": (b'{"a": {}, "b": []}', Reason.METADATA_NESTED, ": `a`, `b`."),
    "levels": (b'{"a": {"b": {"c": {"d": {"e": {}}}}}}', Reason.METADATA_NESTED, ": `a.b.c.d`."),
    "many": (json.dumps({"a": list(range(50))}).encode(), Reason.METADATA_NESTED, "`a[9]` and 40 more."),
    "not numbers": (
        b'{"a": NaN, "b": Infinity, "c": -Infinity, "d": 1}',
        Reason.METADATA_BAD_VALUE,
        "NaN or Infinity for: `a`, `b`, `c`.",
    ),
    "half of a pair": (b'{"a": "\\ud800", "b": "\\udc00"}', Reason.METADATA_BAD_VALUE, "in: `a`, `b`."),
    "half of a pair in a key": (b'{"\\ud800": "a"}', Reason.METADATA_BAD_VALUE, "in: `\\ud800`."),
    "NUL": (b'{"a": "b\\u0000c"}', Reason.METADATA_BAD_VALUE, "in: `a`."),
    "NUL in a key": (b'{"a\\u0000": "b"}', Reason.METADATA_BAD_VALUE, "in: `a\\x00`."),
}


@pytest.mark.parametrize(("raw", "reason", "said"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_file_is_refused_with_the_keys_at_fault(raw: bytes, reason: Reason, said: str) -> None:
    """What two readers could understand differently, or what cannot be sent, is never guessed at."""
    problem = problem_of(raw)
    assert problem.reason is reason
    assert said in problem.message


def test_a_file_of_just_a_mebibyte_is_read() -> None:
    """The limit itself is allowed."""
    raw = sidecar()
    assert fields_of(raw + b" " * (MOST_BYTES - len(raw))).values == WHOLE


def test_a_long_key_before_many_members_does_not_multiply() -> None:
    """The names of what is nested stay short however the file is made."""
    raw = json.dumps({"k" * 400_000: [0] * 200_000}).encode()
    problem = problem_of(raw)
    assert problem.reason is Reason.METADATA_NESTED
    assert "199,990 more" in problem.message
    assert len(problem.message) < 2000


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        ("client_id", "`client_id`"),
        ("имя", "`имя`"),
        ("a\nb\x1b[31m", "`a\\nb\\x1b[31m`"),
        ("\u202egpj", "`\\u202egpj`"),
        ("k" * 60, "`" + "k" * 60 + "`"),
        ("k" * 61, "`" + "k" * 59 + "…`"),
        ("\n" * 100, "`" + "\\n" * 29 + "\\…`"),
    ],
)
def test_keys_are_shown_on_one_line_and_short(key: str, seen: str) -> None:
    """A key is hostile input as well: no line breaks, no colours, no reversed text, no novel."""
    assert shown(key) == seen


def test_long_lists_of_keys_are_cut() -> None:
    """Ten names are enough to see what is meant."""
    assert listed("abcdefghij") == ", ".join(f"`{letter}`" for letter in "abcdefghij")
    assert listed("abcdefghijkl").endswith("`j` and 2 more")


# --- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "fits"),
    [("x" * 1024, True), ("x" * 1025, False), ("я" * 512, True), ("я" * 513, False), ("😀" * 256 + "x", False)],
    ids=["1024 letters", "1025 letters", "512 Cyrillic", "513 Cyrillic", "256 faces and a letter"],
)
def test_a_value_has_at_most_1024_bytes(value: str, *, fits: bool) -> None:
    """Bytes are counted, not letters."""
    if fits:
        assert fields_of(sidecar(comment=value)).values["comment"] == value
    else:
        problem = problem_of(sidecar(comment=value, note=value))
        assert problem.reason is Reason.METADATA_VALUE_TOO_LONG
        assert problem.message == "The metadata has values of over 1,024 bytes for: `comment`, `note`."


def test_a_key_has_at_most_1024_bytes_too() -> None:
    """A key that no connection can have is refused here already."""
    assert fields_of(sidecar(**{"k" * 1024: "v"}))
    assert problem_of(sidecar(**{"k" * 1025: "v"})).reason is Reason.METADATA_VALUE_TOO_LONG


@pytest.mark.parametrize(("id_field", "most"), [("", 200), ("recording_id", 199)])
def test_at_most_200_keys_are_sent_the_recordings_id_among_them(id_field: str, most: int) -> None:
    """What the daemon adds itself counts."""
    rules = folder(recording_id_field=id_field)
    more: dict[str, object] = {f"k{number}": "v" for number in range(most - len(WHOLE))}
    assert len(fields_of(sidecar(**more), rules).values) == most
    problem = problem_of(sidecar(**more, one_more="v"), rules)
    assert problem == Problem(Reason.METADATA_TOO_BIG, f"The metadata has {most + 1} keys; at most {most} can be sent.")


def test_the_key_of_the_recordings_id_is_reserved() -> None:
    """A recorder cannot name a recording in the daemon's stead."""
    rules = folder(recording_id_field="recording_id")
    problem = problem_of(sidecar(recording_id="x"), rules)
    assert problem.reason is Reason.METADATA_BAD_VALUE
    assert "`recording_id`" in problem.message
    assert fields_of(sidecar(recording_id="x")).values["recording_id"] == "x"


# --- renames and defaults ---------------------------------------------------------------------


def test_a_key_gets_our_name() -> None:
    """`metadata_rename` says their key = our key; the value stays."""
    rules = folder(metadata_rename={"agent": "operator_name", "absent": "ticket_id"})
    read = fields_of(sidecar(operator_name=None, agent="Ivan"), rules)
    assert read == Fields({**WHOLE, "operator_name": "Ivan"}, ("`agent` became `operator_name`.",))


def test_a_key_with_our_name_already_wins_over_a_renamed_one() -> None:
    """What the recorder calls by our name it means."""
    read = fields_of(sidecar(agent="Ivan"), folder(metadata_rename={"agent": "operator_name"}))
    said = "`agent` was left out: `operator_name`, which it would become, is there already."
    assert read == Fields(WHOLE, (said,))


def test_of_two_keys_for_one_name_the_first_rule_wins() -> None:
    """Several recorders in one folder may call the same thing differently."""
    rules = folder(metadata_rename={"agent": "operator_name", "ext_name": "operator_name"})
    assert fields_of(sidecar(operator_name=None, ext_name="B"), rules).values["operator_name"] == "B"
    both = fields_of(sidecar(operator_name=None, ext_name="B", agent="A"), rules)
    assert both.values == {**WHOLE, "operator_name": "A"}
    assert len(both.actions) == 2


def test_renames_act_all_at_once() -> None:
    """Two keys can be swapped, and a rename is never renamed again."""
    swap = folder(metadata_rename={"operator_id": "client_id", "client_id": "operator_id", "same": "same"})
    read = fields_of(sidecar(same="s"), swap)
    assert read.values == {**WHOLE, "operator_id": "+79990000000", "client_id": "201", "same": "s"}
    assert len(read.actions) == 2


def test_a_null_gives_way_to_a_renamed_key_and_to_a_default() -> None:
    """Null means that the recorder does not know."""
    rules = folder(metadata_rename={"agent": "operator_name"}, metadata_defaults={"language": "ru-RU"})
    raw = sidecar(operator_name=None, language=None, agent="Анна Петрова")[:-1]
    assert fields_of(raw + b', "operator_name": null, "language": null}', rules).values == WHOLE


def test_defaults_fill_in_what_is_lacking_only() -> None:
    """A default never replaces what the recorder says, be it empty."""
    rules = folder(metadata_defaults={"language": "kk-KZ", "ticket_id": "none", "note": "default"})
    read = fields_of(sidecar(ticket_id=None, note=""), rules)
    assert read.values == {**WHOLE, "ticket_id": "none", "note": ""}
    assert read.actions == ("`ticket_id` is lacking and was filled in from [folders.metadata_defaults].",)


def test_a_renamed_key_comes_before_a_default() -> None:
    """The recorder knows better than the configuration."""
    rules = folder(metadata_rename={"lang": "language"}, metadata_defaults={"language": "kk-KZ"})
    assert fields_of(sidecar(language=None, lang="ru-RU"), rules).values == WHOLE


# --- required keys ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "required"),
    [(TWO, list(WHOLE)), (ONE, ["operator_name", "operator_id", "date", "language"])],
    ids=["two-channel", "single-channel"],
)
def test_all_required_keys_that_are_lacking_are_named_at_once(rules: Folder, required: list[str]) -> None:
    """One look at the message is enough to mend the recorder's configuration."""
    problem = problem_of(b'{"ticket_id": "1"}', rules)
    assert problem.reason is Reason.METADATA_KEY_LACKING
    assert f"lacks {', '.join(f'`{key}`' for key in required)};" in problem.message
    assert f"a {rules.connection_type} connection" in problem.message
    assert fields_of(json.dumps({key: WHOLE[key] for key in required}).encode(), rules)


def test_a_required_key_with_nothing_in_it_counts_as_lacking() -> None:
    """SpeechSense could not tell whose call it was."""
    problem = problem_of(sidecar(client_id=None, operator_id="", client_name=" "))
    assert problem.reason is Reason.METADATA_KEY_LACKING
    assert "lacks `client_id` and has nothing in `operator_id`, `client_name`;" in problem.message


# --- direction --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("true", "true"),
        ("TRUE", "true"),
        (True, "true"),
        ("out", "true"),
        ("Outbound", "true"),
        (" outgoing ", "true"),
        ("false", "false"),
        ("False", "false"),
        (False, "false"),
        ("in", "false"),
        ("INBOUND", "false"),
        ("incoming", "false"),
    ],
)
def test_words_for_the_direction_become_true_or_false(said: object, sent: str) -> None:
    """`direction_outgoing` accepts the words that telephony uses, in any case."""
    read = fields_of(sidecar(direction_outgoing=said))
    assert read.values["direction_outgoing"] == sent
    assert bool(read.actions) == (said not in {"true", "false", True, False})


@pytest.mark.parametrize("rules", [TWO, ONE], ids=["two-channel", "single-channel"])
@pytest.mark.parametrize("said", ["0", "1", 0, 1, "yes", "no", "internal", "исходящий"])
def test_numbers_and_other_words_for_the_direction_are_not_guessed_at(said: object, rules: Folder) -> None:
    """0 means outgoing in one recorder and incoming in the next."""
    problem = problem_of(sidecar(direction_outgoing=said), rules)
    assert problem.reason is Reason.METADATA_BAD_VALUE
    assert problem.message.startswith("`direction_outgoing` must be true")


# --- date -------------------------------------------------------------------------------------

MOSCOW = folder(time_zone="Europe/Moscow")
BERLIN = folder(time_zone="Europe/Berlin")


@pytest.mark.parametrize(
    "date",
    [
        "2025-04-24T14:34:19Z",
        "2025-04-24T14:34:19+03:00",
        "2025-04-24T14:34:19.123456-11:30",
        "2025-04-24T14:34:19,5+03",
        "2025-04-24T14:34Z",
    ],
)
def test_a_date_with_a_zone_passes_unchanged(date: str) -> None:
    """ISO 8601 with a zone needs no rule, whatever zone the folder has."""
    assert fields_of(sidecar(date=date), MOSCOW) == Fields({**WHOLE, "date": date})


@pytest.mark.parametrize(
    ("date", "rules", "sent"),
    [
        ("2025-04-24T14:34:19", MOSCOW, "2025-04-24T14:34:19+03:00"),
        ("2025-04-24 14:34:19", MOSCOW, "2025-04-24T14:34:19+03:00"),
        ("2025-04-24T14:34:19.123", MOSCOW, "2025-04-24T14:34:19.123+03:00"),
        ("2025-04-24 14:34", MOSCOW, "2025-04-24T14:34:00+03:00"),
        ("2025-01-24 14:34:19", BERLIN, "2025-01-24T14:34:19+01:00"),
        ("2025-07-24 14:34:19", BERLIN, "2025-07-24T14:34:19+02:00"),
        # Clocks went back at 03:00: 02:30 came twice, the first was in summer time.
        ("2025-10-26 02:30:00", BERLIN, "2025-10-26T02:30:00+02:00"),
        # Clocks went from 02:00 to 03:00: 02:30 counted on in winter time is 03:30 in summer time.
        ("2025-03-30 02:30:00", BERLIN, "2025-03-30T02:30:00+01:00"),
        ("2025-04-24 14:34:19", folder(time_zone="UTC"), "2025-04-24T14:34:19+00:00"),
        ("2025-04-24 14:34:19", folder(time_zone="Asia/Kolkata"), "2025-04-24T14:34:19+05:30"),
        ("2025-04-24 14:34:19", folder(time_zone="America/New_York"), "2025-04-24T14:34:19-04:00"),
        ("20241105-091730", MOSCOW, "2024-11-05T09:17:30+03:00"),
        ("20190219120918", MOSCOW, "2019-02-19T12:09:18+03:00"),
        ("1900-01-01 00:00:00", folder(time_zone="Europe/Moscow"), "1900-01-01T00:00:00+02:30"),
    ],
)
def test_a_date_without_a_zone_is_local_time_of_the_folder(date: str, rules: Folder, sent: str) -> None:
    """Exchanges write local time without a zone; the zone is configuration."""
    read = fields_of(sidecar(date=date), rules)
    assert read.values["date"] == sent
    assert read.actions == (f"`date` has no time zone and was read as local time of {rules.time_zone}.",)


@pytest.mark.parametrize(
    ("date", "sent"),
    [
        ("2025-04-24 14:34:19+03:00", "2025-04-24T14:34:19+03:00"),
        ("2025-04-24T14:34:19+0300", "2025-04-24T14:34:19+03:00"),
        ("2025-04-24 14:34:19.5+03", "2025-04-24T14:34:19.5+03"),
        ("2025-04-24 14:34:19Z", "2025-04-24T14:34:19Z"),
    ],
)
def test_a_date_with_a_zone_in_another_form_is_put_into_that_of_iso(date: str, sent: str) -> None:
    """Asterisk's STRFTIME and databases write the same moment a little differently."""
    read = fields_of(sidecar(date=date))
    assert read.values["date"] == sent
    assert read.actions == ("`date` was put into the form of ISO 8601.",)


@pytest.mark.parametrize(
    "date",
    [
        "2025-04-24",
        "14:34:19",
        "24.04.2025 14:34:19",
        "2025-04-24T14",
        "2025-13-24T14:34:19Z",
        "2025-02-29T14:34:19Z",
        "0000-01-01T00:00:00Z",
        "2025-04-24T24:00:00Z",
        "2025-04-24T14:60:00Z",
        "2025-04-24T14:34:60Z",
        "2025-04-24T14:34:19+24:00",
        "2025-04-24T14:34:19+03:60",
        "2025-04-24T14:34:19+24",
        "2025-04-24T14:34:19 Europe/Moscow",
        "2025-04-24T14:34:19Z\n",
        "٢٠٢٥-04-24T14:34:19Z",
        "1745494459",
        "today",
    ],
)
def test_what_is_not_a_date_and_time_is_refused(date: str) -> None:
    """A wrong date would file the call under a wrong day."""
    problem = problem_of(sidecar(date=date), MOSCOW)
    assert problem.reason is Reason.METADATA_BAD_DATE
    assert problem.message == "`date` is not a date and time like 2025-04-24T14:34:19+03:00."


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (TWO, "the folder has no `time_zone`"),
        (folder(time_zone="Europe/Atlantis"), "`Europe/Atlantis` is not known on this machine"),
        (folder(time_zone="../../etc/passwd"), "is not known on this machine"),
        (folder(time_zone="Europe"), "is not known on this machine"),
    ],
)
def test_a_date_without_a_zone_needs_a_zone_that_is_known(rules: Folder, said: str) -> None:
    """Guessing the zone would shift calls by hours."""
    problem = problem_of(sidecar(date="2025-04-24 14:34:19"), rules)
    assert problem.reason is Reason.METADATA_BAD_DATE
    assert said in problem.message
    assert fields_of(sidecar(), rules), "a date with a zone needs none"


# --- order, secrecy, totality -----------------------------------------------------------------


def test_problems_come_in_the_order_of_reading() -> None:
    """One fault is mended after the other, the more basic first."""
    worst = sidecar(client_id=None, direction_outgoing="1", date="never", note="x" * 2000)
    steps = [
        (worst[:-1] + b', "a": [1], "operator_id": "2", "b": NaN}', Reason.METADATA_DUPLICATE_KEY),
        (worst[:-1] + b', "a": [1], "b": NaN}', Reason.METADATA_NESTED),
        (worst[:-1] + b', "b": NaN}', Reason.METADATA_BAD_VALUE),
        (worst, Reason.METADATA_VALUE_TOO_LONG),
        (sidecar(client_id=None, direction_outgoing="1", date="never"), Reason.METADATA_KEY_LACKING),
        (sidecar(direction_outgoing="1", date="never"), Reason.METADATA_BAD_VALUE),
        (sidecar(date="never"), Reason.METADATA_BAD_DATE),
    ]
    assert [problem_of(raw).reason for raw, _ in steps] == [reason for _, reason in steps]


SECRET = "Zaq8Xsw7Cde6"


@pytest.mark.parametrize(
    "raw",
    [
        sidecar(date=SECRET),
        sidecar(direction_outgoing=SECRET),
        sidecar(client_name={"first": SECRET}),
        sidecar(client_name=[SECRET]),
        sidecar(client_name=SECRET * 100),
        sidecar(client_name=SECRET + "\0"),
        sidecar(client_name=SECRET, client_id=""),
        sidecar(client_name=SECRET)[:-1],
        sidecar(client_name=SECRET)[:-1] + b', "client_name": "x"}',
        b'{"client_name": "' + SECRET.encode() + b"\\q",
        SECRET.encode(),
        b'"' + SECRET.encode() + b'"',
    ],
)
def test_no_message_holds_a_value(raw: bytes) -> None:
    """Names and numbers of callers do not get into logs by way of an error."""
    assert SECRET not in problem_of(raw).message


def test_no_action_holds_a_value() -> None:
    """The same for what the rules did."""
    rules = folder(
        metadata_rename={"agent": "operator_name", "who": "client_name"},
        metadata_defaults={"note": SECRET},
        time_zone="Europe/Moscow",
    )
    raw = sidecar(operator_name=None, agent=SECRET, who=SECRET, date="2031-04-24 14:34:19", direction_outgoing="In")
    read = fields_of(raw[:-1] + b', "gone": null}', rules)
    assert len(read.actions) == 6
    assert not any(SECRET in action or "2031" in action for action in read.actions)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*WHOLE, "agent", "x"]) | st.text(max_size=5)
RULES = st.builds(
    folder,
    metadata_rename=st.dictionaries(KEYS, KEYS.filter(bool), max_size=3),
    metadata_defaults=st.dictionaries(KEYS.filter(bool), st.just("default"), max_size=3),
    time_zone=st.sampled_from(["", "Europe/Moscow", "Europe/Berlin", "No/Where"]),
    recording_id_field=st.sampled_from(["", "x"]),
    connection_type=st.sampled_from(ConnectionType),
)


def check(read: Fields | Problem) -> None:
    if isinstance(read, Problem):
        assert read.message.endswith(".")
        assert read.message.isprintable()
        return
    for key, value in read.values.items():
        assert key
        assert len(key.encode()) <= 1024
        assert len(value.encode()) <= 1024
    assert all(action.endswith(".") and action.isprintable() for action in read.actions)


@given(st.binary(max_size=300), RULES)
def test_any_bytes_give_fields_or_a_problem(raw: bytes, rules: Folder) -> None:
    """A metadata file can hold anything at all."""
    check(read_fields(raw, rules))


@given(st.dictionaries(KEYS, JSON_VALUES, max_size=6), RULES)
def test_any_json_gives_fields_or_a_problem(changes: dict[str, object], rules: Folder) -> None:
    """And so can JSON, under whatever rules."""
    check(read_fields(json.dumps({**WHOLE, **changes}).encode(), rules))


@given(st.datetimes(), st.sampled_from(["Europe/Moscow", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]))
def test_any_local_time_becomes_one_moment(local: datetime, zone: str) -> None:
    """No local time is refused, and what is sent shows the same wall clock."""
    made = apply_rules({**WHOLE, "date": local.isoformat(sep=" ")}, folder(time_zone=zone))
    assert isinstance(made, Fields)
    sent = datetime.fromisoformat(made.values["date"])
    assert sent.replace(tzinfo=None) == local
    assert sent.utcoffset() is not None


def test_rules_do_not_change_what_they_are_given() -> None:
    """The values that were read stay as they were read."""
    values = {**WHOLE, "agent": "x", "direction_outgoing": "in"}
    before = dict(values)
    apply_rules(values, folder(metadata_rename={"agent": "ticket_id"}))
    assert values == before


# --- the reference uploader's fields ----------------------------------------------------------


def test_default_fields_are_those_of_the_reference_uploader() -> None:
    """`upload` without metadata sends what users of the reference script are used to."""
    now = datetime(2025, 4, 24, 14, 34, 19, 123456, tzinfo=timezone(timedelta(hours=3)))
    assert default_fields(now) == {
        "operator_name": "Operator",
        "operator_id": "1111",
        "client_name": "Client",
        "client_id": "2222",
        "date": "2025-04-24T14:34:19.123+03:00",
        "date_from": "2023-09-13T17:30:00.000",
        "date_to": "2023-09-13T17:31:00.000",
        "direction_outgoing": "true",
    }


def test_default_fields_need_a_time_with_a_zone() -> None:
    """A date without a zone is what everybody else is refused for."""
    with pytest.raises(ValueError, match="time zone"):
        default_fields(datetime.now(UTC).replace(tzinfo=None))


def test_a_default_fills_a_required_key_that_is_empty() -> None:
    """Asterisk writes "" for a caller without a name; other keys that are empty stay so."""
    rules = folder(metadata_defaults={"client_name": "unknown", "note": "none"})
    fields = read_fields(sidecar(client_name="", note=""), rules)
    assert isinstance(fields, Fields)
    assert (fields.values["client_name"], fields.values["note"]) == ("unknown", "")


# --- drop, translate, constants, people, cut -----------------------------------------------------


def test_rules_act_one_after_the_other() -> None:
    """Renamed, then dropped, translated by our key, and a constant has the last word."""
    rules = folder(
        metadata_rename={"way": "direction_outgoing", "secret": "note"},
        metadata_drop=("note", "absent"),
        metadata_values={"direction_outgoing": {"Ingress": "false"}, "absent": {"x": "y"}, "client_name": {"other": "z"}},
        metadata_constants={"office": "north", "language": "kk-KZ"},
    )
    read = fields_of(sidecar(direction_outgoing=None, way="Ingress", secret="s"), rules)
    assert read.values == {**WHOLE, "direction_outgoing": "false", "office": "north", "language": "kk-KZ"}
    assert read.actions == (
        "`way` became `direction_outgoing`.",
        "`secret` became `note`.",
        "`note` was left out by `metadata_drop`.",
        "`direction_outgoing` was translated by [folders.metadata_values].",
        "`office` was set by [folders.metadata_constants].",
        "`language` was set by [folders.metadata_constants].",
    )


@pytest.mark.parametrize(
    ("said", "person", "sent"),
    [
        ({"operator_name": None}, Person("a-17", "Anna"), ("a-17", "Anna")),
        ({"operator_name": "by the exchange"}, Person("a-17", "Anna"), ("a-17", "Anna")),
        ({"operator_name": "by the exchange"}, Person("a-17", ""), ("a-17", "by the exchange")),
        ({"operator_name": None}, Person("", "Anna"), ("201", "Anna")),
        ({"operator_name": None}, Person("a-17", ""), ("a-17", "201")),
        ({"operator_name": None}, None, ("201", "201")),
        ({"operator_name": " "}, None, ("201", "201")),
    ],
)
def test_the_operator_by_the_extension(said: dict[str, object], person: Person | None, sent: tuple[str, str]) -> None:
    """A name that nobody gives is the extension, never an invented one."""
    made = apply_rules(read_values_of(sidecar(**said)), TWO, lambda extension: person if extension == "201" else None)
    assert isinstance(made, Fields)
    assert (made.values["operator_id"], made.values["operator_name"]) == sent


def test_nobody_is_looked_up_without_an_extension() -> None:
    """Defaults then say who it was."""
    rules = folder(metadata_defaults={"operator_id": "0", "operator_name": "nobody"})
    made = apply_rules(read_values_of(sidecar(operator_id=None, operator_name=None)), rules, lambda _: Person("x", "x"))
    assert isinstance(made, Fields)
    assert (made.values["operator_id"], made.values["operator_name"]) == ("0", "nobody")


def test_long_values_are_cut_where_that_is_asked_for() -> None:
    """Between letters, and never a key."""
    rules = folder(too_long=TooLong.CUT)
    read = fields_of(sidecar(note="я" * 513, more="ab" * 512), rules)
    assert read.values["note"] == "я" * 512
    assert read.values["more"] == "ab" * 512
    assert read.actions == ("`note` was cut to 1,024 bytes by `too_long`.",)
    assert problem_of(sidecar(**{"k" * 1025: "v"}), rules).reason is Reason.METADATA_VALUE_TOO_LONG


def read_values_of(raw: bytes) -> dict[str, str]:
    read = read_values(raw)
    assert isinstance(read, Values)
    return dict(read.values)
