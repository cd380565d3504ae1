"""The unit's drop-in: what systemd reads there is what was meant, whatever a path or a group is called."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from speechsense_watch.config.unit import drop_in, fits_a_unit

UNIT = Path(__file__).parents[2] / "systemd" / "speechsense-watch.service"
# What systemctl show made of them (systemd 252), for machines without systemd: systemd.syntax(7), Quoting.
PATHS = {
    "/srv/calls": "/srv/calls",
    "/srv/my calls": '"/srv/my calls"',
    '/srv/a"b': '"/srv/a\\"b"',
    "/srv/it's": '"/srv/it\'s"',
    "/srv/50%": '"/srv/50%%"',
    "/srv/%n and %h": '"/srv/%%n and %%h"',
    "/srv/back\\slash": '"/srv/back\\\\slash"',
    "/srv/end\\": '"/srv/end\\\\"',
    "/srv/x#y;z": '"/srv/x#y;z"',
    "/srv/$HOME": '"/srv/$HOME"',
    "/srv/записи": '"/srv/записи"',
}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_quoted_as_systemd_reads_it(path: str) -> None:
    """And only where it has to be."""
    assert f"RequiresMountsFor={PATHS[path]}\n" in drop_in(path)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_has_nothing_to_say_against_it(tmp_path: Path) -> None:
    """Every path, in a unit of its own, with its drop-in."""
    for number, path in enumerate(PATHS):
        unit = tmp_path / f"u{number}.service"
        unit.write_text("[Service]\nExecStart=/bin/true\n")
        directory = tmp_path / f"{unit.name}.d"
        directory.mkdir()
        (directory / "recorder.conf").write_text(drop_in(path, group="daemon"), encoding="utf-8")
        line = ["systemd-analyze", "verify", "--man=no", str(unit)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert "recorder.conf" not in done.stderr, (path, done.stderr)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_has_nothing_to_say_against_the_unit_itself(tmp_path: Path) -> None:
    """No line of it is misspelt or out of place."""
    text = UNIT.read_text(encoding="utf-8")
    unit = tmp_path / UNIT.name
    # What it starts is installed on hardly any machine that tests.
    unit.write_text(re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", text), encoding="utf-8")
    line = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert UNIT.name not in done.stderr


@pytest.mark.parametrize("path", ["/srv/a\n[Service]\nUser=root", "/srv/a\rb", "/srv/a\0b", "/srv/\x7f", "/srv/\t"])
def test_a_path_with_a_control_character_gets_into_no_unit(path: str) -> None:
    """A line of its own could change whatever the unit says."""
    with pytest.raises(ValueError, match="control character"):
        drop_in(path)


@pytest.mark.parametrize("group", ["a\nUser=root", "a b", "-a", "a%n", "a\\", "a#b", "12x"])
def test_a_group_that_systemd_would_not_take_gets_into_no_unit(group: str) -> None:
    """Such a group is told by its number."""
    assert not fits_a_unit(group)
    for given in ({"group": group}, {"missing_group": group}):
        with pytest.raises(ValueError, match="no name"):
            drop_in("/srv", **given)


def test_a_group_that_is_not_there_yet_is_a_comment() -> None:
    """With it the start would fail; without a word nobody would know what is missing."""
    text = drop_in("/srv", missing_group="asterisk")
    assert "\n#SupplementaryGroups=asterisk\n" in text
    assert "\nSupplementaryGroups" not in text
    assert "216/GROUP" in text
    assert "\nSupplementaryGroups=asterisk\n" in drop_in("/srv", group="asterisk")
    assert "\nSupplementaryGroups=4711\n" in drop_in("/srv", group="4711")
    assert "SupplementaryGroups=" not in drop_in("/srv")
