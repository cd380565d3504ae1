"""The real program on a folder full of hostile and broken files: what is whole among them still arrives."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from speechsense_watch.core.model import Job, State
from speechsense_watch.standin import StandIn
from support.bad_inputs import BadInput, write_bad_inputs, write_healthy, write_never_taken, xml
from support.rig import Rig
from support.waiting import wait_for
from support.wavs import pcm


def outside_of(directory: Path) -> Path:
    path = directory / "outside"
    path.mkdir()
    return path


def by_stem(rig: Rig) -> dict[str, Job]:
    # A recording without audio lies where its metadata does.
    return {path.rpartition(".")[0]: job for path, job in rig.jobs().items()}


def wait_until_told(rig: Rig, bad: list[BadInput]) -> None:
    """Every one has its state and its reason; `abandon_after` is far longer than a test."""

    def untold() -> list[object]:
        jobs = by_stem(rig)
        told = {stem: (job.state, job.reason) for stem, job in jobs.items()}
        return [(one, jobs.get(one.stem)) for one in bad if told.get(one.stem) != one.at_once]

    try:
        wait_for(lambda: not untold(), 40, "every bad one has its state and reason")
    except AssertionError as error:
        raise AssertionError(f"{error}: {untold()[:5]}\n{rig.log()[-2000:]}") from error


def rig_rules(rig: Rig) -> str:
    return "".join(f'{key} = "{value}"\n' for key, value in rig.rules.items())


def test_a_folder_of_hostile_files_harms_nobody(rig: Rig, standin: StandIn, tmp_path: Path) -> None:
    """All at once, with the healthy ones among them: each bad one has its reason, each whole one is a talk, once."""
    outside = outside_of(tmp_path)
    bad = write_bad_inputs(rig.folder, outside)
    never = write_never_taken(rig.folder, outside)
    healthy = write_healthy(rig.folder) | {"good.wav"}
    rig.drop("good", pcm(seed=4000))
    in_xml = tmp_path / "xml"
    in_xml.mkdir()
    bad += xml.write_bad(in_xml)
    healthy |= xml.write_healthy(in_xml)
    rig.tables = f'[[folders]]\npath = "{in_xml}"\nconnection_id = "conn-2"\n{rig_rules(rig)}{xml.RULES_IN_TOML}'
    assert len(bad) >= 350
    rig.start()
    wait_until_told(rig, bad)
    wait_for(lambda: sum(state is State.DONE for state in rig.states().values()) >= len(healthy), 40, "the whole ones are sent")
    assert {path for path, state in rig.states().items() if state is State.DONE} == healthy
    assert len(standin.talks()) == len(healthy)
    assert not rig.jobs().keys() & set(never)
    for job in rig.jobs().values():
        assert job.state is State.DONE or (job.message.isprintable() and job.hint)

    # A recording that arrives afterwards is taken as if nothing were wrong; the daemon ends in good order.
    rig.drop("later", pcm(seed=4001))
    rig.wait_for_states(later=State.DONE)
    assert rig.call("status")[0] in (0, 1)
    assert rig.stop() == 0
    assert "loop_failed" not in rig.log()


def test_no_line_of_the_log_names_a_file_or_a_number(rig: Rig, tmp_path: Path) -> None:
    """At info, names of files and what stands in them are personal data: a job goes by its id."""
    outside = outside_of(tmp_path)
    write_bad_inputs(rig.folder, outside)
    secret = "79161234567"
    for seed, stem in enumerate((f"out-{secret}-201", f"{secret}\n{secret}"), start=4100):
        fields = {"operator_name": f"Анна {secret}", "operator_id": "201", "client_name": secret, "client_id": f"+{secret}"}
        whole = {**fields, "date": "2025-04-24T14:34:19+03:00", "direction_outgoing": True, "language": "ru-RU"}
        rig.drop(stem, pcm(seed=seed), whole)
        rig.drop(f"bad {stem}", b"not audio", whole)
        rig.drop(f"worse {stem}", pcm(seed=seed + 50), {secret: [secret]})
    rig.start()
    rig.wait_for_states(
        **{
            f"out-{secret}-201": State.DONE,
            f"bad {secret}\n{secret}": State.UNUSABLE,
            f"worse {secret}\n{secret}": State.UNUSABLE,
        }
    )
    wait_for(lambda: rig.states().get(f"{secret}\n{secret}.wav") is State.DONE, 20, "the odd name is sent too")
    assert rig.stop() == 0
    log = rig.log()
    assert "recording_unusable" in log
    assert secret not in log
    assert "Анна" not in log
    assert re.search(r"\.(wav|json)\b", log) is None


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root reads everything, and cannot give it up here")
def test_what_may_not_be_read_waits_and_is_taken_when_it_may(rig: Rig, standin: StandIn, tmp_path: Path) -> None:
    """Unreadable files and directories are visible, harm nobody, and are tried again by themselves."""
    if os.geteuid() == 0:
        rig.launcher = ("setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search")
    bad = write_bad_inputs(rig.folder, outside_of(tmp_path), unprivileged=True)
    (rig.folder / "shut").mkdir()
    rig.drop("shut/call", pcm(seed=4200))
    (rig.folder / "shut").chmod(0)
    rig.drop("good", pcm(seed=4201))
    rig.start()
    wait_until_told(rig, bad)
    rig.wait_for_states(good=State.DONE)
    wait_for(lambda: rig.read(lambda queue: queue.runtime())["folder:in"]["unreadable_directories"] == 1, 10)
    assert rig.states().get("shut/call.wav") is None

    (rig.folder / "shut").chmod(0o755)
    (rig.folder / "file-unreadable.wav").chmod(0o644)
    (rig.folder / "file-metadata-unreadable.json").chmod(0o644)
    rig.wait_for_states(**{"shut/call": State.DONE, "file-unreadable": State.DONE, "file-metadata-unreadable": State.DONE})
    assert rig.stop() == 0
    assert "loop_failed" not in rig.log()
