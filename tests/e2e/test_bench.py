"""A small cut of `make bench`."""

from __future__ import annotations

from pathlib import Path

from measure.bench import bare, ours, script
from measure.bench.recordings import LARGE, TINY, Recordings, make
from measure.bench.service import Service, Setting


def test_all_that_are_compared_send_the_same_to_the_same_service(tmp_path: Path) -> None:
    recordings = make(tmp_path / "recordings", TINY, 3)
    with Service(tmp_path, Setting(verify=True)) as service:
        arrived = []
        assert bare.run(service, recordings, 2).count == 3
        arrived.append(service.seen().sha256s)
        assert bare.run(service, Recordings(recordings.directory, LARGE, 3), 2).count == 3  # in pieces
        arrived.append(service.seen().sha256s)
        assert script.one_by_one(service, recordings) > 0
        arrived.append(service.seen().sha256s)
        with ours.started(tmp_path, service, folder=recordings.directory) as daemon:
            run = daemon.wait_for_done(3, 60)
        seen = service.seen()
        arrived.append(seen.sha256s)
    assert len(set(recordings.sha256s())) == 3
    assert arrived == [recordings.sha256s()] * 4
    assert sorted(seen.first_at) == ["bench-000000", "bench-000001", "bench-000002"]
    assert len(run.talk_ids) == 3
    assert 0 < run.first_claim <= run.seconds
