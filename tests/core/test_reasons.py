"""core.reasons: a closed list; every reason says what to do and is met somewhere."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from speechsense_watch.core.model import Problem
from speechsense_watch.core.reasons import HINTS, Reason
from support.sources import PACKAGE, modules

# They only tell of reasons that others gave.
_TELLING = ("core/reasons.py", "core/attention.py", "cli/", "demo/", "ending.py", "edge/records.py")


@cache
def _given() -> set[str]:
    """The members of Reason that the deciding code names."""
    found: set[str] = set()
    for path in modules():
        if not path.relative_to(PACKAGE).as_posix().startswith(_TELLING):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
                    found.add(node.attr)
    return found


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_to_do(reason: Reason) -> None:
    """In a sentence of its own, also where that is nothing."""
    hint = Problem(reason, "").hint
    assert hint == HINTS[reason]
    assert hint[0].isupper() or hint[0] == "`"
    assert hint.endswith((".", "?"))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_given_somewhere(reason: Reason) -> None:
    """One that no code gives is a promise that nothing keeps."""
    assert reason.name in _given()


def test_no_code_names_a_reason_that_is_not_there() -> None:
    """The scan sees real members only, so a misspelt one would be found here."""
    assert _given() <= set(Reason.__members__)


@pytest.mark.parametrize("reason", Reason)
def test_the_word_of_a_reason_is_its_name(reason: Reason) -> None:
    """Scripts are written against it."""
    assert reason.value == reason.name.lower()
