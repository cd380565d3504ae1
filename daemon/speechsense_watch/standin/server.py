"""A stand-in SpeechSense that listens on this machine."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from speechsense_watch.standin.calls import CallLog, CallRecord
from speechsense_watch.standin.certificates import certificates
from speechsense_watch.standin.faults import Fault, FaultBook
from speechsense_watch.standin.rules import Rules
from speechsense_watch.standin.service import StandInTalkService
from speechsense_watch.standin.storage import StandInError, Storage, StoredTalk
from yandex.cloud.speechsense.v1.talk_service_pb2_grpc import add_TalkServiceServicer_to_server

HOST = "127.0.0.1"
# Each call holds a thread, those that hang on order as well.
THREADS = 64


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _silent(_line: str) -> None:
    return


class StandIn:
    """A real gRPC TalkService on loopback, with its memory in `directory`; what it stored outlives it.

        with StandIn(directory) as standin:
            standin.order(Fault("UNAVAILABLE", count=2))
            ...  # a client of standin.target
            print(standin.talks())

    `port` 0 takes a free one. `echo` is handed a line for every call that ended, from any thread.
    """

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        *,
        tls: bool = False,
        rules: Rules | None = None,
        now: Callable[[], datetime] = _utc_now,
        echo: Callable[[str], None] = _silent,
    ) -> None:
        self.directory = directory
        self.port = port
        self.tls = tls
        self.ca_file = directory / "tls" / "ca.pem"
        self._rules = rules or Rules()
        self._now = now
        self._echo = echo
        self._faults = FaultBook(directory / "faults.json", echo)
        self._running: _Running | None = None

    @property
    def target(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """It listens on `port`. Raises StandInError when it cannot; nothing is left open then."""
        storage = Storage(self.directory)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(storage.close)
            calls = CallLog(storage.calls, self._now)
            service = StandInTalkService(self._rules, storage, self._faults, calls=calls, now=self._now, echo=self._echo)
            pool = ThreadPoolExecutor(THREADS, thread_name_prefix="stand-in")
            server = self._server(pool, service)
            self.port = self._bind(server)
            on_failure.pop_all()
        server.start()
        self._running = _Running(storage, calls, service, pool, server)

    def stop(self, grace_s: float = 0.0) -> None:
        """It listens no more, no thread of it is left, and what it stored stays on disk. Harmless when not running.

        Calls that go on are cut off after `grace_s`, those that hang on order at once.
        """
        running, self._running = self._running, None
        if running is not None:
            running.stop(grace_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def order(self, fault: Fault) -> None:
        self._faults.order(fault)

    def clear_faults(self) -> None:
        """Every fault ordered by `order` is taken back."""
        self._faults.clear()

    def talks(self) -> list[StoredTalk]:
        """All talks in the directory, oldest first. Only while it runs."""
        return self._now_running().storage.talks()

    def calls(self) -> list[CallRecord]:
        """All calls in the directory, oldest first, those that go on included. Only while it runs."""
        return self._now_running().calls.records()

    def _now_running(self) -> _Running:
        if self._running is None:
            raise StandInError("The stand-in does not run: start it first.")
        return self._running

    def _server(self, pool: ThreadPoolExecutor, service: StandInTalkService) -> grpc.Server:
        options = [
            ("grpc.max_receive_message_length", self._rules.max_message_bytes),
            # Two stand-ins on one port would each get some of the calls.
            ("grpc.so_reuseport", 0),
        ]
        if self._rules.connection_age_s:
            age_ms = round(self._rules.connection_age_s * 1000)
            options += [("grpc.max_connection_age_ms", age_ms), ("grpc.max_connection_age_grace_ms", age_ms)]
        server = grpc.server(pool, options=options)
        add_TalkServiceServicer_to_server(service, server)
        return server

    def _bind(self, server: grpc.Server) -> int:
        target = f"{HOST}:{self.port}"
        try:
            if not self.tls:
                return server.add_insecure_port(target)
            made = certificates(self.directory / "tls")
            credentials = grpc.ssl_server_credentials([(made.private_key, made.certificate)])
            return server.add_secure_port(target, credentials)
        except RuntimeError as trouble:
            raise StandInError(f"The stand-in cannot listen on {target}: is the port in use? Try another one.") from trouble


class _Running:
    """What there is only between start and stop."""

    def __init__(
        self,
        storage: Storage,
        calls: CallLog,
        service: StandInTalkService,
        pool: ThreadPoolExecutor,
        server: grpc.Server,
    ) -> None:
        self.storage = storage
        self.calls = calls
        self._service = service
        self._pool = pool
        self._server = server

    def stop(self, grace_s: float) -> None:
        self._service.release()
        self._server.stop(grace_s).wait()
        self._pool.shutdown(wait=True)
        self._service.finish()
        self.storage.close()


def serve(
    port: int,
    directory: Path,
    *,
    tls: bool,
    stop_event: threading.Event,
    echo: Callable[[str], None],
    rules: Rules | None = None,
) -> None:
    """A stand-in has run until `stop_event` was set, having told how to use it. Raises StandInError if it cannot start."""
    with StandIn(directory, port, tls=tls, rules=rules, echo=echo) as standin:
        for line in _welcome(standin):
            echo(line)
        stop_event.wait()


def _welcome(standin: StandIn) -> list[str]:
    trust = [f"    ca_file = {json.dumps(str(standin.ca_file.absolute()))}"] if standin.tls else ["    plaintext = true"]
    return [
        f"The stand-in SpeechSense listens on {standin.target}. Nothing leaves this machine.",
        "Point the daemon at it in its configuration, and use any connection_id:",
        "    [speechsense]",
        f'    endpoint = "{standin.target}"',
        '    auth = "none"',
        *trust,
        f"What it is sent: {standin.directory / 'audio'}, {standin.directory / 'talks.jsonl'}",
        f"What it was asked: {standin.directory / 'calls.jsonl'}",
        f"Faults on order: write {standin.directory / 'faults.json'}, for instance",
        '    [{"what": "UNAVAILABLE", "count": 2}, {"what": "lost_answer", "nth": 3}]',
        "Stop it with Ctrl-C.",
        "",
    ]
