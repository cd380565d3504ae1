"""IAM tokens from the metadata service of a Yandex Cloud virtual machine, for the service account linked to it.

https://yandex.cloud/docs/compute/operations/vm-connect/auth-inside-vm: an answer is JSON with `access_token` and `expires_in`.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from speechsense_watch.edge.iam import Token, may_be_token
from speechsense_watch.edge.secret import LARGEST_SECRET_BYTES, AuthError

ADDRESS = "169.254.169.254"
PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
# It answers from the host under the machine: what takes longer, or drips, is no metadata service.
ANSWER_WITHIN_S = 5.0
_LINK = "link one to it (`yc compute instance update NAME --service-account-id ID`)"


class VmMetadata:
    """Keeps `iam.Mint`. `address` is host or host:port. Proxies of the environment are not asked."""

    def __init__(self, address: str = ADDRESS) -> None:
        self._address = address

    @property
    def source(self) -> str:
        return f"the metadata service of this machine ({self._address})"

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def look(self) -> object:
        return self._address

    def fetch(self) -> Token:
        status, body = self._ask()
        if status == http.client.NOT_FOUND:
            raise AuthError(f"This machine has no service account: {_LINK}.")
        if status != http.client.OK:
            raise AuthError(f"{self._said()} answered {status}: see whether the machine has a service account, or {_LINK}.")
        try:
            answer = json.loads(body)
            value, lifetime_s = answer["access_token"], float(answer["expires_in"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            # Not "from": what was answered may hold a token.
            raise AuthError(f"{self._said()} answered with something that is no token: is this a Yandex Cloud machine?") from None
        if not isinstance(value, str) or not may_be_token(value):
            raise AuthError(f"{self._said()} answered with a token that cannot be one.")
        if not lifetime_s > 0:
            raise AuthError(f"{self._said()} answered with a token that has expired.")
        return Token(value, lifetime_s)

    def _ask(self) -> tuple[int, bytes]:
        """Status and body, as far as a token can reach. Raises AuthError."""
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_WITHIN_S)
        try:
            connection.connect()
            with _within(ANSWER_WITHIN_S, connection.sock):
                connection.request("GET", PATH, headers={"Metadata-Flavor": "Google"})
                answer = connection.getresponse()
                return answer.status, answer.read(LARGEST_SECRET_BYTES)
        except (OSError, http.client.HTTPException) as error:
            # The text of an HTTPException is what was answered.
            why = (error.strerror or str(error)) if isinstance(error, OSError) else type(error).__name__
            raise AuthError(
                f"{self._said()} cannot be reached ({why}). It is there only on virtual machines of Yandex Cloud; elsewhere "
                'use auth = "service-account" or "api-key".'
            ) from None
        finally:
            connection.close()

    def _said(self) -> str:
        return f"The metadata service ({self._address})"


@contextmanager
def _within(seconds: float, connection: socket.socket) -> Iterator[None]:
    """What is done over the connection takes no longer; TimeoutError if it would. Its own timeout bounds each piece only."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError("timed out")
