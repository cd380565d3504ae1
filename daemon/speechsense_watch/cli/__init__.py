"""The command line: `speechsense-watch COMMAND`. Each command lives in a module of its own, loaded when it is called."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import click

from speechsense_watch import __version__

# In the order in which a new user needs them. name -> module; the command in it bears the name, "-" read as "_".
COMMANDS = {
    "init": "speechsense_watch.cli.init",
    "check": "speechsense_watch.cli.check",
    "run": "speechsense_watch.cli.run",
    "status": "speechsense_watch.cli.status",
    "list": "speechsense_watch.cli.listing",
    "show": "speechsense_watch.cli.show",
    "retry": "speechsense_watch.cli.operator",
    "skip": "speechsense_watch.cli.operator",
    "resolve": "speechsense_watch.cli.operator",
    "orphans": "speechsense_watch.cli.orphans",
    "adopt": "speechsense_watch.cli.adopt",
    "forget": "speechsense_watch.cli.forget",
    "pause": "speechsense_watch.cli.holding",
    "resume": "speechsense_watch.cli.holding",
    "approve": "speechsense_watch.cli.holding",
    "set-key": "speechsense_watch.cli.set_key",
    "upload": "speechsense_watch.cli.upload",
    "sidecar": "speechsense_watch.cli.sidecar",
    "backup": "speechsense_watch.cli.copies",
    "restore": "speechsense_watch.cli.copies",
    "moved": "speechsense_watch.cli.moved",
    "standin": "speechsense_watch.cli.standin",
    "demo": "speechsense_watch.cli.demo",
}


# structlog takes it along where it finds it, to draw tracebacks that ours never are: 35 ms, and 3 MB as long as it runs.
_NOT_FOR_A_DAEMON = "rich"


@contextmanager
def _for_a_daemon() -> Iterator[None]:
    """What is imported meanwhile stays for as long as the process: the garbage collector looks at it neither now nor later, and
    what only people at a terminal see is taken for not installed.
    """
    hidden = _NOT_FOR_A_DAEMON not in sys.modules
    if hidden:
        sys.modules[_NOT_FOR_A_DAEMON] = None  # type: ignore[assignment]  # so that `import` raises, says importlib's reference
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if hidden:
            del sys.modules[_NOT_FOR_A_DAEMON]


class _Lazily(click.Group):
    """Imports a command's module only when the command is called or its help is shown."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        module = COMMANDS.get(name)
        if module is None:
            return None
        with _for_a_daemon() if name == "run" else nullcontext():
            loaded = importlib.import_module(module)
        command = getattr(loaded, f"{name.replace('-', '_')}_command")
        return command if isinstance(command, click.Command) else None


@click.group(cls=_Lazily, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="speechsense-watch")
def group() -> None:
    """Brings every recording of a telephone exchange to Yandex SpeechSense and keeps its talk id on record.

    \b
    First steps:
      speechsense-watch demo                 see it work, without account or configuration
      sudo speechsense-watch init            set it up for your recorder, by a few questions
      speechsense-watch check                is everything set up right?
      speechsense-watch status               how is it going, and does anything need me?

    \b
    Tab completion in bash:
      eval "$(_SPEECHSENSE_WATCH_COMPLETE=bash_source speechsense-watch)"
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The program's entry point."""
    # gRPC's own tracing writes what it sends, the key and the fields of a call, to standard error and so past our log.
    os.environ.pop("GRPC_TRACE", None)
    group(args=arguments, prog_name="speechsense-watch")
