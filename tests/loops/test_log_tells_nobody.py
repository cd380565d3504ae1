"""Whatever lies in the folder and whatever the service says, the log names no caller and no operator."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from speechsense_watch.core.rules import Order, UploadRules
from speechsense_watch.core.verdict import Code, Outcome
from support.bad_inputs import write_bad_inputs, write_healthy
from support.bench import Bench, bench_on
from support.rig import FIELDS

NAME, NUMBER = "Верещагина Аполлинария", "79161234567"
PERSONAL = {**FIELDS, "operator_name": NAME, "client_name": f"+7 916 123-45-67 {NAME}", "client_id": NUMBER}
# FreePBX puts the caller's number into the name of the file.
FREEPBX = f"out-{NUMBER}-201-20250424-143419-1745493259.123"


def tells(bench: Bench) -> list[str]:
    """What of the call stands in the log."""
    log = bench.log.getvalue()
    return [secret for secret in (NAME, NAME.upper(), NUMBER, "123-45-67", "Верещагина") if secret in log]


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(code=Code.INVALID_ARGUMENT, message=f"operator_name '{NAME}' of {NUMBER} is not known", committed=True),
        Outcome(code=Code.UNAUTHENTICATED, message=f"Not for {NAME.upper()}: {NUMBER}"),
        Outcome(code=Code.PERMISSION_DENIED, message=f"{NAME} may not call +7 916 123-45-67"),
        Outcome(code=Code.UNAVAILABLE, message=f"upstream lost {{'client_id': '{NUMBER}', 'name': '{NAME}'}}"),
        Outcome(code=Code.INTERNAL, message=NAME),
    ],
    ids=lambda outcome: outcome.code,
)
def test_a_service_that_repeats_what_it_was_sent(tmp_path: Path, outcome: Outcome) -> None:
    """Be it a refusal, a pause or many of them; the operator sees all of it with `show`."""
    with bench_on(tmp_path, UploadRules(concurrency=1, order=Order.OLDEST)) as bench:
        for number in range(6):
            bench.drop(f"{FREEPBX}-{number}", seed=number, fields=PERSONAL)
        bench.settle()
        bench.service.script = [outcome] * 30
        for _ in range(12):
            bench.send(61)
        assert bench.service.calls
        assert bench.log.getvalue().count("attempt_finished") > 1
        assert tells(bench) == []
        if outcome.code is Code.INVALID_ARGUMENT:
            assert any(NAME in job.message for job in bench.jobs())
            assert "[operator_name]" in bench.log.getvalue()  # of the pause for many refusals


def test_hostile_files_named_and_filled_with_people(tmp_path: Path) -> None:
    """Every bad input there is, each with a caller in its name and in its metadata where that can be written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    with bench_on(tmp_path) as bench:
        write_bad_inputs(bench.folder_path, outside)
        write_healthy(bench.folder_path)
        for path in sorted(bench.folder_path.iterdir()):
            name = f"{FREEPBX}-{NAME}-{path.name}"
            small = path.is_file() and not path.is_symlink() and path.stat().st_size < 2**20
            if small and len(os.fsencode(name)) < 255:
                text = path.read_bytes().replace("Анна".encode(), NAME.encode()).replace(b"Client", NUMBER.encode())
                path.unlink()
                (bench.folder_path / name).write_bytes(text)
        bench.settle()
        bench.look(bench.folder.abandon_after_s)
        bench.look(bench.folder.quiet_period_s)
        assert bench.log.getvalue().count("recording_unusable") > 100
        assert tells(bench) == []


def test_a_fault_of_ours_that_carries_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback says where, not whose."""
    with bench_on(tmp_path) as bench:
        bench.drop(FREEPBX, fields=PERSONAL)

        def broken(raw: bytes, *_: object, **__: object) -> object:
            raise KeyError(json.loads(raw)["operator_name"])

        monkeypatch.setattr("speechsense_watch.recording.gather", lambda _folder, _path, raw, _sources: broken(raw))
        bench.settle()
        assert "KeyError: [hidden]" in bench.log.getvalue()
        assert tells(bench) == []
