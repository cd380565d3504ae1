"""Whatever the queue's disk does at whichever write: what is not on record is not sent, and what was sent is not sent again."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.edge.ballast import Ballast
from speechsense_watch.ports import QueueTrouble
from support.bench import Bench, bench_on
from support.broken_disk import FULL, IO_ERROR, BrokenDisk

WAYS = {
    "whole": UploadRules(),
    "stream": UploadRules(stream_above_bytes=0, chunk_size_bytes=1000),
}


def run(bench: Bench) -> QueueTrouble | None:
    """For a quarter of an hour, a step every five seconds; what ended it before, as it ends the daemon."""
    try:
        for _ in range(180):
            bench.send(5)
    except QueueTrouble as trouble:
        return trouble
    return None


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("kind", [FULL, IO_ERROR], ids=["full", "io"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("nth", range(6))
def test_a_write_that_fails_once(tmp_path: Path, way: str, nth: int, kind: tuple[int, str, str], *, durable: bool) -> None:
    """At each write of an upload: with a full disk it goes on by itself, with one that fails a fresh start does; it is sent once
    where nothing had left, and marked where something may have.
    """
    with bench_on(tmp_path, WAYS[way]) as bench:
        bench.drop()
        bench.settle()
        disk = BrokenDisk(bench.queue, durable=durable)
        left: list[int] = []
        bench.service.meanwhile = lambda _talk: left.append(disk.commits)
        disk.fails = lambda commit: kind if commit == nth else None
        trouble = run(bench)
        if trouble is not None:
            assert trouble.fatal
            assert kind is IO_ERROR
            with pytest.raises(QueueTrouble):
                bench.queue.job(1)  # nothing more is asked of that connection
            with pytest.raises(QueueTrouble):
                bench.uploader.recover()
        else:
            assert kind is FULL or disk.commits <= nth
    with bench_on(tmp_path, WAYS[way]) as again:
        again.uploader.recover()
        again.service.sent, again.service.calls = bench.service.sent, bench.service.calls
        assert run(again) is None
        assert again.job().state is State.DONE
        doubles = len(again.service.sent) - 1
        assert doubles == 0 or (doubles == 1 and kind is IO_ERROR and again.job().possible_duplicate)


@pytest.mark.parametrize("kind", [FULL, IO_ERROR], ids=["full", "io"])
def test_a_claim_that_cannot_be_written_lets_nothing_leave(tmp_path: Path, kind: tuple[int, str, str]) -> None:
    """Not one call is begun, whole or as a stream, however long it goes on."""
    for way, rules in WAYS.items():
        directory = tmp_path / way
        directory.mkdir()
        with bench_on(directory, rules) as bench:
            bench.drop()
            bench.settle()
            BrokenDisk(bench.queue).fails = lambda _commit: kind
            trouble = run(bench)
            assert trouble is None or trouble.fatal
            assert bench.service.calls == []
            assert bench.paused() in ({"service": "queue_not_writable"}, {})


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("kind", [FULL, IO_ERROR], ids=["full", "io"])
def test_a_commit_mark_that_cannot_be_written_keeps_the_last_piece_here(
    tmp_path: Path, kind: tuple[int, str, str], *, probe: bool
) -> None:
    """Of a stream and of a probe, which is one."""
    with bench_on(tmp_path, WAYS["whole" if probe else "stream"]) as bench:
        bench.drop()
        bench.settle()
        disk = BrokenDisk(bench.queue)
        claimed: list[int] = []

        def meanwhile(_talk: object) -> None:
            claimed.append(disk.commits)
            disk.fails = lambda commit: kind if commit == claimed[-1] else None

        bench.service.meanwhile = meanwhile
        (job,) = bench.queue.in_states([State.READY])
        ended = bench.attempts.run(job, probe=probe)
        assert [how for how, _ in bench.service.calls] == ["probe" if probe else "stream"]
        assert bench.service.sent == []
        assert ended.outcome is not None
        assert ended.outcome.halt == "not_recorded"
        if kind is FULL:
            assert bench.job().state is State.UPLOADING
        else:
            with pytest.raises(QueueTrouble):
                bench.job()


def test_what_the_service_asked_for_is_waited_for_after_a_full_disk_too(tmp_path: Path) -> None:
    """One recording is answered with a plea to wait, the commit mark of the other finds no room; then there is room again."""
    with bench_on(tmp_path, WAYS["stream"]) as bench:
        for number in range(2):
            bench.drop(f"call{number}", seed=number)
        bench.settle()
        disk = BrokenDisk(bench.queue)
        failing: list[int] = []

        def meanwhile(_talk: object) -> None:
            if len(bench.service.calls) == 2:
                failing.append(disk.commits)

        bench.service.meanwhile = meanwhile
        disk.fails = lambda commit: FULL if commit in failing else None
        bench.service.script = [Outcome(code=Code.RESOURCE_EXHAUSTED, message="quota", retry_after_s=300.0)]
        bench.send()
        assert bench.paused() == {"service": "queue_not_writable"}
        bench.send(6)
        assert bench.paused() == {"service": "quota"}
        bench.send(290)
        assert len(bench.service.calls) == 2
        bench.send(60)
        bench.send(1)
        assert {job.state for job in bench.jobs()} == {State.DONE}


def test_the_end_of_what_was_under_way_has_the_ballast(tmp_path: Path) -> None:
    """Given up for it when there is no room, and for nothing else: the next recording's claim finds none."""
    with bench_on(tmp_path) as bench:
        bench.queue._ballast = Ballast(tmp_path / "queue.db", renews=True)
        bench.drop()
        bench.settle()
        bench.queue.make_ready()
        disk = BrokenDisk(bench.queue)
        ballast = bench.queue._ballast.path
        real = bench.queue._ballast.make_sure_of_room
        full: list[bool] = []

        def no_room() -> None:
            if full:
                raise OSError(28, "No space left on device")
            real()

        bench.queue._ballast.make_sure_of_room = no_room  # type: ignore[method-assign]

        def meanwhile(_talk: object) -> None:
            full.append(True)
            disk.fails = lambda _commit: FULL if ballast.exists() else None

        bench.service.meanwhile = meanwhile
        bench.send()
        assert bench.job().state is State.DONE
        assert not ballast.exists()
        bench.service.meanwhile = lambda _talk: None
        with pytest.raises(QueueTrouble, match="is full"):
            bench.queue.set_runtime("anything", 1)
        bench.send(5)
        assert bench.paused() == {"service": "queue_not_writable"}
        disk.fails = lambda _commit: None
        full.clear()
        bench.send(6)
        assert bench.paused() == {}
        assert ballast.exists()


def test_a_talk_id_that_found_no_room_in_the_journal_is_on_record_and_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload counts, nothing more is begun meanwhile, and the line is written as soon as it can be, without a restart."""
    with bench_on(tmp_path) as bench:
        bench.drop()
        bench.drop("other", seed=1)
        bench.settle()
        bench.upload_rules = UploadRules(concurrency=1)
        bench.configure()

        def full(_talks: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(bench.queue.history._journal, "talks", full)
        for _ in range(5):
            bench.send(6)
        assert len(bench.service.calls) == 1
        assert [job.state for job in bench.jobs()].count(State.DONE) == 1
        assert bench.paused() == {"service": "queue_not_writable"}
        monkeypatch.undo()
        bench.send(6)
        bench.send(6)
        assert [job.state for job in bench.jobs()] == [State.DONE] * 2
        journal = (tmp_path / "queue.db.journal").read_text()
        assert journal.count("talk-1") == journal.count("talk-2") == 1
        assert not any(job.possible_duplicate for job in bench.jobs())


def test_a_ballast_that_cannot_be_made_for_another_reason_is_told(tmp_path: Path) -> None:
    """Nothing is begun without it, and all goes on by itself once it can be."""
    with bench_on(tmp_path) as bench:
        bench.queue._ballast = Ballast(tmp_path / "queue.db", renews=True)
        in_its_place = tmp_path / "queue.db.ballast"
        in_its_place.mkdir()
        bench.drop()
        for _ in range(3):
            bench.send(6)
        assert bench.service.calls == []
        assert bench.paused() == {"service": "queue_not_writable"}
        assert "see to the directory's rights" in bench.log.getvalue()
        in_its_place.rmdir()
        bench.settle()
        bench.send(6)
        bench.send(6)
        assert bench.job().state is State.DONE
        assert bench.paused() == {}
