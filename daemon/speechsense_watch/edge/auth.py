"""The key or token that a call shows to SpeechSense: one that lies somewhere, or one that renews itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from speechsense_watch.config import Auth, SpeechSense
from speechsense_watch.edge.iam import Renewing
from speechsense_watch.edge.secret import SCHEMES, AuthError, Secret, Sources, file_of, header_of, number_of
from speechsense_watch.log import Event, logger
from speechsense_watch.ports import Chance, Clock, Key

# A source is looked at no more often than this; between two looks the last answer stands.
LOOK_EVERY_S = 1.0

Headers: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Key:
    """What was found, and the header that it makes."""

    secret: Secret
    header: str = field(repr=False)


class FixedCredentials:
    """Keeps `ports.Credentials` with a key or token that lies somewhere, or with none. May be used by many threads."""

    def __init__(self, settings: SpeechSense, environ: Mapping[str, str], monotonic: Callable[[], float]) -> None:
        self._auth = settings.auth
        self._monotonic = monotonic
        scheme = SCHEMES.get(self._auth)
        self._sources = Sources(scheme, file_of(settings), environ) if scheme else None
        self._lock = threading.Lock()
        self._key: _Key | None = None
        self._error: AuthError | None = None
        self._looked_at: float | None = None
        self._distrusted = False

    def __repr__(self) -> str:
        return f"FixedCredentials(auth={self._auth.value!r}, source={self.source!r})"

    @property
    def source(self) -> str:
        """Where the last key came from, in words; empty before the first."""
        key = self._key
        return key.secret.source if key else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What deserves a word about the source that the last `headers` used."""
        key = self._key
        return key.secret.warnings if key else ()

    def headers(self) -> Headers:
        """The metadata that a call must carry; nothing with auth = "none". Raises AuthError."""
        if self._sources is None:
            return ()
        with self._lock:
            if self._looked_at is None or self._monotonic() - self._looked_at >= LOOK_EVERY_S:
                self._look(self._sources)
            if self._error is not None or self._key is None:
                # A fresh one: raising the same object from many threads would grow its traceback without end.
                raise AuthError(str(self._error))
            return (("authorization", self._key.header),)

    def look(self) -> Key:
        """What `headers` would show."""
        try:
            return Key(number_of(self.headers()), warnings=self.warnings)
        except AuthError as error:
            return Key(trouble=str(error))

    def refused(self) -> None:
        """The next `headers` reads all sources again, changed or not."""
        with self._lock:
            self._looked_at = None
            self._distrusted = True

    def _look(self, sources: Sources) -> None:
        self._looked_at = self._monotonic()
        before = self._key
        try:
            secret = sources.find(None if self._distrusted or before is None else before.secret)
            if before is None or secret is not before.secret:
                self._key = _Key(secret, header_of(sources.scheme, secret.content, secret.source))
        except AuthError as error:
            self._error = error
            return
        self._error = None
        self._distrusted = False
        if before is not None and self._key is not None and self._key.header != before.header:
            logger().info(Event.AUTH_REFRESHED, source=secret.source)


class Given:
    """Keeps `ports.Credentials` with one header, for a single question."""

    def __init__(self, header: str) -> None:
        self._header = header

    def headers(self) -> Headers:
        return (("authorization", self._header),)

    def refused(self) -> None:
        """Nothing else can be shown."""


AnyCredentials: TypeAlias = FixedCredentials | Renewing


def credentials_of(
    settings: SpeechSense,
    environ: Mapping[str, str],
    clock: Clock,
    *,
    on_news: Callable[[], None] = lambda: None,
    chance: Chance = lambda: 0.5,
) -> AnyCredentials:
    """What the configuration says is to be shown to the service. `on_news` is called, from a thread of its own, when a token
    has come or could not be had; `chance` spreads the tries over time.
    """
    match settings.auth:
        case Auth.SERVICE_ACCOUNT:
            # An HTTP client and a parser of dates: only those who say so shall wait for them.
            from speechsense_watch.edge.service_account import ServiceAccount  # noqa: PLC0415

            return Renewing(ServiceAccount(settings, environ, clock), clock.monotonic, chance, on_news)
        case Auth.VM_METADATA:
            from speechsense_watch.edge.vm_metadata import VmMetadata  # noqa: PLC0415

            return Renewing(VmMetadata(), clock.monotonic, chance, on_news)
        case _:
            return FixedCredentials(settings, environ, clock.monotonic)
