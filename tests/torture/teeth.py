"""Whether somebody notices when a safeguard is missing: each is taken away, and a scenario that passes with it has to fail.

Each scenario is the smallest that shows what the safeguard is for; the checks are those of the storm.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torture import faults, power
from torture.figures import Figures, broke_off
from torture.life import Lives
from torture.points import Plan
from torture.recordings import STREAM_ABOVE
from torture.safeguards import TRAP
from torture.world import Setting, World, wait_until

_WHOLE, _STREAM = STREAM_ABOVE // 2, 4 * STREAM_ABOVE
_SOON_S, _DRAIN_S = 12.0, 15.0

# Plays on a world, and returns what was broken.
Scenario: TypeAlias = Callable[[World], list[str]]


@dataclass(frozen=True, slots=True)
class Tooth:
    """`says`: what the check that has to fail says, one of several where it depends on how far the daemon came. `given`: the
    misfortune that is there with and without the safeguard.
    """

    safeguard: str
    setting: Setting
    scenario: Scenario
    says: str | tuple[str, ...]
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bite:
    """What came of it: nothing broken with the safeguard, and what the check said without."""

    tooth: Tooth
    with_it: list[str]
    without: list[str]
    # How the scenario broke off, with it or without: nobody knows what it would have shown.
    broke_off: str = ""

    @property
    def bit(self) -> bool:
        return not self.broke_off and not self.with_it and bool(self.noticed)

    @property
    def noticed(self) -> str:
        """What the check said without the safeguard; empty when it said nothing of the kind."""
        says = (self.tooth.says,) if isinstance(self.tooth.says, str) else self.tooth.says
        return next((line for line in self.without if any(word in line for word in says)), "")


# --- scenarios -----------------------------------------------------------------------------------


def _lost_answers(world: World) -> list[str]:
    """The service stores two recordings and their answers are lost."""
    world.start_service()
    lives, recordings = Lives(world), [world.recorder.drop(size) for size in (_WHOLE, _STREAM)]
    faults.give(world.service_directory, [faults.one_of(each.key, "lost_answer") for each in recordings])
    world.start_daemon()
    wait_until(lambda: all(lives.state_of(each) in ("unconfirmed", "done") for each in recordings), _SOON_S)
    return _end(lives)


def _killed_in_doubt(world: World) -> list[str]:
    """Killed with the answer outstanding, the recording stored."""
    world.start_service()
    lives, recording = Lives(world), world.recorder.drop(_WHOLE)
    faults.give(world.service_directory, [faults.one_of(recording.key, "hang", "after")])
    world.start_daemon()
    wait_until(lambda: bool(lives.ledger.read()), _SOON_S)
    return _end(lives)


def _killed_at_the_last_chunk(world: World) -> list[str]:
    """Killed when the last chunk had gone: once in a while all of it has arrived."""
    world.start_service()
    lives = Lives(world)
    faults.give(world.service_directory, [faults.TRUNCATED])
    for _ in range(6):
        world.recorder.drop(_STREAM)
        lives.live(Plan(die_at="the last chunk taken by grpc"), _SOON_S)
        if wait_until(lives.look_again, 0.5):
            break
    return _end(lives)


def _a_broken_try_then_another(world: World) -> list[str]:
    """The first try broke off and became a talk all the same; the second reached its commit mark and left nothing."""
    world.start_service()
    lives, recording = Lives(world), world.recorder.drop(_STREAM)
    faults.give(world.service_directory, [faults.TRUNCATED])
    for _ in range(5):
        lives.live(Plan(die_at="a chunk taken by grpc"), _SOON_S)
        if wait_until(lambda: bool(lives.ledger.read()), 0.5):
            break
    faults.give(world.service_directory, [{"what": "INTERNAL", "sha256": recording.sha256}])
    world.start_daemon()
    wait_until(lambda: lives.state_of(recording) == "unconfirmed", _SOON_S)
    return _end(lives)


def _late(fault: faults.Order, fences: int, late_s: float = 0.0) -> Scenario:
    """One recording is known to be there; the answer of the next is lost, and it comes into sight late; more follow."""

    def play(world: World) -> list[str]:
        world.start_service()
        lives, first = Lives(world), world.recorder.drop(_WHOLE)
        world.start_daemon()
        wait_until(lambda: lives.state_of(first) == "done", _SOON_S)
        world.kill_daemon()
        time.sleep(world.setting.index_lag_s)  # the service's own time: it is in sight when the next life begins
        second = world.recorder.drop(_WHOLE)
        faults.give(world.service_directory, [{**fault, "fields": {"client_id": second.key}}])
        world.start_daemon()
        wait_until(lambda: lives.state_of(second) not in ("", "ready", "committing"), _SOON_S)
        for _ in range(fences):
            world.recorder.drop(_WHOLE)
        wait_until(lambda: lives.state_of(second) == "done", 6.0)
        wait_until(lambda: sum(talk.key == second.key for talk in lives.ledger.read()) > 1, late_s)
        return _end(lives)

    return play


def _queue_lost(world: World) -> list[str]:
    """All is sent; then the queue is gone, and the journal is not."""
    world.start_service()
    lives = Lives(world)
    for size in (_WHOLE, _WHOLE, _STREAM):
        world.recorder.drop(size)
    lives.drain(_DRAIN_S)
    for ending in ("", "-wal", "-shm"):
        world.queue_path.with_name(world.queue_path.name + ending).unlink(missing_ok=True)
    # What the queue knew of single tries is gone for good; what counts is that nothing is sent again.
    return [each for each in _end(lives) if each.startswith("doubled")]


def _nobody_says_a_word(world: World) -> list[str]:
    """A recording comes, and nothing tells of it."""
    world.start_service()
    lives, first = Lives(world), world.recorder.drop(_WHOLE)
    world.start_daemon()
    wait_until(lambda: lives.state_of(first) == "done", _SOON_S)
    second = world.recorder.drop(_WHOLE)
    wait_until(lambda: lives.state_of(second) == "done", 5.0)
    world.kill_daemon()
    return lives.judged()


def _trapped(world: World) -> list[str]:
    """A file becomes a pipe on the way; the others have to get through."""
    world.start_service()
    lives = Lives(world)
    world.recorder.put(f"{TRAP}.wav", b"RIFF" + bytes(64))
    world.recorder.put(f"{TRAP}.json", b"{}")
    world.start_daemon()
    wait_until((world.folder / f"{TRAP}.wav").is_fifo, _SOON_S)
    recording = world.recorder.drop(_WHOLE)
    wait_until(lambda: lives.state_of(recording) == "done", 6.0)
    world.kill_daemon()
    return lives.judged()


def _power_cut(world: World) -> list[str]:
    """One recording, sent and archived, under strace."""
    log = world.directory / "strace.log"
    world.tracer = power.tracer(log)
    world.start_service()
    lives, recording = Lives(world), world.recorder.drop(_STREAM)
    last_bytes = (world.folder / recording.place).read_bytes()[-16:]
    world.start_daemon()
    wait_until(lambda: lives.state_of(recording) == "done", 30.0)
    world.stop_daemon()
    wait_until(lambda: power.complete(log), _SOON_S)
    return power.broken(log, world.queue_path, last_bytes)


def _end(lives: Lives) -> list[str]:
    """The daemon is killed where it stands, looked at, and then everything drains."""
    lives.world.kill_daemon()
    lives.after_a_kill("in the scenario")
    lives.drain(_DRAIN_S)
    lives.judge()
    return lives.figures.broken


# --- the table -----------------------------------------------------------------------------------

_RESEND, _HOLD = Setting("resend"), Setting("hold", policy="hold")
_LAGGING = Setting("search", policy="search", index_lag_s=4.0, patience="1s")
_PATIENT = Setting("search", policy="search", patience="4s")

TEETH = (
    Tooth("the commit mark before the last chunk", _HOLD, _killed_at_the_last_chunk, "is stored, and the queue says"),
    Tooth("the intent before the first byte", _RESEND, _killed_in_doubt, "is stored, and the queue says ready"),
    Tooth("synchronous FULL", Setting("power", after_upload="archive"), _power_cut, "power cut when"),
    Tooth("gRPC's own retries off", _HOLD, _lost_answers, "doubled:"),
    Tooth("committing is in doubt after a crash", _RESEND, _killed_in_doubt, "marked: False"),
    Tooth("what is in doubt is held", _HOLD, _lost_answers, ("doubled:", "is stored, and the queue says ready")),
    Tooth("every try has its number", _RESEND, _a_broken_try_then_another, "id of a try used twice"),
    Tooth("the journal of a lost queue", _RESEND, _queue_lost, "doubled:"),
    Tooth("the fence of the look-up", _LAGGING, _late({"what": "lost_answer"}, 0), "doubled:"),
    Tooth("the patience of the look-up", _PATIENT, _late({"what": "late_commit", "seconds": 3.0}, 2, late_s=3.5), "doubled:"),
    Tooth("only tries past the mark are adopted", _PATIENT, _a_broken_try_then_another, "wrong talk id"),
    Tooth("the rescan", _RESEND, _nobody_says_a_word, "lost:", given=("events",)),
    Tooth("O_NONBLOCK", _RESEND, _trapped, "lost:", given=("honest files",)),
)


def bite(tooth: Tooth) -> Bite:
    """The scenario is played with the safeguard and without it."""
    try:
        return Bite(tooth, _play(tooth, tooth.given), _play(tooth, (*tooth.given, tooth.safeguard)))
    except Exception as error:  # noqa: BLE001 - whatever it was, the others are tried
        return Bite(tooth, [], [], broke_off(error))


def _play(tooth: Tooth, without: Iterable[str]) -> list[str]:
    directory = Path(tempfile.mkdtemp(prefix="torture-tooth-"))
    try:
        with World(directory, tooth.setting) as world:
            world.without = tuple(without)
            return tooth.scenario(world)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def all_of(chosen: Iterable[Tooth] = TEETH, *, together: int = 3) -> list[Bite]:
    """What needs strace is left out where there is none."""
    possible = [tooth for tooth in chosen if tooth.scenario is not _power_cut or power.available()]
    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(bite, possible))


def figures(bites: Iterable[Bite]) -> Figures:
    """What there is, what bit, and what could not be tried here."""
    found, told = list(bites), Figures("teeth")
    left_out = {tooth.safeguard for tooth in TEETH} - {each.tooth.safeguard for each in found}
    bit = sum(each.bit for each in found)
    told.counts.update({"teeth": len(TEETH), "teeth that bit": bit, "teeth left out": len(left_out)})
    told.broken += [f"{each.tooth.safeguard}: {each.broke_off}" for each in found if each.broke_off]
    told.broken += [f"nobody noticed the lack of {each.tooth.safeguard}" for each in found if not (each.bit or each.broke_off)]
    return told


def table(bites: Iterable[Bite]) -> str:
    found = list(bites)
    lines = ["== teeth: what is taken away, and what said so"]
    for each in found:
        said = "BROKE OFF" if each.broke_off else each.noticed or "NOBODY NOTICED"
        lines.append(f"  {each.tooth.safeguard:40} {said[:90]}")
        lines += [f"    broken even with it: {line}" for line in each.with_it[:3]]
    tried = {each.tooth.safeguard for each in found}
    lines += [f"  {tooth.safeguard:40} LEFT OUT: there is no strace" for tooth in TEETH if tooth.safeguard not in tried]
    lines.append(f"  {sum(each.bit for each in found)} of {len(TEETH)}")
    return "\n".join(lines)
