"""The picture of one recording that is on record: facts, what may be typed, fields, tries and history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from speechsense_watch.cli.as_json import absolute
from speechsense_watch.cli.screen import command
from speechsense_watch.cli.unrecorded import Report
from speechsense_watch.cli.words import (
    COLORS,
    audio_in_words,
    clock_time,
    due,
    event_in_words,
    printable,
    size_in_words,
    state_in_words,
    suspicion,
    typed,
    verdict_in_words,
    when,
)
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.taking import is_suspect
from speechsense_watch.core.verdict import Kind
from speechsense_watch.edge.records import AttemptRow, EventRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is told of one recording. `held`: why it is not tried although it is due, empty when nothing stands in its way.
    `alone`: the folder's recordings have no metadata files. `looked_up`: the daemon finds out by itself what became of it.
    """

    job: Job
    others: Sequence[Job]
    roots: Mapping[str, str]
    held: str
    alone: bool
    looked_up: bool
    waits_for: Report | None
    attempts: Sequence[AttemptRow]
    events: Sequence[EventRow]
    orphans: Sequence[str] = ()


def picture_of(story: Story, now: datetime, config_path: Path | None) -> RenderableType:
    job = story.job
    parts: list[RenderableType] = [_heading(story, now), _facts(story, now)]
    if (report := story.waits_for) is not None:
        told = (job.message, job.hint)
        parts.append(sentences(Missing=_but(report.missing, told), Next=_but(report.next, told)))
    if advice := list(_advice(story, config_path)):
        parts.append(Group(*advice))
    if job.fields:
        parts.append(_fields(job.fields))
    if story.attempts:
        parts.append(_attempts(story.attempts))
    if story.events:
        parts.append(_events(story.events))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1])


def _but(told: Sequence[str], before: Sequence[str | None]) -> Sequence[str]:
    return [sentence for sentence in told if sentence not in before]


def _heading(story: Story, now: datetime) -> RenderableType:
    job = story.job
    words = Text.assemble((f"Recording {job.id}: ", "bold"), (state_in_words(job, now), COLORS[job.state] or "bold"))
    lines: list[RenderableType] = [words]
    if job.message:
        lines.append(Text(printable(job.message)))
    if job.hint and not story.looked_up:
        lines.append(Text(printable(job.hint), style="dim"))
    return Group(*lines)


def sentences(**named: Sequence[str]) -> RenderableType:
    """Each name with its sentences, a line each; nothing for those that have none."""
    grid = _grid()
    for name, sentences in named.items():
        for number, sentence in enumerate(sentences):
            grid.add_row(name if number == 0 else "", printable(sentence))
    return grid


def _next_try(job: Job, now: datetime, *, held: str) -> str | None:
    if held:
        return f"not now. {held}"
    return f"{clock_time(job.next_attempt_at)} ({due(now, job.next_attempt_at)})" if job.next_attempt_at else None


def _facts(story: Story, now: datetime) -> RenderableType:
    job, folder, roots = story.job, story.job.place.folder, story.roots
    no_metadata = "in no file of its own" if story.alone else "not there yet"
    facts = {
        "State": f"{job.state.value}, since {_moment(job.updated_at, now)}",
        "Talk id": job.talk_id,
        "Beside it": f"{', '.join(story.orphans)}: left by other tries, see `orphans`" if story.orphans else None,
        "Audio": absolute(folder, job.audio_path, roots) or "not there yet",
        "": audio_in_words(job),
        "Metadata": absolute(folder, job.metadata_path, roots) or no_metadata,
        "Moved to": job.filed_to,
        "and": job.metadata_filed_to,
        "Folder": folder,
        "Connection": job.connection_id,
        "Recorded": _moment(job.recorded_at, now),
        "Found": _moment(job.created_at, now),
        "Next try": _next_try(job, now, held=story.held),
        "Tries": f"{job.attempts} charged to it" if job.attempts else None,
        "Deaths": suspicion(job).capitalize() if is_suspect(job) else None,
        "Duplicate of": str(job.duplicate_of) if job.duplicate_of else None,
        "Beware": "SpeechSense may have it twice" if job.possible_duplicate else None,
        "Files gone": _moment(job.gone_at, now) if job.gone_at else None,
        "Identity": job.uid,
        "Here earlier": ", ".join(str(other.id) for other in story.others),
    }
    grid = _grid()
    for name, fact in facts.items():
        if fact:
            grid.add_row(name, printable(fact))
    return grid


def _moment(at: datetime, now: datetime) -> str:
    return f"{clock_time(at)} ({when(now, at)})"


_ADVICE = {
    State.WAITING: [("skip {id}", "leaves it out for good")],
    State.READY: [("retry {id}", "tries it at once"), ("skip {id}", "leaves it out")],
    State.UNCONFIRMED: [
        ("resolve {id} --uploaded TALK-ID", "SpeechSense has it"),
        ("resolve {id} --resend", "SpeechSense does not have it"),
        ("skip {id}", "leaves it as it is"),
    ],
    State.REFUSED: [("retry {id}", "tries again, when it is mended"), ("skip {id}", "leaves it out")],
    State.UNUSABLE: [("retry {id}", "reads it again; a changed file is read by itself"), ("skip {id}", "leaves it out")],
    State.SKIPPED: [("retry {id}", "sends it all the same")],
    State.LOST: [("skip {id}", "clears the alarm")],
}
_CHANGED = [("retry {id}", "sends what lies there now as well"), ("skip {id}", "leaves SpeechSense as it is")]


def _advice(story: Story, config_path: Path | None) -> Iterator[RenderableType]:
    """What the operator may type now."""
    job = story.job
    commands = _CHANGED if job.changed_after_upload else _ADVICE.get(job.state, [])
    if job.reason is Reason.FORGOTTEN:
        commands = []  # `retry` would read it, and leave it out again
    if job.state is State.READY and story.held:
        commands = [each for each in commands if not each[0].startswith("retry")]
    if commands:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for line, effect in commands:
            text = typed("speechsense-watch " + line.format(id=job.id), config_path)
            grid.add_row(Text("->", style="dim"), command(printable(text)), Text(effect, style="dim"))
        yield grid


def _fields(fields: Mapping[str, str]) -> RenderableType:
    grid = _grid()
    for name, value in sorted(fields.items()):
        grid.add_row(Text(printable(name), style="default not bold"), printable(value))
    return Group(Text("What is sent with it", style="bold"), Padding(grid, (0, 0, 0, 2)))


def _attempts(attempts: Sequence[AttemptRow]) -> RenderableType:
    table = _history("NO", "BEGUN", "TOOK", "END")
    for attempt in attempts:
        took, end = "", Text("under way", style="cyan")
        if attempt.ended_at:
            took = f"{max(0.0, (attempt.ended_at - attempt.started_at).total_seconds()):.1f} s"
            end = _end(attempt)
        table.add_row(str(attempt.n), clock_time(attempt.started_at), took, end)
    return Group(Text("Tries", style="bold"), Padding(table, (0, 0, 0, 2)))


def _end(attempt: AttemptRow) -> Text:
    """How it ended, and what Yandex's support asks for."""
    said = ": ".join(part for part in (attempt.code, attempt.message) if part)
    words = verdict_in_words(attempt.verdict or "")
    end = Text(printable(f"{words}: {said}" if said and attempt.verdict != Kind.ACCEPTED else words))
    sent = f"{size_in_words(attempt.bytes_sent or 0)} sent, " if attempt.bytes_sent else ""
    end.append(f"\n{sent}request {printable(attempt.request_id)}", style="dim")
    if attempt.server_request_id:
        end.append(f", at the service {printable(attempt.server_request_id)}", style="dim")
    return end


def _events(events: Sequence[EventRow]) -> RenderableType:
    table = _history("AT", "EVENT", "STATE", "DETAIL")
    for event in events:
        state = Text(event.to_state, style=COLORS.get(State(event.to_state), "") if event.to_state in set(State) else "")
        table.add_row(clock_time(event.at), event_in_words(event.event), state, Text(printable(event.detail), style="dim"))
    return Group(Text("History", style="bold"), Padding(table, (0, 0, 0, 2)))


def _history(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns[:-1]:
        table.add_column(name)
    table.add_column(columns[-1], overflow="fold")
    return table


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid
