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


# --- the commands ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "fault", "parts"),
    [
        (Rules(), None, ("the key may search, and `recording_id` can be searched (as userMeta.recording_id).",)),
        (Rules(key_prefix="user."), None, ("(as user.recording_id)",)),
        (
            Rules(connections={"conn-1": Connection(declared=frozenset())}),
            None,
            ("was uploaded with `recording_id`, but SpeechSense does not show it", "Declare `recording_id`"),
        ),
        (Rules(index_lag_s=3600), None, ("but SpeechSense does not show it",)),
        (Rules(), Fault("PERMISSION_DENIED", methods=("Search",), count=0), ("the key may not search: PERMISSION_DENIED",)),
        (Rules(), Fault("INVALID_ARGUMENT", methods=("Search",), count=0), ("could not be searched by `recording_id`",)),
    ],
    ids=["as it should be", "the other prefix", "not declared", "not shown yet", "no right", "not understood"],
)
def test_online_tells_whether_looking_up_can_work(
    tmp_path: Path, rules: Rules, fault: Fault | None, parts: tuple[str, ...]
) -> None:
    """By a talk that was uploaded before; and that only an upload proves the right to upload."""
    with searching(tmp_path, rules) as (rig, standin):
        rig.start()
        rig.drop("call")
        rig.wait_for_states(call=DONE)
        if fault is not None:
            standin.order(fault)
        code, said = rig.call("check", "--online")
        flat = " ".join(said.split())
        assert all(part in flat for part in (*parts, "Only an upload proves that it may send")), said
        assert code == (0 if "can be searched" in flat else 78)


def test_online_before_the_first_upload(tmp_path: Path) -> None:
    """Whether the key is declared cannot be known yet, and that is said."""
    with searching(tmp_path) as (rig, _standin):
        rig.configure()
        code, said = rig.call("check", "--online")
        assert "whether `recording_id` is declared in the connection shows with the first upload" in " ".join(said.split())
        assert code == 0


def test_orphans_are_told_listed_and_cleared(tmp_path: Path) -> None:
    """The service took a torn stream for a talk; SpeechSense has no call to delete it, so the operator must hear of it."""
    with searching(tmp_path) as (rig, standin):
        rig.upload |= {"stream_above": "0B", "chunk_size": "64KiB", "shutdown_grace": "1s"}
        standin.order(Fault("commit_truncated"))
        standin.order(Fault("delay", when="mid", seconds=30))
        rig.start()
        # More than flow control lets out ahead of a service that does not read on.
        rig.drop("call", pcm(seconds=900))
        arriving = tmp_path / "service" / "incoming"
        wait_for(lambda: any(path.stat().st_size for path in arriving.glob("*.part")), 20)
        assert rig.states() == {"call.wav": State.UPLOADING}
        rig.stop(signal.SIGKILL)
        wait_for(lambda: len(standin.talks()) == 1, 40)
        rig.start()
        rig.wait_for_states(call=DONE)
        torn = next(talk.talk_id for talk in standin.talks() if talk.talk_id != rig.jobs()["call.wav"].talk_id)
        wait_for(lambda: rig.call("orphans")[1].find(torn) >= 0, 20)
        code, said = rig.call("status")
        assert code == 1
        assert "1 talk beside those that count" in " ".join(said.split())
        assert f"{torn}: left by other tries" in " ".join(rig.call("show", "1")[1].split())
        assert rig.call("orphans", "--deleted", "nonsense")[0] == 1
        assert rig.call("orphans", "--deleted", torn) == (0, "1 talk is off the list.\n")
        assert "holds no talk beside" in rig.call("orphans")[1]
        assert f'"talk_id": "{torn}"' in rig.call("orphans", "--json")[1]
