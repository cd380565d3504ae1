"""The points at which the torture kills are held against the code: what outlives the process is one of them, or named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import speechsense_watch
import torture
from speechsense_watch.edge.doubts import SqliteDoubts
from torture import passing
from torture.points import Plan, Points, visited

SHIPPED = Path(speechsense_watch.__file__).parent
# What lasts: by these calls, and by a COMMIT.
LASTING = frozenset(
    {"fsync", "fdatasync", "rename", "rename_without_replacing", "unlink", "hardlink_to", "pwrite", "posix_fallocate"}
)
# Where the daemon writes, and how it is killed there.
PASSED = {
    "edge/queue_file.py": "before and after each COMMIT, by what it writes",
    "edge/schema.py": "before and after the migrations",
    "edge/journal.py": "around and within a line, around the removal of lines",
    "edge/filing.py": "around each call",
    "edge/ballast.py": "around its making and its end",
    "edge/in_hand.py": "around the note, which is one write",
}
# What the daemon does not do, or what nothing depends on.
ELSEWHERE = {
    "edge/copies.py": "restore: killed at every step by tests/edge/test_copies.py",
    "edge/archived.py": "forget: the last file of a call that is to go anyway",
    "edge/atomic.py": "a rename is all or nothing",
    "edge/shared_claims.py": "a note on a network share, written anew every minute",
    "edge/lock.py": "a number for the reader; the lock itself is flock(2)",
}


def lasting(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in LASTING:
            yield node.attr
        elif isinstance(node, ast.Constant) and node.value == "COMMIT":
            yield "COMMIT"


def test_whatever_lasts_is_passed_or_named() -> None:
    """A new place that writes needs a line above, and a point."""
    found = {
        str(path.relative_to(SHIPPED)) for path in (SHIPPED / "edge").rglob("*.py") if any(lasting(ast.parse(path.read_text())))
    }
    assert found == PASSED.keys() | ELSEWHERE.keys()


def test_each_writer_of_the_queue_is_a_point_of_its_own(tmp_path: Path) -> None:
    """Else the first two of them would be the only ones at which anybody dies."""
    now, visits = datetime(2026, 5, 1, tzinfo=UTC), tmp_path / "visits"
    make = passing._queue_class(Points(Plan(visits=str(visits))))
    with closing(make(tmp_path / "queue.db")) as queue:
        queue.first_watched("calls", "/in", now)
        queue.set_runtime("paused", [])
        queue.set_runtime("look_ups", {})
        queue.history.begin("a", now)
        SqliteDoubts(queue).add_orphan(1, "conn", "talk", "u-1", now, whole=False)
    writers = [name.removeprefix("before COMMIT of ") for name, _ in sorted(visited(visits)) if name.startswith("before")]
    assert [writer.partition(",")[0] for writer in writers] == [
        "History.begin",
        "History.begin",
        "History.first_watched",
        "SqliteDoubts.add_orphan",
        "runtime look_ups",
        "runtime paused",
    ]


def test_the_map_of_the_torture_names_what_there_is() -> None:
    """No more and no less: it is where a newcomer begins."""
    lines = [line for line in (torture.__doc__ or "").splitlines() if line.startswith("    ")]
    named = {word.split()[0] for line in lines for word in (line, *line.split(";  ")[1:])}
    assert named == {path.stem for path in Path(torture.__path__[0]).glob("*.py")} - {"__init__"}
