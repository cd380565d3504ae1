"""The file that holds a key, replaced whole, with the rights of the one that was there."""

from __future__ import annotations

import grp
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click

from speechsense_watch.cli.common import fail
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import user_name
from speechsense_watch.edge import service_user
from speechsense_watch.edge.atomic import write_whole
from speechsense_watch.edge.ownership import SERVICE_USER
from speechsense_watch.edge.service_user import ServiceUser

EXIT_FAILED = 1


@dataclass(frozen=True, slots=True)
class _Rights:
    mode: int
    owner: tuple[int, int] | None


class KeyFile:
    """`path` may be a link: the file that it leads to is replaced, not the link."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))

    def must_be_writable(self) -> None:
        """Ends the program before anybody is asked for a key that cannot be stored."""
        directory = self._path.parent
        if not directory.is_dir():
            fail(f"there is no {printable(str(directory))}, where the key belongs: make that directory first.", EXIT_FAILED)
        if self._path.exists() and not self._path.is_file():
            fail(f"{printable(str(self._path))} is no regular file: the key cannot be put there.", EXIT_FAILED)
        if not os.access(directory, os.W_OK | os.X_OK):
            self._cannot("may not be written")
        if self._path.exists() and os.geteuid() not in (0, self._path.stat().st_uid):
            self._cannot("belongs to somebody else")

    def store(self, content: bytes, user: ServiceUser | None) -> None:
        """Says what was done, and whether the service's user, if there is one, can read it. Ends the program when it cannot."""
        rights = self._rights()
        try:
            write_whole(self._path, content, mode=rights.mode, owner=rights.owner)
        except OSError as error:
            self._cannot(f"cannot be written ({error.strerror})")
        shown = printable(str(self._path))
        click.echo(f"Stored in {shown} ({_in_words(self._path)}).")
        if rights.mode & 0o007:
            click.echo(f"Everybody on this machine may get at it: `sudo chmod o= {shown}` mends that.")
        if user is not None and not service_user.may_read(user, self._path):
            click.echo(
                f"User {user.name} may not read it: give it to group {SERVICE_USER}, and let that enter {self._path.parent}."
            )

    def _rights(self) -> _Rights:
        """Those of the file that is there; else root's, readable for the service's group, or the caller's alone."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return _rights_of_a_new_one()
        # Others than root can give their files to groups of theirs only.
        owner = (found.st_uid if os.geteuid() == 0 else -1, found.st_gid)
        return _Rights(found.st_mode & 0o666, owner)

    def _cannot(self, why: str) -> NoReturn:
        fail(f"{printable(str(self._path))} {why} by user {user_name()}: try again with `sudo`.", EXIT_FAILED)


def _rights_of_a_new_one() -> _Rights:
    if os.geteuid() != 0:
        return _Rights(0o600, None)
    try:
        return _Rights(0o640, (0, grp.getgrnam(SERVICE_USER).gr_gid))
    except KeyError:
        return _Rights(0o600, None)


def _in_words(path: Path) -> str:
    found = path.stat()
    try:
        return f"{path.owner()}:{path.group()} {found.st_mode & 0o777:04o}"
    except KeyError:
        return f"{found.st_uid}:{found.st_gid} {found.st_mode & 0o777:04o}"
