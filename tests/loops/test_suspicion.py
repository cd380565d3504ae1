"""A suspicious start: what may have been sent before the queue was lost or put back, by state and by the folder's policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from speechsense_watch.core import lifecycle
from speechsense_watch.core.edges import Change
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.lookup import Try, doubt_of
from speechsense_watch.core.model import Job, Recording, State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import OnUnknown
from speechsense_watch.core.suspicion import Suspicion
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.doubts import reconsider
from speechsense_watch.edge.doubts import SqliteDoubts
from support.bench import Bench, bench_on
from support.starts import HERE

LOST_ANSWER = Outcome(code=Code.UNAVAILABLE, message="reset", committed=True)
WAITS_FOR_WORD = [OnUnknown.HOLD, OnUnknown.SEARCH]


def on(directory: Path, policy: OnUnknown = OnUnknown.HOLD) -> Iterator[Bench]:
    with bench_on(directory, on_unknown=policy, recording_id_field="recording_id") as bench:
        yield bench


@pytest.fixture(params=WAITS_FOR_WORD)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    yield from on(tmp_path, request.param)


@pytest.fixture
def resending(tmp_path: Path) -> Iterator[Bench]:
    yield from on(tmp_path, OnUnknown.RESEND)


def suspicious_start(bench: Bench) -> None:
    """The journal knows a start that this queue does not; what is there is some seconds older than it."""
    bench.queue.history._journal.start(f"another queue's at {bench.clock.now()}", bench.clock.now())
    bench.clock.advance(5)
    start(bench)


def start(bench: Bench) -> None:
    """As the daemon does it."""
    bench.queue.history.examine(HERE, bench.clock.now())
    bench.uploader.recover()
    reconsider(bench.queue, bench.clock.now())
    bench.queue.history.begin(uuid4().hex, bench.clock.now())


def ready(bench: Bench, stem: str = "call") -> Job:
    bench.drop(stem, seed=len(stem))
    bench.settle()
    return bench.job(f"{stem}.wav")


def claim_of(job: Job, *, whole: bool) -> Claim:
    assert job.audio
    assert job.metadata
    assert job.format
    recording = Recording(audio=job.audio, metadata=job.metadata, format=job.format, fields=job.fields)
    return Claim(n=job.claims + 1, uid="ab" * 32, recording=recording, request_id="r", at=job.updated_at, whole=whole)


def replace_owner(change: Change, owner: str) -> Change:
    return replace(change, after=replace(change.after, owner=owner))


def sent_as(bench: Bench) -> list[str]:
    """The numbers of the tries that were sent."""
    return [talk.fields["recording_id"].rpartition("-")[2] for talk, _ in bench.service.sent]


# --- ready -----------------------------------------------------------------------------------


def test_what_is_older_than_the_start_is_not_sent_before_that_is_decided(bench: Bench) -> None:
    """Frozen with its uid and fields; 32 tries may have been made."""
    ready(bench)
    suspicious_start(bench)
    bench.send()
    job = bench.job()
    assert (job.state, job.reason, job.claims, job.owner) == (State.UNCONFIRMED, Reason.MAYBE_SENT_BEFORE, 32, None)
    assert job.uid
    assert job.fields["operator_id"] == "201"
    assert bench.service.calls == []
    assert bench.events(job.id)[-1] == "doubted"


def test_what_is_sent_again_all_the_same_goes_at_once_and_is_marked(resending: Bench) -> None:
    """One step, and by a number that no earlier try can have had."""
    ready(resending)
    suspicious_start(resending)
    resending.send()
    job = resending.job()
    assert (job.state, job.possible_duplicate, job.claims) == (State.DONE, True, 33)
    assert sent_as(resending) == ["33"]
    assert "doubted" not in resending.events(job.id)


def test_after_the_word_it_is_sent_and_not_doubted_again(bench: Bench) -> None:
    """Neither now nor when that try fails, nor after a further start that is not suspicious."""
    ready(bench)
    suspicious_start(bench)
    bench.send()
    bench.queue.apply(lifecycle.resent(bench.job(), bench.clock.now(), by_operator=True))
    bench.service.script = [Outcome(code=Code.INTERNAL, message="trouble")]
    bench.upload_rules = replace(bench.upload_rules, stream_above_bytes=0)
    bench.configure(on_unknown=bench.folder.on_unknown, recording_id_field="recording_id")
    bench.send()
    assert bench.job().state is State.READY
    start(bench)
    bench.send(3600)
    assert (bench.job().state, sent_as(bench)) == (State.DONE, ["34"])


def test_a_second_suspicious_start_doubts_anew(bench: Bench) -> None:
    """And takes 64 tries for possible."""
    ready(bench)
    suspicious_start(bench)
    bench.send()
    bench.queue.apply(lifecycle.resent(bench.job(), bench.clock.now(), by_operator=True))
    suspicious_start(bench)
    bench.send()
    assert (bench.job().state, bench.job().claims, bench.job().doubted) == (State.UNCONFIRMED, 64, 2)
    assert bench.service.calls == []


def test_a_row_with_many_tries_of_its_own_is_doubted_too(bench: Bench) -> None:
    """A probe that was refused for a weekend: its counter alone does not tell that it was asked about."""
    job = ready(bench)
    with bench.queue.transaction() as conn:
        conn.execute("UPDATE jobs SET claims = 500 WHERE id = ?", (job.id,))
    suspicious_start(bench)
    bench.send()
    assert (bench.job().state, bench.job().claims) == (State.UNCONFIRMED, 532)


def test_what_came_after_the_start_is_sent_as_ever(bench: Bench) -> None:
    """Nobody can have sent it."""
    suspicious_start(bench)
    bench.clock.advance(1)
    ready(bench)
    bench.send()
    job = bench.job()
    assert (job.state, job.possible_duplicate, job.claims) == (State.DONE, False, 1)


def test_what_was_copied_here_since_then_may_have_been_sent_all_the_same(bench: Bench) -> None:
    """Its mtime came with it (rsync -a): a new inode and ctime do not make it a new call."""
    suspicious_start(bench)
    bench.drop()
    for name in ("call.wav", "call.json"):
        bench.write(name, (bench.folder_path / name).read_bytes(), age_s=3600)
    bench.settle()
    bench.send()
    assert (bench.job().state, bench.job().reason) == (State.UNCONFIRMED, Reason.MAYBE_SENT_BEFORE)


def test_without_a_suspicious_start_nothing_is_doubted(bench: Bench) -> None:
    """However old it is."""
    start(bench)
    bench.drop()
    bench.settle()
    start(bench)
    bench.send(86400)
    assert (bench.job().state, bench.job().claims) == (State.DONE, 1)


def test_what_the_journal_knows_is_adopted_and_not_doubted(tmp_path: Path) -> None:
    """Also by the next process, without looking into the journal again."""
    for bench in on(tmp_path):
        ready(bench)
        bench.send()
    for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    for bench in on(tmp_path):
        assert bench.queue.history.examine(HERE, bench.clock.now()) is not None
    for bench in on(tmp_path):
        assert bench.queue.history.examine(HERE, bench.clock.now()) is None
        bench.settle()
        bench.send()
        assert (bench.job().state, bench.job().talk_id) == (State.UPLOADED, "talk-1")
        assert bench.service.calls == []


def test_the_same_bytes_twice_are_one_doubt(bench: Bench) -> None:
    """The second one is its duplicate."""
    bench.drop("a")
    bench.write("b.wav", (bench.folder_path / "a.wav").read_bytes())
    bench.write("b.json", (bench.folder_path / "a.json").read_bytes())
    bench.settle()
    suspicious_start(bench)
    bench.send()
    bench.send()
    assert sorted(job.state for job in bench.jobs()) == [State.SKIPPED, State.UNCONFIRMED]


# --- the other states of a queue that was put back -------------------------------------------------


def test_a_talk_from_before_the_start_is_no_fence(bench: Bench) -> None:
    """What was unconfirmed may have been sent again after the copy, so later than any talk that the copy knows."""
    bench.service.script = [LOST_ANSWER]
    ready(bench)
    bench.send()
    bench.clock.advance(bench.folder.rescan_interval_s)
    ready(bench, "later")
    bench.send()
    doubts = SqliteDoubts(bench.queue)
    (known,) = doubts.known("conn", "recording_id")
    (doubt,) = doubts.doubts(["in"], bench.clock.now(), "recording_id")["conn"]
    assert known.claimed > doubt.since
    suspicious_start(bench)
    (doubt,) = doubts.doubts(["in"], bench.clock.now(), "recording_id")["conn"]
    assert known.claimed < doubt.since


def test_the_operators_own_upload_stays_his(bench: Bench) -> None:
    """It is looked for like any other, and never sent again by itself."""
    job = ready(bench)
    bench.queue.apply(replace_owner(lifecycle.claimed(job, claim_of(job, whole=True)), "1:2"))
    bench.queue.apply(lifecycle.recovered(bench.job(), bench.clock.now()))
    suspicious_start(bench)
    assert (bench.job().state, bench.job().claims, bench.job().owner) == (State.UNCONFIRMED, 32, "1:2")


@pytest.mark.parametrize(("k", "claims", "last"), [(1, 0, 32), (1, 16, 32), (1, 17, 49), (1, 31, 63), (1, 40, 72), (2, 33, 64)])
def test_as_many_tries_may_have_followed_those_on_record(k: int, claims: int, last: int) -> None:
    """However many there were when the copy was made."""
    assert Suspicion(k, datetime.now(UTC)).tries(claims) == last


def test_waiting(bench: Bench) -> None:
    """Doubted as soon as it is complete."""
    bench.write("call.wav", b"")
    bench.drop()
    bench.look()
    suspicious_start(bench)
    bench.settle()
    bench.send()
    assert bench.job().reason is Reason.MAYBE_SENT_BEFORE


def test_uploading(bench: Bench) -> None:
    """Given back by the start, then doubted: after the copy it may have gone on."""
    job = ready(bench)
    bench.queue.apply(lifecycle.claimed(job, claim_of(job, whole=False)))
    suspicious_start(bench)
    assert bench.job().state is State.READY
    bench.send()
    assert (bench.job().state, bench.job().claims) == (State.UNCONFIRMED, 32)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("state", [State.COMMITTING, State.UNCONFIRMED])
def test_open_ends(bench: Bench, state: State, *, known: bool) -> None:
    """The journal may know how it ended; if not, there may have been further tries."""
    job = ready(bench)
    job = bench.queue.apply(lifecycle.claimed(job, claim_of(job, whole=True)))
    if state is State.UNCONFIRMED:
        bench.queue.apply(lifecycle.recovered(job, bench.clock.now()))
    if known:
        bench.queue.history._journal.talk("ab" * 32, "talk-7", bench.clock.now())
    suspicious_start(bench)
    job = bench.job()
    if known:
        assert (job.state, job.talk_id) == (State.UPLOADED, "talk-7")
    else:
        assert (job.state, job.claims, job.reason) == (State.UNCONFIRMED, 32, Reason.MAYBE_SENT_BEFORE)
        start(bench)
        assert bench.events(job.id).count("doubted") == 1


@pytest.mark.parametrize("state", [State.REFUSED, State.SKIPPED])
def test_stopped_and_retried(bench: Bench, state: State) -> None:
    """It may have been retried after the copy too."""
    job = ready(bench)
    if state is State.REFUSED:
        bench.queue.apply(lifecycle.gave_up(job, bench.clock.now()))
    else:
        bench.queue.apply(lifecycle.skipped(job, bench.clock.now()))
    suspicious_start(bench)
    bench.send()
    assert bench.job().state is state
    bench.queue.apply(lifecycle.retried(bench.job(), bench.clock.now()))
    bench.folder_intake.revisit()
    bench.settle()
    bench.send()
    assert bench.job().reason is Reason.MAYBE_SENT_BEFORE


def test_what_is_gone_may_have_been_sent_and_put_away(bench: Bench) -> None:
    """An alarm all the same, but it does not say that it was never sent."""
    ready(bench)
    suspicious_start(bench)
    (bench.folder_path / "call.wav").rename(bench.directory / "archived.wav")
    bench.write("other", b"")
    bench.send()
    assert bench.job().state is State.LOST
    assert "may have been sent" in bench.job().message


def test_a_try_that_is_not_on_record_is_looked_for_afterwards_too(bench: Bench) -> None:
    """It was shown absent and sent again; should one from before the start come to light, it is a double and told."""
    ready(bench)
    suspicious_start(bench)
    bench.send()
    job = bench.queue.apply(lifecycle.shown_absent(bench.job(), bench.clock.now(), ""))
    bench.send()
    (check,) = SqliteDoubts(bench.queue).checks(["in"])["conn"]
    assert check.whole == tuple(f"{job.uid}-{n}" for n in range(33, 0, -1))
    assert check.broken == ()


def test_files_that_change_afterwards_are_another_recording(bench: Bench) -> None:
    """Younger than the start, so it was never sent."""
    ready(bench)
    suspicious_start(bench)
    bench.clock.advance(1)
    bench.drop(seed=99)
    bench.settle()
    bench.send()
    bench.settle()
    bench.send()
    assert bench.job().state is State.DONE
    assert len(bench.service.sent) == 1


def test_done_is_done(bench: Bench) -> None:
    """Neither read nor sent."""
    ready(bench)
    bench.send()
    bench.file()
    suspicious_start(bench)
    bench.settle()
    bench.send()
    assert (bench.job().state, len(bench.service.calls)) == (State.DONE, 1)


def test_a_clock_that_is_behind_leaves_nothing_undoubted(bench: Bench) -> None:
    """The newest line of the journal tells that it is later than the clock says."""
    ready(bench)
    bench.queue.history._journal.start("another queue's", bench.clock.now())
    found = bench.queue.history.examine(HERE, bench.clock.now().replace(year=1990))
    assert found is not None
    assert found.suspicion.at == bench.clock.now()
    bench.send(1)
    assert bench.job().reason is Reason.MAYBE_SENT_BEFORE


# --- what a look-up asks for -----------------------------------------------------------------


def test_a_look_up_asks_for_every_try_that_may_have_been_made(bench: Bench) -> None:
    """The latest first; and for exactly the committed ones of any other doubt."""
    ready(bench)
    suspicious_start(bench)
    bench.send()
    job, now = bench.job(), bench.clock.now()
    doubt = doubt_of(job, 0, (), now)
    assert doubt.whole == tuple(f"{job.uid}-{n}" for n in range(32, 0, -1))
    assert doubt.may_resend
    other = replace(job, reason=Reason.OUTCOME_UNKNOWN)
    assert doubt_of(other, 0, [Try(f"{job.uid}-3", committed=True)], now).whole == (f"{job.uid}-3",)


def test_what_was_recorded_longer_ago_than_talks_are_kept_is_not_shown_absent(bench: Bench) -> None:
    """Its talk may have been there and be gone: the operator decides."""
    ready(bench)
    suspicious_start(bench)
    bench.send()
    job = bench.job()
    old = replace(job, recorded_at=job.recorded_at - timedelta(days=100))
    assert not doubt_of(old, 0, (), bench.clock.now()).may_resend
