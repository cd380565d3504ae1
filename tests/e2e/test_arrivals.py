"""The table: way to arrive x how the folder is watched x order of the halves. Recordings in = talks out, none twice, none early.

All cells of one way of watching are played side by side at one daemon; each is a test of its own that looks at what came of
it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from speechsense_watch.core.edges import Event
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.edge.records import Records
from speechsense_watch.standin import StandIn
from support.arrivals import OF_MANY, OF_ONE_FILE, QUIET_S, Cell, Order, play
from support.rig import FIELDS, Rig
from support.waiting import came_true, wait_for
from support.wavs import pcm

WATCHING = {
    # By events alone: no scan comes by the clock while the test lasts.
    "events": {"detection": "events", "rescan_interval": "1h"},
    "polling": {"detection": "polling", "rescan_interval": "1s"},
}
# In one go every cell rests a little, so more of them at once than the machine has cores.
TOGETHER = 24


@dataclass(frozen=True)
class Played:
    """What all cells of one way of watching came to."""

    rig: Rig
    standin: StandIn
    cells: dict[tuple[str, Order], Cell]

    def jobs_of(self, cell: Cell) -> list[Job]:
        below = f"{cell.directory.relative_to(self.rig.folder)}/"
        return [job for job in _all_jobs(self.rig) if job.place.path.startswith(below) and not job.place.path.endswith(LEGS)]

    def sent_of(self, cell: Cell) -> Counter[str]:
        seed = f"{cell.seed}-"
        return Counter(talk.sha256 for talk in self.standin.talks() if talk.fields["client_id"].startswith(seed))

    def times_completed(self, job: Job) -> int:
        events = self.rig.read(lambda queue: Records(queue).events(job.id))
        return sum(event.event == Event.COMPLETED for event in events)


LEGS = ("-rx.wav", "-tx.wav")
ENDED = {State.DONE, State.SKIPPED}


def _all_jobs(rig: Rig) -> list[Job]:
    found: list[Job] = rig.read(lambda queue: queue.in_states(tuple(State)))
    return found


def _done(rig: Rig, count: int) -> bool:
    return sum(job.state is State.DONE for job in _all_jobs(rig)) == count


def _play_all(cells: list[Cell]) -> None:
    """Raises what a way raised: a way that could not be gone is no result."""
    waiting, failed = iter(cells), []
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                cell = next(waiting, None)
            if cell is None:
                return
            try:
                play(cell)
            except Exception as error:  # noqa: BLE001 - told by the caller
                failed.append((cell, error))

    threads = [threading.Thread(target=work) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.fixture(scope="module", params=list(WATCHING))
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    directory = tmp_path_factory.mktemp("arrivals")
    with StandIn(directory / "service") as standin, Rig(directory, standin.port) as rig:
        rig.rules |= {"quiet_period": f"{QUIET_S:g}s", "exclude": [f"*{leg}" for leg in LEGS], **WATCHING[request.param]}
        cells = []
        for seed, (way, order) in enumerate(((way, order) for way in (*OF_ONE_FILE, *OF_MANY) for order in Order), start=1):
            name = f"{way}, {order}".replace(" ", "-")
            (directory / "outside" / name).mkdir(parents=True)
            cells.append(Cell(way, order, rig.folder / name, directory / "outside" / name, seed))
        rig.start()
        _play_all(cells)
        expected = sum(len(cell.talks) + len(cell.doubles) for cell in cells)
        # What is missing is told by the cell that misses it.
        came_true(lambda: sum(job.state in ENDED for job in _all_jobs(rig)) >= expected, 120)
        yield Played(rig, standin, {(cell.way, cell.order): cell for cell in cells})
        assert rig.stop() == 0
        assert "loop_failed" not in rig.log()


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("way", [*OF_ONE_FILE, *OF_MANY])
def test_a_recording_arrives(played: Played, way: str, order: Order) -> None:
    """One talk of exactly the bytes that lie there in the end, from one look that found them whole."""
    cell = played.cells[way, order]
    jobs = played.jobs_of(cell)
    whole = {hashlib.sha256(data).hexdigest(): path for path, versions in cell.talks.items() for data in versions}
    assert played.sent_of(cell) == Counter(whole.keys())
    assert Counter(job.state for job in jobs) == Counter({State.DONE: len(whole), State.SKIPPED: len(cell.doubles)})
    assert all(job.reason is Reason.DUPLICATE for job in jobs if job.state is State.SKIPPED)
    assert {job.claims for job in jobs if job.state is State.DONE} == {1}
    assert {played.times_completed(job) for job in jobs} == {1}
    assert not any(job.changed_after_upload for job in jobs)


@pytest.fixture(params=list(WATCHING))
def rig(request: pytest.FixtureRequest, tmp_path: Path, standin: StandIn) -> Iterator[Rig]:
    with Rig(tmp_path, standin.port) as rig:
        rig.rules |= WATCHING[request.param]
        yield rig


def test_a_name_used_again_is_another_recording(rig: Rig, standin: StandIn) -> None:
    """Both halves overwritten, or deleted and written anew: each time a talk, and none is a change of the one before."""
    rig.start()
    for number in range(3):
        if number == 2:
            (rig.folder / "call.wav").unlink()
            (rig.folder / "call.json").unlink()
        rig.drop("call", pcm(seed=number), {**FIELDS, "client_id": str(number)})
        wait_for(partial(_done, rig, number + 1), 20)
    assert Counter(talk.fields["client_id"] for talk in standin.talks()) == Counter("012")
    assert not any(job.changed_after_upload for job in _all_jobs(rig))


@pytest.mark.parametrize("half", ["audio", "metadata"])
def test_one_half_that_changes_after_the_upload_needs_the_operator(rig: Rig, standin: StandIn, half: str) -> None:
    """Nothing is sent by itself; it is told until somebody decides."""
    rig.start()
    rig.drop("call", pcm(seed=1))
    rig.wait_for_states(call=State.DONE)
    if half == "audio":
        (rig.folder / "call.wav").write_bytes(pcm(seed=2))
    else:
        rig.drop_metadata("call", {**FIELDS, "client_id": "other"})
    wait_for(lambda: any(job.changed_after_upload for job in _all_jobs(rig)), 20)
    assert [line["code"] for line in json.loads(rig.call("status", "--json")[1])["attention"]] == ["changed_after_upload"]
    assert len(standin.talks()) == 1
