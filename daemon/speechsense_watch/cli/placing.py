"""From a path on the command line to the folder it lies in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from speechsense_watch.core import pairing
from speechsense_watch.core.model import Place
from speechsense_watch.core.rules import Folder
from speechsense_watch.edge.folder import FolderFiles
from speechsense_watch.edge.sources import sources_of
from speechsense_watch.named import Source
from speechsense_watch.ports import Clock
from speechsense_watch.recording import is_there


@dataclass(frozen=True, slots=True)
class Inside:
    """A path below a watched root, and what the folder's rules call it."""

    folder: Folder
    path: str


def placed(path: str, folders: Iterable[Folder]) -> Inside | None:
    """The innermost folder the path lies in, by its name as given, else by where its links lead; None for none."""
    for true_path in (os.path.abspath, os.path.realpath):
        target = true_path(path)
        found = [
            Inside(folder, os.path.relpath(target, root))
            for folder in folders
            if (root := true_path(folder.path)) != target and os.path.commonpath((root, target)) == root
        ]
        if found:
            return min(found, key=lambda each: len(each.path))
    return None


def by_its_folder(inside: Inside, clock: Clock) -> Source:
    """The recording this path belongs to, be it its audio or its metadata, by the folder's rules."""
    folder, path = inside.folder, inside.path
    files = FolderFiles(folder.path, clock)
    if not pairing.is_audio(folder, path):
        candidates = pairing.audio_paths(folder, path)
        path = next((each for each in candidates if is_there(files, each)), path)
    metadata = pairing.metadata_path(folder, path, partial(is_there, files))
    there = metadata if metadata is not None and is_there(files, metadata) else None
    return Source(
        place=Place(folder.name, path),
        files=files,
        audio_file=path,
        metadata_file=there,
        metadata_path=there,
        rules=folder,
        sources=sources_of(folder, clock),
    )


def by_itself(audio: str, metadata: str | None, connection_id: str, inside: Inside | None, clock: Clock) -> Source:
    """The recording as it is, for this connection. Links that the operator named are followed; in a watched folder its
    place is the folder's, so that the daemon does not send it as well.
    """
    true_audio = os.path.realpath(audio)
    true_metadata = os.path.realpath(metadata) if metadata is not None else None
    rules = Folder(path="/", connection_id=connection_id, start_from="all", name="")
    place, known_metadata = Place("", true_audio), true_metadata
    if inside is not None:
        folder = inside.folder
        place = Place(folder.name, inside.path)
        own = pairing.metadata_path(folder, inside.path, partial(is_there, FolderFiles(folder.path, clock)))
        known_metadata = own if own and true_metadata == os.path.realpath(Path(folder.path, own)) else None
        mark = folder.recording_id_field if folder.connection_id == connection_id else ""
        rules = replace(rules, after_upload=folder.after_upload, recording_id_field=mark)
    return Source(
        place=place,
        files=FolderFiles("/", clock),
        audio_file=true_audio.lstrip("/"),
        metadata_file=true_metadata.lstrip("/") if true_metadata is not None else None,
        metadata_path=known_metadata,
        rules=rules,
        plain=True,
    )
