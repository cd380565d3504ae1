"""What call records tell of a recording."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechsense_watch.core.call_record import Key, key_of, told
from speechsense_watch.core.extensions import Extensions

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
        ("79161234567.1773045123.wav", Key("79161234567.1773045123.wav")),
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
            {"did": "", "dcontext": "outbound", "channel": "SIP/201-1", "dstchannel": "SIP/mts-2", "dst": "0079161234567"},
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
    said = told([{**INBOUND, **changes}], Key("call.wav"), Extensions())
    assert said.fields == expected
    assert all("79161234567" not in action and "Ivan" not in action for action in said.actions)


CALL = Key("call.wav", "1.1")


def about(*lines: dict[str, str], key: Key = CALL, extensions: str = "[0-9]{2,5}") -> dict[str, str]:
    """What the lines tell, without the date."""
    fields = told(lines, key, Extensions(extensions)).fields
    return {name: value for name, value in fields.items() if name != "date"}


def leg(channel: str, dstchannel: str, talked_s: int, **more: str) -> dict[str, str]:
    answered = "ANSWERED" if talked_s else "NO ANSWER"
    line = {"channel": channel, "dstchannel": dstchannel, "billsec": str(talked_s), "disposition": answered, "src": "79161234567"}
    return {**line, "dst": "600", "uniqueid": "1.1", "linkedid": "1.1", **more}


BY = {"client_id": "79161234567", "direction_outgoing": "false"}


@pytest.mark.parametrize(
    ("lines", "operator"),
    [
        # Answered beats not answered, and of answered ones the longest talk.
        ([leg("SIP/mts-1", "SIP/201-2", 0), leg("SIP/mts-1", "SIP/202-3", 5)], "202"),
        ([leg("SIP/mts-1", "SIP/201-2", 50), leg("SIP/mts-1", "SIP/202-3", 5)], "201"),
        ([leg("SIP/mts-1", "SIP/201-2", 90, disposition="BUSY"), leg("SIP/mts-1", "SIP/202-3", 5)], "202"),
        ([leg("SIP/mts-1", "SIP/201-2", 5), leg("SIP/mts-1", "SIP/202-3", 5)], "202"),
        ([leg("SIP/mts-1", "SIP/201-2", 5, billsec="many"), leg("SIP/mts-1", "SIP/202-3", 1)], "202"),
        # A queue or a menu that answered for longer is nobody.
        ([leg("SIP/mts-1", "", 90), leg("SIP/mts-1", "SIP/201-2", 30)], "201"),
        ([leg("SIP/mts-1", "Local/600@from-internal-1;1", 62), leg("SIP/mts-1", "SIP/201-2", 60)], "201"),
        # FreePBX's queue in one line: its way to the agent bears his number.
        ([leg("SIP/mts-1", "Local/221@from-queue-00001106;1", 30, dcontext="ext-queues")], "221"),
        # And with the line of the other half, whose channel is not a caller, be it longer or not.
        (
            [
                leg("SIP/mts-1", "Local/201@from-queue-1;1", 30),
                leg("Local/201@from-queue-1;2", "PJSIP/201-3", 31, uniqueid="1.2"),
            ],
            "201",
        ),
        # Picked up by another one than the queue called.
        (
            [
                leg("SIP/mts-1", "Local/207@from-queue-1;1", 30),
                leg("Local/207@from-queue-1;2", "SIP/1500-3", 30, uniqueid="1.2", dcontext="from-internal"),
            ],
            "1500",
        ),
        # Follow-me behind a queue: two Local channels on the way.
        (
            [
                leg("SIP/mts-1", "Local/201@from-queue-1;1", 30),
                leg("Local/201@from-queue-1;2", "Local/FMPR-201@from-internal-2;1", 30, uniqueid="1.2"),
                leg("Local/FMPR-201@from-internal-2;2", "PJSIP/203-9", 29, uniqueid="1.3"),
            ],
            "203",
        ),
        # The queue's own line names no one: a leg that the exchange made for this call does.
        (
            [
                leg("SIP/mts-1", "", 40, dcontext="ext-queues"),
                leg("Local/201@from-queue-1;2", "PJSIP/201-3", 0, uniqueid="1.2"),
                leg("Local/202@from-queue-2;2", "PJSIP/202-4", 33, uniqueid="1.4"),
            ],
            "202",
        ),
        # Nobody answered: the last one who was called.
        ([leg("SIP/mts-1", "SIP/201-2", 0), leg("SIP/mts-1", "SIP/202-3", 0)], "202"),
    ],
)
def test_the_leg_that_spoke(lines: list[dict[str, str]], operator: str) -> None:
    """Whoever it was, the caller stays the client and the direction the call's; the lines may come in any order."""
    assert about(*lines) == {**BY, "operator_id": operator}


def test_a_call_that_was_passed_on_is_still_with_whom_it_was_for() -> None:
    """The colleague who spoke longer is not the client."""
    out = leg("SIP/201-1", "SIP/mts-2", 10, src="201", dst="89161234567", calldate="2026-03-09 11:45:00")
    on = leg("SIP/mts-2", "SIP/202-3", 90, src="201", dst="202", calldate="2026-03-09 11:45:10")
    assert about(out, on) == {"operator_id": "201", "client_id": "89161234567", "direction_outgoing": "true"}


def test_a_channel_that_the_exchange_made_calls_nobody() -> None:
    """However early its line is, and though it bears an extension: the caller is who called the exchange."""
    way = leg("Local/201@from-queue-1;2", "PJSIP/201-3", 31, calldate="2026-03-09 11:45:00", src="201")
    call = leg("SIP/mts-1", "Local/201@from-queue-1;1", 30, calldate="2026-03-09 11:45:01")
    assert about(way, call) == {**BY, "operator_id": "201"}
    assert about({**way, "src": "79161234567"}) == {**BY, "operator_id": "201"}


def test_an_agent_of_another_recording_is_not_this_one_s() -> None:
    """The leg was made for a call that was recorded by itself."""
    call = leg("SIP/mts-1", "", 40, recordingfile="q-1.wav")
    here = leg("Local/201@from-queue-1;2", "PJSIP/201-3", 30, uniqueid="1.2")
    there = leg("Local/305@from-queue-9;2", "PJSIP/305-4", 300, uniqueid="1.8", recordingfile="q-2.wav")
    assert about(call, here, there, key=Key("q-1.wav", "1.1")) == {**BY, "operator_id": "201"}


def test_a_local_channel_that_leads_in_circles_has_an_end() -> None:
    """What stands in a record is what somebody wrote there."""
    first = leg("Local/201@a-1;2", "Local/202@b-2;1", 5)
    second = leg("Local/202@b-2;2", "Local/201@a-1;1", 5)
    assert about(first, second)["operator_id"] in ("201", "202")


def test_lines_that_name_this_recording_are_about_it() -> None:
    """A consultation within the same conversation has a recording of its own, with another operator."""
    here = leg("SIP/mts-1", "SIP/201-2", 60, recordingfile="2026/03/09/in-1.wav")
    there = leg("SIP/201-2", "SIP/305-9", 300, uniqueid="1.7", recordingfile="exten-2.wav", src="201", dst="305")
    assert about(here, there, key=Key("in-1.wav", "1.1")) == {**BY, "operator_id": "201"}
    assert about(here, there, key=Key("exten-2.wav", "1.7")) == {
        "operator_id": "201",
        "client_id": "305",
        "direction_outgoing": "true",
    }
    unnamed = [{**line, "recordingfile": ""} for line in (here, there)]
    assert about(*unnamed, key=Key("in-1.wav", "1.1")) == {**BY, "operator_id": "201"}
    assert about(*unnamed, key=Key("exten-2.wav", "1.7"))["client_id"] == "305"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # A trunk whose name is an account's number, by context or by its length.
        (leg("SIP/12345-1", "SIP/201-2", 5, dcontext="from-trunk"), {**BY, "operator_id": "201"}),
        (leg("SIP/123456-1", "SIP/201-2", 5), {**BY, "operator_id": "201"}),
        # A short number of the city is no extension because it is short: the channel is no phone of the house.
        (
            leg("SIP/mts-1", "SIP/201-2", 5, src="54321"),
            {"operator_id": "201", "client_id": "54321", "direction_outgoing": "false"},
        ),
        (
            leg("SIP/201-1", "SIP/123456-2", 5, dst="654321", src="201"),
            {"operator_id": "201", "client_id": "654321", "direction_outgoing": "true"},
        ),
        # A line card's channels are numbered, an analogue phone's too.
        (leg("DAHDI/12-1", "SIP/201-2", 5, dcontext="from-pstn"), {**BY, "operator_id": "201"}),
        (
            leg("DAHDI/12-1", "SIP/mts-2", 5, dcontext="from-internal", src="212", dst="89161234567"),
            {"operator_id": "212", "client_id": "89161234567", "direction_outgoing": "true"},
        ),
        # A call within the house: to a queue, by whose agent it was answered.
        (
            leg("SIP/202-1", "Local/201@from-queue-1;1", 5, src="202"),
            {"operator_id": "202", "client_id": "201", "direction_outgoing": "true"},
        ),
    ],
)
def test_short_numbers_and_numbered_channels(line: dict[str, str], expected: dict[str, str]) -> None:
    """An extension is what is one in this house."""
    assert about(line) == expected


@pytest.mark.parametrize(("pattern", "operator"), [("[0-9]{3}", "201"), ("[0-9]{5}", "99201")])
def test_what_an_extension_is_can_be_told(pattern: str, operator: str) -> None:
    """FreePBX's phone in the browser is called 99 and the extension."""
    assert about(leg("SIP/mts-1", "PJSIP/99201-2", 5), extensions=pattern)["operator_id"] == operator


def test_the_date_is_that_of_the_call_s_beginning() -> None:
    """Not that of the leg which spoke; of the recording's own lines."""
    lines = [
        leg("SIP/mts-1", "SIP/201-2", 0, calldate="2026-03-09 11:45:00"),
        leg("SIP/mts-1", "SIP/202-3", 30, calldate="2026-03-09 11:45:20"),
        leg("Local/1@x-1;2", "SIP/202-3", 30, calldate="2026-03-09 11:00:00", uniqueid="0.9"),
    ]
    assert told(lines, Key("call.wav", "1.1"), Extensions()).fields["date"] == "2026-03-09 11:45:00"


@pytest.mark.parametrize("dispositions", [["NO ANSWER"], ["BUSY", "NO ANSWER"], [""]])
def test_it_is_told_whether_anybody_answered(dispositions: list[str]) -> None:
    """A recording with sound in it has a line that says so, which may not have come yet."""
    lines = [leg("SIP/mts-1", "SIP/201-2", 0, disposition=disposition) for disposition in dispositions]
    assert not told(lines, Key("call.wav", "1.1"), Extensions()).answered
    assert told([*lines, leg("SIP/mts-1", "SIP/202-2", 1)], Key("call.wav", "1.1"), Extensions()).answered


_WORDS = (
    st.sampled_from(["Local/201@from-queue-1;1", "Local/201@from-queue-1;2", "SIP/201-1", "ANSWERED", "600", "7916"]) | st.text()
)


@given(
    st.lists(st.dictionaries(st.sampled_from([*INBOUND, "start", "uniqueid", "recordingfile"]), _WORDS), min_size=1, max_size=6)
)
def test_no_record_does_harm(records: list[dict[str, str]]) -> None:
    """What is written there comes from callers."""
    said = told(records, Key("call.wav", "1.1"), Extensions())
    assert all(said.fields.values())
    assert said.record in records
