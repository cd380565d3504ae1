"""What each rule of a folder says of a path, in the order in which they decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from speechsense_watch.core import pairing
from speechsense_watch.core.rules import Folder


def ruling(folder: Folder, path: str) -> list[str]:
    """A sentence for each rule that had a say, up to the one that left the path out."""
    return list(_ruling(folder, path))


def _ruling(folder: Folder, path: str) -> Iterator[str]:
    yield f'path: "{folder.path}" is the nearest watched folder above it, so "{folder.name}" owns it'
    if pairing.ignored(path):
        yield "name: one that programs give to what they have not finished, or a hidden one"
        return
    if words := pairing.left_out(folder, path):
        yield words
        return
    if folder.exclude:
        yield f"exclude: none of {_quoted(folder.exclude)} matches"
    audio = pairing.is_audio(folder, path)
    if audio and folder.include:
        yield f"include: {_quoted(folder.include)} lets it through"
    yield f"audio: {_quoted(folder.audio)} {'matches' if audio else 'does not match'}"
    if audio and (beside := pairing.metadata_path(folder, path)):
        yield f'metadata: by "{folder.metadata}" it is {beside}'
    elif audio:
        yield 'metadata: "", so no file is looked for beside it'
    elif candidates := pairing.audio_paths(folder, path):
        yield f'metadata: by "{folder.metadata}" it belongs to {" or ".join(candidates)}'
    elif folder.metadata:
        yield f'metadata: "{folder.metadata}" does not match'


def _quoted(patterns: Sequence[str]) -> str:
    return ", ".join(f'"{pattern}"' for pattern in patterns)
