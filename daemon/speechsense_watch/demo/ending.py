"""What people see at the end: each call's talk id or reason, the verdict, and what to type next."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from speechsense_watch.core.model import Job
from speechsense_watch.demo.picture import STYLES, Row
from speechsense_watch.demo.stage import Places
from speechsense_watch.demo.words import Mood

PROGRAM = "speechsense-watch"


def opening(console: Console, recordings: int) -> None:
    console.print(Text("A telephone exchange, the daemon, and a stand-in for SpeechSense", "bold"))
    console.print(
        Text(f"{recordings} calls, some with a fault. Nothing leaves this machine, nothing is billed.", "dim"),
        soft_wrap=True,
    )
    console.print()


def results(console: Console, rows: Sequence[Row], jobs: Sequence[Job | None]) -> None:
    """The table of talk ids and reasons."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Recording", no_wrap=True)
    table.add_column("Talk id, or why there is none")
    for row, job in zip(rows, jobs, strict=True):
        table.add_row(Text(f"{row.name}.wav"), _result(row, job))
    console.print(table)
    console.print()


def _result(row: Row, job: Job | None) -> Text:
    style = STYLES[row.words.mood]
    if job is None:
        return Text("The daemon has no record of it.", STYLES[Mood.BAD])
    if job.talk_id:
        tries = f"   accepted at try {job.claims}" if job.claims > 1 else ""
        return Text.assemble((job.talk_id, style), (tries, STYLES[Mood.TROUBLE]))
    return Text.assemble((job.state.value, style), f": {job.message} ", (job.hint, "dim"))


def verdict(console: Console, rows: Sequence[Row], differences: Sequence[str], took_s: float) -> None:
    """One line when all went well, else every difference."""
    if differences:
        console.print(Text("Not everything ended as it should:", "bold red"))
        for difference in differences:
            console.print(Padding(Text(difference), (0, 0, 0, 2)))
        return
    console.print(Text(f"All {len(rows)} recordings ended as they should, in {took_s:.0f} s.", "bold green"))
    moods = Counter(row.words.mood for row in rows)
    kinds = {
        Mood.GOOD: "in SpeechSense, once each and byte for byte",
        Mood.BAD: "not fit to be sent, and the daemon says why",
        Mood.LEFT_OUT: "without anything to send",
    }
    for mood, what in kinds.items():
        if moods[mood]:
            console.print(Text.assemble((f"  {moods[mood]} ", STYLES[mood]), what))


def where_next(console: Console, kept: Places | None, endpoint: str, jobs: Iterable[Job]) -> None:
    """Commands to type."""
    console.print()
    console.print(Text("Where to look next", "bold"))
    lines = _kept(kept, endpoint, jobs) if kept else _not_kept()
    width = max(len(command) for command, what in lines if what)
    for command, what in lines:
        # On one line whatever the width, so that it can be copied.
        line = Text.assemble("  ", (command.ljust(width), "cyan"), f"   {what}")
        line.rstrip()
        console.print(line, soft_wrap=True)


def _not_kept() -> list[tuple[str, str]]:
    return [
        (f"{_program()} demo --keep DIR", "the same, keeping its files"),
        (f"{_program()} check --sample", "a configuration to start from"),
        (f"{_program()} --help", "all commands"),
        ("README.md", "setting it up for real"),
    ]


def _kept(places: Places, endpoint: str, jobs: Iterable[Job]) -> list[tuple[str, str]]:
    program, config, port = _program(), _quoted(places.config), endpoint.rpartition(":")[2]
    # The one with the most to tell: every try of it is on record.
    tried_most = max(jobs, key=lambda job: job.claims, default=None)
    return [
        (f"{program} status --config {config}", "what needs you"),
        (f"{program} list --config {config}", "all recordings"),
        (f"{program} show {tried_most.id if tried_most else 1} --config {config}", "the story of one"),
        (f"ls -R {_quoted(places.directory)}", "recordings, talks, queue, log"),
        (f"less {_quoted(places.config)}", "the configuration"),
        (f"{program} check --sample", "one for your exchange"),
        ("To go on, in two terminals:", ""),
        (f"{program} standin --port {port} --dir {_quoted(places.standin)}", ""),
        (f"{program} run --config {config}", ""),
    ]


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _program() -> str:
    """The program as it can be typed here."""
    if shutil.which(PROGRAM):
        return PROGRAM
    called = Path(sys.argv[0])
    return shlex.quote(sys.argv[0]) if called.name == PROGRAM else f"{shlex.quote(sys.executable)} -m speechsense_watch"
