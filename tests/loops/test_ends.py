"""How attempts end in the uploader: many are recorded by one write, and each as its folder wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.rules import AfterUpload, OnUnknown, UploadRules
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.ports import Arrival
from support.bench import ACCEPT, Bench, bench_on

FILING = [AfterUpload.ARCHIVE, AfterUpload.DELETE]
ACCEPTED = ["found", "completed", "committing", "accepted"]


def writes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many recordings each write is for, from now on."""
    together: list[int] = []
    real = bench.queue.apply_each

    def counted(arrivals: Sequence[Arrival]) -> Sequence[Job | None]:
        together.append(len(arrivals))
        return real(arrivals)

    monkeypatch.setattr(bench.queue, "apply_each", counted)
    return together


def ready(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.drop(f"call{number}", seed=number)
    bench.settle()


def test_several_ends_are_recorded_by_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever each of them is."""
    with bench_on(tmp_path, UploadRules(concurrency=4)) as bench:
        ready(bench, 4)
        together = writes(bench, monkeypatch)
        refusal = Outcome(code=Code.INVALID_ARGUMENT, message="no date", committed=True)
        bench.service.script = [ACCEPT, refusal, Outcome(code=Code.ABORTED, committed=True), ACCEPT]
        bench.send()
        assert together == [4]
        assert sorted(job.state for job in bench.jobs()) == [State.DONE, State.DONE, State.REFUSED, State.UNCONFIRMED]
        assert (bench.uploader.accepted, bench.uploader.doubtful, bench.uploader.busy) == (2, 1, 0)


def test_an_end_whose_row_was_changed_holds_up_none_of_the_others(tmp_path: Path) -> None:
    """It is told with its talk id, which is nowhere else then."""
    with bench_on(tmp_path, UploadRules(concurrency=3), on_unknown=OnUnknown.HOLD) as bench:
        ready(bench, 3)
        bench.uploader.step()
        changed = bench.job("call1.wav")
        bench.queue.apply(lifecycle.recovered(changed, bench.clock.now()))
        bench.uploader.step()
        assert [bench.job(f"call{number}.wav").state for number in range(3)] == [State.DONE, State.UNCONFIRMED, State.DONE]
        assert "attempt_stale" in bench.log.getvalue()


def test_files_that_stay_are_done_with_the_answer(tmp_path: Path) -> None:
    """Nobody has to look at them again; the history tells both."""
    with bench_on(tmp_path, after_upload=AfterUpload.KEEP) as bench:
        ready(bench, 1)
        bench.send()
        job = bench.job("call0.wav")
        assert (job.state, job.talk_id, job.next_attempt_at) == (State.DONE, "talk-1", None)
        assert bench.events(job.id) == [*ACCEPTED, "filed"]
        assert (bench.uploader.accepted, bench.uploader.unfiled) == (1, 0)
        assert "talk-1" in (tmp_path / "queue.db.journal").read_text()


@pytest.mark.parametrize("after_upload", FILING)
def test_files_that_are_to_be_put_away_are_the_filers(tmp_path: Path, after_upload: AfterUpload) -> None:
    """Done when that is done, not with the answer."""
    with bench_on(tmp_path, after_upload=after_upload, archive_to=str(tmp_path / "archive")) as bench:
        ready(bench, 1)
        bench.send()
        job = bench.job("call0.wav")
        assert (job.state, job.talk_id) == (State.UPLOADED, "talk-1")
        assert bench.events(job.id) == ACCEPTED
        assert (bench.uploader.accepted, bench.uploader.unfiled) == (1, 1)
        assert (bench.folder_path / "call0.wav").exists()
        bench.file()
        assert bench.queue.counts()[State.DONE] == 1
        assert not (bench.folder_path / "call0.wav").exists()


def test_a_folder_that_is_no_longer_configured_is_the_filers(tmp_path: Path) -> None:
    """What is to be done with its files nobody knows at that moment."""
    with bench_on(tmp_path) as bench:
        ready(bench, 1)
        bench.uploader.step()
        bench.uploader.configure(bench.upload_rules, {})
        bench.uploader.step()
        assert bench.job("call0.wav").state is State.UPLOADED


def test_a_claim_goes_where_the_rules_say_now(tmp_path: Path) -> None:
    """What may have arrived, and was read anew since, is another recording: the row says where that was sent."""
    with bench_on(tmp_path) as bench:
        ready(bench, 1)
        row = bench.job("call0.wav")
        with bench.queue.transaction() as conn:
            conn.execute("UPDATE jobs SET possible_duplicate = 1, connection_id = 'old' WHERE id = ?", (row.id,))
        bench.send()
        assert bench.job("call0.wav") == replace(bench.job("call0.wav"), connection_id="conn", state=State.DONE)
        assert bench.service.sent[0][0].connection_id == "conn"
