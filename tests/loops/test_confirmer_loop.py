"""The confirmer: what became of a lost answer is found out by asking, with time and the service in the test's hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from speechsense_watch.confirmer import Confirmer
from speechsense_watch.core import lifecycle
from speechsense_watch.core.lookup import KEPT_FOR, Doubt
from speechsense_watch.core.model import State
from speechsense_watch.core.quota import READING
from speechsense_watch.core.rules import OnUnknown, SearchScope, UploadRules
from speechsense_watch.core.turns import LEAST_TURN_S, Position, Turns
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.edge.doubts import SqliteDoubts
from speechsense_watch.log import logger
from speechsense_watch.ports import Channel, ChannelState, SearchTrouble
from support.bench import Bench, bench_on
from support.manual_clock import ManualClock

SCOPE = SearchScope("org", "space")
LOST = Outcome(code=Code.UNAVAILABLE, message="gone", committed=True)
PATIENCE_S = 600.0


@dataclass
class Library:
    """Keeps `ports.Searching`: talks with the moment from which they can be found, and every question that was asked."""

    clock: ManualClock
    talks: dict[str, tuple[str, float]] = field(default_factory=dict)
    prefix: str = "userMeta."
    trouble: SearchTrouble | None = None
    state: ChannelState = ChannelState.READY
    heeds_filter: bool = True
    unknown_keys: tuple[str, ...] = ()
    asked: list[tuple[float, int]] = field(default_factory=list)
    searches: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    # What happens elsewhere while a question is on its way.
    meanwhile: Callable[[], None] = lambda: None

    def channel(self) -> Channel:
        return Channel(self.state)

    def add(self, recording_id: str, talk_id: str, lag_s: float = 0.0) -> None:
        self.talks[talk_id] = (recording_id, self.clock.monotonic() + lag_s)

    def search(self, scope: SearchScope, connection_id: str, key: str, values: Sequence[str]) -> Sequence[str]:
        assert (scope, connection_id) in ((SCOPE, "conn"), (SCOPE, "conn-2"))
        self.searches.append((key, tuple(values)))
        if self.trouble is not None:
            raise self.trouble
        if key in self.unknown_keys:
            raise SearchTrouble(Code.INVALID_ARGUMENT, f"no such key: {key}")
        visible = [talk for talk, (_, at) in self.talks.items() if at <= self.clock.monotonic()]
        known = key == f"{self.prefix}recording_id"
        found = [talk for talk in visible if not self.heeds_filter or (known and self.talks[talk][0] in values)]
        self.asked.append((self.clock.monotonic(), 1))
        self.meanwhile()
        return found

    def values_of(self, scope: SearchScope, connection_id: str, talk_ids: Sequence[str], name: str) -> Mapping[str, str]:
        assert len(talk_ids) <= 100
        self.asked.append((self.clock.monotonic(), len(talk_ids)))
        return {talk: self.talks[talk][0] for talk in talk_ids}


class Desk:
    """A bench whose uploads lose their answers on order, and the confirmer beside it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.library = Library(bench.clock)
        self.restart()

    def restart(self) -> None:
        """Another process: what was in memory is gone."""
        queue = self.bench.queue
        self.confirmer = Confirmer(queue, SqliteDoubts(queue), self.library, self.bench.clock, logger())
        self.confirmer.configure({"in": self.bench.folder})

    def upload(self, stem: str, *, lost: bool = False, stored: bool = True, lag_s: float = 0.0, seed: int | None = None) -> str:
        """A recording is sent; the recording id of its try."""
        self.bench.drop(stem, seed=len(self.library.talks) + len(self.bench.jobs()) if seed is None else seed)
        self.bench.look(self.bench.folder.rescan_interval_s + 1)
        self.bench.settle()
        if lost:
            self.bench.service.script.append(LOST)
        self.bench.send()
        job = self.bench.job(f"{stem}.wav")
        name = f"{job.uid}-{job.claims}"
        if stored:
            self.library.add(name, job.talk_id or f"stored-{stem}", lag_s)
        return name

    def run(self, seconds: float) -> None:
        """The loop as it would run: a step, then its rest."""
        until = self.bench.clock.monotonic() + seconds
        while self.bench.clock.monotonic() < until:
            self.bench.clock.advance(max(self.confirmer.step(), 0.01))

    def state(self, stem: str) -> State:
        return self.bench.job(f"{stem}.wav").state


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    rules = {"on_unknown": OnUnknown.SEARCH, "recording_id_field": "recording_id", "search": SCOPE}
    with bench_on(tmp_path, UploadRules(concurrency=1), search_patience_s=PATIENCE_S, **rules) as bench:
        yield Desk(bench)


def test_what_is_found_is_adopted_at_once(desk: Desk) -> None:
    """The first look comes within seconds, and one is enough."""
    desk.upload("call", lost=True)
    assert desk.state("call") is State.UNCONFIRMED
    desk.run(10)
    job = desk.bench.job()
    assert (job.state, job.talk_id, job.possible_duplicate) == (State.UPLOADED, "stored-call", False)
    assert desk.bench.events(job.id)[-1] == "confirmed"


def test_a_talk_that_comes_into_sight_late_is_waited_for(desk: Desk) -> None:
    """However long: a look in vain proves nothing."""
    desk.upload("before")
    desk.upload("call", lost=True, lag_s=3000)
    desk.run(2900)
    assert desk.state("call") is State.UNCONFIRMED
    desk.run(1000)
    assert desk.state("call") is State.UPLOADED


def test_absence_needs_a_later_talk_in_sight(desk: Desk) -> None:
    """Without one it stays unconfirmed for good; with one it is sent again after the patience, and unmarked."""
    desk.upload("before")
    desk.upload("call", lost=True, stored=False)
    desk.run(20 * PATIENCE_S)
    assert desk.state("call") is State.UNCONFIRMED
    desk.upload("after")
    desk.run(0.9 * PATIENCE_S)
    assert desk.state("call") is State.UNCONFIRMED
    desk.run(PATIENCE_S)
    job = desk.bench.job()
    assert (job.state, job.possible_duplicate, job.leftovers) == (State.READY, False, True)
    assert "did not find it" in desk.bench.queue.rows("SELECT detail FROM events WHERE event = 'shown_absent'")[0]["detail"]


def test_what_is_shown_absent_waits_for_as_long_as_the_service_asked(desk: Desk) -> None:
    """Longer than the patience, here."""
    desk.bench.service.script.append(replace(LOST, retry_after_s=900.0))
    desk.upload("call", stored=False)
    since = desk.bench.clock.now()
    desk.upload("after")
    desk.run(1.3 * PATIENCE_S)
    assert desk.state("call") is State.READY
    again_at = desk.bench.job("call.wav").next_attempt_at
    assert again_at is not None
    assert again_at - since == timedelta(seconds=900)


def test_a_slow_index_makes_the_patience_longer(desk: Desk) -> None:
    """Ten times the longest time that a talk known to exist was looked for in vain; a restart does not forget it."""
    desk.upload("call", lost=True, stored=False)
    desk.upload("after", lag_s=300)
    desk.run(1000)
    desk.restart()
    desk.run(1000)
    assert desk.state("call") is State.UNCONFIRMED
    desk.run(3000)
    assert desk.state("call") is State.READY


def test_a_restart_begins_the_proof_anew(desk: Desk) -> None:
    """Nothing is taken over that was measured by another process's clock."""
    desk.upload("call", lost=True, stored=False)
    desk.upload("after")
    desk.run(0.9 * PATIENCE_S)
    desk.restart()
    desk.run(0.9 * PATIENCE_S)
    assert desk.state("call") is State.UNCONFIRMED
    desk.run(0.5 * PATIENCE_S)
    assert desk.state("call") is State.READY


def test_no_jump_of_the_wall_clock_shortens_a_proof(desk: Desk) -> None:
    """A year ahead in the middle of it changes nothing."""
    desk.upload("call", lost=True, stored=False)
    desk.upload("after")
    desk.run(0.5 * PATIENCE_S)
    desk.bench.clock._now += KEPT_FOR / 2
    desk.run(0.4 * PATIENCE_S)
    assert desk.state("call") is State.UNCONFIRMED


def test_what_the_service_may_have_dropped_by_now_is_not_taken_for_absent(desk: Desk) -> None:
    """Talks are kept for three months."""
    desk.upload("call", lost=True, stored=False)
    desk.bench.clock.advance((KEPT_FOR).total_seconds() + 60)
    desk.upload("after")
    desk.run(10 * PATIENCE_S)
    assert desk.state("call") is State.UNCONFIRMED


@pytest.mark.parametrize("prefix", ["user.", "userMeta."])
def test_the_prefix_is_found_out_and_remembered(desk: Desk, prefix: str) -> None:
    """By a talk that is known; from then on only that key is asked for, after a restart as well."""
    desk.library.prefix = prefix
    desk.upload("known")
    desk.upload("call", lost=True)
    desk.run(10)
    assert desk.state("call") is State.UPLOADED
    desk.library.searches.clear()
    desk.restart()
    desk.upload("next", lost=True)
    desk.run(10)
    assert {key for key, _ in desk.library.searches} == {f"{prefix}recording_id"}


def test_a_key_that_is_refused_one_day_is_found_out_anew(desk: Desk) -> None:
    """A prefix that was remembered is not held on to, after a restart neither, when the service does not know it any more."""
    desk.upload("known")
    desk.run(10)
    desk.restart()
    desk.library.prefix, desk.library.unknown_keys = "user.", ("userMeta.recording_id",)
    desk.upload("call", lost=True)
    desk.run(200)
    assert desk.state("call") is State.UPLOADED


def test_a_key_that_shows_nothing_proves_nothing(desk: Desk) -> None:
    """The field is not declared: nothing is ever taken for absent, and after an hour it is told."""
    desk.library.prefix = "nothing."
    desk.upload("call", lost=True, stored=False)
    desk.upload("after")
    desk.run(20 * PATIENCE_S)
    assert desk.state("call") is State.UNCONFIRMED
    told = desk.bench.queue.runtime()["look_ups"]
    assert isinstance(told, dict)
    assert "recording_id` declared" in told["conn"]["trouble"]


def test_a_filter_that_is_not_heeded_proves_nothing(desk: Desk) -> None:
    """A service that answers with all it has has not answered the question; what it has is not fetched either."""
    for number in range(20):
        desk.upload(f"old-{number}")
    desk.library.heeds_filter = False
    desk.upload("call", lost=True, stored=False)
    desk.upload("after")
    desk.run(5 * PATIENCE_S)
    assert desk.state("call") is State.UNCONFIRMED


def test_trouble_with_looking_up_is_told_and_tried_again(desk: Desk) -> None:
    """What was refused does not count as a look."""
    desk.library.trouble = SearchTrouble(Code.PERMISSION_DENIED, "no role")
    desk.upload("call", lost=True, stored=False)
    desk.upload("after")
    desk.run(2 * PATIENCE_S)
    told = desk.bench.queue.runtime()["look_ups"]
    assert isinstance(told, dict)
    assert told["conn"]["trouble"] == "PERMISSION_DENIED: no role"
    assert len(desk.library.searches) < 2 * PATIENCE_S / 50
    desk.library.trouble = None
    desk.run(0.5 * PATIENCE_S)
    assert desk.state("call") is State.UNCONFIRMED
    told = desk.bench.queue.runtime()["look_ups"]
    assert isinstance(told, dict)
    assert told["conn"]["trouble"] == ""


def test_nothing_is_asked_without_a_connection(desk: Desk) -> None:
    """Nor while there is nothing in doubt, but for the one talk an hour that is measured by."""
    desk.upload("call", lost=True)
    desk.library.state = ChannelState.CONNECTING
    desk.run(300)
    assert desk.library.searches == []
    desk.library.state = ChannelState.READY
    desk.run(60)
    assert desk.state("call") is State.UPLOADED
    desk.library.searches.clear()
    desk.run(3000)
    assert desk.library.searches == []


def test_the_operators_own_upload_is_adopted_but_never_repeated(desk: Desk) -> None:
    """`upload` told its caller that the outcome is unknown: sending again is for him to say."""
    desk.upload("gone", lost=True, stored=False)
    desk.upload("there", lost=True)
    desk.bench.queue.write("UPDATE jobs SET owner = '1:2' WHERE state = 'unconfirmed'", ())
    desk.upload("after")
    desk.run(3 * PATIENCE_S)
    assert (desk.state("there"), desk.state("gone")) == (State.UPLOADED, State.UNCONFIRMED)


def test_what_a_broken_try_left_is_listed_and_never_taken_for_the_call(desk: Desk) -> None:
    """The service took a stream that broke off for whole (grpc/grpc#33038)."""
    desk.bench.upload_rules = UploadRules(concurrency=1, stream_above_bytes=0)
    desk.bench.configure(
        on_unknown=OnUnknown.SEARCH, recording_id_field="recording_id", search=SCOPE, search_patience_s=PATIENCE_S
    )
    desk.bench.service.script.append(Outcome(code=Code.INTERNAL, message="broke", bytes_sent=100))
    broken = desk.upload("call", stored=False)
    desk.library.add(broken, "torn")
    desk.bench.queue.write("UPDATE jobs SET leftovers = 1", ())
    desk.bench.send(60)
    job = desk.bench.job()
    assert job.state is State.DONE
    desk.library.add(f"{job.uid}-{job.claims}", job.talk_id or "")
    desk.run(2 * PATIENCE_S)
    (orphan,) = SqliteDoubts(desk.bench.queue).orphans()
    assert (orphan.talk_id, orphan.job_id, orphan.whole) == ("torn", job.id, False)
    assert not desk.bench.job().leftovers
    assert desk.bench.events(job.id)[-1] == "looked_after"


def test_a_first_try_that_comes_to_light_after_all_is_told(desk: Desk) -> None:
    """It was shown absent, sent again, and then it was there: a double, marked and listed."""
    first = desk.upload("call", lost=True, stored=False)
    desk.upload("after")
    desk.run(2 * PATIENCE_S)
    desk.bench.send()
    job = desk.bench.job()
    assert job.state is State.DONE
    desk.library.add(f"{job.uid}-{job.claims}", job.talk_id or "")
    desk.library.add(first, "zombie")
    desk.run(2 * PATIENCE_S)
    (orphan,) = SqliteDoubts(desk.bench.queue).orphans()
    assert (orphan.talk_id, orphan.whole) == ("zombie", True)
    assert desk.bench.job().possible_duplicate


def test_hundreds_of_doubts_stay_within_the_quota(desk: Desk) -> None:
    """One query asks for a hundred; in no window more is read than granted."""
    for number in range(150):
        desk.upload(f"call-{number}", lost=True, seed=number + 1)
    desk.run(1200)
    assert {job.state for job in desk.bench.jobs()} == {State.UPLOADED}
    for window, limit in READING.items():
        for at, _ in desk.library.asked:
            spent = sum(cost for when, cost in desk.library.asked if at <= when < at + window)
            assert spent <= limit, (window, spent)


def test_looking_over_many_doubts_leaves_the_machine_to_the_exchange(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that takes two seconds to look over is looked over every forty."""
    desk.upload("a")
    desk.upload("b", lost=True)
    looks: list[float] = []
    read = SqliteDoubts.doubts

    def slowly(
        doubts: SqliteDoubts, folders: Iterable[str], now: datetime, name: str, after: Position, most: int
    ) -> Mapping[str, Sequence[Doubt]]:
        looks.append(desk.bench.clock.monotonic())
        desk.bench.clock.advance(2)
        return read(doubts, folders, now, name, after, most)

    monkeypatch.setattr(SqliteDoubts, "doubts", slowly)
    desk.run(400)
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert min(gaps) >= 40
    assert desk.state("b") is State.UPLOADED


def test_behind_the_last_doubt_comes_the_first_again(desk: Desk) -> None:
    """However many may be kept in mind, no place in the ring is a dead end."""
    for stem in ("first", "second", "third"):
        desk.upload(stem, lost=True, stored=False)
    doubts, now = SqliteDoubts(desk.bench.queue), desk.bench.clock.now()
    first, second, third = doubts.doubts(["in"], now, "recording_id")["conn"]
    assert doubts.doubts(["in"], now, "recording_id", second.position, 2)["conn"] == [third, first]
    assert doubts.doubts(["in"], now, "recording_id", third.position, 2)["conn"] == [first, second]


def test_many_that_can_never_be_settled_hold_up_the_rest_for_a_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than are looked for at once: those behind them come to be found, and to be shown absent."""
    for number in range(30):
        desk.upload(f"dead-{number}", lost=True, stored=False)
    desk.bench.clock.advance(KEPT_FOR.total_seconds())
    desk.upload("stored", lost=True)
    desk.upload("absent", lost=True, stored=False)
    desk.upload("after")
    monkeypatch.setattr("speechsense_watch.confirmer.Turns", partial(Turns, 8))
    desk.restart()
    desk.run(4 * (2 * PATIENCE_S + LEAST_TURN_S) + 1.3 * PATIENCE_S)
    assert (desk.state("stored"), desk.state("absent")) == (State.UPLOADED, State.READY)
    assert desk.state("dead-0") is desk.state("dead-29") is State.UNCONFIRMED
    assert max(len(ids) for _, ids in desk.library.searches) <= 8 + 4, "eight doubts, and talks that are known"


@pytest.mark.unmeasured
def test_a_process_that_dies_and_dies_stays_within_the_quota(desk: Desk) -> None:
    """What was read before counts on: on record before it is read, by the clock on the wall."""
    for number in range(150):
        desk.upload(f"call-{number}", lost=True, stored=False, seed=number + 1)
    for _ in range(400):
        desk.restart()
        desk.run(5)
        desk.bench.clock.advance(5)
    for window, limit in READING.items():
        most = max(sum(cost for when, cost in desk.library.asked if at <= when < at + window) for at, _ in desk.library.asked)
        assert most <= limit, (window, most)


def test_a_service_that_asks_for_time_gets_it(desk: Desk) -> None:
    """But for an hour at most: whoever waits for ever never finds out."""
    desk.library.trouble = SearchTrouble(Code.RESOURCE_EXHAUSTED, "quota", math.inf)
    desk.upload("call", lost=True)
    desk.run(3500)
    assert len(desk.library.searches) == 1
    desk.library.trouble = None
    desk.run(200)
    assert desk.state("call") is State.UPLOADED


def test_an_answer_does_not_rule_on_a_try_that_began_while_it_was_on_its_way(desk: Desk) -> None:
    """The operator had it sent again, and that answer was lost too: its absence is still to be shown."""
    desk.upload("call", lost=True, stored=False)
    desk.upload("after")
    question: list[bool] = []

    def meanwhile() -> None:
        job = desk.bench.job("call.wav")
        if job.state is State.UNCONFIRMED and desk.bench.clock.monotonic() - began > PATIENCE_S + 5 and not question:
            question.append(True)
            desk.bench.queue.apply(lifecycle.resent(job, desk.bench.clock.now(), by_operator=True))
            desk.bench.service.script.append(LOST)
            desk.bench.send()

    began = desk.bench.clock.monotonic()
    desk.library.meanwhile = meanwhile
    desk.run(1.5 * PATIENCE_S)
    job = desk.bench.job("call.wav")
    assert question
    assert (job.state, job.claims) == (State.UNCONFIRMED, 2)


def test_a_find_is_not_for_what_lies_at_the_place_by_now(desk: Desk) -> None:
    """While the answer was on its way the operator skipped it, and another one came to its place and lost its own answer."""
    desk.upload("call", lost=True)

    def meanwhile() -> None:
        if desk.bench.job("call.wav").claims == 1:
            desk.bench.queue.apply(lifecycle.skipped(desk.bench.job("call.wav"), desk.bench.clock.now()))
            desk.bench.drop("call", seed=77)
            desk.bench.look(desk.bench.folder.rescan_interval_s + 1)
            desk.bench.settle()
            desk.bench.service.script.append(LOST)
            desk.bench.send()

    desk.library.meanwhile = meanwhile
    desk.run(300)
    job = desk.bench.job("call.wav")
    assert (job.state, job.claims, job.talk_id) == (State.UNCONFIRMED, 2, None)


def test_a_doubt_on_the_connection_of_another_folder_is_looked_up_with_its_own(desk: Desk) -> None:
    """A folder goes to the connection from which another one has gone: what is in doubt there is in doubt of both."""
    desk.upload("call", lost=True)
    desk.upload("second", lost=True)
    desk.bench.queue.write("UPDATE jobs SET folder = 'other' WHERE place = ?", (b"second.wav",))
    mine, other = replace(desk.bench.folder, connection_id="conn-2"), replace(desk.bench.folder, name="other")
    for rules in ({"in": mine, "other": other}, {"other": other, "in": mine}):
        desk.confirmer.configure(rules)
        desk.confirmer._look_at_queue()
        asked = [inquiry.batch(desk.bench.clock.monotonic() + 60) for inquiry in desk.confirmer._inquiries.values()]
        assert [len(batch.doubts) for batch in asked if batch] == [2]


def test_a_doubt_on_a_connection_that_is_left_does_not_rule_on_the_next(desk: Desk) -> None:
    """The folder goes to another connection; what was found out about the first is over with its last doubt."""
    desk.upload("call", lost=True, stored=False)
    desk.run(10)
    job = desk.bench.job("call.wav")
    desk.bench.queue.apply(lifecycle.confirmed(job, "talk-by-hand", desk.bench.clock.now()))
    desk.confirmer.configure({"in": replace(desk.bench.folder, connection_id="conn-2")})
    desk.run(60)
    assert [subject.connection_id for subject in desk.confirmer._inquiries] == ["conn-2"]


def test_an_orphan_of_a_call_that_was_forgotten_meanwhile_is_listed_all_the_same(desk: Desk) -> None:
    """The talk is still in SpeechSense, and deleting it is the operator's business more than ever."""
    doubts = SqliteDoubts(desk.bench.queue)
    assert doubts.add_orphan(99, "conn", "torn", "ab-1", desk.bench.clock.now(), whole=False)
    (orphan,) = doubts.orphans()
    assert (orphan.talk_id, orphan.job_id) == ("torn", None)


@pytest.mark.parametrize("key_then", ["", "call_id"], ids=["without a key", "by another key"])
def test_what_was_sent_otherwise_than_it_is_looked_for_is_not_taken_for_absent(tmp_path: Path, key_then: str) -> None:
    """Who follows the advice to set up the look-up has nothing sent again that the service has already."""
    then = {"on_unknown": OnUnknown.HOLD, "recording_id_field": key_then}
    now = {"on_unknown": OnUnknown.SEARCH, "recording_id_field": "recording_id", "search": SCOPE}
    with bench_on(tmp_path, UploadRules(concurrency=1), **then) as bench:
        desk = Desk(bench)
        desk.upload("old", lost=True, stored=False)
        bench.configure(search_patience_s=PATIENCE_S, **now)
        desk.restart()
        desk.upload("lost", lost=True, stored=False)
        desk.upload("new")
        desk.run(20 * PATIENCE_S)
        assert (desk.state("old"), desk.state("lost")) == (State.UNCONFIRMED, State.READY)
