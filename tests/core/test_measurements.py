"""support.measurements: the measuring of the suite outlives its killed children."""

from __future__ import annotations

from pathlib import Path

import coverage

from support.measurements import drop_torn


def test_what_a_killed_child_left_half_written_is_dropped_and_the_rest_is_combined(tmp_path: Path) -> None:
    """Wherever the kill came: before the first page, or with any one of them not written yet."""

    def measured(name: str) -> Path:
        data = coverage.CoverageData(str(tmp_path / name))
        data.add_lines({f"/x/{name}{number}.py": range(400) for number in range(50)})
        data.close(force=True)
        return tmp_path / name

    whole = measured(".coverage.whole")
    pages = measured(".coverage.torn").read_bytes()
    assert drop_torn(tmp_path) == []
    torn = tmp_path / ".coverage.torn"
    for cut in (b"", pages[:4096], *(pages[:at] + bytes(4096) + pages[at + 4096 :] for at in range(0, len(pages), 4096))):
        torn.write_bytes(cut)
        assert drop_torn(tmp_path) == [torn]
    together = coverage.Coverage(data_file=str(tmp_path / ".coverage"))
    together.combine([str(whole)])
    assert len(together.get_data().measured_files()) == 50
