"""When rules count as the ones that were approved."""

from __future__ import annotations

import dataclasses

import pytest

from speechsense_watch.core.holding import fingerprint
from speechsense_watch.core.rules import AfterUpload, CallRecordRules, Folder, TooLong

RULES = Folder(path="/spool", connection_id="c", start_from="all", name="spool")


@pytest.mark.parametrize(
    "change",
    [
        {"connection_id": "d"},
        {"metadata_rename": {"a": "b"}},
        {"metadata_defaults": {"language": "ru-RU"}},
        {"metadata_values": {"direction_outgoing": {"in": "false"}}},
        {"metadata_drop": ("a",)},
        {"cdr": CallRecordRules(csv="/cdr.csv")},
        {"operators": "/operators.csv"},
        {"time_zone": "UTC"},
        {"file_name": "3cx"},
        {"swap_channels_when": {"a": "b"}},
        {"too_long": TooLong.CUT},
        {"metadata": ""},
        {"recording_id_field": "id"},
    ],
)
def test_what_decides_what_is_sent_makes_other_rules(change: dict[str, object]) -> None:
    """Whoever approved the old ones has not seen the new ones."""
    assert fingerprint(dataclasses.replace(RULES, **change)) != fingerprint(RULES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"quiet_period_s": 1.0},
        {"after_upload": AfterUpload.DELETE},
        {"exclude": ("x",)},
        {"trial": 5},
        {"min_duration_s": 3.0},
        {"name": "other"},
    ],
)
def test_everything_else_does_not(change: dict[str, object]) -> None:
    """No trial begins because a folder is looked at more often."""
    assert fingerprint(dataclasses.replace(RULES, **change)) == fingerprint(RULES)  # type: ignore[arg-type]


def test_the_order_of_lines_decides_nothing() -> None:
    """A tidied-up file is the same."""
    first = dataclasses.replace(RULES, metadata_defaults={"a": "1", "b": "2"})
    second = dataclasses.replace(RULES, metadata_defaults={"b": "2", "a": "1"})
    assert fingerprint(first) == fingerprint(second)
