"""What is no regular file of the folder's own, or only half a recording; and what must never become a row at all."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from pathlib import Path

from speechsense_watch.core.model import State
from speechsense_watch.core.reasons import Reason
from support import wavs
from support.bad_inputs.common import BadInput, good_sidecar, put

_NOT_REGULAR = (State.UNUSABLE, Reason.NOT_A_REGULAR_FILE)
_NOBODY = 65534


def write(directory: Path, outside: Path, *, unprivileged: bool) -> list[BadInput]:
    """Those that only root can make are left out for others; those that only permissions make bad are left out for a reader
    who is not `unprivileged`.
    """
    # What the links lead to could be sent: following one shows as an upload.
    (outside / "elsewhere.wav").write_bytes(wavs.pcm(seed=5))
    (outside / "elsewhere.json").write_bytes(good_sidecar(case="elsewhere"))
    odd = [*_odd_audio(directory, outside), *_odd_metadata(directory, outside), *_of_root(directory, outside)]
    written = [BadInput(stem, _NOT_REGULAR) for stem in odd]
    return [*written, *_halves(directory), *(_unreadable(directory) if unprivileged else ())]


def _odd_audio(directory: Path, outside: Path) -> list[str]:
    links = {
        "file-link-audio": outside / "elsewhere.wav",
        "file-link-to-nowhere": outside / "nowhere.wav",
        "file-link-to-itself": directory / "file-link-to-itself.wav",
        "file-link-within": directory / "file-link-metadata.wav",
        "file-link-to-a-directory": outside,
        "file-link-to-a-device": Path("/dev/zero"),
        "file-link-up": Path("../outside/elsewhere.wav"),
    }
    for stem, target in links.items():
        (directory / f"{stem}.json").write_bytes(good_sidecar(case=stem))
        (directory / f"{stem}.wav").symlink_to(target)
    for stem in ("file-fifo", "file-socket"):
        (directory / f"{stem}.json").write_bytes(good_sidecar(case=stem))
    os.mkfifo(directory / "file-fifo.wav")
    _socket(directory / "file-socket.wav")
    return [*links, "file-fifo", "file-socket"]


def _odd_metadata(directory: Path, outside: Path) -> list[str]:
    stems = ("link", "link-to-nowhere", "link-to-a-device", "fifo", "socket", "directory")
    for seed, kind in enumerate(stems, start=600):
        name = "file-link-metadata" if kind == "link" else f"file-metadata-{kind}"
        (directory / f"{name}.wav").write_bytes(wavs.pcm(seed=seed))
    (directory / "file-link-metadata.json").symlink_to(outside / "elsewhere.json")
    (directory / "file-metadata-link-to-nowhere.json").symlink_to(outside / "nowhere.json")
    (directory / "file-metadata-link-to-a-device.json").symlink_to("/dev/zero")
    os.mkfifo(directory / "file-metadata-fifo.json")
    _socket(directory / "file-metadata-socket.json")
    (directory / "file-metadata-directory.json").mkdir()
    return ["file-link-metadata", *(f"file-metadata-{kind}" for kind in stems[1:])]


def _socket(path: Path) -> None:
    # By a short name: the address of a socket has 107 bytes, and tests lie deep.
    here = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def _of_root(directory: Path, outside: Path) -> list[str]:
    """Devices, and second names of other people's files."""
    if os.geteuid() != 0:
        return []
    foreign = {"file-hard-link-audio": wavs.pcm(seed=650), "file-hard-link-metadata": good_sidecar(case="foreign")}
    for stem, raw in foreign.items():
        ending, other = (".wav", ".json") if stem.endswith("audio") else (".json", ".wav")
        (outside / stem).write_bytes(raw)
        os.chown(outside / stem, _NOBODY, _NOBODY)
        os.link(outside / stem, directory / f"{stem}{ending}")
        (directory / f"{stem}{other}").write_bytes(good_sidecar(case=stem) if other == ".json" else wavs.pcm(seed=651))
    made = list(foreign)
    for stem, device in {"file-zero-device": os.makedev(1, 5), "file-null-device": os.makedev(1, 3)}.items():
        try:
            os.mknod(directory / f"{stem}.wav", 0o666 | stat.S_IFCHR, device)
        except OSError:  # a container without the right to make devices
            continue
        (directory / f"{stem}.json").write_bytes(good_sidecar(case=stem))
        made.append(stem)
    return made


def _halves(directory: Path) -> list[BadInput]:
    for stem in ("file-directory", "file-no-audio"):
        (directory / f"{stem}.json").write_bytes(good_sidecar(case=stem))
    (directory / "file-directory.wav").mkdir()
    (directory / "file-no-metadata.wav").write_bytes(wavs.pcm(seed=7))
    return [
        BadInput("file-directory", _NOT_REGULAR),
        BadInput("file-no-metadata", (State.WAITING, Reason.METADATA_MISSING)),
        BadInput("file-no-audio", (State.WAITING, Reason.AUDIO_MISSING)),
    ]


def _unreadable(directory: Path) -> list[BadInput]:
    """Owned by whoever writes them, and shut to everybody else."""
    for seed, (stem, ending) in enumerate((("file-unreadable", ".wav"), ("file-metadata-unreadable", ".json")), start=680):
        put(directory, stem, wavs.pcm(seed=seed), good_sidecar(case=stem))
        (directory / f"{stem}{ending}").chmod(0)
    return [BadInput(stem, (State.WAITING, Reason.UNREADABLE)) for stem in ("file-unreadable", "file-metadata-unreadable")]


def write_never_taken(directory: Path, outside: Path) -> list[str]:
    """Whole recordings where nobody looks for any: by their names, or behind links. Returns their audio's paths."""
    whole = outside / "tree"
    whole.mkdir()
    put(whole, "behind", wavs.pcm(seed=700), good_sidecar(case="behind"))
    (directory / "link-to-a-tree").symlink_to(whole)
    (directory / "link-to-a-tree.wav.d").symlink_to(whole)
    (directory / "link-to-itself").symlink_to(directory)
    places = ["link-to-a-tree/behind.wav", "link-to-a-tree.wav.d/behind.wav"]
    (directory / ".hidden").mkdir()
    for seed, name in enumerate((".wav", "..wav..x.wav", ".hidden/inside.wav", ".dotted.wav"), start=701):
        (directory / name).write_bytes(wavs.pcm(seed=seed))
        (directory / name).with_name(f"{Path(name).name[:-4]}.json").write_bytes(good_sidecar(case=name))
        places.append(name)
    for seed, name in enumerate(
        ("tilde.wav~", "copying.wav.part", "copying.wav.tmp", ".copying.wav.swp", "upload.wav.filepart"), 710
    ):
        (directory / name).write_bytes(wavs.pcm(seed=seed))
        places.append(name)
    return places
