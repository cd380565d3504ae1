"""What `status` tells, gathered into one value: from the queue, from what the daemon wrote there, and from its lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from speechsense_watch.cli.as_json import time_as_json
from speechsense_watch.cli.folder_view import FolderView, folder_as_json, folder_view, trouble_of
from speechsense_watch.cli.told import moment, number, table
from speechsense_watch.config import Config
from speechsense_watch.core.attention import Attention, Moved, Snapshot, Standstill, TrialDone, attention
from speechsense_watch.core.model import Job, State
from speechsense_watch.core.traffic import SERVICE
from speechsense_watch.core.verdict import PauseReason
from speechsense_watch.edge.disk import disk_of
from speechsense_watch.edge.history import MOVED
from speechsense_watch.edge.lock import holder_cannot_write, is_held, touched_at
from speechsense_watch.edge.records import Records
from speechsense_watch.holding import EVERYTHING, pause_key, pause_of

# The daemon's heart beats once a minute, or with each rescan where they are rarer; it says so, and may be late by this.
BEATS_EVERY = timedelta(minutes=1)
LATE_BY = timedelta(minutes=2)
RATE_OVER = timedelta(minutes=10)
# The scope of a pause of everything by the operator.
ALL_FOLDERS = "everything"
EXIT_OK, EXIT_NEEDS_OPERATOR, EXIT_STOPPED = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonView:
    """`running`: the queue's lock is held. `fresh`: its heart beat when it should, or is not late by much."""

    running: bool
    fresh: bool
    version: str | None
    heartbeat_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    now: datetime
    attention: tuple[Attention, ...]
    counts: Mapping[State, int]
    paused: tuple[Standstill, ...]
    rate_per_minute: float
    oldest_ready_at: datetime | None
    oldest_waiting_at: datetime | None
    last_upload_at: datetime | None
    folders: tuple[FolderView, ...]
    daemon: DaemonView
    connections: frozenset[str]
    # With these in hand the daemon died too often: they are sent last and alone.
    suspects: tuple[Job, ...] = ()

    @property
    def stopped(self) -> bool:
        """Nothing at all is uploaded now."""
        paused = {pause.scope for pause in self.paused}
        return not self.daemon.fresh or bool({SERVICE, ALL_FOLDERS} & paused) or self.connections <= paused

    @property
    def exit_code(self) -> int:
        if self.stopped:
            return EXIT_STOPPED
        return EXIT_NEEDS_OPERATOR if self.attention else EXIT_OK


def overview(config: Config, records: Records, now: datetime) -> Overview:
    """Everything as it is now. Raises QueueTrouble, LockTrouble."""
    runtime = records.runtime()
    daemon = daemon_view(config, runtime, now)
    # What a daemon that is gone said of pauses and folders may be long out of date.
    told = daemon_pauses(runtime) if daemon.running else ()
    if daemon.running and holder_cannot_write(f"{config.queue.path}.lock"):
        told = (_unwritable(config), *(pause for pause in told if pause.scope != SERVICE))
    pauses = (*_operator_pauses(config, runtime, now), *told)
    folders = tuple(folder_view(folder, runtime, running=daemon.running) for folder in config.folders)
    counts = records.counts()
    orphans = records.orphans()
    snapshot = Snapshot(
        groups=records.groups(now),
        counts=counts,
        policies={folder.name: folder.on_unknown for folder in config.folders},
        pauses=pauses,
        folders=tuple(trouble_of(rules, view, counts, records, now) for rules, view in zip(config.folders, folders, strict=True)),
        disk=disk_of(Path(config.queue.path)),
        trials=tuple(finished_trials(config, runtime)),
        moved=_moved(runtime),
        look_ups=look_up_troubles(runtime) if daemon.running else {},
        orphans=len(orphans),
        orphans_since=min((each.found_at for each in orphans), default=None),
    )
    return Overview(
        now=now,
        attention=attention(snapshot),
        counts={state: sum(of.get(state, 0) for of in counts.values()) for state in State},
        paused=pauses,
        rate_per_minute=records.accepted_since(now - RATE_OVER) / (RATE_OVER / timedelta(minutes=1)),
        oldest_ready_at=records.oldest(State.READY),
        oldest_waiting_at=records.oldest(State.WAITING),
        last_upload_at=records.last_upload_at(),
        folders=folders,
        daemon=daemon,
        connections=frozenset(folder.connection_id for folder in config.folders),
        suspects=tuple(records.suspects()),
    )


def _beats_every(told: Mapping[str, object]) -> timedelta:
    every_s = told.get("every_s")
    return timedelta(seconds=every_s) if isinstance(every_s, int | float) else BEATS_EVERY


def daemon_view(config: Config, runtime: Mapping[str, object], now: datetime) -> DaemonView:
    """Raises LockTrouble."""
    told = table(runtime.get("daemon"))
    lock = f"{config.queue.path}.lock"
    heartbeat_at = moment(told.get("heartbeat_at"))
    if holder_cannot_write(lock) and (touched := touched_at(lock)):
        # The daemon cannot write its heartbeat then and touches its lock instead.
        heartbeat_at = max(heartbeat_at or touched, touched)
    running = is_held(lock)
    return DaemonView(
        running=running,
        # A heartbeat from the future is one from before the clock was set back.
        fresh=running and heartbeat_at is not None and now - heartbeat_at < _beats_every(told) + LATE_BY,
        version=str(told["version"]) if "version" in told else None,
        heartbeat_at=heartbeat_at,
    )


# --- what the daemon told --------------------------------------------------------------------


def daemon_pauses(runtime: Mapping[str, object]) -> tuple[Standstill, ...]:
    told = runtime.get("paused")
    pauses = [table(pause) for pause in told] if isinstance(told, list) else []
    return tuple(
        Standstill(
            scope=str(pause.get("scope", "")),
            reason=str(pause.get("reason", "")),
            message=str(pause.get("message", "")),
            since=moment(pause.get("since")),
            next_probe_at=moment(pause.get("next_probe_at")),
            needs_operator=pause.get("needs_operator") is True,
        )
        for pause in pauses
    )


def _unwritable(config: Config) -> Standstill:
    """What the daemon cannot write into the queue."""
    return Standstill(
        scope=SERVICE,
        reason=PauseReason.QUEUE_NOT_WRITABLE,
        message=f"The queue {config.queue.path} cannot be written; mostly its disk is full. It goes on by itself once it can.",
        since=None,
        next_probe_at=None,
        needs_operator=True,
    )


def look_up_troubles(runtime: Mapping[str, object]) -> Mapping[str, str]:
    """By connection, why looking up does not work there."""
    told = table(runtime.get("look_ups"))
    return {connection: str(table(each).get("trouble", "")) for connection, each in told.items()}


def _operator_pauses(config: Config, runtime: Mapping[str, object], now: datetime) -> Iterator[Standstill]:
    for scope in (EVERYTHING, *(folder.name for folder in config.folders)):
        pause = pause_of(runtime.get(pause_key(scope)))
        if pause is not None and pause.holds(now):
            ends = "by `resume`, or by itself at the time given" if pause.until else "by `resume`"
            yield Standstill(
                scope=f"folder {scope}" if scope else ALL_FOLDERS,
                reason="operator",
                message=f"The operator paused it; it ends {ends}.",
                since=pause.since,
                next_probe_at=pause.until,
                needs_operator=False,
            )


def finished_trials(config: Config, runtime: Mapping[str, object]) -> Iterator[TrialDone]:
    """Those whose recordings have been sent and that nobody has approved."""
    for folder in config.folders:
        told = table(runtime.get(f"trial:{folder.name}"))
        sent, talks = number(told.get("sent")), told.get("talks")
        approved = runtime.get(f"approved:{folder.name}")
        if folder.trial and told and approved != told.get("fingerprint") and sent >= number(told.get("most")):
            ids = tuple(str(talk) for talk in talks) if isinstance(talks, list) else ()
            yield TrialDone(folder=folder.name, since=moment(told.get("since")), sent=sent, talks=ids)


def _moved(runtime: Mapping[str, object]) -> Moved | None:
    told = table(runtime.get(MOVED))
    if not told:
        return None
    return Moved(host=str(told.get("host", "")), seen_at=moment(told.get("seen_at")), since=moment(told.get("at")))


# --- for scripts -----------------------------------------------------------------------------


def overview_as_json(view: Overview) -> dict[str, Any]:
    """Keys are a contract: they may be added, never changed."""
    return {
        "attention": [
            {"code": line.code, "count": line.count, "since": time_as_json(line.since), "what": line.what, "do": line.do}
            for line in view.attention
        ],
        "counts": {state.value: view.counts[state] for state in State},
        "paused": [
            {
                "scope": pause.scope,
                "reason": pause.reason,
                "message": pause.message,
                "since": time_as_json(pause.since),
                "next_probe_at": time_as_json(pause.next_probe_at),
                "needs_operator": pause.needs_operator,
            }
            for pause in view.paused
        ],
        "suspects": [
            {
                "id": job.id,
                "state": job.state.value,
                "folder": job.place.folder,
                "deaths": job.deaths,
                "next_attempt_at": time_as_json(job.next_attempt_at),
            }
            for job in view.suspects
        ],
        "rate_per_minute": view.rate_per_minute,
        "oldest_ready_at": time_as_json(view.oldest_ready_at),
        "oldest_waiting_at": time_as_json(view.oldest_waiting_at),
        "last_upload_at": time_as_json(view.last_upload_at),
        "folders": [folder_as_json(folder) for folder in view.folders],
        "daemon": {
            "running": view.daemon.running,
            "responding": view.daemon.fresh,
            "version": view.daemon.version,
            "heartbeat_at": time_as_json(view.daemon.heartbeat_at),
        },
    }
