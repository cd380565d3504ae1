"""`run`: the daemon, in the foreground."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from speechsense_watch.app import EXIT_CANNOT_CREATE, CannotOpenQueue, Daemon
from speechsense_watch.cli.common import EXIT_CONFIG, config_option, fail, load_or_exit
from speechsense_watch.config import ConfigError
from speechsense_watch.log import configure, logger, take_over


@click.command("run")
@config_option
def run_command(config_path: Path | None) -> None:
    """Watch the folders and upload, until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration anew. At the end no new upload begins; those under way are finished within
    `shutdown_grace` or given back, and nothing is lost.

    \b
    Exit codes: 0 stopped by a signal, 1 the queue's disk failed, or the queue was removed or damaged while it ran,
    73 the queue cannot be opened, is damaged or in use, 78 the configuration is wrong.
    """
    config = load_or_exit(config_path)
    configure(config.log.format, config.log.level, sys.stderr, sys.stderr.isatty())
    take_over()
    try:
        sys.exit(Daemon(config, os.environ, logger()).run())
    except CannotOpenQueue as error:
        fail(str(error), EXIT_CANNOT_CREATE)
    except ConfigError as error:
        fail("; ".join(str(problem) for problem in error.problems), EXIT_CONFIG)
