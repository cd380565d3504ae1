"""A kill at every point there is, at its first and at its second visit.

Which points there are is not written down here: a calm life shows them, and whatever a later life passes for the first time is
added. Every life gets a bundle of recordings of which each goes another way, and begins with what the kill before has left, so
that the recovery is killed as well. What only the first start ever does is killed before all that, each time with nothing there;
what only a start does that finds its queue lost, after it.
"""

from __future__ import annotations

import shutil
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

# `_LONG` is on its way long enough for an answer to come before its end.
_WHOLE, _STREAM, _LONG = STREAM_ABOVE // 2, 3 * STREAM_ABOVE, 60 * STREAM_ABOVE
CALM_S = 6.0
REACHED_WITHIN_S = 3.0
TRIES = 3
# What a start makes of a recording that was in hand at a death and had no claim yet.
INTERRUPTED = "interrupted (ready)"


class Sweep:
    def __init__(self, world: World) -> None:
        self._world = world
        self.lives = Lives(world)
        self._tried: dict[tuple[str, int], int] = {}
        self._done: set[tuple[str, int]] = set()
        # Of the bundle before: audio whose metadata are still to come, and what the service was told to refuse.
        self._late: list[str] = []
        self._refused: list[Recording] = []
        # Points of the starts that find no queue.
        self._rare: set[tuple[str, int]] = set()

    def run(self, at_most_s: float, progress: Callable[[str], None] = lambda _line: None) -> Figures:
        began = time.monotonic()
        self._world.start_service()
        self._die_young()
        for longest_s in (1.2, CALM_S):  # the first leaves something to recover from
            self._bundle()
            self.lives.live(Plan(), longest_s)
        while (point := self._next()) is not None and time.monotonic() - began < at_most_s:
            self._kill_at(point)
            if len(self._done) % 20 == 0:
                progress(f"{self._world.setting.name}: {len(self._done)} of {len(self._known())} points")
        self.lives.figures.counts["never tried"] = len(self._known() - self._done - self._tried.keys() - self._rare)
        self._world.recorder.complete_all()
        self.lives.drain(DRAIN_WITHIN_S)
        self.lives.judge()
        if self._world.setting.policy == "resend" and self._world.setting.after_upload == "keep":
            self._die_without_a_queue()
        self._tell(time.monotonic() - began)
        return self.lives.figures

    def _kill_at(self, point: tuple[str, int]) -> None:
        self._tried[point] = self._tried.get(point, 0) + 1
        self._bundle(point[1])
        self.lives.start_service()
        if INTERRUPTED in point[0]:  # the first note of a life says that nothing is in hand
            self.lives.live(Plan(die_at="after the note of what is in hand", nth=1 + point[1]), REACHED_WITHIN_S)
        # What takes its time, such as showing an absence, which needs later recordings as well, is waited for in a later try.
        longest_s = REACHED_WITHIN_S * 2.0 ** (self._tried[point] - 1)
        again = self._tried[point] > 1
        drops = [longest_s * part for part in (0.3, 0.5, 0.7)] if again else []
        incident = Incident(drops, service_starts=0.0, asked_to_end=again)
        if self.lives.live(Plan(die_at=point[0], nth=point[1]), longest_s, incident):
            self._done.add(point)

    def _die_young(self) -> None:
        """At what a start does that no later one does: nothing was sent yet, so there may be nothing again."""
        world = self._world
        first, second = (self._passed_by_a_start() for _ in range(2))
        self._rare |= first - second
        for point in sorted(first - second):
            shutil.rmtree(world.queue_path.parent)
            if self.lives.live(Plan(die_at=point[0], nth=point[1]), REACHED_WITHIN_S):
                self._done.add(point)
        self.lives.live(Plan(), REACHED_WITHIN_S)

    def _passed_by_a_start(self) -> set[tuple[str, int]]:
        self._world.visits_path.unlink(missing_ok=True)
        self.lives.live(Plan(), REACHED_WITHIN_S)
        return visited(self._world.visits_path)

    def _die_without_a_queue(self) -> None:
        """All is sent and the journal knows it: the queue is lost before each start, and nothing may be sent again."""
        lives = self.lives
        before = self._known()
        talks = len(lives.ledger.read())
        lives.restart_without_queue(Plan(), CALM_S)
        points = sorted(visited(self._world.visits_path) - before)
        self._rare |= set(points)
        for point in points:
            if lives.restart_without_queue(Plan(die_at=point[0], nth=point[1]), CALM_S):
                self._done.add(point)
        lives.drain(DRAIN_WITHIN_S)
        if (again := len(lives.ledger.read()) - talks) != 0:
            lives.figures.broken.append(f"doubled: {again} were sent again when the queue was lost")

    def _known(self) -> set[tuple[str, int]]:
        return self._rare | visited(self._world.visits_path)

    def _next(self) -> tuple[str, int] | None:
        """The one least often tried, of those not yet died at."""
        left = [point for point in self._known() - self._done if self._tried.get(point, 0) < TRIES]
        return min(left, key=lambda point: (self._tried.get(point, 0), point[1], point[0]), default=None)

    def _bundle(self, times: int = 1) -> None:
        """Recordings of which each goes another way, so many of each kind."""
        recorder = self._world.recorder
        self._change_what_is_there()
        orders: list[Order] = [faults.TRUNCATED]
        for _ in range(times):
            orders += self._some_of_each()
            self._late.append(recorder.drop(_WHOLE, later=True).place)
        faults.give(self._world.service_directory, orders)

    def _some_of_each(self) -> list[Order]:
        recorder = self._world.recorder
        sent = recorder.drop(_WHOLE)
        for size in (_WHOLE, _STREAM, _LONG):
            recorder.drop(size)
        orders = [
            faults.one_of(recorder.drop(size).key, what, when)
            for size, what, when in (
                (_WHOLE, "INTERNAL", "before"),
                (_STREAM, "lost_answer", "after"),
                (_STREAM, "INTERNAL", "before"),
                (_LONG, "INTERNAL", "before"),
                (_LONG, "UNAVAILABLE", "before"),
                (_WHOLE, "RESOURCE_EXHAUSTED", "before"),
                (_LONG, "INVALID_ARGUMENT", "before"),
                (_WHOLE, "INVALID_ARGUMENT", "before"),
            )
        ]
        self._refused += recorder.dropped[-2:]
        # It lies there twice; and there is what can never be sent, which the oracle leaves out: it counts what is stored.
        directory = f"not-sent/{len(recorder.dropped)}"
        recorder.copy(sent, f"{directory}/again")
        recorder.put(f"{directory}/broken.wav", b"RIFF")
        recorder.put(f"{directory}/broken.json", b"[]")
        return orders

    def _change_what_is_there(self) -> None:
        """Metadata come late, and refused recordings look as if they had been written anew."""
        for place in self._late:
            self._world.recorder.complete(place)
        for recording in self._refused:
            self._world.recorder.touch(recording)
        self._late, self._refused = [], []

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
