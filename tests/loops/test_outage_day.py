"""A day on which the service is away, 10,000 recordings waiting: it is left in peace, nothing is charged, all are sent after.

The rows, the queue and the uploader are real. The recordings have no files: an attempt of theirs is recorded, and answered by
the script, as a real one is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from speechsense_watch.attempt import Ended
from speechsense_watch.core import lifecycle
from speechsense_watch.core.lifecycle import Claim
from speechsense_watch.core.model import Half, Job, Recording, State, uid_of
from speechsense_watch.core.rules import UploadRules
from speechsense_watch.core.verdict import Code, Outcome, PauseReason
from speechsense_watch.ports import Channel, ChannelState
from support.bench import Bench, bench_on


@dataclass
class Day:
    """The uploader on many jobs; `answer` None accepts. `requests` are the times at which something was sent."""

    bench: Bench
    answer: Outcome | None = None
    requests: list[float] = field(default_factory=list)

    def start(self, job: Job, probe: bool, hand_back: Callable[[Ended], None]) -> None:  # noqa: FBT001 - as the uploader calls
        """A stream that is refused before its commit point, or one message that is taken."""
        self.requests.append(self.bench.clock.monotonic())
        assert job.audio
        assert job.metadata
        assert job.format
        n = job.claims + 1
        audio = Half(job.audio.stamp, sha256(str(job.id).encode()).hexdigest())
        recording = Recording(audio=audio, metadata=job.metadata, format=job.format, fields=job.fields)
        claim = Claim(
            n=n,
            uid=uid_of("conn", recording.audio.sha256, ""),
            recording=recording,
            request_id=f"{job.id}-{n}",
            at=self.bench.clock.now(),
            whole=self.answer is None,
        )
        claimed = self.bench.queue.apply(lifecycle.claimed(job, claim))
        accepted = Outcome(code=Code.OK, talk_id=f"talk-{job.id}", committed=True)
        hand_back(Ended(claimed, self.answer or accepted))

    def pass_time(self, seconds: float) -> None:
        """As the loop would: a step, then the rest it asked for, which the end of an attempt cuts short."""
        clock = self.bench.clock
        until = clock.monotonic() + seconds
        while (left_s := until - clock.monotonic()) > 0:
            begun = len(self.requests)
            rest_s = self.bench.uploader.step()
            clock.advance(min(rest_s if len(self.requests) == begun else 0.01, left_s))

    def counts(self) -> dict[str, int]:
        rows = self.bench.queue.rows(
            "SELECT state, count(*) AS n, sum(attempts) AS a, sum(failing_s) AS f FROM jobs GROUP BY state"
        )
        assert all(row["a"] == 0 and row["f"] == 0 for row in rows)
        return {row["state"]: row["n"] for row in rows}


@contextmanager
def day_of(directory: Path, waiting: int) -> Iterator[Day]:
    with bench_on(directory, UploadRules(concurrency=16)) as bench:
        bench.drop("call-1")
        bench.settle()
        connection = bench.queue._db.conn
        connection.execute("PRAGMA synchronous = OFF")
        columns = [row["name"] for row in bench.queue.rows("SELECT name FROM pragma_table_info('jobs')")]
        own = {"id": "n", "place": "named", "audio_path": "named", "recorded_at": "recorded_at + n"}
        taken = ", ".join(own.get(column, column) for column in columns)
        connection.execute(
            f"""WITH RECURSIVE many(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM many WHERE n < ?)
                INSERT INTO jobs ({", ".join(columns)})
                SELECT {taken} FROM jobs, (SELECT n, CAST('call-' || n || '.wav' AS BLOB) AS named FROM many)""",  # noqa: S608
            (waiting,),
        )
        made = Day(bench)
        bench.uploader._start = made.start
        assert made.counts() == {"ready": waiting}
        yield made


def before(code: Code, retry_after_s: float | None = None) -> Outcome:
    return Outcome(code=code, message="so it said", retry_after_s=retry_after_s)


UNREACHABLE = Channel(ChannelState.FAILED, PauseReason.UNREACHABLE, "nobody there")
READY = Channel(ChannelState.READY)


def stand_still(day: Day, seconds: float, waiting: int, channel: Channel, answer: Outcome | None) -> None:
    """The service is away for so long: after the first minute under three requests in each, nothing is charged or in flight."""
    day.bench.service.state, day.answer = channel, answer
    day.requests.clear()
    begin = day.bench.clock.monotonic()
    day.pass_time(seconds)
    assert day.counts() == {"ready": waiting}
    later = [at for at in day.requests if at > begin + 60]
    assert len(later) / (seconds / 60 - 1) < 3
    assert all(sum(at <= other < at + 60 for other in later) <= 3 for at in later)


def come_back(day: Day, waiting: int, first_within_s: float) -> None:
    """The service is there again: the first recording goes in time, then all of them, each once."""
    day.bench.service.state, day.answer = READY, None
    day.requests.clear()
    back = day.bench.clock.monotonic()
    day.pass_time(first_within_s + 10.0 + 0.02 * waiting / 16)
    assert day.counts() == {"done": waiting}
    assert len(day.requests) == waiting
    assert day.bench.paused() == {}
    assert day.requests[0] - back <= first_within_s


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown here does not depend on it, and 10,000 lines of journal would be synced one by one."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.mark.unmeasured
@pytest.mark.timeout(900)
def test_days_without_the_service(tmp_path: Path) -> None:
    """10,000 wait: a day it cannot be reached, one on which it answers UNAVAILABLE, one without quota; then all are sent."""
    with day_of(tmp_path, 10_000) as day:
        stand_still(day, 86_400.0, 10_000, UNREACHABLE, None)
        assert day.requests == []
        stand_still(day, 86_400.0, 10_000, READY, before(Code.UNAVAILABLE))
        assert len(day.requests) < 86_400 / 30
        stand_still(day, 86_400.0, 10_000, READY, before(Code.RESOURCE_EXHAUSTED, retry_after_s=300.0))
        assert len(day.requests) <= 86_400 / 300 + 16
        come_back(day, 10_000, 300.0)


def test_a_connection_that_comes_back_is_used_at_once(tmp_path: Path) -> None:
    """It wakes the uploader; without that it looks every five seconds."""
    with day_of(tmp_path, 100) as day:
        stand_still(day, 3600.0, 100, UNREACHABLE, None)
        come_back(day, 100, 5.0)


@pytest.mark.parametrize(
    ("answer", "reason", "at_most"),
    [
        (before(Code.UNAVAILABLE), "unavailable", 3 * 60),
        (before(Code.DEADLINE_EXCEEDED), "unavailable", 3 * 60),
        (before(Code.RESOURCE_EXHAUSTED), "quota", 3 * 60),
        (before(Code.RESOURCE_EXHAUSTED, retry_after_s=300.0), "quota", 12 + 16),
        (before(Code.UNAVAILABLE, retry_after_s=300.0), "unavailable", 12 + 16),
        (before(Code.PERMISSION_DENIED, retry_after_s=300.0), "permission_denied", 12 + 16),
        (before(Code.RESOURCE_EXHAUSTED, retry_after_s=1e12), "quota", 4 + 16),  # `retry_max` is a quarter of an hour
        (before(Code.RESOURCE_EXHAUSTED, retry_after_s=math.inf), "quota", 4 + 16),
        (before(Code.UNAUTHENTICATED), "key_refused", 3 * 60),
        (before(Code.UNIMPLEMENTED), "unimplemented", 3 * 60),
        (before(Code.PERMISSION_DENIED), "permission_denied", 3 * 60),
        (before(Code.NOT_FOUND), "connection_not_found", 3 * 60),
    ],
)
def test_every_kind_of_pause_leaves_the_service_in_peace(tmp_path: Path, answer: Outcome, reason: str, at_most: int) -> None:
    """For an hour. What the service asks for is kept to, as far as `retry_max`."""
    with day_of(tmp_path, 100) as day:
        stand_still(day, 3600.0, 100, READY, answer)
        assert list(day.bench.paused().values()) == [reason]
        assert len(day.requests) <= at_most
        come_back(day, 100, min(answer.retry_after_s or 60.0, 900.0))


def test_a_probe_that_was_refused_is_a_try_on_record_and_charged_to_nobody(tmp_path: Path) -> None:
    """No row is in flight after it."""
    with day_of(tmp_path, 100) as day:
        day.answer = before(Code.UNAVAILABLE)
        day.pass_time(3600)
        attempts = day.bench.queue.rows("SELECT verdict, count(*) AS n FROM attempts GROUP BY verdict")
        assert [(row["verdict"], row["n"]) for row in attempts] == [("service", len(day.requests))]
        assert day.bench.queue.in_states((State.UPLOADING, State.COMMITTING)) == []
