"""`run`: the daemon, in the foreground."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import NoReturn

import click

from speechsense_watch.app import EXIT_CANNOT_CREATE, EXIT_FATAL, CannotOpenQueue, Daemon
from speechsense_watch.cli.common import EXIT_CONFIG, config_option, load_or_exit, say
from speechsense_watch.config import ConfigError
from speechsense_watch.edge.allocator import keep_pieces
from speechsense_watch.log import Event, configure, logger, take_over


@click.command("run")
@config_option
def run_command(config_path: Path | None) -> None:
    """Watch the folders and upload, until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration anew. At the end no new upload begins; those under way are finished within
    `shutdown_grace` or given back, and nothing is lost.

    \b
    Exit codes: 0 stopped by a signal, 1 the queue's disk failed, the queue was removed or damaged while it ran, or a fault
    of this program (the log has it), 73 the queue cannot be opened, is damaged or in use, 78 the configuration is wrong.
    """
    config = load_or_exit(config_path)
    configure(config.log.format, config.log.level, sys.stderr, sys.stderr.isatty())
    take_over()
    keep_pieces()
    try:
        code = Daemon(config, os.environ, logger()).run()
    except CannotOpenQueue as error:
        code = say(str(error), EXIT_CANNOT_CREATE)
    except ConfigError as error:
        code = say("; ".join(str(problem) for problem in error.problems), EXIT_CONFIG)
    except Exception:  # noqa: BLE001 - a fault of ours: told whole, and the process ends, whatever its threads are at
        logger().exception(Event.LOOP_FAILED, loop="main")
        code = EXIT_FATAL
    _end(code)


def _end(code: int) -> NoReturn:
    """Now, also where a thread goes on: one that hangs on a share that is gone would keep the process for ever. The next start
    finds what it was at, as after a kill.
    """
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
