"""Which files belong together, and when a file has been left alone for long enough.

Names are matched without regard to case, since recorders on Windows shares do not agree with themselves; paths are below the
folder's root with '/' between the parts.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from speechsense_watch.core.model import Sighting
from speechsense_watch.core.rules import Folder

# Names that programs give to files they have not finished; none of them is ever a recording. So is a hidden one.
_UNFINISHED_ENDINGS = ("~", ".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp")
_AUDIO_ENDINGS = (
    ".wav", ".wave", ".wav16", ".wav48", ".wav49", ".mp3", ".ogg", ".opus", ".webm", ".gsm", ".alaw", ".ulaw", ".g722",
    ".sln", ".sln16", ".raw", ".flac", ".m4a", ".amr",
)  # fmt: skip
# In a row they mean no more than one.
_ANY_DIRECTORIES = re.compile(r"(?:(?<=/)|^)(?:\*\*/)+")
_PLACEHOLDER = re.compile(r"(\{stem\}|\{name\})")
# On a local file system a file this old at first sight is not being written any more.
OLD_AT_FIRST_SIGHT_S = 3600.0


def ignored(path: str) -> bool:
    """A name that programs use while they write: looked at when it gets its real one."""
    name = path[path.rfind("/") + 1 :]
    return name.startswith(".") or name.lower().endswith(_UNFINISHED_ENDINGS)


@lru_cache(maxsize=256)
def _one_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # One expression for all of them: a directory of a million names is matched against them at every scan.
    return re.compile("|".join(translate(variant) for pattern in patterns for variant in _variants(pattern.lower())))


def _variants(pattern: str) -> list[str]:
    """The pattern, and as it is where `**/` stands for no directory at all; `*` matches "/" as well as anything, so that for
    one or more directories nothing is to be done.
    """
    first, *rest = _ANY_DIRECTORIES.split(pattern)
    found = [first]
    for piece in rest:
        found = [f"{begun}{middle}{piece}" for begun in found for middle in ("**/", "")]
    return [variant for variant in found if variant]


def _matches(patterns: tuple[str, ...], text: str) -> bool:
    return bool(patterns) and _one_of(patterns).match(text) is not None


def chosen(folder: Folder, path: str) -> bool:
    """`include` and `exclude` let it through."""
    lower = path.lower()
    if folder.include and not _matches(folder.include, lower):
        return False
    return not excluded(folder, path)


def excluded(folder: Folder, path: str) -> bool:
    """`exclude` leaves it out, be it a file or a directory."""
    return _matches(folder.exclude, path.lower())


def enters(folder: Folder, directory: str) -> bool:
    """Whether recordings in this directory count: not hidden, not excluded, not another folder's, nor below one that is; '' is
    the root itself.
    """
    if not directory:
        return True
    if not folder.recursive:
        return False
    parent, _, name = directory.rpartition("/")
    return (
        directory not in folder.inner and not name.startswith(".") and not excluded(folder, directory) and enters(folder, parent)
    )


def left_out(folder: Folder, path: str) -> str:
    """Which rule leaves the path out whatever it holds, as a sentence; empty when none does."""
    directories = path.split("/")[:-1]
    above = ["/".join(directories[: depth + 1]) for depth in range(len(directories))]
    if directories and not folder.recursive:
        return "It lies in a subdirectory, and `recursive = false` leaves those out."
    if inner := next((part for part in above if part in folder.inner), ""):
        return f"It belongs to the folder that watches {posixpath.join(folder.path, inner)}."
    if any(name.startswith(".") for name in directories):
        return "It lies in a hidden directory, and those are left out."
    if any(excluded(folder, part) for part in (*above, path)):
        return "`exclude` in the folder's rules leaves it out."
    if is_audio(folder, path) and not chosen(folder, path):
        return "`include` in the folder's rules leaves it out."
    return ""


def takes(folder: Folder, path: str) -> bool:
    """Whether this is an audio path that the folder's rules take, however it became known: by an event or by a scan."""
    return is_audio(folder, path) and chosen(folder, path) and enters(folder, posixpath.dirname(path))


def belongs(folder: Folder, path: str) -> bool:
    """Whether this is the path of an audio that the rules take, or of metadata that one of those may have."""
    return takes(folder, path) or any(takes(folder, audio) for audio in audio_paths(folder, path))


def is_audio(folder: Folder, path: str) -> bool:
    """A name that `audio` matches; whether it holds audio is for its header to say."""
    if ignored(path):
        return False
    lower = path.lower()
    kinds = _kinds(folder.audio)
    if kinds.endings and lower.endswith(kinds.endings):
        return True
    return _matches(kinds.names, lower[lower.rfind("/") + 1 :]) or _matches(kinds.paths, lower)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The patterns of `audio` by what they are held against: the end of a name, a name, or a path below the root. A directory
    of a million names is matched at every start, and an ending takes a tenth of an expression's time.
    """

    endings: tuple[str, ...]
    names: tuple[str, ...]
    paths: tuple[str, ...]


def _is_ending(pattern: str) -> bool:
    return pattern.startswith("*.") and not set("*?[/") & set(pattern[1:])


@lru_cache(maxsize=256)
def _kinds(patterns: tuple[str, ...]) -> _Kinds:
    return _Kinds(
        endings=tuple(pattern[1:].lower() for pattern in patterns if _is_ending(pattern)),
        names=tuple(pattern for pattern in patterns if "/" not in pattern and not _is_ending(pattern)),
        paths=tuple(pattern for pattern in patterns if "/" in pattern),
    )


@lru_cache(maxsize=256)
def _likely_endings(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """As the patterns write them, then in lower and upper case."""
    written = [pattern[1:] for pattern in patterns if _is_ending(pattern)]
    return tuple(variant for ending in written for variant in dict.fromkeys((ending, ending.lower(), ending.upper())))


def looks_like_audio(path: str) -> bool:
    """A name people would call a recording."""
    return not ignored(path) and path.lower().endswith(_AUDIO_ENDINGS)


def lies_beside_its_audio(folder: Folder, name: str, names: Container[str]) -> bool:
    """A quick word on most metadata there is: a name that differs by its ending alone from audio among `names`, and can be none
    itself. Of others nothing is said.
    """
    stem = name[: name.rfind(".")]
    return any(stem + ending in names for ending in _likely_endings(folder.audio)) and not looks_like_audio(name)


def unmatched(folder: Folder, path: str) -> bool:
    """A name people would call a recording, which no rule takes though none excludes it: worth counting, since `include` and
    `audio` are easily written too narrow, while what is excluded is so on purpose.
    """
    if excluded(folder, path):
        return False
    return not chosen(folder, path) if is_audio(folder, path) else looks_like_audio(path)


def metadata_path(folder: Folder, audio_path: str, is_there: Callable[[str], bool] | None = None) -> str | None:
    """Where the metadata of this audio is looked for; None in a folder whose recordings have no metadata files.

    With `is_there` it is the name that is there, be its ending in capitals or not; the one in the rules when none is.
    """
    if not folder.metadata:
        return None
    likeliest = _filled(folder.metadata, audio_path)
    if is_there is not None and not is_there(likeliest):
        beginning, ending = posixpath.splitext(folder.metadata)
        others = [_filled(beginning + other, audio_path) for other in (ending.lower(), ending.upper()) if other != ending]
        return next((path for path in others if "{" not in ending and is_there(path)), likeliest)
    return likeliest


def _filled(template: str, audio_path: str) -> str:
    if (ending := _ending_behind_stem(template)) is not None:
        return posixpath.splitext(audio_path)[0] + ending
    directory, name = posixpath.split(audio_path)
    stem = posixpath.splitext(name)[0]
    # In one pass: a file may be called "{name}.wav".
    filled = _PLACEHOLDER.sub(lambda found: stem if found[0] == "{stem}" else name, template)
    return posixpath.normpath(posixpath.join(directory, filled))


@lru_cache(maxsize=256)
def _ending_behind_stem(template: str) -> str | None:
    """Of "{stem}.json", which nearly all have, the ".json"; None of a template of any other kind."""
    beginning, found, ending = template.partition("{stem}")
    return ending if found and not beginning and ending and not {"/", "{"} & set(ending) else None


@lru_cache(maxsize=256)
def _metadata_pattern(template: str) -> re.Pattern[str]:
    beginning, ending = posixpath.splitext(template)
    if "{" in ending:
        beginning, ending = template, ""
    pieces = _PLACEHOLDER.split(beginning)
    pattern = ""
    for number, piece in enumerate(pieces):
        if _PLACEHOLDER.fullmatch(piece):
            group = piece[1:-1]
            pattern += f"(?P={group})" if piece in pieces[:number] else f"(?P<{group}>[^/]+)"
        else:
            pattern += re.escape(piece)
    return re.compile(rf"(?:(?P<directory>.*)/)?{pattern}(?i:{re.escape(ending)})", re.DOTALL)


def audio_paths(folder: Folder, path: str) -> tuple[str, ...]:
    """The names the audio of this metadata may have, the likeliest first; none when it is no metadata's name."""
    if ignored(path) or not folder.metadata:
        return ()
    found = _metadata_pattern(folder.metadata).fullmatch(path)
    if found is None:
        return ()
    parts = found.groupdict()
    directory = parts.get("directory") or ""
    if name := parts.get("name"):
        names: list[str] = [name] if parts.get("stem") in (None, posixpath.splitext(name)[0]) else []
    else:
        names = [(parts.get("stem") or "") + ending for ending in _likely_endings(folder.audio)]
    joined = [f"{directory}/{name}" if directory else name for name in names]
    return tuple(candidate for candidate in joined if is_audio(folder, candidate) and candidate != path)


@dataclass(frozen=True, slots=True)
class Track:
    """A path over several looks: `since` is when its present content was first seen, `first` when the path was
    (monotonic seconds). `old` spares the second look.
    """

    sighting: Sighting
    since: float
    first: float
    old: bool = False


def follow(track: Track | None, sighting: Sighting, wall_ns: int, *, local: bool) -> Track:
    """The track after one more look. A changed file starts its quiet period anew."""
    if track is None:
        newest_ns = max(sighting.mtime_ns, sighting.ctime_ns)
        old = local and wall_ns - newest_ns > OLD_AT_FIRST_SIGHT_S * 1e9
        return Track(sighting, sighting.at, sighting.at, old)
    if track.sighting.stamp != sighting.stamp:
        return Track(sighting, sighting.at, track.first)
    return Track(sighting, track.since, track.first, track.old)


def quiet_left_s(track: Track, quiet_period_s: float) -> float:
    """Seconds until the file has been left alone for the quiet period, by our own looks; 0 when it has."""
    if track.old:
        return 0.0
    return max(0.0, track.since + quiet_period_s - track.sighting.at)
