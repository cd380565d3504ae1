"""Where a key or token lies: the sources in their order, what each holds, and how a change of it is noticed."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from speechsense_watch.config import Auth, SpeechSense
from speechsense_watch.ports import CredentialError

# The longest IAM token seen has under 2,000 characters, an authorized key of 4,096 bits under 5,000 bytes; whatever is longer
# than this is another file.
LARGEST_SECRET_BYTES = 16 * 1024


class AuthError(CredentialError):
    """There is no usable key or token; the message names the source and what to do, never the secret."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """One kind of secret. `name` is that of the systemd credential, `option` the key of the configuration that names a file;
    `prefix` stands before it in the header, where it is shown itself. Without a `variable` it is not taken from the environment.
    """

    name: str
    what: str
    option: str
    prefix: str = ""
    variable: str = ""


SCHEMES = {
    Auth.API_KEY: Scheme("api-key", "API key", "api_key_file", "Api-Key", "SPEECHSENSE_API_KEY"),
    Auth.IAM_TOKEN: Scheme("iam-token", "IAM token", "iam_token_file", "Bearer", "SPEECHSENSE_IAM_TOKEN"),
    Auth.SERVICE_ACCOUNT: Scheme("service-account-key", "service account's key", "service_account_key_file"),
}


def number_of(headers: tuple[tuple[str, str], ...]) -> int:
    """For `ports.Key`. Python salts the hash of a text anew in each process, so it tells nothing of the key."""
    return hash(headers) or 1


def file_of(settings: SpeechSense) -> str:
    """The file that the configuration names for the secret; empty when it names none, or none is needed."""
    return {
        Auth.API_KEY: settings.api_key_file,
        Auth.IAM_TOKEN: settings.iam_token_file,
        Auth.SERVICE_ACCOUNT: settings.service_account_key_file,
    }.get(settings.auth, "")


@dataclass(frozen=True, slots=True)
class Secret:
    """What a look found. `stamp` tells one content of the source from the next: inode, size, mtime; or the variable's text."""

    source: str
    stamp: tuple[int, int, int] | str = field(repr=False)
    content: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """The places of one kind of secret, the first that exists wins: `$CREDENTIALS_DIRECTORY/<name>` (systemd.exec(5),
    LoadCredential=), the configured file, the environment variable. One that exists but cannot be read is an error, so that a
    mistake is never hidden by an older key further down.
    """

    scheme: Scheme
    file: str
    environ: Mapping[str, str] = field(repr=False)

    def find(self, last: Secret | None) -> Secret:
        """What the first source holds that exists; `last` itself if that has not changed. Raises AuthError."""
        for path in self._files():
            found = _from_file(path, self.scheme, last)
            if found is not None:
                return found
        variable = self.scheme.variable
        text = self.environ.get(variable) if variable else None
        if text is None:
            raise AuthError(self._nowhere())
        if last is not None and (last.source, last.stamp) == (f"${variable}", text):
            return last
        return Secret(f"${variable}", text, text.encode(errors="surrogateescape"))

    def _files(self) -> list[str]:
        directory = self.environ.get("CREDENTIALS_DIRECTORY")
        paths = [str(Path(directory) / self.scheme.name)] if directory else []
        return [*paths, self.file] if self.file else paths

    def _nowhere(self) -> str:
        scheme = self.scheme
        looked = [*self._files(), *([f"${scheme.variable}"] if scheme.variable else [])]
        target = f"put it into {self.file}" if self.file else f"name a file that holds it as `{scheme.option}`"
        match looked:
            case []:
                nowhere = ""
            case [only]:
                nowhere = f": {only} does not exist"
            case _:
                nowhere = f": neither {' nor '.join(looked)} exists"
        return f"There is no {scheme.what}{nowhere}. To mend it, {target}."


def header_of(scheme: Scheme, content: bytes, source: str) -> str:
    """The header's value. Raises AuthError.

    gRPC takes printable ASCII only (grpc/doc/PROTOCOL-HTTP2.md, ASCII-Value) and answers anything else, a newline above
    all, with UNAVAILABLE, which looks like a service that is away.
    """
    secret = content.strip()
    if not secret:
        raise AuthError(f"The {scheme.what} in {source} is empty: put the {scheme.what} there.")
    if len(secret) > LARGEST_SECRET_BYTES:
        raise AuthError(f"What is in {source} is too long for an {scheme.what}: is it the right file?")
    if secret.startswith(b"{"):
        raise AuthError(
            f"What is in {source} is JSON, no {scheme.what}. If it is the key file of a service account, set "
            '`auth = "service-account"` under [speechsense].'
        )
    alone = f"It must hold the {scheme.what} and nothing else, on one line."
    if b"\n" in secret or b"\r" in secret:
        raise AuthError(f"The {scheme.what} in {source} has more than one line. {alone}")
    if any(not 0x21 <= byte <= 0x7E for byte in secret):
        raise AuthError(f"The {scheme.what} in {source} has a space, a control or a non-English character. {alone}")
    return f"{scheme.prefix} {secret.decode('ascii')}"


# --- files -----------------------------------------------------------------------------------


def _from_file(path: str, scheme: Scheme, last: Secret | None) -> Secret | None:
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
    return Secret(path, _stamp(seen), content, _warnings(path, seen, scheme))


def _read(path: str) -> tuple[os.stat_result, bytes]:
    """What the file was when it was opened, and its bytes if it is a regular one. A FIFO does not block it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", closefd=True) as file:  # noqa: PTH123 - of a descriptor
        seen = os.fstat(file.fileno())
        return seen, file.read(LARGEST_SECRET_BYTES + 1) if stat.S_ISREG(seen.st_mode) else b""


def _stamp(seen: os.stat_result) -> tuple[int, int, int]:
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _forbidden(path: str, scheme: Scheme) -> str:
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


def _warnings(path: str, seen: os.stat_result, scheme: Scheme) -> tuple[str, ...]:
    if not seen.st_mode & 0o007:
        return ()
    return (f"{path}: everybody on this machine may get at the {scheme.what}: `sudo chmod o= {path}` mends it.",)
