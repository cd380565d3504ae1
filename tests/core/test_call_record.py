"""What call records tell of a recording."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.call_record import Key, fields_of, key_of, spoken

INBOUND = {
    "calldate": "2026-03-09 11:32:03",
    "clid": '"Ivanov, Ivan" <79161234567>',
    "src": "79161234567",
    "dst": "600",
    "dcontext": "ext-queues",
    "channel": "PJSIP/trunk-mts-00000a01",
    "dstchannel": "PJSIP/201-00000a02",
    "disposition": "ANSWERED",
    "billsec": "61",
    "did": "74950000000",
    "cnum": "79161234567",
    "cnam": "Ivanov, Ivan",
}


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (
            "2026/03/09/in-7495-7916-20260309-113203-1773081123.265.wav",
            Key("in-7495-7916-20260309-113203-1773081123.265.wav", "1773081123.265"),
        ),
        ("q-200-20261122-195349-1795377229.9-stereo.wav", Key("q-200-20261122-195349-1795377229.9-stereo.wav", "1795377229.9")),
        ("1773081123.265-1773081124.266.wav", Key("1773081123.265-1773081124.266.wav", "1773081124.266")),
        ("[Anna]_201-0114627554_20190219120918(380).wav", Key("[Anna]_201-0114627554_20190219120918(380).wav")),
        ("call.wav", Key("call.wav")),
    ],
)
def test_a_record_is_found_by_the_name_and_the_unique_id_in_it(path: str, key: Key) -> None:
    """The last unique id, since numbers stand before it."""
    assert key_of(path) == key


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            {
                "operator_id": "201",
                "client_id": "79161234567",
                "client_name": "Ivanov, Ivan",
                "direction_outgoing": "false",
                "date": "2026-03-09 11:32:03",
            },
        ),
        (
            {"clid": '"79161234567" <79161234567>', "cnam": ""},
            {"operator_id": "201", "client_id": "79161234567", "direction_outgoing": "false", "date": "2026-03-09 11:32:03"},
        ),
        (
            {"dstchannel": "Local/202@from-queue-0000001c;1", "cnam": "", "clid": ""},
            {"operator_id": "202", "client_id": "79161234567", "direction_outgoing": "false", "date": "2026-03-09 11:32:03"},
        ),
        (
            {"dstchannel": "", "cnam": "", "clid": "", "disposition": "NO ANSWER"},
            {"client_id": "79161234567", "direction_outgoing": "false", "date": "2026-03-09 11:32:03"},
        ),
        (
            {
                "did": "",
                "dcontext": "from-internal",
                "channel": "SIP/201-0000001",
                "dstchannel": "SIP/trunk-0000002",
                "src": "74950000000",
                "dst": "+79161234567",
            },
            {"operator_id": "201", "client_id": "+79161234567", "direction_outgoing": "true", "date": "2026-03-09 11:32:03"},
        ),
        (
            {
                "did": "",
                "dcontext": "from-internal",
                "channel": "SIP/201-1",
                "dstchannel": "SIP/202-2",
                "src": "201",
                "dst": "202",
            },
            {"operator_id": "201", "client_id": "202", "direction_outgoing": "true", "date": "2026-03-09 11:32:03"},
        ),
        (
            {"did": "", "dcontext": "default", "channel": "SIP/mts-1", "dstchannel": "SIP/202-2", "cnam": "", "clid": ""},
            {"operator_id": "202", "client_id": "79161234567", "direction_outgoing": "false", "date": "2026-03-09 11:32:03"},
        ),
        (
            {"did": "", "dcontext": "from-trunk", "channel": "SIP/201-1", "dstchannel": "SIP/mts-2", "dst": "0079161234567"},
            {"operator_id": "201", "client_id": "0079161234567", "direction_outgoing": "true", "date": "2026-03-09 11:32:03"},
        ),
        (
            {"did": "", "dcontext": "x", "channel": "SIP/mts-1", "dstchannel": "SIP/beeline-2", "start": "2026-03-09 11:00:00"},
            {"date": "2026-03-09 11:00:00"},
        ),
    ],
)
def test_who_is_who(changes: dict[str, str], expected: dict[str, str]) -> None:
    """By the channels and the context; numbers stay as written, and what nobody said is not made up."""
    fields, actions = fields_of({**INBOUND, **changes})
    assert fields == expected
    assert all("79161234567" not in action and "Ivan" not in action for action in actions)


@pytest.mark.parametrize(
    ("lines", "index"),
    [
        ([{"disposition": "NO ANSWER", "billsec": "0"}, {"disposition": "ANSWERED", "billsec": "5"}], 1),
        ([{"disposition": "ANSWERED", "billsec": "50"}, {"disposition": "ANSWERED", "billsec": "5"}], 0),
        ([{"disposition": "BUSY", "billsec": "90"}, {"disposition": "ANSWERED", "billsec": "5"}, {"disposition": "FAILED"}], 1),
        (
            [
                {"disposition": "ANSWERED", "billsec": "5", "dstchannel": "SIP/201-1"},
                {"disposition": "ANSWERED", "billsec": "5", "dstchannel": "Local/201@from-queue-1;1"},
            ],
            0,
        ),
        ([{"disposition": "NO ANSWER"}, {"disposition": "BUSY"}], 1),
        ([{"disposition": "ANSWERED", "billsec": "5"}, {"disposition": "ANSWERED", "billsec": "5"}], 1),
        ([{"disposition": "ANSWERED", "billsec": "many"}, {"disposition": "ANSWERED", "billsec": "1"}], 1),
    ],
)
def test_the_leg_that_spoke(lines: list[dict[str, str]], index: int) -> None:
    """The answered one with the longest talk; a device rather than a way to it; else the last."""
    assert spoken(lines) is lines[index]


@given(st.dictionaries(st.sampled_from([*INBOUND, "start", "answer"]), st.text()))
def test_no_record_does_harm(record: dict[str, str]) -> None:
    """What is written there comes from callers."""
    fields, _ = fields_of(record)
    assert all(fields.values())
    assert spoken([record, {}]) in (record, {})
