"""IAM tokens that renew themselves: fetched in the background, used for as long as they are valid.

A token lives for 12 hours at most, and Yandex Cloud asks to renew it hourly
(https://yandex.cloud/docs/iam/concepts/authorization/iam-token#lifetime). Nobody who sends recordings waits for that: `headers`
starts a renewal that is due and answers at once with the token that is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from speechsense_watch.edge.secret import AuthError, number_of
from speechsense_watch.log import Event, logger
from speechsense_watch.ports import Chance, CredentialPending, Key

RENEW_AFTER_S = 3600.0
LONGEST_LIFE_S = 12 * 3600.0
# However short a token's life is said to be, and however often it is refused, it is not renewed more often than that.
RENEW_AT_MOST_EVERY_S = 30.0
REFUSED_AT_MOST_EVERY_S = 60.0
RETRY_INITIAL_S, RETRY_MAX_S = 5.0, 300.0
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Token:
    """An IAM token and for how many seconds it is valid, counted from the question."""

    value: str = field(repr=False)
    lifetime_s: float


def may_be_token(value: str) -> bool:
    """Whether it can stand in a header: gRPC refuses to send anything but printable ASCII."""
    return bool(value) and value.isascii() and value.isprintable() and " " not in value


class Mint(Protocol):
    """Where tokens come from."""

    @property
    def source(self) -> str:
        """In words."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def look(self) -> object:
        """What tokens are made from now: unequal to what it was when another key has been put in place. Quick; nothing is sent.
        Raises AuthError.
        """
        ...

    def fetch(self) -> Token:
        """A fresh one. Takes up to a minute. Raises AuthError."""
        ...


class Renewing:
    """Keeps `ports.Credentials`. May be used by many threads; never blocks, except in `settle`.

    All times are monotonic and counted from before the question, so that a wall clock that jumps changes nothing here.
    """

    def __init__(self, mint: Mint, monotonic: Callable[[], float], chance: Chance, on_news: Callable[[], None]) -> None:
        self._mint = mint
        self._monotonic = monotonic
        self._chance = chance
        self._on_news = on_news
        self._lock = threading.Condition()
        self._looked_at: float | None = None
        # What the mint made the last token from, and what keeps it from making one; empty while nothing is known to.
        self._made_from: object = None
        self._trouble = ""
        self._fetching = False
        self._token: Token | None = None
        self._fetched_at = 0.0
        self._due_at = float("-inf")
        self._failures = 0

    def __repr__(self) -> str:
        return f"Renewing(source={self.source!r})"

    @property
    def source(self) -> str:
        return self._mint.source

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._mint.warnings

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Raises AuthError, and CredentialPending while the first token is on its way."""
        with self._lock:
            now = self._look_if_due()
            if now >= self._due_at and not self._fetching:
                self._begin()
            if shown := self._valid(now):
                return shown
            if self._trouble:
                raise AuthError(self._trouble)
            raise CredentialPending(f"An IAM token has been asked for ({self.source}).")

    def look(self) -> Key:
        """What is known without a renewal, even if one is due: what a token is made from is looked at, nothing is sent."""
        with self._lock:
            if shown := self._valid(self._look_if_due()):
                return Key(number_of(shown), warnings=self.warnings)
            return Key(trouble=self._trouble, warnings=self.warnings)

    def refused(self) -> None:
        """A fresh token is fetched at once, unless this one is fresh or a renewal fails already and is put off."""
        with self._lock:
            now = self._monotonic()
            if self._token is not None and not self._failures and now - self._fetched_at >= REFUSED_AT_MOST_EVERY_S:
                self._due_at = min(self._due_at, now)
                if not self._fetching:
                    self._begin()

    def settle(self, within_s: float) -> None:
        """What `headers` began has ended, or so many seconds have passed."""
        with self._lock:
            self._lock.wait_for(lambda: not self._fetching, within_s)

    # --- renewing ----------------------------------------------------------------------------

    def _valid(self, now: float) -> tuple[tuple[str, str], ...]:
        """The token in its header; nothing while there is none."""
        if self._token is None or now >= self._fetched_at + self._token.lifetime_s:
            return ()
        return (("authorization", f"Bearer {self._token.value}"),)

    def _look_if_due(self) -> float:
        """What the time was."""
        now = self._monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_EVERY_S:
            self._look(now)
        return now

    def _look(self, now: float) -> None:
        self._looked_at = now
        try:
            made_from = self._mint.look()
        except AuthError as error:
            # Nothing can be fetched; it is looked at again in a second, since that costs nothing.
            self._trouble_is(str(error))
            self._made_from, self._due_at = None, float("inf")
            return
        if made_from != self._made_from:
            self._made_from, self._trouble = made_from, ""
            self._failures, self._due_at = 0, now

    def _begin(self) -> None:
        threading.Thread(target=self._fetch, args=(self._made_from,), name="iam-token", daemon=True).start()
        # It waits for our lock before it ends.
        self._fetching = True
        # Should it end in a way nobody foresaw, it is tried again all the same.
        self._due_at = self._monotonic() + RETRY_MAX_S

    def _fetch(self, made_from: object) -> None:
        asked_at = self._monotonic()
        try:
            token = self._mint.fetch()
        except AuthError as error:
            with self._lock:
                self._failed(str(error), made_from)
        except Exception as error:
            with self._lock:
                self._failed(f"No IAM token can be had, by a fault in this program ({type(error).__name__}).", made_from)
            raise  # told whole by whoever looks after threads
        else:
            with self._lock:
                self._renewed(token, asked_at, made_from)
        finally:
            with self._lock:
                self._fetching = False
                self._lock.notify_all()
            self._on_news()

    def _renewed(self, token: Token, asked_at: float, made_from: object) -> None:
        lifetime_s = min(token.lifetime_s, LONGEST_LIFE_S)
        self._token, self._fetched_at = Token(token.value, lifetime_s), asked_at
        logger().info(Event.AUTH_REFRESHED, source=self.source, valid_for_s=round(lifetime_s))
        if made_from == self._made_from:
            self._trouble, self._failures = "", 0
            self._due_at = asked_at + min(RENEW_AFTER_S, max(lifetime_s / 2, RENEW_AT_MOST_EVERY_S))
        else:
            self._due_at = self._monotonic()  # another key was put in place meanwhile

    def _failed(self, message: str, made_from: object) -> None:
        now = self._monotonic()
        if made_from != self._made_from:
            self._due_at = now
            return
        wait_s = min(RETRY_INITIAL_S * 2**self._failures, RETRY_MAX_S) * (0.5 + 0.5 * self._chance())
        self._failures += 1
        self._due_at = now + wait_s
        self._trouble_is(message, again_in_s=round(wait_s))

    def _trouble_is(self, message: str, **more: object) -> None:
        """Told when something was tried, or when it is another one and nobody else would hear of it yet."""
        left_s = self._fetched_at + self._token.lifetime_s - self._monotonic() if self._token else 0.0
        if more or (message != self._trouble and left_s > 0):
            logger().warning(Event.AUTH_FAILED, message=message, token_valid_for_s=max(round(left_s), 0), **more)
        self._trouble = message
