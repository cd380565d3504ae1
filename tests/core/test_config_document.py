"""config's table of options, and what is written from it: the sample and the reference."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from speechsense_watch.config import LogSettings, QueueSettings, SpeechSense, loads, reference, sample
from speechsense_watch.config.__main__ import main
from speechsense_watch.config.option import Required
from speechsense_watch.config.options import OPTIONS, SECTIONS, SUBTABLES, options_of
from speechsense_watch.core.rules import CallRecordRules, Folder, SearchScope, UploadRules

ROOT = Path(__file__).parents[2]
FILE = Path("/etc/speechsense-watch/config.toml")


def test_the_sample_loads_as_printed() -> None:
    """Its only warning is about the connection id that everybody must put in."""
    config = loads(sample(), FILE, {})
    (folder,) = config.folders
    assert (folder.path, folder.start_from, folder.name) == ("/var/spool/asterisk/monitor", "now", "monitor")
    (warning,) = config.warnings
    assert "still as in the sample" in warning


def test_the_sample_shows_the_defaults() -> None:
    """Taking every "#" away before a key changes nothing but the tables of texts."""
    uncommented = re.sub(r"^#(?=[A-Za-z_]+ = )", "", sample(), flags=re.MULTILINE)
    assert uncommented != sample()
    keys = [option.key for option in OPTIONS if not option.table and option.section != "folders.search"]
    shown = re.findall(r"^([A-Za-z_]+) = ", uncommented, flags=re.MULTILINE)
    examples = ["agent", "language", "office", "Ingress", "Egress", "direction_outgoing"]
    assert sorted(shown) == sorted([*keys, "search", *examples])
    plain, full = loads(sample(), FILE, {}), loads(uncommented, FILE, {})
    assert dataclasses.replace(full, folders=plain.folders) == plain
    (folder,) = full.folders
    assert folder.metadata_rename == {"agent": "operator_name"}
    assert folder.metadata_defaults == {"language": "ru-RU"}
    assert folder.metadata_values == {"direction_outgoing": {"Ingress": "false", "Egress": "true"}}
    tables = {option.key: getattr(plain.folders[0], option.key) for option in OPTIONS if option.table}
    assert dataclasses.replace(folder, **tables) == plain.folders[0]


def test_keys_that_nobody_should_need_come_last_in_their_section() -> None:
    """Whoever reads the sample from the top meets what matters first."""
    for section in (*SECTIONS, "folders.search", "folders.cdr"):
        rare = [option.rare for option in options_of(section)]
        assert rare == sorted(rare), section
    lines = sample().split("\n")
    for section in SECTIONS:
        shown = [option for option in options_of(section) if not option.table]
        start = lines.index("[[folders]]" if section == "folders" else f"[{section}]")
        at = [next(n for n in range(start, len(lines)) if re.match(rf"#?{option.key} = ", lines[n])) for option in shown]
        assert at == sorted(at)
        rest = [n for n in range(start, len(lines)) if lines[n] == "# Nobody should need these:"]
        for option, line in zip(shown, at, strict=True):
            if option.rare:
                assert rest[0] < line


@pytest.mark.parametrize(
    ("section", "rules"),
    [
        ("speechsense", SpeechSense()),
        ("queue", QueueSettings()),
        ("upload", UploadRules()),
        ("log", LogSettings()),
        ("folders", Folder(path="", connection_id="", start_from="now", name="")),
        ("folders.search", SearchScope()),
        ("folders.cdr", CallRecordRules()),
    ],
)
def test_the_table_and_the_rules_have_the_same_keys_and_defaults(section: str, rules: object) -> None:
    """A rule without a key could not be set, and a default said twice must not differ."""
    assert dataclasses.is_dataclass(rules)
    names = {field.name for field in dataclasses.fields(rules)} - ({*SUBTABLES, "inner"} if section == "folders" else set())
    assert {option.attribute for option in options_of(section)} == names
    for option in options_of(section):
        if not isinstance(option.default, Required):
            value: object = {} if option.table else option.kind.read(option.default)
            assert value == getattr(rules, option.attribute), option.key


def test_every_option_explains_itself_in_a_sentence() -> None:
    """The sample and the reference live by it."""
    for option in OPTIONS:
        assert option.doc.endswith("."), option.key
        assert isinstance(option.later, Mapping)


def test_the_reference_in_docs_is_the_one_of_the_code() -> None:
    """`python -m speechsense_watch.config docs > docs/configuration.md` writes it anew."""
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == reference()


def test_the_reference_names_every_key() -> None:
    """One row a key."""
    for option in OPTIONS:
        assert f"\n| `{option.key}` | " in reference()


def test_the_printer_prints_both(capsys: pytest.CaptureFixture[str]) -> None:
    """And tells its usage when asked for anything else."""
    assert main(["docs"]) == 0
    assert capsys.readouterr().out == reference()
    assert main(["sample"]) == 0
    assert capsys.readouterr().out == sample()
    assert main([]) == 64
    assert "usage" in capsys.readouterr().err


def test_the_printer_runs_as_a_module() -> None:
    """As the page itself says."""
    command = [sys.executable, "-m", "speechsense_watch.config", "sample"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "daemon")})
    assert done.stdout == sample()
