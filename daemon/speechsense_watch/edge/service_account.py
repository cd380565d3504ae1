"""IAM tokens for a service account, by its authorized key: the key file, the JWT that it signs, what IAM says to that.

https://yandex.cloud/docs/iam/operations/iam-token/create-for-sa: the key file is JSON with `id`, `service_account_id` and
`private_key`; the JWT is signed by PS256, names the key in its header, and is good for an hour at most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from speechsense_watch.config import SpeechSense
from speechsense_watch.core.verdict import Code
from speechsense_watch.edge.iam import LONGEST_LIFE_S, Token, may_be_token
from speechsense_watch.edge.reach import explain
from speechsense_watch.edge.secret import SCHEMES, AuthError, Secret, Sources, file_of
from speechsense_watch.ports import Clock

if TYPE_CHECKING:
    from speechsense_watch.edge.channel import Answer

AUDIENCE = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
OWN_IAM = SpeechSense().iam_endpoint
# It is dated back, so that a clock a little ahead does no harm; the two together are the hour that is allowed.
_DATED_BACK, _GOOD_FOR = timedelta(minutes=5), timedelta(minutes=55)
_NEARLY_RIGHT = timedelta(minutes=1)
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
# A token of which IAM does not say how long it is good for.
_LIFE_UNSAID_S = 3600.0
# What is said to be longer ago is no time at all, and more than a timedelta may hold.
_CENTURY_S = 100 * 365 * 86400.0
_PEM_BEGINS = "-----BEGIN"
# Whatever a refusal quotes of what it was shown. A JWT's parts are base64url of JSON, which begins with `{"`.
_JWT = re.compile(r"eyJ[\w.-]*")
_REFUSED = frozenset(
    {Code.UNAUTHENTICATED, Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.NOT_FOUND, Code.FAILED_PRECONDITION}
)


class NoAnswerError(AuthError):
    """IAM said nothing of the key: it cannot be reached, or is in trouble itself."""


@dataclass(frozen=True, slots=True)
class AccountKey:
    """An authorized key."""

    id: str
    service_account_id: str
    private_key: str = field(repr=False)

    def signed(self, now: datetime) -> str:
        """The JWT that IAM takes for a token. Raises AuthError for what is no key."""
        # Brings cryptography along, which takes a tenth of a second: only those who need it shall wait for it.
        import jwt  # noqa: PLC0415
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

        issued = now - _DATED_BACK
        claims = {"iss": self.service_account_id, "aud": AUDIENCE, "iat": issued, "exp": now + _GOOD_FOR}
        try:
            return jwt.encode(claims, self.private_key, algorithm="PS256", headers={"kid": self.id})
        except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
            # Not "from": nothing of the key shall be in a traceback.
            raise AuthError("its `private_key` is no RSA key in PEM") from None


def parsed(content: bytes, source: str) -> AccountKey:
    """The key in a key file. Raises AuthError, which names the source and quotes nothing."""
    again = "Make one with `yc iam key create --service-account-name NAME --output FILE` and put the whole file there."
    try:
        found = json.loads(content)
        values = [found[name] for name in ("id", "service_account_id", "private_key")]
    except (ValueError, KeyError, TypeError, RecursionError):
        values = []
    if not values or not all(isinstance(value, str) and value.strip() for value in values):
        empty = "is empty" if not content.strip() else "is not JSON with `id`, `service_account_id` and `private_key`"
        raise AuthError(f"The service account's key in {source} {empty}. {again}")
    key_id, account, pem = values
    # The file that Yandex Cloud hands out has a line of text before the PEM: "PLEASE DO NOT REMOVE THIS LINE! ...".
    key = AccountKey(key_id, account, pem[pem.find(_PEM_BEGINS) :] if _PEM_BEGINS in pem else pem)
    try:
        key.signed(_ANY_TIME)
    except AuthError as error:
        raise AuthError(f"The service account's key in {source} cannot be used: {error}. {again}") from None
    return key


class ServiceAccount:
    """Keeps `iam.Mint`. The private key is in memory only while it is read or a token is being asked for."""

    def __init__(self, settings: SpeechSense, environ: Mapping[str, str], clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._sources = Sources(SCHEMES[settings.auth], file_of(settings), environ)
        self._source = file_of(settings)
        self._warnings: tuple[str, ...] = ()
        # What was found to hold a key that can sign.
        self._fit: object = None

    @property
    def source(self) -> str:
        return self._source

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._warnings

    def look(self) -> object:
        found = self._find()
        made_from = found.source, found.stamp
        if made_from != self._fit:
            parsed(found.content, found.source)
            self._fit = made_from
        return made_from

    def key(self) -> AccountKey:
        """The key that is there now. Raises AuthError."""
        found = self._find()
        return parsed(found.content, found.source)

    def _find(self) -> Secret:
        found = self._sources.find(None)
        self._source, self._warnings = found.source, found.warnings
        return found

    def fetch(self) -> Token:
        return self.token_for(self.key())

    def token_for(self, key: AccountKey) -> Token:
        """What IAM gives for the key. Takes up to a minute. Raises AuthError."""
        # Brings grpc along.
        from speechsense_watch.edge.channel import Endpoint, exchange  # noqa: PLC0415

        address, plaintext, ca_file = iam_of(self._settings)
        asked_at = self._clock.now()
        try:
            made = exchange(Endpoint(address, plaintext, ca_file), key.signed(asked_at))
        except OSError as error:
            raise AuthError(f"{ca_file} cannot be read ({error.strerror}): check `ca_file`.") from error
        answered_at = self._clock.now()
        server_time = _time_of(made.date)
        if made.answer.code is None:
            trouble = explain(address, plaintext=plaintext, ca_file=ca_file, option="iam_endpoint")
            why = trouble.message if trouble else f"No gRPC connection to {address} comes about: check `iam_endpoint`."
            raise NoAnswerError(f"No IAM token can be had. {why}")
        if made.answer.code is not Code.OK:
            raise _refusal(key, made.answer, answered_at, server_time)
        if not may_be_token(made.token):
            raise AuthError(f"IAM at {address} answered without a usable token: is `iam_endpoint` right?")
        return Token(made.token, _lifetime_s(made.expires_at_s, asked_at, server_time))


def iam_of(settings: SpeechSense) -> tuple[str, bool, str]:
    """Where IAM is: address, plaintext, CA file. Yandex Cloud's own is always asked by TLS with the authorities that this machine
    trusts; another one lies where `endpoint` lies, and is reached in the same way.
    """
    if settings.iam_endpoint == OWN_IAM:
        return OWN_IAM, False, ""
    return settings.iam_endpoint, settings.plaintext, settings.ca_file


# --- what is said ----------------------------------------------------------------------------


def _refusal(key: AccountKey, answer: Answer, now: datetime, server_time: datetime | None) -> AuthError:
    said = f"{answer.code}: {_JWT.sub('[hidden]', answer.message)}" if answer.message else f"{answer.code}"
    if answer.code not in _REFUSED:
        return NoAnswerError(f"IAM gave no token for the service account's key {key.id} ({said}); it is asked again.")
    return AuthError(f"IAM refused the service account's key {key.id} ({said}). {_about_the_clock(now, server_time)}")


def _about_the_clock(now: datetime, server_time: datetime | None) -> str:
    if server_time is None:
        return f"Check this machine's clock (it says {now:%Y-%m-%d %H:%M} UTC) and whether the key still exists."
    skew = now - server_time
    if abs(skew) <= _NEARLY_RIGHT:
        return "This machine's clock is right, so check whether the key still exists."
    return f"This machine's clock is {_in_words(abs(skew))} {'ahead' if skew > timedelta(0) else 'behind'}: set it right."


def _lifetime_s(expires_at_s: int, asked_at: datetime, server_time: datetime | None) -> float:
    """Raises AuthError for a token that is said to have expired."""
    if expires_at_s == 0:
        return _LIFE_UNSAID_S
    lifetime_s = expires_at_s - (server_time or asked_at).timestamp()
    if lifetime_s > 0:
        return min(lifetime_s, LONGEST_LIFE_S)
    clock = _about_the_clock(asked_at, server_time)
    ago = timedelta(seconds=min(-lifetime_s, _CENTURY_S))
    raise AuthError(f"IAM gave a token that expired {_in_words(ago)} ago. {clock}")


def _time_of(date: str) -> datetime | None:
    """RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    try:
        found = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _in_words(span: timedelta) -> str:
    minutes = round(span / timedelta(minutes=1))
    if minutes < 120:
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 2 * 24 * 60 else f"{minutes // (24 * 60)} days"
