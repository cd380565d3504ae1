"""Kills and faults by chance while recordings keep coming: of the daemon, at any moment or at some point, and of the service."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from torture import faults, service
from torture.figures import Figures
from torture.life import LONGEST_LIFE_S, Incident, Lives
from torture.points import Plan, visited
from torture.world import World

DRAIN_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Measure:
    """How long a storm goes on: until all that is asked for has been reached, or the time is over and `at_least` so many kills
    have been.
    """

    kills: int
    recordings: int
    seconds: float
    at_least: int = 0


class Storm:
    def __init__(self, world: World, measure: Measure) -> None:
        self._world = world
        self._measure = measure
        self._chance = world.chance
        self.lives = Lives(world)

    def run(self, progress: Callable[[str], None] = lambda _line: None) -> Figures:
        began = time.monotonic()
        self._world.start_service()
        while self._kills() < self._measure.kills and (time.monotonic() - began < self._measure.seconds or self._too_few()):
            self._one_life()
            if self.lives.figures.counts["kills of the daemon"] % 50 == 0:
                progress(f"{self._world.setting.name}: {self._kills()} kills, {len(self._world.recorder.dropped)} recordings")
        if self._kills() >= self._measure.kills:
            while len(self._world.recorder.dropped) < self._measure.recordings:
                self._world.recorder.drop()
        self.lives.drain(DRAIN_WITHIN_S)
        self.lives.judge()
        self.lives.figures.note("seconds", time.monotonic() - began)
        return self.lives.figures

    def _too_few(self) -> bool:
        return self.lives.figures.counts["kills of the daemon"] < self._measure.at_least

    def _kills(self) -> int:
        counts = self.lives.figures.counts
        return counts["kills of the daemon"] + counts["kills of the service"]

    def _one_life(self) -> None:
        faults.give(self._world.service_directory, faults.by_chance(self._chance))
        if self._chance.random() < 0.75:
            self.lives.start_service()
        if self._chance.random() < 0.1:
            service.die_file(self._world.service_directory).write_text(self._chance.choice(service.POINTS))
        self._world.mend_network()
        if self._chance.random() < 0.15:
            self.lives.figures.faults[f"network: {self._world.spoil_network()}"] += 1
        plan, longest_s = self._plan()
        self.lives.live(plan, longest_s, self._incident())

    def _plan(self) -> tuple[Plan, float]:
        """Where it dies and, should it not come there, when."""
        points = sorted({name for name, _ in visited(self._world.visits_path)})
        if not points or self._chance.random() < 0.35:
            return Plan(), self._chance.uniform(0.4, 2.5)
        return Plan(die_at=self._chance.choice(points), nth=self._chance.choice((1, 1, 2, 3))), LONGEST_LIFE_S

    def _incident(self) -> Incident:
        a_life = max(1.0, self._measure.recordings / max(1, self._measure.kills))
        count = int(a_life) + (self._chance.random() < a_life % 1)
        drops = [self._chance.uniform(0.0, 1.2) for _ in range(count)]
        dies = self._chance.uniform(0.6, 1.5) if self._chance.random() < 0.06 else None
        return Incident(drops, dies, self._chance.uniform(0.3, 1.5))
