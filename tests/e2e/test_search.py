"""`on_unknown = "search"`: what became of a lost answer is found out at the service, by the real daemon."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.standin import Connection, Fault, Rules, StandIn
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm

DONE = State.DONE


@contextmanager
def searching(tmp_path: Path, rules: Rules | None = None, patience: str = "2s") -> Iterator[tuple[Rig, StandIn]]:
    """A daemon that looks up, beside a stand-in; a patience this short is for tests alone."""
    with StandIn(tmp_path / "service", rules=rules) as standin, Rig(tmp_path, standin.port) as rig:
        rig.rules |= {"on_unknown": "search", "recording_id_field": "recording_id", "search_patience": patience}
        rig.tables = 'search = { organization_id = "org", space_id = "space" }\n'
        yield rig, standin


@pytest.mark.parametrize("stream_above", ["3MiB", "0B"], ids=["in one message", "as a stream"])
def test_a_talk_whose_answer_was_lost_is_found_and_adopted(tmp_path: Path, stream_above: str) -> None:
    """Nothing is sent again, and its talk id is on record."""
    with searching(tmp_path) as (rig, standin):
        rig.upload["stream_above"] = stream_above
        standin.order(Fault("lost_answer"))
        rig.start()
        rig.drop("call")
        rig.wait_for_states(call=DONE)
        job = rig.jobs()["call.wav"]
        assert [talk.talk_id for talk in standin.talks()] == [job.talk_id]
        assert not job.possible_duplicate
        assert "looked_up" in rig.log()


def test_a_recording_that_is_shown_to_be_absent_is_sent_again(tmp_path: Path) -> None:
    """Only after a talk that was sent later had come into sight."""
    with searching(tmp_path) as (rig, standin):
        rig.upload["stream_above"] = "3MiB"
        standin.order(Fault("UNAVAILABLE", when="mid"))
        rig.start()
        rig.drop("doubtful")
        rig.wait_for_states(doubtful=State.UNCONFIRMED)
        rig.drop("later", pcm(seconds=1, seed=2))
        rig.wait_for_states(later=DONE)
        rig.wait_for_states(30, doubtful=DONE)
        doubtful = rig.jobs()["doubtful.wav"]
        assert len(standin.talks()) == 2
        assert (doubtful.claims, doubtful.possible_duplicate) == (2, False)


def test_a_kill_at_the_commit_point_is_cleared_up_by_the_next_start(tmp_path: Path) -> None:
    """The daemon died between the last byte and the answer."""
    with searching(tmp_path) as (rig, standin):
        standin.order(Fault("delay", when="after", seconds=30))
        rig.start()
        rig.drop("call")
        wait_for(lambda: len(standin.talks()) == 1, 20)
        rig.stop(signal.SIGKILL)
        rig.start()
        rig.wait_for_states(call=DONE)
        assert [talk.talk_id for talk in standin.talks()] == [rig.jobs()["call.wav"].talk_id]


def test_the_other_prefix_is_found_out(tmp_path: Path) -> None:
    """`user.` works as well as `userMeta.`, without a word in the configuration."""
    with searching(tmp_path, Rules(key_prefix="user.")) as (rig, standin):
        standin.order(Fault("lost_answer"))
        rig.start()
        rig.drop("call")
        rig.wait_for_states(call=DONE)
        assert len(standin.talks()) == 1


def test_an_undeclared_key_leaves_it_to_the_operator(tmp_path: Path) -> None:
    """A key that the connection does not know shows nothing: then nothing counts as absent, and nothing is sent twice."""
    rules = Rules(connections={"conn-1": Connection(declared=frozenset())})
    with searching(tmp_path, rules) as (rig, standin):
        standin.order(Fault("UNAVAILABLE", when="mid"))
        rig.start()
        rig.drop("doubtful")
        rig.wait_for_states(doubtful=State.UNCONFIRMED)
        rig.drop("later", pcm(seconds=1, seed=2))
        rig.wait_for_states(later=DONE)
        wait_for(lambda: len([call for call in standin.calls() if call.method == "Search"]) >= 6, 20)
        assert rig.states()["doubtful.wav"] is State.UNCONFIRMED
        assert len(standin.talks()) == 1
