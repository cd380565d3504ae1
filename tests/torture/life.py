"""One life of the daemon after the other: begun, ended by a kill, and looked at; and in the end the life in which all drains."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from torture import faults, keeping, oracle
from torture.evidence import Evidence, Ledger, Row, look
from torture.figures import Figures
from torture.oracle import Stored
from torture.points import Plan
from torture.recordings import Recording
from torture.service import die_file
from torture.world import World

_FINAL = frozenset({"done", "skipped", "unusable"})
_TICK_S = 0.02
# So long a daemon of a storm may live: a point at which it was to die may never come.
LONGEST_LIFE_S = 2.5


@dataclass(slots=True)
class Incident:
    """What happens during a life, seconds after its beginning: recordings come, the service dies, or comes back; and whether the
    daemon is asked to end at its end, so that it may die over that.
    """

    drops: list[float] = field(default_factory=list)
    service_dies: float | None = None
    service_starts: float | None = None
    asked_to_end: bool = False


class Lives:
    """Of one world. Keeps what was found."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.figures = Figures(world.setting.name)
        self.ledger = Ledger(world.service_directory)
        self.evidence = Evidence()

    # --- a life that ends by a kill ----------------------------------------------------------

    def live(self, plan: Plan, longest_s: float, incident: Incident | None = None) -> bool:
        """Whether the daemon died at the point of the plan, else it was killed after `longest_s`. Its queue was looked at."""
        world = self.world
        world.start_daemon(plan)
        at_point = self._until_death(longest_s, incident or Incident())
        world.kill_daemon()
        self.after_a_kill(plan.die_at if at_point else "at random")
        return at_point

    def restart_without_queue(self, plan: Plan, longest_s: float) -> bool:
        """The same of a daemon that finds its queue lost, and the journal as it is. What the new queue knows of single tries is
        little, so it is only asked whether it is whole.
        """
        world = self.world
        for ending in ("", "-wal", "-shm"):
            world.queue_path.with_name(world.queue_path.name + ending).unlink(missing_ok=True)
        world.start_daemon(plan)
        at_point = self._until_death(longest_s, Incident())
        world.kill_daemon()
        self.evidence = self._counted(plan.die_at if at_point else "at random")
        if self.evidence.broken:
            self.figures.broken.append(f"the queue is damaged: {self.evidence.broken} | after it was lost")
        return at_point

    def _until_death(self, longest_s: float, incident: Incident) -> bool:
        world, began = self.world, time.monotonic()
        drops = sorted(incident.drops)
        while (now_s := time.monotonic() - began) < longest_s:
            if world.wait_for_death(_TICK_S):
                break
            while drops and drops[0] <= now_s:
                drops.pop(0)
                world.recorder.drop()
            if incident.service_dies is not None and now_s >= incident.service_dies:
                incident.service_dies = None
                self.kill_service("at random")
            if not world.service_lives() and incident.service_starts is not None and now_s >= incident.service_starts:
                self.start_service()
        for _ in drops:
            world.recorder.drop()
        if incident.asked_to_end and world.daemon_lives() and world.stop_daemon() == 0:
            return False
        died = not world.daemon_lives()
        if died and world.daemon is not None and world.daemon.returncode != -9:
            self.figures.broken.append(f"the daemon ended by itself with {world.daemon.returncode}")
        return died

    def after_a_kill(self, where: str) -> None:
        began = time.monotonic()
        self.evidence = self._counted(where)
        stored = Stored(self.ledger.read(), self.world.recorder.dropped)
        self._broken(oracle.after_a_kill(self.evidence, stored, self.world.recorder.dropped), f"after a kill {where}")
        self.figures.note("longest look after a kill, s", time.monotonic() - began)

    def _counted(self, where: str) -> Evidence:
        """What a kill has left, or an end that it was asked for."""
        if self.world.daemon is not None and self.world.daemon.returncode == 0:
            self.figures.counts["ends of the daemon"] += 1
        else:
            self.figures.counts["kills of the daemon"] += 1
            self.figures.kills_at[where] += 1
        evidence = look(self.world.queue_path)
        self.figures.kills_by_state.update({row.state for row in evidence.rows})
        self.figures.counts["integrity_check ok"] += not evidence.broken
        return evidence

    def look_again(self) -> bool:
        """Whether what the service has stored meanwhile breaks a promise, the daemon being dead."""
        recordings = self.world.recorder.dropped
        self._broken(oracle.after_a_kill(self.evidence, Stored(self.ledger.read(), recordings), recordings), "later")
        return bool(self.figures.broken)

    def state_of(self, recording: Recording) -> str:
        """As the queue says now; empty without a row."""
        row = look(self.world.queue_path).row_of(recording)
        return row.state if row is not None else ""

    def judged(self) -> list[str]:
        """What is broken in the end, with nothing done about it."""
        self.judge()
        return self.figures.broken

    def _broken(self, found: list[str], when: str) -> None:
        known = {each.partition(" | ")[0] for each in self.figures.broken}
        self.figures.broken += [f"{each} | {when}" for each in found if each not in known]

    # --- the service -------------------------------------------------------------------------

    def kill_service(self, where: str) -> None:
        self.world.kill_service()
        self.figures.counts["kills of the service"] += 1
        self.figures.kills_at[f"service: {where}"] += 1

    def start_service(self) -> None:
        """It runs; a death at a point of its own is counted first."""
        if self.world.service_died():
            self.figures.counts["kills of the service"] += 1
            self.figures.kills_at["service: at a point"] += 1
        self.world.start_service()

    # --- the end -----------------------------------------------------------------------------

    def drain(self, within_s: float) -> None:
        """Nothing is wrong any more, and everything that can be is sent; how long that took is noted, and what was not."""
        world = self.world
        faults.give(world.service_directory, [])
        die_file(world.service_directory).unlink(missing_ok=True)
        world.mend_network()
        self.start_service()
        world.start_daemon()
        began = time.monotonic()
        fences, retried = 0, False
        while time.monotonic() - began < within_s:
            left = self._undrained()
            if not left:
                break
            if not retried and all(row is not None and row.state == "refused" for row in left):
                world.command("retry", "--state", "refused", "--yes")
                retried = True
            if world.setting.policy == "search" and time.monotonic() - began > fences + 1 and self._only_unconfirmed(left):
                fences += 1
                world.recorder.drop(600)  # life goes on: a later talk is what absence is held against
            time.sleep(0.2)
        self.figures.note("time to drain, s", time.monotonic() - began)
        self.figures.broken += [f"not drained in {within_s} s: {each.state}" for each in self._undrained() if each is not None][
            :20
        ]
        self.figures.broken += ["not drained: no row" for each in self._undrained() if each is None][:20]
        world.wait_for_start()
        if (code := world.stop_daemon()) != 0:
            self.figures.broken.append(f"the daemon ended with {code} at SIGTERM")

    @staticmethod
    def _only_unconfirmed(left: list[Row | None]) -> bool:
        return all(row is not None and row.state == "unconfirmed" for row in left)

    def _undrained(self) -> list[Row | None]:
        evidence = look(self.world.queue_path)
        final = _FINAL | {"unconfirmed"} if self.world.setting.policy == "hold" else _FINAL
        found = [evidence.row_of(recording) for recording in self.world.recorder.dropped]
        return [row for row in found if row is None or row.state not in final]

    def judge(self) -> None:
        """The promise itself, and the figures."""
        world, figures = self.world, self.figures
        evidence = look(world.queue_path, events=True)
        talks = self.ledger.read()
        recordings, setting = world.recorder.dropped, world.setting
        stored = Stored(talks, recordings)
        judgement = oracle.when_all_is_over(evidence, stored, recordings, setting.policy)
        gone = keeping.missing(world.folder, world.archive, recordings, stored, setting.after_upload)
        self._broken(judgement.broken + gone, "when all was over")
        figures.counts.update(judgement.counts)
        unknown, longest_s = oracle.longest_unconfirmed_s(evidence.events)
        figures.counts["outcomes unknown"] += unknown
        searches = sum(call["method"] == "Search" for call in self.ledger.calls())
        if unknown and setting.policy == "search":
            figures.note("searches per unknown outcome", searches / unknown)
        figures.note("longest time unconfirmed, s", longest_s)
        self._count_calls()

    def _count_calls(self) -> None:
        calls = self.ledger.calls()
        methods = Counter(call["method"] for call in calls)
        self.figures.counts.update({f"calls of {method}": count for method, count in methods.items()})
        self.figures.faults.update(f"{what} ({call['code'] or 'killed'})" for call in calls for what in call["faults"])
