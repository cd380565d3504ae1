"""What the commands share: finding the configuration, and ending with a message people can act on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from speechsense_watch.config import Config, ConfigError, find, load
from speechsense_watch.edge.watched import with_inner

EXIT_CONFIG = 78

_Function = TypeVar("_Function", bound=Callable[..., object])


def config_option(function: _Function) -> _Function:
    """`--config PATH`, handed over as `config_path`."""
    return click.option(
        "--config",
        "config_path",
        metavar="PATH",
        # Whether it can be read is for `load` to say, which also says what to do.
        type=click.Path(path_type=Path, dir_okay=False, readable=False),
        help="The configuration file.  [default: $SPEECHSENSE_WATCH_CONFIG, then /etc/speechsense-watch/config.toml]",
    )(function)


def fail(message: str, code: int) -> NoReturn:
    """Ends the program with a sentence on stderr."""
    sys.exit(say(message, code))


def say(message: str, code: int) -> int:
    """A sentence on stderr; the code that goes with it."""
    click.echo(f"speechsense-watch: {message}", err=True)
    return code


def load_or_exit(config_path: Path | None) -> Config:
    """The configuration, with what the disk tells of its folders; with exit code 78 and every error on stderr when it is not
    right.
    """
    path = find(config_path, os.environ)
    try:
        config = load(path, os.environ)
        return replace(config, folders=with_inner(config.folders))
    except ConfigError as error:
        click.echo(f"speechsense-watch: {path} cannot be used:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
        sys.exit(EXIT_CONFIG)
