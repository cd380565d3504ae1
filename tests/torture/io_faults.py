"""A disk that fails at the n-th call of a thread, or a daemon that dies there, for n = 1, 2, 3 ...: under strace; then a start
without faults.

    make torture TORTURE='--parts disk --disk 100'      # so many runs of each kind

Each run takes three recordings, one of them as a stream, through a daemon of which one system call is made to fail (strace(1),
`-e inject`), or to be its last. Whatever that does to the daemon, it is ended, started anew on a sound disk, and given one more
recording. Then each of the four has to have the one talk id that the service gave it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from speechsense_watch.core.model import State
from speechsense_watch.edge.queue import SqliteQueue
from speechsense_watch.ports import QueueTrouble
from speechsense_watch.standin import StandIn
from support.rig import Rig
from support.waiting import came_true
from support.wavs import pcm
from torture import figures as figures_of


@dataclass(frozen=True)
class Kind:
    """A system call and how it fails: an error, or a signal that comes in its place. `lasting`: from the n-th on."""

    call: str
    error: str
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.call} {self.error}{' for good' if self.lasting else ''}"

    @property
    def kills(self) -> bool:
        return self.error == "SIGKILL"


# fdatasync: the queue's commits; pwrite64: its pages, and the note of what is in hand; fsync: the journal and directories;
# renameat2: the archive; sendmsg: what leaves.
KINDS = (
    Kind("fdatasync", "EIO"),
    Kind("fdatasync", "EIO", lasting=True),
    Kind("pwrite64", "ENOSPC"),
    Kind("pwrite64", "ENOSPC", lasting=True),
    Kind("pwrite64", "EIO"),
    Kind("fsync", "EIO"),
    *(Kind(call, "SIGKILL") for call in ("fdatasync", "pwrite64", "fsync", "renameat2", "sendmsg")),
)


KILLED = "was killed"


@dataclass
class Figures:
    """What came of all runs. `lost` and `doubled` are recordings."""

    runs: int = 0
    recordings: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    wrong_talk_ids: int = 0
    lacking_in_journal: int = 0
    damaged: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong_talk_ids or self.lacking_in_journal or self.damaged)

    def table(self) -> str:
        rows: list[tuple[str, object]] = [
            ("runs", self.runs),
            ("recordings", self.recordings),
            *((f"faults: {kind}", count) for kind, count in sorted(self.injected.items())),
            *((f"the daemon {how}", count) for how, count in sorted(self.exits.items())),
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("wrong talk ids", self.wrong_talk_ids),
            ("lacking in the journal", self.lacking_in_journal),
            ("queues damaged (integrity_check)", self.damaged),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join([*(f"{name.ljust(width)}  {value:>6}" for name, value in rows), *self.told])


def why_not() -> str:
    """Why strace cannot be used here; empty where it can."""
    if shutil.which("strace") is None:
        return "there is no strace"
    line = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1", "true"]
    return "" if subprocess.run(line, check=False, capture_output=True).returncode == 0 else "strace may not trace here"


def launcher(kind: Kind, nth: int, trace: Path) -> tuple[str, ...]:
    """-D: the daemon stays our child, so that signals reach it."""
    what = "signal" if kind.kills else "error"
    inject = f"inject={kind.call}:{what}={kind.error}:when={nth}{'+' if kind.lasting else ''}"
    # With --seccomp-bpf, which is faster, strace 6.1 sends no signals.
    fast = () if kind.kills else ("--seccomp-bpf",)
    return ("strace", "-D", "-f", "-qq", *fast, "-o", str(trace), "-e", f"trace={kind.call}", "-e", inject)


def run(kind: Kind, nth: int, figures: Figures) -> bool:
    """One run; False when the daemon made fewer calls than that."""
    with tempfile.TemporaryDirectory() as name, StandIn(Path(name) / "service") as standin, Rig(Path(name), standin.port) as rig:
        trace = Path(name) / "strace"
        rig.rules |= {"on_unknown": "search", "recording_id_field": "recording_id", "search_patience": "1s"}
        rig.tables = 'search = { organization_id = "org", space_id = "space" }\n'
        rig.rules |= {"after_upload": "archive", "archive_to": str(rig.directory / "archive")}
        rig.upload |= {"stream_above": "30KiB", "concurrency": 2}
        # The queue is made beforehand, so that the calls that fail are those of uploads: strace counts them for each thread.
        rig.start()
        rig.stop()
        rig.drop("small-1", pcm(seconds=0.5, seed=1))
        rig.drop("small-2", pcm(seconds=0.5, seed=2))
        rig.drop("stream", pcm(seconds=3, seed=3))
        how = _under_faults(rig, launcher(kind, nth, trace))
        struck = trace.exists() and "(INJECTED)" in trace.read_text(errors="replace")
        if not struck and how != KILLED:
            return False
        figures.runs += 1
        figures.injected[str(kind)] += 1
        figures.exits[how] += 1
        rig.start(configure=False)
        # What is sent later has to be seen before anything counts as absent.
        rig.drop("later", pcm(seconds=0.5, seed=4))
        came_true(lambda: all_finished(rig, 4), 200)  # what is missing is told by the judge
        rig.stop()
        _judge(rig, standin, figures, f"{kind}, call {nth}")
        return True


def all_finished(rig: Rig, count: int) -> bool:
    try:
        states = rig.states()
    except (QueueTrouble, OSError):
        return False
    return len(states) == count and set(states.values()) == {State.DONE}


def _under_faults(rig: Rig, launch: tuple[str, ...]) -> str:
    """Until the daemon has ended by itself, or finished, or had its time; how it went."""
    rig.configure()
    with rig.log_path.open("ab") as log:
        rig.process = process = rig.command("run", launcher=launch, stderr=log)
    came_true(lambda: process.poll() is not None or all_finished(rig, 3), 8)
    code = process.poll()
    if code is not None:
        rig.process = None
        return {1: "ended by itself (1)", 73: "did not start (73)", -signal.SIGKILL: KILLED}[code]
    finished = all_finished(rig, 3)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    rig.process = None
    return "went on to the end" if finished else "went on and waited"


def _judge(rig: Rig, standin: StandIn, figures: Figures, what: str) -> None:
    talks: Mapping[str, list[str]] = {}
    for talk in standin.talks():
        talks = {**talks, talk.sha256: [*talks.get(talk.sha256, []), talk.talk_id]}
    jobs = {job.audio.sha256: job for job in rig.jobs().values() if job.audio is not None}
    journal = rig.queue_path.with_name("queue.db.journal").read_text()
    figures.recordings += 4
    problems = {
        "lost": 4 - len(talks),
        "doubled": sum(len(ids) - 1 for ids in talks.values()),
        "wrong_talk_ids": sum(sha not in jobs or jobs[sha].talk_id not in ids for sha, ids in talks.items()),
        "lacking_in_journal": sum(not any(talk_id in journal for talk_id in ids) for ids in talks.values()),
    }
    with closing(SqliteQueue(rig.queue_path)) as queue:
        problems["damaged"] = int(queue.rows("PRAGMA integrity_check") != [{"integrity_check": "ok"}])
    for name, count in problems.items():
        setattr(figures, name, getattr(figures, name) + count)
    if any(problems.values()):
        figures.told.append(f"{what}: {problems} {rig.states()}")


def figures(count: int) -> figures_of.Figures:
    """The same as one part of `make torture`; that it was left out, and why, is told as what was not reached."""
    told = figures_of.Figures("disk")
    if reason := why_not():
        told.unreached.append(f"any of its faults: {reason}")
        return told
    found = sweep(count)
    told.faults.update(found.injected)
    told.counts.update(
        {
            "recordings": found.recordings,
            "lost": found.lost,
            "doubled": found.doubled,
            "wrong talk ids": found.wrong_talk_ids,
            "lacking in the journal": found.lacking_in_journal,
            "queues damaged": found.damaged,
            "kills at a system call": found.exits[KILLED],
        }
    )
    told.broken += found.told
    return told


def sweep(count: int, kinds: tuple[Kind, ...] = KINDS, step: int = 1) -> Figures:
    """`count` runs of each kind at the most, at every `step`-th call."""
    figures = Figures()
    for kind in kinds:
        for nth in _calls(count, step):
            try:
                if not run(kind, nth, figures):
                    break
            except Exception as error:  # noqa: BLE001 - whatever it was, the other runs go on
                figures.told.append(f"{kind}, call {nth}: {figures_of.broke_off(error)}")
    return figures


def _calls(count: int, step: int) -> Iterator[int]:
    yield from range(1, 1 + count * step, step)
