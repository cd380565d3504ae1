"""What a file's name tells, when it is not text that can be sent."""

from __future__ import annotations

import os

import pytest

from speechsense_watch.core.metadata import Fields, apply_rules
from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import Folder, TooLong
from speechsense_watch.gathering import gather
from speechsense_watch.ports import NO_SOURCES

DEFAULTS = {"operator_name": "A", "operator_id": "1", "date": "2025-04-24T14:34:19+03:00", "direction_outgoing": "in"}


def folder(**rules: object) -> Folder:
    made = {"path": "/spool", "connection_id": "c", "start_from": "all", "name": "spool", **rules}
    return Folder(**made)  # type: ignore[arg-type]


def test_a_part_of_a_name_that_is_not_utf8_is_left_out_and_told() -> None:
    """The rest of the name, and the recording, still go: the part may be nothing that is needed."""
    rules = folder(
        metadata="",
        file_name="(?P<client_id>[^-]*)-(?P<client_name>.*)",
        metadata_defaults={**DEFAULTS, "client_name": "unknown", "language": "ru-RU"},
    )
    fields = gather(rules, os.fsdecode(b"sub/79990000000-\xe0\xed.wav"), None, NO_SOURCES)
    assert isinstance(fields, Fields)
    assert (fields.values["client_id"], fields.values["client_name"]) == ("79990000000", "unknown")
    assert fields.actions[:2] == (
        "From the file's name (`file_name`): `client_id`.",
        "Left out, since that part of the file's name is not UTF-8: `client_name`.",
    )


@pytest.mark.parametrize("too_long", TooLong)
@pytest.mark.parametrize(("key", "value"), [("note", "a\udce0"), ("note", "a\0"), ("a\udce0", "x"), ("a\0", "x")])
def test_what_cannot_be_sent_is_a_problem_wherever_it_came_from(key: str, value: str, too_long: TooLong) -> None:
    """Call records and tables of people are files of others too: one recording has a reason, nothing raises."""
    made = apply_rules({**DEFAULTS, key: value}, folder(too_long=too_long))
    assert isinstance(made, Problem)
    assert made.reason is Reason.METADATA_BAD_VALUE
    assert made.message.isprintable()
    assert made.message.startswith("The metadata has characters that cannot be sent")
