"""Audio that is put right on its way: headers of killed recorders, channels that follow the leg."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from speechsense_watch.core.rules import ConnectionType, Unfinished, UploadRules
from speechsense_watch.core.verdict import Code, Outcome
from support.bench import Bench, bench_on
from support.rig import FIELDS
from support.wavs import libsndfile_open, pcm


@pytest.fixture(params=[2**20, 0], ids=["in one message", "streamed"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    upload = UploadRules(stream_above_bytes=request.param, chunk_size_bytes=1000)
    with bench_on(tmp_path, upload, unfinished=Unfinished.REPAIR, swap_channels_when={"direction_outgoing": "true"}) as bench:
        yield bench


def drop(bench: Bench, audio: bytes, *, outgoing: str) -> None:
    bench.write("call.wav", audio)
    bench.write("call.json", json.dumps({**FIELDS, "direction_outgoing": outgoing}).encode())


def swapped(audio: bytes) -> bytes:
    return audio[:44] + b"".join(audio[i + 2 : i + 4] + audio[i : i + 2] for i in range(44, len(audio), 4))


def test_channels_follow_the_rule(bench: Bench) -> None:
    """Outgoing calls are exchanged, incoming ones are not; the identity is that of the file."""
    audio = pcm(seconds=0.5)
    drop(bench, audio, outgoing="true")
    bench.settle()
    bench.send()
    job = bench.job()
    assert job.state is State.DONE
    assert bench.service.sent[-1][1] == swapped(audio)
    assert job.audio is not None
    assert job.audio.sha256 == hashlib.sha256(audio).hexdigest()
    assert (bench.folder_path / "call.wav").read_bytes() == audio
    detail = bench.queue.rows("SELECT detail FROM events WHERE event = 'completed'", ())[0]["detail"]
    assert detail == "To be sent with left and right exchanged."


def test_other_calls_are_sent_as_they_are(bench: Bench) -> None:
    """By the final value of the field."""
    audio = pcm(seconds=0.5)
    drop(bench, audio, outgoing="false")
    bench.settle()
    bench.send()
    assert bench.service.sent[-1][1] == audio


def test_a_killed_recorder_s_file_is_sent_with_a_header_of_its_own_after_a_while(bench: Bench) -> None:
    """Not before `abandon_after`: until then the recorder may only be busy."""
    drop(bench, libsndfile_open(), outgoing="false")
    bench.settle()
    assert (bench.job().state, bench.job().reason) == (State.WAITING, Reason.HEADER_UNFINISHED)
    bench.look(3000)
    assert bench.job().state is State.WAITING
    bench.look(700)
    assert bench.job().state is State.READY
    bench.send()
    assert bench.job().state is State.DONE
    assert bench.service.sent[-1][1] == pcm()
    assert (bench.folder_path / "call.wav").read_bytes() == libsndfile_open()


def test_a_recorder_that_comes_back_to_life_is_seen(bench: Bench) -> None:
    """What was repaired and sent is not what lies there now: the operator's."""
    drop(bench, libsndfile_open(), outgoing="false")
    bench.settle()
    bench.look(3700)
    bench.send()
    bench.file()
    bench.write("call.wav", pcm(seconds=2))
    bench.look(61)
    bench.look(11)
    assert bench.job().changed_after_upload


def test_by_default_it_is_reported(tmp_path: Path) -> None:
    """Guessing is the operator's choice."""
    with bench_on(tmp_path) as bench:
        drop(bench, libsndfile_open(), outgoing="false")
        bench.settle()
        bench.look(3700)
        assert (bench.job().state, bench.job().reason) == (State.UNUSABLE, Reason.NEVER_FINISHED)


def test_a_repaired_file_has_to_suit_the_connection(tmp_path: Path) -> None:
    """Two channels are not one because the header was made anew."""
    rules = {"unfinished": Unfinished.REPAIR, "connection_type": ConnectionType.SINGLE_CHANNEL}
    with bench_on(tmp_path, None, **rules) as bench:
        drop(bench, libsndfile_open(), outgoing="false")
        bench.settle()
        bench.look(3700)
        assert (bench.job().state, bench.job().reason) == (State.UNUSABLE, Reason.WRONG_CHANNELS)


def test_a_try_that_may_have_arrived_keeps_voice_and_name_together(bench: Bench) -> None:
    """Its fields are repeated as they were, so its channels go by these, whatever the metadata would say by now."""
    audio = pcm(seconds=0.5)
    drop(bench, audio, outgoing="true")
    bench.settle()
    bench.service.script = [Outcome(code=Code.UNAVAILABLE, committed=True)]
    bench.send()
    assert bench.job().state is State.UNCONFIRMED
    bench.configure(
        unfinished=Unfinished.REPAIR,
        swap_channels_when={"direction_outgoing": "true"},
        metadata_constants={"direction_outgoing": "false"},
    )
    bench.send(1000)
    assert bench.job().state is State.DONE
    assert [(talk.fields["direction_outgoing"], sent) for talk, sent in bench.service.sent] == [("true", swapped(audio))]
