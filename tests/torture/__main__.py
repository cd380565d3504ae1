"""`python -m torture`: see --help. Prints tables of figures and ends with 1 when a promise was broken, nobody noticed that a
safeguard was missing, or a part broke off; the others go on then.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torture import figures, io_faults, outage, teeth
from torture.figures import Figures, broke_off
from torture.storm import Measure, Storm
from torture.sweep import Sweep
from torture.world import Setting, World

POLICIES = ("resend", "hold", "search")


@dataclass(frozen=True, slots=True)
class Job:
    """A part of the whole, or one world of it."""

    name: str
    play: Callable[[], Figures]

    def played(self) -> Figures:
        """Of one that broke off, no more than how."""
        try:
            return self.play()
        except Exception as error:  # noqa: BLE001 - whatever it was, the others go on
            return Figures(self.name, broken=[broke_off(error)])


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    began = time.monotonic()
    base = Path(options.dir or tempfile.mkdtemp(prefix="torture-"))
    say(f"seed {options.seed}, worlds in {base}")
    with ThreadPoolExecutor(options.together) as pool, _another_file_system(base) as elsewhere:
        found = list(pool.map(Job.played, _jobs(options, base, elsewhere)))
    if "teeth" in options.parts:
        bites = teeth.all_of(together=options.together)
        say(teeth.table(bites))
        found.append(teeth.figures(bites))
    total = Figures("all together")
    for each in found:
        say(each.table())
        total.add(each)
    total.note("seconds", time.monotonic() - began)
    say(total.table())
    if options.json:
        figures.write(Path(options.json), [*found, total])
    if not options.dir and not total.broken:
        shutil.rmtree(base)
    return 1 if total.broken else 0


@contextmanager
def _another_file_system(base: Path) -> Iterator[Path]:
    """Where it can be had, so that what is archived there is copied."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="torture-", dir=shared if shared.is_dir() else base) as directory:
        yield Path(directory)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="torture", description="Kills, cuts off and lies to the real program; what it promises must hold."
    )
    parser.add_argument("--kills", type=int, default=700, help="of the storms, all policies together")
    parser.add_argument("--recordings", type=int, default=1500, help="of the storms, all policies together")
    parser.add_argument("--seconds", type=float, default=900.0, help="a storm or a sweep ends after so long at the latest")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--together", type=int, default=4, help="how many worlds at once")
    parser.add_argument("--down", type=float, default=75.0, help="seconds of the outage")
    parser.add_argument("--disk", type=int, default=6, help="runs for each kind of fault of the disk")
    parser.add_argument("--json", help="where the figures are written")
    parser.add_argument("--dir", help="where the worlds are, and stay")
    return parser.parse_args(arguments)


PARTS = ("storm", "sweep", "outage", "disk", "teeth")


def _jobs(options: argparse.Namespace, base: Path, elsewhere: Path) -> list[Job]:
    count = len(options.policies)
    measure = Measure(-(-options.kills // count), -(-options.recordings // count), options.seconds)
    jobs: list[Job] = []
    if "sweep" in options.parts:
        swept = [each for each in _swept(elsewhere, options.seed) if each.policy in options.policies]
        jobs += [_sweep(base, each, options.seconds) for each in swept]
    if "storm" in options.parts:
        jobs += [_storm(base, each, measure) for each in _stormed(options.seed) if each.policy in options.policies]
    if "outage" in options.parts:
        jobs.append(_in_world(base, outage.setting(), lambda world: outage.run(world, options.down)))
    if "disk" in options.parts:
        jobs.append(Job("disk", lambda: io_faults.figures(options.disk)))
    return jobs


def _stormed(seed: int) -> list[Setting]:
    return [
        Setting("storm, resend", policy="resend", seed=seed, connection_age_s=3.0),
        Setting("storm, hold", policy="hold", seed=seed + 1, after_upload="archive"),
        Setting("storm, search", policy="search", seed=seed + 2, index_lag_s=0.3),
    ]


def _swept(elsewhere: Path, seed: int) -> list[Setting]:
    """Each thing that may be done with the files, and each policy."""
    return [
        Setting("points, resend, kept", seed=seed),
        Setting("points, hold, archived", policy="hold", after_upload="archive", seed=seed + 1),
        Setting("points, resend, deleted", after_upload="delete", seed=seed + 2),
        Setting(
            "points, search, archived elsewhere",
            policy="search",
            after_upload="archive",
            archive_to=elsewhere,
            index_lag_s=0.3,
            patience="1s",
            seed=seed + 3,
        ),
    ]


def _storm(base: Path, setting: Setting, measure: Measure) -> Job:
    def played(world: World) -> Figures:
        found = Storm(world, measure).run(say)
        kills = found.counts["kills of the daemon"] + found.counts["kills of the service"]
        if kills < measure.kills:
            found.broken.append(f"only {kills} of {measure.kills} kills in {measure.seconds:.0f} s: too little to go by")
        return found

    return _in_world(base, setting, played)


def _sweep(base: Path, setting: Setting, at_most_s: float) -> Job:
    def played(world: World) -> Figures:
        found = Sweep(world).run(at_most_s, say)
        if never := found.counts["never tried"]:
            found.broken.append(f"{never} points were not tried in {at_most_s:.0f} s: too little to go by")
        return found

    return _in_world(base, setting, played)


def _in_world(base: Path, setting: Setting, play: Callable[[World], Figures]) -> Job:
    def played() -> Figures:
        with World(base / setting.name.replace(", ", "-").replace(" ", "-"), setting) as world:
            return play(world)

    return Job(setting.name, played)


if __name__ == "__main__":
    sys.exit(main())
