"""What is not on record does not leave, by the call log of a real service: every way of sending, every write before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from speechsense_watch.core.model import Place, State
from speechsense_watch.core.rules import Folder, UploadRules
from speechsense_watch.edge.channel import Endpoint
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.speechsense import GrpcService
from speechsense_watch.ending import Result
from speechsense_watch.named import Source
from speechsense_watch.oneshot import OneShot
from speechsense_watch.ports import ChannelState
from speechsense_watch.standin import StandIn
from support.bench import Bench, bench_on
from support.broken_disk import FULL, IO_ERROR, BrokenDisk
from support.waiting import wait_for

KINDS = pytest.mark.parametrize("kind", [FULL, IO_ERROR], ids=["full", "io"])
STREAM = UploadRules(stream_above_bytes=0, chunk_size_bytes=1000)


class NoKey:
    """Keeps `ports.Credentials`."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        return ()

    def refused(self) -> None: ...


@pytest.fixture
def service(standin: StandIn) -> Iterator[GrpcService]:
    with closing(GrpcService(Endpoint(standin.target, plaintext=True), NoKey(), lambda: None)) as service:
        wait_for(lambda: service.channel().state is ChannelState.READY)
        yield service


def ready(bench: Bench, service: GrpcService) -> BrokenDisk:
    bench.attempts.service = service
    bench.drop()
    bench.settle()
    return BrokenDisk(bench.queue)


@KINDS
@pytest.mark.parametrize(("rules", "probe"), [(UploadRules(), False), (STREAM, False), (UploadRules(), True)], ids=str)
def test_a_claim_that_is_not_written_begins_no_call(
    tmp_path: Path, standin: StandIn, service: GrpcService, kind: tuple[int, str, str], rules: UploadRules, *, probe: bool
) -> None:
    """Whole, as a stream and as a probe."""
    with bench_on(tmp_path, rules) as bench:
        disk = ready(bench, service)
        (job,) = bench.queue.in_states([State.READY])
        disk.fails = lambda _commit: kind
        assert bench.attempts.run(job, probe=probe).trouble is not None
        assert standin.calls() == []


@KINDS
@pytest.mark.parametrize(("rules", "probe"), [(STREAM, False), (UploadRules(), True)], ids=["stream", "probe"])
def test_a_commit_mark_that_is_not_written_completes_no_talk(
    tmp_path: Path, standin: StandIn, service: GrpcService, kind: tuple[int, str, str], rules: UploadRules, *, probe: bool
) -> None:
    """The mark is written on grpc's own thread; the call is cancelled, its last piece stays here."""
    with bench_on(tmp_path, rules) as bench:
        disk = ready(bench, service)
        (job,) = bench.queue.in_states([State.READY])
        disk.fails = lambda commit: kind if commit == 1 else None  # the claim is the first
        ended = bench.attempts.run(job, probe=probe)
        assert ended.outcome is not None
        assert (ended.outcome.committed, ended.outcome.halt) == (False, "not_recorded")
        wait_for(lambda: all(call.ended_at for call in standin.calls()))
        # None at all where it was cancelled before the service had heard of it.
        for call in standin.calls():
            assert (call.method, call.talk_id) == ("UploadAsStream", "")
            assert call.code != "OK"
        assert standin.talks() == []


@KINDS
@pytest.mark.parametrize("nth", [0, 1])
def test_upload_sends_nothing_that_it_could_not_claim(
    tmp_path: Path, standin: StandIn, service: GrpcService, kind: tuple[int, str, str], nth: int
) -> None:
    """The row and the claim are two writes."""
    with bench_on(tmp_path) as bench:
        bench.drop()
        BrokenDisk(bench.queue).fails = lambda commit: kind if commit == nth else None
        source = Source(
            place=Place("in", "call.wav"),
            files=FolderFiles(str(bench.folder_path), bench.clock),
            audio_file="call.wav",
            metadata_file="call.json",
            metadata_path="call.json",
            rules=Folder(path=str(bench.folder_path), connection_id="conn", start_from="all", name="in"),
        )
        upload = OneShot(bench.queue, service, bench.clock, UploadRules(), "1:1", lambda _owner: True)
        assert upload.run(source).result is Result.LATER
        assert standin.calls() == []
