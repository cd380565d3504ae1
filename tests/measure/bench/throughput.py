"""How fast: the real program and the bare loop in turn, over the same files, to the same service."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from measure.bench import bare, ours, script, slow_disk
from measure.bench.bare import Sent
from measure.bench.figures import Figure, Found, Target, at_least_times, at_most, of_rounds
from measure.bench.ours import Run
from measure.bench.recordings import LARGE, SMALL, TINY, Recordings, Size
from measure.bench.service import Service, Setting
from measure.bench.stage import Stage

PART = "throughput"
_WITHIN_S = 300.0
# More than can be sent: so many times what the bare loop sends.
_RUSH = 2.0
_SLICE_S = 0.02
_TARGETS = {TINY: 0.6, SMALL: 0.8, LARGE: 0.8}
_FAR_TARGET = 0.9
_TIMES_THE_SCRIPT = 50.0
_BY_SCRIPT = 20
_ON_A_SLOW_DISK = 600
_CURVE_POINTS = 60


@dataclass(frozen=True, slots=True)
class Case:
    """`count`: how many recordings. `live`: they come while the daemon runs, and faster than they can be sent; else they lie
    there before it starts.
    """

    size: Size
    count: int
    in_flight: int = 8
    tls: bool = True
    latency_ms: int = 0
    live: bool = False
    # One that even a quick run measures.
    brief: bool = False

    @property
    def name(self) -> str:
        words = [self.size.name, "TLS" if self.tls else "plaintext", f"{self.in_flight} in flight"]
        words += [f"{self.latency_ms} ms"] if self.latency_ms else []
        words += ["live"] if self.live else []
        return ", ".join(words)

    @property
    def unit(self) -> str:
        return "MB/s" if self.size == LARGE else "files/s"

    def in_unit(self, rate: float) -> float:
        return rate * self.size.audio_bytes / 1e6 if self.size == LARGE else rate

    @property
    def target(self) -> Target:
        return at_least_times(_FAR_TARGET if self.latency_ms else _TARGETS[self.size])


CASES = (
    Case(SMALL, 1500, brief=True),
    Case(SMALL, 1500, tls=False),
    Case(TINY, 4000, brief=True),
    Case(TINY, 4000, tls=False),
    Case(LARGE, 4, in_flight=2, brief=True),
    Case(LARGE, 4, in_flight=2, tls=False),
    Case(SMALL, 1500, live=True, brief=True),
    Case(SMALL, 800, in_flight=1),
    Case(SMALL, 1500, in_flight=32),
    Case(SMALL, 600, latency_ms=50, brief=True),
    Case(SMALL, 1500, in_flight=32, latency_ms=50),
    Case(SMALL, 200, latency_ms=200),
    Case(SMALL, 800, in_flight=32, latency_ms=200),
)


USUAL = CASES[0]


def measure(stage: Stage) -> Found:
    found = Found()
    rates: dict[Case, list[float]] = {}
    for case in CASES:
        if stage.cases in case.name and (case.brief or not stage.quick):
            sent, runs = _rounds(stage, case)
            found.figures += _figures(case, sent, runs)
            rates[case] = [run.rate for run in runs]
            if case == USUAL:
                found.curves["backlog"] = _curve(runs[0], sent[0])
    if stage.cases:
        return found
    found.figures += _default_malloc(stage)
    found.add(_beside_the_script(stage, rates[USUAL]))
    found.add(_on_a_slow_disk(stage, rates[USUAL]))
    found.figures += _verified(stage)
    found.figures.sort(key=lambda figure: figure.part != PART)
    return found


def _rounds(stage: Stage, case: Case) -> tuple[list[Sent], list[Run]]:
    """The bare loop and the real program in turn."""
    sent: list[Sent] = []
    runs: list[Run] = []
    recordings = stage.recordings(case.size, case.count)
    with Service(stage.directory, Setting(case.tls, case.latency_ms / 1000)) as service:
        for number in range(stage.rounds):
            stage.say(f"{case.name}: round {number + 1} of {stage.rounds}")
            sent.append(bare.run(service, recordings, case.in_flight))
            service.seen()
            if case.live:
                runs.append(_live(stage, case, service, recordings, sent[-1].rate * _RUSH))
            else:
                runs.append(_backlog(stage, case, service, recordings))
            assert service.seen().calls == recordings.count, "a recording was sent twice, or not at all"
    return sent, runs


def _backlog(stage: Stage, case: Case, service: Service, recordings: Recordings, **environ: str) -> Run:
    with ours.started(stage.directory, service, folder=recordings.directory, in_flight=case.in_flight, environ=environ) as daemon:
        return daemon.wait_for_done(recordings.count, _WITHIN_S)


def _live(stage: Stage, case: Case, service: Service, recordings: Recordings, rate: float) -> Run:
    folder = stage.directory / "live"
    folder.mkdir(exist_ok=True)
    try:
        with ours.started(stage.directory, service, folder=folder, in_flight=case.in_flight) as daemon:
            daemon.count_from_now()
            for number in _paced(recordings.count, rate):
                recordings.move_to(folder, number)
            return daemon.wait_for_done(recordings.count, _WITHIN_S)
    finally:
        recordings.move_back(folder)


def _paced(count: int, rate: float) -> Iterator[int]:
    """So many a second, in slices that are long enough to sleep through."""
    began = time.monotonic()
    for number in range(count):
        ahead_s = number / rate - (time.monotonic() - began)
        if ahead_s > _SLICE_S:
            time.sleep(ahead_s)
        yield number


def _figures(case: Case, sent: list[Sent], runs: list[Run]) -> Iterator[Figure]:
    steady, first = (
        sorted(values)[len(runs) // 2] for values in ([run.steady_rate for run in runs], [run.first_claim for run in runs])
    )
    yield of_rounds(
        PART,
        case.name,
        case.unit,
        [case.in_unit(run.rate) for run in runs],
        [case.in_unit(each.rate) for each in sent],
        baseline_name="bare loop",
        target=case.target,
        note=f"{case.in_unit(steady):.0f} {case.unit} from the first claim on, which came after {first:.2f} s",
    )
    yield of_rounds(
        "CPU a file",
        case.name,
        "ms",
        [run.cpu_ms_each for run in runs],
        [each.cpu_ms_each for each in sent],
        baseline_name="bare loop",
    )


def _curve(run: Run, beside: Sent) -> list[tuple[float, ...]]:
    """Seconds, recordings that wait, recordings sent until then, and the rate of the bare loop in the same round."""
    points: list[tuple[float, ...]] = []
    for number in range(_CURVE_POINTS + 1):
        at = run.seconds * number / _CURVE_POINTS
        ended = bisect_right(run.ended, at)
        points.append((round(at, 3), bisect_right(run.created, at) - ended, ended, beside.rate))
    return points


def _default_malloc(stage: Stage) -> Iterator[Figure]:
    """What the allocator's settings are worth: the bare loop without and with them."""
    recordings = stage.recordings(USUAL.size, USUAL.count)
    plain, good = list[float](), list[float]()
    with Service(stage.directory, Setting(USUAL.tls)) as service:
        for number in range(stage.rounds):
            stage.say(f"the bare loop by the default malloc: round {number + 1} of {stage.rounds}")
            plain.append(bare.run(service, recordings, USUAL.in_flight, good_malloc=False).rate)
            good.append(bare.run(service, recordings, USUAL.in_flight).rate)
    yield of_rounds(PART, "bare loop by the default malloc", USUAL.unit, plain, good, baseline_name="bare loop")


def _beside_the_script(stage: Stage, rates: list[float]) -> Found:
    found, by_script, by_loop = Found(), list[float](), list[float]()
    recordings = stage.recordings(USUAL.size, _BY_SCRIPT)
    with Service(stage.directory, Setting(USUAL.tls)) as service:
        for number in range(stage.rounds):
            stage.say(f"a script for each recording: round {number + 1} of {stage.rounds}")
            by_script.append(script.one_by_one(service, recordings))
            if script.has_inotifywait():
                by_loop.append(script.by_inotifywait(service, recordings, stage.directory / "loop"))
    target = at_least_times(_TIMES_THE_SCRIPT)
    for name, baseline in (("a script for each file", by_script), ("inotifywait and the script", by_loop)):
        if baseline:
            what = f"{USUAL.name}, beside {name}"
            found.figures.append(of_rounds(PART, what, USUAL.unit, rates, baseline, baseline_name="script", target=target))
    if not by_loop:
        found.notes.append("a loop around inotifywait, which is not installed (Debian: inotify-tools)")
    return found


def _on_a_slow_disk(stage: Stage, rates: list[float]) -> Found:
    slow = slow_disk.environment(stage.directory)
    if slow is None:
        return Found(notes=["a slow disk: there is no C compiler (cc)"])
    runs: list[Run] = []
    recordings = stage.recordings(USUAL.size, _ON_A_SLOW_DISK)
    with Service(stage.directory, Setting(USUAL.tls)) as service:
        for number in range(stage.rounds):
            stage.say(f"a slow disk: round {number + 1} of {stage.rounds}")
            runs.append(_backlog(stage, USUAL, service, recordings, **slow))
    what = f"{USUAL.name}, each fsync {slow_disk.DELAY_MS} ms longer"
    return Found([of_rounds(PART, what, USUAL.unit, [run.rate for run in runs], rates, baseline_name="without")])


def _verified(stage: Stage) -> Iterator[Figure]:
    """Not timed: what arrived is what lay there, byte by byte, and each has a talk id of its own on record."""
    wrong = 0
    with Service(stage.directory, Setting(tls=True, verify=True)) as service:
        for size, count in ((TINY, 400), (SMALL, 200), (LARGE, 2)):
            stage.say(f"{size.name}: are they whole?")
            recordings = stage.recordings(size, count)
            service.seen()
            run = _backlog(stage, Case(size, count, in_flight=4), service, recordings)
            wrong += service.seen().sha256s != recordings.sha256s()
            wrong += len(run.talk_ids) != recordings.count
    yield Figure(PART, "runs in which what arrived was not what lay there", wrong, "", target=at_most(0))
