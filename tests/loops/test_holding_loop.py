"""What the operator holds back, and trials: ready recordings that are not sent yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from speechsense_watch.core.holding import OperatorPause, fingerprint
from speechsense_watch.core.model import State
from speechsense_watch.core.rules import CallRecordRules, Folder, TooLong
from speechsense_watch.core.verdict import Code, Outcome
from speechsense_watch.holding import EVERYTHING, pause_as_json, pause_key
from support.bench import Bench, bench_on


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_on(tmp_path) as bench:
        yield bench


def pause(bench: Bench, scope: str, seconds: float | None = None) -> None:
    now = bench.clock.now()
    until = now + timedelta(seconds=seconds) if seconds is not None else None
    bench.queue.set_runtime(pause_key(scope), pause_as_json(OperatorPause(now, until)))


def ready(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.drop(f"call-{number}", seed=number)
    bench.settle()


def sent(bench: Bench) -> int:
    return sum(job.state in (State.UPLOADED, State.DONE) for job in bench.jobs())


@pytest.mark.parametrize("scope", [EVERYTHING, "in"])
def test_a_paused_folder_is_filled_and_not_emptied(bench: Bench, scope: str) -> None:
    """Until the word is taken back; nothing is charged and nothing is lost."""
    pause(bench, scope)
    ready(bench, 2)
    bench.send()
    assert [job.state for job in bench.jobs()] == [State.READY] * 2
    bench.queue.set_runtime(pause_key(scope), None)
    bench.send()
    assert sent(bench) == 2
    assert [job.attempts for job in bench.jobs()] == [0, 0]


def test_a_pause_ends_by_itself(bench: Bench) -> None:
    """At the time that was given."""
    pause(bench, "in", 3600)
    ready(bench, 1)
    bench.send(3000)
    assert sent(bench) == 0
    bench.send(700)
    assert sent(bench) == 1


def test_another_folder_s_pause_holds_nothing_here(bench: Bench) -> None:
    """Folders do not harm each other."""
    pause(bench, "other")
    ready(bench, 1)
    bench.send()
    assert sent(bench) == 1


def test_a_trial_sends_so_many_and_waits_for_the_word(bench: Bench) -> None:
    """However many are due and however many would go at once; what it sent is on record for `status`."""
    bench.configure(trial=3)
    ready(bench, 8)
    for _ in range(3):
        bench.send(1)
    assert sent(bench) == 3
    told = bench.queue.runtime()["trial:in"]
    assert isinstance(told, dict)
    assert told["sent"] == 3
    assert sorted(told["talks"]) == ["talk-1", "talk-2", "talk-3"]
    bench.queue.set_runtime("approved:in", fingerprint(bench.folder))
    for _ in range(3):
        bench.send(1)
    assert sent(bench) == 8


def test_a_lost_answer_counts_as_sent(bench: Bench) -> None:
    """It may have arrived, so no other goes in its place."""
    bench.configure(trial=1, on_unknown="hold")
    ready(bench, 3)
    bench.service.script = [Outcome(code=Code.UNAVAILABLE, committed=True)]
    for _ in range(3):
        bench.send(1)
    assert sorted(job.state for job in bench.jobs()) == [State.READY, State.READY, State.UNCONFIRMED]


def test_a_refused_one_does_not_count(bench: Bench) -> None:
    """There is no talk to look at."""
    bench.configure(trial=1)
    ready(bench, 2)
    bench.service.script = [Outcome(code=Code.INVALID_ARGUMENT, committed=True, message="no")]
    for _ in range(3):
        bench.send(1)
    assert sorted(job.state for job in bench.jobs()) == [State.DONE, State.REFUSED]


def test_changed_rules_have_a_trial_of_their_own(bench: Bench) -> None:
    """What was approved is what is sent, not the folder's name; a change of anything else is none."""
    bench.configure(trial=1)
    bench.queue.set_runtime("approved:in", fingerprint(bench.folder))
    ready(bench, 2)
    bench.send(1)
    assert sent(bench) == 2
    bench.configure(trial=1, quiet_period_s=5.0)
    bench.drop("same rules", seed=20)
    bench.settle()
    bench.send(1)
    assert sent(bench) == 3
    bench.configure(trial=1, metadata_constants={"office": "north"})
    for number in range(2):
        bench.drop(f"new rules {number}", seed=30 + number)
    bench.settle()
    for _ in range(3):
        bench.send(1)
    assert sent(bench) == 4


def test_a_trial_goes_on_after_a_restart(bench: Bench) -> None:
    """The uploader's memory is not what it is counted by."""
    bench.configure(trial=2)
    ready(bench, 1)
    bench.send(1)
    bench.configure(trial=2)
    for number in range(5, 8):
        bench.drop(f"call-{number}", seed=number)
    bench.settle()
    for _ in range(3):
        bench.send(1)
    assert sent(bench) == 2


def test_a_lost_answer_keeps_its_place_until_it_is_sent_again(bench: Bench) -> None:
    """By the default rules it is sent again, and no newer recording goes in its place meanwhile."""
    bench.configure(trial=2)
    ready(bench, 2)
    bench.service.script = [Outcome(code=Code.UNAVAILABLE, committed=True)] * 2
    bench.send(1)
    bench.look(1)
    for number in range(5, 9):
        bench.drop(f"newer-{number}", seed=number)
    bench.look(61)
    bench.settle()
    assert [job.state for job in bench.jobs()] == [State.UNCONFIRMED] * 2 + [State.READY] * 4
    for _ in range(5):
        bench.send(1000)
    begun = {job.place.path for job in bench.jobs() if job.claims}
    assert len(begun) == 2
    assert sorted(job.state for job in bench.jobs() if job.place.path in begun) == [State.DONE] * 2
    assert sum(job.claims for job in bench.jobs()) == 4
    told = bench.queue.runtime()["trial:in"]
    assert isinstance(told, dict)
    assert told["sent"] == 2


def test_what_is_sent_again_does_not_pass_a_pause(bench: Bench) -> None:
    """The operator's word holds for everything."""
    bench.configure(trial=1)
    ready(bench, 1)
    bench.service.script = [Outcome(code=Code.UNAVAILABLE, committed=True)]
    bench.send(1)
    pause(bench, "in")
    bench.send(1000)
    assert [job.claims for job in bench.jobs()] == [1]
    bench.queue.set_runtime(pause_key("in"), None)
    bench.send(1000)
    assert [(job.claims, job.state) for job in bench.jobs()] == [(2, State.DONE)]


def test_the_order_of_what_is_tried_first_begins_a_trial(bench: Bench) -> None:
    """Of two keys that become one the first wins, so their order decides what is sent."""
    rules = {"src": "client_id", "cnum": "client_id"}
    reverse = dict(reversed(rules.items()))
    marks = [fingerprint(replace(bench.folder, metadata_rename=mapping)) for mapping in (rules, reverse)]
    marks += [fingerprint(replace(bench.folder, metadata_paths=mapping)) for mapping in (rules, reverse)]
    assert len(set(marks)) == 4


def test_what_stands_at_its_default_is_not_in_the_fingerprint() -> None:
    """So an option that a later version adds does not put approved folders on trial."""
    folder = Folder(path="/in", connection_id="conn", start_from="all", name="in")
    assert fingerprint(folder) == "4040e9882ad2d911"
    assert fingerprint(replace(folder, cdr=CallRecordRules(csv="/a.csv"))) == "9665f92ad2bb82ee"
    assert fingerprint(replace(folder, too_long=TooLong.REFUSE)) == fingerprint(folder)
    assert fingerprint(replace(folder, too_long=TooLong.CUT)) != fingerprint(folder)
