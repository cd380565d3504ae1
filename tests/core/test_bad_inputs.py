"""The bad recordings of the end-to-end tests are bad for the reasons they claim."""

from __future__ import annotations

from pathlib import Path

from speechsense_watch.core.fitness import Fit, judge
from speechsense_watch.core.metadata import Fields, read_fields
from speechsense_watch.core.model import Problem, State
from speechsense_watch.core.reasons import HINTS, Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.core.wav import Finished, NoAudio, Unfinished, inspect
from support import wavs
from support.bad_inputs import BadInput, good_sidecar, write_bad_inputs

FOLDER = Folder(path="/spool", connection_id="c", start_from="all", name="spool")


def judged(directory: Path, bad: BadInput) -> tuple[State, Problem] | None:
    """What the decisions make of a pair of plain files, audio first; None if nothing is wrong with it."""
    with (directory / f"{bad.stem}.wav").open("rb") as file:

        def read_at(offset: int, count: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        verdict = inspect(read_at, file.seek(0, 2))
    if isinstance(verdict, Finished):
        fitness = judge(verdict.format, FOLDER, forced=False)
        if not isinstance(fitness, Fit):
            return State.UNUSABLE, fitness.problem
        fields = read_fields((directory / f"{bad.stem}.json").read_bytes(), FOLDER)
        return None if isinstance(fields, Fields) else (State.UNUSABLE, fields)
    if isinstance(verdict, NoAudio):
        return State.SKIPPED, verdict.problem
    return State.WAITING if isinstance(verdict, Unfinished) else State.UNUSABLE, verdict.problem


def test_every_bad_input_has_the_fault_it_is_named_for_and_no_other(tmp_path: Path) -> None:
    """The decisions alone tell each pair of plain files as the list says; the metadata of bad audio is good."""
    directory, outside = tmp_path / "spool", tmp_path / "outside"
    directory.mkdir()
    outside.mkdir()
    written = write_bad_inputs(directory, outside)
    plain = [bad for bad in written if not bad.stem.startswith("file-")]
    assert len(plain) >= 30
    for bad in plain:
        found = judged(directory, bad)
        assert found is not None, bad.stem
        assert found[0] in bad.states, bad.stem
        assert found[1].reason in bad.reasons, bad.stem
        if bad.stem.startswith("audio-"):
            assert isinstance(read_fields((directory / f"{bad.stem}.json").read_bytes(), FOLDER), Fields)


def test_what_is_no_plain_file_is_there_too(tmp_path: Path) -> None:
    """A FIFO, links and a directory: what must not be opened at all."""
    directory, outside = tmp_path / "spool", tmp_path / "outside"
    directory.mkdir()
    outside.mkdir()
    stems = {bad.stem for bad in write_bad_inputs(directory, outside)}
    assert (directory / "file-fifo.wav").is_fifo()
    assert (directory / "file-link-audio.wav").resolve() == (outside / "elsewhere.wav").resolve()
    assert (directory / "file-link-metadata.json").is_symlink()
    assert (directory / "file-directory.wav").is_dir()
    assert {path.stem for path in directory.iterdir()} == stems
    assert isinstance(read_fields((outside / "elsewhere.json").read_bytes(), FOLDER), Fields)


def test_a_good_pair_is_good() -> None:
    """The bad ones differ from this one by their fault alone."""
    content = wavs.pcm()
    verdict = inspect(lambda offset, count: content[offset : offset + count], len(content))
    assert isinstance(verdict, Finished)
    assert judge(verdict.format, FOLDER, forced=False) == Fit()
    assert isinstance(read_fields(good_sidecar(), FOLDER), Fields)


def test_every_reason_has_a_hint() -> None:
    """Nobody is told of a fault without being told what to do."""
    assert set(HINTS) == set(Reason)
