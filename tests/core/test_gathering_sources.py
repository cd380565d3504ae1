"""Several sources that speak of one call: what a later one says wins, by whatever names it says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speechsense_watch.core.metadata import Fields
from speechsense_watch.core.rules import CallRecordRules, ConnectionType, Folder
from speechsense_watch.gathering import NotYet, gather
from speechsense_watch.ports import NO_SOURCES, Sources

NAME = "out-79161112233-202-20260309-113203-1773081123.265.wav"
LINE = {
    "calldate": "2026-03-09 11:32:03",
    "channel": "PJSIP/201-1",
    "dstchannel": "PJSIP/mts-2",
    "src": "201",
    "cnum": "0201",
    "dst": "89161112233",
    "disposition": "ANSWERED",
    "accountcode": "north",
    "userfield": "",
}


class Records:
    def __init__(self, *lines: Mapping[str, str]) -> None:
        self.lines = lines

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        assert (file_name, unique_id) == (NAME, "1773081123.265")
        return self.lines


def folder(**rules: object) -> Folder:
    made = {
        "path": "/spool",
        "connection_id": "c",
        "start_from": "all",
        "name": "spool",
        "connection_type": ConnectionType.SINGLE_CHANNEL,
        "file_name": "freepbx",
        "time_zone": "Europe/Moscow",
        "metadata_defaults": {"language": "ru-RU", "operator_name": "unknown"},
        **rules,
    }
    return Folder(**made)  # type: ignore[arg-type]


def test_a_file_beside_the_audio_wins_over_its_name_by_its_own_words() -> None:
    """Else a call would be sent with the number of the one and the name of the other."""
    rules = folder(
        metadata_rename={"agent_id": "operator_id", "agent": "operator_name", "way": "direction_outgoing", "when": "date"}
    )
    raw = b'{"agent_id": "305", "agent": "Ivanov", "way": "in", "when": "2026-03-09T13:32:03+05:00"}'
    fields = gather(rules, NAME, raw, NO_SOURCES)
    assert isinstance(fields, Fields)
    assert fields.values == {
        "operator_id": "305",
        "operator_name": "Ivanov",
        "client_id": "79161112233",
        "direction_outgoing": "false",
        "date": "2026-03-09T13:32:03+05:00",
        "language": "ru-RU",
    }
    assert "`agent` became `operator_name`." in fields.actions


def test_what_is_asked_of_a_record_wins_over_what_is_concluded_from_it() -> None:
    """Whoever writes a rename knows his exchange; a column without a value says nothing."""
    rules = folder(
        metadata="",
        cdr=CallRecordRules(csv="/Master.csv"),
        metadata_rename={"cnum": "operator_id", "accountcode": "office", "userfield": "client_id"},
    )
    fields = gather(rules, NAME, None, Sources(Records(LINE)))
    assert isinstance(fields, Fields)
    assert (fields.values["operator_id"], fields.values["office"]) == ("0201", "north")
    assert fields.values["client_id"] == "89161112233"


def test_a_default_does_not_stand_for_an_operator_who_may_still_be_told() -> None:
    """It is what there is without the record; a constant leaves nothing to wait for."""
    unanswered = {**LINE, "channel": "PJSIP/mts-1", "dstchannel": "", "dcontext": "from-pstn", "src": "79161112233"}
    queue = NAME.replace("out-79161112233-202", "q-600-79161112233")
    rules = folder(metadata="", cdr=CallRecordRules(csv="/Master.csv"))

    class Any(Records):
        def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
            assert (file_name, unique_id) == (queue, "1773081123.265")
            return self.lines

    sources = Sources(Any(unanswered))
    with_default = folder(metadata="", cdr=rules.cdr, metadata_defaults={**rules.metadata_defaults, "operator_id": "0"})
    found = gather(with_default, queue, None, sources)
    assert isinstance(found, NotYet)
    assert isinstance(found.otherwise, Fields)
    assert found.otherwise.values["operator_id"] == "0"
    with_constant = folder(metadata="", cdr=rules.cdr, metadata_constants={"operator_id": "0"})
    assert isinstance(gather(with_constant, queue, None, sources), Fields)
