"""docs/lifecycle.md tells what the code does: every state, every edge, every reason, none too many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import pytest

from speechsense_watch.core.edges import EDGES, Event
from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import HINTS, Reason
from support.sources import REPOSITORY

PAGE = REPOSITORY / "docs" / "lifecycle.md"
Edge = tuple[str, str, str]


def rows(heading: str, text: str | None = None) -> list[list[str]]:
    """The cells of the table below that heading, without its head."""
    page = PAGE.read_text(encoding="utf-8") if text is None else text
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert section, f"there is no heading {heading!r}"
    lines = [line for line in section[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", cell)


def told_edges(text: str | None = None) -> list[Edge]:
    """Every edge the table of events tells, as (event, from, to)."""
    return [
        (event, source, target)
        for name, sources, target_cell, _, _ in rows("The events", text)
        for event, source, target in product(words(name), words(sources) or [""], words(target_cell))
    ]


def real_edges() -> Iterator[Edge]:
    yield (Event.FOUND.value, "", State.WAITING.value)
    for event, targets in EDGES.items():
        for source, target in targets.items():
            yield (event.value, source.value, target.value)


def test_the_table_of_events_is_the_code() -> None:
    """Each edge is told once; none is missing and none is made up."""
    told = told_edges()
    assert sorted(told) == sorted(set(told))
    assert set(told) - set(real_edges()) == set()
    assert set(real_edges()) - set(told) == set()


def test_every_event_says_who_and_why() -> None:
    """In words, with a full stop."""
    for event, _, target, who, why in rows("The events"):
        assert words(event)[0] in list(Event)
        assert len(words(target)) == 1
        assert re.search("intake|uploader|confirmer|filer|you", who), event
        assert why.endswith("."), event


def test_every_state_is_told() -> None:
    """What it means and what a crash leaves, in the order of the code."""
    table = rows("The states")
    assert [words(state)[0] for state, _, _ in table] == [state.value for state in State]
    assert all(meaning and crash for _, meaning, crash in table)


def test_what_a_crash_leaves_is_what_a_start_makes_of_it() -> None:
    """Only two states are not simply the same afterwards."""
    left = {words(state)[0]: words(crash) for state, _, crash in rows("The states")}
    assert {state: told for state, told in left.items() if told} == {"uploading": ["ready"], "committing": ["unconfirmed"]}
    assert EDGES[Event.GIVEN_BACK][State.UPLOADING] is State.READY
    assert EDGES[Event.OUTCOME_UNKNOWN][State.COMMITTING] is State.UNCONFIRMED


def test_every_arrow_of_the_picture_is_an_edge() -> None:
    """It may leave some out, but no state."""
    picture = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert picture
    arrows = set(re.findall(r"^ +(\w+) --> (\w+)", picture[1], re.MULTILINE))
    edges = {(source, target) for _, source, target in real_edges()}
    assert arrows <= edges
    assert {state for arrow in arrows for state in arrow} == {state.value for state in State}


def test_every_reason_is_told_with_what_to_do() -> None:
    """The same sentence that `status` and `show` give."""
    assert [(words(reason)[0], do) for reason, do in rows("The reasons")] == [(reason.value, HINTS[reason]) for reason in Reason]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| `filed` | `uploaded` | `done` |", "| `filed` | `uploaded` | `ready` |"),
        ("| `failed` | `ready` `uploading` |", "| `failed` | `uploading` |"),
        ("| `adopted` | `ready` `waiting` |", "| `adopted` | `ready` |"),
        ("| `found` | |", "| `found` | `ready` |"),
    ],
)
def test_a_table_that_says_something_else_is_noticed(old: str, new: str) -> None:
    """One edge missing, one too many, one to another state."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(old) == 1
    assert set(told_edges(text.replace(old, new))) != set(real_edges())
