"""The key or token that a call shows to SpeechSense: found, checked, and read again when it changes."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from speechsense_watch.config import Auth, SpeechSense
from speechsense_watch.log import Event, logger
from speechsense_watch.ports import CredentialError

# A source is looked at no more often than this; between two looks the last answer stands.
LOOK_EVERY_S = 1.0
# The longest IAM token seen has under 2,000 characters; whatever is longer than this is another file.
_LARGEST_SECRET_BYTES = 16 * 1024


class AuthError(CredentialError):
    """There is no usable key or token; the message names the source and what to do, never the secret."""


@dataclass(frozen=True, slots=True)
class _Scheme:
    """One way to authenticate. `name` is that of the systemd credential."""

    name: str
    what: str
    prefix: str
    variable: str
    option: str


_SCHEMES = {
    Auth.API_KEY: _Scheme("api-key", "API key", "Api-Key", "SPEECHSENSE_API_KEY", "api_key_file"),
    Auth.IAM_TOKEN: _Scheme("iam-token", "IAM token", "Bearer", "SPEECHSENSE_IAM_TOKEN", "iam_token_file"),
}


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look found. `stamp` tells one content of the source from the next: inode, size, mtime; or the variable's text."""

    source: str
    stamp: tuple[int, int, int] | str
    header: str
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"_Found(source={self.source!r})"


class Credentials:
    """Keeps `ports.Credentials`. May be used by many threads.

    Sources, the first that exists wins: `$CREDENTIALS_DIRECTORY/<name>` (systemd.exec(5), LoadCredential=), the
    configured file, the environment variable. One that exists but is empty or unreadable is an error, so that a
    mistake is never hidden by an older key further down.
    """

    def __init__(self, settings: SpeechSense, environ: Mapping[str, str], monotonic: Callable[[], float]) -> None:
        self._auth = settings.auth
        self._environ = environ
        self._monotonic = monotonic
        self._file = {Auth.API_KEY: settings.api_key_file, Auth.IAM_TOKEN: settings.iam_token_file}.get(self._auth, "")
        self._lock = threading.Lock()
        self._found: _Found | None = None
        self._error: AuthError | None = None
        self._looked_at: float | None = None
        self._distrusted = False

    def __repr__(self) -> str:
        return f"Credentials(auth={self._auth.value!r}, source={self.source!r})"

    @property
    def source(self) -> str:
        """Where the last key came from, in words; empty before the first."""
        found = self._found
        return found.source if found else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What deserves a word about the source that the last `headers` used."""
        found = self._found
        return found.warnings if found else ()

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The metadata that a call must carry; nothing with auth = "none". Raises AuthError."""
        if self._auth is Auth.NONE:
            return ()
        with self._lock:
            if self._looked_at is None or self._monotonic() - self._looked_at >= LOOK_EVERY_S:
                self._look()
            if self._error is not None or self._found is None:
                # A fresh one: raising the same object from many threads would grow its traceback without end.
                raise AuthError(str(self._error))
            return (("authorization", self._found.header),)

    def refused(self) -> None:
        """The next `headers` reads all sources again, changed or not."""
        with self._lock:
            self._looked_at = None
            self._distrusted = True

    def _look(self) -> None:
        self._looked_at = self._monotonic()
        before = self._found
        try:
            self._found = self._find(None if self._distrusted else before)
        except AuthError as error:
            self._error = error
            return
        self._error = None
        self._distrusted = False
        if before is not None and self._found.header != before.header:
            logger().info(Event.AUTH_REFRESHED, source=self._found.source)

    def _find(self, last: _Found | None) -> _Found:
        """What the first source holds that exists; `last` itself if that has not changed. Raises AuthError."""
        scheme = _SCHEMES.get(self._auth)
        if scheme is None:
            raise AuthError(f'auth = "{self._auth}" is not supported yet: use "api-key" or "iam-token".')
        for path in self._files(scheme):
            found = _from_file(path, scheme, last)
            if found is not None:
                return found
        text = self._environ.get(scheme.variable)
        if text is None:
            raise AuthError(self._nowhere(scheme))
        source = f"${scheme.variable}"
        if last is not None and (last.source, last.stamp) == (source, text):
            return last
        return _Found(source, text, _header(scheme, text.encode(errors="surrogateescape"), source), ())

    def _files(self, scheme: _Scheme) -> list[str]:
        directory = self._environ.get("CREDENTIALS_DIRECTORY")
        paths = [str(Path(directory) / scheme.name)] if directory else []
        return [*paths, self._file] if self._file else paths

    def _nowhere(self, scheme: _Scheme) -> str:
        looked = [*self._files(scheme), f"${scheme.variable}"]
        target = f"put it into {self._file}" if self._file else f"name a file that holds it as `{scheme.option}`"
        return f"There is no {scheme.what}: neither {' nor '.join(looked)} exists. To mend it, {target}."


def _from_file(path: str, scheme: _Scheme, last: _Found | None) -> _Found | None:
    """None if there is no such file, `last` if it is unchanged. Raises AuthError."""
    try:
        seen = os.stat(path)  # noqa: PTH116 - beside os.open below, for the same errors
        if last is not None and (last.source, last.stamp) == (path, _stamp(seen)):
            return last
        if not stat.S_ISREG(seen.st_mode):
            raise AuthError(f"{path} should be a file that holds the {scheme.what}, but it is not a regular file.")
        seen, content = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise AuthError(_forbidden(path, scheme)) from error
    except OSError as error:
        message = f"The {scheme.what} in {path} cannot be read: {error.strerror or type(error).__name__}."
        raise AuthError(message) from error
    return _Found(path, _stamp(seen), _header(scheme, content, path), _warnings(path, seen, scheme))


def _read(path: str) -> tuple[os.stat_result, bytes]:
    """What the file was when it was opened, and its bytes if it is a regular one. A FIFO does not block it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", closefd=True) as file:  # noqa: PTH123 - of a descriptor
        seen = os.fstat(file.fileno())
        return seen, file.read(_LARGEST_SECRET_BYTES + 1) if stat.S_ISREG(seen.st_mode) else b""


def _stamp(seen: os.stat_result) -> tuple[int, int, int]:
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _header(scheme: _Scheme, content: bytes, source: str) -> str:
    """The header's value. Raises AuthError.

    gRPC takes printable ASCII only (grpc/doc/PROTOCOL-HTTP2.md, ASCII-Value) and answers anything else, a newline above
    all, with UNAVAILABLE, which looks like a service that is away.
    """
    secret = content.strip()
    if not secret:
        raise AuthError(f"The {scheme.what} in {source} is empty: put the {scheme.what} there.")
    if len(secret) > _LARGEST_SECRET_BYTES:
        raise AuthError(f"What is in {source} is too long for an {scheme.what}: is it the right file?")
    alone = f"It must hold the {scheme.what} and nothing else, on one line."
    if b"\n" in secret or b"\r" in secret:
        raise AuthError(f"The {scheme.what} in {source} has more than one line. {alone}")
    if any(not 0x21 <= byte <= 0x7E for byte in secret):
        raise AuthError(f"The {scheme.what} in {source} has a space, a control or a non-English character. {alone}")
    return f"{scheme.prefix} {secret.decode('ascii')}"


def _forbidden(path: str, scheme: _Scheme) -> str:
    groups = ", ".join(_group_name(gid) for gid in sorted({os.getegid(), *os.getgroups()}))
    return (
        f"The {scheme.what} in {path} may not be read by user {_user_name(os.geteuid())} (groups: {groups}). Give the file "
        f"to one of these groups (`sudo chgrp GROUP {path}; sudo chmod 0640 {path}`), and let the group enter the folder "
        "it lies in."
    )


def _user_name(uid: int) -> str:
    """The name; the number where this machine knows none, as in a container."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _warnings(path: str, seen: os.stat_result, scheme: _Scheme) -> tuple[str, ...]:
    if not seen.st_mode & 0o007:
        return ()
    return (f"{path}: everybody on this machine may get at the {scheme.what}: `sudo chmod o= {path}` mends it.",)
