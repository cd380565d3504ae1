"""Every way in which a recording can come to lie in a folder, as real file operations.

A way puts the audio where it belongs; its metadata comes before, after or meanwhile. What must become of it stands in
`Cell.talks` and `Cell.doubles` when the way has been gone.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from support.rig import FIELDS
from support.wavs import chunk, fmt, pcm, riff, samples

# The daemon's quiet period in the table, and how long a recorder rests between two writes: far enough from each other that a
# busy machine does not turn the one into the other.
QUIET_S = 5.0
REST_S = 0.35


class Order(StrEnum):
    """Which half comes first."""

    METADATA_FIRST = "metadata first"
    AUDIO_FIRST = "audio first"
    TOGETHER = "together"


@dataclass(slots=True)
class Cell:
    """One way in one order. `directory` is its own and below the folder's root, `outside` on the same file system."""

    way: str
    order: Order
    directory: Path
    outside: Path
    seed: int
    # Audio that must become a talk, once, by its path below the root; several where a name is used again.
    talks: dict[Path, list[bytes]] = field(default_factory=dict)
    # Audio that must end as a duplicate.
    doubles: list[Path] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.directory / "call.wav"

    def audio(self, number: int = 0, seconds: float = 1.0) -> bytes:
        return pcm(seconds=seconds, seed=self.seed * 10 + number)

    def growing(self, seconds: float) -> bytes:
        """The same as `audio` while the recorder writes: the lengths are zero until it closes."""
        body = chunk(b"data", samples(seconds, seed=self.seed * 10), 0)
        return riff(fmt(), body, length=0)

    def takes(self, path: Path, data: bytes) -> None:
        """Says that this audio must become a talk."""
        self.talks.setdefault(path, []).append(data)

    def metadata(self, path: Path | None = None, number: int = 0) -> None:
        """What belongs beside the audio at `path`, written and closed."""
        fields = {**FIELDS, "client_id": f"{self.seed}-{number}"}
        (path or self.path).with_suffix(".json").write_text(json.dumps(fields))


Way: TypeAlias = Callable[[Cell], None]
# Ways that put the audio only: the metadata is written by itself, in each order.
OF_ONE_FILE: dict[str, Way] = {}
# Ways that put a directory or several recordings: they mind the order themselves.
OF_MANY: dict[str, Way] = {}


def _rest(seconds: float = REST_S) -> None:
    # Nobody sets it: recorders take their time, and that is what is played here.
    threading.Event().wait(seconds)


def _way(ways: dict[str, Way]) -> Callable[[Way], Way]:
    def enter(way: Way) -> Way:
        ways[way.__name__.replace("_", " ")] = way
        return way

    return enter


def play(cell: Cell) -> None:
    """The recording lies there, both halves of it."""
    if cell.way in OF_MANY:
        OF_MANY[cell.way](cell)
        return
    cell.directory.mkdir(parents=True)
    if cell.order is Order.METADATA_FIRST:
        cell.metadata()
    meanwhile = threading.Thread(target=_metadata_meanwhile, args=(cell,))
    if cell.order is Order.TOGETHER:
        meanwhile.start()
    OF_ONE_FILE[cell.way](cell)
    if cell.order is Order.TOGETHER:
        meanwhile.join()
    if cell.order is Order.AUDIO_FIRST:
        cell.metadata()


def _metadata_meanwhile(cell: Cell) -> None:
    _rest(0.1)
    cell.metadata()


def _write_whole(cell: Cell, name: str) -> bytes:
    data = cell.audio()
    (cell.directory / name).write_bytes(data)
    cell.takes(cell.path, data)
    return data


# --- one file -----------------------------------------------------------------------------------


@_way(OF_ONE_FILE)
def close_after_write(cell: Cell) -> None:
    _write_whole(cell, cell.path.name)


@_way(OF_ONE_FILE)
def rename_inside(cell: Cell) -> None:
    _write_whole(cell, "call.wav.part")
    _rest()
    (cell.directory / "call.wav.part").rename(cell.path)


@_way(OF_ONE_FILE)
def rename_of_a_hidden_name(cell: Cell) -> None:
    """As rsync and sftp servers do."""
    _write_whole(cell, ".call.wav.a8Fx2Q")
    (cell.directory / ".call.wav.a8Fx2Q").rename(cell.path)


@_way(OF_ONE_FILE)
def rename_from_outside(cell: Cell) -> None:
    data = cell.audio()
    (cell.outside / "made.wav").write_bytes(data)
    (cell.outside / "made.wav").rename(cell.path)
    cell.takes(cell.path, data)


@_way(OF_ONE_FILE)
def hard_link(cell: Cell) -> None:
    data = cell.audio()
    (cell.outside / "made.wav").write_bytes(data)
    cell.path.hardlink_to(cell.outside / "made.wav")
    cell.takes(cell.path, data)


@_way(OF_ONE_FILE)
def slow_growth(cell: Cell) -> None:
    """Asterisk: the lengths are zero until the file is closed."""
    with cell.path.open("wb") as file:
        written = 0
        for tenths in range(1, 13):
            data = cell.growing(tenths / 10)
            file.write(data[written:])
            file.flush()
            written = len(data)
            _rest()
        whole = cell.audio(seconds=1.2)
        file.seek(0)
        file.write(whole[:44])
    cell.takes(cell.path, whole)


@_way(OF_ONE_FILE)
def growth_with_a_header_that_is_always_right(cell: Cell) -> None:
    """wav49 of old Asterisk versions, and Python's `wave`: only time tells that it is not the end."""
    for tenths in range(2, 13):
        cell.path.write_bytes(cell.audio(seconds=tenths / 10)) if tenths == 2 else _grow(cell, tenths)
        _rest()
    cell.takes(cell.path, cell.audio(seconds=1.2))


def _grow(cell: Cell, tenths: int) -> None:
    data = cell.audio(seconds=tenths / 10)
    with cell.path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(data[file.tell() :])
        file.seek(0)
        file.write(data[:44])


@_way(OF_ONE_FILE)
def room_taken_beforehand(cell: Cell) -> None:
    """The size is the final one and the header right from the start, the audio comes bit by bit."""
    whole = cell.audio()
    with cell.path.open("wb") as file:
        file.truncate(len(whole))
        for start in range(0, len(whole), 4000):
            file.seek(start)
            file.write(whole[start : start + 4000])
            file.flush()
            _rest(0.2)
    cell.takes(cell.path, whole)


@_way(OF_ONE_FILE)
def memory_mapped(cell: Cell) -> None:
    """Nothing tells of writes through a mapping."""
    whole = cell.audio()
    with cell.path.open("w+b") as file:
        file.truncate(len(whole))
        with mmap.mmap(file.fileno(), len(whole)) as mapped:
            mapped[:] = whole
    cell.takes(cell.path, whole)


@_way(OF_ONE_FILE)
def pause_and_append(cell: Cell) -> None:
    """Valid, closed, opened again with its lengths at 0, longer, closed: StopMixMonitor and MixMonitor with `a`."""
    cell.path.write_bytes(cell.audio(seconds=0.5))
    _rest()
    with cell.path.open("r+b") as file:
        file.write(cell.growing(0.5)[:44])
        file.flush()
        _rest()
        file.seek(0, os.SEEK_END)
        whole = cell.audio(seconds=1.0)
        file.write(whole[file.tell() :])
        file.flush()
        _rest()
        file.seek(0)
        file.write(whole[:44])
    cell.takes(cell.path, whole)


@_way(OF_ONE_FILE)
def header_at_zero_for_longer_than_the_quiet_period(cell: Cell) -> None:
    """A call on hold: nothing is written for a while, and nothing is over."""
    with cell.path.open("wb") as file:
        file.write(cell.growing(0.5))
        file.flush()
        _rest(QUIET_S + 1)
        whole = cell.audio(seconds=1.0)
        file.write(whole[file.tell() :])
        file.seek(0)
        file.write(whole[:44])
    cell.takes(cell.path, whole)


@_way(OF_ONE_FILE)
def placeholder_renamed_over(cell: Cell) -> None:
    """MixMonitor with a cache directory: 0 bytes for as long as the call lasts, then the file takes its place."""
    cell.path.touch()
    _rest(QUIET_S + 1)
    _write_whole(cell, "_tmp_pbx_rec_call.partial")
    (cell.directory / "_tmp_pbx_rec_call.partial").rename(cell.path)


@_way(OF_ONE_FILE)
def placeholder_copied_over(cell: Cell) -> None:
    """The same with the cache on another file system: deleted, made anew, filled, given its mode."""
    cell.path.touch()
    _rest(QUIET_S + 1)
    cell.path.unlink()
    with cell.path.open("wb") as file:
        whole = cell.audio()
        file.write(whole[:9000])
        file.flush()
        cell.path.chmod(0o600)
        _rest()
        file.write(whole[9000:])
    cell.path.chmod(0o644)
    cell.takes(cell.path, whole)


@_way(OF_ONE_FILE)
def replaced_by_a_post_process(cell: Cell) -> None:
    """Written, closed, and its converted successor renamed over it."""
    cell.path.write_bytes(cell.audio(1))
    _rest()
    _write_whole(cell, "call.wav.new.tmp")
    (cell.directory / "call.wav.new.tmp").rename(cell.path)


@_way(OF_ONE_FILE)
def rewritten_in_place(cell: Cell) -> None:
    """Truncated and written again by a tool that edits it."""
    cell.path.write_bytes(cell.audio(1))
    _rest()
    _write_whole(cell, cell.path.name)


@_way(OF_ONE_FILE)
def mode_set_after_close(cell: Cell) -> None:
    """Nobody may read it at first."""
    with os.fdopen(os.open(cell.path, os.O_WRONLY | os.O_CREAT, 0o000), "wb") as file:
        file.write(cell.audio())
    _rest()
    cell.path.chmod(0o640)
    cell.takes(cell.path, cell.audio())


@_way(OF_ONE_FILE)
def times_set_after_close(cell: Cell) -> None:
    """cp -p: the mtime is that of the original, long ago."""
    _write_whole(cell, cell.path.name)
    os.utime(cell.path, (1_700_000_000, 1_700_000_000))


@_way(OF_ONE_FILE)
def legs_mixed_and_deleted(cell: Cell) -> None:
    """Both sides are recorded, then one stereo file takes their place; `exclude` leaves the sides out."""
    for side in ("rx", "tx"):
        (cell.directory / f"call-{side}.wav").write_bytes(pcm(channels=1, seed=cell.seed))
    _rest()
    _write_whole(cell, cell.path.name)
    for side in ("rx", "tx"):
        (cell.directory / f"call-{side}.wav").unlink()


# --- directories and several recordings ---------------------------------------------------------


def _halves(cell: Cell, directory: Path, *, late: bool) -> None:
    """Those halves that come with the directory, or those that follow it."""
    path = directory / cell.path.name
    with_directory = {
        Order.AUDIO_FIRST: ("audio",),
        Order.METADATA_FIRST: ("metadata",),
        Order.TOGETHER: ("audio", "metadata"),
    }[cell.order]
    if ("audio" in with_directory) is not late:
        path.write_bytes(cell.audio())
    if ("metadata" in with_directory) is not late:
        cell.metadata(path)


@_way(OF_MANY)
def directory_moved_in(cell: Cell) -> None:
    made = cell.outside / "made"
    made.mkdir()
    _halves(cell, made, late=False)
    made.rename(cell.directory)
    _halves(cell, cell.directory, late=True)
    cell.takes(cell.path, cell.audio())


@_way(OF_MANY)
def tree_moved_in(cell: Cell) -> None:
    """The recording lies three levels below what is moved."""
    deep = cell.outside / "made" / "11" / "23"
    deep.mkdir(parents=True)
    _halves(cell, deep, late=False)
    (cell.outside / "made").rename(cell.directory)
    _halves(cell, cell.directory / "11" / "23", late=True)
    cell.takes(cell.directory / "11" / "23" / "call.wav", cell.audio())


@_way(OF_MANY)
def hidden_directory_renamed(cell: Cell) -> None:
    hidden = cell.directory.with_name(f".{cell.directory.name}")
    hidden.mkdir()
    _halves(cell, hidden, late=False)
    hidden.rename(cell.directory)
    _halves(cell, cell.directory, late=True)
    cell.takes(cell.path, cell.audio())


@_way(OF_MANY)
def new_dated_tree_with_its_first_file(cell: Cell) -> None:
    """mkdir -p 2026/11/23 and the first call of the day at once."""
    day = cell.directory / "2026" / "11" / "23"
    day.mkdir(parents=True)
    _halves(cell, day, late=False)
    _halves(cell, day, late=True)
    cell.takes(day / "call.wav", cell.audio())


@_way(OF_MANY)
def copy_of_a_tree(cell: Cell) -> None:
    """`cp -r` of twelve recordings in four directories."""
    made = cell.outside / "made"
    late: list[tuple[Path, int]] = []
    for number in range(12):
        inside = Path("a" * (number % 4 + 1), f"{number}.wav")
        (made / inside).parent.mkdir(parents=True, exist_ok=True)
        if cell.order is Order.METADATA_FIRST:
            cell.metadata(made / inside, number)
            late.append((inside, number))
        else:
            (made / inside).write_bytes(cell.audio(number))
        if cell.order is Order.TOGETHER:
            cell.metadata(made / inside, number)
        cell.takes(cell.directory / inside, cell.audio(number))
    subprocess.run(["cp", "-r", str(made), str(cell.directory)], check=True)
    for inside, number in late:
        (cell.directory / inside).write_bytes(cell.audio(number))
    if cell.order is Order.AUDIO_FIRST:
        for number, path in enumerate(cell.talks):
            cell.metadata(path, number)


@_way(OF_MANY)
def dropped_twice(cell: Cell) -> None:
    """The same call under two names: one talk, and the second is a duplicate."""
    again = cell.directory / "again.wav"
    cell.directory.mkdir()
    if cell.order is Order.METADATA_FIRST:
        cell.metadata()
        cell.metadata(again)
    data = cell.audio()
    cell.path.write_bytes(data)
    if cell.order is Order.TOGETHER:
        cell.metadata()
    shutil.copy(cell.path, again)
    if cell.order is Order.AUDIO_FIRST:
        cell.metadata()
    if cell.order is not Order.METADATA_FIRST:
        cell.metadata(again)
    cell.takes(cell.path, data)
    cell.doubles.append(again)
