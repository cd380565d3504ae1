"""What the reading commands share: the queue opened for reading, and choices for the shell to complete."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from speechsense_watch.cli.common import fail
from speechsense_watch.cli.words import printable
from speechsense_watch.config import Config, ConfigError, find, load
from speechsense_watch.edge.lock import LockTrouble
from speechsense_watch.edge.records import NotReadable, Records, opened
from speechsense_watch.edge.schema import NewerSchema
from speechsense_watch.ports import QueueTrouble

EXIT_CANNOT_READ = 73


@contextmanager
def records_of(config: Config) -> Iterator[Records]:
    """The queue of this configuration; ends the program with exit code 73 and a sentence when it cannot be read."""
    try:
        with opened(Path(config.queue.path)) as records:
            yield records
    except NotReadable as error:
        fail(f"{printable(str(error))}. Try again with `sudo speechsense-watch ...`.", EXIT_CANNOT_READ)
    except LockTrouble as error:
        fail(printable(f"{error}."), EXIT_CANNOT_READ)
    except (QueueTrouble, NewerSchema) as error:
        fail(printable(f"{config.queue.path}: {error}"), EXIT_CANNOT_READ)


def folder_paths(config: Config, records: Records) -> Mapping[str, str]:
    """Where each folder lies, by name: what the configuration says goes before what the queue remembers."""
    return {**records.folder_paths(), **{folder.name: folder.path for folder in config.folders}}


def complete_folder(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The folders' names, for the shell; nothing when the configuration cannot be read."""
    try:
        config = load(find(context.params.get("config_path"), os.environ), os.environ)
    except ConfigError:
        return []
    return [CompletionItem(folder.name, help=folder.path) for folder in config.folders if folder.name.startswith(incomplete)]
