"""`standin`: the stand-in for SpeechSense, for rehearsals."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from speechsense_watch.cli.common import fail
from speechsense_watch.cli.words import printable
from speechsense_watch.standin import Rules, StandInError, serve

EXIT_FAILED = 1


@click.command("standin")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Where it listens on 127.0.0.1; 0 picks a free port.")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where it remembers.")
@click.option("--tls", is_flag=True, help="Speak TLS, with a certificate of its own made in DIR.")
@click.option(
    "--connection-age",
    "connection_age_s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="After this it tells a connection to go away (GOAWAY), as services do; 0: never.",
)
def standin_command(port: int, directory: Path, tls: bool, connection_age_s: float) -> None:  # noqa: FBT001 - click names flags
    """Run a stand-in for SpeechSense on this machine, to rehearse with.

    It takes uploads as the real service does, checks what the real one checks, remembers every talk in DIR, and fails
    on order: write the faults you want into DIR/faults.json.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve(port, directory, tls=tls, stop_event=stop, echo=click.echo, rules=Rules(connection_age_s=connection_age_s))
    except StandInError as error:
        fail(str(error), EXIT_FAILED)
    except OSError as error:
        fail(f"{printable(str(error.filename or directory))}: {error.strerror}: choose another --dir.", EXIT_FAILED)
