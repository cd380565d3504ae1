"""`check`: is everything set up right?"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from speechsense_watch import config as configuration
from speechsense_watch.cli.check_folders import check_folder
from speechsense_watch.cli.check_parts import (
    check_credentials,
    check_endpoint,
    check_queue,
    check_recording,
    check_service,
)
from speechsense_watch.cli.check_search import check_look_up
from speechsense_watch.cli.common import EXIT_CONFIG, config_option, fail
from speechsense_watch.cli.linked import link_at
from speechsense_watch.cli.placing import placed
from speechsense_watch.cli.report import Report
from speechsense_watch.cli.words import printable
from speechsense_watch.cli.writing import user_name
from speechsense_watch.config import Config, ConfigError
from speechsense_watch.edge import service_user
from speechsense_watch.edge.clock import SystemClock
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.ownership import SERVICE_USER
from speechsense_watch.edge.watched import conflicts, roots_of, with_inner

EXIT_ENDPOINT = 69


@click.command("check")
@config_option
@click.option("--online", is_flag=True, help="Also ask whether SpeechSense can be reached and what it says of the key.")
@click.option(
    "--file",
    "file",
    metavar="F",
    type=click.Path(exists=True, dir_okay=False),
    help="Instead: what this recording would be sent as, and every rule that acted.",
)
@click.option("--sample", is_flag=True, help="Instead: print a commented configuration to begin with.")
@click.option("--user", metavar="NAME", help="As root: whose rights to check.  [default: the service's user]")
def check_command(
    config_path: Path | None,
    online: bool,  # noqa: FBT001 - click hands flags over by name
    file: str | None,
    sample: bool,  # noqa: FBT001
    user: str | None,
) -> None:
    """Is everything set up right? Nothing is changed and no recording is sent.

    Looks at the configuration, the folders, the queue and the key. Run with sudo it looks with the rights of the
    service's user.

    \b
    Exit codes: 0 all is right, 69 SpeechSense cannot be reached, 78 something else is wrong.
    """
    if sample:
        click.echo(configuration.sample(), nl=False)
        return
    report = Report()
    if online:
        # While we still may read every file of the program.
        importlib.import_module("speechsense_watch.edge.channel")
    handed_over = _take_rights(user, report)
    config = _load(config_path, report)
    if file is not None:
        _check_file(file, config, report)
        sys.exit(EXIT_CONFIG if report.bad else 0)
    roots = roots_of(config.folders)
    for folder in config.folders:
        check_folder(folder, roots, SystemClock(), report)
    check_queue(config.queue, report)
    have_key = check_credentials(config, os.environ, handed_over, report)
    reached = not online or _check_online(config, report, have_key=have_key)
    _conclude(report, config, online=online)
    sys.exit(EXIT_ENDPOINT if not reached else EXIT_CONFIG if report.bad else 0)


def _take_rights(name: str | None, report: Report) -> Mapping[str, str]:
    """Run as root, this process goes on with the service's rights alone; returns what systemd hands to the service."""
    if os.geteuid() != 0:
        if name is not None and name != user_name():
            fail("only root can check another user's rights: try again with `sudo`.", EXIT_CONFIG)
        if user_name() != SERVICE_USER and name is None:
            report.note(f"Checked with the rights of user {user_name()}; with `sudo` those of the service's user are checked.")
        return {}
    user = service_user.find(name)
    if user is None:
        if name is not None:
            fail(f"this machine has no user {printable(name)}.", EXIT_CONFIG)
        report.note(
            f"Checked with the rights of root, who may read anything: there is no user {SERVICE_USER} here.",
            "If the daemon runs as another user: `check --user NAME`.",
        )
        return {}
    if user.uid != 0:
        service_user.become(user)
    report.good(f"Checked with the rights of user {user.name}.")
    for program in (sys.executable, __file__):
        if not os.access(program, os.R_OK):
            report.wrong(
                f"program: user {user.name} may not read {program}, so the service cannot start and nothing else was checked.",
                "Install it where everybody may read, for instance below /opt.",
            )
            sys.exit(EXIT_CONFIG)
    return user.credentials


def _load(config_path: Path | None, report: Report) -> Config:
    """The configuration, its warnings told; with exit code 78 and everything that is wrong when it cannot be used."""
    path = configuration.find(config_path, os.environ)
    try:
        config = configuration.load(path, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            report.wrong(f"configuration: {problem}")
        sys.exit(EXIT_CONFIG)
    problems = conflicts(config.folders)
    for problem in problems:
        report.wrong(f"configuration: {problem}")
    if not problems:
        folders = "1 folder" if len(config.folders) == 1 else f"{len(config.folders)} folders"
        report.good(f"configuration: {path} can be used ({folders}).")
    for warning in config.warnings:
        report.note(f"configuration: {warning}")
    return replace(config, folders=with_inner(config.folders))


def _check_file(file: str, config: Config, report: Report) -> None:
    inside = placed(file, config.folders)
    if inside is None:
        folders = ", ".join(folder.path for folder in config.folders)
        report.wrong(
            f"{file} lies in none of the watched folders: {folders}",
            "`speechsense-watch upload --audio-path F --connection-id C` sends it by nobody's rules.",
        )
        return
    link = link_at(FolderFiles(inside.folder.path, SystemClock()), inside.path, roots_of(config.folders))
    if link is not None:
        report.wrong(f"folder {inside.folder.name}: {link.said}", link.advice)
        return
    check_recording(inside, Path(config.queue.path), report)


def _check_online(config: Config, report: Report, *, have_key: bool) -> bool:
    """Whether SpeechSense can be reached."""
    if not check_endpoint(config, report):
        return False
    if not have_key:
        report.note("service: it was not asked, since there is no key to show from here.")
        return True
    reached = check_service(config, os.environ, report)
    if reached:
        check_look_up(config, os.environ, report)
    return reached


def _conclude(report: Report, config: Config, *, online: bool) -> None:
    if report.bad:
        return
    more = "" if online else " `check --online` asks SpeechSense, too."
    paths = [folder.path for folder in config.folders]
    verdict = "Nothing is set up wrongly, but some recordings would not be sent: see above." if report.doubts else "All is right."
    click.echo(f"{verdict}{more} `check --file F` shows what a recording in {printable(paths[0])} would be sent as.")
