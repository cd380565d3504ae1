"""Signals that come at any moment, one within the other."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING

from speechsense_watch.cli.upload import Stopper
from speechsense_watch.edge.signals import News, Signals
from support.waiting import wait_for

if TYPE_CHECKING:
    from _typeshed import TraceFunction


def test_news_wake_the_one_who_waits_and_are_old_then() -> None:
    """However often they were told."""
    news = News()
    news.set()
    news.set()
    assert news.wait(60)
    assert not news.wait(0)
    threading.Timer(0.01, news.set).start()
    assert news.wait(60)


@contextmanager
def installed(*heeded: signal.Signals) -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in heeded}
    signals = Signals()
    try:
        signals.install()
        yield signals
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_daemon_s_signals_are_counted() -> None:
    """The first SIGTERM or SIGINT ends it, the second cuts that short; SIGHUP asks for the configuration."""
    heeded = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with installed(*heeded) as signals:
        for number in heeded:
            os.kill(os.getpid(), number)
        wait_for(lambda: signals.stop == 2 and signals.reload, 10)
        assert signals.news.wait(60)


def test_a_signal_that_came_to_another_thread_wakes_the_one_who_waits() -> None:
    """Long before it would look by itself. With a handler that tells nobody: that one has to be on the main thread already."""
    with installed(signal.SIGHUP) as signals:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
        threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGHUP)).start()
        assert signals.news.wait(60)


def test_more_news_than_anybody_hears_are_news_all_the_same() -> None:
    """Nobody who tells them is kept waiting."""
    news = News()
    for _ in range(200_000):
        news.set()
    assert news.wait(60)
    assert not news.wait(0)


def interrupted_everywhere(work: Callable[[], object], handler: Callable[[], object], patience_s: float = 60) -> bool:
    """Whether the work comes to its end although the handler runs between any two of its steps, once at each, as a signal's may;
    in a thread that is left behind if not.
    """
    steps: set[tuple[object, int]] = set()

    def trace(frame: FrameType, _event: str, _argument: object) -> TraceFunction:
        step = (frame.f_code, frame.f_lineno)
        if step not in steps:
            steps.add(step)
            handler()
        return trace

    def traced() -> None:
        sys.settrace(trace)
        try:
            work()
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=traced, daemon=True)
    thread.start()
    thread.join(patience_s)
    return not thread.is_alive()


def test_a_signal_within_the_waiting_does_not_stop_it_for_ever() -> None:
    """Its handler wakes who waits for it, and that may be the very one it interrupts."""
    signals = Signals()
    assert interrupted_everywhere(lambda: signals.news.wait(0.01), lambda: signals._reload(1, None))
    event = threading.Event()
    assert not interrupted_everywhere(lambda: event.wait(0.01), event.set, patience_s=0.5)


class Stopped:
    """Keeps count of what is asked of the service."""

    def __init__(self) -> None:
        self.stops: list[str] = []

    def stop_uncommitted(self) -> None:
        self.stops.append("uncommitted")

    def stop_all(self) -> None:
        self.stops.append("all")


def test_the_second_ctrl_c_may_come_within_the_first() -> None:
    """Both are heeded, whatever the main thread is doing, be it the start of a thread."""
    upload, service = SimpleNamespace(stopping=False), Stopped()
    stopper = Stopper(upload, service)  # type: ignore[arg-type]
    stopper.start()
    begun = threading.Thread(target=lambda: None)
    assert interrupted_everywhere(begun.start, lambda: stopper(2, None))
    assert upload.stopping
    wait_for(lambda: service.stops == ["uncommitted", "all"], 10)
