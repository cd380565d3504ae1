"""What users have today: a script that sends one recording, whole and in one message, and is started anew for each; by hand, or
by a loop around inotifywait.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from measure.bench.processes import environment, python
from measure.bench.recordings import Recordings
from measure.bench.service import Service

_LOOP = """
inotifywait -q -m -e moved_to --include '[.]json$' --format %w%f "$0" | while read -r name; do "$@" "${name%.json}.wav"; done
"""


def one_by_one(service: Service, recordings: Recordings) -> float:
    """The rate of a process per file, each begun when the one before has ended."""
    began = time.monotonic()
    for number in range(recordings.count):
        subprocess.run([*_command(service), str(recordings.audio(number))], env=environment(), check=True, capture_output=True)
    return recordings.count / (time.monotonic() - began)


def has_inotifywait() -> bool:
    return shutil.which("inotifywait") is not None


def by_inotifywait(service: Service, recordings: Recordings, into: Path) -> float:
    """The rate of a shell loop that starts the script for each recording that is renamed into a directory. They are back then."""
    into.mkdir(exist_ok=True)
    loop = subprocess.Popen(
        ["sh", "-c", _LOOP, str(into), *_command(service)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert loop.stdout is not None
    try:
        time.sleep(1)  # inotifywait tells nobody when it watches
        began = time.monotonic()
        for number in range(recordings.count):
            recordings.move_to(into, number)
        for _ in range(recordings.count):
            assert loop.stdout.readline().startswith("Dialog ID: ")
        return recordings.count / (time.monotonic() - began)
    finally:
        os.killpg(loop.pid, signal.SIGTERM)
        loop.wait()
        recordings.move_back(into)


def _command(service: Service) -> list[str]:
    ca = ["--ca", service.ca_file] if service.ca_file else []
    return python("measure.bench.upload_one", "--port", str(service.port), *ca)
