"""The pages for administrators: every configuration in them can be used, every command is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from speechsense_watch.cli import COMMANDS, group
from speechsense_watch.config import loads

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)
BLOCKS = [
    (page.name, number, text) for page in PAGES for number, text in enumerate(TOML.findall(page.read_text(encoding="utf-8")))
]
# At the beginning of a line, of a code, of a pipe's part, or after sudo: not as an argument of systemctl.
COMMAND = re.compile(r"(?:^\s*|`|\| |sudo |bin/)speechsense-watch ([a-z]+(?:-[a-z]+)*)", re.MULTILINE)


@pytest.mark.parametrize(("page", "number", "text"), BLOCKS, ids=[f"{page}-{number}" for page, number, _ in BLOCKS])
def test_every_configuration_on_the_pages_can_be_used(page: str, number: int, text: str) -> None:
    """Without a warning: what people copy is right."""
    del page, number
    assert loads(text, Path("/etc/speechsense-watch/config.toml"), {}).warnings == ()


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_command_on_the_pages_is_one(page: Path) -> None:
    """As the program has them."""
    assert set(COMMAND.findall(page.read_text(encoding="utf-8"))) <= {*COMMANDS}


# Of the table of exit codes: the code, and the commands that are named.
CODES = [
    (command, code)
    for code, named in re.findall(
        r"^\| (\d+) \| ([^|]*`[^|]*) \|", (ROOT / "docs/operations.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    for command in re.findall(r"`([a-z-]+)", named)
]


@pytest.mark.parametrize(("command", "code"), CODES, ids=[f"{command}-{code}" for command, code in CODES])
def test_the_help_of_a_command_knows_its_exit_codes(command: str, code: str) -> None:
    """Whoever reads one of the two is not left with half of them."""
    told = CliRunner().invoke(group, [command, "--help"]).output
    assert re.search(rf"\b{code} ", told.partition("Exit codes:")[2].partition("Options:")[0])


def test_there_are_such_pages() -> None:
    """The tests above would pass with none."""
    assert len(BLOCKS) >= 6
    assert len(CODES) >= 13
