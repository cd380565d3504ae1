"""Whoever judges the torture must be able to say no: what is lost, doubled, wrong or damaged is handed in on purpose."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from support.bench import bench_on
from torture import oracle
from torture.evidence import Evidence, Row, Talk, look
from torture.oracle import Stored
from torture.recordings import Recording
from torture.world import RECORDING_ID

POLICIES = ("resend", "hold", "search")
SHA = hashlib.sha256(b"audio").hexdigest()
RECORDING = Recording("key", "000/call.wav", "u", SHA, 100, {"client_id": "key", "operator_id": "7"})
DONE = Row(1, "done", RECORDING.place, "u", "t1", 1, possible_duplicate=False, reason=None, accepted=True)
OPEN = replace(DONE, state="unconfirmed", talk_id=None, reason="outcome_unknown", accepted=False)


def talk(talk_id: str = "t1", recording_id: str = "u-1", **other: object) -> Talk:
    made = Talk(talk_id, SHA, 100, {**RECORDING.fields, RECORDING_ID: recording_id}, "")
    return replace(made, **other)  # type: ignore[arg-type]


def evidence(*rows: Row, committed: Sequence[str] = ("u-1", "u-2")) -> Evidence:
    journal = {(row.uid or "", row.talk_id) for row in rows if row.talk_id is not None}
    return Evidence(rows, frozenset(committed), journal=frozenset(journal))


def judged(found: Evidence, talks: Sequence[Talk], policy: str) -> list[str]:
    return oracle.when_all_is_over(found, Stored(talks, [RECORDING]), [RECORDING], policy).broken


def at_a_kill(found: Evidence, *talks: Talk) -> list[str]:
    return oracle.after_a_kill(found, Stored(talks, [RECORDING]), [RECORDING])


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_as_it_should_be_passes(policy: str) -> None:
    found = evidence(DONE)
    assert judged(found, [talk()], policy) == at_a_kill(found, talk()) == []


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("state", ["ready", "waiting", "uploading", "done", "refused", "unusable", "skipped", "no row"])
def test_lost(policy: str, state: str) -> None:
    """A reason does not help: each of them was fit to be sent."""
    row = replace(DONE, state=state, talk_id=None, reason="it says why", accepted=False)
    found = evidence() if state == "no row" else evidence(row)
    assert judged(found, [], policy)[0].startswith("lost: ")


@pytest.mark.parametrize(("policy", "allowed"), [("resend", False), ("hold", True), ("search", False)])
def test_held(policy: str, *, allowed: bool) -> None:
    assert (judged(evidence(OPEN), [], policy) == []) == allowed
    assert (judged(evidence(OPEN), [talk()], policy) == []) == allowed
    assert judged(evidence(replace(OPEN, reason=None)), [], policy)[0].startswith("lost: ")


@pytest.mark.parametrize(
    ("policy", "marked", "allowed"), [(each, mark, each == "resend" and mark) for each in POLICIES for mark in (True, False)]
)
def test_doubled(policy: str, *, marked: bool, allowed: bool) -> None:
    """Allowed where it was asked for, and only with its mark."""
    found = judged(evidence(replace(DONE, possible_duplicate=marked)), [talk(), talk("t2", "u-2")], policy)
    assert (found == []) == allowed
    assert allowed or found[0].startswith("doubled: ")


@pytest.mark.parametrize(
    "wrong",
    [
        talk("another"),
        talk(sha256=hashlib.sha256(b"other audio").hexdigest()),
        talk(fields={**RECORDING.fields, "operator_id": "8", RECORDING_ID: "u-1"}),
        talk(fields={**RECORDING.fields, RECORDING_ID: "u-3"}),
        talk(size=60, sha256=hashlib.sha256(b"aud").hexdigest()),
    ],
    ids=["never stored", "other audio", "other fields", "no commit mark", "cut short and answered"],
)
def test_a_wrong_talk_id(wrong: Talk) -> None:
    """At once, and in the end: the last had an answer, so a service that takes too little is no excuse."""
    assert at_a_kill(evidence(DONE), wrong)[0].startswith("wrong talk id: ")
    assert any(each.startswith("wrong talk id: ") for each in judged(evidence(DONE), [wrong], "search"))


def test_what_a_look_up_found_cut_short_is_told_and_not_held_against_the_daemon() -> None:
    """If its try was past the commit mark, and not otherwise."""
    short = talk(size=60, sha256=hashlib.sha256(b"aud").hexdigest())
    found = evidence(replace(DONE, accepted=False))
    judgement = oracle.when_all_is_over(found, Stored([short], [RECORDING]), [RECORDING], "search")
    assert (judgement.broken, judgement.counts["cut short by the service past the mark"]) == ([], 1)
    assert judged(evidence(replace(DONE, accepted=False), committed=()), [short], "search")


@pytest.mark.parametrize("state", ["waiting", "ready", "uploading", "refused", "skipped", "no row"])
def test_stored_and_not_covered(state: str) -> None:
    """Nothing was sent twice yet, but nothing would keep the daemon from it."""
    row = replace(DONE, state=state, talk_id=None, accepted=False)
    assert at_a_kill(evidence() if state == "no row" else evidence(row), talk())[0].startswith(RECORDING.place)
    assert state == "no row" or at_a_kill(evidence(replace(row, possible_duplicate=True)), talk()) == []


def test_an_id_used_twice() -> None:
    """Be it by talks that count for nothing."""
    orphan = talk("t2", sha256=hashlib.sha256(b"aud").hexdigest(), size=60)
    assert judged(evidence(DONE), [talk(), orphan], "search") == ["id of a try used twice: u-1"]


def test_the_journal() -> None:
    """A line too few and a line too many."""
    found = evidence(DONE)
    assert judged(replace(found, journal=frozenset()), [talk()], "search") == ["the journal lacks t1"]
    more = replace(found, journal=found.journal | {("u", "t9")})
    assert judged(more, [talk()], "search") == ["the journal names t9, which the queue does not"]


def test_a_damaged_queue(tmp_path: Path) -> None:
    """A real one, with one of its pages written over."""
    copy = tmp_path / "copy.db"
    with bench_on(tmp_path) as bench:
        for number in range(30):
            bench.drop(f"call-{number}")
        bench.settle()
        copy.touch()
        bench.queue.copy_to(copy)
    assert look(copy).broken == ""
    assert len(look(copy).rows) == 30
    with closing(sqlite3.connect(copy)) as conn:
        (page,) = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'due'").fetchone()
    with copy.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    assert at_a_kill(look(copy))[0].startswith("the queue is damaged: ")
