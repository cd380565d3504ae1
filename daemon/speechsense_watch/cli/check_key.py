"""What `check` says of the key, or of the tokens that are got in its place."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from speechsense_watch.cli.report import Report
from speechsense_watch.config import Auth, SpeechSense
from speechsense_watch.edge.auth import AnyCredentials, FixedCredentials, credentials_of
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.iam import Renewing
from speechsense_watch.edge.service_account import ServiceAccount
from speechsense_watch.ports import CredentialError

# What asking for a token may take: reaching IAM and its answer, and to find out why it cannot be reached.
TOKEN_WITHIN_S = 60.0


def look_at_key(settings: SpeechSense, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Where it is, and what deserves a word about that; nobody is asked for a token. Raises CredentialError."""
    if settings.auth is Auth.SERVICE_ACCOUNT:
        account = ServiceAccount(settings, environ, SystemClock())
        key = account.key()
        return f"{account.source} (service account {key.service_account_id}, key {key.id})", account.warnings
    credentials = FixedCredentials(settings, environ, SystemClock().monotonic)
    credentials.headers()
    return credentials.source, credentials.warnings


def settled(settings: SpeechSense, environ: Mapping[str, str]) -> AnyCredentials:
    """What is shown to the service, with a token that has come or could not be had in due time."""
    credentials = credentials_of(settings, environ, SystemClock())
    if isinstance(credentials, Renewing):
        with suppress(CredentialError):
            credentials.headers()
        credentials.settle(TOKEN_WITHIN_S)
    return credentials


def token_came(credentials: AnyCredentials, report: Report) -> bool:
    """Whether there is one, where one is needed."""
    if not isinstance(credentials, Renewing):
        return True
    try:
        credentials.headers()
    except CredentialError as error:
        report.wrong(f"key: {error}")
        return False
    report.good(f"key: an IAM token came by {credentials.source}.")
    return True
