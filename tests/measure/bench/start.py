"""How soon it is up: from exec to READY, as systemd is told, before an empty folder."""

from __future__ import annotations

from pathlib import Path

from measure.bench import ours, untouched
from measure.bench.figures import Figure, Found, at_most, of_rounds
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage

PART = "start"
_STARTS = 5
_MOST_S = 0.5


def measure(stage: Stage) -> Found:
    first, again = list[float](), list[float]()
    with Service(stage.directory, Setting(tls=True)) as service:
        for number in range(_STARTS):
            stage.say(f"start {number + 1} of {_STARTS}")
            with ours.started(stage.directory, service) as daemon:
                first.append(daemon.ready_after_s)
                daemon.rig.stop()
                again.append(ours.launch(daemon.rig).ready_after_s)
        modules = _modules(stage.directory, service)
    target = at_most(_MOST_S)
    return Found(
        [
            of_rounds(PART, "the very first, which makes the queue", "s", first, target=target),
            of_rounds(PART, "a further one", "s", again, target=target),
            Figure(PART, "modules loaded by then", modules, ""),
            untouched.new_page(PART),
        ]
    )


def _modules(directory: Path, service: Service) -> int:
    """By the interpreter's own list (-X importtime): a line for each, below a heading."""
    with ours.started(directory, service, program=("-X", "importtime", "-m", "speechsense_watch")) as daemon:
        return sum(line.startswith("import time:") for line in daemon.rig.log().splitlines()) - 1
