"""The bad recordings of the end-to-end tests are bad for the reasons they claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechsense_watch.core.fitness import Fit, judge
from speechsense_watch.core.metadata import Fields, read_fields
from speechsense_watch.core.model import Problem, State
from speechsense_watch.core.reasons import HINTS, Reason
from speechsense_watch.core.rules import Folder
from speechsense_watch.core.wav import Finished, NoAudio, Unfinished, inspect
from speechsense_watch.gathering import NotYet, gather
from speechsense_watch.ports import NO_SOURCES
from support import wavs
from support.bad_inputs import GOOD_FIELDS, BadInput, good_sidecar, write_bad_inputs, xml

FOLDER = Folder(path="/spool", connection_id="c", start_from="all", name="spool")
XML_FOLDER = Folder(path="/spool", connection_id="c", start_from="all", name="spool", **xml.RULES)


def judged(directory: Path, bad: BadInput, folder: Folder = FOLDER) -> tuple[State, Problem] | None:
    """What the decisions make of a pair of plain files, audio first; None if nothing is wrong with it."""
    with (directory / f"{bad.stem}.wav").open("rb") as file:

        def read_at(offset: int, count: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        verdict = inspect(read_at, file.seek(0, 2))
    if isinstance(verdict, Finished):
        fitness = judge(verdict.format, folder, forced=False)
        if not isinstance(fitness, Fit):
            return State.UNUSABLE, fitness.problem
        raw = (directory / folder.metadata.format(stem=bad.stem)).read_bytes()
        fields = gather(folder, f"{bad.stem}.wav", raw, NO_SOURCES)
        assert not isinstance(fields, NotYet)
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
    assert len(plain) >= 250
    found = {bad.stem: judged(directory, bad) for bad in plain}
    told = {stem: each and (each[0], each[1].reason) for stem, each in found.items()}
    assert told == {bad.stem: bad.at_once for bad in plain}
    for bad in plain:
        if bad.stem.startswith("audio-"):
            assert isinstance(read_fields((directory / f"{bad.stem}.json").read_bytes(), FOLDER), Fields)


def test_every_bad_xml_has_the_fault_it_is_named_for_and_no_other(tmp_path: Path) -> None:
    """Nothing that a DTD declares is ever part of a message."""
    written = xml.write_bad(tmp_path)
    assert len(written) >= 100
    found = {bad.stem: judged(tmp_path, bad, XML_FOLDER) for bad in written}
    assert {stem: each and (each[0], each[1].reason) for stem, each in found.items()} == {
        bad.stem: bad.at_once for bad in written
    }
    assert not [stem for stem, each in found.items() if each and ("expanded" in each[1].message or "root:" in each[1].message)]


@pytest.mark.parametrize("name", xml.HEALTHY)
def test_xml_that_only_looks_odd_is_read_right(name: str) -> None:
    """Every value, whatever stands around it and however its letters are written."""
    fields = gather(XML_FOLDER, "call.wav", xml.HEALTHY[name], NO_SOURCES)
    assert isinstance(fields, Fields)
    assert {key: fields.values[key] for key in GOOD_FIELDS} == {**GOOD_FIELDS, "direction_outgoing": "true"}


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
