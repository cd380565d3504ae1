"""A forgotten call is not sent again, and a row that vanishes under the daemon is nobody's trouble."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from speechsense_watch.core import edges, lifecycle
from speechsense_watch.core.model import Job, State, digest_of
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.ports import Stale, Talk, Tried
from support.bench import Bench, bench_on
from support.rig import FIELDS
from support.wavs import pcm


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


def forget(bench: Bench, job: Job) -> None:
    """As the command does."""
    assert job.audio
    bench.queue.forget([job], [digest_of(job.audio.sha256)], bench.clock.now())


def again(bench: Bench) -> None:
    """Time for scans, for uploads and for filing."""
    for _ in range(3):
        bench.look(bench.folder.rescan_interval_s)
        bench.settle()
        bench.send()
        bench.file()


def sent(bench: Bench) -> Job:
    bench.drop()
    bench.settle()
    bench.send()
    bench.file()
    assert bench.job().state is State.DONE
    return bench.job()


def test_a_forgotten_call_whose_files_still_lie_there_is_left_out(bench: Bench) -> None:
    """Found anew like any other, known by its audio, and nothing of it is kept but where it lies."""
    forget(bench, sent(bench))
    again(bench)
    job = bench.job()
    assert (job.state, job.reason, dict(job.fields), job.uid, job.talk_id) == (State.SKIPPED, Reason.FORGOTTEN, {}, None, None)
    assert len(bench.service.sent) == 1
    assert '"reason": "forgotten"' in bench.log.getvalue()
    assert bench.events(job.id)[-1] == "forgotten"


def test_a_call_that_comes_back_leaves_nothing_of_who_called(bench: Bench) -> None:
    """The fields were read before the call was known by its audio; nor are they in the log of the database."""
    forget(bench, sent(bench))
    again(bench)
    for path in bench.queue.path.parent.glob(f"{bench.queue.path.name}*"):
        assert str(FIELDS["operator_name"]).encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("stream_above", [0, 2**20])
def test_it_is_known_elsewhere_and_with_other_metadata(tmp_path: Path, stream_above: int) -> None:
    """A copy, a restored backup, metadata written anew: the audio is the call. Another call goes out as ever."""
    with bench_on(tmp_path, UploadRules(stream_above_bytes=stream_above)) as bench:
        forget(bench, sent(bench))
        bench.write("copy/other.wav", pcm(seconds=0.5))
        bench.write("copy/other.json", json.dumps({**FIELDS, "operator_id": "999"}).encode())
        bench.drop("new", seed=1)
        again(bench)
        assert bench.job("copy/other.wav").reason is Reason.FORGOTTEN
        assert bench.job("new.wav").state is State.DONE
        assert len(bench.service.sent) == 2


def test_no_retry_sends_a_forgotten_call(bench: Bench) -> None:
    """Its row says so; nor does what the files become on their own."""
    forget(bench, sent(bench))
    again(bench)
    with pytest.raises(edges.IllegalEdge):
        lifecycle.retried(bench.job(), bench.clock.now())
    again(bench)
    assert (bench.job().reason, len(bench.service.sent)) == (Reason.FORGOTTEN, 1)


def test_what_the_journal_alone_knows_is_forgotten_all_the_same(bench: Bench) -> None:
    """A queue from a backup does not bring it back by adoption."""
    job = sent(bench)
    forget(bench, job)
    assert bench.queue.write("INSERT INTO known_talks VALUES (?, ?)", (job.uid, "talk-1"))
    again(bench)
    assert bench.job().reason is Reason.FORGOTTEN


@pytest.mark.parametrize("stream_above", [0, 2**20])
def test_what_is_forgotten_right_before_the_claim_is_not_sent(tmp_path: Path, stream_above: int) -> None:
    """A copy of the call, by whose own row nobody could tell yet."""
    with bench_on(tmp_path, UploadRules(stream_above_bytes=stream_above)) as bench:
        first = sent(bench)
        bench.write("copy/other.wav", pcm(seconds=0.5))
        bench.write("copy/other.json", json.dumps({**FIELDS, "operator_id": "999"}).encode())
        tried_before = bench.queue.tried_before

        def too_early(uid: str) -> Tried:
            bench.queue.tried_before = tried_before  # type: ignore[method-assign]
            forget(bench, first)
            return tried_before(uid)

        bench.queue.tried_before = too_early  # type: ignore[method-assign]
        again(bench)
        assert bench.queue.job(first.id) is None
        assert bench.job("copy/other.wav").reason is Reason.FORGOTTEN
        assert len(bench.service.calls) == 1


@pytest.mark.parametrize("state", [State.UPLOADING, State.COMMITTING])
def test_what_is_in_flight_is_not_forgotten(tmp_path: Path, state: State) -> None:
    """Its end would find no row."""
    with bench_on(tmp_path, UploadRules(stream_above_bytes=0 if state is State.UPLOADING else 2**20)) as bench:
        seen: list[State] = []

        def meanwhile(_talk: Talk) -> None:
            seen.append(bench.job().state)
            with pytest.raises(Stale):
                forget(bench, bench.job())

        bench.service.meanwhile = meanwhile
        sent(bench)
        assert seen == [state]


def vanishing(bench: Bench, event: edges.Event) -> Callable[[], None]:
    """The row is forgotten right before this change is written; returns what ends that."""
    real = bench.queue.apply

    def apply(change: edges.Change) -> Job:
        if change.event is event and change.before is not None:
            bench.queue._db.conn.execute("DELETE FROM jobs WHERE id = ?", (change.before.id,))
        return real(change)

    bench.queue.apply = apply  # type: ignore[method-assign]
    return lambda: setattr(bench.queue, "apply", real)


LOST = Outcome(code=Code.UNAVAILABLE, committed=True)
SCRIPTS = {
    edges.Event.OUTCOME_UNKNOWN: [LOST],
    edges.Event.RESENT: [LOST],
    edges.Event.FAILED: [Outcome(code=Code.INTERNAL)],
}


@pytest.mark.parametrize(
    "event",
    [
        edges.Event.CLAIMED,
        edges.Event.COMMITTING,
        edges.Event.ACCEPTED,
        edges.Event.FILED,
        edges.Event.SEEN_GONE,
        edges.Event.CHANGED_AFTER_UPLOAD,
        *SCRIPTS,
    ],
)
def test_a_row_that_vanishes_stops_nothing(tmp_path: Path, event: edges.Event) -> None:
    """At whatever moment: no loop fails, and the recordings that come after it go through."""
    streams = 0 if event in (edges.Event.CLAIMED, edges.Event.COMMITTING, edges.Event.FAILED) else 2**20
    with bench_on(tmp_path, UploadRules(stream_above_bytes=streams)) as bench:
        stop = vanishing(bench, event)
        bench.service.script = list(SCRIPTS.get(event, []))
        bench.drop()
        again(bench)
        bench.drop(fields={**FIELDS, "operator_id": "7"})
        again(bench)
        for path in bench.folder_path.glob("call.*"):
            path.unlink()
        again(bench)
        stop()
        bench.drop("next", seed=7)
        again(bench)
        assert bench.job("next.wav").state is State.DONE
        assert "loop_failed" not in bench.log.getvalue()
        assert bench.uploader.busy == 0
