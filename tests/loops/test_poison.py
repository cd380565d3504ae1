"""A recording that kills the daemon goes last and alone; a big one leaves a place to small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from speechsense_watch.attempt import Ended
from speechsense_watch.core import edges
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.rules import Order, UploadRules
from speechsense_watch.core.taking import BIG_ABOVE_BYTES, PATIENCE
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.ports import QueueTrouble
from speechsense_watch.uploader import Uploader
from support.bench import Bench, bench_on

HandBack = Callable[[Ended], None]
RULES = UploadRules(concurrency=4, order=Order.OLDEST)


class Killed(BaseException):
    """The process is gone: nothing after this ran."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path, RULES) as bench:
        yield bench


def slowly(bench: Bench) -> list[tuple[Job, HandBack]]:
    """From now on attempts are only begun; they end when a test calls `end`."""
    begun: list[tuple[Job, HandBack]] = []
    bench.uploader._start = lambda job, _probe, hand_back: begun.append((job, hand_back))
    return begun


def end(bench: Bench, begun: list[tuple[Job, HandBack]], stem: str) -> None:
    job, hand_back = next(each for each in begun if each[0].place.path == f"{stem}.wav")
    begun.remove((job, hand_back))
    hand_back(bench.attempts.run(job, probe=False))


def come(bench: Bench, *stems: str) -> None:
    """These recordings arrive and are found; of those called giant the queue thinks that they are calls of four hours."""
    for stem in stems:
        bench.drop(stem, seed=sum(stem.encode()))
    bench.look(bench.folder.rescan_interval_s)
    bench.settle()
    sql = "UPDATE jobs SET audio_size = ? WHERE CAST(place AS TEXT) LIKE 'giant%'"
    bench.queue._db.conn.execute(sql, (BIG_ABOVE_BYTES * 28,))


def stems(begun: list[tuple[Job, HandBack]]) -> list[str]:
    return [job.place.path.removesuffix(".wav") for job, _ in begun]


def restart(bench: Bench) -> None:
    """A new process on the same queue and note."""
    old = bench.uploader
    bench.uploader = Uploader(
        bench.queue, bench.service, bench._start, bench.clock, lambda: bench.jitter, old._log, _surroundings(bench)
    )
    bench.uploader.configure(bench.upload_rules, {bench.folder.name: bench.folder})
    bench.uploader.recover_at_start()


def _surroundings(bench: Bench):  # type: ignore[no-untyped-def]
    from speechsense_watch.uploader import Surroundings  # noqa: PLC0415

    return Surroundings(lambda: None, bench.intake.look, lambda owner: owner in bench.living, bench.note)


def dies(bench: Bench, *, at: edges.Event | None = None) -> None:
    """The daemon takes what is due and dies while the first of it is read, claimed or sent."""

    def kill(*_: object) -> None:
        raise Killed

    real = bench.queue.apply

    def apply(change: edges.Change) -> Job:
        if change.event is at:
            real(change)
            raise Killed
        return real(change)

    bench.queue.apply = apply  # type: ignore[method-assign]
    if at is None:
        bench.uploader._start = kill
    with pytest.raises(Killed):
        bench.send()
    bench.queue.apply = real  # type: ignore[method-assign]
    restart(bench)


@pytest.mark.parametrize("at", [None, edges.Event.CLAIMED, edges.Event.COMMITTING])
def test_three_deaths_make_a_suspect_however_far_it_came(tmp_path: Path, at: edges.Event | None) -> None:
    """While it was read, before there was a claim; while it was sent; while its answer was awaited."""
    streams = 0 if at is edges.Event.CLAIMED else 2**20
    with bench_on(tmp_path, UploadRules(concurrency=1, order=Order.OLDEST, stream_above_bytes=streams)) as bench:
        bench.drop("poison")
        bench.settle()
        for deaths in (1, 2, 3):
            dies(bench, at=at)
            job = bench.job("poison.wav")
            assert (job.deaths, job.attempts) == (deaths, 0)
            # A lost answer is resent.
            bench.uploader._settle_unconfirmed()
        assert "last 3 times" in job.message
        assert bench.job("poison.wav").deaths == 3


def test_all_that_were_in_hand_are_suspected_and_the_innocent_are_cleared(bench: Bench) -> None:
    """One at a time, by their first try that the daemon outlives."""
    come(bench, "a", "b", "c", "poison")
    for _ in range(3):
        begun = slowly(bench)
        bench.send()
        assert len(begun) == 4
        restart(bench)
    assert {job.deaths for job in bench.jobs()} == {3}
    begun = slowly(bench)
    bench.send(39)
    assert begun == []  # they rest for 40 s
    cleared: list[str] = []
    bench.send(2)
    while len(cleared) < 3:
        (stem,) = stems(begun)
        if stem == "poison":
            # It kills again; the others are not with it.
            restart(bench)
            begun = slowly(bench)
            bench.send()
            continue
        end(bench, begun, stem)
        bench.send()
        cleared.append(stem)
    assert sorted(cleared) == ["a", "b", "c"]
    assert [bench.job(f"{stem}.wav").deaths for stem in cleared] == [0, 0, 0]
    assert bench.job("poison.wav").deaths >= 3


def suspect(bench: Bench, stem: str = "poison") -> None:
    come(bench, stem)
    bench.queue._db.conn.execute("UPDATE jobs SET deaths = 3 WHERE place = CAST(? AS BLOB)", (f"{stem}.wav",))


def test_a_suspect_goes_last_and_alone(bench: Bench) -> None:
    """Behind everything that is due, with nothing beside it, neither older nor newer."""
    suspect(bench)
    come(bench, "a", "b")
    begun = slowly(bench)
    bench.send()
    assert sorted(stems(begun)) == ["a", "b"]
    end(bench, begun, "a")
    bench.send()
    assert stems(begun) == ["b"]
    end(bench, begun, "b")
    bench.send()
    assert stems(begun) == ["poison"]
    come(bench, "late")
    bench.send()
    assert stems(begun) == ["poison"]
    end(bench, begun, "poison")
    bench.send()
    assert stems(begun) == ["late"]
    assert bench.job("poison.wav").deaths == 0


def test_a_suspect_gets_its_turn_within_the_hour(bench: Bench) -> None:
    """However much arrives: then the places run empty for it, and fill again after it."""
    suspect(bench)
    begun = slowly(bench)
    waited_s = 0
    for number in range(1000):
        come(bench, f"call{number}")
        bench.send(530)
        waited_s += 600
        if "poison" in stems(begun):
            break
        while len(begun) > 2:
            end(bench, begun, stems(begun)[0])
        if bench.clock.now() - bench.job("poison.wav").created_at > PATIENCE:
            for stem in stems(begun):
                end(bench, begun, stem)
    assert stems(begun) == ["poison"]
    assert waited_s <= PATIENCE.total_seconds() + 3 * 600
    end(bench, begun, "poison")
    bench.send()
    assert begun


def test_a_suspect_that_waits_for_its_turn_does_not_keep_the_uploader_awake(bench: Bench) -> None:
    """What is in work wakes it when it ends."""
    suspect(bench)
    come(bench, "slow")
    slowly(bench)
    bench.uploader.step()
    assert bench.uploader.step() == 60.0
    bench.clock.advance(PATIENCE.total_seconds())
    assert bench.uploader.step() == 60.0


def test_the_only_recording_there_is_to_probe_with_may_be_a_suspect(bench: Bench) -> None:
    """A pause ends by a probe, and there is no other."""
    bench.drop("first")
    bench.settle()
    bench.service.script = [Outcome(code=Code.UNAUTHENTICATED, message="which key?")]
    bench.send()
    assert bench.paused() == {"service": "key_refused"}
    bench.queue._db.conn.execute("UPDATE jobs SET deaths = 3")
    bench.send(61)
    assert bench.paused() == {}
    assert bench.job("first.wav").state is State.DONE


def test_a_shutdown_is_no_death(bench: Bench) -> None:
    """What could not be recorded at its end is found in flight by the start, and held against nobody."""
    bench.drop()
    bench.settle()
    begun = slowly(bench)
    bench.send()
    assert bench.note.left() == frozenset({bench.job().id})
    bench.queue._db.conn.execute("UPDATE jobs SET state = 'uploading', uid = ?, claims = 1", ("ab" * 32,))
    bench.uploader.ended_well()
    restart(bench)
    assert (bench.job().state, bench.job().deaths, len(begun)) == (State.READY, 0, 1)


def test_a_death_counts_once_however_many_starts_it_takes_to_write_that_down(bench: Bench) -> None:
    """On a disk that is full one start after the other ends early."""
    come(bench, "a", "b")
    slowly(bench)
    bench.send()
    real = bench.queue.apply

    def no_room_for_the_second(change: edges.Change) -> Job:
        if change.after.id == bench.job("b.wav").id:
            raise QueueTrouble("The disk is full.", full=True)
        return real(change)

    bench.queue.apply = no_room_for_the_second  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(QueueTrouble):
            restart(bench)
    bench.queue.apply = real  # type: ignore[method-assign]
    restart(bench)
    assert [bench.job(f"{stem}.wav").deaths for stem in ("a", "b")] == [1, 1]


def test_without_a_note_what_is_in_flight_counts(bench: Bench) -> None:
    """It was lost with the power, or an older version wrote none."""
    bench.drop()
    bench.settle()
    bench.queue._db.conn.execute("UPDATE jobs SET state = 'uploading', uid = ?, claims = 1", ("ab" * 32,))
    bench.note.noted = None
    restart(bench)
    assert (bench.job().state, bench.job().deaths) == (State.READY, 1)


def test_the_note_holds_what_is_in_work_and_nothing_else(bench: Bench) -> None:
    """From before it is opened until its end is on disk."""
    come(bench, "a", "b")
    begun = slowly(bench)
    bench.send()
    ids = {stem: bench.job(f"{stem}.wav").id for stem in ("a", "b")}
    assert bench.note.left() == frozenset(ids.values())
    end(bench, begun, "a")
    bench.send()
    assert bench.note.left() == frozenset({ids["b"]})
    end(bench, begun, "b")
    bench.send()
    assert bench.note.left() == frozenset()


# --- big and small ---------------------------------------------------------------------------


def test_four_giants_leave_a_place_to_the_small_ones(bench: Bench) -> None:
    """Which come by it one after the other, though the giants have waited longer."""
    come(bench, *(f"giant{number}" for number in range(5)))
    begun = slowly(bench)
    bench.send()
    assert stems(begun) == ["giant0", "giant1", "giant2"]
    come(bench, "small0", "small1", "small2")
    for number in range(3):
        bench.send()
        assert stems(begun) == ["giant0", "giant1", "giant2", f"small{number}"]
        end(bench, begun, f"small{number}")
    bench.send()
    assert stems(begun) == ["giant0", "giant1", "giant2"]


def test_small_ones_behind_giants_are_found_at_once(bench: Bench) -> None:
    """In the same step, be there ever so many giants before them."""
    come(bench, *(f"giant{number}" for number in range(9)), "small")
    begun = slowly(bench)
    bench.uploader.step()
    assert stems(begun) == ["giant0", "giant1", "giant2", "small"]


def test_giants_that_wait_for_a_place_do_not_keep_the_uploader_awake(bench: Bench) -> None:
    """There is nothing to begin until one ends."""
    come(bench, *(f"giant{number}" for number in range(5)))
    slowly(bench)
    bench.uploader.step()
    assert bench.uploader.step() == 60.0
