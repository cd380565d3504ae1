"""The baseline: the shortest program that sends the files of a directory over one channel, without queue, checks or record.

`python -m measure.bench.bare` prints one line of JSON when all is sent.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from measure.bench.client import open_channel, pieces, whole
from measure.bench.processes import Child, peak_mb, python
from measure.bench.recordings import LARGE, Recordings
from measure.bench.service import Service
from yandex.cloud.speechsense.v1 import talk_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class Sent:
    count: int
    seconds: float
    cpu_s: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_ms_each(self) -> float:
        return 1000 * self.cpu_s / self.count


def run(service: Service, recordings: Recordings, in_flight: int, *, good_malloc: bool = True, whole: bool = False) -> Sent:
    """All of them; timed from the moment the channel is ready to the last answer. `whole`: even large ones in one message."""
    options = [str(recordings.directory), "--port", str(service.port), "--in-flight", str(in_flight)]
    options += ["--ca", service.ca_file] if service.ca_file else []
    options += ["--stream"] if recordings.size == LARGE and not whole else []
    child = Child(python("measure.bench.bare", *options), good_malloc=good_malloc)
    sent = Sent(**child.line())
    child.end()
    assert sent.count == recordings.count
    return sent


# --- the process ---------------------------------------------------------------------------------


def send_all(stub: talk_service_pb2_grpc.TalkServiceStub, files: Sequence[Path], in_flight: int, *, stream: bool) -> list[str]:
    """The talk ids. So many threads take one file after another."""
    left, lock, talk_ids = iter(files), threading.Lock(), list[str]()

    def work() -> None:
        while True:
            with lock:
                audio = next(left, None)
            if audio is None:
                return
            answer = stub.UploadAsStream(pieces(audio)) if stream else stub.Upload(whole(audio))
            talk_ids.append(answer.talk_id)

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return talk_ids


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--ca", default="")
    parser.add_argument("--stream", action="store_true")
    options = parser.parse_args(arguments)
    files = sorted(options.directory.glob("*.wav"))
    with open_channel(options.port, options.ca) as channel:
        grpc.channel_ready_future(channel).result(30)
        before, began = time.process_time(), time.monotonic()
        talk_ids = send_all(talk_service_pb2_grpc.TalkServiceStub(channel), files, options.in_flight, stream=options.stream)
        seconds, cpu_s = time.monotonic() - began, time.process_time() - before
    told = {"count": len(set(talk_ids)), "seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_mb(os.getpid())}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
