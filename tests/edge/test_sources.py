"""The sources that a folder's rules name: shared where two folders name one, left alone where they let us wait for nothing."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

import pytest

from speechsense_watch.core.rules import CallRecordRules, Folder
from speechsense_watch.edge import call_records_csv, sources
from speechsense_watch.edge.call_record_lines import Dialect
from speechsense_watch.edge.sources import Rested, sources_of
from speechsense_watch.ports import SourceTrouble
from support.manual_clock import ManualClock


class Slow:
    """Call records that take their time, and break while `broken`."""

    def __init__(self, clock: ManualClock, takes_s: float) -> None:
        self.clock = clock
        self.takes_s = takes_s
        self.broken = True
        self.asked = 0

    def find(self, file_name: str, unique_id: str) -> Sequence[Mapping[str, str]]:
        self.asked += 1
        self.clock.advance(self.takes_s)
        if self.broken:
            raise SourceTrouble("The database does not answer.")
        return [{"src": file_name + unique_id}]


def test_what_failed_slowly_is_told_again_without_asking() -> None:
    """All folders are looked at by one thread: five seconds for each recording of one of them would hold up the others."""
    clock = ManualClock()
    slow = Slow(clock, 5.0)
    records = Rested(slow, clock)
    for _ in range(100):
        with pytest.raises(SourceTrouble, match="does not answer"):
            records.find("a.wav", "1.1")
    assert slow.asked == 1
    slow.broken = False
    clock.advance(99.0)
    with pytest.raises(SourceTrouble):
        records.find("a.wav", "1.1")
    clock.advance(1.1)
    assert records.find("a", "b") == [{"src": "ab"}]
    assert records.find("a", "b") == [{"src": "ab"}]
    assert slow.asked == 3


def test_what_failed_at_once_is_asked_anew_at_once() -> None:
    """A server that is started again is noticed with the next recording."""
    clock = ManualClock()
    slow = Slow(clock, 0.0)
    records = Rested(slow, clock)
    with pytest.raises(SourceTrouble):
        records.find("a", "b")
    slow.broken = False
    assert records.find("a", "b") == [{"src": "ab"}]


def test_the_rest_has_an_end() -> None:
    """However long the question took."""
    clock = ManualClock()
    slow = Slow(clock, 600.0)
    records = Rested(slow, clock)
    with pytest.raises(SourceTrouble):
        records.find("a", "b")
    clock.advance(121.0)
    slow.broken = False
    assert records.find("a", "b") == [{"src": "ab"}]


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where each block of call records begins that was read for an index; the file has three."""
    begins: list[int] = []
    real = call_records_csv._hashed

    def noted(file: BufferedReader, dialect: Dialect, begin: int, end: int) -> object:
        begins.append(begin)
        return real(file, dialect, begin, end)

    monkeypatch.setattr(call_records_csv, "_hashed", noted)
    monkeypatch.setattr(call_records_csv, "_BLOCK_BYTES", 100)
    (tmp_path / "Master.csv").write_text("uniqueid,src\n" + "1773081000.1,7916\n" * 15)
    return begins


def records_of(path: Path, name: str, **rules: object) -> object:
    cdr = replace(CallRecordRules(csv=str(path / "Master.csv")), **rules)  # type: ignore[arg-type]
    folder = Folder(path=f"/{name}", connection_id="c", start_from="all", name=name, cdr=cdr)
    records = sources_of(folder, ManualClock()).call_records
    assert records is not None
    assert len(records.find("a.wav", "1773081000.1")) == 15
    return records


def test_two_folders_that_name_one_file_share_its_index(tmp_path: Path, hashed: list[int]) -> None:
    """As those for one and for two channels of one exchange; with other columns or another encoding it is another index."""
    mono = records_of(tmp_path, "mono")
    assert len(hashed) == 3
    stereo = records_of(tmp_path, "stereo")
    assert len(hashed) == 3
    other = records_of(tmp_path, "other", encoding="windows-1251")
    assert len(hashed) == 6
    assert len({id(each) for each in (mono, stereo, other)}) == 3


def test_an_index_that_nobody_names_any_more_is_gone(tmp_path: Path, hashed: list[int]) -> None:
    """After a reload with other rules; with rules that still name it, it is the same."""
    old = records_of(tmp_path, "a")
    new = records_of(tmp_path, "b")
    del old
    gc.collect()
    assert len(sources._in_use) == 1
    del new
    gc.collect()
    assert len(sources._in_use) == 0
    records_of(tmp_path, "a")
    assert len(hashed) == 6
