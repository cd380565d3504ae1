"""Traces of real recorders played at the real daemon: nothing is sent early, nothing twice, nothing is left out in silence."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.standin import StandIn
from support.rig import FIELDS, Rig, toml
from support.trace_player import Player, play_together, steps_of
from support.waiting import wait_for

TRACES = Path(__file__).parents[1] / "traces"

LEGS = ["*-rx.wav", "*-tx.wav", "*-in.wav", "*-out.wav"]
ENDED = {State.DONE, State.SKIPPED, State.UNUSABLE, State.REFUSED, State.LOST}
Expectation = tuple[State, Reason | None] | None
DONE: Expectation = (State.DONE, None)
NO_AUDIO: Expectation = (State.SKIPPED, Reason.NO_AUDIO)
NOT_TAKEN: Expectation = None
# What must come of each file that a trace leaves, by the end of its name; a file that is gone again leaves no talk.
EXPECTED: dict[str, dict[str, Expectation]] = {
    "final-100": {"1795378295.0.wav": DONE},
    # The hook has removed the mix and both legs when it has made one file of them.
    "final-200": {"-stereo.wav": DONE, ".json": NOT_TAKEN},
    "final-300": {".wav": DONE, ".json": NOT_TAKEN},
    "final-500": {".wav": NO_AUDIO},
    "final-600": {".wav": DONE},
    "trace-100-Local": {"1795377220.5.wav": DONE},
    "trace-100-mixed-real-SIP-alaw": {".wav": DONE},
    # Both legs and the mix are recordings by their names; the rules of such a folder leave the legs out.
    "trace-200-legs-post": {"-rx.wav": NOT_TAKEN, "-tx.wav": NOT_TAKEN, "-stereo.wav": DONE, "9.wav": DONE, ".json": NOT_TAKEN},
    "trace-400-formats": {".WAV": DONE, ".wav16": NOT_TAKEN, ".alaw": NOT_TAKEN},
    "trace-500-unanswered": {".wav": NO_AUDIO},
    "trace-600-stop-append": {".wav": DONE},
    "trace-D-300": {".raw": NOT_TAKEN, ".wav": DONE, ".csv": NOT_TAKEN},
    "trace-S-800": {"-rx.wav": NOT_TAKEN, "-tx.wav": NOT_TAKEN, ".wav": DONE, ".csv": NOT_TAKEN},
    "trace-append-600": {".wav": DONE, ".csv": NOT_TAKEN},
    "trace-cache-crossfs-post": {
        "-rx.wav": NOT_TAKEN,
        "-tx.wav": NOT_TAKEN,
        "-stereo.wav": DONE,
        "3.wav": DONE,
        ".json": NOT_TAKEN,
    },
    "trace-cache-crossfs": {".wav": DONE, ".csv": NOT_TAKEN},
    "trace-cache-samefs": {".wav": DONE, ".csv": NOT_TAKEN},
    "trace-cdr-100.clean": {".wav": DONE, ".csv": NOT_TAKEN},
    "trace-freepbx-900": {".wav": DONE, ".csv": NOT_TAKEN},
    "trace-monitor-700": {"-in.wav": NOT_TAKEN, "-out.wav": NOT_TAKEN, ".wav": DONE, ".csv": NOT_TAKEN},
    "trace-nobridge-910": {".wav": NO_AUDIO, ".csv": NOT_TAKEN},
}


def expected(trace: str, path: str) -> Expectation:
    """By the longest end of its name that the table has."""
    ends = [end for end in EXPECTED[trace] if path.endswith(end)]
    assert ends, f"the table says nothing of {path} in {trace}"
    return EXPECTED[trace][max(ends, key=len)]


def test_every_trace_has_its_row() -> None:
    """A new trace needs its expectation."""
    assert {path.stem for path in TRACES.glob("*.txt")} == set(EXPECTED)


@pytest.mark.parametrize("trace", sorted(EXPECTED))
def test_a_call_grows_as_it_did(trace: str) -> None:
    """Every write of the recorder is played, in its order: what becomes whole in one step cannot be taken while it grows."""
    text = (TRACES / f"{trace}.txt").read_text()
    written = text.count("MODIFY  ") + sum(int(count) for count in re.findall(r"MODIFY \S+ x([0-9]+) until", text))
    steps = steps_of(TRACES / f"{trace}.txt")
    assert sum(step.event == "MODIFY" for step in steps) == written
    assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)


def test_a_call_of_three_seconds_has_its_sizes() -> None:
    """By the pace at which the recorder filled the file (format_wav writes 32 KiB at once)."""
    (trace,) = TRACES.glob("trace-200-legs-post.txt")
    grown = [(round(step.at_s, 1), step.size) for step in steps_of(trace) if step.name.endswith("-tx.wav") and step.size]
    assert grown[:6] == [(0.0, 44), (0.0, 44), (0.0, 44), (1.0, 16434), (2.0, 32824), (3.2, 51244)]


@pytest.mark.parametrize("detection", ["events", "polling"])
def test_what_recorders_really_do(tmp_path: Path, detection: str) -> None:
    """All traces side by side, in real time: growing files, closed and opened again, placeholders, moves, deleted legs."""
    with StandIn(tmp_path / "service") as standin, Rig(tmp_path, standin.port) as rig:
        rig.rules |= {"metadata": "", "connection_type": "single-channel", "exclude": LEGS, "detection": detection}
        # Longer than any pause in a trace after which a recorder goes on.
        rig.rules["quiet_period"] = "8s"
        rig.tables = "[folders.metadata_constants]\n" + toml({**FIELDS, "direction_outgoing": "true"})
        players = {trace: Player(rig.folder / trace, steps_of(TRACES / f"{trace}.txt")) for trace in EXPECTED}
        for player in players.values():
            player.directory.mkdir()
        rig.start()
        play_together(list(players.values()))
        left = {f"{trace}/{path}": data for trace, player in players.items() for path, data in player.written.items()}
        wanted = {path: end for path in left if (end := expected(*path.split("/", 1))) is not None}

        def ended() -> dict[str, Expectation]:
            return {path: (job.state, job.reason) for path, job in rig.jobs().items() if path in left and job.state in ENDED}

        wait_for(lambda: len(ended()) >= len(wanted), 30, "every recording has its end")
        assert ended() == wanted
        jobs = rig.jobs()
        # What is not there any more was not sent in the meantime.
        assert all(job.talk_id is None for path, job in jobs.items() if path not in left)
        sent = Counter(talk.sha256 for talk in standin.talks())
        assert sent == Counter(hashlib.sha256(left[path]).hexdigest() for path, end in wanted.items() if end == DONE)
        assert all(job.claims == 1 and not job.changed_after_upload for job in jobs.values() if job.talk_id)
        assert rig.stop() == 0
