"""core.lookup and core.beacons: what is adopted, what counts as absent, and what never does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from speechsense_watch.core.beacons import BEACON_LOST_S, MEASURE_EVERY_S, MEASURE_IN_DOUBT_EVERY_S, Beacons, Known
from speechsense_watch.core.lookup import (
    BLIND_AFTER_S,
    FIRST_LOOK_S,
    IDS_A_JOB,
    IDS_A_QUERY,
    JOBS_A_QUERY,
    KEPT_FOR,
    LAG_FACTOR,
    NEEDED_LOOKS,
    PREFIXES,
    Absent,
    Batch,
    Check,
    Checked,
    Doubt,
    Found,
    Inquiry,
    Orphan,
    Ruling,
    Try,
    doubt_of,
)
from speechsense_watch.core.model import State
from support.edges import AT, job_in

PATIENCE_S = 600.0
# The job that is in doubt: its one try reached the commit point, and the event that made it unconfirmed bears the number 50.
DOUBT = Doubt(job_id=1, since=50, whole=("a-1",), claims=1)
EARLIER = Known(talk_id="talk-earlier", recording_id="e-1", claimed=40)
LATER = Known(talk_id="talk-later", recording_id="l-1", claimed=60)
Shown = Mapping[str, Sequence[str]]
NOTHING: Shown = {}
EARLIER_SHOWN: Shown = {"e-1": ["talk-earlier"]}
LATER_SHOWN: Shown = {"l-1": ["talk-later"]}


@dataclass
class Asking:
    """An inquiry with a clock of its own, and a service that answers what the test says."""

    inquiry: Inquiry = field(default_factory=lambda: Inquiry(patience_s=PATIENCE_S))
    doubts: list[Doubt] = field(default_factory=lambda: [DOUBT])
    checks: list[Check] = field(default_factory=list)
    known: list[Known] = field(default_factory=lambda: [LATER, EARLIER])
    at: float = 1000.0
    looks: int = 0

    def after(self, seconds: float) -> Asking:
        """So much later, when all there is is due for a look."""
        self.take_in()
        self.at += seconds
        return self

    def take_in(self) -> None:
        self.inquiry.take_in(self.doubts, self.checks, (), self.at)
        if self.inquiry.wants_known or self.inquiry.measure_due(self.at):
            self.inquiry.take_in(self.doubts, self.checks, self.known, self.at)

    def ask(self) -> Batch:
        """The next query, when it is due."""
        self.take_in()
        due = self.inquiry.next_at()
        assert due is not None, "nothing would be asked any more"
        self.at = max(self.at, due)
        self.take_in()
        batch = self.inquiry.batch(self.at)
        assert batch is not None
        return batch

    def look(self, shown: Shown) -> list[Ruling]:
        batch = self.ask()
        self.looks += bool(batch.doubts)
        return self.inquiry.answered(batch, {name: shown[name] for name in batch.ids if name in shown}, self.at)

    def look_for(self, seconds: float, shown: Shown) -> list[Ruling]:
        """All that is ruled while the service goes on showing that, for so long or until there is a ruling."""
        until = self.at + seconds
        while self.at < until:
            if rulings := self.look(shown):
                return rulings
        return []


# --- found ---------------------------------------------------------------------------------------


def test_a_find_is_adopted_at_once() -> None:
    """Nothing known, no patience: the talk carries the id of a try that may have arrived whole, and that settles it."""
    asking = Asking(known=[])
    assert asking.look({"a-1": ["talk-9"]}) == [Found(1, "talk-9", "a-1", doubled=False)]
    assert asking.at == 1000.0 + FIRST_LOOK_S


def test_what_a_broken_try_left_is_never_adopted() -> None:
    """It is reported as an orphan, and the doubt goes on."""
    asking = Asking(doubts=[replace(DOUBT, whole=("a-2",), broken=("a-1",), claims=2)])
    assert asking.look({"a-1": ["talk-cut"], **LATER_SHOWN}) == [Orphan(1, "talk-cut", "a-1", whole=False)]
    assert asking.inquiry.next_at() is not None


def test_two_whole_tries_that_both_arrived_are_a_double() -> None:
    """The latest counts, the other one is reported as a whole orphan."""
    asking = Asking(doubts=[replace(DOUBT, whole=("a-2", "a-1"), claims=2)])
    rulings = asking.look({"a-1": ["talk-1"], "a-2": ["talk-2"]})
    assert rulings == [Orphan(1, "talk-1", "a-1", whole=True), Found(1, "talk-2", "a-2", doubled=True)]


def test_a_try_of_which_the_service_made_two_talks_is_a_double() -> None:
    """Whoever repeated the request."""
    assert Asking().look({"a-1": ["talk-1", "talk-2"]})[-1] == Found(1, "talk-1", "a-1", doubled=True)


# --- shown absent --------------------------------------------------------------------------------


def test_absence_is_three_looks_over_the_patience_that_agree() -> None:
    """Each with the control and the fence in the same answer."""
    asking = Asking()
    [absent] = asking.look_for(2 * PATIENCE_S, LATER_SHOWN)
    assert isinstance(absent, Absent)
    assert (absent.job_id, absent.claims) == (1, 1)
    assert absent.looks >= NEEDED_LOOKS
    assert PATIENCE_S <= absent.seconds < 1.5 * PATIENCE_S


def test_three_looks_are_needed_however_short_the_patience() -> None:
    asking = Asking(Inquiry(patience_s=0.0))
    [absent] = asking.look_for(100.0, LATER_SHOWN)
    assert isinstance(absent, Absent)
    assert absent.looks == NEEDED_LOOKS


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ([], NOTHING),
        ([EARLIER], EARLIER_SHOWN),
        ([LATER, EARLIER], NOTHING),
        ([LATER, EARLIER], EARLIER_SHOWN),
        ([replace(LATER, claimed=DOUBT.since)], LATER_SHOWN),
        ([LATER], {"l-1": ["another talk"]}),
    ],
    ids=[
        "nothing is known to exist",
        "only a talk that was begun before",
        "the query shows nothing at all",
        "the later talk is not in sight yet",
        "a talk that was begun with the doubt is not later",
        "the id of the later talk, under another talk id",
    ],
)
def test_not_to_be_found_is_no_proof(known: list[Known], shown: Shown) -> None:
    """However often and however long it was looked for; and it goes on being looked for."""
    asking = Asking(known=known)
    assert asking.look_for(5 * 86400.0, shown) == []
    assert asking.looks > 100


def test_a_fence_that_was_in_sight_before_does_not_count_in_an_answer_without_it() -> None:
    """An index with several copies may show it once and lag behind in every answer after that."""
    asking = Asking()
    assert asking.look(LATER_SHOWN) == []
    assert asking.look_for(86400.0, EARLIER_SHOWN) == []


def test_an_answer_that_shows_nothing_is_no_look() -> None:
    """Between looks that count there may be some that do not; only those that count are counted."""
    asking = Asking(Inquiry(patience_s=0.0), known=[LATER]).after(FIRST_LOOK_S)
    for shown in (LATER_SHOWN, NOTHING, NOTHING, LATER_SHOWN, NOTHING):
        assert asking.look(shown) == []
        asking.after(5.0)
    [absent] = asking.look(LATER_SHOWN)
    assert isinstance(absent, Absent)
    assert absent.looks == NEEDED_LOOKS


def test_the_patience_is_ten_times_the_longest_time_in_vain() -> None:
    """Of the known talks that have been seen, and of one that is still looked for."""
    asking = Asking(Inquiry(patience_s=PATIENCE_S, beacons=Beacons([5.0, 300.0, 20.0])))
    assert asking.inquiry.needed_s == LAG_FACTOR * 300.0
    [absent] = asking.look_for(86400.0, LATER_SHOWN)
    assert isinstance(absent, Absent)
    assert absent.seconds >= 3000.0

    waiting = Asking()
    waiting.look_for(500.0, EARLIER_SHOWN)
    assert waiting.inquiry.needed_s >= LAG_FACTOR * 250.0


def test_looks_are_counted_from_the_end_of_the_first_to_the_beginning_of_the_last() -> None:
    """A question that took long shows what was there when it was asked."""
    inquiry = Inquiry(patience_s=10.0)
    inquiry.take_in([DOUBT], [], [LATER], 0.0)
    for asked_at, answered_at in ((2.0, 8.0), (9.0, 12.0), (17.9, 60.0)):
        batch = Batch(("a-1", "l-1"), {"talk-later": "l-1"}, asked_at, doubts=(1,))
        assert inquiry.answered(batch, LATER_SHOWN, answered_at) == []
    batch = replace(batch, at=18.0)
    assert inquiry.answered(batch, LATER_SHOWN, 61.0) == [Absent(1, 1, 4, 10.0)]


def test_a_question_that_failed_is_no_look_and_comes_again() -> None:
    """Not before the time that was asked for."""
    asking = Asking(Inquiry(patience_s=0.0)).after(FIRST_LOOK_S)
    for _ in range(10):
        batch = asking.ask()
        asking.inquiry.failed(batch, asking.at, 60.0)
        assert asking.inquiry.next_at() == asking.at + 60.0
    assert [asking.look(LATER_SHOWN) for _ in range(2)] == [[], []]


def test_where_looking_is_refused_one_question_at_a_time_is_asked() -> None:
    """However many there are in doubt: each of the others would be refused as well, and is one less for other connections. None
    is passed over: the one that was refused comes again when each of the others was asked for.
    """
    doubts = [Doubt(job_id=n, since=n, whole=(f"{n}-1",), claims=1) for n in range(1000)]
    asking = Asking(doubts=doubts, known=[]).after(FIRST_LOOK_S)
    asked: list[int] = []
    began = asking.at
    while asking.at < began + 20 * 60.0:
        batch = asking.ask()
        asked += batch.doubts
        asking.inquiry.failed(batch, asking.at, 60.0)
        assert asking.inquiry.batch(asking.at + 59.9) is None
    assert len(asked) <= 22 * JOBS_A_QUERY
    assert asked[:2000] == [*range(1000)] * 2


def test_a_doubt_that_comes_back_is_another_doubt() -> None:
    """Looks before it say nothing; nor does a talk that was begun before it."""
    asking = Asking(Inquiry(patience_s=0.0)).after(FIRST_LOOK_S)
    asking.look(LATER_SHOWN)
    asking.after(5.0).look(LATER_SHOWN)
    came_back = asking.at
    asking.doubts = [replace(DOUBT, since=70, whole=("a-2", "a-1"), claims=2)]
    assert asking.look_for(3600.0, LATER_SHOWN) == []
    asking.known = [Known(talk_id="talk-newest", recording_id="n-1", claimed=71), *asking.known]
    [absent] = asking.look_for(3600.0, {**LATER_SHOWN, "n-1": ["talk-newest"]})
    assert isinstance(absent, Absent)
    assert (absent.claims, absent.looks) == (2, NEEDED_LOOKS)
    assert absent.seconds <= asking.at - came_back


def test_an_answer_rules_only_on_what_it_was_asked_for() -> None:
    """The job was sent again and came back into doubt while the question was on its way."""
    inquiry = Inquiry(patience_s=0.0)
    inquiry.take_in([DOUBT], [], [replace(LATER, claimed=90)], 0.0)
    batch = inquiry.batch(FIRST_LOOK_S)
    assert batch is not None
    inquiry.take_in([replace(DOUBT, since=70, whole=("a-2", "a-1"), claims=2)], [], (), 3.0)
    for at in (4.0, 5.0, 6.0, 7.0):
        assert inquiry.answered(batch, LATER_SHOWN, at) == []


def test_what_is_not_to_be_sent_again_is_looked_for_and_never_shown_absent() -> None:
    """The operator's own upload: a find is adopted all the same."""
    asking = Asking(doubts=[replace(DOUBT, may_resend=False)])
    assert asking.look_for(86400.0, LATER_SHOWN) == []
    assert asking.look({"a-1": ["talk-1"]}) == [Found(1, "talk-1", "a-1", doubled=False)]


def test_what_can_only_be_found_is_looked_for_once_an_hour_in_the_long_run() -> None:
    """Ten thousand of them take a quarter of what may be read in a day, and leave the rest to those that can be settled."""
    asking = Asking(doubts=[replace(DOUBT, may_resend=False)], known=[])
    began = asking.at
    while asking.at < began + 86_400.0:
        last = asking.at
        asking.look(NOTHING)
    assert asking.at - last == 3600.0
    assert 86_400 / 3600 < asking.looks < 40
    assert asking.look({"a-1": ["talk-9"]}) == [Found(1, "talk-9", "a-1", doubled=False)]


def test_a_doubt_grows_too_old_to_be_shown_absent() -> None:
    """The service keeps talks for three months; this holds for a doubt that was young when it was first seen, too."""
    asking = Asking(Inquiry(patience_s=0.0))
    asking.look(LATER_SHOWN)
    asking.doubts = [replace(DOUBT, may_resend=False)]
    assert asking.look_for(86400.0, LATER_SHOWN) == []


def test_a_restart_begins_its_proofs_anew() -> None:
    """Looks are remembered by nobody; what was measured is handed on."""
    before = Asking()
    before.look_for(PATIENCE_S - 150.0, LATER_SHOWN)
    after = Asking(Inquiry(patience_s=PATIENCE_S, beacons=Beacons(before.inquiry.beacons.lags)), at=before.at)
    assert after.look_for(PATIENCE_S - 150.0, LATER_SHOWN) == []


def test_what_was_settled_otherwise_is_not_looked_for_any_more() -> None:
    """By the operator, say."""
    asking = Asking()
    batch = asking.ask()
    asking.doubts = []
    asking.take_in()
    assert asking.inquiry.answered(batch, {"a-1": ["talk-1"]}, asking.at) == []
    asking.look(LATER_SHOWN)
    assert asking.inquiry.next_at() is None


# --- the doubt about a job -------------------------------------------------------------------------


def test_a_doubt_is_about_the_tries_that_reached_their_commit_point() -> None:
    """The latest first; the others are asked for as leftovers."""
    job = replace(job_in(State.UNCONFIRMED), claims=3)
    tries = [Try("a-1", committed=True), Try("a-2", committed=False), Try("a-3", committed=True)]
    assert doubt_of(job, 50, tries, AT) == Doubt(job_id=7, since=50, whole=("a-3", "a-1"), broken=("a-2",), claims=3)


@pytest.mark.parametrize(
    ("owner", "tries", "age"),
    [
        ("1:2", [Try("a-1", committed=True)], timedelta()),
        (None, [], timedelta()),
        (None, [Try("a-1", committed=False)], timedelta()),
        (None, [Try("a-1", committed=True)], KEPT_FOR),
    ],
    ids=["sent by the operator", "no try on record", "no try that reached its commit point", "older than talks are kept"],
)
def test_some_doubts_are_never_sent_again_by_themselves(owner: str | None, tries: list[Try], age: timedelta) -> None:
    """Not to find it would show nothing, or it is not ours to repeat."""
    job = replace(job_in(State.UNCONFIRMED), owner=owner)
    assert not doubt_of(job, 50, tries, job.updated_at + age).may_resend
    young = doubt_of(replace(job, owner=None), 50, [Try("a-1", committed=True)], job.updated_at)
    assert young.may_resend


# --- known talks -----------------------------------------------------------------------------------


def test_a_talk_is_measured_by_once_an_hour() -> None:
    """From when it was accepted until it is seen, while nothing is in doubt."""
    asking = Asking(doubts=[], known=[EARLIER])
    asking.look(EARLIER_SHOWN)
    asking.known = [LATER, EARLIER]
    for shown in (EARLIER_SHOWN, EARLIER_SHOWN, {**EARLIER_SHOWN, **LATER_SHOWN}):
        asking.look(shown)
    assert len(asking.inquiry.beacons.lags) == 1
    assert not asking.inquiry.measure_due(asking.at)
    asking.known = [Known(talk_id="talk-newest", recording_id="n-1", claimed=80), LATER]
    for known in (asking.known, [Known(talk_id="talk-still-newer", recording_id="s-1", claimed=90), *asking.known]):
        asking.inquiry.take_in((), (), known, asking.at)
    assert list(asking.inquiry.beacons.known) == ["talk-later"]
    asking.at += MEASURE_EVERY_S
    assert asking.inquiry.measure_due(asking.at)


def test_an_index_that_stands_still_while_absence_is_being_shown_is_noticed() -> None:
    """What was sent before it stood still stays in sight, and the lost try may have been stored after that. Talks that are
    accepted meanwhile and do not come into sight prolong the patience.
    """
    asking = Asking()
    assert asking.look(LATER_SHOWN) == []
    for number in range(12):
        asking.known = [Known(talk_id=f"talk-{number}", recording_id=f"m{number}-1", claimed=70 + number), *asking.known[:2]]
        asking.after(60.0)
        if (batch := asking.inquiry.batch(asking.at)) is not None:
            shown = {name: LATER_SHOWN[name] for name in batch.ids if name in LATER_SHOWN}
            assert asking.inquiry.answered(batch, shown, asking.at) == []
    assert asking.at - 1000.0 > PATIENCE_S
    assert asking.inquiry.needed_s > 5 * PATIENCE_S


def test_only_while_absence_is_being_shown_talks_are_measured_by_more_often() -> None:
    """What can be found and never be shown absent may stay for years, and each measuring uses up what may be read."""
    for doubt, shown, due in (
        (DOUBT, LATER_SHOWN, True),
        (DOUBT, NOTHING, False),
        (replace(DOUBT, may_resend=False), LATER_SHOWN, False),
    ):
        asking = Asking(doubts=[doubt])
        asking.look(shown)
        asking.at += MEASURE_IN_DOUBT_EVERY_S
        assert asking.inquiry.measure_due(asking.at) is due


def test_an_old_talk_measures_nothing() -> None:
    """It would be seen at once, and noughts would push out what was measured."""
    asking = Asking(Inquiry(patience_s=PATIENCE_S, beacons=Beacons([120.0])), doubts=[])
    for _ in range(100):
        asking.at += MEASURE_EVERY_S
        asking.take_in()
        if (batch := asking.inquiry.batch(asking.at)) is not None:
            asking.inquiry.answered(batch, {**EARLIER_SHOWN, **LATER_SHOWN}, asking.at)
    assert asking.inquiry.beacons.lags == [120.0]
    assert asking.inquiry.needed_s == 1200.0


def test_doubts_that_come_faster_than_talks_come_into_sight_do_not_push_the_fence_away() -> None:
    """Each would have a later talk; those that have waited longest are kept, and are seen first."""
    asking = Asking()
    talks: list[tuple[float, Known]] = []
    settled = 0
    for i in range(400):
        asking.at += 10.0
        number = 100 + 2 * i
        asking.doubts = [*asking.doubts, Doubt(job_id=10 + i, since=number, whole=(f"d{i}-1",), claims=1)][-60:]
        talks.append((asking.at, Known(talk_id=f"talk-{i}", recording_id=f"k{i}-1", claimed=number + 1)))
        asking.known = [known for _, known in talks[:-4:-1]]
        asking.take_in()
        if (batch := asking.inquiry.batch(asking.at)) is not None:
            shown = {known.recording_id: [known.talk_id] for accepted, known in talks if asking.at - accepted > 200.0}
            rulings = asking.inquiry.answered(batch, shown, asking.at)
            settled += any(isinstance(each, Absent) for each in rulings)
    assert asking.inquiry.beacons.lags
    assert asking.inquiry.blind_s(asking.at) == 0.0
    assert len(asking.inquiry.beacons.known) <= 17


def test_one_later_talk_at_a_time_is_waited_for() -> None:
    """Until it is in sight another one would be of no more use."""
    asking = Asking()
    assert asking.ask().known == {"talk-later": "l-1"}
    asking.inquiry.take_in([DOUBT], [], [Known(talk_id="talk-newest", recording_id="n-1", claimed=80), LATER], asking.at)
    assert asking.ask().known == {"talk-later": "l-1"}


def test_of_the_talks_in_sight_the_latest_is_kept() -> None:
    """It is control and fence in one, and asking for more would cost quota."""
    asking = Asking(known=[EARLIER])
    asking.look(EARLIER_SHOWN)
    asking.known = [LATER, EARLIER]
    asking.look({**EARLIER_SHOWN, **LATER_SHOWN})
    assert asking.ask().known == {"talk-later": "l-1"}


def test_a_known_talk_that_was_deleted_is_replaced() -> None:
    """It is no control any more, does not count as lag, and another one takes its place."""
    asking = Asking()
    for i in range(20):  # again and again
        asking.known = [Known(talk_id=f"talk-{i}", recording_id=f"k{i}-1", claimed=51 + i)]
        asking.look({f"k{i}-1": [f"talk-{i}"]})
        asking.look(NOTHING)
    newest = Known(talk_id="talk-newest", recording_id="n-1", claimed=80)
    asking.known = [newest, EARLIER]
    [absent] = asking.look_for(2 * PATIENCE_S, {"n-1": ["talk-newest"]})
    assert isinstance(absent, Absent)
    assert asking.inquiry.needed_s == PATIENCE_S


def test_a_talk_that_is_never_shown_is_given_up_after_a_day_and_not_forgotten() -> None:
    """For so long the service may hide a talk: absence within the configured patience would be no proof."""
    asking = Asking(known=[EARLIER])
    asking.look(EARLIER_SHOWN)
    asking.known = [LATER, EARLIER]
    asking.look_for(BEACON_LOST_S + 1000.0, EARLIER_SHOWN)
    assert asking.inquiry.needed_s > LAG_FACTOR * 0.9 * BEACON_LOST_S


def test_a_query_that_never_worked_measures_nothing() -> None:
    """A key that is not declared says nothing of the lag, once it is."""
    asking = Asking()
    asking.look_for(BEACON_LOST_S + 1000.0, NOTHING)
    assert asking.inquiry.beacons.lags == []


def test_it_is_told_for_how_long_nothing_known_is_in_sight() -> None:
    """Until then a talk may just be late."""
    asking = Asking()
    asking.look(NOTHING)
    assert asking.inquiry.blind_s(asking.at) < BLIND_AFTER_S
    asking.look_for(BLIND_AFTER_S, NOTHING)
    assert asking.inquiry.blind_s(asking.at) > BLIND_AFTER_S
    asking.look_for(400.0, LATER_SHOWN)
    assert asking.inquiry.blind_s(asking.at) == 0.0
    asking.look_for(2 * BLIND_AFTER_S, NOTHING)
    assert asking.inquiry.blind_s(asking.at) > BLIND_AFTER_S


def test_looks_never_stop_and_are_never_farther_apart_than_ten_minutes() -> None:
    """While there is a doubt, whatever the service answers or fails to answer."""
    asking = Asking(known=[])
    last = asking.at
    for i in range(1000):
        if i % 3:
            asking.look(NOTHING)
        else:
            asking.inquiry.failed(asking.ask(), asking.at, 60.0)
        assert asking.at - last <= 600.0
        last = asking.at


def test_years_of_traffic_are_kept_in_no_memory() -> None:
    """Beacons, lags, doubts and checks are as many as there are now."""
    asking = Asking(doubts=[])
    for i in range(3000):
        asking.at += 1800.0
        asking.known = [Known(talk_id=f"talk-{i}", recording_id=f"k{i}-1", claimed=100 + i)]
        asking.doubts = [Doubt(job_id=i, since=100 + i, whole=(f"d{i}-1",), claims=1)] if i % 5 == 0 else []
        asking.take_in()
        if (batch := asking.inquiry.batch(asking.at)) is not None:
            shown = {each: [talk] for talk, each in batch.known.items()} if i % 2 else NOTHING
            asking.inquiry.answered(batch, shown, asking.at)
    inquiry = asking.inquiry
    assert len(inquiry._doubts) + len(inquiry._checks) <= 1
    assert len(inquiry.beacons.known) <= 17
    assert len(inquiry.beacons.lags) <= 50


def test_the_last_fifty_lags_are_remembered() -> None:
    """An index that was slow once is not taken for slow for ever."""
    beacons = Beacons()
    for i in range(60):
        known = Known(talk_id=f"talk-{i}", recording_id=f"k{i}-1", claimed=i)
        beacons.choose([known], i - 1, 1000.0 * i)
        beacons.looked(beacons.known, NOTHING, 1000.0 * i + 100.0 + i)
        beacons.looked(beacons.known, {f"k{i}-1": [f"talk-{i}"]}, 1000.0 * i + 200.0)
    assert beacons.lags == [100.0 + i for i in range(10, 60)]


# --- the key ---------------------------------------------------------------------------------------


def test_both_prefixes_are_asked_for_until_one_has_worked() -> None:
    """The service's own documents name both."""
    inquiry = Inquiry(patience_s=PATIENCE_S)
    assert inquiry.keys("id") == ("userMeta.id", "user.id") == tuple(prefix + "id" for prefix in PREFIXES)
    inquiry.key_worked("user.id", "id")
    assert inquiry.keys("id") == ("user.id",)


def test_a_prefix_is_forgotten_when_nothing_known_is_found_by_it_any_more() -> None:
    """Three answers in a row without any talk that is known to exist."""
    asking = Asking()
    asking.inquiry.key_worked("user.id", "id")
    for shown in (NOTHING, NOTHING, LATER_SHOWN, NOTHING, NOTHING):
        asking.look(shown)
    assert asking.inquiry.keys("id") == ("user.id",)
    asking.look(NOTHING)
    assert asking.inquiry.keys("id") == ("userMeta.id", "user.id")


def test_a_prefix_is_not_forgotten_for_want_of_known_talks() -> None:
    """Where nothing could be found by it, nothing was looked for in vain."""
    asking = Asking(known=[])
    asking.inquiry.key_worked("user.id", "id")
    asking.look_for(3600.0, NOTHING)
    assert asking.inquiry.keys("id") == ("user.id",)


# --- one query -------------------------------------------------------------------------------------


def test_one_query_asks_for_a_hundred_jobs_at_most() -> None:
    """The longest due first; the next one takes the rest."""
    asking = Asking(doubts=[replace(DOUBT, job_id=i, whole=(f"d{i}-1",)) for i in range(250)])
    seen: list[int] = []
    for _ in range(3):
        batch = asking.ask()
        assert len(batch.doubts) <= JOBS_A_QUERY
        seen += batch.doubts
        asking.inquiry.answered(batch, LATER_SHOWN, asking.at)
    assert set(seen) == set(range(250))


def test_one_query_asks_for_a_thousand_tries_at_most() -> None:
    """However many a job has had: one that failed for weeks does not make a query that the service refuses."""
    broken = tuple(f"b-{n}" for n in range(5000))
    doubts = [replace(DOUBT, job_id=i, whole=(f"d{i}-1",), broken=broken) for i in range(2)]
    many = [replace(DOUBT, job_id=i, whole=tuple(f"d{i}-{n}" for n in range(150))) for i in range(2, 12)]
    asking = Asking(doubts=[*doubts, *many])
    asked: set[int] = set()
    for _ in range(20):
        batch = asking.ask()
        assert len(batch.ids) <= IDS_A_QUERY
        asked |= set(batch.doubts)
        asking.inquiry.answered(batch, LATER_SHOWN, asking.at)
    assert asked == set(range(12))


def test_of_too_many_tries_the_whole_ones_and_the_latest_broken_ones_are_asked_for() -> None:
    """These are the ones that matter, and of these the likeliest to have left something."""
    broken = tuple(f"b-{n}" for n in range(1000))
    batch = Asking(doubts=[replace(DOUBT, broken=broken)], known=[]).ask()
    assert batch.ids == ("a-1", *reversed(broken[-(IDS_A_JOB - 1) :]))


@pytest.mark.unmeasured
def test_a_job_with_more_whole_tries_than_can_be_asked_for_is_never_shown_absent() -> None:
    """What was not asked for was not looked for."""
    asking = Asking(Inquiry(patience_s=0.0), doubts=[replace(DOUBT, whole=tuple(f"a-{n}" for n in range(IDS_A_JOB + 1)))])
    assert asking.look_for(86400.0, LATER_SHOWN) == []


# --- leftovers of a finished job -----------------------------------------------------------------


CHECK = Check(job_id=3, talk_id="talk-own", whole=("c-2",), broken=("c-1",))
OWN: Shown = {"c-2": ["talk-own"], **LATER_SHOWN}


def test_what_a_broken_try_left_beside_the_talk_that_counts_is_an_orphan() -> None:
    """It is told once it is seen; the job's own talk never is."""
    asking = Asking(doubts=[], checks=[CHECK])
    assert asking.look({**OWN, "c-1": ["talk-cut"]}) == [Orphan(3, "talk-cut", "c-1", whole=False)]


def test_the_look_after_leftovers_ends_when_its_own_talk_has_been_in_sight_long_enough() -> None:
    """As long as absence takes to be shown."""
    asking = Asking(doubts=[], checks=[CHECK])
    began = asking.at
    assert asking.look_for(86400.0, OWN) == [Checked(3, doubled=False)]
    assert PATIENCE_S <= asking.at - began < 2 * PATIENCE_S


def test_a_second_whole_talk_is_remembered_to_the_end() -> None:
    """Then the job is marked."""
    asking = Asking(doubts=[], checks=[replace(CHECK, whole=("c-2", "c-1"), broken=())])
    assert asking.look({**OWN, "c-1": ["talk-too"]}) == [Orphan(3, "talk-too", "c-1", whole=True)]
    assert asking.look_for(86400.0, OWN) == [Checked(3, doubled=True)]


def test_with_a_slow_index_the_look_after_leftovers_takes_longer() -> None:
    """It does not end after so many looks when a talk may take longer to come into sight."""
    asking = Asking(Inquiry(patience_s=PATIENCE_S, beacons=Beacons([7200.0])), doubts=[], checks=[CHECK])
    began = asking.at
    assert asking.look_for(10 * 86400.0, OWN) == [Checked(3, doubled=False)]
    assert asking.at - began >= LAG_FACTOR * 7200.0


def test_the_look_after_leftovers_ends_where_nothing_is_ever_shown() -> None:
    """Else those of a connection without the key would be looked after for ever."""
    asking = Asking(doubts=[], checks=[CHECK], known=[])
    assert asking.look_for(86400.0, NOTHING) == [Checked(3, doubled=False)]
