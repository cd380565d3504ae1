"""The parts of the demo, each for itself: the exchange, the review, the words, the picture."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from speechsense_watch.core import wav
from speechsense_watch.core.model import Job, Place, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.demo.pbx import Pbx, Said, Taped
from speechsense_watch.demo.picture import Lines, LivePicture, Row, drawing, picture_for
from speechsense_watch.demo.review import Facts, differences
from speechsense_watch.demo.scene import CAST, Call, Way
from speechsense_watch.demo.stage import FOLDER
from speechsense_watch.demo.words import FINISHED, words_of
from speechsense_watch.standin import StoredTalk

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SENT = [call for call in CAST if call.is_sent]


# --- the exchange -----------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Pbx]:
    """An exchange that is through with all its calls."""
    with closing(Pbx(tmp_path, CAST, NOW)) as pbx:
        for second in range(60):
            pbx.step(second)
        assert pbx.done
        yield pbx


def look_at(path: Path) -> wav.WavVerdict:
    data = path.read_bytes()
    return wav.inspect(lambda offset, count: data[offset : offset + count], len(data))


def test_growing_call(tmp_path: Path) -> None:
    """A call that goes on grows, and its header says nothing of its length until it is closed."""
    (call,) = (call for call in CAST if call.way is Way.GROWING)
    with closing(Pbx(tmp_path, [call], NOW)) as pbx:
        sizes = []
        for second in range(call.length_s):
            pbx.step(call.at_s + 2.0 * second)
            assert isinstance(look_at(pbx.audio_path(call)), wav.Unfinished)
            sizes.append(pbx.audio_path(call).stat().st_size)
        pbx.step(60)
        finished = look_at(pbx.audio_path(call))
    assert sizes == sorted(set(sizes))
    assert isinstance(finished, wav.Finished)
    assert finished.format.duration_s == call.length_s


def test_slow_machine(tmp_path: Path) -> None:
    """However late it is, a call grows by one piece at a time."""
    (call,) = (call for call in CAST if call.way is Way.GROWING)
    with closing(Pbx(tmp_path, [call], NOW)) as pbx:
        pbx.step(50)
        assert not pbx.done
        assert isinstance(look_at(pbx.audio_path(call)), wav.Unfinished)


def test_calls_are_what_they_should_be(recorded: Pbx) -> None:
    """Whole calls are whole, the one cut short lacks audio, the unanswered one has none, and no two are the same."""
    expected = {Way.CUT_SHORT: wav.Unfinished, Way.UNANSWERED: wav.NoAudio}
    for call in CAST:
        assert isinstance(look_at(recorded.audio_path(call)), expected.get(call.way, wav.Finished))
        assert recorded.metadata_path(call).exists() == (call.way is not Way.UNANSWERED)
    assert len({recorded.audio_path(call).read_bytes()[44:1044] for call in CAST}) == len(CAST)


# --- the review -------------------------------------------------------------------------------


def job_of(call: Call, **changes: object) -> Job:
    """How the call's job should look at the end."""
    job = Job(
        id=1,
        state=call.ends,
        place=Place(FOLDER, f"{call.name}.wav"),
        audio_path=f"{call.name}.wav",
        metadata_path=f"{call.name}.json",
        connection_id="demo-connection",
        created_at=NOW,
        updated_at=NOW,
        recorded_at=NOW,
        talk_id=f"talk-{call.name}" if call.is_sent else None,
        attempts=call.refusals,
        claims=call.refusals + 1,
        reason=call.reason,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def talk_of(call: Call, pbx: Pbx, **changes: object) -> StoredTalk:
    taped = pbx.taped[call.name]
    talk = StoredTalk(
        talk_id=f"talk-{call.name}",
        connection_id="demo-connection",
        fields=taped.fields,
        sha256=taped.audio_sha256,
        size_bytes=0,
        how=call.how,
        request_id="",
        stored_at=NOW,
        audio_path=pbx.audio_path(call),
    )
    return replace(talk, **changes)  # type: ignore[arg-type]


@pytest.fixture
def facts(recorded: Pbx) -> Facts:
    """All as it should be."""
    return Facts(
        cast=CAST,
        jobs={call.name: job_of(call) for call in CAST},
        taped=recorded.taped,
        audio={call.name: recorded.audio_path(call) for call in CAST},
        talks=[talk_of(call, recorded) for call in SENT],
    )


FIRST = SENT[0]
REFUSED = next(call for call in CAST if call.refusals)


def with_job(facts: Facts, call: Call, **changes: object) -> Facts:
    return replace(facts, jobs={**facts.jobs, call.name: job_of(call, **changes)})


def with_talk(facts: Facts, **changes: object) -> Facts:
    return replace(facts, talks=[replace(facts.talks[0], **changes), *facts.talks[1:]])  # type: ignore[arg-type]


def without(jobs: Mapping[str, Job], name: str) -> dict[str, Job]:
    return {key: job for key, job in jobs.items() if key != name}


def touched(facts: Facts) -> Facts:
    facts.audio[FIRST.name].write_bytes(b"touched")
    return facts


def stray(facts: Facts) -> Facts:
    return replace(facts, talks=[*facts.talks, replace(facts.talks[0], talk_id="other", sha256="of another call")])


def test_all_well(facts: Facts) -> None:
    """Nothing differs when each side tells the same story."""
    assert differences(facts) == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda facts: replace(facts, jobs=without(facts.jobs, FIRST.name)), "no record of it"),
        (lambda facts: with_job(facts, FIRST, state=State.UPLOADED), "should have ended as done, but it is uploaded"),
        (lambda facts: with_job(facts, CAST[-1], reason=Reason.TOO_SHORT), "skipped (no_audio), but it is skipped (too_short)"),
        (lambda facts: with_job(facts, REFUSED, attempts=1), "should have failed twice, but did once"),
        (lambda facts: with_job(facts, FIRST, possible_duplicate=True), "may have been sent twice"),
        (lambda facts: with_job(facts, FIRST, talk_id="made up"), "does not know its talk id"),
        (lambda facts: with_talk(facts, fields={}), "other metadata"),
        (lambda facts: with_talk(facts, how="stream"), "came as stream"),
        (lambda facts: with_talk(facts, audio_path=facts.audio[CAST[-1].name]), "other audio"),
        (touched, "not what the exchange wrote"),
        (lambda facts: replace(facts, talks=[*facts.talks, facts.talks[0]]), "should have it once, but has it twice"),
        (lambda facts: replace(facts, talks=facts.talks[1:]), "should have it once, but has it never"),
        (stray, "1 more than the exchange recorded"),
    ],
)
def test_differences(facts: Facts, broken: Callable[[Facts], Facts], says: str) -> None:
    """Whatever is not as it should be is said in a sentence."""
    assert says in " ".join(differences(broken(facts)))


# --- the words --------------------------------------------------------------------------------

ENDS = {State.DONE, State.SKIPPED, State.UNUSABLE, State.REFUSED, State.LOST}


@pytest.mark.parametrize("state", State)
def test_finished_states(state: State) -> None:
    """A call counts as finished only when the daemon has nothing left to do with it; a talk id alone is not the end."""
    assert (words_of(job_of(FIRST, state=state, reason=None), written=True).step == FINISHED) == (state in ENDS)


# --- the picture ------------------------------------------------------------------------------

LONGEST_SAID = max((f"recorded {9} min 59 s", "hung up after 5 s", "2 min 30 s, moved in"), key=len)


def every_row() -> list[Row]:
    """Every state that a call of the demo can be in, with the longest words of the exchange."""
    call = REFUSED
    jobs = [None, *(job_of(call, state=state, reason=None, talk_id=None) for state in State)]
    waits = (Reason.METADATA_MISSING, Reason.AUDIO_MISSING, Reason.HEADER_UNFINISHED, Reason.SHORTER_THAN_HEADER)
    jobs += [job_of(call, state=State.WAITING, reason=reason, talk_id=None) for reason in waits]
    jobs += [job_of(call) for call in CAST]
    longest = max((call.name for call in CAST), key=len)
    return [Row(longest, Said(LONGEST_SAID), words_of(job, written=True)) for job in jobs]


def drawn(rows: list[Row], width: int, **options: bool) -> str:
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=True, color_system="standard", **options)  # type: ignore[arg-type]
    console.print(drawing(rows, 3.0, wide=width >= 110))
    return output.getvalue()


def test_fits_into_80_columns() -> None:
    """On a terminal of 80 columns nothing is cut off, and all of the scene has room in 24 lines."""
    assert "…" not in drawn(every_row(), 80)
    rows = [Row(call.name, Said(LONGEST_SAID), words_of(job_of(call), written=True)) for call in CAST]
    assert drawn(rows, 80).count("\n") <= 24 - 4


def test_wide_terminals_show_talk_ids() -> None:
    """Where there is room the talk ids stand in the live picture too."""
    rows = [Row("a", Said("recorded"), words_of(job_of(FIRST), written=True), "talk-1")]
    assert "talk-1" in drawn(rows, 130)
    assert "talk-1" not in drawn(rows, 80)


def test_no_color() -> None:
    """With NO_COLOR there are no colours, though there may be bold."""
    colours = re.compile(r"\x1b\[(?:\d;)*3\d")
    assert colours.search(drawn(every_row(), 80))
    assert not colours.search(drawn(every_row(), 80, no_color=True))


def test_live_picture_leaves_the_terminal_in_order() -> None:
    """The table lives while it is shown; at the end the cursor is visible again."""
    output = io.StringIO()
    with LivePicture(Console(file=output, width=80, force_terminal=True, color_system="standard")) as picture:
        picture.show(every_row(), 1.0)
        picture.show(every_row(), 2.0)
    assert output.getvalue().rindex("\x1b[?25h") > output.getvalue().rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("terminal", "name", "kind"), [(True, "xterm", LivePicture), (True, "dumb", Lines), (False, "xterm", Lines)]
)
def test_picture_fits_the_output(monkeypatch: pytest.MonkeyPatch, terminal: bool, name: str, kind: type[object]) -> None:  # noqa: FBT001
    """Only a terminal that can be drawn on gets the live table."""
    monkeypatch.setenv("TERM", name)
    assert isinstance(picture_for(Console(file=io.StringIO(), force_terminal=terminal)), kind)


def test_lines_only_for_news() -> None:
    """The plain picture says each thing once."""
    output = io.StringIO()
    rows = [Row("in-201", Said("on the phone", "1 s"), words_of(None, written=True))]
    with Lines(Console(file=output, width=200)) as picture:
        picture.show(rows, 1.0)
        picture.show([replace(rows[0], said=Said("on the phone", "2 s"))], 2.0)
        picture.show([replace(rows[0], words=words_of(job_of(FIRST), written=True), talk_id="talk-1")], 3.0)
    assert output.getvalue().splitlines() == [
        "  1.0 s  in-201.wav  PBX: on the phone",
        "  1.0 s  in-201.wav  daemon: lets it settle for 1 s",
        "  3.0 s  in-201.wav  daemon: in SpeechSense, talk id talk-1",
        "",
    ]


def test_taped_is_what_lies_there(recorded: Pbx) -> None:
    """What the exchange says it recorded is what lies in its folder."""
    for call in CAST:
        audio = recorded.audio_path(call).read_bytes()
        assert recorded.taped[call.name] == Taped(hashlib.sha256(audio).hexdigest(), recorded.taped[call.name].fields)
