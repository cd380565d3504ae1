"""A kill at every point there is, at its first and at its second visit.

Which points there are is not written down here: a calm life shows them, and whatever a later life passes for the first time is
added. Every life gets a bundle of recordings of which each goes another way, and begins with what the kill before has left, so
that the recovery is killed as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from torture import faults
from torture.faults import Order
from torture.figures import Figures
from torture.life import Incident, Lives
from torture.points import Plan, visited
from torture.recordings import STREAM_ABOVE, Recording
from torture.storm import DRAIN_WITHIN_S
from torture.world import World

_WHOLE, _STREAM, _LONG = STREAM_ABOVE // 2, 3 * STREAM_ABOVE, 6 * STREAM_ABOVE
CALM_S = 6.0
REACHED_WITHIN_S = 3.0
TRIES = 3


class Sweep:
    def __init__(self, world: World) -> None:
        self._world = world
        self.lives = Lives(world)
        self._tried: dict[tuple[str, int], int] = {}
        self._done: set[tuple[str, int]] = set()
        # Of the bundle before: audio whose metadata are still to come, and what the service was told to refuse.
        self._late = ""
        self._refused: Recording | None = None

    def run(self, at_most_s: float, progress: Callable[[str], None] = lambda _line: None) -> Figures:
        began = time.monotonic()
        self._world.start_service()
        for longest_s in (1.2, CALM_S):  # the first leaves something to recover from
            self._bundle()
            self.lives.live(Plan(), longest_s)
        while (point := self._next()) is not None and time.monotonic() - began < at_most_s:
            self._kill_at(point)
            if len(self._done) % 20 == 0:
                progress(f"{self._world.setting.name}: {len(self._done)} of {len(self._known())} points")
        self._world.recorder.complete_all()
        self.lives.drain(DRAIN_WITHIN_S)
        self.lives.judge()
        self._tell(time.monotonic() - began)
        return self.lives.figures

    def _kill_at(self, point: tuple[str, int]) -> None:
        self._tried[point] = self._tried.get(point, 0) + 1
        self._bundle()
        self.lives.start_service()
        # What takes its time, such as showing an absence, which needs later recordings as well, is waited for in a later try.
        longest_s = REACHED_WITHIN_S * 2.0 ** (self._tried[point] - 1)
        incident = Incident([longest_s * part for part in (0.3, 0.5, 0.7)] if self._tried[point] > 1 else [], service_starts=0.0)
        if self.lives.live(Plan(die_at=point[0], nth=point[1]), longest_s, incident):
            self._done.add(point)

    def _known(self) -> set[tuple[str, int]]:
        return visited(self._world.visits_path)

    def _next(self) -> tuple[str, int] | None:
        """The one least often tried, of those not yet died at."""
        left = [point for point in self._known() - self._done if self._tried.get(point, 0) < TRIES]
        return min(left, key=lambda point: (self._tried.get(point, 0), point[1], point[0]), default=None)

    def _bundle(self) -> None:
        """Recordings of which each goes another way."""
        drop = self._world.recorder.drop
        orders: list[Order] = [faults.TRUNCATED]
        for size in (_WHOLE, _WHOLE, _STREAM, _LONG):
            drop(size)
        for size, what, when in (
            (_WHOLE, "INTERNAL", "before"),
            (_STREAM, "lost_answer", "after"),
            (_STREAM, "INTERNAL", "before"),
            (_STREAM, "INTERNAL", "before"),
            (_LONG, "UNAVAILABLE", "before"),
            (_LONG, "UNAVAILABLE", "before"),
            (_WHOLE, "RESOURCE_EXHAUSTED", "before"),
            (_WHOLE, "INVALID_ARGUMENT", "before"),
        ):
            orders.append(faults.one_of(drop(size).key, what, when))
        self._change_what_is_there()
        self._late = drop(_WHOLE, later=True).place
        faults.give(self._world.service_directory, orders)

    def _change_what_is_there(self) -> None:
        """Metadata come late, a refused recording is written anew, another lies there twice; and there is what can never be
        sent, which the oracle leaves out: it counts what is stored.
        """
        recorder = self._world.recorder
        if self._late:
            recorder.complete(self._late)
        if self._refused is not None:
            recorder.touch(self._refused)
        self._refused = recorder.dropped[-1]
        directory = f"not-sent/{len(recorder.dropped)}"
        recorder.copy(recorder.dropped[-12], f"{directory}/again")
        recorder.put(f"{directory}/broken.wav", b"RIFF")
        recorder.put(f"{directory}/broken.json", b"[]")

    def _tell(self, seconds: float) -> None:
        figures, known = self.lives.figures, self._known()
        names = {name for name, _ in known}
        figures.counts["points"] = len(names)
        figures.counts["points x visits"] = len(known)
        figures.counts["died at"] = len(self._done)
        figures.note("seconds", seconds)
        unreached = sorted(f"{name}, visit {nth}" for name, nth in known - self._done)
        figures.counts["not died at"] = len(unreached)
        figures.unreached = unreached
