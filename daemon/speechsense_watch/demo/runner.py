"""The story of the demo: raise the curtain, let the exchange and the daemon play, look at what became of every call."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from speechsense_watch.core.model import Job
from speechsense_watch.demo import ending
from speechsense_watch.demo.pbx import Pbx
from speechsense_watch.demo.picture import Row, picture_for
from speechsense_watch.demo.review import Facts, differences
from speechsense_watch.demo.scene import CAST, Call
from speechsense_watch.demo.stage import DaemonProcess, DemoError, Eyes, Places, orders
from speechsense_watch.demo.words import words_of
from speechsense_watch.ports import Clock
from speechsense_watch.standin import StandIn, StandInError

EXIT_OK, EXIT_DIFFERS, EXIT_INTERRUPTED = 0, 1, 130
# On any machine that is not worn out it takes half of 20 s; then it is a fault, and said so.
GIVE_UP_AFTER_S = 60.0
_LOOK_EVERY_S = 0.1


class _Interrupted(Exception):  # noqa: N818 - the user's wish
    """The user wants no more of it."""


def play(
    directory: Path,
    console: Console,
    clock: Clock,
    environ: Mapping[str, str],
    *,
    keep: bool = False,
    cast: Sequence[Call] = CAST,
) -> int:
    """The whole demo, in `directory`, which exists; returns the exit code. No process of it is left and no port open.

    Runs in the main thread. Raises DemoError when it cannot go on, and OSError for a directory that cannot be written.
    """
    with _signals() as stop:
        try:
            return _Play(Places(directory), console, clock, stop, cast).run(environ, keep=keep)
        except _Interrupted:
            console.print(
                "Interrupted: all of it was stopped." if keep else "Interrupted: all of it was stopped, nothing is left."
            )
            return EXIT_INTERRUPTED
        except StandInError as error:
            raise DemoError(str(error)) from error


class _Play:
    """One performance."""

    def __init__(self, places: Places, console: Console, clock: Clock, stop: threading.Event, cast: Sequence[Call]) -> None:
        self._places = places
        self._console = console
        self._clock = clock
        self._stop = stop
        self._cast = cast
        self._began = clock.monotonic()

    def run(self, environ: Mapping[str, str], *, keep: bool) -> int:
        ending.opening(self._console, len(self._cast))
        with ExitStack() as stack:
            pbx = stack.enter_context(closing(Pbx(self._places.recordings, self._cast, self._clock.now().astimezone())))
            standin = stack.enter_context(StandIn(self._places.standin))
            orders(standin, self._cast)
            self._places.write_config(standin.target)
            eyes = stack.enter_context(closing(Eyes(self._places, self._cast, pbx.day)))
            daemon = stack.enter_context(DaemonProcess(self._places, environ))
            self._wait_for(daemon)
            in_time = self._play(pbx, eyes)
            code = daemon.stop()
            jobs, talks = eyes.look(), standin.talks()
        rows = self._rows(pbx, jobs)
        audio = {call.name: pbx.audio_path(call) for call in self._cast}
        wrong = differences(Facts(cast=self._cast, jobs=jobs, taped=pbx.taped, audio=audio, talks=talks))
        if not in_time:
            wrong.insert(0, f"It was not finished within {GIVE_UP_AFTER_S:g} s.")
        if code:
            wrong.append(f"The daemon ended with exit code {code}.")
        self._close(rows, jobs, wrong)
        if wrong and not keep:
            self._console.print(f"The end of the daemon's log:\n{daemon.last_words()}", markup=False, soft_wrap=True)
        ending.where_next(self._console, self._places if keep else None, standin.target, jobs.values())
        return EXIT_DIFFERS if wrong else EXIT_OK

    def _wait_for(self, daemon: DaemonProcess) -> None:
        until = self._clock.monotonic() + GIVE_UP_AFTER_S
        while not daemon.started:
            if self._clock.monotonic() > until:
                raise DemoError(f"The daemon did not start within {GIVE_UP_AFTER_S:g} s.\n{daemon.last_words()}")
            self._rest()

    def _play(self, pbx: Pbx, eyes: Eyes) -> bool:
        """Until every call is finished; False when that takes too long."""
        start = self._clock.monotonic()
        with picture_for(self._console) as picture:
            while (elapsed_s := self._clock.monotonic() - start) < GIVE_UP_AFTER_S:
                pbx.step(elapsed_s)
                rows = self._rows(pbx, eyes.look())
                picture.show(rows, elapsed_s)
                if pbx.done and all(row.finished for row in rows):
                    return True
                self._rest()
        return False

    def _rest(self) -> None:
        if self._stop.wait(_LOOK_EVERY_S):
            raise _Interrupted

    def _rows(self, pbx: Pbx, jobs: Mapping[str, Job]) -> list[Row]:
        rows = []
        for call in self._cast:
            job, said = jobs.get(call.name), pbx.said(call)
            talk_id = (job.talk_id if job else None) or ""
            rows.append(Row(call.name, said, words_of(job, written=bool(said.what)), talk_id))
        return rows

    def _close(self, rows: Sequence[Row], jobs: Mapping[str, Job], wrong: Sequence[str]) -> None:
        ending.results(self._console, rows, [jobs.get(call.name) for call in self._cast])
        ending.verdict(self._console, rows, wrong, self._clock.monotonic() - self._began)


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and a closed terminal only set a flag, so that everything is put away whenever they come."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    # What is ignored (nohup, a job in the background) stays so.
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
