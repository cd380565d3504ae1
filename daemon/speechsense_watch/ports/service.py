"""SpeechSense, and the credentials it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from speechsense_watch.core.verdict import Halt, Outcome, PauseReason


class ChannelState(StrEnum):
    READY = "ready"
    CONNECTING = "connecting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Channel:
    """The connection to the service right now; `reason` and `message` say why it failed."""

    state: ChannelState
    reason: PauseReason = PauseReason.UNREACHABLE
    message: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """The key or token, by a look at what lies here; nobody is asked for it. `number` is another one when another is shown, so
    that what was refused before may be taken now; 0 while there is none. `trouble` says why there can be none, and what to do;
    `warnings` deserve a word.
    """

    number: int = 0
    trouble: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What is sent beside the audio. `fields` hold everything, the recording id too. `size_bytes` is that of the audio: what a
    call may take depends on it.
    """

    connection_id: str
    fields: Mapping[str, str]
    request_id: str
    uid: str
    size_bytes: int = 0


class Halted(Exception):  # noqa: N818
    """Raised by whoever hands out pieces of audio: nothing more may be sent."""

    def __init__(self, halt: Halt, message: str = "") -> None:
        super().__init__(message)
        self.halt = halt
        self.message = message


class CredentialError(Exception):
    """No usable credential; the message says which source and what to do, never the secret."""


class CredentialPending(CredentialError):  # noqa: N818
    """There is none yet, but it has been asked for; whoever handed in `on_news` is told when it is there."""


class Credentials(Protocol):
    """Where the `authorization` header comes from."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What a call shows now; never blocks. Raises CredentialError."""
        ...

    def refused(self) -> None:
        """The service refused them: every source is read again, a token that renews itself is renewed."""
        ...


OnEnd: TypeAlias = Callable[[Outcome], None]


class Service(Protocol):
    """SpeechSense. Failures are outcomes, never exceptions."""

    def channel(self) -> Channel:
        """Asks for a connection if there is none; never blocks. `on_ready` (handed in) is called when it is there."""
        ...

    def idle(self) -> None:
        """There is nothing to send: a connection that has not been used for long is closed."""
        ...

    def send_whole(self, talk: Talk, audio: bytes) -> Outcome:
        """One message. The caller has marked the commit point already."""
        ...

    def begin_whole(self, talk: Talk, audio: bytes, on_end: OnEnd) -> None:
        """The same without waiting: `on_end` is told once how it ended, on whatever thread. It must neither block nor raise."""
        ...

    def send_stream(self, talk: Talk, pieces: Iterator[bytes], at_commit: Callable[[], None], hold_s: float) -> Outcome:
        """Pieces as they come, the last one held back: for `hold_s` seconds, in which the service may refuse, and until
        `at_commit` returned. `pieces` and `at_commit` may raise Halted, which ends the call with nothing complete sent.
        """
        ...

    def stop_uncommitted(self) -> None:
        """Ends every call before its commit point, and each later one at once: Halt.SHUTDOWN."""
        ...

    def stop_all(self) -> None:
        """Ends every call, whatever it has sent."""
        ...
