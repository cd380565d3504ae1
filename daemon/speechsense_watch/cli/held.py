"""Why a recording that is ready is not sent now: what holds back its folder, its connection, or everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from speechsense_watch.cli.overview import daemon_pauses, finished_trials
from speechsense_watch.cli.words import clock_time, printable
from speechsense_watch.config import Config
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.traffic import SERVICE
from speechsense_watch.holding import EVERYTHING, pause_key, pause_of


def why_held(job: Job, config: Config, runtime: Mapping[str, object], now: datetime) -> str:
    """What has to happen before it is sent, and how, in sentences; empty where nothing stands in its way, or it is not ready."""
    if job.state is not State.READY or job.place.folder not in {folder.name for folder in config.folders}:
        return ""
    return " ".join((*_by_operator(job, config, runtime, now), *_by_pauses(job, runtime)))


def _by_operator(job: Job, config: Config, runtime: Mapping[str, object], now: datetime) -> Iterator[str]:
    name = job.place.folder
    for scope in (EVERYTHING, name):
        pause = pause_of(runtime.get(pause_key(scope)))
        if pause is not None and pause.holds(now):
            what = f"Folder {printable(scope)} is" if scope else "Everything is"
            until = f" until {clock_time(pause.until)}" if pause.until else ""
            resume = f"speechsense-watch resume{f' {printable(scope)}' if scope else ''}"
            yield f"{what} paused by the operator{until}; `{resume}` ends that."
    if not job.possible_duplicate and any(trial.folder == name for trial in finished_trials(config, runtime)):
        yield f"The trial of folder {printable(name)} waits for your word: `speechsense-watch status` tells what to look at."


def _by_pauses(job: Job, runtime: Mapping[str, object]) -> Iterator[str]:
    for pause in daemon_pauses(runtime):
        if pause.scope in (SERVICE, job.connection_id):
            what = "All uploads" if pause.scope == SERVICE else f"Uploads to connection {job.connection_id}"
            yield f"{what} stand still: {printable(pause.message)}"
