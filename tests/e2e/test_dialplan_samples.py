"""The dialplans in contrib/: no caller shifts an argument, and each hook goes back to whoever called it."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

CONTRIB = Path(__file__).parents[2] / "contrib"
ASTERISK = CONTRIB / "asterisk" / "extensions-sample.conf"
FREEPBX = CONTRIB / "freepbx" / "extensions_custom-sample.conf"
# One priority: its label, its application and what that is given.
STEP = re.compile(r"(?:exten => [^,]+,1| same => n(?:\((?P<label>\w+)\))?),(?P<name>\w+)\((?P<given>.*)\)")
IF_EMPTY = re.compile(r'\$\["\$\{(?P<variable>\w+)\}"=""\]\?(?P<label>\w+)')
FILTERED = re.compile(r"\$\{FILTER\(\+?0-9,\$\{(?:[^{}]|\$\{)+\}\)\}")


def steps(sample: Path, context: str) -> list[re.Match[str]]:
    text = sample.read_text(encoding="utf-8").split(f"\n[{context}]\n")[1].split("\n[")[0]
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith(";")]
    found = [STEP.fullmatch(line) for line in lines]
    assert all(found), lines
    return [step for step in found if step]


def walked(context: str, empty: set[str]) -> list[str]:
    """The applications that a hook of FreePBX runs while these variables are empty, up to the one that goes back."""
    plan, at, run = steps(FREEPBX, context), 0, []
    while plan[at]["name"] not in ("Return", "MacroExit"):
        run.append(plan[at]["name"])
        asked = IF_EMPTY.fullmatch(plan[at]["given"])
        if asked and asked["variable"] in empty:
            at = next(number for number, step in enumerate(plan) if step["label"] == asked["label"])
        else:
            at += 1
    return [*run, plan[at]["name"]]


@pytest.mark.parametrize("sample", [ASTERISK, FREEPBX], ids=["asterisk", "freepbx"])
def test_no_argument_of_gosub_can_hold_a_comma(sample: Path) -> None:
    """`5,true` for a number would be two arguments, and the direction would be the caller's to choose."""
    calls = re.findall(r"Gosub\(speechsense-record,s,1\((.*)\)\)", re.sub(r"(?m)^;.*", "", sample.read_text(encoding="utf-8")))
    assert len(calls) == 2
    for arguments in calls:
        assert re.fullmatch(r"[^,]+,[^,]+,(true|false)", FILTERED.sub("X", arguments))
        assert "$" not in FILTERED.sub("X", arguments)


@pytest.mark.parametrize("context", ["macro-dialout-trunk-predial-hook", "macro-dialout-one-predial-hook"])
def test_a_hook_goes_back_the_way_it_was_called(context: str) -> None:
    """By Macro up to FreePBX 16, by Gosub since 17: the wrong way, or none, hangs the call up."""
    for macro, others in product([True, False], [set[str](), {"FROM_DID"}]):
        run = walked(context, others | (set() if macro else {"MACRO_CONTEXT"}))
        assert run[-1] == ("MacroExit" if macro else "Return")
        assert run.count("Gosub") == (0 if others and "one" in context else 1)


@pytest.mark.parametrize("sample", [ASTERISK, FREEPBX], ids=["asterisk", "freepbx"])
def test_the_part_that_records_goes_back_and_leaves_no_variable_behind(sample: Path) -> None:
    """But for those that end this recording when the call goes on to somebody else: two in the same legs would spoil both."""
    plan = steps(sample, "speechsense-record")
    assert [step["name"] for step in plan if step["name"] == "Return"] == ["Return"]
    assert plan[-1]["name"] == "Return"
    kept = [step["given"].split("=")[0] for step in plan if step["name"] == "Set" and not step["given"].startswith("LOCAL(")]
    assert kept == ["speechsense_part"]
    assert plan[1]["given"].endswith("StopMixMonitor(${speechsense_id})")
    base = next(step["given"] for step in plan if step["given"].startswith("LOCAL(base)"))
    assert base.endswith("-${speechsense_part}")


def test_freepbx_has_the_legs_left_alone_for_a_minute() -> None:
    """It has been seen to run the command when the first part of a transfer ended."""
    command = next(step["given"] for step in steps(FREEPBX, "speechsense-record") if step["name"] == "MixMonitor")
    assert ",SETTLE=60 /usr/local/bin/speechsense-mixmonitor " in command
