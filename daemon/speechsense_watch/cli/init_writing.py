"""`init`, the writing: configuration, secrets, the unit's drop-in and a recorder's hook. What is replaced is kept beside it."""

from __future__ import annotations

import grp
import itertools
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

import click

from speechsense_watch.cli.common import fail
from speechsense_watch.cli.init_questions import EXIT_FAILED
from speechsense_watch.cli.words import printable
from speechsense_watch.config.recipes import Recipe
from speechsense_watch.config.unit import drop_in, fits_a_unit
from speechsense_watch.edge import service_user
from speechsense_watch.edge.atomic import rights_of, write_whole
from speechsense_watch.edge.ownership import SERVICE_USER

UNIT = "speechsense-watch.service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Of what is written: root's files are the service's group's to read; everybody else's only their own, since the first
    group of a person may be that of many.
    """

    owner: tuple[int, int] | None = None
    mode: int = 0o600
    directory_mode: int = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What is wanted has a file; one that nobody has said leaves the file as it is, or makes it, empty."""

    api_key: str = ""
    wants_api_key: bool = False
    password: str = ""
    wants_password: bool = False


# --- the configuration -----------------------------------------------------------------------


def write_configuration(etc: Path, text: str, secrets: Secrets, *, operators: bool) -> None:
    """The configuration comes last: until it is whole, the one that was there is in force."""
    rights = _rights(etc)
    try:
        _make(etc, rights)
        if secrets.wants_api_key:
            _write_secret(etc / "api-key", secrets.api_key, rights)
        if secrets.wants_password:
            _write_secret(etc / "cdr-password", secrets.password, rights)
        people = etc / "operators.csv"
        if operators and not people.exists():
            write(people, b"extension,id,name\n", rights)
            note(f"Put your people into {people}; without a name there the extension is the name.")
        write(etc / "config.toml", text.encode(), rights)
    except OSError as error:
        _cannot(etc, error)
    _warn_of_a_closed_door(etc / "config.toml")


def _rights(etc: Path) -> Rights:
    if os.geteuid() != 0:
        return Rights()
    try:
        group = grp.getgrnam(SERVICE_USER).gr_gid
    except KeyError:
        note(
            f"There is no group {SERVICE_USER} yet: make it (docs/operations.md, step 2), then "
            f"`sudo chgrp -R {SERVICE_USER} {etc}`."
        )
        group = 0
    return Rights(owner=(0, group), mode=0o640, directory_mode=0o750)


def _make(directory: Path, rights: Rights) -> None:
    """One that is there already is somebody's, and stays as it is."""
    try:
        directory.mkdir(mode=rights.directory_mode, parents=True)
    except FileExistsError:
        return
    directory.chmod(rights.directory_mode)  # whatever the umask took away
    if rights.owner is not None:
        os.chown(directory, *rights.owner)


def _write_secret(path: Path, secret: str, rights: Rights) -> None:
    """An empty file has the rights that it needs, to be filled later."""
    if secret or not path.exists():
        write(path, f"{secret}\n".encode() if secret else b"", rights, keep=False)


def _warn_of_a_closed_door(config_path: Path) -> None:
    user = service_user.find() if os.geteuid() == 0 else None
    if user is not None and not service_user.may_read(user, config_path):
        note(
            f"User {user.name} may not read {config_path}: {config_path.parent} was there before and is left as it is. To mend "
            f"it: `sudo chgrp {SERVICE_USER} {config_path.parent} && sudo chmod g+rx {config_path.parent}`."
        )


# --- the unit --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Readers:
    """The group that may read the recordings, as a unit names it; `missing` where this machine lacks it. Both empty: none."""

    group: str = ""
    missing: str = ""


def readers(given: str | None, path: str, recipe: Recipe) -> Readers:
    """As given, else of the recordings as they are, else what the recorder's packages use."""
    if given is not None:
        return _of_a_name(given)
    try:
        number = Path(path).stat().st_gid
    except OSError:
        return _of_a_name(recipe.group) if recipe.group else Readers()
    if number == 0:
        return Readers()
    try:
        return _of_a_name(grp.getgrgid(number).gr_name)
    except KeyError:
        return Readers(missing=str(number))


def _of_a_name(name: str) -> Readers:
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        return Readers(missing=name)
    return Readers(name if fits_a_unit(name) else str(number))


def group_must_exist(name: str | None) -> None:
    """Ends the program for a group with which systemd would not start the service."""
    if name is not None and _of_a_name(name).missing:
        fail(f"this machine has no group {printable(name)}: name one with --group that may read the recordings.", EXIT_FAILED)


def write_unit(units: Path, path: str, found: Readers) -> None:
    if not os.path.isdir(units):  # noqa: PTH112 - False, too, where it may not be looked at
        group = found.group or found.missing or "of the recordings"
        note(f"There is no {units}: without systemd, see to the group {group} yourself.")
        return
    target = units / f"{UNIT}.d" / "recorder.conf"
    try:
        _make(target.parent, Rights(directory_mode=0o755))
        write(target, drop_in(path, group=found.group, missing_group=found.missing).encode(), Rights(mode=0o644))
    except OSError as error:
        _cannot(target, error)
    if os.geteuid() == 0:
        service_user.tell_systemd()
    if found.missing:
        note(
            f"This machine has no group {found.missing}, and systemd starts no service with such a group: in {target} its line "
            "is a comment. Take the # away once the group is there."
        )


# --- the hook --------------------------------------------------------------------------------


def write_hook(recipe: Recipe, hooks: Path) -> None:
    if not recipe.hook:
        return
    try:
        write(hooks / recipe.hook, files("speechsense_watch.hooks").joinpath(recipe.hook).read_bytes(), Rights(mode=0o755))
    except OSError as error:
        _cannot(hooks / recipe.hook, error)


# --- what they share -------------------------------------------------------------------------


def note(text: str) -> None:
    click.echo(f"  note   {printable(text)}")


def write(path: Path, data: bytes, rights: Rights, *, keep: bool = True) -> None:
    """`path` holds `data`. Until then it holds what it held, which is kept under another name, if it is something else."""
    if keep and path.exists():
        before = path.read_bytes()
        if before != data:
            _keep(path, before)
    write_whole(path, data, mode=rights.mode, owner=rights.owner)
    click.echo(f"  wrote  {printable(str(path))}")


def _keep(path: Path, data: bytes) -> None:
    names = (f"{path.name}.before-init{number}" for number in itertools.chain([""], (f"-{n}" for n in itertools.count(2))))
    aside = next(path.with_name(name) for name in names if not os.path.lexists(path.with_name(name)))
    mode, owner = rights_of(path)
    write_whole(aside, data, mode=mode, owner=owner)
    click.echo(f"  kept   {printable(str(aside))}, as it was before")


def _cannot(path: Path, error: OSError) -> NoReturn:
    again = ": try again with `sudo`" if isinstance(error, PermissionError) and os.geteuid() != 0 else ""
    fail(f"{printable(str(error.filename or path))} cannot be written ({error.strerror}){again}.", EXIT_FAILED)
